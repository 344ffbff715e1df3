"""A finite sample of chosen size out of a data set, and observations that it does not hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.dataset import Dataset, KnownDensity
from engine.wire.cards import DatasetCard

#: Streams of random numbers, so that training and test points never repeat each other.
TRAIN_STREAM, TEST_STREAM = 7_919, 104_729


@dataclass(frozen=True)
class Nothing:
    """A finite sample has no settings."""


class FiniteSample(Dataset):
    """N observations (N, *E) of another data set; training draws from them with replacement."""

    card = DatasetCard("finite_sample", "Finite sample", "A few observations of other data.")
    Config = Nothing

    def __init__(self, source: Dataset, train: Tensor, labels: Tensor | None = None) -> None:
        super().__init__(Nothing())
        self.event, self.labels = source.event, source.labels
        self.train_labels = labels
        self.train, self.valid, self.test = train, train[:0], train[:0]

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N draws with replacement."""
        return self._resample(n, generator)


def draw_sample(source: Dataset, size: int, seed: int) -> FiniteSample:
    """``size`` observations: fresh ones where the density is known, else of the training split.

    Another seed gives another sample; one that is as large as the training split is that split.

    Raises:
        ValueError: ``size`` is below 1, or larger than a training split that cannot grow.
    """
    if size < 1:
        raise ValueError(f"sample: given {size} observations, wanted at least 1")
    generator = torch.Generator().manual_seed(seed * 1_000_003 + TRAIN_STREAM)
    if isinstance(source, KnownDensity):
        points = source.sample(size, generator=generator).to(torch.float32)
        return FiniteSample(source, points)
    if size > len(source.train):
        raise ValueError(
            f"sample: given {size} observations, wanted at most the {len(source.train)} of the "
            "training split"
        )
    chosen = torch.randperm(len(source.train), generator=generator)[:size]
    labels = source.train_labels
    return FiniteSample(source, source.train[chosen], None if labels is None else labels[chosen])


def held_out_points(source: Dataset, most: int, seed: int) -> Tensor:
    """At most so many observations never trained on, (N, *E): fresh ones, or valid and test.

    Raises:
        ValueError: The density is unknown and nothing is held out.
    """
    if isinstance(source, KnownDensity):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + TEST_STREAM)
        return source.sample(most, generator=generator).to(torch.float32)
    held = torch.cat([source.test, source.valid])[:most]
    if not len(held):
        raise ValueError("held out: the data have neither a test nor a validation split")
    return held
