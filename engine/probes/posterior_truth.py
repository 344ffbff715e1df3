"""The true posterior of one event beside q, both gaps in nats, and q's walk to its best."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.capabilities import Bound
from engine.estimators.contours import MASSES, highest_density_levels, trace_contours
from engine.estimators.density import CancellationError
from engine.estimators.evidence import measured_elbo
from engine.estimators.gaps_by_draws import gaps_by_draws
from engine.estimators.gaussian_q import BestQ, BoundOfQ, GaussianQ, Walk, best_q, walk
from engine.estimators.latent_grid import LatentGrid, latent_grid
from engine.estimators.single_event import MOST_LATENTS, SingleEvent, moments
from engine.probe import Result, View, probe
from engine.probes.elbo_bars import EventArguments, chosen_event, label_of
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Most latents of any posterior that is looked at.
MOST_VALUES = 512
#: Most steps of the walk, and the pictures' nodes a side at most.
MOST_STEPS = 1000
DRAWN = 192
#: Draws for the bound of a q that is no Gaussian.
N_DRAWS = 2000
STARTS = ("encoder", "prior")


class Arguments(EventArguments, frozen=True):
    """One event; where q's walk begins, how many gradient steps it takes and how long they are."""

    start: str = "encoder"
    n_steps: int = 120
    learning_rate: float = 0.05


@probe(
    summary="The true posterior beside q: amortisation and approximation gap.",
    arguments=Arguments,
    needs=(Capability.BOUND, Capability.ENCODING, Capability.DECODING),
)
def posterior_truth(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""Of one event, in double precision; a picture for latents of one or two real numbers.

    .. math::
        \log p(x) - \mathcal L(q) =
        \underbrace{\log p(x) - \mathcal L(q^*)}_{\text{approximation}} +
        \underbrace{\mathcal L(q^*) - \mathcal L(q)}_{\text{amortisation}}

    q* is the highest that gradient ascent finds from several starts in q's own family (where q is
    no Gaussian: among Gaussians without correlations).

    Arrays: nodes ``x`` (W,) and, of two latents, ``y`` (H,); ``log_posterior`` (H, W) or (W,),
    log p(z given x); ``contour_points`` … of the shares ``masses``; ``q_mean`` (Z,),
    ``q_covariance`` (Z, Z), the same of ``best``; of a q that is no Gaussian ``q_draws`` (N, Z).
    In a second result the walk: ``walk_means`` (T + 1, Z), ``walk_covariances``, ``walk_elbo``.
    Values: ``log_prob``, ``error`` and ``edge_mass`` of the quadrature, ``elbo``,
    ``elbo_error``, ``best_elbo``, ``amortisation_gap``, ``approximation_gap``, all in nats,
    ``family``, ``names``, ``low`` and ``high`` of what is worth drawing, ``n_starts`` and
    ``n_agreeing``.

    More latents have no picture: ``kind`` is then ``"estimate"`` instead of ``"quadrature"``, both
    gaps come from draws with ``…_error`` (one standard error each), log p(x) is importance
    weighted with draws of q and q*, and of the arrays there is ``walk_elbo``.

    Raises:
        ValueError: The event has another shape, the latents are not real or too many, or an
            argument is out of range.
    """
    _check(arguments)
    x = chosen_event(view, arguments)
    if x is None:
        raise ValueError("posterior_truth: given no event, wanted one")
    event = SingleEvent.of(view.model, x, label_of(view, arguments), most=MOST_VALUES)
    with suppress(CancellationError):
        if event.flat.size > MOST_LATENTS:
            yield _by_draws(view, event, arguments)
            return
        grid = latent_grid(
            event.log_joint, event.room(view.generator(1)), cancelled=view.cancelled
        )
        q = _own_q(event, view)
        bound = BoundOfQ(event.log_joint, event.flat.size, diagonal=q.is_diagonal)
        best = best_q(bound, _starts(q.gaussian, grid), cancelled=view.cancelled)
        arrays = _pictures(grid) | q.arrays | _ellipse("best", best.q)
        values = _numbers(event, grid, best) | _gaps(view, event, bound, q, grid, best)
        yield Result(arrays, values, final=False)
        start = q.gaussian if arguments.start == "encoder" else _standard(event.flat.size)
        taken = walk(
            bound, start, n_steps=arguments.n_steps, learning_rate=arguments.learning_rate,
            cancelled=view.cancelled,
        )  # fmt: skip
        yield Result(arrays | _steps(taken), values | {"start": arguments.start})


def _check(arguments: Arguments) -> None:
    if arguments.start not in STARTS:
        raise ValueError(f"start: given '{arguments.start}', wanted one of {', '.join(STARTS)}")
    if not 1 <= arguments.n_steps <= MOST_STEPS:
        raise ValueError(f"n_steps: given {arguments.n_steps}, wanted 1 to {MOST_STEPS}")
    if not 0.0 < arguments.learning_rate <= 1.0:
        given = arguments.learning_rate
        raise ValueError(f"learning_rate: given {given}, wanted a number above 0, up to 1")


class _OwnQ:
    """The encoder's q: a Gaussian, or draws with the Gaussian of their moments."""

    def __init__(self, gaussian: GaussianQ, draws: Tensor | None) -> None:
        self.gaussian, self.draws = gaussian, draws

    @property
    def is_gaussian(self) -> bool:
        return self.draws is None

    @property
    def is_diagonal(self) -> bool:
        """Whether the best q is looked for among Gaussians without correlations."""
        return not self.is_gaussian or self.gaussian.is_diagonal

    @property
    def arrays(self) -> dict[str, Any]:
        found = _ellipse("q", self.gaussian)
        return found if self.draws is None else found | {"q_draws": self.draws}


