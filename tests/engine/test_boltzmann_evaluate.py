"""What ``evaluate`` says of Boltzmann machines: exact where log Z is counted, else a bound."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from engine.dataset import Dataset
from engine.estimators.boltzmann import exact_log_z
from engine.model import GenerativeModel
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes
from engine.training import fit


def trained(name: str, **config: Any) -> tuple[GenerativeModel, Dataset]:
    dataset = build_dataset("digits", levels=2)
    model = build_model(name, event_shape=dataset.event_shape, dataset=dataset, **config)
    fit(model, dataset, steps=30, batch_size=20, seed=0, device="cpu")
    return model.eval().requires_grad_(False), dataset


def answers(name: str, found: tuple[GenerativeModel, Dataset], **arguments: Any) -> list[Result]:
    before = torch.get_rng_state()
    results = list(probes()[name].ask(View(*found, step=30, seed=1), arguments))
    assert torch.equal(before, torch.get_rng_state())
    return results


def nats(model: Any, pictures: torch.Tensor) -> float:
    return float((model.energy(pictures.float()) + exact_log_z(model.machine)).mean())


@pytest.mark.parametrize("name", ["dbm", "dbn"])
def test_deep_models_are_bounded(name: str) -> None:
    found = trained(name, hidden_units=(5, 4))
    figures = answers("evaluate", found, split="valid")[-1].values
    assert figures["kind"] == "bound"
    assert math.isfinite(figures["nll"])  # type: ignore[arg-type]


def test_evaluate_is_exact_where_log_z_can_be_counted() -> None:
    model, dataset = trained("rbm", hidden_units=6)
    values = answers("evaluate", (model, dataset), split="valid")[-1].values
    assert values["kind"] == "exact"
    assert values["nll"] == pytest.approx(nats(model, dataset.valid), abs=1e-4)
    assert values["bits_per_dim"] == pytest.approx(values["nll"] / (64 * math.log(2.0)))  # type: ignore[operator]
