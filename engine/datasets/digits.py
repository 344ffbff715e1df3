"""Handwritten digits, 8×8 pixels with 17 grey levels: the pictures that come with scikit-learn.

Constants: 1,797 pictures in scikit-learn's order, split 1000/350/447. With ``levels`` none they
are dequantised, (x + u)/17 with u uniform in [0, 1) drawn once from ``seed``; with k levels the
grey value x = 0 … 16 becomes ⌊x·k/17⌋, so that 17 levels are the values themselves and 2 levels
are black and white. A log-density in nats of the dequantised pictures differs from a log
probability of the grey values by 64 ln 17.

References:
    Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998.
"""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field

#: Pictures in the training, validation and test split.
SPLIT = (1000, 350, 447)
N_LEVELS = 17


class Digits(Dataset):
    """Pictures (N, 1, 8, 8) with the labels 0 … 9."""

    card = DatasetCard(
        name="digits",
        title="Digits 8×8",
        summary="1,797 small handwritten digits: real pictures that train within seconds.",
        kind="pictures",
    )

    @dataclass(frozen=True)
    class Config:
        """Training pictures, grey levels and the seed of dequantisation."""

        n_samples: Annotated[
            int,
            Field(
                10, SPLIT[0], scale="log", symbol="N", help="Training pictures, the first ones."
            ),
        ] = SPLIT[0]
        levels: Annotated[
            int | None,
            Field(2, N_LEVELS, symbol="k", help="Grey levels 0 … k − 1; none makes them real."),
        ] = None
        seed: Annotated[int, Field(0, 2**31 - 1, help="Seed of dequantisation.")] = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        grey, classes = grey_digits()
        self.event = Event(
            shape=(1, 8, 8),
            axes=("channel", "row", "column"),
            support={None: "real", 2: "binary"}.get(config.levels, "integer"),
            levels=config.levels,
        )
        self.labels = tuple(str(digit) for digit in range(10))
        self.dequantised_levels = N_LEVELS if config.levels is None else None
        self.values = _in_words(config.levels)
        pictures = self._values(grey).reshape(-1, 1, 8, 8)
        self.train, self.valid, self.test = cut(pictures, config.n_samples)
        self.train_labels, self.valid_labels, self.test_labels = cut(classes, config.n_samples)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N training pictures (N, 1, 8, 8), drawn with replacement."""
        return self._resample(n, generator)

    def _values(self, grey: Tensor) -> Tensor:
        levels: int | None = self.config.levels
        if levels is not None:
            return (grey * levels // N_LEVELS).to(torch.uint8)
        generator = torch.Generator().manual_seed(self.config.seed)
        shade = torch.rand(grey.shape, generator=generator, dtype=torch.float64)
        # Rounding to float32 could reach 1, which lies outside the last grey level.
        pictures = ((grey + shade) / N_LEVELS).to(torch.float32)
        return pictures.clamp_max(1.0 - 2.0**-24)


def _in_words(levels: int | None) -> str:
    """What the numbers are, for the screen."""
    if levels is None:
        return f"real: {N_LEVELS} grey levels, dequantised"
    return "binary: grey values from 9 are white" if levels == 2 else f"{levels} grey levels"


def cut(values: Tensor, n_train: int) -> tuple[Tensor, Tensor, Tensor]:
    """The fixed splits of 1,797 rows, the first one cut to ``n_train`` rows."""
    train, valid, test = torch.split(values, list(SPLIT))
    return train[:n_train].clone(), valid.clone(), test.clone()


@cache
def grey_digits() -> tuple[Tensor, Tensor]:
    """Grey values 0 … 16 (1797, 64) and classes (1797,), int64, in scikit-learn's order."""
    table = torch.from_numpy(_table().astype(np.int64))
    return table[:, :64], table[:, 64]


def _table() -> npt.NDArray[Any]:
    """Read scikit-learn's own file: importing scikit-learn for it takes three seconds."""
    package = importlib.util.find_spec("sklearn")
    for place in package.submodule_search_locations or () if package else ():
        path = Path(place, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            with gzip.open(path, "rt", encoding="ascii") as lines:
                return np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])
