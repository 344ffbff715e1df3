r"""How far a chain's stationary histogram is from exp(−E/T)/Z, by quadrature, in nats.

.. math:: \mathrm{KL}(h \,\|\, p) = \sum_c h_c \ln \frac{h_c}{p_c}, \qquad
    p_c = \int_c \frac{e^{-E(x)/T}}{Z}\, dx

Of N independent exact draws it is above 0 too, about (C − 1)/(2N) on average over C cells that all
hold many; :func:`expected_kl` is that average, and stands beside every figure. What lies above it
is the chain's bias at a finite step (Langevin), which an accepted one (MALA) has not, or a mode
that was not found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.estimators.grid import Box, midpoint_grid

#: Cells and quadrature nodes per cell on each side, by the number of axes.
CELLS = {1: 100, 2: 32}
NODES = {1: 40, 2: 8}
#: A cell that holds more draws than this is told by its variance alone.
MANY = 100.0


@dataclass(frozen=True)
class Stationary:
    """A histogram beside the law that it should have.

    Attributes:
        shares: Of points in each cell, (C,) in one dimension, (C, C) in two, rows of y; float64.
        exact: The law's mass in each cell, the same shape.
        box: What the cells fill; the outermost reach to infinity.
        kl: KL(histogram‖law) in nats, over the cells; at most that of the two laws themselves.
        floor: What as many independent exact draws would show on average.
    """

    shares: Tensor
    exact: Tensor
    box: Box
    kl: float
    floor: float

    @property
    def bias(self) -> float:
        """The part of ``kl`` that chance does not explain, nats; it may fall below 0 by chance."""
        return self.kl - self.floor


def stationary_fit(
    points: Tensor,
    energy: Callable[[Tensor], Tensor],
    box: Box,
    *,
    temperature: float = 1.0,
    cells: int | None = None,
    n_independent: float | None = None,
) -> Stationary:
    """Compare points of a chain at rest with exp(−E/T)/Z on a box that holds all of its mass.

    Args:
        points: (P, D), D = 1 or 2, as from one late step of many chains.
        energy: (B, D) float64 → (B,), nats, at T = 1.
        box: Such as that of :func:`engine.estimators.partition.log_z`.
        temperature: T.
        cells: Along each side; 100 in one dimension, 32 in two.
        n_independent: As how many independent draws the points count; ``None``: all of them.

    Raises:
        ValueError: The points do not fit the box, or an energy is not a number.
    """
    dims = box.dims
    flat = points.detach().reshape(len(points), -1).cpu().double()
    if not len(flat) or flat.shape[1] != dims or not bool(flat.isfinite().all()):
        raise ValueError(
            f"points: given shape {tuple(points.shape)}, wanted finite points of {dims} "
            "coordinates"
        )
    n = cells or CELLS[dims]
    exact = cell_masses(energy, box, n, temperature=temperature)
    shares = histogram(flat, box, n)
    seen = shares > 0.0
    kl = float((shares[seen] * (shares[seen].log() - exact[seen].log())).sum())
    return Stationary(shares, exact, box, kl, expected_kl(exact, n_independent or len(flat)))


def expected_kl(masses: Tensor, n: float) -> float:
    r"""KL(histogram‖masses) of n independent draws from masses of any shape, on average, nats.

    .. math:: \frac1n \sum_c \mathbb E\, K_c \ln \frac{K_c}{n p_c}, \qquad
        K_c \sim \mathrm{Binomial}(n, p_c)

    Cells that few draws fall into matter: an empty one counts 0, not ½. Where more than
    :data:`MANY` are expected the mean of a cell is (1 − p)/2 to a thousandth.
    """
    p = masses.flatten().double()
    p = p[p > 0.0]
    many = p * n > MANY
    few = p[~many].clamp_max(1.0)[:, None]
    k = torch.arange(1.0, min(n, MANY + 12.0 * math.sqrt(MANY)) + 1.0, dtype=torch.float64)
    log_ways = math.lgamma(n + 1.0) - torch.lgamma(k + 1.0) - torch.lgamma(n - k + 1.0)
    log_odds = k * few.log() + torch.xlogy(n - k, 1.0 - few)
    parts = ((log_ways + log_odds).exp() * k * (k / (n * few)).log()).sum()
    return float(parts + 0.5 * (1.0 - p[many]).sum()) / n


@torch.no_grad()
def cell_masses(
    energy: Callable[[Tensor], Tensor], box: Box, cells: int, *, temperature: float = 1.0
) -> Tensor:
    """exp(−E/T)/Z integrated over each cell of a box, (C,) or (C, C), float64; they sum to 1.

    Raises:
        ValueError: The energy is not a number somewhere, or −∞.
    """
    nodes = NODES[box.dims]
    grid = midpoint_grid(box, cells * nodes)
    scores = torch.cat([-energy(x) for x in torch.split(grid.points, 2**16)]).cpu().double()
    if bool(scores.isnan().any() | (scores == math.inf).any()):
        raise ValueError("the law of the chain: the energy is not a number somewhere in the box")
    logs = (scores / temperature).log_softmax(0).reshape(*[cells, nodes] * box.dims)
    return logs.logsumexp(tuple(range(1, 2 * box.dims, 2))).exp()


def histogram(points: Tensor, box: Box, cells: int) -> Tensor:
    """Shares of points (P, D) in each cell, (C,) or (C, C) in rows of y; float64.

    What lies outside the box counts for the nearest outermost cell.
    """
    index = torch.zeros(len(points), dtype=torch.int64)
    for axis in reversed(range(box.dims)):
        side = box.high[axis] - box.low[axis]
        place = ((points[:, axis] - box.low[axis]) / side * cells).floor().clamp(0, cells - 1)
        index = index * cells + place.long()
    counts = torch.bincount(index, minlength=cells**box.dims).double()
    return (counts / len(points)).reshape(*[cells] * box.dims)
