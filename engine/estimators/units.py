r"""What each latent unit carries: its KL, its activity, and for codes how evenly they are used.

A unit is active (Burda, Grosse and Salakhutdinov 2016) when its posterior mean moves with x,

.. math:: A_u = \mathrm{Var}_x\left(E_{q(z \mid x)}[z_u]\right) > 0.01,

and a code book of K values is used as if it had exp H(mean over x of q) of them (perplexity).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from engine.capabilities import Decoding, Encoding
from engine.estimators.density import CancellationError, Cancelled
from engine.estimators.shared_bound import HasDistribution
from engine.latents import Latent, Posterior, part_of

#: Burda's threshold of activity.
ACTIVE_FROM = 0.01
#: Draws of q where its mean is not given, and rows encoded at once.
N_DRAWS, CHUNK = 32, 512
#: Draws of q for the moments of its marginals.
N_LEAST = 256


@runtime_checkable
class HasUnitKL(Protocol):
    """A posterior that knows the KL of each unit, as one with several levels does.

    Beside :class:`engine.latents.Posterior`, and optional.
    """

    @property
    def unit_kl(self) -> dict[str, Tensor]:
        """{latent: (B, *Z)}, nats; over the units of a latent they sum to its KL."""
        ...


@dataclass(frozen=True)
class Means:
    """E_q[z] of N events, (N, U), and the variance that drawing it left in, (N, U) or zeros.

    U counts the units of one latent; a category of K values has K: the chances of each.
    """

    values: Tensor
    noise: Tensor


@torch.no_grad()
def posterior_means(
    model: Encoding,
    latents: tuple[Latent, ...],
    x: Tensor,
    *,
    generator: torch.Generator,
    context: Tensor | None = None,
    cancelled: Cancelled | None = None,
) -> dict[str, Means]:
    """The mean of q for each latent, float64 on the CPU; from draws where q does not say it.

    Raises:
        engine.estimators.density.CancellationError: ``cancelled()`` was true between chunks.
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {latent.name: [] for latent in latents}
    for start in range(0, len(x), CHUNK):
        if cancelled is not None and cancelled():
            raise CancellationError
        rows = slice(start, start + CHUNK)
        labels = None if context is None else context[rows]
        posterior = model.encode(x[rows], context=labels)
        exact = _exact_means(posterior, latents)
        complete = len(exact) == len(latents)
        drawn = {} if complete else posterior.sample(N_DRAWS, generator)[0]
        for latent in latents:
            pair = exact.get(latent.name) or _drawn_means(drawn[latent.name], latent)
            found[latent.name].append(pair)
    return {
        name: Means(torch.cat([v for v, _ in pairs]), torch.cat([n for _, n in pairs]))
        for name, pairs in found.items()
    }


def _exact_means(
    posterior: Posterior, latents: tuple[Latent, ...]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Of the latents whose own q has a mean or a table of chances."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for latent in latents:
        own: object = part_of(posterior, latent.name, latents)
        chances = getattr(own, "probs", None)
        if latent.kind == "category" and isinstance(chances, Tensor):
            mean = chances
        elif latent.kind != "category" and isinstance(own, HasDistribution):
            mean = own.distribution.mean
        else:
            continue
        flat = mean.reshape(len(mean), -1).cpu().double()
        found[latent.name] = (flat, torch.zeros_like(flat))
    return found


def _drawn_means(draws: Tensor, latent: Latent) -> tuple[Tensor, Tensor]:
    """Means of draws (K, B, *Z) and the variance of each mean, (B, U)."""
    if latent.kind == "category":
        draws = torch.nn.functional.one_hot(draws.long(), latent.levels or -1)
    wide = draws.reshape(*draws.shape[:2], -1).cpu().double()
    return wide.mean(0), wide.var(0) / len(wide)


def activity(means: Means) -> Tensor:
    """Var_x E_q[z_u], (U,); what drawing the means added is taken off again."""
    if len(means.values) < 2:
        return torch.zeros(means.values.shape[1], dtype=torch.float64)
    return (means.values.var(0) - means.noise.mean(0)).clamp_min(0.0)


def perplexity(chances: Tensor, n_categories: int = 1) -> float:
    """exp of the entropy of mean chances (N, K): as many values as are used.

    Of several categories side by side, (N, n·K), the geometric mean of theirs.
    """
    mean = chances.mean(0)
    return math.exp(float(-torch.special.xlogy(mean, mean).sum()) / n_categories)


@torch.no_grad()
def unit_kl(
    model: Encoding, latents: tuple[Latent, ...], x: Tensor, *, context: Tensor | None = None
) -> dict[str, Tensor]:
    """Mean KL of each unit over events (B, *E), {latent: (U,)}; without those nobody can tell.

    Closed form for one Gaussian q under a Gaussian prior: KL of the unit's own marginal. Where q
    has no correlations these sum to the latent's KL. Posteriors with several levels say it
    themselves (:class:`HasUnitKL`).
    """
    posterior = model.encode(x, context=context)
    if isinstance(posterior, HasUnitKL):
        return {
            n: kl.reshape(len(kl), -1).cpu().double().mean(0)
            for n, kl in posterior.unit_kl.items()
        }
    if len(latents) != 1 or not isinstance(model, Decoding):
        return {}
    if not isinstance(posterior, HasDistribution):
        return {}
    q, p = _marginals(posterior.distribution), _marginals(model.prior({}))
    if q is None or p is None:
        return {}
    # KL(N(m, s²)‖N(a, t²)) = log t/s + (s² + (m − a)²) / 2t² − ½
    return {latents[0].name: _mean_kl(q, p)}


@torch.no_grad()
def least_unit_kl(
    model: Encoding,
    latents: tuple[Latent, ...],
    x: Tensor,
    *,
    generator: torch.Generator,
    context: Tensor | None = None,
) -> dict[str, Tensor]:
    """Least KL of each unit, {latent: (U,)}, where q is no Gaussian but its prior is one.

    Of all densities with the mean and the variance of a unit's marginal, both from draws, the
    Gaussian has the most entropy and hence the least KL to a normal prior.
    """
    if len(latents) != 1 or latents[0].kind != "real" or not isinstance(model, Decoding):
        return {}
    p = _marginals(model.prior({}))
    if p is None:
        return {}
    drawn = model.encode(x, context=context).sample(N_LEAST, generator)[0][latents[0].name]
    return {latents[0].name: _mean_kl((drawn.mean(0), drawn.std(0)), p)}


def _mean_kl(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    """KL of marginals N(m, s²) (B, *Z) to those of the prior, mean over B, (U,)."""
    (mean, scale), (prior_mean, prior_scale) = q, p
    ratio = (scale / prior_scale).square()
    shift = ((mean - prior_mean) / prior_scale).square()
    kl = 0.5 * (ratio + shift - 1.0 - ratio.log())
    return kl.reshape(len(kl), -1).cpu().double().mean(0)


def _marginals(distribution: Distribution) -> tuple[Tensor, Tensor] | None:
    """Means and standard deviations of each value of a Gaussian; None for anything else."""
    if isinstance(distribution, Independent):
        return _marginals(distribution.base_dist)
    if isinstance(distribution, Normal | MultivariateNormal):
        return distribution.mean, distribution.stddev
    return None
