r"""Variational EM with a Gaussian q for every point: no encoder, a mean and a width per latent.

Every training point n keeps its own q_n = N(m_n, diag s_n²), stored beside the model. The E-step
moves each latent's mean and width to their best while the others stand (a fixed point to which L
climbs); the M-step refits the axes. A q without tilt cannot be a tilted posterior: the gap stays
until the axes themselves have turned so that the posterior stands upright.

.. math::
    x = W z + \mu + \epsilon, \quad \epsilon \sim \mathcal N(0, \sigma^2 I), \qquad
    s_{nj}^2 = \frac{1}{M_{jj}}, \quad
    m_{nj} = \frac{(W^\top v_n)_j / \sigma^2 - \sum_{i \ne j} M_{ji} m_{ni}}{M_{jj}}, \quad
    M = I + \frac{W^\top W}{\sigma^2}, \quad v_n = x_n - \mu

References:
    Jordan, Ghahramani, Jaakkola and Saul, *An Introduction to Variational Methods for Graphical
    Models*, Machine Learning 37, 1999; why the axes turn: Lucas et al., *Don't Blame the ELBO!*,
    NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.estimators.gaussian import cholesky
from engine.estimators.half_steps import em_step
from engine.model import SMALLEST_SPREAD, TrainState
from engine.nets.linear_gaussian import GaussianPosterior, LinearGaussianModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: The noise variance stays above this share of the mean variance of the data.
SMALLEST_NOISE = 1e-6


@dataclass(frozen=True)
class MeanFieldEMConfig:
    """Settings of :class:`MeanFieldEM`."""

    latent_features: Annotated[
        int, Field(1, 64, step=1, symbol="Z", help="Number of latent coordinates.")
    ] = 2
    posterior: Annotated[
        str,
        Field(
            choices=("diagonal", "full"),
            symbol="q",
            live=True,
            help="Diagonal: a width per latent. Full: any ellipse, which lets the gap close.",
        ),
    ] = "diagonal"
    e_sweeps: Annotated[
        int,
        Field(
            1,
            100,
            step=1,
            live=True,
            help="Rounds over the latents in one E-step: with few q lags behind its best.",
        ),
    ] = 2


class MeanFieldEM(LinearGaussianModel):
    """Variational EM of a linear-Gaussian model; a training step is one E- and one M-step.

    ``W`` (D, Z), ``mu`` (D,) and ``sigma2`` () are in the units of the data, which are only
    centred, as in probabilistic PCA. Its log-density is exact, so the gap is too.
    """

    Config = MeanFieldEMConfig
    card = ModelCard(
        name="mean_field_em",
        title="Variational EM, Gaussian q",
        family="latent",
        summary=(
            "Every point keeps a mean and a width for its own latents, and no encoder is needed. "
            "The gap to log p stays open until the axes have turned to suit such a q."
        ),
        equation=(
            r"\log p(x_n)=\mathcal{L}(m_n,s_n,\theta)+\mathrm{KL}\left("
            r"\mathcal{N}(m_n,\mathrm{diag}\,s_n^2)\,\|\,p(z|x_n)\right)"
        ),
        paper=Paper(
            authors="M. I. Jordan, Z. Ghahramani, T. S. Jaakkola, L. K. Saul",
            year=1999,
            title="An Introduction to Variational Methods for Graphical Models",
            where="Machine Learning",
        ),
        features=("half_steps",),
    )

    sigma2: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: MeanFieldEMConfig) -> None:
        super().__init__(event_shape, config, config.latent_features)
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
        """Number of free values of θ: W, the mean and the noise."""
        return self.W.numel() + self.event_size + 1

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Centre, and start from random axes and noise as large as the data."""
        super().prepare(data, generator=generator)
        # Round noise is meant in the units of the data, so they are kept.
        variance = self.scale.square().mean()
        self.scale.fill_(1.0)
        start = torch.randn(self.W.shape, generator=generator, dtype=self.W.dtype)
        self.W.copy_(start.to(self.W) * variance.sqrt())
        self.sigma2.copy_(variance)

    # --- variational EM -----------------------------------------------------------------------

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One E- and one M-step on all events (:func:`engine.estimators.half_steps.em_step`)."""
        return em_step(self, batch, state.memory)

    @torch.no_grad()
    def e_step(self, x: Tensor, q: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Raise L over each event's ``mean`` and ``scale`` (B, Z), from the prior where q is None.

        A full q has a ``scale_tril`` (B, Z, Z) instead; its means climb in the same rounds.
        """
        M = self._precision()
        pull = (self.standardise(x) / self.noise) @ self.W  # (B, Z)
        mean = torch.zeros_like(pull) if q is None else q["mean"].clone()
        for _ in range(self.config.e_sweeps):
            for j in range(len(M)):
                others = mean @ M[j] - mean[:, j] * M[j, j]
                mean[:, j] = (pull[:, j] - others) / M[j, j]
        if self.config.posterior == "full":
            factor = cholesky(torch.linalg.inv(M)[None])
            return {"mean": mean, "scale_tril": factor.expand(len(mean), -1, -1).clone()}
        return {"mean": mean, "scale": M.diagonal().rsqrt().expand_as(mean).clone()}

    def posterior_of(self, q: Mapping[str, Tensor]) -> GaussianPosterior:
        """N(mean, diag scale²) of each event, or the tilted one where q may be full."""
        if self.config.posterior == "full":
            return GaussianPosterior(q["mean"], q["scale_tril"])
        return GaussianPosterior(q["mean"], torch.diag_embed(q["scale"]))

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> GaussianPosterior:
        """The best q of its kind for (B, *E), to which the E-step's rounds converge."""
        exact = super().encode(x)
        if self.config.posterior == "full":
            return exact
        scale = self._precision().diagonal().rsqrt()
        return GaussianPosterior(exact.mean, torch.diag(scale))

    def _precision(self) -> Tensor:
        """M = I + WᵀW / σ², (Z, Z), the posterior's."""
        inner = self.W.mT @ self.W / self.sigma2
        return inner + torch.eye(len(inner)).to(inner)
