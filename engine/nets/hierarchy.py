r"""A hierarchy of latents, each a Gaussian given the one above it: what all of them share.

.. math::
    p(x, z) = p(x \mid z_1) \prod_{l=1}^{L-1} p(z_l \mid z_{l+1})\; p(z_L), \qquad
    p(z_l \mid z_{l+1}) = \mathcal N(\mu_l(z_{l+1}), \sigma_l^2(z_{l+1})), \quad
    p(z_L) = \mathcal N(0, I)

Models differ in how they guess the levels of an observation: a subclass of
:class:`HierarchyModel` brings :meth:`HierarchyModel.climb`, which draws them all.

The KL has a share for each level. Where z_l is drawn given z_{l+1} it is a KL, in closed form
under the draws above. Where a posterior is drawn from the data *up*, z_l does not know of z_{l+1}
yet, and its share E[log q(z_l | z_{l-1}) − log p(z_l | z_{l+1})] may fall below 0: only the sum of
the shares is a KL (``kl_is_shared``).

References:
    Rezende, Mohamed and Wierstra, *Stochastic Backpropagation and Approximate Inference in Deep
    Generative Models*, ICML 2014.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from engine.drawing import normal_noise
from engine.latents import Latent, Latents
from engine.nets.diagonal import (
    LOG_SCALE_BOUNDS,
    DiagonalPosterior,
    normal_kl,
    normal_log_prob,
)
from engine.nets.latent_model import Drawn, LatentConfig, LatentModel
from engine.nets.likelihoods import Params
from engine.nets.mlp import MLP
from engine.wire.fields import Field

#: Draws of the levels above for the KL of each unit.
N_DRAWS = 16


@dataclass(frozen=True)
class HierarchyConfig(LatentConfig):
    """Settings of every hierarchy; ``latent_features`` is the size of the lowest level."""

    n_layers: Annotated[
        int, Field(1, 12, step=1, symbol="L", help="Levels of latents; one makes it a VAE.")
    ] = 4
    taper: Annotated[
        float,
        Field(
            0.1,
            1.0,
            help="Size of a level as a share of the one below: 1 keeps all alike, 0.5 halves.",
        ),
    ] = 1.0
    level_features: Annotated[
        tuple[int, ...],
        Field(1, 4096, help="Widths of the dense hidden layers from one level to the next."),
    ] = (64,)
    warm_up_steps: Annotated[
        int,
        Field(
            0,
            10_000_000,
            live=True,
            help="Steps over which the price of the KL grows evenly from 0 to 1, so that upper "
            "levels are not given up at once; 0 for none. The ELBO shown is at 1 throughout.",
        ),
    ] = 0


@dataclass(frozen=True)
class DrawnLevel:
    """K draws of one level, and the Gaussians that q and p gave it: shapes broadcast to (K, B, Z).

    Attributes:
        value: (K, B, Z), with gradient.
        noise: (K, B, Z), the ε of the draw.
        q: The posterior that it was drawn from.
        p: Its prior given the level above, as drawn; None at the top, where it is N(0, I).
        is_given_above: Whether q knew the level above, so that KL(q‖p) has a closed form.
    """

    value: Tensor
    noise: Tensor
    q: DiagonalPosterior
    p: DiagonalPosterior | None
    is_given_above: bool

    @property
    def log_q(self) -> Tensor:
        """(K, B), nats."""
        return normal_log_prob(self.noise, self.q.log_scale)

    @property
    def kl(self) -> Tensor:
        """(B,), nats: the mean over the draws of its share of KL(q‖p)."""
        kl = self._kl_of_each.sum(-1)
        return kl.mean(0) if kl.dim() == 2 else kl

    @property
    def unit_kl(self) -> Tensor:
        """(B, Z), nats: the same of each unit."""
        kl = self._kl_of_each
        return kl.mean(0) if kl.dim() == 3 else kl

    @property
    def _kl_of_each(self) -> Tensor:
        """(K, B, Z), or (B, Z) where every draw has the same."""
        q, p = self.q, self.p
        if p is None:
            return q.kl_of_each
        if self.is_given_above:
            return normal_kl(q.mean, q.log_scale, p.mean, p.log_scale)
        noise = (self.value - p.mean) * torch.exp(-p.log_scale)
        return 0.5 * (noise.square() - self.noise.square()) + p.log_scale - q.log_scale


@dataclass(frozen=True)
class HierarchyPosterior:
    """q(z given x) over all levels: what the encoder sees, (B, D), and the model that draws."""

    model: HierarchyModel
    inputs: Tensor

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws of all levels: ({latent: (K, B, Z_l)}, log_q (K, B))."""
        drawn = self.model.infer(self.inputs, k, generator)
        return dict(drawn.latents), drawn.log_q

    def part(self, name: str) -> DiagonalPosterior | None:
        """q of the level that is drawn first, which needs no draw of another."""
        levels = self.model.climb(self.inputs, 1, torch.Generator().manual_seed(0))
        q = levels[name].q if name in levels else None
        return q if q is not None and q.mean.dim() == self.inputs.dim() else None

    @property
    def unit_kl(self) -> dict[str, Tensor]:
        """Each unit's share of the KL, {latent: (B, Z_l)}, nats: means over draws of one seed."""
        generator = torch.Generator().manual_seed(0)
        levels = self.model.climb(self.inputs, N_DRAWS, generator)
        return {latent.name: levels[latent.name].unit_kl for latent in self.model.latents}


