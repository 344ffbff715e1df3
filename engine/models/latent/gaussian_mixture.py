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

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MultivariateNormal

from engine.drawing import categorical_from_uniform, draw, reshaped, uniform_noise
from engine.estimators.gaussian import (
    cholesky,
    floored_covariance,
    gaussian_log_prob,
    shaped_covariance,
)
from engine.estimators.seeding import plus_plus_centres
from engine.latents import Elbo, Latent, Latents
from engine.model import GenerativeModel, TrainState
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: A component that answers for less than this many points keeps its place and shape.
SMALLEST_COUNT = 1e-6
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


@dataclass(frozen=True)
class CategoryPosterior:
    """The exact posterior over components: ``log_probs`` (B, K), nats."""

    log_probs: Tensor

    @property
    def probs(self) -> Tensor:
        """Responsibilities (B, K)."""
        return self.log_probs.exp()

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws: ({"component": (K, B)}, log_q (K, B))."""
        noise = uniform_noise((k, len(self.log_probs)), generator, self.log_probs)
        chosen = categorical_from_uniform(self.probs, noise)
        return {"component": chosen}, _pick(self.log_probs, chosen)


class GaussianMixture(GenerativeModel):
    """Mixture of Gaussians by EM; one training step is one sweep over the whole training split.

    The parameters lie in standardised units as ``weights`` (K,), ``means`` (K, D) and
    ``scale_tril`` (K, D, D), the Cholesky factors; :meth:`components` gives them in the units of
    the data. "Spherical" and "diagonal" are meant in the units of the data.
    """

    Config = GaussianMixtureConfig
    full_batch = True
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
        features=("components",),
    )

    weights: Tensor
    means: Tensor
    scale_tril: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: GaussianMixtureConfig) -> None:
        super().__init__(event_shape, config)
        n, size = config.n_components, self.event_size
        self.register_buffer("weights", torch.full((n,), 1.0 / n))
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

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean negative log-density, nats per event; EM lowers it without a gradient."""
        nll = -self.log_prob(x).mean()
        return {"total": nll, "nll": nll}

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One sweep of EM on (B, *E); returns the negative log-density before it.

        It is worked in float64: in float32 rounding makes the likelihood tremble.
        """
        location, scale = _double(self.location), _double(self.scale)
        u = (_double(batch.reshape(len(batch), -1)) - location) / scale
        log_densities = gaussian_log_prob(u, _double(self.means), _double(self.scale_tril))
        # Rounded to float32 their sum is off 1 by more than a late sweep gains.
        joint = torch.log(_double(self.weights) / _double(self.weights).sum()) + log_densities
        total = torch.logsumexp(joint, -1)
        self._maximise(u, torch.exp(joint - total[:, None]))
        nll = scale.log().sum() - total.mean()
        return {"total": nll, "nll": nll}

    def _maximise(self, u: Tensor, responsibilities: Tensor) -> None:
        """The M-step: weighted counts, means and covariances, none of them below the floor."""
        counts = responsibilities.sum(0)  # (K,)
        alive = (counts > SMALLEST_COUNT).to(self.means.device)
        shares = responsibilities / counts.clamp_min(SMALLEST_COUNT)
        means = shares.T @ u
        pairs = zip(means, shares.T, strict=True)
        covariances = torch.stack([_scatter(u - mean, share) for mean, share in pairs])
        factors = cholesky(self._floored(self._shape(covariances))).to(self.scale_tril)
        self.weights.copy_(counts / counts.sum())
        self.means.copy_(torch.where(alive[:, None], means.to(self.means), self.means))
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

    # --- density and posterior ----------------------------------------------------------------

    def _joint(self, u: Tensor) -> Tensor:
        """log π_k + log N(u; k), (B, K), in standardised units."""
        return self.weights.log() + gaussian_log_prob(u, self.means, self.scale_tril)

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log-density of (B, *E), (B,), nats."""
        total: Tensor = torch.logsumexp(self._joint(self.standardise(x)), -1)
        return total + self.standardise_log_det

    def responsibilities(self, x: Tensor) -> Tensor:
        """p(component given x) of (B, *E), (B, K); each row sums to 1."""
        return torch.softmax(self._joint(self.standardise(x)), -1)

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> CategoryPosterior:
        """The exact posterior over the component."""
        return CategoryPosterior(torch.log_softmax(self._joint(self.standardise(x)), -1))

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
        joint = self._joint(self.standardise(x)) + self.standardise_log_det  # (B, K)
        posterior = CategoryPosterior(torch.log_softmax(joint, -1))
        q, log_prior = posterior.probs, self.weights.log()
        reconstruction = torch.where(q > 0, q * (joint - log_prior), 0.0).sum(-1)
        kl = torch.where(q > 0, q * (posterior.log_probs - log_prior), 0.0).sum(-1)
        latents, log_q = posterior.sample(n_draws, generator)
        log_weights = _pick(joint, latents["component"]) - log_q
        return Elbo(reconstruction - kl, reconstruction, {"component": kl}, log_weights)

    # --- generation ---------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Latent, ...]:
        """One category: which Gaussian."""
        return (Latent("component", (), "category", len(self.weights)),)

    def prior(self, parents: Latents) -> Categorical:
        """The mixture weights."""
        if "component" in parents:
            raise ValueError(
                "prior: given the component, wanted no parents: it is the only latent"
            )
        return Categorical(self.weights)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """The Gaussian of each component (B,) of integers, in the units of the data."""
        k = latents["component"].long()
        means = self.means[k] * self.scale + self.location
        factors = self.scale_tril[k] * self.scale[:, None]
        gaussians = MultivariateNormal(means, scale_tril=factors, validate_args=False)
        return reshaped(gaussians, self.event_shape)

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E): a component each, then its Gaussian."""
        component = draw(self.prior({}), generator, (n,))
        return draw(self.decode({"component": component}), generator)

    def components(self) -> Components:
        """Weights, means and covariances in the units of the data, for ellipses."""
        factors = self.scale_tril * self.scale[:, None]
        means = self.means * self.scale + self.location
        return Components(self.weights, means, factors @ factors.mT)


def _double(values: Tensor) -> Tensor:
    """In float64; on the CPU where the device has none."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def _scatter(centred: Tensor, shares: Tensor) -> Tensor:
    """Σ_n s_n (x_n − μ)(x_n − μ)ᵀ of (B, D) and (B,), (D, D), float64 on the CPU."""
    return ((centred * shares[:, None]).T @ centred).cpu().double()


def _pick(table: Tensor, chosen: Tensor) -> Tensor:
    """Entries chosen (K, B) of each row of a table (B, C), (K, B)."""
    return table.expand(*chosen.shape, -1).gather(-1, chosen[..., None]).squeeze(-1)
