"""Reading any conditional: probabilities of all levels, inverse CDF, temperature, top-p, entropy.

These take the distributions that models hand out: ``Categorical`` and ``Bernoulli`` of torch,
:class:`engine.nets.outputs.binned.BinnedMixture`, ``Normal`` and mixtures of ``Normal``.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    MixtureSameFamily,
    Normal,
)

from engine.drawing import categorical_from_uniform
from engine.nets.outputs.binned import BinnedMixture
from engine.nets.outputs.real import Mixture, mixture_distribution, quantile

#: The entropy of a Gaussian mixture is integrated between marks at whole widths of every component
#: up to this many, with so many nodes of Gauss and Legendre between two of them.
ENTROPY_REACH, ENTROPY_NODES = 8, 5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(ENTROPY_NODES)


def is_discrete(d: Distribution) -> bool:
    """Whether a conditional gives probabilities to levels 0, 1, … levels − 1."""
    return isinstance(d, (Categorical, Bernoulli, BinnedMixture))


def level_log_probs(d: Distribution) -> Tensor:
    """log p of every level, (*batch, levels), nats.

    Raises:
        ValueError: The distribution is a density and has no levels.
    """
    if isinstance(d, Categorical):
        logits: Tensor = d.logits  # torch keeps them normalised
        return logits
    if isinstance(d, Bernoulli):
        return torch.stack([F.logsigmoid(-d.logits), F.logsigmoid(d.logits)], -1)
    if isinstance(d, BinnedMixture):
        found: Tensor = d.level_log_probs
        return found
    raise ValueError(
        f"level_log_probs: given a {type(d).__name__}, a density over real values, wanted a "
        "distribution over levels"
    )


def level_probs(d: Distribution) -> Tensor:
    """p of every level, (*batch, levels); see :func:`level_log_probs`."""
    if isinstance(d, Categorical):
        probs: Tensor = d.probs  # a softmax, whose sum is closer to 1 than that of exp(logits)
        return probs
    return level_log_probs(d).exp()


def icdf(d: Distribution, u: Tensor) -> Tensor:
    """Uniform (*batch) → draws (*batch), as floats; one number in, one draw out.

    For levels it is the inverse distribution function: the draw never falls as u rises. A
    Gaussian mixture first chooses a component, then uses what is left of u within it.
    """
    if isinstance(d, Bernoulli):
        lower: Tensor = torch.sigmoid(-d.logits)
        return (u >= lower).to(u.dtype)
    if is_discrete(d):
        return categorical_from_uniform(level_probs(d), u).to(u.dtype)
    tiny = torch.finfo(u.dtype).eps
    if isinstance(d, Normal):
        drawn: Tensor = d.loc + d.scale * torch.special.ndtri(u.clamp(tiny, 1.0 - tiny))
        return drawn
    return quantile(_mixture(d), u)


def tempered(d: Distribution, temperature: float = 1.0, top_p: float = 1.0) -> Distribution:
    """Sharpen or flatten, then keep the most probable levels whose mass reaches ``top_p``.

    Levels: p^(1/T), renormalised; then nucleus sampling (Holtzman et al. 2020), renormalised.
    Densities: every width times T, the weights of a mixture as they are.

    Raises:
        ValueError: T is not above 0, top_p is not in (0, 1], or below 1 for a density.
    """
    check_temper(temperature, top_p)
    if temperature == 1.0 and top_p == 1.0:
        return d
    if not is_discrete(d):
        return _tempered_density(d, temperature, top_p)
    if isinstance(d, Bernoulli) and top_p == 1.0:
        return Bernoulli(logits=d.logits / temperature, validate_args=False)
    logits = level_log_probs(d) / temperature
    if top_p < 1.0:
        logits = logits.masked_fill(~nucleus(logits.softmax(-1), top_p), -math.inf)
    return Categorical(logits=logits, validate_args=False)


def check_temper(temperature: float, top_p: float) -> None:
    """Raise ``ValueError`` unless temperature is above 0 and top_p in (0, 1]."""
    if not temperature > 0.0:
        raise ValueError(f"temperature: given {temperature:g}, wanted a number above 0")
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p: given {top_p:g}, wanted a number above 0 and at most 1")


def nucleus(probs: Tensor, top_p: float) -> Tensor:
    """(…, levels) bool: the fewest most probable levels whose mass is at least ``top_p``."""
    ranked, places = probs.sort(stable=True, dim=-1, descending=True)
    before = ranked.cumsum(-1) - ranked
    kept = before < top_p * ranked.sum(-1, keepdim=True)
    kept[..., 0] = True
    return torch.zeros_like(kept).scatter(-1, places, kept)


def entropy(d: Distribution) -> Tensor:
    """(*batch), nats: exact for levels and one Gaussian, by quadrature for Gaussian mixtures."""
    if isinstance(d, MixtureSameFamily):
        return _mixture_entropy(d)
    if isinstance(d, Categorical):
        # torch's own gives NaN where top-p has cut levels off (0 · −∞).
        log_p = d.logits
        return -(log_p.exp() * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(-1)
    found: Tensor = d.entropy()
    return found


def select(d: Distribution, index: int) -> Distribution:
    """The conditional of one coordinate: batch (…, D) → (…).

    Raises:
        ValueError: The kind of distribution has no rule here.
    """
    if isinstance(d, Categorical):
        return Categorical(logits=d.logits[..., index, :], validate_args=False)
    if isinstance(d, Bernoulli):
        return Bernoulli(logits=d.logits[..., index], validate_args=False)
    if isinstance(d, BinnedMixture):
        return d.select(index)
    if isinstance(d, Normal):
        return Normal(d.loc[..., index], d.scale[..., index], validate_args=False)
    if isinstance(d, MixtureSameFamily):
        m = _mixture(d)
        return mixture_distribution(Mixture(*(part[..., index, :] for part in m)))
    raise ValueError(f"select: given a {type(d).__name__}, wanted one of the kinds listed")


def _mixture(d: Distribution) -> Mixture:
    if isinstance(d, MixtureSameFamily) and isinstance(d.component_distribution, Normal):
        parts = d.component_distribution
        return Mixture(d.mixture_distribution.logits, parts.loc, parts.scale.log())
    raise ValueError(
        f"given a {type(d).__name__}, wanted a Categorical, a Bernoulli, a BinnedMixture, a "
        "Normal or a mixture of Normals"
    )


def _tempered_density(d: Distribution, temperature: float, top_p: float) -> Distribution:
    if top_p != 1.0:
        raise ValueError(
            f"top_p: given {top_p:g}, wanted 1: a continuous conditional has no most probable "
            "levels to keep; lower the temperature instead"
        )
    if isinstance(d, Normal):
        return Normal(d.loc, d.scale * temperature)
    m = _mixture(d)
    return mixture_distribution(m._replace(log_widths=m.log_widths + math.log(temperature)))


def _mixture_entropy(d: MixtureSameFamily) -> Tensor:
    """−∫ p log p, piece by piece between marks that follow each component, however narrow."""
    m = _mixture(d)
    widths = torch.arange(-ENTROPY_REACH, ENTROPY_REACH + 1).to(m.means)
    marks = (m.means.unsqueeze(-1) + m.log_widths.exp().unsqueeze(-1) * widths).flatten(-2)
    marks = marks.sort(-1).values.movedim(-1, 0)  # (K·17, *batch)
    halves, middles = 0.5 * marks.diff(dim=0), 0.5 * (marks[1:] + marks[:-1])
    total = torch.zeros_like(marks[0])
    for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
        log_p: Tensor = d.log_prob(middles + node * halves)  # type: ignore[no-untyped-call]
        total = total - weight * (log_p.exp() * log_p * halves).sum(0)
    return total
