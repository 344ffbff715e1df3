"""Models with latents whose every number is known: by enumeration, or as Gaussians."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal

from engine.latents import Elbo, Latent
from engine.models.latent.ppca import PPCA, PPCAConfig
from engine.models.latent.vae import VAE, VAEConfig
from tests.engine.toys import Toy, toy_card


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class TablePosterior:
    """q over all values of z by a table (B, K)."""

    table: Tensor
    values: dict[str, Tensor]

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        rows = torch.multinomial(self.table.exp(), k, replacement=True, generator=generator).T
        log_q = self.table.T.gather(0, rows)
        return {name: value[rows] for name, value in self.values.items()}, log_q


class DiscreteToy(Toy):
    """a ∈ {0, 1}², b ∈ {0, 1, 2} given a, x ∈ {0, 1}⁴ given both; q is any table of x."""

    card = toy_card("discrete")

    def __init__(self) -> None:
        super().__init__(4)
        g = generator(11)
        self.a_logits = torch.randn(2, generator=g, dtype=torch.float64)
        self.b_logits = torch.randn(2, 2, 3, generator=g, dtype=torch.float64)
        self.x_logits = torch.randn(2, 2, 3, 4, generator=g, dtype=torch.float64)
        self.q_logits = torch.randn(4, 12, generator=g, dtype=torch.float64)
        every = list(itertools.product((0, 1), (0, 1), (0, 1, 2)))
        table = torch.tensor(every)
        self.values = {"a": table[:, :2].double(), "b": table[:, 2]}

    @property
    def latents(self) -> tuple[Latent, ...]:
        return Latent("a", (2,), "binary"), Latent("b", (), "category", 3)

    def prior(self, parents: Any) -> Distribution:
        if "a" not in parents:
            return Independent(Bernoulli(logits=self.a_logits), 1)
        a = parents["a"].long()
        return Categorical(logits=self.b_logits[a[..., 0], a[..., 1]])

    def decode(self, latents: Any, **_: Any) -> Distribution:
        a, b = latents["a"].long(), latents["b"].long()
        return Independent(Bernoulli(logits=self.x_logits[a[..., 0], a[..., 1], b]), 1)

    def encode(self, x: Tensor, **_: Any) -> TablePosterior:
        return TablePosterior(torch.log_softmax(x.double() @ self.q_logits, -1), self.values)

    def joint(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(z) (12,) and log p(x given z) (B, 12), written out value by value."""
        log_prior, log_x = [], []
        for i, j, b in itertools.product((0, 1), (0, 1), (0, 1, 2)):
            signs = torch.tensor([2 * i - 1, 2 * j - 1])
            log_a = torch.nn.functional.logsigmoid(signs * self.a_logits).sum()
            log_prior.append(log_a + torch.log_softmax(self.b_logits[i, j], -1)[b])
            logits = self.x_logits[i, j, b]
            log_x.append(torch.nn.functional.logsigmoid((2 * x.double() - 1) * logits).sum(-1))
        return torch.stack(log_prior), torch.stack(log_x, -1)

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        posterior = self.encode(x)
        q, (log_prior, log_x) = posterior.table.exp(), self.joint(x)
        reconstruction = (q * log_x).sum(-1)
        # KL of a, and of b given a: together that of both.
        marginal = q.view(-1, 4, 3).sum(-1)
        prior_a = torch.logsumexp(log_prior.view(4, 3), -1)
        kl_a = (marginal * (marginal.log() - prior_a)).sum(-1)
        kl = (q * (posterior.table - log_prior)).sum(-1)
        drawn, log_q = posterior.sample(n_draws, generator)
        place = 6 * drawn["a"][..., 0] + 3 * drawn["a"][..., 1] + drawn["b"]
        joint = (log_prior + log_x).T.gather(0, place.long())
        terms = {"a": kl_a, "b": kl - kl_a}
        return Elbo(reconstruction - kl, reconstruction, terms, joint - log_q)


@dataclass(frozen=True)
class NormalPosterior:
    mean: Tensor
    scale: Tensor

    @property
    def distribution(self) -> Distribution:
        return Independent(Normal(self.mean, self.scale), 1)

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        noise = torch.randn((k, *self.mean.shape), generator=generator, dtype=self.mean.dtype)
        z = self.mean + self.scale * noise
        return {"z": z}, self.distribution.log_prob(z)


class MeanFieldPPCA(PPCA):
    """Probabilistic PCA with two correlated axes and a q without correlations, set wrongly."""

    def __init__(self) -> None:
        super().__init__((3,), PPCAConfig(latent_features=2))
        self.W.copy_(torch.tensor([[1.0, 0.6], [-0.5, 0.9], [0.4, 0.3]]))
        self.sigma2.copy_(torch.tensor(0.3))
        self.location.copy_(torch.tensor([1.0, -2.0, 0.5]))
        self.double()

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> Any:
        exact = super().encode(x)
        return NormalPosterior(exact.mean + 0.3, torch.full_like(exact.mean, 0.5))


class DeadVAE(VAE):
    """A VAE whose decoder never looks at the second of its latents."""

    def __init__(self, event_shape: tuple[int, ...], config: VAEConfig) -> None:
        super().__init__(event_shape, config)

    def params(self, latents: Any) -> Any:
        z = latents["z"]
        keep = torch.ones(z.shape[-1]).to(z)
        keep[1] = 0.0
        return super().params({"z": z * keep})
