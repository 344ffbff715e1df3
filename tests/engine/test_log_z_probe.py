"""The probe ``log_z`` and the figures of ``evaluate`` for Boltzmann machines."""

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


def test_it_climbs_beside_the_counted_value_and_scores_both_splits() -> None:
    model, dataset = trained("rbm", hidden_units=6)
    results = answers("log_z", (model, dataset), n_steps=100, n_answers=5, n_events=300)
    assert [result.final for result in results] == [False] * 4 + [True]
    assert [result.values["share"] for result in results] == [0.2, 0.4, 0.6, 0.8, 1.0]
    values, climb = results[-1].values, results[-1].numpy()["climb"]
    machine: Any = model.machine
    assert values["counted"] == pytest.approx(exact_log_z(machine), abs=1e-9)
    assert values["n_counted"] == 6
    assert values["ais_low"] < values["counted"] < values["ais_high"]  # type: ignore[operator]
    assert climb.shape == (5, 4)
    assert climb[-1].tolist() == [1.0, *(values[k] for k in ("ais", "ais_low", "ais_high"))]
    for split, pictures in (("train", dataset.train), ("valid", dataset.valid)):
        score = values[f"{split}_score"]
        assert score == pytest.approx(-nats(model, pictures[:300]), abs=1e-4)
        assert values[f"{split}_low"] == values[f"{split}_high"] == score
    assert values["is_exact"] is True
    assert values["pseudo"] > values["valid_score"]  # type: ignore[operator]


def test_beyond_counting_the_scores_carry_the_interval() -> None:
    found = trained("rbm", hidden_units=24)
    values = answers("log_z", found, n_chains=20, n_steps=30, n_answers=1, n_events=50)[-1].values
    assert values["counted"] is None
    width = values["ais_high"] - values["ais_low"]  # type: ignore[operator]
    assert width > 0.0
    assert values["valid_high"] - values["valid_low"] == pytest.approx(width)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["dbm", "dbn"])
def test_deep_models_are_bounded(name: str) -> None:
    found = trained(name, hidden_units=(5, 4))
    values = answers("log_z", found, n_steps=20, n_answers=1, n_events=20)[-1].values
    assert values["is_exact"] is False
    assert "lower bound" in str(values["label"])
    figures = answers("evaluate", found, split="valid")[-1].values
    assert figures["kind"] == "bound"
    assert math.isfinite(figures["nll"])  # type: ignore[arg-type]


def test_evaluate_is_exact_where_log_z_can_be_counted() -> None:
    model, dataset = trained("rbm", hidden_units=6)
    values = answers("evaluate", (model, dataset), split="valid")[-1].values
    assert values["kind"] == "exact"
    assert values["nll"] == pytest.approx(nats(model, dataset.valid), abs=1e-4)
    assert values["bits_per_dim"] == pytest.approx(values["nll"] / (64 * math.log(2.0)))  # type: ignore[operator]


def test_it_stops_and_it_refuses() -> None:
    model, dataset = trained("rbm", hidden_units=6)
    stopped = View(model, dataset, 30, 1, cancelled=lambda: True)
    assert list(probes()["log_z"].ask(stopped, {})) == []
    with pytest.raises(ValueError, match="n_chains: given 0, wanted a whole number from 1"):
        answers("log_z", (model, dataset), n_chains=0)
    other = build_model("made", event_shape=dataset.event_shape, dataset=dataset)
    with pytest.raises(ValueError, match="log_z needs a Boltzmann machine; MADE is none"):
        answers("log_z", (other, dataset))
