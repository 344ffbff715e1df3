"""What the probes of pixels answer, made by numpy: rows of a fixed conditional, drawn in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.wire.fields import Value
from engine.wire.messages import RunInfo

Arrays = dict[str, Any]
Found = tuple[Arrays, dict[str, Value]]


def size_of(info: RunInfo) -> int:
    return info.data.event.size


def levels_of(info: RunInfo) -> int:
    return info.data.event.levels or 0


def draws(info: RunInfo, n: int, seed: int) -> Any:
    """Pictures (N, D) that the same seed gives again."""
    random = np.random.default_rng(seed)
    u = random.random((n, size_of(info)))
    levels = levels_of(info)
    return np.floor(u * levels).astype(np.uint8) if levels else u.astype(np.float32)


def conditional(info: RunInfo, index: int) -> Any:
    """Probabilities (levels,) that differ from value to value."""
    weights = 1.0 + np.cos(np.arange(max(levels_of(info), 2)) + index)
    return (weights / weights.sum()).astype(np.float32)


def pixel_stream(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """The whole film in one piece."""
    return piece(info, wanted, 0, size_of(info))


def piece(info: RunInfo, wanted: dict[str, Any], start: int, stop: int) -> Found:
    """Places ``start`` … ``stop`` of a film."""
    size, n = size_of(info), int(wanted["n"])
    where = np.arange(start, stop)
    values = draws(info, n, int(wanted["seed"]))
    found: Arrays = {
        "indices": where,
        "values": values[:, where],
        "entropies": np.full((n, len(where)), 0.5, np.float32),
        "log_probs": np.full((n, len(where)), -0.25, np.float32),
    }
    if levels_of(info):
        found["probabilities"] = np.stack([conditional(info, i) for i in where])
    if start == 0:
        found |= {"order": np.arange(size), "unseen": np.zeros(size, bool)}
    plain = wanted["temperature"] == wanted["top_p"] == 1.0
    labels: Value = [i % 10 for i in range(n)] if info.data.labels else []
    values_: dict[str, Value] = {
        "start": start, "total": size, "levels": levels_of(info), "exact": plain,
        "labels": labels, "n_unseen": 0,
    }  # fmt: skip
    return found, values_


def conditional_at(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    index = int(wanted["index"])
    value = float(np.asarray(arrays["picture"]).reshape(-1)[index])
    values: dict[str, Value] = {
        "entropy": 1.25, "entropy_kind": "exact", "log_prob": -2.0, "place": index,
        "value": value, "levels": levels_of(info),
    }  # fmt: skip
    if levels_of(info):
        p = conditional(info, index)
        return {"probabilities": p, "drawn_from": p}, values
    nodes = np.linspace(0.0, 1.0, 33)
    return {"nodes": nodes, "density": np.exp(-((nodes - 0.4) ** 2) * 8)}, values


def entropy_map(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    shape = info.data.event.shape
    maps = {"entropies": np.full(shape, 0.5), "surprises": np.full(shape, 0.25)}
    return maps, {"log_prob": -0.25 * size_of(info), "entropy": 0.5 * size_of(info)}


def receptive_field(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """Every second earlier value is seen."""
    size, index = size_of(info), int(wanted["index"])
    influence = np.zeros(size)
    influence[index % 2 : index : 2] = 0.5
    shape = info.data.event.shape
    seen = int((influence > 0).sum())
    values: dict[str, Value] = {
        "method": wanted["method"], "meaning": "mean |∂ parameters/∂ x_j|", "n_seen": seen,
        "n_earlier": index, "n_leaks": 0,
    }  # fmt: skip
    earlier = (np.arange(size) < index).reshape(shape)
    return {"influence": influence.reshape(shape), "earlier": earlier}, values


def attention(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    shape, index = info.data.event.shape, int(wanted["index"])
    weights = np.zeros((2, 3, size_of(info)), np.float32)
    weights[..., :index] = 1.0 / (index + 1)
    heads = np.full((2, 3), 1.0 / (index + 1), np.float32)
    found: Arrays = {
        "weights": weights.reshape(2, 3, *shape), "start": heads, "reach": heads,
        "entropies": heads, "mean": weights.mean((0, 1)).reshape(shape),
        "picture": np.asarray(arrays["picture"]),
    }  # fmt: skip
    return found, {"place": index, "n_layers": 2, "n_heads": 3, "levels": levels_of(info)}


def complete(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """Known values stay; those known ones count as unseen that follow the first hole."""
    mask = np.asarray(arrays["mask"], bool).reshape(-1)
    known = np.asarray(arrays["known"]).reshape(-1)
    drawn = draws(info, int(wanted["n"]), int(wanted["seed"]))
    drawn[:, mask] = known[mask].astype(drawn.dtype)
    first = int(np.argmin(mask)) if not mask.all() else len(mask)
    later = mask & (np.arange(len(mask)) > first)
    agnostic = bool(info.spec.model_config.get("order_agnostic")) and not wanted["own_order"]
    unseen = later & (not agnostic)
    shape = info.data.event.shape
    values: dict[str, Value] = {
        "n_unseen": int(unseen.sum()), "n_known": int(mask.sum()), "any_order": False,
        "words": "some words", "exact": not unseen.any(), "levels": levels_of(info),
        "done": len(mask), "later_log_prob": -2.0 - 3.0 * wanted["own_order"],
        "later_error": 0.25,
    }  # fmt: skip
    return {"completions": drawn.reshape(-1, *shape), "unseen": unseen.reshape(shape)}, values


def what_if(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """The next value changes with the changed one in every second future."""
    index, n, shape = int(wanted["index"]), int(wanted["n"]), info.data.event.shape
    picture = np.asarray(arrays["picture"], np.float32).reshape(-1)
    unchanged = np.repeat(picture[None], n, 0)
    changed = unchanged.copy()
    changed[:, index] = wanted["value"]
    if index + 1 < len(picture):
        changed[::2, index + 1] = wanted["value"]
    after = np.arange(len(picture)) > index
    found: Arrays = {
        "changed": changed.reshape(n, *shape), "unchanged": unchanged.reshape(n, *shape),
        "differs": (changed != unchanged).mean(0).reshape(shape),
        "descendants": after.reshape(shape),
    }  # fmt: skip
    values: dict[str, Value] = {
        "n_differ": 0.5, "place": index, "levels": levels_of(info), "done": len(picture),
    }  # fmt: skip
    return found, values


def own_samples_nll(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size = size_of(info)
    rows = {f"{k}_{c}": np.full(size, 0.3 if k == "data" else 0.2)
            for k in ("data", "own") for c in ("nll", "error", "entropy")}  # fmt: skip
    values: dict[str, Value] = {"n_data": wanted["n"], "n_own": wanted["n"], "prefix": 0}
    for name, each in (("data", 0.3), ("own", 0.2)):
        values |= {
            f"{name}_total": each * size, f"{name}_total_error": 0.5,
            f"{name}_total_entropy": each * size,
        }  # fmt: skip
    return rows | {"order": np.arange(size)}, values


def output_families(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    k = max(levels_of(info), 2)
    probs = np.stack([np.full(k, 1 / k)] * 3)
    values: dict[str, Value] = {
        "names": ["categorical", "logistic 2", "Gaussian"], "n_params": [k, 6, 2],
        "n_free": [k - 1, 5, 2], "nlls": [1.0, 1.1, -0.4],
        "kinds": ["probability", "probability", "density"], "sums": [1.0, 1.0, 0.9],
        "least": 1.0, "n_observed": 1000.0,
    }  # fmt: skip
    return {"counts": np.full(k, 10.0), "probs": probs}, values


def chain_rule_orders(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """Two values 1 and 3 of the event, in both orders."""
    levels = max(levels_of(info), 2)
    any_order = bool(info.spec.model_config.get("order_agnostic"))
    values: dict[str, Value] = {
        "worst": 3e-17, "n_orders": 2, "n_states": levels**2, "state": wanted["state"],
        "likeliest": levels + 1, "levels": levels, "of": "the data's joint over a few values",
        "indices": [1, 3], "total": 1.0,
    }  # fmt: skip
    terms = np.array([[-1.0, -0.5], [-0.25, -1.25]])
    found = {"orders": np.array([[0, 1], [1, 0]]), "log_factors": terms, "log_probs": terms.sum(1)}
    return found | ({"model_log_probs": np.array([-1.4, -1.6])} if any_order else {}), values


def order_ensemble(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    nlls = np.linspace(20.0, 21.0, int(wanted["n_orders"]))
    values: dict[str, Value] = {
        "nll": 19.5, "error": 0.25, "mean_nll": 20.5, "n": wanted["n"], "n_orders": len(nlls),
    }  # fmt: skip
    return {"nlls": nlls, "errors": np.full(len(nlls), 0.3)}, values


PROBES: dict[str, Callable[[RunInfo, dict[str, Any], Arrays], Found]] = {
    f.__name__: f
    for f in (
        pixel_stream, conditional_at, entropy_map, receptive_field, attention, complete,
        what_if, own_samples_nll, output_families, chain_rule_orders, order_ensemble,
    )
}  # fmt: skip
