"""Two equal, well separated Gaussians on a line.

Constants: ½·N(−2, σ²) + ½·N(2, σ²) with σ = 0.5 (the ``noise`` setting).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from engine.dataset import SplitConfig
from engine.datasets.mixture import Mixture, MixtureSet, equal_mixture
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

MODES = ((-2.0,), (2.0,))


class Bimodal1D(MixtureSet):
    """p(x) = ½·N(x; −2, σ²) + ½·N(x; 2, σ²)."""

    card = DatasetCard(
        name="bimodal_1d",
        title="Bimodal (1-D)",
        summary="Two bells with a gap between them: what does a model put into the gap?",
        kind="1-D",
    )
    axes = ("x",)

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the noise."""

        noise: Annotated[
            float,
            Field(0.01, 3.0, step=0.05, symbol=r"\sigma", help="Standard deviation of each mode."),
        ] = 0.5

    @classmethod
    def mixture(cls, noise: float) -> Mixture:
        """The truth at one noise setting."""
        return equal_mixture(torch.tensor(MODES), noise)
