"""Two overlapping Gaussians on a line, of unlike weight and width.

Constants: 0.7·N(−1, σ²) + 0.3·N(1.5, (σ/3)²) with σ = 1 (the ``noise`` setting).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from engine.dataset import SplitConfig
from engine.datasets.mixture import Mixture, MixtureSet
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

WEIGHTS = (0.7, 0.3)
MEANS = (-1.0, 1.5)
WIDTHS = (1.0, 1.0 / 3.0)


class TwoComponents1D(MixtureSet):
    """p(x) = 0.7·N(x; −1, σ²) + 0.3·N(x; 1.5, (σ/3)²)."""

    card = DatasetCard(
        name="two_components_1d",
        title="Two components (1-D)",
        summary="A wide bell and a narrow one: one Gaussian misses both, a hidden coin helps.",
        kind="1-D",
    )
    axes = ("x",)

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the noise."""

        noise: Annotated[
            float,
            Field(
                0.03,
                3.0,
                step=0.05,
                symbol=r"\sigma",
                help="Standard deviation of the wide component; the narrow one has a third of it.",
            ),
        ] = 1.0

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        weights, means, widths = torch.tensor([WEIGHTS, MEANS, WIDTHS], dtype=torch.float64)
        return Mixture(weights, means[:, None], widths * noise)
