r"""The Wasserstein GAN with gradient penalty: the critic measures a distance, not a probability.

Among functions that rise by at most one per unit of length the best critic's mean over data minus
its mean over draws is the earth mover's distance; a penalty on its slope between the two keeps it
near that class, and the generator goes down the distance.

.. math::
    W_1(p, p_G) = \max_{\|f\|_L \le 1} \mathbb E_x f(x) - \mathbb E_z f(G(z)), \qquad
    L_f = \mathbb E_z f(G(z)) - \mathbb E_x f(x)
        + \lambda\, \mathbb E_{\hat x} (\|\nabla f(\hat x)\| - 1)^2

References:
    Gulrajani et al., *Improved Training of Wasserstein GANs*, NeurIPS 2017; Arjovsky, Chintala
    and Bottou, *Wasserstein GAN*, ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.drawing import uniform_noise
from engine.model import TrainState
from engine.nets.push_forward import LACKS, PushForward, player
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

BETAS = (0.5, 0.9)


@dataclass(frozen=True)
class WGANGPConfig:
    """Settings of :class:`WGANGP`."""

    latent_features: Annotated[
        int, Field(1, 512, step=1, symbol="Z", help="Coordinates of the generator's noise.")
    ] = 2
    hidden_features: Annotated[
        tuple[int, ...], Field(1, 4096, help="Widths of the generator's hidden layers.")
    ] = (128, 128, 128)
    critic_features: Annotated[
        tuple[int, ...], Field(1, 4096, help="Widths of the critic's hidden layers.")
    ] = (128, 128, 128)
    n_critic: Annotated[
        int, Field(1, 100, step=1, live=True, help="Critic's updates for one of the generator.")
    ] = 5
    penalty_weight: Annotated[
        float,
        Field(
            0.0,
            1000.0,
            step=1.0,
            symbol=r"\lambda",
            live=True,
            help="Weight of the penalty on slopes other than 1 (the paper: 10).",
        ),
    ] = 1.0
    penalty: Annotated[
        str,
        Field(
            choices=("two_sided", "one_sided"),
            live=True,
            help=(
                "two_sided: slopes other than 1 cost, as in the paper. one_sided: only slopes "
                "above 1, which cannot trap a critic of the wrong sign."
            ),
        ),
    ] = "two_sided"
    average: Annotated[
        float,
        Field(
            0.0,
            0.9999,
            symbol=r"\beta",
            live=True,
            help="Decay of the generator's running average, which is drawn from; 0 is none.",
        ),
    ] = 0.995
    learning_rate: Annotated[
        float, Field(1e-6, 0.1, scale="log", symbol=r"\eta", live=True, help="Rate of both.")
    ] = 1e-3
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", live=True, help="Points per step.")
    ] = 256


class WGANGP(PushForward):
    """A Wasserstein critic and a generator.

    Lengths are measured per coordinate in spreads of the data, times their root mean square s:
    in one coordinate, or where all spreads are alike, that is the data's own unit.
    """

    Config = WGANGPConfig
    card = ModelCard(
        name="wgan_gp",
        title="WGAN-GP",
        family="implicit",
        summary=(
            "The critic learns how far the draws are from the data, as earth has to be moved, and "
            "the generator shortens that way. A penalty keeps the critic's slope near one."
        ),
        equation=(
            r"\min_G\max_{\|f\|_L\leq 1}\;\mathbb{E}_{x}\left[f(x)\right]"
            r"-\mathbb{E}_{z}\left[f(G(z))\right]"
        ),
        paper=Paper(
            authors="Ishaan Gulrajani and others",
            year=2017,
            title="Improved Training of Wasserstein GANs",
            where="NeurIPS",
        ),
        lacks=LACKS,
    )

    def optimisers(self, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
        """One Adam per player."""
        return {
            "generator": player(self.generator, learning_rate, 1.0, BETAS),
            "critic": player(self.judge, learning_rate, 1.0, BETAS),
        }

    @property
    def unit(self) -> Tensor:
        """S, the root mean square of the coordinates' spreads, a scalar."""
        return self.scale.square().mean().sqrt()

    def critic(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """s f(x), (B,): higher = more real, in the unit s of a length times the slope of f."""
        return self.unit * self._judged(self.standardise(x))

    def _judged(self, u: Tensor) -> Tensor:
        value: Tensor = self.judge(u).squeeze(-1)
        return value

    # --- training -----------------------------------------------------------------------------

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Both players' losses on (B, *E).

        ``total`` = ``generator`` = −E f(G(z)); ``critic`` holds ``penalty``; ``wasserstein`` is
        the estimate of W₁ (see :meth:`critic` for its unit).
        """
        fake = self._fake(len(x), generator)
        losses = self.critic_losses(self.standardise(x), fake, generator)
        generator_loss = -self._judged(fake).mean()
        return {"total": generator_loss, "generator": generator_loss, **losses}

    def critic_losses(
        self, real: Tensor, fake: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        r"""``critic``, ``penalty`` and ``wasserstein`` of standardised data and draws (B, D).

        A finite λ lets the best critic rise by more than 1: in one coordinate by 1 + W₁/2λ, on
        average over the places of the penalty. ``wasserstein`` is the gap over that mean slope,
        where it is above 1.
        """
        gap = self._judged(real).mean() - self._judged(fake).mean()
        steepness = self._steepness(real, fake, generator)
        excess = steepness - 1.0
        if self.config.penalty == "one_sided":
            excess = excess.clamp_min(0.0)
        penalty = self.config.penalty_weight * excess.square().mean()
        wasserstein = self.unit * gap / steepness.mean().clamp_min(1.0)
        return {"critic": penalty - gap, "penalty": penalty, "wasserstein": wasserstein}

    def _steepness(self, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
        """|∇f|, (B,), at random points between data and draws, with graph."""
        share = uniform_noise((len(real), 1), generator, real)
        between = torch.lerp(real.detach(), fake.detach(), share).requires_grad_()
        with torch.enable_grad():
            value = self._judged(between).sum()
            (slope,) = torch.autograd.grad(value, between, create_graph=True)
        steepness: Tensor = torch.linalg.vector_norm(slope, dim=-1)
        return steepness

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update of the critic; after every ``n_critic`` of them one of the generator."""
        with torch.no_grad():
            fake = self._fake(len(batch), generator)
        losses = self.critic_losses(self.standardise(batch), fake, generator)
        self._update(losses["critic"], self.judge, state.optimisers["critic"])
        loss = self._generator_turn(len(batch), state, generator)
        losses = {"total": loss, "generator": loss, **losses}
        return {name: value.detach() for name, value in losses.items()}

    def _generator_turn(self, n: int, state: TrainState, generator: torch.Generator) -> Tensor:
        """Update the generator if it is its turn; its loss either way."""
        due = (state.step + 1) % self.config.n_critic == 0
        with torch.set_grad_enabled(due):
            loss = -self._judged(self._fake(n, generator)).mean()
        if due:
            self._update(loss, self.generator, state.optimisers["generator"])
            self._update_average(state.step // self.config.n_critic)
        return loss
