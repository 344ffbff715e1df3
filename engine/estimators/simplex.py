r"""A category relaxed onto the simplex: where its draws lie, and what that does to a gradient.

The corners of the simplex of K states are drawn evenly on a circle. Of three states the picture is
the simplex itself, and the Concrete density can be shaded: per unit of area

.. math:: p(\text{place}) = p(y_1, y_2)\, /\, \bigl|\det(c_1 - c_3, c_2 - c_3)\bigr|

A gradient through relaxed draws is biased, the less the lower the temperature, and scatters the
more. Of :math:`f(y) = \sum_k (y_k - t_k)^2` the true one is known,

.. math:: \partial_{a_k} \sum_j \pi_j f(e_j) = \pi_k \Bigl(f(e_k) - \sum_j \pi_j f(e_j)\Bigr),
    \qquad \pi = \mathrm{softmax}(a)

References:
    Jang, Gu and Poole, *Categorical Reparameterization with Gumbel-Softmax*, ICLR 2017. Maddison,
    Mnih and Teh, *The Concrete Distribution*, ICLR 2017. The objective is the toy of Tucker and
    others, *REBAR*, NeurIPS 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.estimators.concrete import (
    concrete_log_prob,
    gumbel_noise,
    relaxed_draw,
    straight_through,
)

#: t of the first state; the others share the rest.
TARGET = 0.45


def corners(n_states: int) -> Tensor:
    """Places (K, 2) of the corners on the unit circle, the first on top, float64."""
    angle = 2.0 * math.pi * torch.arange(n_states, dtype=torch.float64) / n_states
    return torch.stack([-angle.sin(), angle.cos()], 1)


def triangle_log_density(log_probs: Tensor, temperature: float, places: Tensor) -> Tensor:
    """Log of the Concrete density of three states at places (P, 2), (P,), nats per unit of area.

    Outside the triangle it is −∞.
    """
    ends = corners(3)
    sides = ends[:2] - ends[2]  # (2, 2), rows
    first = (places - ends[2]) @ torch.linalg.inv(sides)
    y = torch.cat([first, 1.0 - first.sum(1, keepdim=True)], 1)
    inside = (y > 0.0).all(1)
    found = torch.full((len(places),), -torch.inf, dtype=torch.float64)
    log_y = y[inside].log()
    found[inside] = concrete_log_prob(log_y, log_probs.double(), temperature)
    area: Tensor = torch.linalg.det(sides).abs()
    return found - area.log()


@dataclass(frozen=True)
class GradientError:
    """How far the mean of an estimated gradient lies from the true one, and how it scatters.

    Attributes:
        bias: Length of the mean's distance.
        bias_error: Its standard error.
        spread: Root of the summed variance of one draw.
    """

    bias: float
    bias_error: float
    spread: float


def gradient_error(
    log_probs: Tensor, temperature: float, n: int, generator: torch.Generator, *, hard: bool
) -> GradientError:
    """The estimate through n relaxed draws, or with ``hard`` straight through their corners.

    Args:
        log_probs: log π, (K,).
        temperature: τ.
        n: Draws.
        generator: All noise comes from it.
        hard: Whether f sees the corner.
    """
    log_pi = log_probs.detach().double().log_softmax(-1)
    target = torch.full_like(log_pi, (1.0 - TARGET) / (len(log_pi) - 1))
    target[0] = TARGET
    with torch.enable_grad():
        scores = log_pi.expand(n, -1).clone().requires_grad_()
        noise = gumbel_noise(scores.shape, generator, log_pi)
        soft = relaxed_draw(scores.log_softmax(-1), noise, temperature).exp()
        seen = straight_through(soft) if hard else soft
        (each,) = torch.autograd.grad((seen - target).square().sum(), scores)
    values = (torch.eye(len(log_pi), dtype=torch.float64) - target).square().sum(1)
    pi = log_pi.exp()
    away = each.mean(0) - pi * (values - (pi * values).sum())
    spread = math.sqrt(float(each.var(0).sum()))
    return GradientError(float(away.norm()), spread / math.sqrt(n), spread)
