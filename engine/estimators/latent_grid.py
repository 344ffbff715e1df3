r"""The true posterior over one or two real latents, by quadrature on a window that finds itself.

.. math::
    p(z \mid x) = \frac{p(x \mid z)\, p(z)}{\int p(x \mid z)\, p(z)\, dz}

The window begins where the prior's draws lie and closes in on what is within some forty nats of
the peak, round by round, so that a posterior a thousand times narrower than the prior is resolved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from engine.estimators.density import CancellationError, Cancelled
from engine.estimators.grid import Box, Grid, log_mass, midpoint_grid

#: Nodes a side while the window is looked for, and of the final rule in one and two dimensions.
SEARCH_NODES = {1: 1024, 2: 96}
NODES = {1: 2048, 2: 192}
#: With a larger error than this the rule is taken once more with twice the nodes.
ROUGH = 1e-4
#: What lies so many nats below the peak holds no mass worth keeping.
DEPTH = 40.0
#: The window is drawn where it lies so many nats below the peak.
SHOWN_DEPTH = 9.0
MOST_ROUNDS = 8
#: A window that keeps this share of its sides is settled.
SETTLED = 0.8
#: Rows scored at once.
CHUNK = 4096

#: log p(x, z) of (P, Z), (P,).
LogJoint: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LatentGrid:
    """The true posterior of one event.

    Attributes:
        grid: The rule over the window.
        log_posterior: (P,), log p(z given x) at its nodes, nats per unit of z.
        log_prob: log p(x), nats.
        error: abs difference of log p(x) to the rule with every second cell, plus the mass that
            touches the window's edge.
        peak: (Z,), the node with the highest density.
        mean, covariance: (Z,) and (Z, Z), the posterior's moments.
        edge_mass: Share of the mass in the outermost cells: 0 when nothing is cut off.
        shown: The part of the window that is worth drawing.
    """

    grid: Grid
    log_posterior: Tensor
    log_prob: float
    error: float
    peak: Tensor
    mean: Tensor
    covariance: Tensor
    edge_mass: float
    shown: Box


@torch.no_grad()
def latent_grid(
    log_joint: LogJoint, start: Box, *, nodes: int = 0, cancelled: Cancelled | None = None
) -> LatentGrid:
    """Normalise a joint over one or two latents.

    Args:
        log_joint: log p(x, z) for a fixed x, of (P, Z) float64.
        start: Where the latents may lie: some prior standard deviations around its mean.
        nodes: Nodes a side of the final rule; 0 for the usual number.
        cancelled: Asked between chunks.

    Raises:
        ValueError: The joint is nowhere finite in the window, or there are more than two latents.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    box = _closed_in(log_joint, start, cancelled)
    n = nodes or NODES[box.dims]
    grid = midpoint_grid(box, n)
    scores = _scored(log_joint, grid, cancelled)
    if not nodes and _halving_error(scores, grid) > ROUGH:
        grid = midpoint_grid(box, 2 * n)
        scores = _scored(log_joint, grid, cancelled)
    log_prob = float(log_mass(scores, grid.weights))
    log_posterior = scores - log_prob
    mass = log_posterior.exp() * grid.weights
    edge = float(mass.reshape(grid.shape)[_edge(grid.shape)].sum())
    mean = (mass[:, None] * grid.points).sum(0)
    centred = grid.points - mean
    covariance = (mass[:, None] * centred).T @ centred
    return LatentGrid(
        grid,
        log_posterior,
        log_prob,
        _halving_error(scores, grid) + edge,
        grid.points[int(scores.argmax())],
        mean,
        covariance,
        edge,
        _window(grid, scores, float(scores.max()) - SHOWN_DEPTH),
    )


def _closed_in(log_joint: LogJoint, box: Box, cancelled: Cancelled | None) -> Box:
    """Close in until the window keeps its size; grow first where the mass touches its edge."""
    for _ in range(MOST_ROUNDS):
        grid = midpoint_grid(box, SEARCH_NODES[box.dims])
        scores = _scored(log_joint, grid, cancelled)
        if not bool(scores.isfinite().any()):
            raise ValueError("posterior: p(x, z) is zero wherever the prior has mass")
        table = scores.reshape(grid.shape)
        # Where cells are wider than the peak, the peak itself may lie this far above its cell.
        steep = _steepness(table)
        kept = _window(grid, scores, float(scores.max()) - DEPTH - steep)
        shares = [
            (b - a) / (d - c)
            for a, b, c, d in zip(kept.low, kept.high, box.low, box.high, strict=True)
        ]
        box = kept
        if min(shares) > SETTLED:
            break
    return box


def _steepness(table: Tensor) -> float:
    """How far the highest cell of a table stands above its lowest neighbour, nats."""
    place = torch.unravel_index(table.argmax(), table.shape)
    around = tuple(slice(max(int(i) - 1, 0), int(i) + 2) for i in place)
    near = table[around]
    near = near[near.isfinite()]
    return min(float(near.max() - near.min()), 1e6)


def _window(grid: Grid, scores: Tensor, least: float) -> Box:
    """The box of the nodes above a level, with two cells of room on each side (as far as asked).

    It may be larger than the grid where nodes at the edge are above the level.
    """
    points = grid.points[scores >= least]
    steps = [float(axis.nodes[1] - axis.nodes[0]) for axis in grid.axes]
    low, high = points.amin(0), points.amax(0)
    return Box(
        tuple(float(v) - 2.0 * s for v, s in zip(low, steps, strict=True)),
        tuple(float(v) + 2.0 * s for v, s in zip(high, steps, strict=True)),
    )


def _halving_error(scores: Tensor, grid: Grid) -> float:
    """abs difference of log p(x) to the rule with every second node, whose cells are wider."""
    every_second = tuple(slice(None, None, 2) for _ in grid.shape)
    table = scores.reshape(grid.shape)[every_second].flatten()
    weights = 2.0 ** len(grid.shape) * grid.weights.reshape(grid.shape)[every_second].flatten()
    return abs(float(log_mass(table, weights)) - float(log_mass(scores, grid.weights)))


def _edge(shape: tuple[int, ...]) -> Tensor:
    inner = torch.zeros(shape, dtype=torch.bool)
    inner[tuple(slice(1, -1) for _ in shape)] = True
    return ~inner


def _scored(log_joint: LogJoint, grid: Grid, cancelled: Cancelled | None) -> Tensor:
    found = []
    for piece in torch.split(grid.points, CHUNK):
        if cancelled is not None and cancelled():
            raise CancellationError
        found.append(log_joint(piece).double())
    scores = torch.cat(found)
    return torch.where(scores.isnan(), -torch.inf, scores)
