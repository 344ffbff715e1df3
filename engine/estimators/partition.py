r"""The partition function of an energy in one and two dimensions, by quadrature.

.. math:: \log Z = \log \int e^{-E(x)}\,dx

Sums are taken in float64; the model is evaluated in its own dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.capabilities import Energy
from engine.estimators.density import Cancelled, LogDensity, score_points
from engine.estimators.grid import Box, Grid, log_mass, midpoint_grid, sinh_axis, tensor_grid
from engine.model import GenerativeModel

#: Nodes there are at least in one dimension, where they cost nothing.
NODES_1D = 4096
#: How far, in standard deviations of the data, the search for an energy's mass reaches.
REACH = 1000.0
#: Nodes a side of that search.
SEARCH_NODES = 128
#: Cells below this share of an energy's mass lie outside its box.
CELL_SHARE = 1e-10
#: An energy with more than this share of its mass at the very edge of the search has no log Z.
EDGE_SHARE = 1e-6


@dataclass(frozen=True)
class LogZ:
    """log Z of an energy, nats: the value, its error and the box that holds the mass."""

    value: float
    error: float
    box: Box


_KNOWN: WeakKeyDictionary[GenerativeModel, tuple[tuple[object, ...], LogZ]] = WeakKeyDictionary()


def log_z(
    model: GenerativeModel,
    *,
    grid: int = 256,
    of_class: int = -1,
    cancelled: Cancelled | None = None,
) -> LogZ:
    """log Z = log ∫ exp(−E) of an energy over at most two dimensions, on the model's own box.

    The box is found in two looks: one on a grid whose spacing grows outwards to 1,000 standard
    deviations of the training data, one on even cells over what the first has found. The error is
    the difference to half the grid; it is infinite where the mass reaches the edge of the search.

    Args:
        model: With an energy.
        grid: Nodes a side of the final sum (at least 4096 in one dimension).
        of_class: The class whose energy E(x, y) it is of, where the model has such; −1: E(x).
        cancelled: Asked between chunks.

    Raises:
        ValueError: The model has no energy, D > 2, or the energy is not a number somewhere.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    if not isinstance(model, Energy):
        raise ValueError(f"log Z needs an energy; {model.card.title} has none")
    if model.event_size > 2:
        raise ValueError(
            f"log Z by quadrature: given {model.event_size} dimensions, wanted 1 or 2"
        )
    own: Energy = model

    def energy(x: Tensor) -> Tensor:
        if of_class < 0:
            return own.energy(x)
        return own.energy(x, context=torch.full((len(x),), of_class, device=x.device))

    integrate = partial(_integrate, model, energy, grid, cancelled)
    return _remembered(model, (grid, of_class), integrate)


def _integrate(
    model: GenerativeModel,
    energy: Callable[[Tensor], Tensor],
    grid: int,
    cancelled: Cancelled | None,
) -> LogZ:
    density = LogDensity("energy", "", lambda x: -energy(x))

    def score(points: Tensor) -> Tensor:
        return _checked(score_points(density, model, points, cancelled=cancelled), model)

    box, edge_share = _search_box(model, score)
    nodes = max(grid, NODES_1D) if box.dims == 1 else grid
    fine, coarse = (_log_mass_in(box, n, score) for n in (nodes, nodes // 2))
    error = abs(fine - coarse) if edge_share < EDGE_SHARE else math.inf
    return LogZ(fine, error, box)


def _remembered(
    model: GenerativeModel, asked: tuple[int, int], integrate: Callable[[], LogZ]
) -> LogZ:
    """The last result for these very weights: a pointer that hovers asks for it at each move."""
    stamp = (*asked, repr(model.config), *(_version(t) for t in model.state_dict().values()))
    known = _KNOWN.get(model)
    if known is None or known[0] != stamp:
        known = _KNOWN[model] = (stamp, integrate())
    return known[1]


def _version(weights: Tensor) -> tuple[int, int]:
    """Changes whenever the weights are written to; inference tensors count no writes."""
    return weights.data_ptr(), id(weights) if weights.is_inference() else weights._version


def _log_mass_in(box: Box, n: int, score: Callable[[Tensor], Tensor]) -> float:
    grid = midpoint_grid(box, n)
    return float(log_mass(score(grid.points), grid.weights))


def _search_box(model: GenerativeModel, score: Callable[[Tensor], Tensor]) -> tuple[Box, float]:
    """The box that holds the mass, and the share of mass at the very edge of the search."""
    location, scale = (t.cpu().to(torch.float64).tolist() for t in (model.location, model.scale))
    wide = tensor_grid(
        [
            sinh_axis(m - REACH * s, m + REACH * s, SEARCH_NODES, centre=m, scale=s)
            for m, s in zip(location, scale, strict=True)
        ]
    )
    share = _shares(wide, score)
    edge = sum(float(part[0] + part[-1]) for part in _marginals(wide, share))
    box = _tighten(wide, share)
    even = midpoint_grid(box, SEARCH_NODES)
    return _tighten(even, _shares(even, score)), edge


def _shares(grid: Grid, score: Callable[[Tensor], Tensor]) -> Tensor:
    log_cells = score(grid.points) + grid.weights.log()
    return log_cells.softmax(0).reshape(grid.shape)


def _marginals(grid: Grid, share: Tensor) -> list[Tensor]:
    """The shares of mass along each axis, x first."""
    return [share] if len(grid.axes) == 1 else [share.sum(0), share.sum(1)]


def _tighten(grid: Grid, share: Tensor) -> Box:
    """The smallest box of cells with mass, and two cells more on each side."""
    low, high = [], []
    for axis, marginal in zip(grid.axes, _marginals(grid, share), strict=True):
        found = (marginal > CELL_SHARE).nonzero().flatten()
        first, last = int(found[0]), int(found[-1])
        low.append(float(axis.nodes[first] - 2.5 * axis.weights[first]))
        high.append(float(axis.nodes[last] + 2.5 * axis.weights[last]))
    return Box(tuple(low), tuple(high))


def _checked(scores: Tensor, model: GenerativeModel) -> Tensor:
    if scores.isnan().any() or (scores == math.inf).any():
        raise ValueError(f"log Z: the energy of {model.card.title} is not a number somewhere")
    return scores
