"""Mixtures of round Gaussians: their density, draws and entropy, and data sets made of them.

p(x) = Σ_k w_k N(x; m_k, s_k² I) over D = 1 or 2 values; a curve is a long chain of them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from engine.datasets.synthetic import CHUNK, Synthetic, chunked

#: Quadrature: lattice step by number of axes, reach around each centre, and how far off a
#: Gaussian still counts, all in standard deviations.
LATTICE_STEP = {1: 0.1, 2: 1.0 / 3.0}
LATTICE_REACH = 7.0
LATTICE_SIGHT = 14.0
#: Lattice points taken together; they lie in one slab, so that few Gaussians reach them.
LATTICE_CHUNK = 2048


@dataclass(frozen=True)
class Mixture:
    """Weights (K,), centres (K, D) and standard deviations (K,), all float64."""

    weights: Tensor
    means: Tensor
    scales: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, D), shape (B,), nats; float64 is kept."""
        return chunked(self._log_prob, x, CHUNK // len(self.weights))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """N draws (N, D), float32."""
        index = self._draw_components(n, generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator)
        means, scales = self.means.to(torch.float32), self.scales.to(torch.float32)
        return noise.mul_(scales[index, None]).add_(means[index])

    def entropy(self) -> float:
        """−∫ p log p in nats, by the trapezoid rule on a lattice around the centres.

        The rule converges geometrically for such densities; its error here is below 1e-7.
        """
        step = LATTICE_STEP[self.means.shape[1]] * float(self.scales.min())
        total = 0.0
        for slab in torch.split(self._lattice(step), LATTICE_CHUNK):
            log_p = self._near(slab).log_prob(slab)
            total -= float((log_p.exp() * log_p).sum())
        return total * step ** self.means.shape[1]

    def _near(self, slab: Tensor) -> Mixture:
        """The Gaussians that matter between the first and last lattice point of a slab."""
        sight = LATTICE_SIGHT * float(self.scales.max())
        first = self.means[:, 0]
        keep = (first > slab[0, 0] - sight) & (first < slab[-1, 0] + sight)
        return Mixture(self.weights[keep], self.means[keep], self.scales[keep])

    def _draw_components(self, n: int, generator: torch.Generator) -> Tensor:
        if bool((self.weights == self.weights[0]).all()):
            return torch.randint(len(self.weights), (n,), generator=generator)
        edges = self.weights.cumsum(0)[:-1].to(torch.float32)
        return torch.bucketize(torch.rand(n, generator=generator), edges, right=True)

    def _log_prob(self, x: Tensor) -> Tensor:
        means, scales, weights = self.means.to(x), self.scales.to(x), self.weights.to(x)
        n_axes = means.shape[1]
        terms = weights.log() - n_axes * (scales * math.sqrt(2.0 * math.pi)).log()
        for axis in range(n_axes):
            offsets = (x[:, axis, None] - means[:, axis]) / scales  # (B, K)
            terms = torch.addcmul(terms, offsets, offsets, value=-0.5)
        return torch.logsumexp(terms, dim=1)

    def _lattice(self, step: float) -> Tensor:
        """Points step·(whole numbers) within reach of any centre, each once, sorted, (M, D)."""
        n_axes = self.means.shape[1]
        radius = math.ceil(LATTICE_REACH * float(self.scales.max()) / step)
        window = torch.arange(-radius, radius + 1)
        window = torch.cartesian_prod(*[window] * n_axes).reshape(-1, n_axes)
        origins = (self.means / step).round().to(torch.int64)
        low = origins.amin(0) - radius
        sides = origins.amax(0) + radius - low + 1
        strides = torch.tensor([math.prod(sides[a + 1 :].tolist()) for a in range(n_axes)])
        keys = ((origins - low) * strides).sum(1)[:, None] + (window * strides).sum(1)
        keys = torch.unique(keys)
        whole = torch.stack([keys // strides[a] % sides[a] for a in range(n_axes)], dim=1)
        points: Tensor = (whole + low).to(torch.float64) * step
        return points


def equal_mixture(means: Tensor, scale: float) -> Mixture:
    """K Gaussians (K, D) of one weight and one standard deviation."""
    n = len(means)
    ones = torch.ones(n, dtype=torch.float64)
    return Mixture(ones / n, means.to(torch.float64), ones * scale)


def midpoints(n: int) -> Tensor:
    """(i + ½)/n for i = 0 … n − 1: evenly spaced in 0 … 1."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


class MixtureSet(Synthetic):
    """A data set whose truth is a :class:`Mixture` that the ``noise`` setting decides."""

    @classmethod
    @abstractmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""

    def _build(self) -> None:
        self._truth = self.mixture(self.config.noise)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws of the truth, (N, D)."""
        return self._truth.sample(n, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, D), shape (B,), nats."""
        return self._truth.log_prob(x)

    def entropy(self) -> float:
        """H(p) in nats."""
        return _entropy(type(self), self.config.noise)


@cache
def _entropy(kind: type[MixtureSet], noise: float) -> float:
    return kind.mixture(noise).entropy()
