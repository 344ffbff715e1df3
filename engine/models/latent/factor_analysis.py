r"""Factor analysis: a few hidden causes of what the coordinates share, and noise of each its own.

As probabilistic PCA, but every coordinate has a noise of its own width: what two coordinates have
in common goes to the factors, what only one has is its noise. The units of a coordinate do not
matter, and there is no closed form: EM climbs.

.. math::
    x = W z + \mu + \epsilon, \quad z \sim \mathcal N(0, I), \;
    \epsilon \sim \mathcal N(0, \Psi), \; \Psi = \operatorname{diag}(\psi_1, \dots, \psi_D)
    \quad\Rightarrow\quad p(x) = \mathcal N(x \mid \mu,\; W W^\top + \Psi)

References:
    Rubin and Thayer, *EM Algorithms for ML Factor Analysis*, Psychometrika 47, 1982; factors:
    Spearman, *"General Intelligence," Objectively Determined and Measured*, 1904.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.estimators.precision import as_double
from engine.model import SMALLEST_SPREAD, TrainState
from engine.nets.linear_gaussian import LinearGaussianModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: A coordinate's noise stays above this share of its variance.
SMALLEST_NOISE = 1e-6


@dataclass(frozen=True)
class FactorAnalysisConfig:
    """Settings of :class:`FactorAnalysis`."""

    latent_features: Annotated[
        int,
        Field(1, 256, step=1, symbol="Z", help="Number of factors, below that of coordinates."),
    ] = 1


class FactorAnalysis(LinearGaussianModel):
    """Factor analysis by EM; one training step is one sweep over the whole training split.

    ``W`` (D, Z), the loadings, and ``psi`` (D,), the noise variances, lie in standardised units.

    Raises:
        ValueError: ``latent_features`` is not below the number of coordinates (of two or more).
    """

    Config = FactorAnalysisConfig
    card = ModelCard(
        name="factor_analysis",
        title="Factor analysis",
        family="latent",
        summary=(
            "A few hidden factors make what the coordinates have in common; what is left of each "
            "is noise of its own width. EM climbs to the likeliest loadings."
        ),
        equation=(
            r"p(x)=\mathcal{N}\left(x;\mu,\;WW^{\top}+\Psi\right),\quad"
            r"\Psi=\mathrm{diag}(\psi_1,\dots,\psi_D)"
        ),
        paper=Paper(
            authors="D. B. Rubin, D. T. Thayer",
            year=1982,
            title="EM Algorithms for ML Factor Analysis",
            where="Psychometrika",
        ),
        features=("half_steps",),
    )

    psi: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: FactorAnalysisConfig) -> None:
        n_factors = config.latent_features
        super().__init__(event_shape, config, n_factors)
        if n_factors >= max(self.event_size, 2):
            raise ValueError(
                f"latent_features: given {n_factors}, wanted less than the {self.event_size} "
                "coordinates of an observation: factors are what coordinates have in common"
            )
        self.register_buffer("psi", torch.ones(self.event_size))

    @property
    def noise(self) -> Tensor:
        """(D,), a variance for each coordinate."""
        return self.psi

    def set_noise(self, residuals: Tensor, variances: Tensor) -> None:
        """Each residual variance (D,), no less than a small share of its coordinate's."""
        floor = (SMALLEST_NOISE * variances).clamp_min(SMALLEST_SPREAD)
        self.psi.copy_(torch.maximum(residuals, floor))

    @property
    def n_parameters(self) -> int:
        """Number of free values: W up to a rotation, the mean and the noises."""
        size, n_factors = self.W.shape
        return int(size * n_factors - n_factors * (n_factors - 1) // 2 + 2 * size)

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise, and start from small random loadings and noise as large as the data."""
        super().prepare(data, generator=generator)
        start = torch.randn(self.W.shape, generator=generator, dtype=self.W.dtype)
        self.W.copy_(start.to(self.W) / self.W.shape[1] ** 0.5)
        self.psi.fill_(1.0)

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        r"""One sweep of EM on (B, *E); returns the negative log-density before it.

        With S the covariance of the data around μ and β = M⁻¹ Wᵀ Ψ⁻¹ (Rubin and Thayer 1982):

        .. math::
            \widetilde W = S \beta^\top (M^{-1} + \beta S \beta^\top)^{-1}, \quad
            \widetilde\Psi = \operatorname{diag}(S - \widetilde W \beta S)
        """
        losses = self.loss(batch, generator=generator)
        v = as_double(self.standardise(batch))
        S = v.mT @ v / len(v)
        W, psi = as_double(self.W), as_double(self.psi)
        M = torch.eye(W.shape[1]).to(W) + (W / psi[:, None]).mT @ W
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(M))
        beta = inverse @ (W / psi[:, None]).mT  # (Z, D)
        cross = S @ beta.mT
        self._maximise(cross, inverse + beta @ cross, S.diagonal())
        return losses
