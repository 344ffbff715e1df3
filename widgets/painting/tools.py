"""The five tools as changes of dabs (x, y, σ, weight), by numpy alone.

Brush and eraser act at evenly spaced places along the stroke, spray, jitter and magnet by the time
that passes; so what a stroke leaves does not depend on how many mouse events made it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.painting import MOST_DABS, Dabs

Place: TypeAlias = tuple[float, float]
Floats: TypeAlias = npt.NDArray[Any]

TOOLS = ("brush", "spray", "eraser", "jitter", "magnet")
#: Tools that act along the stroke; the others act in time.
ALONG = ("brush", "eraser")
#: Dabs per σ of length in a thin stroke, and per σ² of area in a wide one; at most per unit of
#: radius.
PER_SIGMA, PER_AREA, MOST_PER_RADIUS = 2.0, 1.0, 60.0
#: Steps of the eraser per radius, and the share of its weight at which a dab is gone.
ERASER_STEPS, GONE = 4.0, 0.05
#: Dabs a second of the spray; speed of jitter (radii per root second) and of the magnet (1/s).
SPRAY_RATE, JITTER_SPEED, MAGNET_SPEED = 120.0, 0.5, 4.0
#: Ends of radius and σ, on a canvas of −4 … 4.
RADII, SIGMAS = (0.03, 2.0), (0.03, 1.0)
#: Irrational steps that fill a disc evenly (Roberts' R2 sequence).
R2 = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True)
class Hand:
    """How a tool is held: its reach, σ of its dabs and of its edge, its strength 0 … 1."""

    radius: float = 0.3
    sigma: float = 0.12
    strength: float = 0.5

    def scaled(self, factor: float) -> Hand:
        """The same hand on a canvas of another unit."""
        return replace(self, radius=self.radius * factor, sigma=self.sigma * factor)


@dataclass(frozen=True)
class Change:
    """Dabs (n, 4) that are no longer there, and dabs that are there instead."""

    gone: Dabs
    new: Dabs


@dataclass
class Stroke:
    """One stroke from press to release; ``dabs`` is the painting as it is now."""

    tool: str
    hand: Hand
    dabs: Dabs
    seed: int = 0
    push: bool = False
    _here: Place | None = None
    _before: Place | None = None
    _since: float = 0.0
    _count: int = 0
    _due: float = 0.0
    _fresh: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._fresh = self.dabs[:, 3].copy()

    @property
    def is_full(self) -> bool:
        """Whether no dab can be added any more."""
        return len(self.dabs) >= MOST_DABS

    def move(self, place: Place) -> list[Change]:
        """The pointer is pressed or moved."""
        start, self._here = self._here, place
        if self._before is None:
            self._before = place
        if self.tool not in ALONG:
            return []
        spots = np.array(list(self._spots(start, place))).reshape(-1, 2)
        if not len(spots):
            return []
        return [self._lay(spots)] if self.tool == "brush" else self._erase(spots)

    def tick(self, seconds: float) -> list[Change]:
        """Time passes with the pointer held down."""
        if self._here is None or self._before is None or self.tool in ALONG:
            return []
        act = {"spray": self._spray, "jitter": self._jitter, "magnet": self._pull}[self.tool]
        changes = act(seconds, self._before, self._here)
        self._before = self._here
        return changes

    # --- along the stroke ---------------------------------------------------------------------

    @property
    def _step(self) -> float:
        hand = self.hand
        if self.tool == "eraser":
            return hand.radius / ERASER_STEPS
        inner = max(0.0, hand.radius - hand.sigma)
        per_length = max(PER_SIGMA / hand.sigma, 2.0 * PER_AREA * inner / hand.sigma**2)
        return 1.0 / min(per_length, MOST_PER_RADIUS / hand.radius)

    def _spots(self, start: Place | None, stop: Place) -> Iterator[Place]:
        """Evenly spaced places on the stroke's newest piece; the rest of a step is carried on."""
        if start is None:
            yield stop
            return
        length, step = math.dist(start, stop), self._step
        travelled = step - self._since
        while travelled <= length:
            share = travelled / length
            yield tuple(a + share * (b - a) for a, b in zip(start, stop, strict=True))  # type: ignore[misc]
            travelled += step
        self._since = step - (travelled - length)

    def _lay(self, spots: Floats) -> Change:
        """One dab at each spot, moved within the brush's disc so that the ribbon is even."""
        hand = self.hand
        count = self._count + np.arange(len(spots))
        self._count += len(spots)
        inner = max(0.0, hand.radius - hand.sigma)
        r, angle = inner * np.sqrt(count * R2[0] % 1.0), 2.0 * np.pi * (count * R2[1] % 1.0)
        centres = spots + np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
        ink = hand.strength * 2.0 * max(hand.radius, hand.sigma) * self._step
        return self._add(centres, ink)

    def _erase(self, spots: Floats) -> list[Change]:
        changes = []
        for spot in spots:
            share = self.hand.strength * falloff(self.dabs, spot, self.hand)
            touched = share > 0.0
            if touched.any():
                weights = self.dabs[:, 3] * (1.0 - share).astype(np.float32)
                changes.append(self._weigh(touched, weights))
        return changes

    def _weigh(self, touched: npt.NDArray[np.bool_], weights: Floats) -> Change:
        gone = self.dabs[touched].copy()
        self.dabs = self.dabs.copy()
        self.dabs[:, 3] = weights
        left = ~touched | (weights > GONE * self._fresh)
        new = self.dabs[touched & left]
        self.dabs, self._fresh = self.dabs[left], self._fresh[left]
        return Change(gone, new)

    # --- in time ------------------------------------------------------------------------------

    def _spray(self, seconds: float, start: Place, stop: Place) -> list[Change]:
        self._due += SPRAY_RATE * seconds
        n = int(self._due)
        self._due -= n
        if not n:
            return []
        share = self._random.random((n, 1))
        path = np.array(start) + share * (np.array(stop) - np.array(start))
        centres = path + self._random.normal(size=(n, 2)) * self.hand.radius / 2.0
        ink = self.hand.strength * np.pi * self.hand.radius**2 / SPRAY_RATE
        return [self._add(centres, ink)]

    def _jitter(self, seconds: float, start: Place, stop: Place) -> list[Change]:
        reach = self.hand.strength * self.hand.radius * JITTER_SPEED * math.sqrt(seconds)
        noise = self._random.normal(size=(len(self.dabs), 2)) * reach
        return self._shift(noise * falloff(self.dabs, np.array(stop), self.hand)[:, None])

    def _pull(self, seconds: float, start: Place, stop: Place) -> list[Change]:
        near = falloff(self.dabs, np.array(stop), self.hand)
        pull = 1.0 - np.exp(-MAGNET_SPEED * self.hand.strength * seconds * near)
        way = np.array(stop) - self.dabs[:, :2]
        return self._shift((-pull if self.push else pull)[:, None] * way)

    def _shift(self, by: Floats) -> list[Change]:
        moved = (by != 0.0).any(1)
        if not moved.any():
            return []
        gone = self.dabs[moved].copy()
        self.dabs = self.dabs.copy()
        self.dabs[:, :2] += by.astype(np.float32)
        return [Change(gone, self.dabs[moved])]

    def _add(self, centres: Floats, ink: float) -> Change:
        centres = centres[: max(0, MOST_DABS - len(self.dabs))]
        n = len(centres)
        rest = np.broadcast_to([self.hand.sigma, ink], (n, 2))
        new = np.concatenate([centres, rest], axis=1).astype(np.float32)
        self.dabs = np.concatenate([self.dabs, new])
        self._fresh = np.concatenate([self._fresh, new[:, 3]])
        return Change(self.dabs[:0], new)


def falloff(dabs: Dabs, place: Floats, hand: Hand) -> Floats:
    """How strongly a tool acts on each dab (K,): 1 within its disc, falling to 0 over its edge."""
    distance = np.hypot(dabs[:, 0] - place[0], dabs[:, 1] - place[1])
    edge = min(hand.sigma, hand.radius)
    share: Floats = np.clip((hand.radius + edge / 2 - distance) / edge, 0.0, 1.0)
    return share


def dabs_at(points: Floats, sigma: float) -> Dabs:
    """One dab a point (N, 2), all of one weight; σ in units of a canvas of −4 … 4.

    Where the points fill more or less than such a canvas, σ grows or shrinks with them.
    """
    points = np.asarray(points, dtype=np.float64)
    points = points[np.isfinite(points).all(1)][:MOST_DABS]
    side = float(np.ptp(points, axis=0).max()) if len(points) else 1.0
    fits = len(points) > 0 and float(np.abs(points).max()) <= 4.0 and side > 0.8
    unit = 1.0 if fits or side <= 0.0 else side / 8.0 * 1.3
    rest = np.broadcast_to([sigma * unit, unit**2 / max(len(points), 1)], (len(points), 2))
    return np.concatenate([points, rest], axis=1).astype(np.float32)
