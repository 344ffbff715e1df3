"""Answers in words: chips that say what kind of number is seen, rows for the inspector."""

from __future__ import annotations

from collections.abc import Mapping

from engine.wire.fields import Value
from widgets.controls.chips import Chip
from widgets.figures import as_float as as_float
from widgets.figures import number as number
from widgets.look import Palette
from widgets.panel import Pointed
from widgets.truth.words import mass_chip

KINDS = {
    "exact": ("exact", "The model's log-density, computed exactly"),
    "bound": ("lower bound", "An importance-weighted lower bound: the true log p(x) is higher"),
    "quadrature": ("normalised by quadrature", "exp(−E(x)) divided by its integral over a box"),
    "critic": ("critic, not a density", "The critic's judgement; the generator has no density"),
    "energy": ("not normalised", "−E(x) without the constant log Z"),
}
#: What the number at a point is called.
SYMBOLS = {
    "exact": "log p(x)",
    "bound": "log p(x) ≥",
    "quadrature": "log p(x)",
    "critic": "critic",
    "energy": "−E(x)",
}


def density_chips(values: Mapping[str, Value], palette: Palette) -> tuple[Chip, ...]:
    """Kind, the mass badge, log Z, contours."""
    kind = str(values.get("kind", ""))
    text, tooltip = KINDS.get(kind, (kind, ""))
    label, note = str(values.get("label", "")), str(values.get("note") or "")
    full = ". ".join(words.rstrip(".") for words in (label, tooltip, note) if words)
    chips = [Chip(text, full, palette.model, "dot", framed=True)] if text else []
    if "slice" in label:
        chips.append(Chip("slice at the mean", note, framed=True))
    chips += _mass_chips(values, palette) + _log_z_chips(values)
    masses = values.get("contour_masses")
    if isinstance(masses, list) and masses:
        shares = ", ".join(f"{100 * float(m):.0f}" for m in masses)
        words = "Each contour encloses the smallest region that holds this share of the mass"
        chips.append(Chip(f"contours {shares} %", words, framed=True))
    return tuple(chips)


def _mass_chips(values: Mapping[str, Value], palette: Palette) -> list[Chip]:
    badge = mass_chip(values, palette)
    if badge is not None:
        return [badge]
    mass = as_float(values.get("mass"))
    if mass is None:
        return []
    words = "Integral of the model's density over the visible window; 1 if all of it is in view"
    return [Chip(f"mass in view {mass:.3f}", words, framed=True)]


def _log_z_chips(values: Mapping[str, Value]) -> list[Chip]:
    log_z, error = as_float(values.get("log_z")), as_float(values.get("log_z_error"))
    if log_z is None:
        return []
    spread = f" ± {number(error, 1)}" if error is not None else ""
    words = "log of ∫ exp(−E(x)) dx by quadrature; the error is that of halving the grid"
    return [Chip(f"log Z = {number(log_z)}{spread} nats", words, framed=True)]


def quick_reading(names: tuple[str, ...], point: tuple[float, ...], kind: str,
                  value: float | None, unit: str = "nats") -> Pointed:  # fmt: skip
    """The nearest grid value, at once."""
    rows = [(name, number(where)) for name, where in zip(names, point, strict=False)]
    symbol = SYMBOLS.get(kind, "value")
    if value is None:
        return Pointed("Outside the grid", tuple(rows))
    return Pointed(f"{symbol} ≈ {number(value)} {unit}".rstrip(), tuple(rows))


def exact_reading(
    names: tuple[str, ...], point: tuple[float, ...], values: Mapping[str, Value]
) -> Pointed:
    """The number at a point with the terms that add up to it."""
    total = as_float(values.get("log_prob"))
    unit = str(values.get("unit") or "")
    symbol = SYMBOLS.get(str(values.get("kind", "")), "value")
    rows = [(name, number(where)) for name, where in zip(names, point, strict=False)]
    terms, amounts = values.get("terms"), values.get("term_values")
    if isinstance(terms, list) and isinstance(amounts, list):
        rows += [(str(t), number(float(v))) for t, v in zip(terms, amounts, strict=False)]
    error = as_float(values.get("error"))
    if error is not None and error > 0:
        name = "standard error" if values.get("kind") == "bound" else "error of log Z"
        rows.append((name, number(error, 2)))
    if total is None:
        return Pointed(symbol, tuple(rows))
    joint = " " if symbol.endswith("≥") else " = "
    return Pointed(f"{symbol}{joint}{number(total, 5)} {unit}".rstrip(), tuple(rows))
