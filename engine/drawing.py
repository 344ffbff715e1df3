"""Draws from torch distributions with a given generator, which torch's own methods do not take.

Noise is always drawn on the CPU and then moved: one seed gives one picture on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    Uniform,
)
from torch.distributions.transforms import ReshapeTransform

from engine.latents import PointMass


@runtime_checkable
class Drawable(Protocol):
    """A distribution that knows by itself how to draw with a given generator."""

    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, *batch_shape, *event_shape); all chance comes from the CPU generator."""
        ...


@runtime_checkable
class CommonDraw(Protocol):
    """A distribution whose mean nobody can compute, with something else to show."""

    def common_draw(self) -> Tensor:
        """(*batch_shape, *event_shape), one draw each, all from one noise that never changes."""
        ...


@torch.no_grad()
def draw(
    distribution: Distribution, generator: torch.Generator, shape: Sequence[int] = ()
) -> Tensor:
    """Draw from a distribution, without gradient; all chance comes from the generator.

    Args:
        distribution: Normal, Uniform, Bernoulli, Categorical, MultivariateNormal, PointMass, a
            :class:`Drawable`, or an Independent, TransformedDistribution or MixtureSameFamily of
            those.
        generator: A CPU generator.
        shape: Shape of the draws in front of the distribution's own.

    Returns:
        (*shape, *batch_shape, *event_shape), on the distribution's device and in its dtype.

    Raises:
        ValueError: The kind of distribution has no rule here.
    """
    lead = tuple(shape)
    if isinstance(distribution, Drawable):
        return distribution.draw(generator, lead)
    if isinstance(distribution, Independent):
        return draw(distribution.base_dist, generator, lead)
    if isinstance(distribution, MixtureSameFamily):
        return _draw_mixture(distribution, generator, lead)
    if isinstance(distribution, TransformedDistribution):
        x = draw(distribution.base_dist, generator, lead)
        for transform in distribution.transforms:
            x = transform(x)
        return x
    return _draw_simple(distribution, generator, lead)


def normal_noise(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal noise, drawn on the CPU in ``like``'s dtype and moved to its device."""
    return torch.randn(tuple(shape), generator=generator, dtype=like.dtype).to(like.device)


def uniform_noise(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Uniform noise in [0, 1), drawn on the CPU in ``like``'s dtype and moved to its device."""
    return torch.rand(tuple(shape), generator=generator, dtype=like.dtype).to(like.device)


def categorical_from_uniform(probs: Tensor, u: Tensor) -> Tensor:
    """Invert the cumulative probabilities: (…, K) and (…) uniform → (…) integers.

    The leading shapes broadcast.
    """
    cumulative = probs.cumsum(-1)
    total = cumulative[..., -1:]
    # Compared with the rounded total and not with 1, so that no draw falls beyond the last entry.
    return (u.unsqueeze(-1) * total >= cumulative[..., :-1]).sum(-1)


def _draw_simple(d: Distribution, generator: torch.Generator, lead: tuple[int, ...]) -> Tensor:
    extended = (*lead, *d.batch_shape)
    if isinstance(d, Normal):
        return d.loc + d.scale * normal_noise(extended, generator, d.loc)
    if isinstance(d, Uniform):
        return d.low + (d.high - d.low) * uniform_noise(extended, generator, d.low)
    if isinstance(d, Bernoulli):
        return (uniform_noise(extended, generator, d.probs) < d.probs).to(d.probs.dtype)
    if isinstance(d, Categorical):
        return categorical_from_uniform(d.probs, uniform_noise(extended, generator, d.probs))
    if isinstance(d, MultivariateNormal):
        noise = normal_noise((*extended, *d.event_shape), generator, d.loc)
        return d.loc + torch.einsum("...ij,...j->...i", d.scale_tril, noise)
    if isinstance(d, PointMass):
        return d.sample(torch.Size(lead))
    raise ValueError(f"draw: given a {type(d).__name__}, wanted one of the kinds in its docstring")


def _draw_mixture(
    d: MixtureSameFamily, generator: torch.Generator, lead: tuple[int, ...]
) -> Tensor:
    chosen = draw(d.mixture_distribution, generator, lead)
    every = draw(d.component_distribution, generator, lead)  # (*lead, *batch, K, *event)
    n_event = len(d.event_shape)
    index = chosen.reshape(*chosen.shape, *[1] * (n_event + 1))
    index = index.expand(*chosen.shape, 1, *d.event_shape)
    return every.gather(every.dim() - n_event - 1, index).squeeze(every.dim() - n_event - 1)


class Reshaped(TransformedDistribution):
    """A distribution over flat values whose events are given another shape; it keeps its mean."""

    def __init__(self, base: Distribution, event_shape: Sequence[int]) -> None:
        self._shape = torch.Size(event_shape)
        super().__init__(
            base, [ReshapeTransform(base.event_shape, self._shape)], validate_args=False
        )

    @property
    def mean(self) -> Tensor:
        """(*batch_shape, *event_shape)."""
        return self.base_dist.mean.reshape(*self.batch_shape, *self._shape)

    @property
    def variance(self) -> Tensor:
        """(*batch_shape, *event_shape)."""
        return self.base_dist.variance.reshape(*self.batch_shape, *self._shape)


def reshaped(distribution: Distribution, event_shape: Sequence[int]) -> Distribution:
    """Give a distribution over flat events (D,) the event shape *E; D must be its size."""
    if tuple(event_shape) == tuple(distribution.event_shape):
        return distribution
    return Reshaped(distribution, event_shape)
