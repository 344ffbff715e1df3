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

#: Draws that L is climbed on, fresh ones that judge, quasi-Newton steps and steps of the walk.
N_CLIMBED, N_JUDGED, MOST_STEPS, MOST_WALKED = 128, 2000, 40, 60
CHUNK = 500


@dataclass(frozen=True)
class DrawnGaps:
    """Estimates in nats with one standard error each, from fresh draws that q* has not seen.

    Attributes:
        elbo: L of the encoder's q.
        amortisation: L(q*) − L(q), on the same noise for both, hence its small error.
        best_elbo: L(q*).
        log_prob: log p(x), importance weighted with q* as proposal.
        best: q*.
        walk: Gradient steps, with L on one set of draws.
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
        n_steps: Steps of the walk, cut at 60.
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
    own, found = (_log_weights(event, each, fresh) for each in (q, best))
    taken = walk(
        bound, start, n_steps=min(n_steps, MOST_WALKED), learning_rate=learning_rate,
        cancelled=cancelled,
    )  # fmt: skip
    return DrawnGaps(
        *_mean_and_error(own),
        *_mean_and_error(found - own),
        *_mean_and_error(found),
        float(log_mean_exp(found[:, None])[0]),
        float(log_mean_errors(found[:, None])[0]),
        best,
        taken,
    )


@torch.no_grad()
def _log_weights(event: SingleEvent, q: GaussianQ, noise: Tensor) -> Tensor:
    """log p(x, z) − log q(z given x) at z = mean + factor · noise, (N,)."""
    z = q.mean + noise @ q.factor.mT
    joint = torch.cat([event.log_joint(piece) for piece in torch.split(z, CHUNK)])
    constant = 0.5 * noise.shape[1] * math.log(2.0 * math.pi)
    log_q = -0.5 * noise.square().sum(1) - constant - q.factor.diagonal().log().sum()
    return joint - log_q


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
