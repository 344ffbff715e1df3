"""Two interlocking half circles.

Constants: 200 Gaussians a moon, 400 of equal weight in all. The upper moon has its centres at
2·(cos a − ½, sin a − ¼), the lower one at 2·(½ − cos a, ¼ − sin a), where a = π(i + ½)/200 for
i = 0 … 199; standard deviation σ = 0.15 (the ``noise`` setting).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch

from engine.dataset import SplitConfig
from engine.datasets.mixture import Mixture, MixtureSet, equal_mixture, midpoints
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

N_PER_MOON = 200
RADIUS = 2.0


class TwoMoons(MixtureSet):
    """p(x) = 1/400 Σ_k N(x; m_k, σ² I) with the centres m_k on two half circles."""

    card = DatasetCard(
        name="two_moons",
        title="Two moons",
        summary="Two half circles that reach into each other: no straight line parts them.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the noise."""

        noise: Annotated[
            float,
            Field(0.01, 1.0, step=0.01, symbol=r"\sigma", help="Half the width of a moon."),
        ] = 0.15

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        angles = math.pi * midpoints(N_PER_MOON)
        upper = RADIUS * torch.stack([angles.cos() - 0.5, angles.sin() - 0.25], dim=1)  # (200, 2)
        return equal_mixture(torch.cat([upper, -upper]), noise)
