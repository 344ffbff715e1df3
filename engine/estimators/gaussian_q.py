r"""The bound of one event as a function of a Gaussian q, its best value, and the way there.

With q = N(μ, L Lᵀ) over one or two latents the bound is a Gauss–Hermite sum without noise,

.. math::
    \mathcal L(\mu, L) = E_q[\log p(x, z)] + H(q)
        \approx \sum_i w_i \log p(x, \mu + L \xi_i)
        + \sum_j \log L_{jj} + \tfrac Z2 \log 2\pi e,

whose gradient leads uphill (iterative inference). What the encoder loses to the best q of its
family is the amortisation gap, what that loses to log p(x) the approximation gap.

References:
    Cremer, Li and Duvenaud, *Inference Suboptimality in Variational Autoencoders*, ICML 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from engine.estimators.density import CancellationError, Cancelled
from engine.estimators.latent_grid import LogJoint

#: Gauss–Hermite nodes a side in one and two dimensions.
NODES = {1: 64, 2: 16}
#: Most steps of the quasi-Newton ascent from one start, and when it has arrived.
MOST_STEPS, ARRIVED = 200, 1e-10
#: A step that would go down is halved at most so often.
MOST_HALVINGS = 12
#: log σ stays within these, so that no step runs away.
LOG_SCALE_BOUNDS = (-12.0, 6.0)


@dataclass(frozen=True)
class GaussianQ:
    """q = N(mean, factor factorᵀ): (Z,) and lower triangular (Z, Z), float64."""

    mean: Tensor
    factor: Tensor

    @property
    def covariance(self) -> Tensor:
        """(Z, Z)."""
        return self.factor @ self.factor.mT

    @property
    def is_diagonal(self) -> bool:
        """Whether its axes are those of the latents."""
        return not bool(self.factor.tril(-1).any())


def gaussian_of(distribution: Distribution) -> GaussianQ | None:
    """The q of the first event of a batch, or None where it is no Gaussian."""
    if isinstance(distribution, Independent):
        return gaussian_of(distribution.base_dist)
    if isinstance(distribution, Normal):
        mean, scale = distribution.loc[0].flatten(), distribution.scale[0].flatten()
        return GaussianQ(mean.cpu().double(), torch.diag(scale).cpu().double())
    if isinstance(distribution, MultivariateNormal):
        factor = distribution.scale_tril.expand(*distribution.batch_shape, -1, -1)[0]
        return GaussianQ(distribution.loc[0].cpu().double(), factor.cpu().double())
    return None


class BoundOfQ:
    """L(q) of one event: by Gauss–Hermite quadrature, or as a mean over given noise.

    Args:
        log_joint: log p(x, z) of (P, Z) float64, with gradient to z.
        size: Z; 1 or 2 for quadrature.
        diagonal: Whether q's family has no correlations.
        noise: Standard normal draws (N, Z) that take the place of the quadrature's nodes.
    """

    def __init__(
        self, log_joint: LogJoint, size: int, *, diagonal: bool, noise: Tensor | None = None
    ) -> None:
        self._log_joint = log_joint
        self.size, self.diagonal = size, diagonal
        self._below = torch.tril_indices(size, size, -1)
        if noise is not None:
            self.nodes = noise
            self.weights = torch.full((len(noise),), 1.0 / len(noise), dtype=torch.float64)
            return
        if size not in NODES:
            raise ValueError(f"the best q: given {size} latents, wanted 1 or 2")
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES[size])
        axis = torch.tensor(nodes, dtype=torch.float64)
        share = torch.tensor(weights / weights.sum(), dtype=torch.float64)
        self.nodes = torch.cartesian_prod(*[axis] * size).reshape(-1, size)
        self.weights = torch.cartesian_prod(*[share] * size).reshape(-1, size).prod(-1)

    @property
    def rows_below(self) -> Tensor:
        """Rows of the free numbers below the diagonal; none where there are no correlations."""
        return self._below[0][:0] if self.diagonal else self._below[0]

    def __call__(self, q: GaussianQ) -> Tensor:
        """L(q), a scalar, nats."""
        z = q.mean + self.nodes @ q.factor.mT
        expected = (self.weights * self._log_joint(z)).sum()
        entropy = 0.5 * self.size * math.log(2.0 * math.pi * math.e)
        return expected + entropy + q.factor.diagonal().log().sum()

    # --- free numbers: μ, log L_jj, and what is below the diagonal where there are correlations --

    def pack(self, q: GaussianQ) -> Tensor:
        """q as free numbers; correlations are left out where the family has none."""
        scales = q.covariance.diagonal().sqrt() if self.diagonal else q.factor.diagonal()
        parts = [q.mean, scales.log().clamp(*LOG_SCALE_BOUNDS)]
        if not self.diagonal:
            parts.append(q.factor[self._below[0], self._below[1]])
        return torch.cat(parts)

    def unpack(self, free: Tensor) -> GaussianQ:
        """The q of free numbers."""
        mean, log_scales = free[: self.size], free[self.size : 2 * self.size]
        factor = torch.diag(log_scales.clamp(*LOG_SCALE_BOUNDS).exp())
        if not self.diagonal:
            lower = torch.zeros(self.size, self.size, dtype=free.dtype)
            factor = factor + lower.index_put((self._below[0], self._below[1]),
                                              free[2 * self.size :])  # fmt: skip
        return GaussianQ(mean, factor)

    def gradient(self, free: Tensor) -> tuple[float, Tensor]:
        """L and its gradient at free numbers."""
        with torch.enable_grad():
            leaf = free.detach().clone().requires_grad_()
            value = self(self.unpack(leaf))
            (slope,) = torch.autograd.grad(value, leaf)
        return float(value.detach()), slope


@dataclass(frozen=True)
class BestQ:
    """The best q found, its bound in nats, and how many of the starts led to it (to 1e-3)."""

    q: GaussianQ
    elbo: float
    n_starts: int
    n_agreeing: int


def best_q(
    bound: BoundOfQ,
    starts: Sequence[GaussianQ],
    *,
    most_steps: int = MOST_STEPS,
    cancelled: Cancelled | None = None,
) -> BestQ:
    """Climb L from every start by quasi-Newton steps and keep the highest.

    Raises:
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    found: list[tuple[float, Tensor]] = []
    for start in starts:
        if cancelled is not None and cancelled():
            raise CancellationError
        found.append(_climbed(bound, bound.pack(start), most_steps))
    values = [value for value, _ in found]
    best = max(range(len(found)), key=lambda i: values[i])
    agreeing = sum(values[best] - value < 1e-3 for value in values)
    return BestQ(bound.unpack(found[best][1]), values[best], len(found), agreeing)


