"""A benchmark that was cut off goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.dataset import Dataset, SplitConfig
from engine.registry import build_model
from engine.training import Trainer
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from tests.benchmarks import mnist_nll
from tests.benchmarks.mnist_nll import Plan, Recipe


class Bits(Dataset):
    card = DatasetCard("bits", "Bits", "")
    Config = SplitConfig
    event = Event((1, 4, 4), ("channel", "row", "column"), "binary", 2)

    def __init__(self) -> None:
        super().__init__(SplitConfig())
        generator = torch.Generator().manual_seed(0)
        self._split((torch.rand(200, 1, 4, 4, generator=generator) < 0.3).float())

    def sample(self, n: int, *, generator: torch.Generator) -> torch.Tensor:
        return self._resample(n, generator)


def fresh(data: Dataset) -> Trainer:
    model = build_model("gated_pixelcnn", event_shape=(1, 4, 4), n_layers=2, n_channels=4)
    return Trainer(model, data, batch_size=8, device="cpu")


def test_it_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_nll, "FOLDER", tmp_path)
    plan, data = Plan("gated_pixelcnn", Recipe(0.0)), Bits()
    assert mnist_nll.resume(fresh(data), plan) == []
    whole = fresh(data)
    for _ in range(3):
        whole.step()
    points = [{"seconds": 1.5, "steps": 3.0, "valid_nats": 9.0}]
    mnist_nll.keep(whole, plan, points)
    later = fresh(data)
    assert mnist_nll.resume(later, plan) == points
    assert later.steps_done == 3
    assert torch.equal(whole.step()["nll"], later.step()["nll"])
    mnist_nll.forget(plan)
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]
