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


class Factorised(Distribution):
    """D independent values around zero.

    Args:
        like: (D,), any tensor of the dtype and device wanted.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, like: Tensor) -> None:
        self.like = like.detach()
        super().__init__(torch.Size(), self.like.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(D,), zeros: all of them are symmetric."""
        return torch.zeros_like(self.like)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of (…, D), (…), nats."""
        return self.log_densities(value).sum(-1)

    @abstractmethod
    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D), nats."""

    @abstractmethod
    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, D); all chance comes from the CPU generator."""

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

    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, D); all chance comes from the CPU generator."""
        return normal_noise((*shape, *self.event_shape), generator, self.like)


class Logistic(Factorised):
    r""":math:`\log p_i(z) = -\log(1 + e^{z}) - \log(1 + e^{-z})`; its variance is π²/3."""

    def log_densities(self, z: Tensor) -> Tensor:
        """Log-density of each value, (…, D) → (…, D), nats."""
        return F.logsigmoid(z) + F.logsigmoid(-z)

    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, D); all chance comes from the CPU generator."""
        return torch.logit(self._uniform(generator, shape))
