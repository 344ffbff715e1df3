"""The neural models train on every shape, repeat themselves, and go on from a keyframe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.dataset import Dataset, SplitConfig
from engine.model import GenerativeModel
from engine.registry import build_model
from engine.training import Keyframe, Trainer
from engine.wire.cards import DatasetCard
from engine.wire.event import Event

NAMES = ("vae", "ebm", "jem", "gan", "wgan_gp")
SHAPES: tuple[tuple[int, ...], ...] = ((1,), (2,), (5,), (1, 8, 8))
SMALL: dict[str, dict[str, Any]] = {
    "vae": {"hidden_features": (16,)},
    "ebm": {"hidden_features": (16, 16), "buffer_size": 48, "langevin_steps": 3},
    "jem": {"hidden_features": (16, 16), "buffer_size": 48, "langevin_steps": 3},
    "gan": {"hidden_features": (16,), "critic_features": (16,)},
    "wgan_gp": {"hidden_features": (16,), "critic_features": (16,)},
}


class Cloud(Dataset):
    """Two clouds of any shape, in units far from standard."""

    card = DatasetCard("cloud", "Cloud", "")
    Config = SplitConfig

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(SplitConfig(n_samples=200))
        self.event = Event(shape)
        generator = torch.Generator().manual_seed(0)
        points = torch.randn(200, *shape, generator=generator)
        points[::2] += 3.0
        self._split(40.0 + 5.0 * points)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)


def trainer(name: str, shape: tuple[int, ...] = (2,), seed: int = 0) -> Trainer:
    model = build_model(name, event_shape=shape, seed=seed, **SMALL[name])
    return Trainer(model, Cloud(shape), batch_size=32, seed=3, device="cpu")


def run(run: Trainer, n_steps: int) -> Keyframe:
    for _ in range(n_steps):
        run.step()
    return run.capture()


def assert_same(a: Keyframe, b: Keyframe) -> None:
    assert a.meta == b.meta
    assert a.tensors.keys() == b.tensors.keys()
    for name, value in a.tensors.items():
        assert torch.equal(value, b.tensors[name]), name


def moved(model: GenerativeModel, before: dict[str, Tensor]) -> list[str]:
    return [k for k, v in model.named_parameters() if not torch.equal(v, before[k])]


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_run(name: str) -> None:
    first, second = run(trainer(name), 20), run(trainer(name), 20)
    assert_same(first, second)
    other = run(trainer(name, seed=1), 20)
    assert any(not torch.equal(v, other.tensors[k]) for k, v in first.tensors.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_run_goes_on_bit_for_bit(name: str) -> None:
    """Seven steps stand inside a cycle of five critic updates."""
    parent = trainer(name)
    keyframe = run(parent, 7)
    wanted = run(parent, 9)
    child = trainer(name, seed=9)
    child.step()
    child.restore(keyframe)
    assert_same(run(child, 9), wanted)


@pytest.mark.parametrize("name", NAMES)
def test_a_keyframe_holds_what_decides_how_training_goes_on(name: str) -> None:
    names = run(trainer(name), 6).tensors
    players = {key.split(".")[1] for key in names if key.startswith("optimiser.")}
    assert players == ({"generator", "critic"} if "gan" in name else {"model"})
    memory = {key for key in names if key.startswith("memory.")}
    assert memory == ({"memory.replay", "memory.ages"} if name in ("ebm", "jem") else set())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_trains(name: str, shape: tuple[int, ...]) -> None:
    run_ = trainer(name, shape)
    before = {k: v.detach().clone() for k, v in run_.model.named_parameters()}
    for _ in range(6):
        losses = run_.step()
        assert all(value.isfinite() and value.dim() == 0 for value in losses.values())
        assert not any(value.requires_grad for value in losses.values())
    trained = {k for k, p in run_.model.named_parameters() if p.requires_grad}
    assert trained - set(moved(run_.model, before)) <= {"net.biases.2", "judge.2.bias"}
    assert run_.is_finite()
    assert float(run_.gradient_norm()) > 0.0


@pytest.mark.parametrize("name", NAMES)
def test_the_learning_rate_is_live(name: str) -> None:
    run_ = trainer(name)
    run_.step()
    run_.set_live({"learning_rate": 1e-6})
    before = {k: v.detach().clone() for k, v in run_.model.named_parameters()}
    run_.step()
    after = dict(run_.model.named_parameters())
    trained = [k for k, p in after.items() if p.requires_grad]
    assert 0.0 < max(float((after[k].detach() - before[k]).abs().max()) for k in trained) < 1e-5
