"""Both gaps of one event with any number of latents, from draws, each with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.estimators.density import Cancelled
from engine.estimators.evidence import log_mean_errors, log_mean_exp
from engine.estimators.gaussian_q import BoundOfQ, GaussianQ, Walk, best_q, walk
from engine.estimators.single_event import SingleEvent

#: Draws that L is climbed on, and fresh ones that judge.
N_CLIMBED, N_JUDGED = 128, 1000
#: Quasi-Newton steps to the best q, and steps of the walk.
MOST_STEPS, MOST_WALKED = 40, 40
CHUNK = 500


@dataclass(frozen=True)
class DrawnGaps:
    """Estimates in nats with one standard error each, from fresh draws that q* has not seen.

    Attributes:
        elbo: L of the encoder's q.
        amortisation: L(q*) − L(q), on the same noise for both, hence its small error.
        best_elbo: L(q*).
        log_prob: log p(x), importance weighted with draws of both q and q* as proposal.
        best: q*.
        walk: Gradient steps; L of each from the same fresh draws.
    """

    elbo: float
    elbo_error: float
    amortisation: float
    amortisation_error: float
    best_elbo: float
    best_error: float
    log_prob: float
    log_prob_error: float
    best: GaussianQ
    walk: Walk


def gaps_by_draws(
    event: SingleEvent,
    q: GaussianQ,
    start: GaussianQ,
    generator: torch.Generator,
    *,
    n_steps: int,
    learning_rate: float,
    cancelled: Cancelled | None = None,
) -> DrawnGaps:
    """Climb L(q) from the encoder's q on one set of draws, judge by another.

    Args:
        event: The event and its model.
        q: The encoder's q, which also says whether the family has correlations.
        start: Where the walk begins.
        generator: All draws come from it.
        n_steps: Steps of the walk, cut at 40.
        learning_rate: Of the walk.
        cancelled: Asked between steps.

    Raises:
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    size, diagonal = event.flat.size, q.is_diagonal
    noise = torch.randn(N_CLIMBED, size, generator=generator, dtype=torch.float64)
    bound = BoundOfQ(event.log_joint, size, diagonal=diagonal, noise=noise)
    best = best_q(bound, [q], most_steps=MOST_STEPS, cancelled=cancelled).q
    fresh = torch.randn(N_JUDGED, size, generator=generator, dtype=torch.float64)
    (own, own_z), (found, best_z) = (_log_weights(event, each, fresh) for each in (q, best))
    weights = torch.cat([
        own - _log_mixture(q, best, own_z), found - _log_mixture(best, q, best_z)
    ])[:, None]  # fmt: skip
    taken = walk(
        bound, start, n_steps=min(n_steps, MOST_WALKED), learning_rate=learning_rate,
        cancelled=cancelled,
    )  # fmt: skip
    return DrawnGaps(
        *_mean_and_error(own),
        *_mean_and_error(found - own),
        *_mean_and_error(found),
        float(log_mean_exp(weights)[0]),
        float(log_mean_errors(weights)[0]),
        best,
        _judged(event, taken, fresh),
    )


def _judged(event: SingleEvent, taken: Walk, noise: Tensor) -> Walk:
    """The walk with L from draws that it was not climbed on, which would flatter it."""
    steps = zip(taken.means, taken.factors, strict=True)
    elbo = [_log_weights(event, GaussianQ(m, f), noise)[0].mean() for m, f in steps]
    return Walk(taken.means, taken.factors, torch.stack(elbo))


def _log_mixture(own: GaussianQ, other: GaussianQ, z: Tensor) -> Tensor:
    """log (½ own(z) + ½ other(z)) / own(z) of draws z (N, Z) of the first, (N,)."""
    ratio = _log_density(other, z) - _log_density(own, z)
    return torch.logaddexp(torch.zeros_like(ratio), ratio) - math.log(2.0)


def _log_density(q: GaussianQ, z: Tensor) -> Tensor:
    noise = torch.linalg.solve_triangular(q.factor, (z - q.mean).mT, upper=False)
    constant = 0.5 * z.shape[1] * math.log(2.0 * math.pi)
    found: Tensor = -0.5 * noise.square().sum(0) - constant - q.factor.diagonal().log().sum()
    return found


@torch.no_grad()
def _log_weights(event: SingleEvent, q: GaussianQ, noise: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x, z) − log q(z given x) at z = mean + factor · noise, (N,), and z (N, Z)."""
    z = q.mean + noise @ q.factor.mT
    joint = torch.cat([event.log_joint(piece) for piece in torch.split(z, CHUNK)])
    constant = 0.5 * noise.shape[1] * math.log(2.0 * math.pi)
    log_q = -0.5 * noise.square().sum(1) - constant - q.factor.diagonal().log().sum()
    return joint - log_q, z


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
