"""What the probes of latents answer, made by numpy: z is normal and decodes to itself or waves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import RunInfo
from tests.widgets.pixel_fakes import levels_of, size_of

Arrays = dict[str, Any]
Found = tuple[Arrays, dict[str, Value]]


def encodes(info: RunInfo) -> bool:
    return Capability.ENCODING in info.card.capabilities


def is_category(info: RunInfo) -> bool:
    return "components" in info.card.features


def width(info: RunInfo) -> int:
    """Z: as the run's settings say, else 2."""
    return int(info.spec.model_config.get("latent_features", 2))  # type: ignore[arg-type]


def decode(info: RunInfo, z: Any) -> Any:
    """(…, Z) → (…, *E): the first values are z, the rest go on from there."""
    z = np.asarray(z, float)
    size = size_of(info)
    x = np.zeros((*z.shape[:-1], size))
    n = min(size, z.shape[-1])
    x[..., :n] = z[..., :n]
    if size > 2:
        top = max(levels_of(info) - 1, 1)
        phase = np.linspace(0, 6, size) + z[..., :1]
        x = top * (0.5 + 0.5 * np.sin(phase + z[..., -1:]))
    return x.reshape(*z.shape[:-1], *(int(s or 1) for s in info.data.event.shape))


def latent_encodings(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    several = info.spec.model_config.get("levels_of_latents", False)
    values: dict[str, Value] = {
        "latent": wanted["latent"] or "z", "names": ["z"], "kinds": ["real"],
        "sizes": [width(info)], "levels": [0], "encodes": encodes(info), "n_all": 1600,
        "kind": "mean" if encodes(info) else "prior",
    }  # fmt: skip
    if several:
        values |= {"names": ["top", "z"], "kinds": ["real"] * 2, "sizes": [2, width(info)],
                   "levels": [0, 0]}  # fmt: skip
    if is_category(info):
        return {}, values | {"kinds": ["category"], "sizes": [1], "levels": [8], "kind": "none"}
    n = min(int(wanted["n"]), 1600)
    means = np.random.default_rng(3).normal(size=(n, width(info))).astype(np.float32)
    if not encodes(info):
        return {"means": means}, values
    return {
        "means": means, "deviations": np.full_like(means, 0.1),
        "labels": np.arange(n, dtype=np.int32) % max(len(info.data.labels), 1),
        "indices": np.arange(n, dtype=np.int32),
    }, values  # fmt: skip


def latent_density(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    low, high, size = np.array(wanted["low"]), np.array(wanted["high"]), int(wanted["size"])
    x = [a + (np.arange(size) + 0.5) * (b - a) / size for a, b in zip(low, high, strict=True)]
    grid = np.meshgrid(*x)
    log_p = sum(-0.5 * axis**2 for axis in grid) - 0.919 * len(x)
    found: Arrays = {"low": low, "high": high, "log_prior": log_p.astype(np.float32)}
    values: dict[str, Value] = {"prior_kind": "exact", "prior_label": "exact", "prior_mass": 1.0}
    names = ["prior", "aggregate"] if encodes(info) else ["prior"]
    circle = np.stack([np.cos(np.linspace(0, 6.3, 40)), np.sin(np.linspace(0, 6.3, 40))], 1)
    if encodes(info):
        found["log_aggregate"] = found["log_prior"] + np.float32(0.1)
        values |= {"aggregate_kind": "exact", "aggregate_mass": 0.99,
                   "aggregate_label": f"exact mixture of {wanted['n']} q's"}  # fmt: skip
    if len(x) == 2:
        for name in names:
            found |= {f"{name}_points": circle, f"{name}_starts": np.array([0, 40], np.int32)}
    return found, values


def latent_decode(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    z = np.asarray(arrays["z"])
    means = decode(info, z)
    found: Arrays = {
        "means": means.astype(np.float32), "deviations": np.full_like(means, 0.3),
        "log_prior": -0.5 * (z**2).sum(1) - 0.919 * z.shape[1],
    }  # fmt: skip
    values: dict[str, Value] = {"family": "Normal", "aggregate_n": 0}
    k = int(wanted.get("n_draws", 0))
    if k:
        noise = np.random.default_rng(1).normal(size=(len(z), k, *means.shape[1:]))
        found["draws"] = means[:, None] + 0.3 * noise
    if wanted.get("n") and encodes(info):
        found["log_aggregate"] = found["log_prior"] - 0.25
        values["aggregate_n"] = 1600
    return found, values


def latent_lattice(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    basis, centre = np.asarray(arrays["basis"]), np.asarray(arrays["centre"])
    n = int(wanted["nodes"])
    x = np.linspace(-1.5, 1.5, n)
    y = x if len(basis) == 2 else np.zeros(1)
    places = np.stack(np.meshgrid(x, y), -1)[..., : len(basis)]
    found: Arrays = {"x": x, "y": y, "pictures": decode(info, centre + places @ basis)}
    if wanted.get("between"):
        found["lines"] = decode(info, centre + places @ basis)
    return found, {"spacing": wanted["spacing"]}


def latent_traverse(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    if is_category(info):
        z = np.linspace(-2, 2, 8)[:, None] * np.ones(2)
        return {"pictures": decode(info, z)[None], "coordinates": np.zeros(1, np.int32)}, {
            "order": "levels", "kind": "category", "n_coordinates": 8}  # fmt: skip
    size, steps = width(info), int(wanted["steps"])
    rows = min(size, int(wanted["rows"]))
    offsets = np.linspace(-wanted["reach"], wanted["reach"], steps)
    middle = np.asarray(arrays.get("z", np.zeros(size)))
    coordinates = np.arange(size)[::-1][:rows]
    z = np.tile(middle, (rows, steps, 1))
    for row, coordinate in enumerate(coordinates):
        z[row, :, coordinate] += offsets
    order = "kl" if encodes(info) else "index"
    return {
        "pictures": decode(info, z), "coordinates": coordinates.astype(np.int32),
        "kl": np.linspace(2, 1, rows), "offsets": offsets, "middle": middle + 0.25,
        "z": np.stack([z[row, :, c] for row, c in enumerate(coordinates)]),
    }, {"order": order, "kind": "real", "n_coordinates": size}  # fmt: skip


def latent_path(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    keys, n = np.asarray(arrays["keys"], float), int(wanted["frames"])
    if wanted["loop"]:
        keys = np.concatenate([keys, keys[:1]])
    t = np.arange(n)[:, None] / n
    pieces = [a + t * (b - a) for a, b in pairwise(keys)]
    z = np.concatenate([*pieces, keys[-1:]])
    return {
        "z": z, "frames": decode(info, z).astype(np.float32),
        "keys_at": np.arange(0, len(z), n, dtype=np.int32),
    }, {"kind": wanted["kind"], "energy": 1.5, "length": 3.0, "linear_energy": 2.0,
        "linear_length": 3.5}  # fmt: skip


def latent_point(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size = width(info)
    mean = np.random.default_rng(3).normal(size=(1600, size))[max(int(wanted.get("index", 0)), 0)]
    given = arrays.get("x")
    shape = tuple(int(s or 1) for s in info.data.event.shape)
    x = decode(info, mean) if given is None else np.asarray(given, float).reshape(shape)
    found: Arrays = {
        "x": x.astype(np.float32), "mean": mean, "deviations": np.full(size, 0.2),
        "covariance": 0.04 * np.eye(size), "rebuilt": decode(info, mean).astype(np.float32),
    }  # fmt: skip
    k = int(wanted.get("neighbours", 0))
    if k:
        near = decode(info, mean + 0.1 * np.arange(k)[:, None])
        for name in ("latent", "pixels"):
            found |= {f"near_{name}": near.astype(np.float32), f"near_{name}_index": np.arange(k),
                      f"near_{name}_distance": 0.1 * np.arange(k)}  # fmt: skip
    return found, {"exact": True, "elbo": -12.5, "kl": 3.25}


def latent_levels(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    z = np.linspace(-1, 1, int(wanted["n"]))[:, None] * np.ones(width(info))
    return {"pictures": decode(info, z).astype(np.float32)}, {
        "level": wanted["level"], "names": ["top", "z"]}  # fmt: skip


def relaxed_draws(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    corners = np.array([[0.0, 1.0], [-0.87, -0.5], [0.87, -0.5]])
    y = np.random.default_rng(5).dirichlet(np.ones(3), int(wanted["n"]))
    values: dict[str, Value] = {"mass": 0.99, "temperature": wanted["temperature"]}
    for name in ("soft", "hard"):
        values |= {f"{name}_bias": 0.03, f"{name}_bias_error": 0.004, f"{name}_spread": 0.5}
    surface = np.full((20, 20), -np.inf, np.float32)
    surface[5:15, 5:15] = -1.0
    return {
        "places": y @ corners, "corners": corners, "probs": np.array([0.5, 0.3, 0.2]),
        "shares": np.array([0.51, 0.29, 0.2]), "log_density": surface,
        "low": np.array([-1.0, -0.75]), "high": np.array([1.0, 1.1]),
    }, values  # fmt: skip


PROBES: dict[str, Callable[[RunInfo, dict[str, Any], Arrays], Found]] = {
    f.__name__: f
    for f in (
        latent_encodings, latent_density, latent_decode, latent_lattice, latent_traverse,
        latent_path, latent_point, latent_levels, relaxed_draws,
    )
}  # fmt: skip
