"""Two spirals, one the mirror of the other through the origin.

Constants: 200 Gaussians an arm, 400 of equal weight in all, with centres ±(−cos n, sin n)·n/3,
where n = 3π√t and t = (i + ½)/200 for i = 0 … 199 (evenly spaced in 0 … 1); standard deviation
σ = 0.1 (the ``noise`` setting). The truth is this mixture; below σ ≈ 0.03 its outer Gaussians
come apart.
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

N_PER_ARM = 200


class TwoSpirals(MixtureSet):
    """p(x) = 1/400 Σ_k N(x; m_k, σ² I) with the centres m_k on two spiral arms."""

    card = DatasetCard(
        name="two_spirals",
        title="Two spirals",
        summary="Two thin interleaved arms: long curved structure that a smooth map must bend to.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the arms' width."""

        noise: Annotated[
            float,
            Field(0.01, 1.0, step=0.01, symbol=r"\sigma", help="Half the width of an arm."),
        ] = 0.1

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        n = 3.0 * math.pi * midpoints(N_PER_ARM).sqrt()
        arm = torch.stack([-n.cos(), n.sin()], dim=1) * (n / 3.0)[:, None]  # (200, 2)
        return equal_mixture(torch.cat([arm, -arm]), noise)
