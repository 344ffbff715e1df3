"""The figures of an evaluation in words: each with its error, its unit and what kind it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from engine.wire.fields import Value

Row: TypeAlias = tuple[str, str, str]

#: Names of numbers, how they are called, and their unit.
NATS = "nats"
FIGURES = (
    ("nll", "nll, held-out −log p(x)", NATS),
    ("accuracy", "accuracy, right classes", ""),
    ("entropy", "entropy H of the truth", NATS),
    ("bits_per_dim", "bits per dimension", "bits"),
    ("kl", "KL(truth‖model)", NATS),
    ("reverse_kl", "KL(model‖truth)", NATS),
    ("js", "Jensen–Shannon", NATS),
    ("tv", "total variation", ""),
    ("cross_entropy", "cross-entropy", NATS),
    ("outside", "model's mass where the truth is 0", ""),
    ("missed", "truth's mass where the model is 0", ""),
    ("mass", "mass in the window", ""),
    ("tail", "mass beyond the window", ""),
    ("total", "mass in all", ""),
)
SCORES = (
    ("energy_distance", "energy distance"),
    ("mmd", "MMD²"),
    ("sliced_wasserstein", "sliced Wasserstein-1"),
)
#: Masses that are only worth a row where there is any.
WHERE_ANY = ("outside", "missed")
KINDS = {
    "exact": "exact (quadrature)",
    "quadrature": "exact (quadrature, log Z too)",
    "bound": "upper bound",
    "estimate": "estimate",
    "share": "share of the split; standard error",
    "none": "",
}
STATES = {
    "whole": "1 within its error",
    "off": "NOT 1: this is no density",
    "unsure": "too uncertain to tell",
    "below": "below 1, as a bound may be",
    "none": "",
}


def figure_rows(values: Mapping[str, Value]) -> list[Row]:
    """(figure, value ± error with unit, what it is) of all that is known."""
    rows = [_first(values)]
    for name, title, unit in FIGURES:
        value = values.get(name)
        if isinstance(value, float) and not (name in WHERE_ANY and value == 0.0):
            error = values.get(f"{name}_error")
            rows.append((title, _number(value, error, unit), _kind(name, values)))
    for name, title in SCORES:
        value = values.get(name)
        if isinstance(value, float):
            rows.append((title, _number(value, None, ""), _band(name, values)))
    reason = values.get("reason")
    return [*rows, ("", "", reason)] if isinstance(reason, str) and reason else rows


def _first(values: Mapping[str, Value]) -> Row:
    return "observations", str(values.get("n", "")), str(values.get("label", ""))


def _number(value: float, error: Value, unit: str) -> str:
    text = "∞" if value == math.inf else f"{value:.4f}".replace("-", "−")
    if isinstance(error, float) and math.isfinite(value):
        text += f" ± {error:.2g}"
    return f"{text} {unit}".rstrip()


def _kind(name: str, values: Mapping[str, Value]) -> str:
    if name == "nll":
        bound = "upper bound; " if values.get("kind") == "bound" else ""
        return f"{bound}standard error of the mean"
    if name == "bits_per_dim":
        bound = "upper bound; " if values.get("kind") == "bound" else ""
        return bound + str(values.get("bits_label", ""))
    if name == "total":
        return STATES.get(str(values.get("mass_state", "")), "")
    if name == "tail":
        return str(values.get("tail_label", ""))
    return KINDS.get(str(values.get(f"{name}_kind", "none")), "")


def _band(name: str, values: Mapping[str, Value]) -> str:
    low, high = values.get(f"{name}_low"), values.get(f"{name}_high")
    if not (isinstance(low, float) and isinstance(high, float)):
        return "estimate"
    n = values.get("n")
    return f"estimate; a perfect sampler at n = {n}: {low:.4f} … {high:.4f}".replace("-", "−")
