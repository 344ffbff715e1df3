"""Neal's funnel in the plane: the height decides the width.

Constants: y = σ·v and x = exp(y/2)·u with u, v standard normal and σ = 1.2 (the ``noise`` setting;
Neal has 3, which is too wide to look at). The entropy is ln(2πe σ).

References:
    Neal, "Slice sampling", Annals of Statistics 31, 2003.
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


class Funnel(Synthetic):
    """p(x, y) = N(y; 0, σ²) · N(x; 0, exp y)."""

    card = DatasetCard(
        name="funnel",
        title="Funnel",
        summary="A wide mouth and a needle-thin neck: one step size does not fit both.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the funnel's height."""

        noise: Annotated[
            float,
            Field(0.05, 3.0, step=0.05, symbol=r"\sigma", help="Spread of the height y."),
        ] = 1.2

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32."""
        points = torch.randn(n, 2, generator=generator)
        points[:, 1] *= self.config.noise
        points[:, 0] *= (0.5 * points[:, 1]).exp()
        return points

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats."""
        y = x[:, 1]
        u, v = x[:, 0] * (-0.5 * y).exp(), y / self.config.noise
        return far_is_empty(1.0 - self.entropy() - 0.5 * (u.square() + v.square() + y), x)

    def entropy(self) -> float:
        """H(p) = H(y) + E H(x given y) = ln(2πe σ) in nats, for E y = 0."""
        return math.log(2.0 * math.pi * math.e * self.config.noise)
