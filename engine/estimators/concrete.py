r"""Gumbel noise and the Concrete distribution: a category drawn as a point of the simplex.

Adding Gumbel noise to log-probabilities and taking the largest draws a category exactly. A softmax
at temperature τ in its place gives a point that moves with the probabilities, so that a gradient
passes: the Concrete (Gumbel-softmax) distribution, whose density is known.

.. math::
    g_k = -\log(-\log u_k), \qquad
    \arg\max_k (\log \pi_k + g_k) \sim \pi, \qquad
    y = \mathrm{softmax}\Bigl(\frac{\log \pi + g}{\tau}\Bigr)

.. math::
    p(y) = (K-1)!\; \tau^{K-1} \prod_{k} \frac{\pi_k\, y_k^{-\tau-1}}{\sum_j \pi_j\, y_j^{-\tau}}

Points are kept as log y, which no temperature rounds to −∞. All noise is drawn on the CPU.

References:
    Jang, Gu and Poole, *Categorical Reparameterization with Gumbel-Softmax*, ICLR 2017. Maddison,
    Mnih and Teh, *The Concrete Distribution*, ICLR 2017. Straight-through: Bengio, Léonard and
    Courville, *Estimating or Propagating Gradients Through Stochastic Neurons*, 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.drawing import uniform_noise


def gumbel_noise(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard Gumbel noise −log(−log u), in ``like``'s dtype and on its device."""
    u = uniform_noise(shape, generator, like)
    # u = 0, which one draw in 2²⁴ is in float32, would be −∞.
    return -(-u.clamp_min(0.5 * torch.finfo(like.dtype).eps).log()).log()


def relaxed_draw(log_probs: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """log y (…, K) of the Concrete distribution, from log π and Gumbel noise that broadcast."""
    return ((log_probs + noise) / temperature).log_softmax(-1)


def hard_draw(log_probs: Tensor, noise: Tensor) -> Tensor:
    """The category argmax (log π + g), (…) of whole numbers: an exact draw of π."""
    return (log_probs + noise).argmax(-1)


def straight_through(soft: Tensor) -> Tensor:
    """One-hot of the largest entry of y (…, K) on the way forward, y itself for the gradient."""
    hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
    return hard + (soft - soft.detach())


def concrete_log_prob(log_y: Tensor, log_probs: Tensor, temperature: float) -> Tensor:
    """Log-density of y on the simplex, over its first K − 1 coordinates: (…, K) → (…), nats.

    Args:
        log_y: Logarithms of a point inside the simplex.
        log_probs: log π up to a constant, of a shape that broadcasts.
        temperature: τ.
    """
    return exp_concrete_log_prob(log_y, log_probs, temperature) - log_y.sum(-1)


def exp_concrete_log_prob(log_y: Tensor, log_probs: Tensor, temperature: float) -> Tensor:
    """Log-density of log y, (…), over its first K − 1 coordinates: without the factor Π 1/y_k.

    A ratio of two densities is the same for y as for log y, and this one stays accurate where some
    y_k are tiny. Arguments as in :func:`concrete_log_prob`.
    """
    n_states = log_y.shape[-1]
    constant = math.lgamma(n_states) + (n_states - 1) * math.log(temperature)
    scores = log_probs - temperature * log_y
    return constant + (scores - scores.logsumexp(-1, keepdim=True)).sum(-1)
