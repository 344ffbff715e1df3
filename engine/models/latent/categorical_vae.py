r"""A VAE whose latents are categories: each picks one of K states, and nothing lies in between.

A category cannot be moved a little, so training draws a *relaxed* one, a point of the simplex near
a corner, through which the gradient passes. The nearer to the corners (the lower the temperature
τ), the smaller the bias and the noisier the gradient. What is shown of the model is always
discrete: posterior, prior, samples and ELBO know nothing of τ.

.. math::
    y = \mathrm{softmax}\Bigl(\frac{\log q(x) + g}{\tau}\Bigr), \quad
    g_k = -\log(-\log u_k), \qquad \text{loss} = -\mathbb E \log p(x \mid y) +
    \begin{cases}
        \mathrm{KL}(q(z \mid x) \,\|\, p(z)) & \text{Gumbel-softmax} \\
        \mathbb E \log \frac{q_\tau(y \mid x)}{p_{\tau_0}(y)} & \text{Concrete}
    \end{cases}

where the second divides the densities of the relaxed posterior and the relaxed prior. With
``straight_through`` the decoder sees the corner itself, and the gradient is that of y.

References:
    Jang, Gu and Poole, *Categorical Reparameterization with Gumbel-Softmax*, ICLR 2017.
    Maddison, Mnih and Teh, *The Concrete Distribution*, ICLR 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent

from engine.drawing import categorical_from_uniform, uniform_noise
from engine.estimators.concrete import (
    exp_concrete_log_prob,
    gumbel_noise,
    relaxed_draw,
    straight_through,
)
from engine.latents import Latent, Latents
from engine.nets.coders import make_decoder, make_encoder
from engine.nets.latent_model import LACKS, Drawn, LatentConfig, LatentModel
from engine.nets.likelihoods import Params
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

RELAXATIONS = ("gumbel_softmax", "concrete")


@dataclass(frozen=True)
class CategoricalVAEConfig(LatentConfig):
    """Settings of :class:`CategoricalVAE`."""

    latent_features: Annotated[
        int, Field(1, 512, step=1, symbol="N", help="Number of latent categories.")
    ] = 8
    n_states: Annotated[
        int, Field(2, 256, step=1, symbol="K", help="States of each category.")
    ] = 8
    relaxation: Annotated[
        str,
        Field(
            choices=RELAXATIONS,
            help="The KL in the loss: of the categories themselves, or between the Concrete "
            "densities of the relaxed posterior and the relaxed prior.",
        ),
    ] = "gumbel_softmax"
    temperature: Annotated[
        float,
        Field(
            0.01,
            10.0,
            scale="log",
            symbol=r"\tau",
            live=True,
            help="Of relaxed draws: low ones are nearly categories, with a noisy gradient.",
        ),
    ] = 1.0
    anneal_steps: Annotated[
        int,
        Field(
            0,
            10_000_000,
            live=True,
            help="Steps in which the temperature falls by a factor of e; 0 keeps it.",
        ),
    ] = 0
    least_temperature: Annotated[
        float,
        Field(0.01, 10.0, scale="log", live=True, help="Where the temperature stops falling."),
    ] = 0.5
    prior_temperature: Annotated[
        float,
        Field(
            0.01,
            10.0,
            scale="log",
            symbol=r"\tau_0",
            live=True,
            help="Of the relaxed prior; only the Concrete loss uses it.",
        ),
    ] = 1.0
    straight_through: Annotated[
        bool,
        Field(
            live=True,
            help="The decoder is trained on true categories; the gradient is the relaxed draw's.",
        ),
    ] = False
    warm_up_steps: Annotated[
        int,
        Field(
            0,
            10_000_000,
            live=True,
            help="Steps over which the price of the KL grows evenly from 0 to 1, so that the "
            "categories are not given up at once; 0 for none. The ELBO shown is at 1 throughout.",
        ),
    ] = 300


@dataclass(frozen=True)
class CategoriesPosterior:
    """q(z given x): N independent categories, ``log_probs`` (B, N, K) in nats."""

    log_probs: Tensor

    @property
    def distribution(self) -> Distribution:
        """Batch (B,), event (N,)."""
        return _categories(self.log_probs)

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K exact draws: ({"z": (K, B, N)} of whole numbers, log_q (K, B))."""
        noise = uniform_noise((k, *self.log_probs.shape[:-1]), generator, self.log_probs)
        z = categorical_from_uniform(self.log_probs.exp(), noise)
        every = self.log_probs.expand(k, *self.log_probs.shape)
        return {"z": z}, every.gather(-1, z[..., None]).squeeze(-1).sum(-1)

    @property
    def kl(self) -> Tensor:
        """KL(q‖uniform) = Σ_n (log K − entropy of q_n), (B,), nats."""
        negative_entropy = (self.log_probs.exp() * self.log_probs).sum((-1, -2))
        n, n_states = self.log_probs.shape[-2:]
        return negative_entropy + n * math.log(n_states)


