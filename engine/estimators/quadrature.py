r"""KL(truth‖model) by quadrature in one and two dimensions.

.. math:: \mathrm{KL}(p \| q) = \int p(x)\,\bigl(\log p(x) - \log q(x)\bigr)\,dx

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

from engine.dataset import Dataset, KnownDensity
from engine.estimators.density import (
    Cancelled,
    LogDensity,
    log_density_of,
    score_points,
)
from engine.estimators.grid import (
    Axis,
    Grid,
    midpoint_axis,
    sinh_axis,
    tensor_grid,
)
from engine.estimators.partition import NODES_1D, LogZ, log_z
from engine.estimators.truth import AxisSpan, truth_spans
from engine.model import GenerativeModel

#: Truth of less total mass than this is not worth an evaluation of the model.
NEGLIGIBLE = 1e-12
#: Nodes a side for a bound: its draws, not the grid, set its error, and each costs many passes.
BOUND_NODES = 128
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
        grid: Nodes a side (at least 4096 in one dimension; at most 128 for a bound in two).
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
    nodes = _n_nodes(grid, len(spans), density.kind)
    fine, coarse = (_kl_sum(_truth_cells(dataset, spans, n), score) for n in (nodes, nodes // 2))
    return _estimate(fine + offset, coarse + offset, offset_error, density, n_draws)


def _n_nodes(grid: int, dims: int, kind: str) -> int:
    if kind == "bound":
        return max(grid, NODES_1D // 4) if dims == 1 else min(grid, BOUND_NODES)
    return max(grid, NODES_1D) if dims == 1 else grid


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
    log_p = dataset.log_prob(grid.points).cpu().to(torch.float64)
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


__all__ = ["Estimate", "LogZ", "kl_divergence", "log_z"]
