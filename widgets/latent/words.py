"""How the latent panel words numbers."""

from __future__ import annotations

import math
from typing import Any

from engine.wire.fields import Value
from engine.wire.messages import Answer


def number(value: float, digits: int = 3) -> str:
    """A number as it is read aloud."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}".replace("-", "−")


def vector(values: Any, most: int = 4) -> str:
    """Such as ``(0.5, −1.2)``; long ones are cut."""
    shown = ", ".join(f"{float(value):.2f}".replace("-", "−") for value in values[:most])
    return f"({shown}{', …' if len(values) > most else ''})"


def spaced(value: Value) -> str:
    """12345 as "12 345"."""
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def no_plane(kind: str, what: str = "it has no plane") -> str:
    """Why a latent of this kind cannot be served; "" of a real or unknown one."""
    if kind in ("", "real"):
        return ""
    return f"the latent is {'binary' if kind == 'binary' else 'a ' + kind}: {what}"


def first(answer: Answer | None, name: str) -> float | None:
    """The first entry of an answer's array, or None."""
    array = None if answer is None else answer.arrays.get(name)
    return None if array is None or not len(array) else float(array[0])
