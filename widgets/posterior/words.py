"""How the posterior panel words numbers and units."""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.wire.fields import Value
from widgets.figures import as_float, fixed, number, with_error

#: Errors below this share of a number are left out.
NEGLIGIBLE = 1e-6
#: What is said of each kind of log p(x).
KIND_WORDS = {
    "exact": "exact",
    "quadrature": "by quadrature",
    "estimate": "importance-weighted estimate",
}


def spaced(value: int) -> str:
    """12345 as "12 345"."""
    return f"{value:,}".replace(",", " ")


def unit_name(latent: str, index: int, total: int) -> str:
    """A unit by name, counted from 1: "z₂"; the latent's own name where it has only one."""
    if total == 1:
        return latent
    return latent + "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(index + 1))


def value_name(latent: str, index: int, n_units: int, levels: int) -> str:
    """A value of a code, counted from 1; of several codes side by side "z₂ = 3"."""
    if levels < 1 or n_units <= levels:
        return f"{index + 1}"
    return f"{unit_name(latent, index // levels, n_units)} = {index % levels + 1}"


def plain(value: float | None, error: float | None = None) -> str:
    """A number with its error: "−3.42 ± 0.05"; an error too small to matter is left out."""
    if value is None or math.isnan(value):
        return "not a number"
    if not error or not error > NEGLIGIBLE * max(abs(value), 1.0):
        return fixed(value, 3 if abs(value) < 100 else 1) if abs(value) < 1e5 else number(value)
    words, spread = with_error(value, error, 1)
    return f"{words} {spread}".rstrip()


def nats(value: float | None, error: float | None = None) -> str:
    """The same with its unit."""
    return f"{plain(value, error)} nats"


def figure(values: Mapping[str, Value], name: str) -> float | None:
    """A plain number of an answer."""
    return as_float(values.get(name))


def numbers(values: Mapping[str, Value], name: str) -> tuple[float, ...]:
    """A list of numbers of an answer."""
    given = values.get(name)
    return tuple(float(v) for v in given) if isinstance(given, list) else ()


def names(values: Mapping[str, Value], name: str) -> tuple[str, ...]:
    """A list of words of an answer."""
    given = values.get(name)
    return tuple(str(v) for v in given) if isinstance(given, list) else ()
