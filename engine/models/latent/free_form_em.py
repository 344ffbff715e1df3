r"""Variational EM with a free-form q: a row of shares for every point, for a Gaussian mixture.

Every training point n has a q_n of its own over the K components, stored beside the model. The
E-step raises the bound L over q, the M-step over the parameters θ. Where q may be anything the gap
KL(q‖posterior) closes, and this is EM; a q that is kept back (a small step, one q for all points,
a single component) leaves a gap, and L climbs all the same.

.. math::
    \log p(x_n) = \underbrace{\sum_k q_{nk} \log \frac{\pi_k \mathcal N(x_n \mid \mu_k, \Sigma_k)}
        {q_{nk}}}_{\mathcal L_n} + \mathrm{KL}(q_n \,\|\, p(k \mid x_n)), \qquad
    q_{nk} \propto q_{nk}^{1 - \rho}\, p(x_n, k)^{\rho}

References:
    Neal and Hinton, *A View of the EM Algorithm that Justifies Incremental, Sparse, and Other
    Variants*, 1998.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal
from torch.nn.functional import one_hot

from engine.drawing import reshaped
from engine.estimators.gaussian import cholesky, floored_covariance, gaussian_log_prob
from engine.estimators.gaussian_em import SMALLEST_COUNT, weighted_moments
from engine.estimators.half_steps import em_step
from engine.estimators.precision import as_double
from engine.estimators.seeding import plus_plus_centres
from engine.latents import Latents
from engine.model import TrainState
from engine.nets.mixture_model import LOG_Q, CategoryPosterior, MixtureModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: No variance falls below this share of the data's.
SMALLEST_VARIANCE = 1e-6
#: What a share of 0 becomes where q was a single component and may be more again.
LEAST_LOG_Q = -30.0
#: Points among which the first means are looked for.
N_SEEDING_POINTS = 2048


@dataclass(frozen=True)
class FreeFormEMConfig:
    """Settings of :class:`FreeFormEM`."""

    n_components: Annotated[
        int, Field(1, 100, step=1, symbol="K", help="Number of Gaussians.")
    ] = 8
    posterior: Annotated[
        str,
        Field(
            choices=("free", "shared", "hard"),
            symbol="q",
            live=True,
            help="Free: any shares for each point. Shared: the same for all. Hard: one component.",
        ),
    ] = "free"
    e_rate: Annotated[
        float,
        Field(
            0.01,
            1.0,
            step=0.05,
            symbol=r"\rho",
            live=True,
            help="How far an E-step goes to the best q: 1 is all the way, and with a free q EM.",
        ),
    ] = 1.0


class FreeFormEM(MixtureModel):
    """Variational EM of a mixture of Gaussians; a training step is one E- and one M-step.

    ``weights`` (K,), ``means`` (K, D) and ``scale_tril`` (K, D, D) lie in standardised units;
    ``log_shared`` (K,) is the q that all points share where they must.
    """

    Config = FreeFormEMConfig
    card = ModelCard(
        name="free_form_em",
        title="Variational EM, free-form q",
        family="latent",
        summary=(
            "Every point keeps its own guess of which Gaussian made it. Improving the guesses "
            "closes a gap, refitting the Gaussians opens it again and climbs: EM, half by half."
        ),
        equation=(
            r"\log p(x)=\sum_k q_k\log\frac{\pi_k\,\mathcal{N}(x;\mu_k,\Sigma_k)}{q_k}"
            r"+\mathrm{KL}\left(q\,\|\,p(k|x)\right)"
        ),
        paper=Paper(
            authors="R. M. Neal, G. E. Hinton",
            year=1998,
            title="A View of the EM Algorithm that Justifies Incremental, Sparse, and Other "
            "Variants",
            where="Learning in Graphical Models",
        ),
        features=("components", "half_steps"),
    )

    means: Tensor
    scale_tril: Tensor
    log_shared: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: FreeFormEMConfig) -> None:
        n = config.n_components
        super().__init__(event_shape, config, n)
        self.register_buffer("means", torch.randn(n, self.event_size))
        self.register_buffer("scale_tril", torch.eye(self.event_size).repeat(n, 1, 1))
        self.register_buffer("log_shared", self.weights.log())

    @property
    def n_parameters(self) -> int:
        """Number of free values: weights, means and covariances."""
        n, size = self.means.shape
        return int(n - 1 + n * (size + size * (size + 1) // 2))

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise, and start with equal weights, far-apart means and broad Gaussians."""
        super().prepare(data, generator=generator)
        n = self.config.n_components
        order = torch.randperm(len(data), generator=generator)[: max(N_SEEDING_POINTS, n)]
        points = self.standardise(data[order.to(data.device)])
        self.means.copy_(plus_plus_centres(points, n, generator))
        self.scale_tril.copy_(n ** (-1.0 / self.event_size) * torch.eye(self.event_size))
        self.weights.fill_(1.0 / n)
        self.log_shared.copy_(self.weights.log())

    # --- variational EM -----------------------------------------------------------------------

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One E- and one M-step on all events (:func:`engine.estimators.half_steps.em_step`)."""
        return em_step(self, batch, state.memory)

    @torch.no_grad()
    def e_step(self, x: Tensor, q: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Raise L over q, (B, K) log-shares, from the weights where q is None."""
        joint, rate = self.log_joint(x), self.config.e_rate
        if self.config.posterior == "hard":
            return {LOG_Q: one_hot(joint.argmax(-1), joint.shape[1]).to(joint).log()}
        old = self.weights.log().expand_as(joint) if q is None else q[LOG_Q]
        if self.config.posterior == "shared":
            old, joint = old.mean(0, keepdim=True), joint.mean(0, keepdim=True)
        old = torch.where(old.isinf(), LEAST_LOG_Q, old)
        log_q = torch.log_softmax((1.0 - rate) * old + rate * joint, -1)
        if self.config.posterior == "shared":
            self.log_shared.copy_(log_q[0])
        return {LOG_Q: log_q.expand(len(x), -1).clone()}

    @torch.no_grad()
    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        """Weights, means and covariances of events (B, *E) shared out by q."""
        u = (as_double(x.flatten(1)) - as_double(self.location)) / as_double(self.scale)
        counts, means, covariances = weighted_moments(u, as_double(q[LOG_Q]).exp(), "full")
        floor = torch.full((self.event_size,), SMALLEST_VARIANCE, dtype=torch.float64)
        factors = cholesky(floored_covariance(covariances.cpu(), floor)).to(self.scale_tril)
        alive = (counts > SMALLEST_COUNT).to(self.means.device)[:, None]
        self.weights.copy_(counts / counts.sum())
        self.means.copy_(torch.where(alive, means.to(self.means), self.means))
        self.scale_tril.copy_(torch.where(alive[..., None], factors, self.scale_tril))

    # --- density and parts --------------------------------------------------------------------

    def log_joint(self, x: Tensor) -> Tensor:
        """log π_k + log N(x; k) of (B, *E), (B, K), nats."""
        log_densities = gaussian_log_prob(self.standardise(x), self.means, self.scale_tril)
        return self.weights.log() + self.standardise_log_det + log_densities

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> CategoryPosterior:
        """The best q of its kind for (B, *E): the posterior, the likeliest one, or that of all."""
        joint = self.log_joint(x)
        if self.config.posterior == "hard":
            return CategoryPosterior(one_hot(joint.argmax(-1), joint.shape[1]).to(joint).log())
        if self.config.posterior == "shared":
            return CategoryPosterior(self.log_shared.expand_as(joint))
        return CategoryPosterior(torch.log_softmax(joint, -1))

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """The Gaussian of each component (B,) of integers, in the units of the data."""
        k = latents["component"].long()
        means = self.means[k] * self.scale + self.location
        factors = self.scale_tril[k] * self.scale[:, None]
        gaussians = MultivariateNormal(means, scale_tril=factors, validate_args=False)
        return reshaped(gaussians, self.event_shape)
