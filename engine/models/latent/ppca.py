r"""Probabilistic PCA: a few axes through the data, with round noise around them.

A point is a linear image of a few hidden normal numbers plus noise of one width in every
direction; the best axes are the leading eigenvectors of the covariance S, and the noise is what
they leave over.

.. math::
    x = W z + \mu + \epsilon, \quad z \sim \mathcal N(0, I), \;
    \epsilon \sim \mathcal N(0, \sigma^2 I) \quad\Rightarrow\quad
    p(x) = \mathcal N(x \mid \mu,\; W W^\top + \sigma^2 I)

References:
    Tipping and Bishop, *Probabilistic Principal Component Analysis*, JRSS B 61, 1999.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from engine.drawing import draw
from engine.estimators.gaussian import cholesky
from engine.latents import Elbo, Latent, Latents
from engine.model import SMALLEST_SPREAD, GenerativeModel, TrainState
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: The noise variance stays above this share of the mean variance of the data.
SMALLEST_NOISE = 1e-6
LOG_TWO_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class PPCAConfig:
    """Settings of :class:`PPCA`."""

    latent_features: Annotated[
        int, Field(1, 256, step=1, symbol="Z", help="Number of axes, below that of coordinates.")
    ] = 1
    estimator: Annotated[
        str,
        Field(
            choices=("em", "closed_form"),
            help="EM turns the axes sweep by sweep; the closed form finds them in one step.",
        ),
    ] = "em"


@dataclass(frozen=True)
class GaussianPosterior:
    """The exact posterior of "z": means (B, Z) and one covariance factor (Z, Z) for all."""

    mean: Tensor
    scale_tril: Tensor

    @property
    def distribution(self) -> MultivariateNormal:
        """q(z given x), batch (B,), event (Z,)."""
        return MultivariateNormal(self.mean, scale_tril=self.scale_tril)

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws: ({"z": (K, B, Z)}, log_q (K, B))."""
        z = draw(self.distribution, generator, (k,))
        log_q: Tensor = self.distribution.log_prob(z)  # type: ignore[no-untyped-call]
        return {"z": z}, log_q


