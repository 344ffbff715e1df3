r"""A grid over two densities at once: fine where the truth lies, ever wider out to the model.

Each axis has an inner part, the truth's own rule, and on each side an outer part

.. math:: x = x_{\text{end}} \pm L \sinh t

with midpoint nodes in t, where L is chosen so that the first outer cell is as wide as the last
inner one. The cells grow smoothly, so a model that is a thousand times wider than the truth costs
no more than one of its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.estimators.grid import Axis, Grid, midpoint_axis, sinh_axis, tensor_grid
from engine.estimators.truth import AxisSpan

#: Outer nodes on each side, as a share of the inner ones.
OUTER_SHARE = 1 / 8
#: Fewest outer nodes on each side.
FEWEST = 8
#: The reach beyond the box, in its own sides, is a power of two between these.
NEAREST, FARTHEST = 0.5, 4096.0
#: Rounds in which L is found; each cuts its error by more than half.
ROUNDS = 40


@dataclass(frozen=True)
class WideGrid:
    """A tensor grid, and which of its points (P,) lie in the inner box."""

    grid: Grid
    inside: Tensor


def spans_of_box(low: tuple[float, ...], high: tuple[float, ...]) -> tuple[AxisSpan, ...]:
    """Even spans, for data whose truth is unknown."""
    return tuple(
        AxisSpan(a, b, 0.5 * (a + b), 0.25 * (b - a)) for a, b in zip(low, high, strict=True)
    )


def spans_of_data(dataset: Dataset) -> tuple[AxisSpan, ...]:
    """The box of the data with its margin, for data whose truth is unknown."""
    info = dataset.info()
    return spans_of_box(info.low, info.high)


def rounded_reach(overhang: float) -> float:
    """The reach for a model that hangs over the box by so many of its sides, with room to spare.

    Powers of two, so that the grid (and what is known of the truth on it) stays the same while
    the model moves a little.
    """
    if not math.isfinite(overhang):
        return FARTHEST
    wanted = 2.0 * max(overhang, NEAREST / 2.0)
    return float(min(max(2.0 ** math.ceil(math.log2(wanted)), NEAREST), FARTHEST))


def wide_grid(spans: tuple[AxisSpan, ...], n: int, reach: float) -> WideGrid:
    """A grid of about (1 + 2/8)·n nodes a side.

    Args:
        spans: The inner box, one span per axis (one or two).
        n: Inner nodes a side.
        reach: How far the outer parts go beyond each face, in sides of the box.

    Raises:
        ValueError: There are more than two axes.
    """
    n_outer = max(FEWEST, round(n * OUTER_SHARE))
    grid = tensor_grid([_wide_axis(span, n, n_outer, reach) for span in spans])
    return WideGrid(grid, _inside(n, n_outer, len(spans)))


def _inside(n: int, n_outer: int, dims: int) -> Tensor:
    flags = torch.zeros(n + 2 * n_outer, dtype=torch.bool)
    flags[n_outer : n_outer + n] = True
    return flags if dims == 1 else torch.outer(flags, flags).flatten()


def truth_axis(span: AxisSpan, n: int) -> Axis:
    """The inner rule: even cells, or cells that widen with a heavy tail."""
    if span.heavy:
        return sinh_axis(span.low, span.high, n, centre=span.centre, scale=span.spread)
    return midpoint_axis(span.low, span.high, n)


def _wide_axis(span: AxisSpan, n: int, n_outer: int, reach: float) -> Axis:
    inner = truth_axis(span, n)
    far = reach * (span.high - span.low)
    left, left_weights = _outer(float(inner.weights[0]), n_outer, far)
    right, right_weights = _outer(float(inner.weights[-1]), n_outer, far)
    return Axis(
        torch.cat([span.low - left.flip(0), inner.nodes, span.high + right]),
        torch.cat([left_weights.flip(0), inner.weights, right_weights]),
    )


def _outer(width: float, n: int, far: float) -> tuple[Tensor, Tensor]:
    """Distances from the face and weights of n cells out to ``far``, the first one so wide."""
    if n * width >= far:
        cells = midpoint_axis(0.0, far, n)
        return cells.nodes, cells.weights
    scale = far
    for _ in range(ROUNDS):
        scale = n * width / math.asinh(far / scale)
    t = midpoint_axis(0.0, math.asinh(far / scale), n)
    return scale * t.nodes.sinh(), t.weights * scale * t.nodes.cosh()
