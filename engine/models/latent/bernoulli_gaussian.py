r"""A hidden coin and two Gaussians: the smallest model with a latent variable.

A coin falls on 1 with probability μ_z, and each side of it has a Gaussian of its own; the coin is
never seen, so a point's density is the sum over both sides. EM asks for each point how the coin
lay, and refits both Gaussians to their shares. The second of the lecture's two approaches to data
with two humps; in more than one dimension each coordinate is independent given the coin.

.. math::
    z \sim \mathrm{Bernoulli}(\mu_z), \qquad
    p(x) = \mu_z\, \mathcal N(x \mid \mu_1, \sigma_1^2)
        + (1 - \mu_z)\, \mathcal N(x \mid \mu_0, \sigma_0^2)

References:
    Pearson, *Contributions to the Mathematical Theory of Evolution*, Phil. Trans. R. Soc. A 185,
    1894; EM: Dempster, Laird and Rubin, JRSS B 39, 1977.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from engine.estimators.precision import as_double
from engine.estimators.seeding import plus_plus_centres
from engine.latents import Latent, Latents
from engine.model import TrainState
from engine.nets.mixture_model import LOG_Q, MixtureModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: A side of the coin with fewer points than this keeps its Gaussian.
SMALLEST_COUNT = 1e-6
#: Points among which the first means are looked for.
N_SEEDING_POINTS = 2048


@dataclass(frozen=True)
class BernoulliGaussianConfig:
    """Settings of :class:`BernoulliGaussian`."""

    scale_floor: Annotated[
        float,
        Field(
            1e-4,
            1.0,
            scale="log",
            symbol=r"\sigma",
            live=True,
            help="Least width of a Gaussian, as a share of the data's: none can collapse.",
        ),
    ] = 1e-3


class BernoulliGaussian(MixtureModel):
    """Two Gaussians behind a hidden coin, by EM; one training step is one sweep.

    ``weights`` (2,) are (1 − μ_z, μ_z). ``mu`` (2, D) and ``sigma`` (2, D) lie in standardised
    units, row z for side z; :meth:`parameters_of_data` gives all in the units of the data.
    """

    Config = BernoulliGaussianConfig
    latent = "z"
    card = ModelCard(
        name="bernoulli_gaussian",
        title="Hidden coin, two Gaussians",
        family="latent",
        summary=(
            "A coin that nobody sees decides which of two Gaussians makes a point: the smallest "
            "latent-variable model. EM guesses the coin, refits both, and never gets worse."
        ),
        equation=(
            r"p(x)=\mu_z\,\mathcal{N}\left(x;\mu_1,\sigma_1^2\right)"
            r"+(1-\mu_z)\,\mathcal{N}\left(x;\mu_0,\sigma_0^2\right)"
        ),
        paper=Paper(
            authors="K. Pearson",
            year=1894,
            title="Contributions to the Mathematical Theory of Evolution",
            where="Philosophical Transactions of the Royal Society A",
        ),
        features=("components", "half_steps"),
    )

    mu: Tensor
    sigma: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: BernoulliGaussianConfig) -> None:
        super().__init__(event_shape, config, 2)
        self.register_buffer("mu", torch.randn(2, self.event_size))
        self.register_buffer("sigma", torch.ones(2, self.event_size))

    @property
    def mu_z(self) -> Tensor:
        """(), the probability that the coin falls on 1."""
        return self.weights[1]

    @property
    def n_parameters(self) -> int:
        """Number of free values: the coin, two means and two widths per coordinate."""
        return 1 + 4 * self.event_size

    def parameters_of_data(self) -> dict[str, Tensor]:
        """``mu_z`` (), ``mu`` (2, D) and ``sigma`` (2, D) in the units of the data."""
        mu = self.mu * self.scale + self.location
        return {"mu_z": self.mu_z, "mu": mu, "sigma": self.sigma * self.scale}

    # --- expectation-maximisation -------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise, and start EM: a fair coin, two far-apart points as means, widths of all."""
        super().prepare(data, generator=generator)
        order = torch.randperm(len(data), generator=generator)[:N_SEEDING_POINTS]
        points = self.standardise(data[order.to(data.device)])
        self.mu.copy_(plus_plus_centres(points, 2, generator))
        self.sigma.fill_(1.0)
        self.weights.fill_(0.5)

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One sweep of EM on (B, *E); returns the negative log-density before it."""
        joint = self._log_joint_double(batch)
        self.m_step(batch, {LOG_Q: torch.log_softmax(joint, -1)})
        nll = -torch.logsumexp(joint, -1).mean()
        return {"total": nll, "nll": nll}

    @torch.no_grad()
    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        """The coin, the means and the widths of events (B, *E) shared out by q."""
        u, r = self._standard(x), as_double(q[LOG_Q]).exp()
        counts = r.sum(0)  # (2,)
        shares = r / counts.clamp_min(SMALLEST_COUNT)
        mu = shares.T @ u
        spread = (u[:, None] - mu).square()  # (B, 2, D)
        sigma = (spread * shares[..., None]).sum(0).sqrt().clamp_min(self.config.scale_floor)
        alive = (counts > SMALLEST_COUNT).to(self.mu.device)[:, None]
        self.weights.copy_(counts / counts.sum())
        self.mu.copy_(torch.where(alive, mu.to(self.mu), self.mu))
        self.sigma.copy_(torch.where(alive, sigma.to(self.sigma), self.sigma))

    def _standard(self, x: Tensor) -> Tensor:
        """Events (B, *E) standardised, (B, D) float64."""
        return (as_double(x.flatten(1)) - as_double(self.location)) / as_double(self.scale)

    def _log_joint_double(self, x: Tensor) -> Tensor:
        """log π_z + log p(x given z), (B, 2), float64: in float32 the likelihood trembles."""
        weights = as_double(self.weights)
        log_p = _log_probs(self._standard(x), as_double(self.mu), as_double(self.sigma))
        return torch.log(weights / weights.sum()) + log_p - as_double(self.scale).log().sum()

    # --- density and parts --------------------------------------------------------------------

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(z) + log p(x given z) of (B, *E), (B, 2), nats, for z = 0 and z = 1."""
        log_p = _log_probs(self.standardise(x), self.mu, self.sigma)
        return self.weights.log() + log_p + self.standardise_log_det

    @property
    def latents(self) -> tuple[Latent, ...]:
        """The coin."""
        return (Latent("z", (), "binary"),)

    def prior(self, parents: Latents) -> Distribution:
        """Bernoulli(μ_z)."""
        super().prior(parents)
        return Bernoulli(self.mu_z, validate_args=False)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """N(μ_z, σ_z²) of each side (B,) of the coin, in the units of the data."""
        z = latents["z"].long()
        shape = (*z.shape, *self.event_shape)
        found = self.parameters_of_data()
        normal = Normal(
            found["mu"][z].reshape(shape), found["sigma"][z].reshape(shape), validate_args=False
        )
        return Independent(normal, len(self.event_shape), validate_args=False)


def _log_probs(u: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """log N(u; μ_z, σ_z²) of (B, D) for both sides, (B, 2), nats."""
    square = ((u[:, None] - mu) / sigma).square().sum(-1)
    size = u.shape[1]
    return -0.5 * square - sigma.log().sum(-1) - 0.5 * size * math.log(2.0 * math.pi)
