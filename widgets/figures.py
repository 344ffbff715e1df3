"""Numbers for people: a true minus, ∞, no digits beyond what is known, an error behind each."""

from __future__ import annotations

import math

from engine.wire.fields import Value

#: Digits are written down to this share of a number, however small its error is.
FINEST = 1e-4
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 4) -> str:
    """A number for people: a true minus, ∞, no digits beyond what is known."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}".replace("-", "−")


def as_float(value: Value) -> float | None:
    """A plain number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def with_error(value: float, error: float | None, digits_of_error: int = 2) -> tuple[str, str]:
    """A number with as many digits as its error allows, and "± error" ("" where there is none)."""
    if not math.isfinite(value):
        return number(value), ""
    if error is None or not math.isfinite(error) or error <= 0:
        return fixed(value, 4 if abs(value) < 10 else 1), ""
    least = max(error, FINEST * max(abs(value), 1.0))
    last = math.floor(math.log10(least) + 1e-9)
    digits = max(0, digits_of_error - 1 - last)
    if error < least:
        power = math.floor(math.log10(error))
        digit = max(1, round(error / 10.0**power))
        if digit == 10:
            digit, power = 1, power + 1
        return fixed(value, -last), f"± {digit}·10{str(power).translate(_RAISED)}"
    return fixed(value, digits), f"± {fixed(error, digits)}"


def fixed(value: float, digits: int) -> str:
    """So many digits behind the point; no minus before a zero."""
    text = f"{value:.{digits}f}"
    return (text[1:] if float(text) == 0.0 and text[0] == "-" else text).replace("-", "−")
