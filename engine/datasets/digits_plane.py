"""The handwritten digits as points in the plane: their first two principal components.

Constants: the grey values of scikit-learn's 8×8 digits, divided by 16, minus the mean of the 1,000
training pictures, projected on the two directions of largest variance of those pictures; of each
direction the entry of largest size is positive. Split 1000/350/447 in scikit-learn's order. The
true density is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.datasets.digits import SPLIT, cut, grey_digits
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field

WHITE = 16.0


class DigitsPlane(Dataset):
    """Points (N, 2) with the labels 0 … 9."""

    card = DatasetCard(
        name="digits_plane",
        title="Digits in the plane",
        summary="Real data: handwritten digits seen along their two directions of most variance.",
    )

    @dataclass(frozen=True)
    class Config:
        """Training points."""

        n_samples: Annotated[
            int,
            Field(10, SPLIT[0], scale="log", symbol="N", help="Training points, the first ones."),
        ] = SPLIT[0]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.event = Event(shape=(2,), axes=("component 1", "component 2"))
        self.labels = tuple(str(digit) for digit in range(10))
        classes = grey_digits()[1]
        self.train, self.valid, self.test = cut(projected(), config.n_samples)
        self.train_labels, self.valid_labels, self.test_labels = cut(classes, config.n_samples)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N training points (N, 2), drawn with replacement."""
        return self._resample(n, generator)


@cache
def projected() -> Tensor:
    """All digits on their first two principal components, (1797, 2), float32."""
    shades = grey_digits()[0].to(torch.float64) / WHITE
    train = shades[: SPLIT[0]]
    centre = train.mean(0)
    directions = torch.linalg.svd(train - centre, full_matrices=False).Vh[:2]  # (2, 64)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    scores: Tensor = (shades - centre) @ (directions * largest.sign()).T
    return scores.to(torch.float32)
