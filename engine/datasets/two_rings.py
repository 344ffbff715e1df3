"""Two rings around the origin.

Constants: radii 1.25 and 2.75, 200 Gaussians a ring at the angles 2π(i + ½)/200, 400 of equal
weight in all, so each ring holds half of the points; standard deviation σ = 0.12 (the ``noise``
setting).
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

N_PER_RING = 200
RADII = (1.25, 2.75)


class TwoRings(MixtureSet):
    """p(x) = 1/400 Σ_k N(x; m_k, σ² I) with the centres m_k on two circles."""

    card = DatasetCard(
        name="two_rings",
        title="Two rings",
        summary="A ring within a ring: holes that a map without tears cannot make exactly.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the noise."""

        noise: Annotated[
            float,
            Field(0.01, 1.0, step=0.01, symbol=r"\sigma", help="Half the width of a ring."),
        ] = 0.12

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        angles = 2.0 * math.pi * midpoints(N_PER_RING)
        circle = torch.stack([angles.cos(), angles.sin()], dim=1)  # (200, 2)
        return equal_mixture(torch.cat([radius * circle for radius in RADII]), noise)
