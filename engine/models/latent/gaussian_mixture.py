r"""A mixture of Gaussians, fitted by expectation-maximisation.

Every point belongs to one of K Gaussians; the E-step asks how likely each is to have made it, and
the M-step moves each Gaussian to the points that it answers for. The likelihood never falls.

.. math::
    p(x) = \sum_{k=1}^{K} \pi_k\, \mathcal N(x \mid \mu_k, \Sigma_k), \qquad
    r_{nk} = \frac{\pi_k \mathcal N(x_n \mid \mu_k, \Sigma_k)}
                  {\sum_j \pi_j \mathcal N(x_n \mid \mu_j, \Sigma_j)}

References:
    Dempster, Laird and Rubin, *Maximum Likelihood from Incomplete Data via the EM Algorithm*,
    JRSS B 39, 1977; seeding: Arthur and Vassilvitskii, *k-means++*, SODA 2007.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from engine.drawing import reshaped
from engine.estimators.gaussian import (
    cholesky,
    floored_covariance,
    gaussian_log_prob,
    shaped_covariance,
)
from engine.estimators.gaussian_em import (
    SMALLEST_COUNT,
    Blocks,
    Gaussians,
    Moments,
    block_rows,
    em_moments,
    weighted_moments,
)
from engine.estimators.precision import as_double
from engine.estimators.seeding import plus_plus_centres
from engine.latents import Latents
from engine.model import TrainState
from engine.nets.mixture_model import LOG_Q, MixtureModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: No variance falls below this share of the data's: a lower one is lost in float32.
SMALLEST_VARIANCE = 1e-8
#: Seedings tried in ``prepare`` on so many points at most; the tightest one is taken.
N_SEEDINGS = 24
N_SEEDING_POINTS = 2048


@dataclass(frozen=True)
class GaussianMixtureConfig:
    """Settings of :class:`GaussianMixture`."""

    n_components: Annotated[
        int, Field(1, 200, step=1, symbol="K", help="Number of Gaussians.")
    ] = 8
    covariance: Annotated[
        str,
        Field(
            choices=("full", "diagonal", "spherical"),
            symbol=r"\Sigma_k",
            help="Full: tilted ellipses. Diagonal: upright ones. Spherical: circles.",
        ),
    ] = "full"
    start: Annotated[
        str,
        Field(
            choices=("k-means++", "random"),
            help="Where EM starts: at far-apart points, or at any points, which may trap it.",
        ),
    ] = "k-means++"
    covariance_floor: Annotated[
        float,
        Field(
            0.0,
            1.0,
            scale="log",
            live=True,
            help="Least variance of a Gaussian, as a share of the data's: none can collapse.",
        ),
    ] = 1e-6


class Components(NamedTuple):
    """Weights (K,), means (K, D) and covariances (K, D, D), in the units of the data."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


