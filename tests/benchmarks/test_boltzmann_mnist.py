"""Scoring that was cut off goes on where it was, and the learning rate falls phase by phase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.estimators.boltzmann import exact_log_z
from engine.registry import build_dataset, build_model
from tests.benchmarks import boltzmann_mnist, mnist_nll
from tests.benchmarks.boltzmann_mnist import final_log_z, forget, rate
from tests.benchmarks.mnist_nll import Plan, Recipe


def test_log_z_goes_on_from_its_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_nll, "FOLDER", tmp_path)
    monkeypatch.setattr(boltzmann_mnist, "N_CHAINS", 10)
    data = build_dataset("digits", levels=2)
    model: Any = build_model("rbm", event_shape=data.event_shape, dataset=data, hidden_units=4)
    plan = Plan("rbm", Recipe(0.0))
    whole = final_log_z(model, plan, data, 3, 30)
    assert whole.value == pytest.approx(exact_log_z(model.machine), abs=0.2)
    file = plan.file.with_suffix(".weights.json")
    pieces = json.loads(file.read_text("utf-8"))
    assert len(pieces) == 30
    file.write_text(json.dumps(pieces[:20]), encoding="utf-8")
    assert final_log_z(model, plan, data, 3, 30) == whole
    forget(plan)
    assert not file.exists()


def test_the_rate_falls_within_every_phase() -> None:
    model = build_model("dbm", event_shape=(4,), hidden_units=(3, 2), pretrain_steps=10)
    assert [rate(0.5, steps, model=model) for steps in (0, 5, 10, 15)] == pytest.approx(
        [1.0, 0.5, 1.0, 0.5]
    )
    assert rate(1.0, 20, model=model) == pytest.approx(0.0)
    flat = build_model("rbm", event_shape=(4,), levels=2)
    assert rate(0.5, 3, model=flat) == pytest.approx(0.5)
