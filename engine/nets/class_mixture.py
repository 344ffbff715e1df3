r"""What a class-conditional model says when no class is given: every class is as likely.

.. math::
    p(x_i \mid x_{<i}) = \sum_{c=1}^{K} p(c \mid x_{<i})\, p(x_i \mid x_{<i}, c), \qquad
    p(c \mid x_{<i}) \propto \prod_{j<i} p(x_j \mid x_{<j}, c)

so that the conditionals multiply to p(x) = (1/K) Σ_c p(x given c) exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    MixtureSameFamily,
    Normal,
)

from engine.nets.outputs import level_log_probs


def class_log_weights(terms: Tensor) -> Tensor:
    """log p(c given x_<i) from terms log p(x_i given x_<i, c), both (K, …, D) in order."""
    before = terms.cumsum(-1) - terms
    return before.log_softmax(0)


def mix_classes(d: Distribution, log_weights: Tensor) -> Distribution:
    """The mixture over the first batch axis of conditionals (K, *batch), weights likewise.

    Raises:
        ValueError: The kind of distribution has no rule here.
    """
    if isinstance(d, Bernoulli):
        parts = torch.logsumexp(level_log_probs(d) + log_weights.unsqueeze(-1), 0)
        return Bernoulli(logits=parts[..., 1] - parts[..., 0], validate_args=False)
    if isinstance(d, MixtureSameFamily):
        return _mix_densities(d, log_weights)
    parts = torch.logsumexp(level_log_probs(d) + log_weights.unsqueeze(-1), 0)
    return Categorical(logits=parts, validate_args=False)


def _mix_densities(d: MixtureSameFamily, log_weights: Tensor) -> MixtureSameFamily:
    """All components of all classes side by side: (K, *batch, M) → (*batch, K·M)."""
    curves = d.component_distribution
    if not isinstance(curves, Normal):
        raise ValueError(f"given a mixture of {type(curves).__name__}, wanted one of Normals")
    logits = d.mixture_distribution.logits + log_weights.unsqueeze(-1)
    beside = [t.movedim(0, -2).flatten(-2) for t in (logits, curves.loc, curves.scale)]
    return MixtureSameFamily(Categorical(logits=beside[0]), Normal(beside[1], beside[2]))
