"""A banana: a Gaussian bent along a parabola.

Constants: x = a·u and y = σ·v + ⅓(x² − a²) with u, v standard normal, a = 1.5 and σ = 0.5 (the
``noise`` setting). Bending keeps areas, so the entropy is that of the unbent Gaussian,
ln(2πe a σ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.dataset import SplitConfig
from engine.datasets.synthetic import Synthetic
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

LENGTH = 1.5
BEND = 1.0 / 3.0


class Banana(Synthetic):
    """p(x, y) = N(x; 0, a²) · N(y; ⅓(x² − a²), σ²)."""

    card = DatasetCard(
        name="banana",
        title="Banana",
        summary="A Gaussian bent along a parabola: uncorrelated coordinates that still depend.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the banana's thickness."""

        noise: Annotated[
            float,
            Field(0.01, 2.0, step=0.05, symbol=r"\sigma", help="Half its thickness."),
        ] = 0.5

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32."""
        points = torch.randn(n, 2, generator=generator)
        points *= torch.tensor([LENGTH, self.config.noise])
        points[:, 1] += _bend(points[:, 0])
        return points

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats."""
        u = x[:, 0] / LENGTH
        v = (x[:, 1] - _bend(x[:, 0])) / self.config.noise
        log_p: Tensor = 1.0 - self.entropy() - 0.5 * (u.square() + v.square())
        return log_p

    def entropy(self) -> float:
        """H(p) = ln(2πe a σ) in nats."""
        return math.log(2.0 * math.pi * math.e * LENGTH * self.config.noise)


def _bend(x: Tensor) -> Tensor:
    """Height of the banana's middle; zero on average."""
    return BEND * (x.square() - LENGTH**2)
