r"""Quadrature in one and two dimensions: log Z of an energy and KL(truth‖model).

.. math::
    \log Z = \log \int e^{-E(x)}\,dx, \qquad
    \mathrm{KL}(p \| q) = \int p(x)\,\bigl(\log p(x) - \log q(x)\bigr)\,dx

Sums are taken in float64; the model is evaluated in its own dtype. Every estimate carries the
difference to the same sum on a grid of half as many nodes per side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.capabilities import Energy
from engine.dataset import Dataset, KnownDensity
from engine.estimators.density import (
    Cancelled,
    LogDensity,
    log_density_of,
    score_points,
)
from engine.estimators.grid import (
    Axis,
    Box,
    Grid,
    log_mass,
    midpoint_axis,
    midpoint_grid,
    sinh_axis,
    tensor_grid,
)
from engine.estimators.truth import AxisSpan, truth_spans
from engine.model import GenerativeModel

#: Truth of less total mass than this is not worth an evaluation of the model.
NEGLIGIBLE = 1e-12
#: In one dimension nodes cost nothing, so there are at least so many.
NODES_1D = 4096
#: How far, in standard deviations of the data, the search for an energy's mass reaches.
REACH = 1000.0
#: Nodes a side of that search.
SEARCH_NODES = 192
#: Cells below this share of an energy's mass lie outside its box.
CELL_SHARE = 1e-10
#: An energy with more than this share of its mass at the very edge of the search has no log Z.
EDGE_SHARE = 1e-6
#: Grids of truth kept per data set.
CELLS_KEPT = 4


@dataclass(frozen=True)
class Estimate:
    """A number with its error, in nats.

    Attributes:
        value: The estimate.
        error: abs difference to the estimate on half the grid (plus that of log Z, if used).
        kind: ``"exact"`` density, ``"bound"`` (of a KL: an upper bound, noisy) or
            ``"quadrature"`` (an energy normalised by quadrature).
        label: One line that says what the number is.
    """

    value: float
    error: float
    kind: str = "exact"
    label: str = ""


@dataclass(frozen=True)
class LogZ:
    """log Z of an energy, nats: the value, its error and the box that holds the mass."""

    value: float
    error: float
    box: Box


_SPANS: WeakKeyDictionary[Dataset, tuple[AxisSpan, ...]] = WeakKeyDictionary()
_CELLS: WeakKeyDictionary[Dataset, dict[int, _Cells]] = WeakKeyDictionary()

# --- KL(truth || model) ------------------------------------------------------------------------


def kl_divergence(
    dataset: Dataset,
    model: GenerativeModel,
    *,
    grid: int = 512,
    n_draws: int = 32,
    cancelled: Cancelled | None = None,
) -> Estimate:
    """KL(truth‖model) in nats by quadrature over a box that holds the truth's mass.

    Where the truth is 0 the integrand is 0. A bound on log q gives an upper bound on KL, in
    expectation; an energy is normalised by :func:`log_z`. No global random state is touched.

    Args:
        dataset: With a known density over at most two dimensions.
        model: With a log-density, a bound or an energy.
        grid: Nodes a side (at least 4096 in one dimension).
        n_draws: Draws of the latents for a bound.
        cancelled: Asked between chunks.

    Raises:
        ValueError: The truth is unknown, D > 2, or the model has nothing to compare.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    spans = _truth_spans(dataset)
    density = log_density_of(model, n_draws=n_draws)
    offset, offset_error = 0.0, 0.0
    if density.kind == "energy":
        z = log_z(model, cancelled=cancelled)
        offset, offset_error = z.value, z.error
    score = _scorer(density, model, cancelled)
    nodes = max(grid, NODES_1D) if len(spans) == 1 else grid
    fine, coarse = (_kl_sum(_truth_cells(dataset, spans, n), score) for n in (nodes, nodes // 2))
    return _estimate(fine + offset, coarse + offset, offset_error, density, n_draws)


def _estimate(
    fine: float, coarse: float, extra: float, density: LogDensity, n_draws: int
) -> Estimate:
    error = abs(fine - coarse) + extra if math.isfinite(fine) else math.inf
    if density.kind == "bound":
        label = f"upper bound on KL(truth‖model), {n_draws} importance draws"
        return Estimate(fine, error, "bound", label)
    if density.kind == "energy":
        return Estimate(fine, error, "quadrature", "KL(truth‖model), log Z by quadrature")
    return Estimate(fine, error, "exact", "KL(truth‖model)")


@dataclass(frozen=True)
class _Cells:
    """Where the truth's mass lies on a grid: points (P, D), log p (P,), shares of mass (P,)."""

    points: Tensor
    log_p: Tensor
    shares: Tensor


def _kl_sum(cells: _Cells, score: Callable[[Tensor], Tensor]) -> float:
    return float((cells.shares * (cells.log_p - score(cells.points))).sum())


def _truth_cells(dataset: Dataset, spans: tuple[AxisSpan, ...], n: int) -> _Cells:
    """The cells that are not negligible; kept, since a run asks for the same ones again."""
    kept = _CELLS.setdefault(dataset, {})
    if n not in kept:
        while len(kept) >= CELLS_KEPT:
            del kept[next(iter(kept))]
        kept[n] = _find_cells(dataset, _truth_grid(spans, n))
    return kept[n]


def _find_cells(dataset: Dataset, grid: Grid) -> _Cells:
    if not isinstance(dataset, KnownDensity):
        raise ValueError("KL(truth‖model): given data of unknown density, wanted a known one")
    log_p = dataset.log_prob(grid.points).to("cpu", torch.float64)
    mass = log_p.exp() * grid.weights
    ranked, order = mass.sort()
    kept = order[ranked.cumsum(0) > NEGLIGIBLE].sort().values
    # Dividing by the truth's own mass on the grid removes most of the error at sharp edges.
    return _Cells(grid.points[kept], log_p[kept], mass[kept] / mass.sum())


def _scorer(
    density: LogDensity, model: GenerativeModel, cancelled: Cancelled | None
) -> Callable[[Tensor], Tensor]:
    return lambda points: score_points(density, model, points, cancelled=cancelled)


def _truth_spans(dataset: Dataset) -> tuple[AxisSpan, ...]:
    if dataset not in _SPANS:
        _SPANS[dataset] = truth_spans(dataset)
    return _SPANS[dataset]


def _truth_grid(spans: tuple[AxisSpan, ...], n: int) -> Grid:
    return tensor_grid([_truth_axis(span, n) for span in spans])


def _truth_axis(span: AxisSpan, n: int) -> Axis:
    if span.heavy:
        return sinh_axis(span.low, span.high, n, centre=span.centre, scale=span.spread)
    return midpoint_axis(span.low, span.high, n)


# --- log Z -------------------------------------------------------------------------------------


def log_z(model: GenerativeModel, *, grid: int = 256, cancelled: Cancelled | None = None) -> LogZ:
    """log Z = log ∫ exp(−E) of an energy over at most two dimensions, on the model's own box.

    The box is found in two looks: one on a grid whose spacing grows outwards to 1,000 standard
    deviations of the training data, one on even cells over what the first has found. The error is
    the difference to half the grid; it is infinite where the mass reaches the edge of the search.

    Args:
        model: With an energy.
        grid: Nodes a side of the final sum (at least 4096 in one dimension).
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
    energy = model

    def score(points: Tensor) -> Tensor:
        density = LogDensity("energy", "", lambda x: -energy.energy(x))
        return _checked(score_points(density, model, points, cancelled=cancelled), model)

    box, edge_share = _search_box(model, score)
    nodes = max(grid, NODES_1D) if box.dims == 1 else grid
    fine, coarse = (_log_mass_in(box, n, score) for n in (nodes, nodes // 2))
    error = abs(fine - coarse) if edge_share < EDGE_SHARE else math.inf
    return LogZ(fine, error, box)


def _log_mass_in(box: Box, n: int, score: Callable[[Tensor], Tensor]) -> float:
    grid = midpoint_grid(box, n)
    return float(log_mass(score(grid.points), grid.weights))


def _search_box(model: GenerativeModel, score: Callable[[Tensor], Tensor]) -> tuple[Box, float]:
    """The box that holds the mass, and the share of mass at the very edge of the search."""
    location, scale = (t.to("cpu", torch.float64).tolist() for t in (model.location, model.scale))
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


__all__ = ["Estimate", "LogZ", "kl_divergence", "log_z"]
