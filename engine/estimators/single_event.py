"""One event of a model with latents, in double precision: its joint, its q, where z may lie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Decoding, Encoding
from engine.drawing import draw
from engine.estimators.gaussian_q import GaussianQ, gaussian_of
from engine.estimators.grid import Box
from engine.estimators.log_joint import FlatLatents, log_joint
from engine.estimators.precision import in_double
from engine.estimators.shared_bound import HasDistribution
from engine.latents import Posterior
from engine.model import GenerativeModel

#: Latents of more values than this have no posterior on a grid.
MOST_LATENTS = 2
#: Draws of prior and q that say where z may lie, and how many of their spreads around them.
N_DRAWS, REACH = 512, 8.0


@dataclass(frozen=True)
class SingleEvent:
    """A model and one event (1, *E), both float64 on the CPU; ``flat`` are its real latents."""

    model: GenerativeModel
    x: Tensor
    flat: FlatLatents
    context: Tensor | None = None

    @classmethod
    def of(
        cls,
        model: GenerativeModel,
        x: Tensor,
        context: Tensor | None = None,
        *,
        most: int = MOST_LATENTS,
    ) -> SingleEvent:
        """Copy a model into double precision for one event.

        Raises:
            ValueError: It has no decoder, or its latents are not 1 to ``most`` real numbers.
        """
        if not isinstance(model, Decoding):
            raise ValueError(f"{model.card.title} has no decoder")
        flat = FlatLatents(model.latents)
        if not flat.are_real:
            raise ValueError("the posterior on a grid: given discrete latents, wanted real ones")
        if not 1 <= flat.size <= most:
            wanted = "1 or 2" if most == MOST_LATENTS else f"1 to {most}"
            raise ValueError(
                f"the posterior on a grid: given {flat.size} latents, wanted {wanted}; choose a "
                "smaller latent_features"
            )
        twin, event = in_double(model, x)
        twin.requires_grad_(False)
        labels = None if context is None else context.cpu()
        return cls(twin, event, flat, labels)

    def log_joint(self, z: Tensor) -> Tensor:
        """log p(x, z) of (P, Z), (P,), with gradient to z."""
        if not isinstance(self.model, Decoding):
            raise ValueError(f"{self.model.card.title} has no decoder")
        latents = self.flat.part(z[:, None])
        return log_joint(self.model, self.x, latents, context=self.context).total[:, 0]

    @property
    def posterior(self) -> Posterior:
        """q(z given x) of the event.

        Raises:
            ValueError: The model has no encoder.
        """
        if not isinstance(self.model, Encoding):
            raise ValueError(f"{self.model.card.title} has no encoder")
        return self.model.encode(self.x, context=self.context)

    def gaussian(self) -> GaussianQ | None:
        """The encoder's q where it is one Gaussian, else None."""
        posterior = self.posterior
        if len(self.flat.latents) != 1 or not isinstance(posterior, HasDistribution):
            return None
        return gaussian_of(posterior.distribution)

    @torch.no_grad()
    def q_draws(self, generator: torch.Generator) -> Tensor:
        """Draws of the encoder's q, (N, Z)."""
        latents, _ = self.posterior.sample(N_DRAWS, generator)
        return self.flat.join(latents)[:, 0]

    @torch.no_grad()
    def prior_draws(self, generator: torch.Generator) -> Tensor:
        """Ancestral draws of the prior, (N, Z)."""
        if not isinstance(self.model, Decoding):
            raise ValueError(f"{self.model.card.title} has no decoder")
        parents: dict[str, Tensor] = {}
        for latent in self.model.latents:
            prior = self.model.prior(parents)
            shape = () if prior.batch_shape else (N_DRAWS,)
            parents[latent.name] = draw(prior, generator, shape)
        return self.flat.join({name: value[:, None] for name, value in parents.items()})[:, 0]

    def room(self, generator: torch.Generator) -> Box:
        """A box that holds prior and q with room to spare."""
        low, high = [], []
        for draws in (self.prior_draws(generator), self.q_draws(generator)):
            mean, spread = draws.mean(0), draws.std(0).clamp_min(1e-9)
            low.append(mean - REACH * spread)
            high.append(mean + REACH * spread)
        ends = torch.stack(low).amin(0), torch.stack(high).amax(0)
        return Box(tuple(ends[0].tolist()), tuple(ends[1].tolist()))


def moments(draws: Tensor) -> GaussianQ:
    """The Gaussian with mean and covariance of draws (N, Z)."""
    covariance = torch.cov(draws.T).reshape(draws.shape[1], draws.shape[1])
    jitter = 1e-12 * torch.eye(len(covariance), dtype=draws.dtype)
    return GaussianQ(draws.mean(0), torch.linalg.cholesky(covariance + jitter))