class CategoricalVAE(LatentModel):
    """N categories of K states, evenly likely a priori, trained through relaxed draws."""

    Config = CategoricalVAEConfig
    card = ModelCard(
        name="categorical_vae",
        title="Categorical VAE",
        family="latent",
        summary=(
            "A VAE whose latents are choices among a few states. Training softens each choice by "
            "a temperature so that a gradient passes; the model itself only knows hard ones."
        ),
        equation=(
            r"y=\mathrm{softmax}\left(\frac{\log q(z|x)+g}{\tau}\right),\quad"
            r"g_k=-\log(-\log u_k)"
        ),
        paper=Paper(
            authors="Eric Jang, Shixiang Gu, Ben Poole",
            year=2016,
            title="Categorical Reparameterization with Gumbel-Softmax",
            where="ICLR 2017",
        ),
        lacks=LACKS,
        features=("relaxed",),
    )

    @property
    def n_states(self) -> int:
        """K."""
        return int(self.config.n_states)

    def make_encoder(self) -> nn.Module:
        """Inputs (…, D) → scores of all states (…, N·K)."""
        config: CategoricalVAEConfig = self.config
        return make_encoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            config.latent_features * config.n_states,
            activation=config.activation,
        )

    def make_decoder(self) -> nn.Module:
        """Points of the simplex (…, N·K) → (…, P·D)."""
        config: CategoricalVAEConfig = self.config
        n_params = self.likelihood.n_params if config.decoder_scale == "network" else 1
        return make_decoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            config.latent_features * config.n_states,
            n_params,
            activation=config.activation,
        )

    # --- training -----------------------------------------------------------------------------

    @property
    def beta(self) -> float:
        """The price of the KL: a straight line from 0 to 1 during the warm-up."""
        config: CategoricalVAEConfig = self.config
        return min(1.0, (self.steps_taken + 1) / max(config.warm_up_steps, 1))

    @property
    def temperature(self) -> float:
        """τ at the step in hand: falling exponentially, but never below its least value."""
        config: CategoricalVAEConfig = self.config
        if not config.anneal_steps:
            return config.temperature
        now = config.temperature * math.exp(-self.steps_taken / config.anneal_steps)
        return max(now, min(config.least_temperature, config.temperature))

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean over (B, *E) of the relaxed objective, ``total``, in nats; it is no bound.

        ``nll`` = ``reconstruction`` + ``kl`` is one: −ELBO of the discrete model, by the hard draw
        of the same noise. ``temperature`` is τ.
        """
        values = self.values(x)
        q = self.posterior(self.inputs(values))
        tau = self.temperature
        log_y = relaxed_draw(q.log_probs, gumbel_noise(q.log_probs.shape, generator, x), tau)
        y = log_y.exp()
        seen = straight_through(y) if self.config.straight_through else y
        log_p = self._log_prob_of(values, seen)
        total = (self.beta * self._relaxed_kl(q, log_y, tau) - log_p).mean()
        with torch.no_grad():
            if not self.config.straight_through:
                log_p = self._log_prob_of(values, straight_through(y))
            reconstruction, kl = -log_p.mean(), q.kl.mean()
        return {
            "total": total,
            "nll": reconstruction + kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "temperature": torch.tensor(tau, device=self.device),
        }

    def _relaxed_kl(self, q: CategoriesPosterior, log_y: Tensor, tau: float) -> Tensor:
        """(B,): of the categories, or one draw's ratio of the Concrete densities."""
        if self.config.relaxation == "gumbel_softmax":
            return q.kl
        log_q = exp_concrete_log_prob(log_y, q.log_probs, tau)
        even = torch.zeros_like(q.log_probs)
        log_prior = exp_concrete_log_prob(log_y, even, self.config.prior_temperature)
        return (log_q - log_prior).sum(-1)

    def _log_prob_of(self, values: Tensor, y: Tensor) -> Tensor:
        """log p(x given y) of values (B, D) and points of the simplex (B, N, K): (B,), nats."""
        return self.log_prob_given(values, {"y": y[None]})[0]

    # --- latents ------------------------------------------------------------------------------

    def posterior(self, inputs: Tensor) -> CategoriesPosterior:
        """q(z given x) of what the encoder sees, (B, D)."""
        scores = self.encoder(inputs).reshape(len(inputs), -1, self.n_states)
        return CategoriesPosterior(scores.log_softmax(-1))

    def kl_terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """KL(q‖uniform) in closed form, {latent: (B,)}."""
        posterior: CategoriesPosterior = drawn.posterior
        return {"z": posterior.kl}

    @property
    def latents(self) -> tuple[Latent, ...]:
        """One vector "z" of N categories."""
        return (Latent("z", (self.config.latent_features,), "category", self.n_states),)

    def prior(self, parents: Latents) -> Distribution:
        """All states evenly likely, event (N,)."""
        if "z" in parents:
            raise ValueError("prior: given z, wanted no parents: it is the only latent")
        shape = (self.config.latent_features, self.n_states)
        return _categories(torch.zeros(shape).to(self.location))

    def params(self, latents: Latents) -> Params:
        """What the likelihood reads: of categories "z" (…, N), or points "y" (…, N, K)."""
        y = latents.get("y")
        if y is None:
            y = F.one_hot(latents["z"].long(), self.n_states).to(self.location)
        return super().params({"z": y.flatten(-2)})


def _categories(log_probs: Tensor) -> Distribution:
    categories = Categorical(logits=log_probs, validate_args=False)
    return Independent(categories, 1, validate_args=False)
