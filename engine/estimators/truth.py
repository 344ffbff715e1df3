"""Where the mass of a known density lies: a span per axis, found from draws and from its tails."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.dataset import Dataset, KnownDensity

#: Draws that show where the mass is; the seed is fixed, so the span is too.
N_DRAWS = 20_000
SEED = 20_240
#: The density at a face must lie this many nats below the highest of the draws.
DEPTH = 25.0
#: Points on a face.
FACE_POINTS = 1024
#: A range of more than so many interquartile ranges counts as heavy-tailed.
HEAVY = 16.0
#: A face moves outwards by this share of the range at a time, at most so often.
STRIDE = 0.05
N_STRIDES = 80
N_BISECTIONS = 60


@dataclass(frozen=True)
class AxisSpan:
    """The span of one coordinate: its ends, its median and half its interquartile range.

    ``heavy`` says that evenly spaced nodes would waste most of themselves on the tails.
    """

    low: float
    high: float
    centre: float
    spread: float

    @property
    def heavy(self) -> bool:
        """Whether the range is large against the middle half of the mass."""
        return self.high - self.low > HEAVY * 2.0 * self.spread


@torch.no_grad()
def truth_spans(dataset: Dataset) -> tuple[AxisSpan, ...]:
    """One span per coordinate such that the truth's mass outside their product is negligible.

    Faces move outwards until the density on them is e⁻²⁵ of the highest found; where the truth
    ends sharply, its edge is found by bisection, so that a grid can end there too.

    Raises:
        ValueError: The density is unknown or has more than two dimensions.
    """
    size = math.prod(dataset.event_shape)
    if not isinstance(dataset, KnownDensity):
        raise ValueError("truth: given data of unknown density, wanted a known one")
    if size > 2:
        raise ValueError(f"truth: given {size} dimensions, wanted 1 or 2")
    generator = torch.Generator().manual_seed(SEED)
    points = dataset.sample(N_DRAWS, generator=generator).cpu().to(torch.float64)
    floor = float(dataset.log_prob(points).max()) - DEPTH
    flat = points.reshape(N_DRAWS, size)
    return tuple(_span(_Tails(dataset, flat, axis, floor)) for axis in range(size))


@dataclass(frozen=True)
class _Tails:
    truth: KnownDensity
    points: Tensor
    axis: int
    floor: float

    def peak(self, value: float) -> float:
        """The highest log-density on the face where the coordinate has this value."""
        size = self.points.shape[1]
        if size == 1:
            return float(self.truth.log_prob(torch.full((1, 1), value, dtype=torch.float64))[0])
        other = self.points[:, 1 - self.axis]
        low, high = float(other.min()), float(other.max())
        margin = 0.25 * (high - low)
        along = torch.linspace(low - margin, high + margin, FACE_POINTS, dtype=torch.float64)
        face = torch.full((FACE_POINTS, 2), value, dtype=torch.float64)
        face[:, 1 - self.axis] = along
        return float(self.truth.log_prob(face).max())


def _span(tails: _Tails) -> AxisSpan:
    column = tails.points[:, tails.axis]
    low, high = float(column.min()), float(column.max())
    quarter, centre, three = torch.quantile(
        column, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    ).tolist()
    stride = STRIDE * (high - low)
    return AxisSpan(
        _face(tails, low, -stride), _face(tails, high, stride), centre, (three - quarter) / 2.0
    )


def _face(tails: _Tails, inside: float, stride: float) -> float:
    for _ in range(N_STRIDES):
        outside = inside + stride
        peak = tails.peak(outside)
        if peak == -math.inf:
            return _edge(tails, inside, outside)
        if peak < tails.floor:
            return outside
        inside = outside
    return inside


def _edge(tails: _Tails, inside: float, outside: float) -> float:
    """Where a bounded support ends, by bisection."""
    for _ in range(N_BISECTIONS):
        middle = 0.5 * (inside + outside)
        if tails.peak(middle) == -math.inf:
            outside = middle
        else:
            inside = middle
    return outside
