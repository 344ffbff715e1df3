r"""The bound taken apart with its errors, and log p(x) as exactly as a model allows.

.. math::
    \log p(x) = \mathcal L(x) + \mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x)), \qquad
    \mathcal L(x) = E_q \log p(x \mid z) - \sum_l \mathrm{KL}_l

log p(x) is exact where the model has it or its latents can be enumerated; else it is the
importance-weighted estimate of Burda, Grosse and Salakhutdinov (2016), a bound in expectation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Bound, Decoding, Encoding, LogProb
from engine.estimators.density import CancellationError, Cancelled, check_draws
from engine.estimators.log_joint import MOST_VALUES, Joint, every_value, log_joint, n_values
from engine.estimators.shared_bound import HasDistribution
from engine.latents import Elbo, Posterior
from engine.model import GenerativeModel

#: Draws are taken in so many batches; their spread is the error.
N_BATCHES = 8
#: Values of decoded events held at once, and decoded in all for several events.
VALUES, MOST_DECODED = 2**22, 2**28


@dataclass(frozen=True)
class MeasuredElbo:
    """The ELBO of B events, nats; each ``…_error`` is one standard error over the draws.

    An error is 0 where the number does not depend on the draws.

    Attributes:
        total: (B,), reconstruction − Σ KL.
        reconstruction: (B,), E_q log p(x given z).
        kl_terms: {latent: (B,)}, KL(q‖prior).
        log_weights: (K, B), log p(x, z_k) − log q(z_k given x).
    """

    total: Tensor
    total_error: Tensor
    reconstruction: Tensor
    reconstruction_error: Tensor
    kl_terms: dict[str, Tensor]
    kl_errors: dict[str, Tensor]
    log_weights: Tensor


@torch.no_grad()
def measured_elbo(
    model: Bound,
    x: Tensor,
    *,
    n_draws: int,
    generator: torch.Generator,
    context: Tensor | None = None,
    cancelled: Cancelled | None = None,
) -> MeasuredElbo:
    """The mean of the bound over at least ``n_draws`` draws in batches, whose spread is its error.

    Args:
        model: With a bound.
        x: Events (B, *E).
        n_draws: Rounded up to a multiple of the eight batches.
        generator: All noise comes from it.
        context: Labels (B,), where the model uses them.
        cancelled: Asked between batches.

    Raises:
        ValueError: The number of draws is out of range.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    check_draws(n_draws)
    each = -(-n_draws // N_BATCHES)
    rows = max(1, VALUES // (each * max(1, math.prod(x.shape[1:]))))
    found = []
    for start in range(0, len(x), rows):
        labels = None if context is None else context[start : start + rows]
        parts = []
        for _ in range(N_BATCHES):
            if cancelled is not None and cancelled():
                raise CancellationError
            piece = x[start : start + rows]
            parts.append(model.elbo(piece, context=labels, n_draws=each, generator=generator))
        found.append(_pooled(parts))
    return _concatenated(found)


def _pooled(parts: list[Elbo]) -> MeasuredElbo:
    total, total_error = _mean_and_error([part.total for part in parts])
    reconstruction, reconstruction_error = _mean_and_error([p.reconstruction for p in parts])
    kl = {n: _mean_and_error([p.kl_terms[n] for p in parts]) for n in parts[0].kl_terms}
    return MeasuredElbo(
        total,
        total_error,
        reconstruction,
        reconstruction_error,
        {name: mean for name, (mean, _) in kl.items()},
        {name: error for name, (_, error) in kl.items()},
        torch.cat([part.log_weights for part in parts]),
    )


def _mean_and_error(values: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean over batches and its standard error, (B,) each; 0 where batches agree to rounding."""
    stacked = torch.stack(values).cpu().double()
    mean, spread = stacked.mean(0), stacked.std(0)
    rounding = 64.0 * torch.finfo(values[0].dtype).eps * mean.abs().clamp_min(1.0)
    spread = torch.where(spread > rounding, spread, torch.zeros_like(spread))
    return mean, spread / math.sqrt(len(values))


def _concatenated(found: list[MeasuredElbo]) -> MeasuredElbo:
    def joined(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in found])

    def joined_terms(name: str) -> dict[str, Tensor]:
        terms = [getattr(part, name) for part in found]
        return {key: torch.cat([term[key] for term in terms]) for key in terms[0]}

    return MeasuredElbo(
        joined("total"),
        joined("total_error"),
        joined("reconstruction"),
        joined("reconstruction_error"),
        joined_terms("kl_terms"),
        joined_terms("kl_errors"),
        torch.cat([part.log_weights for part in found], 1),
    )


@dataclass(frozen=True)
class Evidence:
    """log p(x) of B events: values and errors (B,) float64, nats.

    Attributes:
        kind: ``"exact"``, ``"quadrature"`` or ``"estimate"`` (importance weighted: a lower bound
            in expectation).
        label: What it is, in a few words.
    """

    log_prob: Tensor
    error: Tensor
    kind: str
    label: str


@torch.no_grad()
def evidence(
    model: GenerativeModel, x: Tensor, log_weights: Tensor, *, context: Tensor | None = None
) -> Evidence:
    """The best log p(x) of events (B, *E) without quadrature.

    Args:
        model: With a bound.
        x: Events.
        log_weights: (K, B) of the bound, used where nothing exact is at hand.
        context: Labels (B,), where the model uses them.
    """
    if isinstance(model, LogProb):
        exact = model.log_prob(x, context=context).cpu().double()
        return Evidence(exact, torch.zeros_like(exact), "exact", "log p(x), exact")
    if isinstance(model, Decoding) and can_enumerate(model, x):
        table = log_joint_table(model, x, context=context)
        exact = torch.logsumexp(table, 0).cpu().double()
        label = f"log p(x), exact: a sum over all {len(table)} values of z"
        return Evidence(exact, torch.zeros_like(exact), "exact", label)
    weights = log_weights.cpu().double()
    label = f"importance-weighted estimate, k = {len(weights)}"
    return Evidence(log_mean_exp(weights), log_mean_errors(weights), "estimate", label)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """log (1/K) Σ_k w_k of (K, B), (B,)."""
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


def log_mean_errors(log_weights: Tensor) -> Tensor:
    r"""One standard error of log (1/K) Σ_k w_k of (K, B) by the delta method, (B,)."""
    if len(log_weights) < 2:
        return torch.zeros(log_weights.shape[1], dtype=log_weights.dtype)
    weights = (log_weights - log_weights.amax(0)).exp()
    return weights.std(0) / (math.sqrt(len(weights)) * weights.mean(0))


# --- discrete latents: everything by enumeration ----------------------------------------------


def can_enumerate(model: Decoding, x: Tensor) -> bool:
    """Whether all values of the latents can be summed over, for events (B, *E)."""
    count = n_values(model.latents)
    if count is None or not 1 <= count <= MOST_VALUES:
        return False
    return len(x) == 1 or count * x.numel() <= MOST_DECODED


@torch.no_grad()
def log_joint_table(model: Decoding, x: Tensor, *, context: Tensor | None = None) -> Tensor:
    """log p(x, z) of events (B, *E) for all K values of discrete latents, (K, B)."""
    return joint_tables(model, x, context=context).total


@torch.no_grad()
def joint_tables(model: Decoding, x: Tensor, *, context: Tensor | None = None) -> Joint:
    """Its two parts, (K, B) each, a few events at a time."""
    values = every_value(model.latents, x)
    k = len(next(iter(values.values())))
    rows, found = max(1, VALUES // (k * max(1, math.prod(x.shape[1:])))), []
    for start in range(0, len(x), rows):
        piece = x[start : start + rows]
        labels = None if context is None else context[start : start + rows]
        wide = {
            name: value[:, None].expand(k, len(piece), *value.shape[1:])
            for name, value in values.items()
        }
        found.append(log_joint(model, piece, wide, context=labels))
    priors, conditionals = ([getattr(part, name) for part in found]
                            for name in ("log_prior", "log_conditional"))  # fmt: skip
    return Joint(torch.cat(priors, 1), torch.cat(conditionals, 1))


@torch.no_grad()
def summed_elbo(
    model: GenerativeModel, x: Tensor, measured: MeasuredElbo, *, context: Tensor | None = None
) -> MeasuredElbo:
    """The bound with E_q as a sum over all values of one discrete latent, hence without error.

    Where that cannot be done it comes back as it was measured.
    """
    if not (isinstance(model, Decoding) and isinstance(model, Encoding)):
        return measured
    if not can_enumerate(model, x):
        return measured
    log_q = log_q_table(model, model.encode(x, context=context), x)
    if log_q is None:
        return measured
    joint, q = joint_tables(model, x, context=context), log_q.exp()
    parts = (joint.log_conditional, log_q - joint.log_prior)
    reconstruction, kl = (
        torch.where(q > 0, q * part, torch.zeros_like(q)).sum(0).cpu().double() for part in parts
    )
    none, name = torch.zeros_like(kl), model.latents[0].name
    return MeasuredElbo(
        reconstruction - kl, none, reconstruction, none, {name: kl}, {name: none},
        measured.log_weights,
    )  # fmt: skip


def log_q_table(model: Decoding, posterior: Posterior, like: Tensor) -> Tensor | None:
    """log q(z given x) for all K values of one discrete latent, (K, B); None where q has none."""
    table = getattr(posterior, "log_probs", None)
    if isinstance(table, Tensor) and table.dim() == 2 and len(model.latents) == 1:
        return table.T
    if len(model.latents) != 1 or not isinstance(posterior, HasDistribution):
        return None
    values = every_value(model.latents, like)[model.latents[0].name]
    distribution = posterior.distribution
    return distribution.log_prob(values[:, None].expand(-1, *distribution.batch_shape,
                                                        *values.shape[1:]))  # fmt: skip


def kl_to_posterior(log_q: Tensor, log_joint: Tensor) -> Tensor:
    r"""KL(q(z given x)‖p(z given x)) of tables (K, B), (B,), nats; 0 log 0 counts as 0.

    .. math:: \sum_z q(z \mid x) \log \frac{q(z \mid x)\, p(x)}{p(x, z)}
    """
    log_posterior = log_joint - torch.logsumexp(log_joint, 0)
    q = log_q.exp()
    return torch.where(q > 0, q * (log_q - log_posterior), torch.zeros_like(q)).sum(0)
