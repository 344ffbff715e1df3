"""What the probes of pictures through a flow answer, made by numpy: a flow that halves values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.wire.fields import Value
from engine.wire.messages import RunInfo

Arrays = dict[str, Any]
Found = tuple[Arrays, dict[str, Value]]


def shape_of(info: RunInfo) -> tuple[int, ...]:
    return tuple(int(side or 1) for side in info.data.event.shape)


def flow_pictures(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """Three columns: 0, half of the values, all of them."""
    size, n = info.data.event.size, int(wanted["n"])
    random = np.random.default_rng(int(wanted["seed"]))
    noise = wanted["temperature"] * random.random((n, 1, size))
    masks = np.stack([np.arange(size) < share for share in (0, size // 2, size)])
    values: dict[str, Value] = {
        "kept": [0, size // 2, size], "temperature": wanted["temperature"],
    }  # fmt: skip
    pictures = (noise * masks).reshape(n, 3, *shape_of(info))
    return {"pictures": pictures.astype(np.float32)}, values


def flow_between(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    keys, n = np.asarray(arrays["events"], np.float64), int(wanted["frames"])
    t = np.arange((len(keys) - 1) * n + 1) / n
    at = np.arange(len(keys))
    way = np.stack([np.interp(t, at, column) for column in keys.T], 1)
    values: dict[str, Value] = {
        "kind": wanted["kind"], "round_trip": 2e-7, "usual_norm": info.data.event.size**0.5,
    }  # fmt: skip
    found = {
        "frames": way.reshape(len(t), *shape_of(info)).astype(np.float32),
        "norms": np.linalg.norm(way, axis=1),
        "keys_at": np.arange(0, len(t), n, dtype=np.int32),
    }
    return found, values


def flow_attribute(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    event = np.asarray(arrays["event"], np.float64)
    a = np.array(wanted["multiples"])[:, None]
    pictures = (event + 0.2 * a).reshape(len(a), *shape_of(info)).astype(np.float32)
    values: dict[str, Value] = {
        "norm": 2.5, "n_positive": 104, "n_negative": 200, "coordinate": 0.25,
    }  # fmt: skip
    return {"pictures": pictures, "direction": np.full(len(event), 0.2)}, values


def flow_likelihood(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size = info.data.event.size
    assert np.asarray(arrays["event"]).size == size
    bound = info.data.event.levels is not None
    terms = ["log p(z), scale 2", "log p(z), scale 1", "scale 1: coupling", "standardise"]
    numbers, errors = [-60.0, -40.0, 55.5, -12.5], [0.5, 0.4, 0.0, 0.0]
    if bound:
        terms, numbers = [*terms, "logit", "dequantise"], [*numbers, 6.0, 0.0]
        errors = [*errors, 0.7, 0.0]
    values: dict[str, Value] = {
        "kind": "bound" if bound else "exact", "log_prob": sum(numbers), "error": 0.3 * bound,
        "residual": 0.0, "terms": terms, "term_values": numbers, "term_errors": errors,
        "term_words": [""] * len(terms), "size": size,
        "bits": -sum(numbers) / (size * np.log(2.0)) + (0.0 if bound else np.log2(17.0)),
        "bits_label": "bits/dim of 17 levels", "bits_offset": 0.0 if bound else np.log2(17.0),
    }  # fmt: skip
    return {}, values


PROBES: dict[str, Callable[[RunInfo, dict[str, Any], Arrays], Found]] = {
    function.__name__: function
    for function in (flow_pictures, flow_between, flow_attribute, flow_likelihood)
}
