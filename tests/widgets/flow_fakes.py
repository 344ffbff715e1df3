"""A flow in numpy whose every number is known, and answers about it as the engine gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.wire.messages import RunInfo

Found = tuple[dict[str, Any], dict[str, Any]]
Arrays = dict[str, Any]

NAMES = ("standardise", "shear 1", "scale 2", "shear 3")
LOG_2PI = float(np.log(2 * np.pi))


def layer(index: int, x: Any) -> tuple[Any, Any]:
    """(…, D) → the next state and the log-det: shears keep volume, scales do not."""
    size = x.shape[-1]
    if index == 0:
        return x / 2.0, np.full(x.shape[:-1], -size * np.log(2.0))
    if index == 2:
        log_scale = 0.6 * np.tanh(x[..., :1])
        y = np.concatenate([x[..., :1], x[..., 1:] * np.exp(log_scale)], -1)
        return y, (size - 1) * log_scale[..., 0]
    y = x.copy()
    if size > 1:
        a, b = (0, 1) if index == 1 else (1, 0)
        y[..., b] += 0.8 * np.sin(2.0 * x[..., a])
    return y, np.zeros(x.shape[:-1])


def walk(x: Any) -> tuple[Any, Any]:
    """States (5, …, D) and log-dets (4, …)."""
    states, log_dets = [np.asarray(x, np.float64)], []
    for index in range(len(NAMES)):
        y, log_det = layer(index, states[-1])
        states.append(y)
        log_dets.append(log_det)
    return np.stack(states), np.stack(log_dets)


def jacobian(index: int, x: Any) -> Any:
    """(D, D), by central differences."""
    step = 1e-6
    columns = [(layer(index, x + step * e)[0] - layer(index, x - step * e)[0]) / (2 * step)
               for e in np.eye(len(x))]  # fmt: skip
    return np.stack(columns, -1)


def log_base(z: Any) -> Any:
    return -0.5 * (z**2).sum(-1) - 0.5 * z.shape[-1] * LOG_2PI


def flow_path(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size = info.data.event.size
    dims = min(size, 2)
    random = np.random.default_rng(0)
    x = random.normal(size=(wanted["n"], size)) * 1.5
    ends = np.linspace(-3, 3, wanted["nodes"])
    if dims == 1:
        lattice = ends[None, :, None]
    else:
        across = np.linspace(-3, 3, wanted["lines"])
        level = np.stack(np.meshgrid(ends, across), -1)
        lattice = np.concatenate([level, level[..., ::-1]])
    flat = np.zeros((*lattice.shape[:2], size))
    flat[..., :dims] = lattice
    points, dets = walk(x)
    grid, grid_dets = walk(flat)
    labels = np.where(x[:, 0] > 0, 1, 0) if info.data.labels else np.full(len(x), -1)
    return {
        "points": points[..., :dims].astype(np.float32),
        "grid": grid[..., :dims].astype(np.float32),
        "point_log_dets": dets.astype(np.float32),
        "grid_log_dets": grid_dets.astype(np.float32),
        "log_base": log_base(points[-1]).astype(np.float32),
        "labels": labels.astype(np.int32),
        "events": x.astype(np.float32),
    }, {"names": list(NAMES), "start": wanted["start"], "x_name": "x",
        "y_name": "y" if dims == 2 else "", "is_slice": size > 2}  # fmt: skip


def flow_jacobian(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size = info.data.event.size
    x = np.zeros(size)
    x[: len(wanted["point"])] = wanted["point"]
    states, log_dets = walk(x)
    layers = np.stack([jacobian(k, state) for k, state in enumerate(states[:-1])])
    stack = np.linalg.multi_dot([*layers[::-1]]) if size > 1 else np.prod(layers, 0)
    base = float(log_base(states[-1]))
    natural, turned = list(range(size)), list(range(size))[::-1]
    return {
        "states": states, "places": states[:, : min(size, 2)], "log_dets": log_dets,
        "layers": layers, "stack": stack, "slogdets": np.linalg.slogdet(layers)[1],
        "condition": np.linalg.cond(layers),
        "orders": np.array([natural, natural, natural, turned], np.int32),
    }, {
        "names": list(NAMES), "values": list(info.data.event.axes or ("x", "y", "z")[:size]),
        "log_base": base, "log_prob": base + float(log_dets.sum()), "residual": 1e-16, "note": "",
        "stack_slogdet": float(np.linalg.slogdet(stack)[1]), "triangular": [1] * 4,
        "direct": True,
    }  # fmt: skip


def flow_layers(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size, side = info.data.event.size, wanted["size"]
    random = np.random.default_rng(0)
    states, log_dets = walk(random.normal(size=(wanted["n"], size)) * 1.5)
    conditions = np.array([[np.linalg.cond(jacobian(k, x)) for x in states[k][:20]]
                           for k in range(4)])  # fmt: skip
    single = 1e-7 * np.array([6.0, 4.0, 3.0, 1.0, 0.0])
    found = {
        "mean_log_det": log_dets.mean(1), "mean_abs_log_det": np.abs(log_dets).mean(1),
        "area_change": np.exp(np.quantile(log_dets, [0.25, 0.75], axis=1)),
        "condition": np.stack([np.median(conditions, 1), conditions.max(1)]),
        "round_trip": np.stack([single, 1e-9 * single]),
    }  # fmt: skip
    dims = min(size, 2)
    values = {"names": list(NAMES), "n": wanted["n"], "low": [-3.0] * dims, "high": [3.0] * dims,
              "x_name": "x", "y_name": "y" if size > 1 else ""}  # fmt: skip
    if size <= 2:
        nodes = -3 + 6 * (np.arange(side) + 0.5) / side
        places = np.stack(np.meshgrid(nodes, nodes), -1) if size == 2 else nodes[None, :, None]
        maps = walk(places)[1]
        found |= {
            "map_log_dets": maps.astype(np.float32),
            "map_condition": np.exp(np.abs(maps)).astype(np.float32),
            "map_round_trip": np.stack(
                [1e-7 + 1e-8 * np.abs(maps[2]), np.full(maps[0].shape, 3e-16)]
            ),
        }
    return found, values


def flow_passes(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size = info.data.event.size
    return {
        "density": np.array([0, 1, 1, 1], np.int32),
        "sampling": np.array([0, size, size, size], np.int32),
    }, {"names": list(NAMES), "event_size": size, "n": wanted["n"],
        "density_seconds": 0.002, "sampling_seconds": 0.005}  # fmt: skip


def equal_areas(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """x = 2 z + 1 of a uniform z."""
    n = int(wanted.get("n_strips", 10))
    z, edges = np.linspace(0.0, 1.0, 41), np.linspace(0.0, 1.0, n + 1)
    found = {
        "z": z, "x": 2 * z + 1, "base_density": np.ones(41), "density": np.full(41, 0.5),
        "z_edges": edges, "x_edges": 2 * edges + 1,
        "base_mass": np.full(n, 1 / n), "mass": np.full(n, 1 / n),
    }  # fmt: skip
    return found, {"tail": 0.0, "falls": False}


PROBES: dict[str, Callable[[RunInfo, dict[str, Any], Arrays], Found]] = {
    f.__name__: f for f in (flow_path, flow_jacobian, flow_layers, flow_passes, equal_areas)
}
