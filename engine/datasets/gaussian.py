"""One correlated Gaussian in the plane.

Constants: mean 0, standard deviation σ = 1 of both coordinates (the ``noise`` setting) and
correlation ρ = 0.8 between them (the ``correlation`` setting); entropy ln(2πe σ² √(1 − ρ²)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.dataset import SplitConfig
from engine.datasets.synthetic import Synthetic, far_is_empty
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field


class Gaussian(Synthetic):
    """p(x) = N(x; 0, σ² [[1, ρ], [ρ, 1]])."""

    card = DatasetCard(
        name="gaussian",
        title="Gaussian",
        summary="One tilted ellipse: every density model should get this exactly right.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split, width and tilt."""

        noise: Annotated[
            float,
            Field(0.01, 5.0, step=0.05, symbol=r"\sigma", help="Standard deviation."),
        ] = 1.0
        correlation: Annotated[
            float,
            Field(-0.99, 0.99, step=0.05, symbol=r"\rho", help="Correlation of x and y."),
        ] = 0.8

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32."""
        sigma, rho = self.config.noise, self.config.correlation
        points = torch.randn(n, 2, generator=generator)
        points[:, 1] *= math.sqrt(1.0 - rho**2)
        points[:, 1] += rho * points[:, 0]
        return points.mul_(sigma)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats."""
        sigma, rho = self.config.noise, self.config.correlation
        u, v = (x / sigma).unbind(1)
        rest = (v - rho * u) / math.sqrt(1.0 - rho**2)
        return far_is_empty(1.0 - self.entropy() - 0.5 * (u.square() + rest.square()), x)

    def entropy(self) -> float:
        """H(p) = ln(2πe σ² √(1 − ρ²)) in nats."""
        sigma, rho = self.config.noise, self.config.correlation
        return math.log(2.0 * math.pi * math.e * sigma**2 * math.sqrt(1.0 - rho**2))
