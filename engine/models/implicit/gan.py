r"""The generative adversarial network: a generator and a critic that play against each other.

The critic learns to tell data from draws, the generator to pass for data; where neither can gain,
the draws are distributed as the data and the critic says one half everywhere.

.. math::
    \min_G \max_D V = \mathbb E_x \log D(x) + \mathbb E_z \log(1 - D(G(z))), \qquad
    D^* = \frac{p}{p + p_G}, \qquad V^* = 2\,\mathrm{JSD}(p \| p_G) - \ln 4

The non-saturating generator minimises −E log D(G(z)) instead, which has the same fixed points.

References:
    Goodfellow et al., *Generative Adversarial Nets*, NeurIPS 2014. Options: a gradient penalty at
    the data (Mescheder, Geiger and Nowozin, ICML 2018), instance noise (Arjovsky and Bottou, ICLR
    2017), two rates (Heusel et al., NeurIPS 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.drawing import normal_noise
from engine.model import TrainState
from engine.nets.push_forward import LACKS, PushForward, player
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

BETAS = (0.5, 0.99)


@dataclass(frozen=True)
class GANConfig:
    """Settings of :class:`GAN`."""

    latent_features: Annotated[
        int, Field(1, 512, step=1, symbol="Z", help="Coordinates of the generator's noise.")
    ] = 2
    hidden_features: Annotated[
        tuple[int, ...], Field(1, 4096, help="Widths of the generator's hidden layers.")
    ] = (128, 128, 128)
    critic_features: Annotated[
        tuple[int, ...], Field(1, 4096, help="Widths of the critic's hidden layers.")
    ] = (128, 128, 128)
    objective: Annotated[
        str,
        Field(
            choices=("non_saturating", "minimax"),
            live=True,
            help="What the generator minimises: −E log D(G(z)), or the game's E log(1 − D(G(z))).",
        ),
    ] = "non_saturating"
    gradient_penalty: Annotated[
        float,
        Field(
            0.0,
            10.0,
            step=0.01,
            symbol=r"\gamma",
            live=True,
            help="Weight γ/2 of the critic's squared slope at the data (not in the first paper).",
        ),
    ] = 0.1
    instance_noise: Annotated[
        float,
        Field(
            0.0,
            1.0,
            step=0.05,
            live=True,
            help="Noise on all that the critic sees, in standard deviations; it fades away.",
        ),
    ] = 0.0
    noise_steps: Annotated[
        int, Field(1, 1_000_000, scale="log", live=True, help="Steps until that noise is gone.")
    ] = 2000
    critic_rate_ratio: Annotated[
        float, Field(0.01, 100.0, scale="log", help="The critic's rate over the generator's.")
    ] = 2.0
    average: Annotated[
        float,
        Field(
            0.0,
            0.9999,
            symbol=r"\beta",
            live=True,
            help="Decay of the generator's running average, which is drawn from; 0 is none.",
        ),
    ] = 0.99
    learning_rate: Annotated[
        float, Field(1e-6, 0.1, scale="log", symbol=r"\eta", live=True, help="Generator's rate.")
    ] = 1e-3
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", live=True, help="Points per step.")
    ] = 256


class GAN(PushForward):
    """The game of 2014 between two perceptrons."""

    Config = GANConfig
    card = ModelCard(
        name="gan",
        title="GAN",
        family="implicit",
        summary=(
            "A generator turns noise into points, a critic tells them from data, and each learns "
            "from the other. No density is ever written down."
        ),
        equation=(
            r"\min_G\max_D\;\mathbb{E}_{x}\left[\log D(x)\right]"
            r"+\mathbb{E}_{z}\left[\log\left(1-D(G(z))\right)\right]"
        ),
        paper=Paper(
            authors="Ian Goodfellow and others",
            year=2014,
            title="Generative Adversarial Nets",
            where="NeurIPS",
        ),
        lacks=LACKS,
    )

    def optimisers(self, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
        """One Adam per player."""
        ratio = self.config.critic_rate_ratio
        return {
            "generator": player(self.generator, learning_rate, 1.0, BETAS),
            "critic": player(self.judge, learning_rate, ratio, BETAS),
        }

    def critic(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """The logit of D(x), (B,): positive where the critic thinks x real; log p/p_G at best."""
        return self._logit(self.standardise(x))

    def _logit(self, u: Tensor) -> Tensor:
        logit: Tensor = self.judge(u).squeeze(-1)
        return logit

    # --- training -----------------------------------------------------------------------------

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Both players' losses on (B, *E), nats, without instance noise.

        ``critic`` is −V (ln 4 where D = ½), penalty not included; ``total`` = ``generator``.
        """
        fake = self._fake(len(x), generator)
        logits = self._logit(self.standardise(x)), self._logit(fake)
        generator_loss = self._generator_loss(logits[1])
        return {
            "total": generator_loss,
            "generator": generator_loss,
            "critic": critic_loss(*logits),
        }

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update of the critic, then one of the generator, each on fresh noise."""
        sigma = self.config.instance_noise * max(0.0, 1.0 - state.step / self.config.noise_steps)
        with torch.no_grad():
            fake = self._blurred(self._fake(len(batch), generator), sigma, generator)
        real = self._blurred(self.standardise(batch), sigma, generator)
        value, penalty = self._critic_terms(real, fake)
        self._update(value + penalty, self.judge, state.optimisers["critic"])
        fake = self._blurred(self._fake(len(batch), generator), sigma, generator)
        loss = self._generator_loss(self._logit(fake))
        self._update(loss, self.generator, state.optimisers["generator"])
        self._update_average(state.step)
        return {"total": loss.detach(), "generator": loss.detach(), "critic": value.detach()}

    def _critic_terms(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """−V, and γ/2 E |∇ logit|² at the data."""
        weight = self.config.gradient_penalty
        if weight:
            real = real.detach().requires_grad_()
        logit = self._logit(real)
        value = critic_loss(logit, self._logit(fake))
        if not weight:
            return value, torch.zeros_like(value)
        (slope,) = torch.autograd.grad(logit.sum(), real, create_graph=True)
        return value, 0.5 * weight * slope.square().sum(-1).mean()

    def _generator_loss(self, logit: Tensor) -> Tensor:
        if self.config.objective == "minimax":
            return -F.softplus(logit).mean()
        return F.softplus(-logit).mean()

    def _blurred(self, u: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
        return u + sigma * normal_noise(u.shape, generator, u) if sigma else u


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """−V of the logits at data and draws: −E log D(x) − E log(1 − D(G(z))), a scalar, nats."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()