def _own_q(event: SingleEvent, view: View) -> _OwnQ:
    gaussian = event.gaussian()
    if gaussian is not None:
        return _OwnQ(gaussian, None)
    draws = event.q_draws(view.generator(3))
    return _OwnQ(moments(draws), draws)


def _upright(q: GaussianQ) -> GaussianQ:
    """The same without correlations."""
    return GaussianQ(q.mean, torch.diag(q.factor.square().sum(1).sqrt()))


def _standard(size: int) -> GaussianQ:
    return GaussianQ(torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64))


def _starts(q: GaussianQ, grid: LatentGrid) -> list[GaussianQ]:
    """The encoder's q, the posterior's moments, its peak, and the prior."""
    size = len(grid.mean)
    spread = grid.covariance.diagonal().clamp_min(1e-18).sqrt()
    near = GaussianQ(grid.mean, torch.diag(spread))
    return [q, near, GaussianQ(grid.peak, torch.diag(0.5 * spread)), _standard(size)]


def _numbers(event: SingleEvent, grid: LatentGrid, best: BestQ) -> dict[str, Value]:
    return {
        "kind": "quadrature",
        "names": list(event.flat.names),
        "low": list(grid.shown.low),
        "high": list(grid.shown.high),
        "masses": list(MASSES),
        "log_prob": grid.log_prob,
        "error": grid.error,
        "edge_mass": grid.edge_mass,
        "best_elbo": best.elbo,
        "n_starts": best.n_starts,
        "n_agreeing": best.n_agreeing,
        "approximation_gap_error": grid.error,
        "approximation_gap": grid.log_prob - best.elbo,
    }


def _gaps(
    view: View, event: SingleEvent, bound: BoundOfQ, q: _OwnQ, grid: LatentGrid, best: BestQ
) -> dict[str, Value]:
    if q.is_gaussian:
        with torch.no_grad():
            elbo, error = float(bound(q.gaussian)), 0.0
    else:
        elbo, error = _own_elbo(view, event)
    return {
        "elbo": elbo,
        "elbo_error": error,
        "amortisation_gap": best.elbo - elbo,
        "amortisation_gap_error": error,
        "gap": grid.log_prob - elbo,
        "family": _family(bound.diagonal),
        "is_gaussian": q.is_gaussian,
    }


