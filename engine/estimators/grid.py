"""Quadrature rules over boxes: midpoint nodes, tensor products, log-masses.

The midpoint rule is exact to rounding for smooth densities that vanish at the box's faces, and it
is the rule whose cells are the pixels of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """A box in data units; ``low`` and ``high`` hold one number per axis.

    Raises:
        ValueError: The two are of different length, or a side has no positive finite length.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        pairs = list(zip(self.low, self.high, strict=False))
        good = all(0.0 < high - low < float("inf") for low, high in pairs)
        if len(self.low) != len(self.high) or not pairs or not good:
            raise ValueError(
                f"box: given low {list(self.low)} and high {list(self.high)}, wanted as many "
                "finite numbers in each, every low below its high"
            )

    @property
    def dims(self) -> int:
        """The number of axes."""
        return len(self.low)


@dataclass(frozen=True)
class Axis:
    """A rule on one axis: nodes (n,) in rising order and positive weights (n,), float64."""

    nodes: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Grid:
    """A tensor-product rule; the first axis (x) runs fastest, so that rows are values of y.

    Attributes:
        axes: One rule per dimension.
        points: (n_points, dims), float64.
        weights: (n_points,), float64.
    """

    axes: tuple[Axis, ...]
    points: Tensor
    weights: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """``(W,)`` in one dimension, ``(H, W)`` in two."""
        return tuple(len(axis.nodes) for axis in reversed(self.axes))


def midpoint_axis(low: float, high: float, n: int) -> Axis:
    """The n cell centres of [low, high], each with its cell's width."""
    width = (high - low) / n
    nodes = low + width * (torch.arange(n, dtype=torch.float64) + 0.5)
    return Axis(nodes, torch.full_like(nodes, width))


def sinh_axis(low: float, high: float, n: int, *, centre: float, scale: float) -> Axis:
    r"""Midpoint nodes in t, where x = centre + scale · sinh t: dense at the centre, wide outside.

    The map is smooth, so the rule keeps the midpoint rule's accuracy; weights hold dx/dt.
    """
    ends = torch.asinh((torch.tensor([low, high], dtype=torch.float64) - centre) / scale)
    t = midpoint_axis(float(ends[0]), float(ends[1]), n)
    return Axis(centre + scale * t.nodes.sinh(), t.weights * scale * t.nodes.cosh())


def tensor_grid(axes: Sequence[Axis]) -> Grid:
    """The product of one rule per axis.

    Raises:
        ValueError: There are more than two axes.
    """
    if len(axes) == 1:
        return Grid(tuple(axes), axes[0].nodes[:, None], axes[0].weights)
    if len(axes) != 2:
        raise ValueError(f"quadrature: given {len(axes)} dimensions, wanted 1 or 2")
    x, y = axes
    n, m = len(y.nodes), len(x.nodes)
    points = torch.stack([x.nodes.repeat(n), y.nodes.repeat_interleave(m)], -1)
    return Grid(tuple(axes), points, torch.outer(y.weights, x.weights).flatten())


def midpoint_grid(box: Box, n: int) -> Grid:
    """Midpoint rule with n cells along every side of the box."""
    return tensor_grid(
        [midpoint_axis(low, high, n) for low, high in zip(box.low, box.high, strict=True)]
    )


def log_mass(log_density: Tensor, weights: Tensor) -> Tensor:
    """log ∫ exp(log_density) by a rule: (P,) and (P,) → scalar, float64, nats."""
    return torch.logsumexp(log_density.to(torch.float64) + weights.log(), 0)
