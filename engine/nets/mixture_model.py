r"""What all mixtures share: one hidden category per event, its exact posterior, EM in half-steps.

.. math::
    p(x) = \sum_{k=1}^{K} \pi_k\, p(x \mid k), \qquad
    r_k(x) = \frac{\pi_k\, p(x \mid k)}{\sum_j \pi_j\, p(x \mid j)}
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from engine.drawing import categorical_from_uniform, draw, uniform_noise
from engine.latents import Elbo, Latent, Latents
from engine.model import GenerativeModel

#: The E-step's result: log-responsibilities (B, K).
LOG_Q = "log_q"


@dataclass(frozen=True)
class CategoryPosterior:
    """A posterior over one category: ``log_probs`` (B, K), nats, and the latent's name."""

    log_probs: Tensor
    latent: str = "component"

    @property
    def probs(self) -> Tensor:
        """Responsibilities (B, K)."""
        return self.log_probs.exp()

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws: ({latent: (K, B)}, log_q (K, B))."""
        noise = uniform_noise((k, len(self.log_probs)), generator, self.log_probs)
        chosen = categorical_from_uniform(self.probs, noise)
        return {self.latent: chosen}, picked(self.log_probs, chosen)


class MixtureModel(GenerativeModel):
    """A mixture with ``weights`` (K,); a subclass brings its components and its M-step.

    Training is one sweep of EM over the whole training split per step.
    """

    full_batch = True
    #: The name of its only latent.
    latent = "component"

    weights: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: Any, n_components: int) -> None:
        super().__init__(event_shape, config)
        self.register_buffer("weights", torch.full((n_components,), 1.0 / n_components))

    @abstractmethod
    def log_joint(self, x: Tensor) -> Tensor:
        """log π_k + log p(x given k) of (B, *E), (B, K), nats, of the data in the units given."""

    @abstractmethod
    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """The component of each category (B,), batch (B,), event *E."""

    @abstractmethod
    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        """Refit the weights and the components to events (B, *E) shared out by q."""

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

    # --- half-steps of EM (see engine.estimators.half_steps) ----------------------------------

    @torch.no_grad()
    def e_step(self, x: Tensor, q: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The exact posterior of each event, wherever q was: the bound then touches log p."""
        return {LOG_Q: torch.log_softmax(self.log_joint(x), -1)}

    @torch.no_grad()
    def elbo_under(self, x: Tensor, q: Mapping[str, Tensor]) -> Tensor:
        """Σ_k q_k (log p(x, k) − log q_k), (B,), nats."""
        log_q = q[LOG_Q]
        return expected(log_q, self.log_joint(x) - log_q)

    @torch.no_grad()
    def kl_under(self, x: Tensor, q: Mapping[str, Tensor]) -> Tensor:
        """KL(q‖p(k given x)), (B,), nats."""
        log_q = q[LOG_Q]
        return expected(log_q, log_q - torch.log_softmax(self.log_joint(x), -1))

    # --- density and posterior ----------------------------------------------------------------

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log-density of (B, *E), (B,), nats."""
        total: Tensor = torch.logsumexp(self.log_joint(x), -1)
        return total

    def responsibilities(self, x: Tensor) -> Tensor:
        """p(component given x) of (B, *E), (B, K); each row sums to 1."""
        return torch.softmax(self.log_joint(x), -1)

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> CategoryPosterior:
        """The exact posterior over the component."""
        return CategoryPosterior(torch.log_softmax(self.log_joint(x), -1), self.latent)

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        """The bound under :meth:`encode`, in closed form; total = log p(x) where that is exact."""
        joint, posterior = self.log_joint(x), self.encode(x)
        log_q, log_prior = posterior.log_probs, self.weights.log()
        reconstruction = expected(log_q, joint - log_prior)
        kl = expected(log_q, log_q - log_prior)
        latents, log_q_drawn = posterior.sample(n_draws, generator)
        log_weights = picked(joint, latents[self.latent]) - log_q_drawn
        return Elbo(reconstruction - kl, reconstruction, {self.latent: kl}, log_weights)

    # --- generation ---------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Latent, ...]:
        """One category: which component."""
        return (Latent(self.latent, (), "category", len(self.weights)),)

    def prior(self, parents: Latents) -> Distribution:
        """The mixture weights."""
        if self.latent in parents:
            raise ValueError(
                f"prior: given the {self.latent}, wanted no parents: it is the only latent"
            )
        return Categorical(self.weights)

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E): a component each, then from it."""
        component = draw(self.prior({}), generator, (n,))
        return draw(self.decode({self.latent: component}), generator)


def expected(log_q: Tensor, values: Tensor) -> Tensor:
    """Σ_k q_k v_k of (B, K), (B,); where q is 0 the value counts nothing, even an infinite one."""
    q = log_q.exp()
    return torch.where(q > 0, q * values, 0.0).sum(-1)


def picked(table: Tensor, chosen: Tensor) -> Tensor:
    """Entries chosen (K, B) of each row of a table (B, C), (K, B)."""
    return table.expand(*chosen.shape, -1).gather(-1, chosen[..., None]).squeeze(-1)
