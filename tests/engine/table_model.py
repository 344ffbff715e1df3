"""A joint table as an autoregressive model: everything about it can be enumerated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical

from engine.capabilities import Step
from engine.dataset import Dataset, SplitConfig
from engine.model import GenerativeModel
from engine.nets.stepwise import naive_steps
from engine.wire.cards import DatasetCard, ModelCard, Paper
from engine.wire.event import Event


@dataclass(frozen=True)
class TableConfig:
    levels: int | None = 3
    order_agnostic: bool = True


class TableModel(GenerativeModel):
    """Four values of three levels with a joint table; its conditionals are sums of entries."""

    card = ModelCard("table", "Table", "autoregressive", "", "", Paper("", 2000, ""))
    Config = TableConfig

    def __init__(self, *, any_order: bool = True, seed: int = 3) -> None:
        super().__init__((1, 2, 2), TableConfig(order_agnostic=any_order))
        generator = torch.Generator().manual_seed(seed)
        joint = torch.rand(3, 3, 3, 3, generator=generator, dtype=torch.float64) ** 3
        self.joint = joint / joint.sum()
        self.own_order = torch.tensor([2, 0, 3, 1])
        self.double()

    @property
    def order(self) -> Tensor:
        return self.own_order

    def loss(self, x: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"total": -self.log_prob(x).mean()}

    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        flat = x.reshape(len(x), 4).long()
        return self.joint[tuple(flat.T)].log()

    def with_order(self, order: Tensor) -> TableModel:
        other = TableModel()
        other.joint, other.own_order = self.joint, order
        return other

    def conditionals(self, x: Tensor, **_: Any) -> Categorical:
        flat = x.reshape(len(x), 4).long()
        every = torch.stack([self.rows(flat, i) for i in range(4)], 1)
        return Categorical(probs=every)

    def rows(self, x: Tensor, index: int) -> Tensor:
        """p(x_i given those before it in the order), (B, levels)."""
        place = self.order.tolist().index(index)
        later = self.order[place + 1 :].tolist()
        table = self.joint.sum(later, keepdim=True) if later else self.joint
        earlier = set(self.order[:place].tolist())
        table = table.movedim(index, -1)
        others = [i for i in range(4) if i != index]
        rows = table[tuple(x[:, i] * (i in earlier) for i in others)]
        return rows / rows.sum(-1, keepdim=True)

    def sample_steps(self, noise: Tensor, **settings: Any) -> Iterator[Step]:
        settings.pop("state", None)
        return naive_steps(self, noise, **settings)


class TableData(Dataset):
    """Draws from the table of a :class:`TableModel`, pictures 1 × 2 × 2."""

    card = DatasetCard(name="table", title="Table", summary="Draws from a table.")
    Config = SplitConfig
    event = Event((1, 2, 2), ("channel", "row", "column"), "integer", 3)

    def __init__(self, joint: Tensor, n: int = 2000) -> None:
        super().__init__(SplitConfig())
        generator = torch.Generator().manual_seed(1)
        states = torch.multinomial(joint.reshape(-1), n, replacement=True, generator=generator)
        digits = states[:, None] // torch.tensor([27, 9, 3, 1]) % 3
        self._split(digits.reshape(n, 1, 2, 2))

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)