class PPCA(GenerativeModel):
    """Probabilistic principal component analysis, by eigenvectors or by EM.

    ``W`` (D, Z), ``mu`` (D,) and ``sigma2`` () are in the units of the data, which are only
    centred: the noise is round in those units. One axis of one coordinate (D = 1) is not
    identified; the closed form then gives half of the variance to each side.

    Raises:
        ValueError: ``latent_features`` is not below the number of coordinates (of two or more).
    """

    Config = PPCAConfig
    full_batch = True
    card = ModelCard(
        name="ppca",
        title="Probabilistic PCA",
        family="latent",
        summary=(
            "A few hidden numbers span a line or plane through the data, and round noise lies "
            "around it. Its axes are those of PCA, but here they belong to a density."
        ),
        equation=r"p(x)=\mathcal{N}\left(x;\mu,\;WW^{\top}+\sigma^2 I\right)",
        paper=Paper(
            authors="M. E. Tipping, C. M. Bishop",
            year=1999,
            title="Probabilistic Principal Component Analysis",
            where="Journal of the Royal Statistical Society B",
        ),
    )

    W: Tensor
    sigma2: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: PPCAConfig) -> None:
        super().__init__(event_shape, config)
        n_axes = config.latent_features
        if n_axes >= max(self.event_size, 2):
            raise ValueError(
                f"latent_features: given {n_axes}, wanted less than the {self.event_size} "
                "coordinates of an observation: with all of them no noise would be left"
            )
        self.register_buffer("W", torch.randn(self.event_size, n_axes))
        self.register_buffer("sigma2", torch.ones(()))

    @property
    def mu(self) -> Tensor:
        """(D,), the mean; the maximum-likelihood one is that of the data."""
        return self.location

    @property
    def n_parameters(self) -> int:
        """Number of free values: W up to a rotation, the mean and the noise."""
        size, n_axes = self.W.shape
        return int(size * n_axes - n_axes * (n_axes - 1) // 2 + size + 1)

    # --- estimation ---------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Centre, and start from random axes and noise as large as the data."""
        super().prepare(data, generator=generator)
        # Units of the data are kept: another scale per coordinate would be another model.
        variance = self._flat(data).cpu().to(torch.float64).var(0, correction=0).mean()
        variance = variance.clamp_min(SMALLEST_SPREAD**2).to(self.W)
        self.scale.fill_(1.0)
        start = torch.randn(self.W.shape, generator=generator, dtype=self.W.dtype)
        self.W.copy_(start.to(self.W) * variance.sqrt())
        self.sigma2.copy_(variance)

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean negative log-density, nats per event; it is lowered without a gradient."""
        nll = -self.log_prob(x).mean()
        return {"total": nll, "nll": nll}

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One sweep over (B, *E): returns the negative log-density before it."""
        losses = self.loss(batch, generator=generator)
        v = self.standardise(batch).cpu().double()
        covariance = v.T @ v / len(v)  # (D, D), around mu
        if self.config.estimator == "closed_form":
            W, sigma2 = closed_form(covariance, self.W.shape[1])
        else:
            W, sigma2 = em_sweep(covariance, self.W.cpu().double(), self.sigma2.cpu().double())
        floor = (SMALLEST_NOISE * covariance.diagonal().mean()).clamp_min(SMALLEST_SPREAD**2)
        self.W.copy_(W)
        self.sigma2.copy_(torch.maximum(sigma2, floor))
        return losses

    # --- density and posterior ----------------------------------------------------------------

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log-density of (B, *E), (B,), nats."""
        v = self.standardise(x)
        factor = cholesky(self._inner()[None])[0]  # of M, (Z, Z)
        z = torch.cholesky_solve((v @ self.W).mT, factor).mT  # the posterior mean, (B, Z)
        # |v − Wz|²/σ² + |z|² = vᵀC⁻¹v, but never the difference of two large numbers.
        square = (v - z @ self.W.mT).square().sum(-1) / self.sigma2 + z.square().sum(-1)
        size, n_axes = self.W.shape
        log_det = (size - n_axes) * self.sigma2.log() + 2.0 * factor.diagonal().log().sum()
        total: Tensor = square + log_det + size * LOG_TWO_PI
        return -0.5 * total

    def _inner(self) -> Tensor:
        """M = WᵀW + σ² I, (Z, Z)."""
        return self.W.mT @ self.W + self.sigma2 * torch.eye(self.W.shape[1]).to(self.W)

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> GaussianPosterior:
        """The exact posterior N(M⁻¹ Wᵀ (x − μ), σ² M⁻¹)."""
        inverse = torch.cholesky_inverse(cholesky(self._inner()[None])[0])
        mean = self.standardise(x) @ self.W @ inverse
        return GaussianPosterior(mean, cholesky((self.sigma2 * inverse)[None])[0])

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        """The bound with the exact posterior, where it is tight: total = log p(x)."""
        posterior = self.encode(x)
        mean, factor = posterior.mean, posterior.scale_tril
        expected = (self.standardise(x) - mean @ self.W.mT).square().sum(-1)
        expected = expected + (self.W @ factor).square().sum()
        size, n_axes = self.W.shape
        constant = -0.5 * size * (LOG_TWO_PI + self.sigma2.log())
        reconstruction = constant - 0.5 * expected / self.sigma2
        log_det = 2.0 * factor.diagonal().log().sum()
        kl = 0.5 * (mean.square().sum(-1) + factor.square().sum() - n_axes - log_det)
        latents, log_q = posterior.sample(n_draws, generator)
        log_weights = self._log_joint(self._flat(x), latents["z"]) - log_q
        return Elbo(reconstruction - kl, reconstruction, {"z": kl}, log_weights)

    def _log_joint(self, flat: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) of (B, D) and (K, B, Z), (K, B)."""
        residual = flat - self.mu - z @ self.W.mT
        square = residual.square().sum(-1) / self.sigma2 + z.square().sum(-1)
        n_values = flat.shape[-1] + z.shape[-1]
        return -0.5 * (square + n_values * LOG_TWO_PI + flat.shape[-1] * self.sigma2.log())

    # --- generation ---------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Latent, ...]:
        """The coordinates along the axes."""
        return (Latent("z", (self.W.shape[1],)),)

    def prior(self, parents: Latents) -> Distribution:
        """Standard normal."""
        if "z" in parents:
            raise ValueError("prior: given z, wanted no parents: it is the only latent")
        zeros = torch.zeros(self.W.shape[1]).to(self.W)
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """N(W z + μ, σ² I) of z (B, Z), batch (B,), event *E."""
        mean = self.unstandardise(latents["z"] @ self.W.mT)
        return Independent(Normal(mean, self.sigma2.sqrt().expand_as(mean)), len(self.event_shape))

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E)."""
        z = draw(self.prior({}), generator, (n,))
        return draw(self.decode({"z": z}), generator)


def closed_form(covariance: Tensor, n_axes: int) -> tuple[Tensor, Tensor]:
    r"""The maximum-likelihood W (D, Z) and σ² () of a covariance S (D, D).

    .. math:: W = U_Z (\Lambda_Z - \sigma^2 I)^{1/2}, \quad
        \sigma^2 = \tfrac{1}{D - Z} \sum_{j > Z} \lambda_j
    """
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp_min(0.0), vectors.flip(1)
    left_over = values[n_axes:]
    sigma2 = left_over.mean() if len(left_over) else 0.5 * values[-1]
    lengths = (values[:n_axes] - sigma2).clamp_min(0.0).sqrt()
    return vectors[:, :n_axes] * lengths, sigma2


def em_sweep(covariance: Tensor, W: Tensor, sigma2: Tensor) -> tuple[Tensor, Tensor]:
    r"""One sweep of EM from W (D, Z) and σ² () (Tipping and Bishop, equations 29 and 30).

    .. math::
        \widetilde W = S W (\sigma^2 I + M^{-1} W^\top S W)^{-1}, \quad
        \widetilde\sigma^2 = \tfrac1D \operatorname{tr}(S - S W M^{-1} \widetilde W^\top)
    """
    eye = torch.eye(W.shape[1], dtype=W.dtype)
    inverse = torch.linalg.inv(W.T @ W + sigma2 * eye)  # M⁻¹, (Z, Z)
    SW = covariance @ W
    new = torch.linalg.solve((sigma2 * eye + inverse @ W.T @ SW).T, SW.T).T
    trace = covariance.trace() - (SW @ inverse * new).sum()
    return new, trace / len(covariance)
