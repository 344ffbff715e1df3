"""Rows of symbols as a data set."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.dataset import Dataset, SplitConfig
from engine.wire.cards import DatasetCard
from engine.wire.event import Event


class SymbolTable(Dataset):
    """Given rows of level indices (N, *E), which are all three splits."""

    card = DatasetCard(name="symbol_table", title="Symbols", summary="Given rows.")
    Config = SplitConfig

    def __init__(self, rows: Tensor, levels: int, labels: Tensor | None = None) -> None:
        super().__init__(SplitConfig())
        support = "binary" if levels == 2 else "integer"
        self.event = Event(tuple(rows.shape[1:]), (), support, levels)
        self.train = self.valid = self.test = rows.to(torch.uint8)
        if labels is not None:
            self.train_labels = self.valid_labels = self.test_labels = labels
            self.labels = tuple(str(c) for c in range(int(labels.max()) + 1))

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)
