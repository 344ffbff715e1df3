"""Ranges that stay put: they change only when data leave them or shrink far within them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[Any]

#: A ceiling falls only when the wanted one is below this share of it.
FALL = 0.35
#: A span shrinks only when the data fill less than this share of it.
FILL = 0.4
#: Room left on each side when a span is taken anew, as a share of the data's spread.
ROOM = 0.12
#: So many values decide a robust range.
ENOUGH = 2000
SMALLEST = 1e-30
LARGEST = 1e30


def nice_ceiling(value: float) -> float:
    """The smallest of 1, 2, 5 × 10ⁿ that is not below ``value`` (1 where it is not positive)."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    value = min(max(value, SMALLEST), LARGEST)
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1.0, 2.0, 5.0):
        if value <= factor * power * (1 + 1e-9):
            return factor * power
    return 10.0 * power


@dataclass
class StickyCeiling:
    """A scale's maximum on the 1-2-5 grid; it rises at once and falls with hysteresis."""

    value: float = 0.0

    def update(self, wanted: float) -> float:
        """Take note of the newest maximum; returns the ceiling in force."""
        if not math.isfinite(wanted) or wanted <= 0:
            return self.value or 1.0
        ceiling = nice_ceiling(wanted)
        if self.value <= 0 or ceiling > self.value or wanted < FALL * self.value:
            self.value = ceiling
        return self.value

    def reset(self) -> None:
        """Forget; the next value decides alone."""
        self.value = 0.0


@dataclass
class StickySpan:
    """The two ends of an axis, on nice numbers."""

    low: float = 0.0
    high: float = 0.0

    @property
    def is_set(self) -> bool:
        """Whether any data have been seen."""
        return self.high > self.low

    def update(self, low: float, high: float) -> tuple[float, float]:
        """Take note of the data's ends; returns the span in force."""
        if not (math.isfinite(low) and math.isfinite(high)) or high < low:
            return (self.low, self.high) if self.is_set else (0.0, 1.0)
        inside = self.is_set and self.low <= low and high <= self.high
        full = self.is_set and high - low >= FILL * (self.high - self.low)
        if not (inside and full):
            self.low, self.high = _widened(low, high)
        return self.low, self.high

    def reset(self) -> None:
        """Forget; the next data decide alone."""
        self.low = self.high = 0.0


def _widened(low: float, high: float) -> tuple[float, float]:
    spread = max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-9)
    step = nice_ceiling(spread * ROOM)
    return math.floor((low - step / 2) / step) * step, math.ceil((high + step / 2) / step) * step


def robust_ends(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Lowest and highest of finite values, leaving out a few wild ones (a first spike).

    The ends are those of the middle 98 %, widened by as much again as their spread; values within
    that stay in. NaN for none.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return math.nan, math.nan
    finite = finite[:: max(1, len(finite) // ENOUGH)]
    low, high = (float(q) for q in np.quantile(finite, (0.01, 0.99)))
    reach = high - low
    kept = finite[(finite >= low - reach) & (finite <= high + reach)]
    return float(kept.min()), float(kept.max())


def settled_ends(x: Floats, y: Floats, start: float) -> tuple[float, float]:
    """Ends of what a curve does after ``start``: its middle 96 %, and a third more on each side.

    What came before (the first steps, when a loss is still a hundred times larger) counts only
    within that third. NaN where nothing lies after ``start``.
    """
    finite = np.isfinite(y)
    settled = y[finite & (x >= start)]
    if not len(settled):
        return math.nan, math.nan
    low, high = (float(q) for q in np.quantile(settled, (0.02, 0.98)))
    room = (high - low) / 3
    return max(low - room, float(y[finite].min())), min(high + room, float(y[finite].max()))


def mass_ceiling(density: npt.NDArray[Any], share: float = 0.05) -> float:
    """The level above which ``share`` of the mass of a density lies: a maximum without spikes."""
    flat = density.ravel()
    flat = flat[np.isfinite(flat) & (flat > 0)]
    if not len(flat):
        return 0.0
    ordered = np.sort(flat)[::-1]
    mass = np.cumsum(ordered, dtype=np.float64)
    return float(ordered[int(np.searchsorted(mass, share * mass[-1]))])