def _own_elbo(view: View, event: SingleEvent) -> tuple[float, float]:
    """L of the encoder's q by its own draws, and one standard error."""
    if not isinstance(event.model, Bound):
        raise ValueError(f"{event.model.card.title} has no bound")
    measured = measured_elbo(
        event.model, event.x, n_draws=N_DRAWS, generator=view.generator(4),
        context=event.context, cancelled=view.cancelled,
    )  # fmt: skip
    return float(measured.total[0]), float(measured.total_error[0])


def _by_draws(view: View, event: SingleEvent, arguments: Arguments) -> Result:
    """Both gaps of many latents, without a picture."""
    q = _own_q(event, view)
    proposal = q.gaussian if q.is_gaussian else _upright(q.gaussian)
    start = proposal if arguments.start == "encoder" else _standard(event.flat.size)
    found = gaps_by_draws(
        event, proposal, start, view.generator(5), n_steps=arguments.n_steps,
        learning_rate=arguments.learning_rate, cancelled=view.cancelled,
    )  # fmt: skip
    elbo, error = found.elbo, found.elbo_error
    amortisation, its_error = found.amortisation, found.amortisation_error
    if not q.is_gaussian:
        elbo, error = _own_elbo(view, event)
        amortisation = found.best_elbo - elbo
        its_error = math.hypot(error, found.best_error)
    values: dict[str, Value] = {
        "kind": "estimate",
        "names": list(event.flat.names),
        "low": [],
        "high": [],
        "log_prob": found.log_prob,
        "error": found.log_prob_error,
        "elbo": elbo,
        "elbo_error": error,
        "best_elbo": found.best_elbo,
        "amortisation_gap": amortisation,
        "amortisation_gap_error": its_error,
        "approximation_gap": found.log_prob - found.best_elbo,
        "approximation_gap_error": found.log_prob_error + found.best_error,
        "gap": found.log_prob - elbo,
        "family": _family(q.is_diagonal),
        "is_gaussian": q.is_gaussian,
        "n_starts": 1,
        "n_agreeing": 1,
        "start": arguments.start,
    }
    arrays = _ellipse("q", q.gaussian) | _ellipse("best", found.best)
    return Result(arrays | {"walk_elbo": found.walk.elbo}, values)


def _family(diagonal: bool) -> str:
    return "Gaussian without correlations" if diagonal else "Gaussian"


def _pictures(grid: LatentGrid) -> dict[str, Any]:
    """The posterior over the part that is worth drawing, and its outlines."""
    axes = [axis.nodes.numpy() for axis in grid.grid.axes]
    inside = [
        (nodes >= low) & (nodes <= high)
        for nodes, low, high in zip(axes, grid.shown.low, grid.shown.high, strict=True)
    ]
    table = grid.log_posterior.reshape(grid.grid.shape).numpy()
    if len(axes) == 1:
        return {"x": axes[0][inside[0]], "log_posterior": table[inside[0]]}
    x, y = axes[0][inside[0]], axes[1][inside[1]]
    levels = highest_density_levels(np.ascontiguousarray(table))
    contours = trace_contours(axes[0], axes[1], table, levels)
    surface = table[np.ix_(inside[1], inside[0])].astype(np.float32)
    return {"x": x, "y": y, "log_posterior": surface} | contours.arrays()


def _ellipse(name: str, q: GaussianQ) -> dict[str, Any]:
    return {f"{name}_mean": q.mean, f"{name}_covariance": q.covariance}


def _steps(taken: Walk) -> dict[str, Any]:
    covariances = taken.factors @ taken.factors.mT
    return {
        "walk_means": taken.means,
        "walk_covariances": covariances,
        "walk_elbo": taken.elbo,
    }
