"""The skeleton that newcomers copy works as its docstring says, loaded as a plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from engine import registry
from engine.laws import check_model
from engine.training import fit
from engine.wire.capability import Capability
from tests.engine.test_laws import Pair

NAME = "skeleton"


@pytest.fixture
def _plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(registry.PLUGINS_VARIABLE, "tests.skeletons.skeleton_model")
    _forget()
    yield
    _forget()


def _forget() -> None:
    for found in (registry.models, registry.datasets, registry.probes, registry._modules):
        found.cache_clear()


def test_it_is_not_there_without_the_plugin() -> None:
    assert NAME not in registry.model_names()


@pytest.mark.usefixtures("_plugin")
def test_it_is_found_with_its_card() -> None:
    card = registry.model_card(registry.models()[NAME])
    assert card.capabilities == (Capability.SAMPLING, Capability.LOG_PROB)
    assert [field.name for field in card.fields] == ["learning_rate", "batch_size"]


@pytest.mark.usefixtures("_plugin")
def test_it_learns_the_gaussian_of_the_data() -> None:
    model, data = registry.build_model(NAME, event_shape=(2,)), Pair()
    with torch.no_grad():
        model.mean += 1.0
    fit(model, data, steps=200, learning_rate=0.05, schedule="cosine", seed=1, device="cpu")
    x = data.train
    best = torch.distributions.Normal(x.mean(0), x.std(0, correction=0)).log_prob(x).sum(-1)
    with torch.no_grad():
        reached = float(model.log_prob(x).mean())
    assert reached == pytest.approx(float(best.mean()), abs=5e-3)


@pytest.mark.usefixtures("_plugin")
@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 8, 8)])
def test_it_keeps_the_laws(shape: tuple[int, ...]) -> None:
    model = registry.build_model(NAME, event_shape=shape)
    results = check_model(model, torch.Generator().manual_seed(2))
    assert {result.capability for result in results} == {Capability.SAMPLING, Capability.LOG_PROB}
    assert not [result for result in results if not result.passed]
