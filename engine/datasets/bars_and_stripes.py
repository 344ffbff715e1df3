r"""Bars and stripes: pictures whose rows are each all on or all off, or else their columns.

Constants: rows or columns with probability ½ each, then each line on with probability ½. All off
and all on come about both ways, so that of 2·2^S − 2 patterns they are twice as likely:

.. math:: p(x) = 2^{-S-1} \left( [\text{rows are constant}] + [\text{columns are constant}] \right)

With S = 3 all states of a Boltzmann machine over them can be written down. MacKay, *Information
Theory, Inference, and Learning Algorithms*, 2003, section 43.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.datasets.pixels import AXES, SPLITS
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field

#: Seeds of samples lie above those of training, so that fresh draws never repeat the sample.
SAMPLE_STREAM = 2**31


class BarsAndStripes(Dataset):
    """Binary pictures (N, 1, S, S), uint8."""

    card = DatasetCard(
        name="bars_and_stripes",
        title="Bars and stripes",
        summary="Tiny binary pictures, 3×3: all states of a small machine can be counted.",
        kind="pictures",
    )

    @dataclass(frozen=True)
    class Config:
        """Sample, size and split."""

        n_samples: Annotated[
            int, Field(10, 100_000, scale="log", symbol="N", help="Pictures in the finite sample.")
        ] = 1000
        size: Annotated[int, Field(2, 8, symbol="S", help="Pixels a side.")] = 3
        valid_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share held out for the held-out curve.")
        ] = 0.1
        test_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share kept for the final evaluation.")
        ] = 0.1
        seed: Annotated[int, Field(0, 2**31 - 1, help="Seed of the sample.")] = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        shape = (1, config.size, config.size)
        self.event = Event(shape=shape, axes=AXES, support="binary", levels=2)
        self.values = "binary: a pixel is on or off"
        generator = torch.Generator().manual_seed(SAMPLE_STREAM + config.seed)
        drawn = self.sample(config.n_samples, generator=generator).to(torch.uint8)
        parts = torch.split(drawn, self._split_sizes(len(drawn)))
        for name, part in zip(SPLITS, parts, strict=True):
            setattr(self, name, part)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N fresh pictures (N, 1, S, S), float32."""
        size: int = self.config.size
        lines = torch.randint(2, (n, size, 1), generator=generator)
        turned = torch.randint(2, (n, 1, 1), generator=generator).bool()
        pictures = lines.expand(n, size, size)
        return torch.where(turned, pictures.transpose(1, 2), pictures)[:, None].float()
