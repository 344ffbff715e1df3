"""Numbers over training steps, as the answers come in; bounded in memory."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.fields import Value
from widgets.figures import as_float

Floats: TypeAlias = npt.NDArray[Any]

DIVERGENCES = ("kl", "reverse_kl", "js", "tv", "cross_entropy")
#: Rows kept; when full, every second one of the older half goes.
CAPACITY = 4000


class Series:
    """One row per training step; a step that comes again (a finer grid, a scrub) is replaced."""

    def __init__(self, names: tuple[str, ...] = DIVERGENCES) -> None:
        self._names = names
        self._steps: list[int] = []
        self._rows: list[tuple[float, ...]] = []

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that are known, in rising order."""
        return tuple(self._steps)

    @property
    def last_step(self) -> int:
        """The highest step, −1 where there is none."""
        return self._steps[-1] if self._steps else -1

    def add(self, step: int, values: Mapping[str, Value]) -> None:
        """Take note of one answer; one without the first number is left out."""
        if as_float(values.get(self._names[0])) is None:
            return
        numbers = (as_float(values.get(name)) for name in self._names)
        row = tuple(math.nan if value is None else value for value in numbers)
        place = bisect.bisect_left(self._steps, step)
        if place < len(self._steps) and self._steps[place] == step:
            self._rows[place] = row
            return
        self._steps.insert(place, step)
        self._rows.insert(place, row)
        if len(self._steps) > CAPACITY:
            half = len(self._steps) // 2
            self._steps[:half] = self._steps[:half:2]
            self._rows[:half] = self._rows[:half:2]

    def column(self, name: str) -> tuple[Floats, Floats]:
        """Steps and values; infinite ones are NaN, which leaves a gap."""
        index = self._names.index(name)
        values = np.array([row[index] for row in self._rows], np.float64)
        values[~np.isfinite(values)] = math.nan
        return np.array(self._steps, np.float64), values

    def clear(self) -> None:
        """Forget everything."""
        self._steps, self._rows = [], []


def most_missing(stored: Sequence[int], known: Sequence[int]) -> int | None:
    """The stored step that a curve through the known ones lacks most; None where none lacks.

    It lies in the middle of the longest stretch of stored steps of which nothing is known, so a
    curve is complete in outline soon. A step counts as known where a known one is nearer to it
    than half way to the next stored step.
    """
    if not len(stored):
        return None
    steps, have = np.asarray(stored, np.float64), np.asarray(known, np.float64)
    gaps = np.diff(steps, prepend=-math.inf, append=math.inf)
    reach = np.minimum(gaps[:-1], gaps[1:]) / 2 if len(steps) > 1 else np.full(1, 0.5)
    if len(have):
        at = np.searchsorted(have, steps)
        before = np.where(at > 0, steps - have[np.maximum(at - 1, 0)], math.inf)
        after = np.where(at < len(have), have[np.minimum(at, len(have) - 1)] - steps, math.inf)
        missing = np.minimum(before, after) >= reach
    else:
        missing = np.ones(len(steps), bool)
    if not missing.any():
        return None
    start, length = _longest(missing)
    return int(stored[start + (length - 1) // 2])


def _longest(flags: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Where the longest run of true ones starts, and its length."""
    edges = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    best = int(np.argmax(ends - starts))
    return int(starts[best]), int(ends[best] - starts[best])


def at_steps(steps: Floats, known: Floats, values: Floats) -> Floats:
    """Values of a curve at other steps, on straight lines between its own; NaN beyond its ends."""
    if not len(known):
        return np.full(len(steps), math.nan)
    return np.interp(steps, known, values, left=math.nan, right=math.nan)
