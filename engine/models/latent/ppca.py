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

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.model import SMALLEST_SPREAD, TrainState
from engine.nets.linear_gaussian import LinearGaussianModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: The noise variance stays above this share of the mean variance of the data.
SMALLEST_NOISE = 1e-6


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


class PPCA(LinearGaussianModel):
    """Probabilistic principal component analysis, by eigenvectors or by EM.

    ``W`` (D, Z), ``mu`` (D,) and ``sigma2`` () are in the units of the data, which are only
    centred: the noise is round in those units. One axis of one coordinate (D = 1) is not
    identified; the closed form then gives half of the variance to each side.

    Raises:
        ValueError: ``latent_features`` is not below the number of coordinates (of two or more).
    """

    Config = PPCAConfig
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
        features=("half_steps",),
    )

    sigma2: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: PPCAConfig) -> None:
        n_axes = config.latent_features
        super().__init__(event_shape, config, n_axes)
        if n_axes >= max(self.event_size, 2):
            raise ValueError(
                f"latent_features: given {n_axes}, wanted less than the {self.event_size} "
                "coordinates of an observation: with all of them no noise would be left"
            )
        self.register_buffer("sigma2", torch.ones(()))

    @property
    def noise(self) -> Tensor:
        """(D,), the same variance for every coordinate."""
        return self.sigma2.expand(self.event_size)

    def set_noise(self, residuals: Tensor, variances: Tensor) -> None:
        """The mean residual variance, no less than a small share of the data's."""
        floor = (SMALLEST_NOISE * variances.mean()).clamp_min(SMALLEST_SPREAD**2)
        self.sigma2.copy_(torch.maximum(residuals.mean(), floor))

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
        self.W.copy_(W)
        self.set_noise(sigma2, covariance.diagonal())
        return losses


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
