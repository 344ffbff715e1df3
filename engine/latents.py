"""Latent variables: names and shapes, posteriors, the ELBO, point masses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

Latents: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Latent:
    """One latent variable: ``kind`` is ``"real"``, ``"binary"`` or ``"category"``.

    A category is a whole number from 0 to ``levels`` − 1: one of shape ``()``, or N of shape
    ``(N,)``.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "real"
    levels: int | None = None


class Posterior(Protocol):
    """q(z given x) for a batch of B observations.

    Where q itself is a normal over a model's only latent, a property ``distribution`` may say so
    (``Independent(Normal)`` or ``MultivariateNormal``, batch (B,)); densities of q are then exact.
    """

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws: ({latent: (K, B, *Z)}, log_q of shape (K, B) in nats)."""
        ...


@runtime_checkable
class HasParts(Protocol):
    """A posterior over several latents that knows the q of some by itself; optional."""

    def part(self, name: str) -> Posterior | None:
        """q of one latent, whatever the others are; None where it is known given others only."""
        ...


def part_of(posterior: Posterior, name: str, latents: tuple[Latent, ...]) -> Posterior | None:
    """q of one of a model's latents: q itself of an only one; None where it depends on others."""
    if len(latents) == 1:
        return posterior
    return posterior.part(name) if isinstance(posterior, HasParts) else None


@dataclass(frozen=True)
class Elbo:
    r"""The evidence lower bound of B observations, always at β = 1, in nats.

    .. math:: \mathcal L(x) = E_q[\log p(x \mid z)] - \sum_l \mathrm{KL}_l \le \log p(x)

    Attributes:
        total: (B,), reconstruction − Σ KL.
        reconstruction: (B,), E_q log p(x given z), of the data in the units given.
        kl_terms: {latent: (B,)}, KL(q‖prior) per latent. Where the model's ``kl_is_shared`` is
            true they are shares of one KL: their sum is at least 0, a single one need not be.
        log_weights: (K, B), log p(x, z_k) − log q(z_k given x); their log-mean-exp is the
            importance-weighted bound.
    """

    total: Tensor
    reconstruction: Tensor
    kl_terms: Mapping[str, Tensor]
    log_weights: Tensor

    @property
    def importance_weighted(self) -> Tensor:
        """The K-draw bound log (1/K) Σ_k w_k, shape (B,)."""
        count = self.log_weights.shape[0]
        return torch.logsumexp(self.log_weights, 0) - math.log(count)


class PointMass(Distribution):
    """All mass at one value, as a GAN's generator decodes: it has a mean but no density."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, value: Tensor, event_dims: int = 1) -> None:
        self.value = value
        split = value.dim() - event_dims
        super().__init__(value.shape[:split], value.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The value itself."""
        return self.value

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.value)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """The value, repeated."""
        return self.value.expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """A point mass has no density."""
        raise ValueError("a point mass has no density")
