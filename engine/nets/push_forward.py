r"""What all generators share: noise pushed through a network, which samples but has no density.

.. math:: z \sim \mathcal N(0, I), \qquad x = G(z)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from engine.adam import Adam
from engine.drawing import normal_noise
from engine.latents import Latent, Latents, PointMass
from engine.model import GenerativeModel
from engine.nets.averaging import averaged_copy, update_average
from engine.nets.mlp import MLP
from engine.wire.capability import Capability

#: Why a generator lacks what other models have.
LACKS = {
    Capability.LOG_PROB: (
        "A GAN only defines how to sample: the density of G(z) is never computed, and where G "
        "folds or flattens the plane there is none."
    ),
    Capability.BOUND: (
        "A bound needs p(x given z); here x = G(z) is one point, whose log-density is infinite or "
        "minus infinity."
    ),
    Capability.ENCODING: "Nothing in a GAN leads back from x to z: it was never trained to.",
}


class PushForward(GenerativeModel):
    """A generator and a critic; a subclass gives their losses.

    The networks ``generator`` and ``judge`` are trained; ``average``, a running average of the
    generator, is what is drawn and decoded.

    Args:
        event_shape: The shape *E of one observation.
        config: With ``latent_features``, ``hidden_features``, ``critic_features`` and ``average``.
    """

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        n_latents: int = config.latent_features
        self.generator = _network(n_latents, config.hidden_features, self.event_size, "relu")
        self.average = averaged_copy(self.generator)
        self.judge = _network(self.event_size, config.critic_features, 1, "leaky_relu")

    @property
    def latents(self) -> tuple[Latent, ...]:
        """One vector "z"."""
        return (Latent("z", (self.config.latent_features,)),)

    def prior(self, parents: Latents) -> Distribution:
        """Standard normal, event (Z,)."""
        if "z" in parents:
            raise ValueError("prior: given z, wanted no parents: it is the only latent")
        zeros = torch.zeros(self.config.latent_features).to(self.location)
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> PointMass:
        """G(z) of z (…, Z): all mass at one event *E, in units of the data."""
        x = self.unstandardise(self.average(latents["z"]))
        return PointMass(x, len(self.event_shape))

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """N exact draws of G(z), (N, *E)."""
        return self.decode({"z": self._noise(n, generator)}).value

    def _noise(self, n: int, generator: torch.Generator) -> Tensor:
        return normal_noise((n, self.config.latent_features), generator, self.location)

    def _fake(self, n: int, generator: torch.Generator) -> Tensor:
        """N standardised draws (N, D) of the generator in training, with graph."""
        fake: Tensor = self.generator(self._noise(n, generator))
        return fake

    def _update(self, loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """One step of one player; the other's parameters get no gradient."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=list(network.parameters()))  # type: ignore[no-untyped-call]
        optimiser.step()

    def _update_average(self, step: int) -> None:
        update_average(self.average, self.generator, decay=self.config.average, step=step)


def player(
    network: nn.Module, learning_rate: float, rate_ratio: float, betas: tuple[float, float]
) -> Adam:
    """Adam for one of two players, at ``rate_ratio`` times the learning rate that is set."""
    group = {"params": list(network.parameters()), "rate_ratio": rate_ratio}
    return Adam([group], lr=learning_rate * rate_ratio, betas=betas)


def _network(n_in: int, hidden: Sequence[int], n_out: int, activation: str) -> MLP:
    return MLP(n_in, hidden, n_out, activation=activation)
