"""A sound model made by hand, and copies of it with one bug each, which the laws must catch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.capabilities import FlowPath, Step
from engine.latents import Elbo, Latent, Latents
from engine.model import GenerativeModel
from engine.wire.cards import ModelCard, Paper


@dataclass(frozen=True)
class NoConfig:
    pass


class Sound(GenerativeModel):
    """N(0, L Lᵀ) in two dimensions, as a flow, as two conditionals and as an energy."""

    card = ModelCard("sound", "Sound", "flows", "", "", Paper("", 2000, ""))
    Config = NoConfig

    flip = 1.0
    mass = 0.0
    leak = 0.0
    tilt = 0.0
    factor: Tensor

    def __init__(self) -> None:
        super().__init__((2,), NoConfig())
        self.register_buffer("factor", torch.tensor([[0.8, 0.0], [0.9, 1.3]]))

    def loss(self, x: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"total": -self.log_prob(x).mean()}

    def whiten(self, x: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor, x.T, upper=False).T

    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        log_p = Normal(0.0, 1.0).log_prob(self.whiten(x)).sum(-1)
        return log_p - self.factor.diagonal().log().sum() + self.mass

    def sample(self, n: int, *, generator: torch.Generator, **_: Any) -> Tensor:
        z = torch.randn(n, 2, generator=generator, dtype=self.factor.dtype)
        return z @ self.factor.T

    def base(self) -> Distribution:
        zeros = torch.zeros(2, dtype=self.factor.dtype)
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def path(self, x: Tensor, *, inverse: bool = False, **_: Any) -> FlowPath:
        if inverse:
            x = x @ self.factor.T
        log_det = -self.flip * self.factor.diagonal().log().sum().expand(1, len(x))
        return FlowPath(torch.stack([x, self.whiten(x)]), log_det, ("whiten",))

    @property
    def order(self) -> Tensor:
        return torch.arange(2)

    def conditionals(self, x: Tensor, **_: Any) -> Normal:
        (a, _zero), (b, c) = self.factor
        means = torch.stack([self.leak * x[:, 1], b / a * x[:, 0]], -1)
        return Normal(means, torch.stack([a, c]).expand_as(means))

    def sample_steps(
        self,
        noise: Tensor,
        *,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        temperature: float = 1.0,
        **_: Any,
    ) -> Iterator[Step]:
        keep = torch.zeros_like(noise, dtype=torch.bool) if mask is None else mask
        x = torch.zeros_like(noise) if known is None else known * keep
        for i in range(2):
            every = self.conditionals(x)
            one = Normal(every.loc[:, i], every.scale[:, i] * temperature)
            x = x.clone()
            drawn = one.icdf(noise[:, i].clamp(1e-9, 1 - 1e-9))
            x[:, i] = torch.where(keep[:, i], x[:, i], drawn)
            yield Step(i, x, one)

    def energy(self, x: Tensor, **_: Any) -> Tensor:
        return 0.5 * self.whiten(x).square().sum(-1)

    def score(self, x: Tensor) -> Tensor:
        return -x @ torch.cholesky_inverse(self.factor) * (1.0 + self.tilt)


class FlippedLogDet(Sound):
    flip = -1.0


class NotNormalised(Sound):
    mass = 0.05


class LeakingConditional(Sound):
    leak = 1e-3


class WrongScore(Sound):
    tilt = 0.01


class GlobalNoise(Sound):
    def sample(self, n: int, **_: Any) -> Tensor:
        return torch.randn(n, 2, dtype=self.factor.dtype) @ self.factor.T


class WrongSampler(Sound):
    def sample(self, n: int, *, generator: torch.Generator, **_: Any) -> Tensor:
        return 1.1 * super().sample(n, generator=generator) + 0.2


class LostInverse(Sound):
    def path(self, x: Tensor, *, inverse: bool = False, **_: Any) -> FlowPath:
        path = super().path(x, inverse=inverse)
        return FlowPath(path.states * (1.001 if inverse else 1.0), path.log_dets, path.names)


class ForgetsKnown(Sound):
    def sample_steps(self, noise: Tensor, **_: Any) -> Iterator[Step]:
        return super().sample_steps(noise)


class ForgetsTemperature(Sound):
    def sample_steps(
        self, noise: Tensor, *, temperature: float = 1.0, **rest: Any
    ) -> Iterator[Step]:
        return super().sample_steps(noise, **rest)


class Raises(Sound):
    def energy(self, x: Tensor, **_: Any) -> Tensor:
        raise RuntimeError("the energy ran out")


# --- a latent-variable model ------------------------------------------------------------------


class Normals:
    """A posterior N(mean, width²) over "z" of one value."""

    def __init__(self, mean: Tensor, width: float, told: float) -> None:
        self.mean, self.width, self.told = mean, width, told

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        noise = torch.randn(k, *self.mean.shape, generator=generator, dtype=self.mean.dtype)
        z = self.mean + self.width * noise
        return {"z": z}, Normal(self.mean, self.told).log_prob(z).sum(-1)


class SoundLatent(GenerativeModel):
    """z ~ N(0, 1), x = z (1, 1) + N(0, I), with the approximate posterior N(s/4, 0.7²)."""

    card = ModelCard("sound_latent", "Sound latent", "latent", "", "", Paper("", 2000, ""))
    Config = NoConfig

    kl_factor = 1.0
    weight_shift = 0.0
    told_width = 0.7
    prior_shape: tuple[int, ...] = (1,)

    def __init__(self) -> None:
        super().__init__((2,), NoConfig())

    def loss(self, x: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"total": -self.elbo(x, generator=torch.Generator()).total.mean()}

    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        covariance = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=x.dtype)
        normal = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=x.dtype), covariance)
        return normal.log_prob(x)

    def encode(self, x: Tensor, **_: Any) -> Normals:
        return Normals(x.sum(-1, keepdim=True) / 4.0, 0.7, self.told_width)

    def elbo(self, x: Tensor, *, n_draws: int = 1, generator: torch.Generator, **_: Any) -> Elbo:
        latents, log_q = self.encode(x).sample(n_draws, generator)
        likelihood = Normal(latents["z"], 1.0).log_prob(x).sum(-1)
        log_prior = Normal(0.0, 1.0).log_prob(latents["z"]).sum(-1)
        mean = x.sum(-1) / 4.0
        kl = 0.5 * (mean**2 + 0.49 - 1.0 - torch.log(torch.tensor(0.49)))
        reconstruction = likelihood.mean(0)
        return Elbo(
            reconstruction - kl,
            reconstruction,
            {"z": self.kl_factor * kl},
            likelihood + log_prior - log_q + self.weight_shift,
        )

    @property
    def latents(self) -> tuple[Latent, ...]:
        return (Latent("z", (1,)),)

    def prior(self, parents: Latents) -> Distribution:
        zeros = torch.zeros(self.prior_shape, dtype=self.location.dtype)
        return Independent(Normal(zeros, torch.ones_like(zeros)), len(self.prior_shape))

    def decode(self, latents: Latents, **_: Any) -> Distribution:
        mean = latents["z"].expand(-1, 2)
        return Independent(Normal(mean, torch.ones_like(mean)), 1)


class NegativeKL(SoundLatent):
    kl_factor = -1.0


class NegativeSharedKL(NegativeKL):
    kl_is_shared = True


class ShiftedWeights(SoundLatent):
    weight_shift = 0.5


class LyingPosterior(SoundLatent):
    told_width = 0.8


class WrongPriorShape(SoundLatent):
    prior_shape = (2,)


class WidePrior(SoundLatent):
    def decode(self, latents: Latents, **_: Any) -> Distribution:
        mean = 1.3 * latents["z"].expand(-1, 2)
        return Independent(Normal(mean, torch.ones_like(mean)), 1)


# --- a chain and a critic ---------------------------------------------------------------------


class SoundChain(GenerativeModel):
    """An autoregressive walk that leaves N(0, I) invariant, and a linear critic."""

    card = ModelCard("sound_chain", "Sound chain", "energy", "", "", Paper("", 2000, ""))
    Config = NoConfig
    kernels = ("walk",)

    def __init__(self) -> None:
        super().__init__((2,), NoConfig())

    def loss(self, x: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"total": x.sum()}

    def init(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"x": torch.randn(n, 2, generator=generator, dtype=self.location.dtype)}

    def step(
        self, state: dict[str, Tensor], kernel: str, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        noise = torch.randn(state["x"].shape, generator=generator, dtype=state["x"].dtype)
        return {"x": 0.8 * state["x"] + 0.6 * noise}, {"noise": noise}

    def critic(self, x: Tensor, **_: Any) -> Tensor:
        return x.sum(-1)


class WritesInPlace(SoundChain):
    def step(
        self, state: dict[str, Tensor], kernel: str, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        after, info = super().step(state, kernel, generator)
        state["x"].copy_(after["x"])
        return state, info


class RenamesBlocks(SoundChain):
    def step(
        self, state: dict[str, Tensor], kernel: str, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        after, info = super().step(state, kernel, generator)
        return {"y": after["x"]}, info


class ForgetfulSeed(SoundChain):
    def init(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"x": torch.randn(n, 2, dtype=self.location.dtype)}


class DetachedCritic(SoundChain):
    def critic(self, x: Tensor, **_: Any) -> Tensor:
        return x.detach().sum(-1) + 0.0 * x.sum(-1)


class BatchCritic(SoundChain):
    def critic(self, x: Tensor, **_: Any) -> Tensor:
        return (x - x.mean(0)).sum(-1)
