"""One Gaussian on a line: the simplest density there is.

Constants: mean 1, standard deviation σ = 1 (the ``noise`` setting); entropy ½ ln(2πe σ²).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from engine.dataset import SplitConfig
from engine.datasets.mixture import Mixture, MixtureSet
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

MEAN = 1.0


class Gaussian1D(MixtureSet):
    """p(x) = N(x; 1, σ²)."""

    card = DatasetCard(
        name="gaussian_1d",
        title="Gaussian (1-D)",
        summary="One bell on a line: fitting it is taking the mean and the spread.",
        kind="1-D",
    )
    axes = ("x",)

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the noise."""

        noise: Annotated[
            float,
            Field(0.01, 5.0, step=0.05, symbol=r"\sigma", help="Standard deviation."),
        ] = 1.0

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        values = torch.tensor([[1.0, MEAN, noise]], dtype=torch.float64)
        return Mixture(values[:, 0], values[:, 1:2], values[:, 2])
