"""Eight Gaussians on a circle.

Constants: centres 2·(cos kπ/4, sin kπ/4) for k = 0 … 7, equal weights, standard deviation σ = 0.2
(the ``noise`` setting). At σ = 0.2 the entropy is 1.698 nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch

from engine.dataset import SplitConfig
from engine.datasets.mixture import Mixture, MixtureSet, equal_mixture
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

RADIUS = 2.0


class EightGaussians(MixtureSet):
    """p(x) = ⅛ Σ_k N(x; 2(cos kπ/4, sin kπ/4), σ² I)."""

    card = DatasetCard(
        name="eight_gaussians",
        title="8 Gaussians",
        summary="Eight round clusters on a circle: are all found, and none between?",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the clusters' width."""

        noise: Annotated[
            float,
            Field(0.01, 1.0, step=0.01, symbol=r"\sigma", help="Standard deviation of a cluster."),
        ] = 0.2

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4.0)
        return equal_mixture(RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1), noise)
