"""The Swiss roll, seen from its end: one spiral arm.

Constants: 400 Gaussians of equal weight with centres a·(cos a, sin a)/4, where
a = 3π/2·(1 + 2(i + ½)/400) for i = 0 … 399 (the sheet is thinner outside); standard deviation
σ = 0.15 (the ``noise`` setting).
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

N_CENTRES = 400


class SwissRoll(MixtureSet):
    """p(x) = 1/400 Σ_k N(x; m_k, σ² I) with the centres m_k on a spiral."""

    card = DatasetCard(
        name="swiss_roll",
        title="Swiss roll",
        summary="One long rolled-up sheet: points near in the plane may be far along it.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the noise."""

        noise: Annotated[
            float,
            Field(0.01, 1.0, step=0.01, symbol=r"\sigma", help="Half the width of the sheet."),
        ] = 0.15

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        angles = 1.5 * math.pi * (1.0 + 2.0 * midpoints(N_CENTRES))
        roll = (
            torch.stack([angles.cos(), angles.sin()], dim=1) * (angles / 4.0)[:, None]
        )  # (400, 2)
        return equal_mixture(roll, noise)