class HierarchyModel(LatentModel):
    """Levels z_L … z_1 in ancestral order, and a decoder that sees z_1 alone."""

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        pairs = pairwise(self.level_sizes)
        self.down = nn.ModuleList(self.make_net(above, 2 * below) for below, above in pairs)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Z_1 … Z_L, from the data up."""
        config: HierarchyConfig = self.config
        sizes = (config.latent_features * config.taper**level for level in range(config.n_layers))
        return tuple(max(1, round(size)) for size in sizes)

    @property
    def width(self) -> int:
        """H, deterministic features of the data where the levels share them."""
        config: HierarchyConfig = self.config
        return config.level_features[-1] if config.level_features else config.latent_features

    def make_net(self, in_features: int, out_features: int) -> nn.Module:
        """A dense network from one level to the next."""
        config: HierarchyConfig = self.config
        # Torch's own start, which fades with depth: a loud one lets upper levels copy the noise of
        # lower ones, from which bottom-up training hardly recovers.
        return MLP(in_features, config.level_features, out_features, activation=config.activation)

    @property
    def beta(self) -> float:
        """The price of the KL: a straight line from 0 to 1 during the warm-up."""
        config: HierarchyConfig = self.config
        return min(1.0, (self.steps_taken + 1) / max(config.warm_up_steps, 1))

    # --- the posterior ------------------------------------------------------------------------

    @abstractmethod
    def climb(
        self, inputs: Tensor, k: int, generator: torch.Generator
    ) -> Mapping[str, DrawnLevel]:
        """K draws of every level of what the encoder sees, (B, D), by name."""

    @property
    def kl_is_shared(self) -> bool:
        """Whether the KL of a single level may fall below 0, its sum over the levels being one."""
        return False

    def posterior(self, inputs: Tensor) -> HierarchyPosterior:
        """q over all levels of what the encoder sees, (B, D)."""
        return HierarchyPosterior(self, inputs)

    def infer(self, inputs: Tensor, k: int, generator: torch.Generator) -> Drawn:
        """K draws of all levels of a batch (B, D), with gradient."""
        levels = self.climb(inputs, k, generator)
        latents = {latent.name: levels[latent.name].value for latent in self.latents}
        log_q = torch.stack([level.log_q for level in levels.values()]).sum(0)
        return Drawn(levels, latents, log_q)

    def kl_terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """Each level's share of KL(q‖p), {latent: (B,)}, nats, from the top down."""
        levels: Mapping[str, DrawnLevel] = drawn.posterior
        return {latent.name: levels[latent.name].kl for latent in self.latents}

    # --- the prior ----------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Latent, ...]:
        """z_L … z_1, the topmost first."""
        sizes = self.level_sizes
        names = [Latent(level_name(level), (size,)) for level, size in enumerate(sizes)]
        return tuple(reversed(names))

    def prior(self, parents: Latents) -> Distribution:
        """N(0, I) of the top level, or the Gaussian of the next one given the one above it."""
        level = self._next_level(parents)
        if level == len(self.level_sizes) - 1:
            zeros = torch.zeros(self.level_sizes[level]).to(self.location)
            return DiagonalPosterior(zeros, zeros, level_name(level)).distribution
        return self.given_above(level, parents[level_name(level + 1)]).distribution

    def given_above(self, level: int, above: Tensor) -> DiagonalPosterior:
        """p(z_l given z_{l+1}) of draws (…, Z_{l+1}); levels are counted from 0 here."""
        mean, log_scale = self.down[level](above).chunk(2, -1)
        return DiagonalPosterior(mean, log_scale.clamp(*LOG_SCALE_BOUNDS), level_name(level))

    def params(self, latents: Latents) -> Params:
        """What the likelihood reads: of z_1 alone."""
        return super().params({"z": latents[level_name(0)]})

    def _next_level(self, parents: Latents) -> int:
        names = [latent.name for latent in self.latents]
        known = [name for name in names if name in parents]
        if known != names[: len(known)] or len(known) == len(names):
            wanted = f"those above one of {', '.join(names)}"
            raise ValueError(f"prior: given {', '.join(parents) or 'none'}, wanted {wanted}")
        return len(names) - 1 - len(known)


def level_name(level: int) -> str:
    """``"z_1"`` of level 0, which is next to the data."""
    return f"z_{level + 1}"


def draw_level(q: DiagonalPosterior, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """K draws (K, B, Z) and their noise, of a Gaussian (B, Z) or of one per draw (K, B, Z)."""
    shape: Sequence[int] = q.mean.shape if q.mean.dim() == 3 else (k, *q.mean.shape)
    noise = normal_noise(shape, generator, q.mean)
    return q.mean + q.scale * noise, noise