def _climbed(bound: BoundOfQ, start: Tensor, most_steps: int) -> tuple[float, Tensor]:
    free = start.detach().clone().requires_grad_()
    climber = torch.optim.LBFGS(
        [free], max_iter=most_steps, tolerance_grad=ARRIVED, tolerance_change=ARRIVED,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def evaluate() -> Tensor:
        value, slope = bound.gradient(free)
        free.grad = -slope
        return torch.tensor(-value, dtype=torch.float64)

    climber.step(evaluate)  # type: ignore[no-untyped-call]
    arrived = free.detach()
    value, _ = bound.gradient(arrived)
    first, _ = bound.gradient(start)
    # A line search that went astray must not lose what the start had.
    return (value, arrived) if value >= first else (first, start)


@dataclass(frozen=True)
class Walk:
    """Iterative inference: means (T + 1, Z), factors (T + 1, Z, Z), the bound (T + 1,) in nats."""

    means: Tensor
    factors: Tensor
    elbo: Tensor


def walk(
    bound: BoundOfQ,
    start: GaussianQ,
    *,
    n_steps: int,
    learning_rate: float,
    cancelled: Cancelled | None = None,
) -> Walk:
    r"""Gradient steps on q's own numbers with the decoder held still; L never falls.

    .. math:: \Delta\mu = \eta\, \Sigma\, \partial_\mu \mathcal L, \quad
        \Delta \log L_{jj} = \tfrac\eta2\, \partial_{\log L_{jj}} \mathcal L

    The steps are those of the natural gradient, so that their length fits q's width; one that
    would go down is halved until it does not.

    Raises:
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    free = bound.pack(start)
    value, slope = bound.gradient(free)
    places, values = [bound.unpack(free)], [value]
    for _ in range(n_steps):
        if cancelled is not None and cancelled():
            raise CancellationError
        free, value, slope = _stepped(bound, (free, value, slope), learning_rate)
        places.append(bound.unpack(free))
        values.append(value)
    return Walk(
        torch.stack([q.mean for q in places]),
        torch.stack([q.factor for q in places]),
        torch.tensor(values, dtype=torch.float64),
    )


def _stepped(
    bound: BoundOfQ, at: tuple[Tensor, float, Tensor], length: float
) -> tuple[Tensor, float, Tensor]:
    """One step uphill from numbers, L and slope there; the same ones where none goes up."""
    free, value, slope = at
    q, size = bound.unpack(free), bound.size
    scales = q.factor.diagonal().square()
    way = torch.cat([
        q.covariance @ slope[:size],
        0.5 * slope[size : 2 * size],
        slope[2 * size :] * scales[bound.rows_below],
    ])  # fmt: skip
    for _ in range(MOST_HALVINGS):
        further = free + length * way
        new, new_slope = bound.gradient(further)
        if new >= value:
            return further, new, new_slope
        length *= 0.5
    return at
