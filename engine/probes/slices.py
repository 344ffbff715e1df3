"""Conditional slices and marginals of a plane density, the model's against the truth's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import torch
from torch import Tensor

from engine.dataset import KnownDensity
from engine.estimators.density import CancellationError, log_density_of, score_points
from engine.estimators.grid import Axis, Box, log_mass, midpoint_axis, midpoint_grid
from engine.estimators.picture import window
from engine.probe import Result, View, probe
from engine.wire.fields import Value

Kind: TypeAlias = Literal["conditional", "marginal"]
#: (P, 2) points of the plane → (P,) log-density up to a constant, nats, float64.
Score: TypeAlias = Callable[[Tensor], Tensor]

AXES = ("x", "y")
SMALLEST, LARGEST = 16, 4096
LARGEST_MARGINAL = 512


class Arguments(msgspec.Struct, frozen=True):
    """A window of the plane; for conditionals the place through which both slices go."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    point: tuple[float, ...] = ()
    kind: Kind = "conditional"
    size: int = 512
    n_draws: int = 64


@dataclass(frozen=True)
class _Curve:
    """A normalised log-density over an axis's nodes, and the log of what it was divided by."""

    log_density: Tensor
    log_norm: float


@probe(summary="Conditionals or marginals of model and truth.", arguments=Arguments)
def slices(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""p(x given y = c₂) and p(y given x = c₁), or both marginals, of model and truth.

    .. math:: q(y \mid x = c) = \frac{q(c, y)}{\int q(c, y')\,dy'}, \quad
              \mathrm{KL} = \int p(y \mid c) \log \frac{p(y \mid c)}{q(y \mid c)}\,dy

    Every curve is normalised by one-dimensional quadrature over the window, so an energy needs no
    log Z. Arrays: ``x``, ``y`` (the nodes), ``model_x``, ``model_y``, and where the truth is known
    ``truth_x``, ``truth_y`` (densities per unit). Values: ``kl_x``, ``kl_y`` =
    KL(truth‖model) of the two curves in nats and ``kl_x_error``, ``kl_y_error``, the difference to
    half the nodes; ``kind`` as for a density.

    Raises:
        ValueError: The data are not two-dimensional, the point is not of two finite numbers, a
            size is out of range, or the model has no density.
    """
    box = _checked(view, arguments)
    density = log_density_of(view.model, n_draws=arguments.n_draws, seed=view.seed)

    def model(points: Tensor) -> Tensor:
        return score_points(density, view.model, points, cancelled=view.cancelled)

    with suppress(CancellationError), torch.no_grad():
        arrays: dict[str, Tensor] = {}
        kind = "quadrature" if density.kind == "energy" else density.kind
        values: dict[str, Value] = {"kind": kind, "curves": arguments.kind}
        for place, name in enumerate(AXES):
            found, numbers = _along(view, arguments, box, place, model)
            arrays |= {f"{key}_{name}" if key else name: array for key, array in found.items()}
            values |= {f"{key[:2]}_{name}{key[2:]}": value for key, value in numbers.items()}
        yield Result(arrays, values)


def _checked(view: View, arguments: Arguments) -> Box:
    if view.model.event_size != 2:
        raise ValueError(
            f"slices: given data of {view.model.event_size} dimensions, wanted 2 of them"
        )
    box = window(arguments.low, arguments.high, 2)
    most = LARGEST if arguments.kind == "conditional" else LARGEST_MARGINAL
    if not SMALLEST <= arguments.size <= most:
        raise ValueError(f"size: given {arguments.size}, wanted from {SMALLEST} to {most}")
    point = arguments.point
    good = len(point) == 2 and all(map(math.isfinite, point))
    if arguments.kind == "conditional" and not good:
        raise ValueError(f"point: given {list(point)}, wanted two finite numbers")
    return box


def _along(
    view: View, arguments: Arguments, box: Box, place: int, model: Score
) -> tuple[dict[str, Tensor], dict[str, Value]]:
    """Curves along one axis, and their divergence."""
    n = arguments.size
    axis = midpoint_axis(box.low[place], box.high[place], n)
    own = _curve(arguments, box, place, n, model)
    arrays = {"": axis.nodes, "model": own.log_density.exp()}
    if not isinstance(view.dataset, KnownDensity):
        return arrays, {}
    truth = _truth_score(view, view.dataset)
    known = _curve(arguments, box, place, n, truth)
    arrays["truth"] = known.log_density.exp()
    fine = _kl(axis, known, own)
    half = midpoint_axis(box.low[place], box.high[place], n // 2)
    coarse = _kl(half, *(_curve(arguments, box, place, n // 2, s) for s in (truth, model)))
    error = abs(fine - coarse) if math.isfinite(fine) else math.inf
    return arrays, {"kl": fine, "kl_error": error}


def _truth_score(view: View, known: KnownDensity) -> Score:
    def score(points: Tensor) -> Tensor:
        if view.cancelled():
            raise CancellationError
        return known.log_prob(points).cpu().to(torch.float64)

    return score


def _curve(arguments: Arguments, box: Box, place: int, n: int, score: Score) -> _Curve:
    axis = midpoint_axis(box.low[place], box.high[place], n)
    if arguments.kind == "conditional":
        points = axis.nodes.new_empty(n, 2)
        points[:, place] = axis.nodes
        points[:, 1 - place] = arguments.point[1 - place]
        log_density = score(points)
    else:
        grid = midpoint_grid(box, n)
        scores = score(grid.points).reshape(grid.shape)
        across = grid.axes[1 - place].weights.log()
        summed = scores + (across[:, None] if place == 0 else across[None, :])
        log_density = summed.logsumexp(0 if place == 0 else 1)
    norm = float(log_mass(log_density, axis.weights))
    if not math.isfinite(norm):
        # Nothing lies on this line: there is no conditional density to draw.
        return _Curve(torch.full_like(log_density, math.nan), norm)
    return _Curve(log_density - norm, norm)


def _kl(axis: Axis, truth: _Curve, model: _Curve) -> float:
    p, log_p, log_q = truth.log_density.exp(), truth.log_density, model.log_density
    terms = torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p))
    return float((terms * axis.weights).sum())