class GaussianMixture(MixtureModel):
    """Mixture of Gaussians by EM; one training step is one sweep over the whole training split.

    The parameters lie in standardised units as ``weights`` (K,), ``means`` (K, D) and
    ``scale_tril`` (K, D, D), the Cholesky factors; :meth:`components` gives them in the units of
    the data. "Spherical" and "diagonal" are meant in the units of the data.
    """

    Config = GaussianMixtureConfig
    card = ModelCard(
        name="gaussian_mixture",
        title="Gaussian mixture",
        family="latent",
        summary=(
            "Every point was made by one of K Gaussians, and nobody knows which. "
            "EM guesses by whom, refits each Gaussian to its points, and never gets worse."
        ),
        equation=r"p(x)=\sum_{k=1}^{K}\pi_k\,\mathcal{N}\left(x;\mu_k,\Sigma_k\right)",
        paper=Paper(
            authors="A. P. Dempster, N. M. Laird, D. B. Rubin",
            year=1977,
            title="Maximum Likelihood from Incomplete Data via the EM Algorithm",
            where="Journal of the Royal Statistical Society B",
        ),
        features=("components", "half_steps"),
    )

    means: Tensor
    scale_tril: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: GaussianMixtureConfig) -> None:
        super().__init__(event_shape, config, config.n_components)
        n, size = config.n_components, self.event_size
        self.register_buffer("means", torch.randn(n, size))
        self.register_buffer("scale_tril", torch.eye(size).repeat(n, 1, 1))

    @property
    def n_parameters(self) -> int:
        """Number of free values: weights, means and covariances."""
        n, size = self.means.shape
        free = {"full": size * (size + 1) // 2, "diagonal": size, "spherical": 1}
        return int(n - 1 + n * (size + free[self.config.covariance]))

    # --- expectation-maximisation -------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise, and start EM: equal weights, means at data points, broad Gaussians."""
        super().prepare(data, generator=generator)
        n = self.config.n_components
        u = self.standardise(data)
        order = torch.randperm(len(u), generator=generator)[: max(N_SEEDING_POINTS, n)]
        points = u[order.to(u.device)]
        if self.config.start == "random":
            picked = torch.randint(len(points), (n,), generator=generator).to(u.device)
            means = points[picked]
        else:
            means = plus_plus_centres(points, n, generator, n_trials=N_SEEDINGS)
        self.weights.fill_(1.0 / n)
        self.means.copy_(means)
        spread = self._shape(torch.cov(u.T.cpu().double(), correction=0).reshape(1, *self._square))
        share = n ** (-2.0 / self.event_size)
        self.scale_tril.copy_(cholesky(self._floored(spread * share)))

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One sweep of EM on (B, *E); returns the negative log-density before it.

        It is worked in float64: in float32 rounding makes the likelihood tremble.
        """
        weights = as_double(self.weights)
        # Rounded to float32 their sum is off 1 by more than a late sweep gains.
        log_weights = torch.log(weights / weights.sum())
        old = Gaussians(log_weights, as_double(self.means), as_double(self.scale_tril))
        total, moments = em_moments(self._blocks(batch), old, self.config.covariance)
        self._maximise(moments)
        nll = as_double(self.scale).log().sum() - total / len(batch)
        return {"total": nll, "nll": nll}

    @torch.no_grad()
    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        """Weights, means and covariances of events (B, *E) shared out by q."""
        u = torch.cat(list(self._blocks(x)()))
        self._maximise(weighted_moments(u, as_double(q[LOG_Q]).exp(), self.config.covariance))

    def _blocks(self, x: Tensor) -> Blocks:
        """Blocks (n, D) of events (B, *E), standardised, float64."""
        location, scale = as_double(self.location), as_double(self.scale)
        n, structure = self.config.n_components, self.config.covariance
        rows = torch.split(x, block_rows(self.event_size, n, structure, location.device))
        return lambda: ((as_double(part.flatten(1)) - location) / scale for part in rows)

    def _maximise(self, moments: Moments) -> None:
        """The M-step: weighted counts, means and covariances, none of them below the floor."""
        counts = moments.counts.to(self.means.device)
        alive = counts > SMALLEST_COUNT
        covariances = self._shape(moments.covariances.cpu())
        factors = cholesky(self._floored(covariances)).to(self.scale_tril)
        self.weights.copy_(counts / counts.sum())
        means = moments.means.to(self.means)
        self.means.copy_(torch.where(alive[:, None], means, self.means))
        self.scale_tril.copy_(torch.where(alive[:, None, None], factors, self.scale_tril))

    def _shape(self, covariances: Tensor) -> Tensor:
        return shaped_covariance(covariances, self.config.covariance, self.scale.cpu())

    def _floored(self, covariances: Tensor) -> Tensor:
        """Shaped covariances (K, D, D) with the least variance; round where they are round."""
        least = max(self.config.covariance_floor, SMALLEST_VARIANCE)
        floor = self._shape(least * torch.eye(self.event_size, dtype=torch.float64)[None])[0]
        return floored_covariance(covariances, floor.diagonal())

    @property
    def _square(self) -> tuple[int, int]:
        return self.event_size, self.event_size

    # --- components ---------------------------------------------------------------------------

    def log_joint(self, x: Tensor) -> Tensor:
        """log π_k + log N(x; k) of (B, *E), (B, K), nats."""
        log_densities = gaussian_log_prob(self.standardise(x), self.means, self.scale_tril)
        return self.weights.log() + self.standardise_log_det + log_densities

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """The Gaussian of each component (B,) of integers, in the units of the data."""
        k = latents["component"].long()
        means = self.means[k] * self.scale + self.location
        factors = self.scale_tril[k] * self.scale[:, None]
        gaussians = MultivariateNormal(means, scale_tril=factors, validate_args=False)
        return reshaped(gaussians, self.event_shape)

    def components(self) -> Components:
        """Weights, means and covariances in the units of the data, for ellipses."""
        factors = self.scale_tril * self.scale[:, None]
        means = self.means * self.scale + self.location
        return Components(self.weights, means, factors @ factors.mT)
