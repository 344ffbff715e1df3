"""Toy models and data sets whose every number is known in closed form, as oracles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.dataset import Dataset, SplitConfig
from engine.latents import Elbo, PointMass
from engine.model import GenerativeModel
from engine.probe import View
from engine.wire.cards import DatasetCard, ModelCard, Paper
from engine.wire.event import Event


def toy_card(name: str) -> ModelCard:
    return ModelCard(name, name.title(), "toy", "", "", Paper("", 2000, ""))


@dataclass(frozen=True)
class Config:
    pass


class Toy(GenerativeModel):
    card = toy_card("toy")
    Config = Config

    def __init__(self, dims: int = 2, mean: float = 0.0, sigma: tuple[float, ...] = ()) -> None:
        super().__init__((dims,), Config())
        self.mean = mean
        self.sigma = torch.tensor(sigma or (1.0,) * dims, dtype=torch.float64)
        self.double()

    def loss(self, x: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"total": x.sum()}

    def standard(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.sigma.to(x)


class GaussianToy(Toy):
    """N(mean, diag sigma²), normalised and exact to sample."""

    card = toy_card("gaussian")

    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        log_scale = self.sigma.log().sum() + 0.5 * x.shape[1] * math.log(2 * math.pi)
        return -0.5 * self.standard(x).square().sum(1) - log_scale

    def sample(self, n: int, *, context: Tensor | None = None, generator: Any) -> Tensor:
        noise = torch.randn(n, self.event_size, generator=generator, dtype=torch.float64)
        return self.mean + self.sigma * noise


class QuadraticToy(Toy):
    """E = ½ Σ ((x − mean)/sigma)² + 3, so log Z = ln(2π σx σy) − 3 in two dimensions."""

    card = toy_card("quadratic")

    def energy(self, x: Tensor, **_: Any) -> Tensor:
        return 0.5 * self.standard(x).square().sum(1) + 3.0

    def score(self, x: Tensor) -> Tensor:
        return -self.standard(x) / self.sigma.to(x)

    @property
    def log_z(self) -> float:
        size = self.event_size
        return 0.5 * size * math.log(2 * math.pi) + float(self.sigma.log().sum()) - 3.0


class ToyPosterior:
    def __init__(self, q: Distribution) -> None:
        self.q = q

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        mean, sd = self.q.mean, self.q.stddev
        z = mean + sd * torch.randn((k, *mean.shape), generator=generator, dtype=mean.dtype)
        return {"z": z}, self.q.log_prob(z)


class LinearToy(Toy):
    """z ~ N(0, I), x = a z + N(0, s²): p(x) is N(0, a² + s²); q is wider than the posterior."""

    card = toy_card("linear")
    a, s, widening = 1.5, 0.5, 1.3

    def encode(self, x: Tensor, **_: Any) -> ToyPosterior:
        variance = 1.0 / (1.0 + self.a**2 / self.s**2)
        mean = variance * self.a / self.s**2 * x
        sd = torch.full_like(mean, self.widening * math.sqrt(variance))
        return ToyPosterior(Independent(Normal(mean, sd), 1))

    def decode(self, latents: Any, **_: Any) -> Distribution:
        return Independent(Normal(self.a * latents["z"], self.s), 1)

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        latents, log_q = self.encode(x).sample(n_draws, generator)
        prior = Normal(torch.zeros_like(latents["z"]), 1.0)
        likelihood = self.decode(latents).log_prob(x)
        log_prior = prior.log_prob(latents["z"]).sum(-1)
        weights = likelihood + log_prior - log_q
        kl = (log_q - log_prior).mean(0)
        reconstruction = likelihood.mean(0)
        return Elbo(reconstruction - kl, reconstruction, {"z": kl}, weights)

    def true_log_prob(self, x: Tensor) -> Tensor:
        return Normal(0.0, math.hypot(self.a, self.s)).log_prob(x).sum(1)

    def sample(self, n: int, *, context: Tensor | None = None, generator: Any) -> Tensor:
        z = torch.randn(n, self.event_size, generator=generator, dtype=torch.float64)
        noise = torch.randn(n, self.event_size, generator=generator, dtype=torch.float64)
        return self.a * z + self.s * noise


class ImplicitToy(Toy):
    """A linear generator x = mean + sigma z, and the critic f(x) = −Σ x²/2."""

    card = toy_card("implicit")

    @property
    def latents(self) -> tuple[Any, ...]:
        from engine.latents import Latent

        return (Latent("z", (2,)),)

    def prior(self, parents: Any) -> Distribution:
        return Independent(Normal(torch.zeros(2, dtype=torch.float64), 1.0), 1)

    def decode(self, latents: Any, **_: Any) -> Distribution:
        return PointMass(self.mean + self.sigma * latents["z"])

    def sample(self, n: int, *, context: Tensor | None = None, generator: Any) -> Tensor:
        return self.mean + self.sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64)

    def critic(self, x: Tensor, **_: Any) -> Tensor:
        return -0.5 * x.square().sum(1)


class GaussianData(Dataset):
    """Draws from N(0, diag sigma²) with the truth known."""

    card = DatasetCard("toy", "Toy", "")
    Config = SplitConfig

    def __init__(self, sigma: tuple[float, ...] = (1.0, 0.5), n: int = 400) -> None:
        super().__init__(SplitConfig(n_samples=n))
        self.sigma = torch.tensor(sigma, dtype=torch.float64)
        self.event = Event((len(sigma),), tuple("xyzuvw"[: len(sigma)]))
        self._split(self.sample(n, generator=torch.Generator().manual_seed(5)))

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, len(self.sigma), generator=generator, dtype=torch.float64)
        return (noise * self.sigma).float()

    def log_prob(self, x: Tensor) -> Tensor:
        x = x.to(torch.float64)
        return Normal(0.0, self.sigma).log_prob(x).sum(1)

    def entropy(self) -> float:
        return float(self.sigma.log().sum()) + 0.5 * len(self.sigma) * math.log(
            2 * math.pi * math.e
        )


class SquareData(GaussianData):
    """Uniform on [−1, 1]²: a truth with sharp edges."""

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return torch.rand(n, 2, generator=generator) * 2.0 - 1.0

    def log_prob(self, x: Tensor) -> Tensor:
        inside = (x.abs() <= 1.0).all(1)
        return torch.where(inside, -math.log(4.0), -math.inf).to(torch.float64)

    def entropy(self) -> float:
        return math.log(4.0)


class UnknownData(GaussianData):
    """Points without a known truth."""

    log_prob = None  # type: ignore[assignment]
    entropy = None  # type: ignore[assignment]


class Table(Dataset):
    """Given points (N, *E), split as they come; the truth is unknown."""

    card = DatasetCard("table", "Table", "")
    Config = SplitConfig

    def __init__(self, points: Tensor) -> None:
        super().__init__(SplitConfig())
        self.event = Event(tuple(points.shape[1:]))
        self._split(points)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)


def view(
    model: GenerativeModel, dataset: Dataset, cancelled: Callable[[], bool] = lambda: False
) -> View:
    return View(model.eval(), dataset, step=0, seed=3, cancelled=cancelled)
