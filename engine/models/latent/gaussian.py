r"""One Gaussian, fitted by maximum likelihood: the mean and the covariance of the data.

The simplest density there is, and the first of the lecture's two approaches to data with two
humps: it puts its peak between them. No training is needed, for the best parameters are known.

.. math::
    p(x) = \mathcal N(x \mid \mu, \Sigma), \qquad
    \hat\mu = \tfrac1N \sum_n x_n, \quad
    \hat\Sigma = \tfrac1N \sum_n (x_n - \hat\mu)(x_n - \hat\mu)^\top

References:
    Gauss, *Theoria motus corporum coelestium*, 1809.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from engine.drawing import draw
from engine.estimators.gaussian import (
    STRUCTURES,
    cholesky,
    floored_covariance,
    gaussian_log_prob,
    shaped_covariance,
)
from engine.estimators.precision import as_double
from engine.model import GenerativeModel, TrainState
from engine.wire.capability import Capability
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: No variance falls below this share of the data's: a lower one is lost in float32.
SMALLEST_VARIANCE = 1e-8
#: The bell before the first step is so many times as wide as the data.
FIRST_WIDTH = 2.0


@dataclass(frozen=True)
class GaussianConfig:
    """Settings of :class:`Gaussian`."""

    covariance: Annotated[
        str,
        Field(
            choices=STRUCTURES,
            symbol=r"\Sigma",
            help="Full: a tilted ellipse. Diagonal: an upright one. Spherical: a circle.",
        ),
    ] = "full"


class Gaussian(GenerativeModel):
    """One Gaussian; the first training step is the maximum-likelihood fit, later ones repeat it.

    ``mean`` (D,) and ``scale_tril`` (D, D), the Cholesky factor, lie in standardised units.
    "Spherical" and "diagonal" are meant in the units of the data.
    """

    Config = GaussianConfig
    full_batch = True
    card = ModelCard(
        name="gaussian",
        title="Gaussian",
        family="latent",
        summary=(
            "One bell, whose centre and width are those of the data: one step fits it. Where the "
            "data have two humps its peak stands between them; a hidden coin would help."
        ),
        equation=r"p(x)=\mathcal{N}\left(x;\mu,\Sigma\right)",
        paper=Paper(
            authors="C. F. Gauss",
            year=1809,
            title="Theoria motus corporum coelestium",
        ),
        lacks={
            Capability.DECODING: (
                "It has no latent variables: nothing is hidden between the Gaussian and a point."
            )
        },
    )

    mean: Tensor
    scale_tril: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: GaussianConfig) -> None:
        super().__init__(event_shape, config)
        self.register_buffer("mean", torch.zeros(self.event_size))
        self.register_buffer("scale_tril", FIRST_WIDTH * torch.eye(self.event_size))

    @property
    def n_parameters(self) -> int:
        """Number of free values: the mean and the covariance."""
        size = self.event_size
        free = {"full": size * (size + 1) // 2, "diagonal": size, "spherical": 1}
        return size + free[self.config.covariance]

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean negative log-density, nats per event; the fit is found without a gradient."""
        nll = -self.log_prob(x).mean()
        return {"total": nll, "nll": nll}

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The maximum-likelihood fit to (B, *E); returns the negative log-density before it."""
        losses = self.loss(batch, generator=generator)
        u = as_double(self.standardise(batch)).cpu()
        mean = u.mean(0)
        scale = self.scale.cpu()
        scatter = shaped_covariance(
            ((u - mean).T @ (u - mean) / len(u))[None], self.config.covariance, scale
        )
        least = SMALLEST_VARIANCE * torch.eye(self.event_size, dtype=u.dtype)
        floor = shaped_covariance(least[None], self.config.covariance, scale)[0].diagonal()
        self.mean.copy_(mean)
        self.scale_tril.copy_(cholesky(floored_covariance(scatter, floor))[0])
        return losses

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log-density of (B, *E), (B,), nats."""
        u = self.standardise(x)
        log_densities = gaussian_log_prob(u, self.mean[None], self.scale_tril[None])
        return log_densities[:, 0] + self.standardise_log_det

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Draws (N, *E)."""
        normal = MultivariateNormal(self.mean, scale_tril=self.scale_tril, validate_args=False)
        return self.unstandardise(draw(normal, generator, (n,)))
