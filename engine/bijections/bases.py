r"""Base distributions of flows: D independent values, all chance drawn from a given generator.

.. math:: \log p(z) = \sum_{i=1}^{D} \log p_i(z_i)
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from engine.drawing import normal_noise, uniform_noise

#: The standard deviation of the standard logistic.
LOGISTIC_WIDTH = math.pi / math.sqrt(3.0)
#: The halves of a flat source of variance 1.
FLAT_MEAN = math.sqrt(0.75)
FLAT_SPREAD = 0.5
#: Bisections of a flat source's quantile: to the last digit of float64.
N_HALVINGS = 56


class Factorised(Distribution):
    """D independent values.

    Args:
        like: (D,), any tensor of the dtype and device wanted.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, like: Tensor) -> None:
        self.like = like.detach()
        super().__init__(torch.Size(), self.like.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(D,), zeros unless told otherwise: most are symmetric."""
        return torch.zeros_like(self.like)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of (…, D), (…), nats."""
        return self.log_densities(value).sum(-1)

    @abstractmethod
    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D), nats."""

    @abstractmethod
    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles of each value, (…, D) in (0, 1) → (…, D)."""

    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, D); all chance comes from the CPU generator."""
        return self.icdf(self._uniform(generator, shape))

    def _uniform(self, generator: torch.Generator, shape: Sequence[int]) -> Tensor:
        """Uniform noise that is never 0 or 1, where quantile functions are infinite."""
        u = uniform_noise((*shape, *self.event_shape), generator, self.like)
        least = 0.25 * torch.finfo(u.dtype).eps
        return u.clamp(least, 1.0 - torch.finfo(u.dtype).eps)


class StandardNormal(Factorised):
    r""":math:`\log p_i(z) = -\tfrac12 z^2 - \tfrac12 \log 2\pi`."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of (…, D), (…), nats."""
        constant = 0.5 * self.event_shape.numel() * math.log(2.0 * math.pi)
        return -0.5 * value.square().sum(-1) - constant

    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D), nats."""
        return -0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles of each value, (…, D) in (0, 1) → (…, D)."""
        quantiles: Tensor = torch.special.ndtri(value)
        return quantiles

    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, D); all chance comes from the CPU generator."""
        return normal_noise((*shape, *self.event_shape), generator, self.like)


class Logistic(Factorised):
    r""":math:`\log p_i(z) = -\log(1 + e^{z}) - \log(1 + e^{-z})`; its variance is π²/3."""

    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D), nats."""
        return F.logsigmoid(z) + F.logsigmoid(-z)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles of each value, (…, D) in (0, 1) → (…, D)."""
        return torch.logit(value)


class HyperbolicSecant(Factorised):
    r""":math:`p_i(z) = 1 / (\pi \cosh z)`; its variance is π²/4."""

    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D), nats."""
        size = z.abs()
        return math.log(2.0 / math.pi) - size - torch.log1p(torch.exp(-2.0 * size))

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles of each value, (…, D) in (0, 1) → (…, D)."""
        # log tan is odd around ½: of the two sides the one near 0, which keeps its digits.
        near = torch.minimum(value, 1.0 - value)
        return torch.copysign(torch.log(torch.tan(0.5 * math.pi * near)), value - 0.5)


class UnitUniform(Factorised):
    """Uniform between 0 and 1."""

    @property
    def mean(self) -> Tensor:
        """(D,), halves."""
        return torch.full_like(self.like, 0.5)

    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D): 0, and −∞ outside."""
        inside = (z >= 0.0) & (z <= 1.0)
        return torch.where(inside, 0.0 * z, -math.inf)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles of each value, (…, D) in (0, 1) → (…, D)."""
        return value


class Sources(Factorised):
    r"""Values of variance 1 that are each peaked, or each flat.

    A peaked one is logistic; a flat one is the symmetric mixture
    :math:`\tfrac12 \mathcal N(-m, 1 - m^2) + \tfrac12 \mathcal N(m, 1 - m^2)` with m² = ¾, whose
    excess kurtosis of −1.125 is near that of a uniform law.

    Args:
        like: (D,), any tensor of the dtype and device wanted.
        flat: (D,) of truth values.

    References:
        Lee, Girolami and Sejnowski, *Independent Component Analysis Using an Extended Infomax
        Algorithm for Mixed Subgaussian and Supergaussian Sources*, Neural Computation 11, 1999.
    """

    def __init__(self, like: Tensor, flat: Tensor) -> None:
        self.flat = flat
        super().__init__(like)

    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D), nats."""
        wide = z * LOGISTIC_WIDTH
        peaked = F.logsigmoid(wide) + F.logsigmoid(-wide) + math.log(LOGISTIC_WIDTH)
        apart = torch.stack([z - FLAT_MEAN, z + FLAT_MEAN]) / FLAT_SPREAD
        constant = math.log(2.0 * FLAT_SPREAD) + 0.5 * math.log(2.0 * math.pi)
        flat = torch.logsumexp(-0.5 * apart.square(), 0) - constant
        return torch.where(self.flat, flat, peaked)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles of each value, (…, D) in (0, 1) → (…, D); of flat ones by bisection."""
        high = torch.full_like(value, FLAT_MEAN + 12.0 * FLAT_SPREAD)
        low = -high
        for _ in range(N_HALVINGS):
            middle = 0.5 * (low + high)
            apart = torch.stack([middle - FLAT_MEAN, middle + FLAT_MEAN]) / FLAT_SPREAD
            below = torch.special.ndtr(apart).mean(0) < value
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return torch.where(self.flat, 0.5 * (low + high), torch.logit(value) / LOGISTIC_WIDTH)
