"""``fit`` as scripts call it: what it refuses, how it leaves the model, and that it repeats."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import pytest
import torch

from engine.registry import build_dataset, build_model
from engine.training import Trainer, fit
from tests.architecture.source import ROOT
from tests.engine.choice import POINT_MODELS

SMALL: dict[str, Any] = {"n_samples": 60}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "given neither steps nor seconds"),
        ({"steps": -1}, "steps: given -1"),
        ({"steps": 1, "batch_size": 0}, "batch_size: given 0"),
        ({"steps": 1, "batch_size": -5}, "batch_size: given -5"),
        ({"steps": 1, "learning_rate": -0.1}, "learning_rate: given -0.1"),
        ({"steps": 1, "learning_rate": float("nan")}, "learning_rate: given nan"),
        ({"seconds": -1.0}, "seconds: given -1.0"),
        ({"steps": 1, "schedule": "linear"}, "wanted constant or cosine"),
        ({"steps": 1, "device": "abacus"}, "device: given 'abacus'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        fit(build_model("vae", event_shape=(2,)), build_dataset("two_moons", **SMALL), **arguments)


def test_a_rate_of_zero_is_a_rate() -> None:
    trainer = Trainer(
        build_model("vae", event_shape=(2,)),
        build_dataset("two_moons", **SMALL),
        learning_rate=0.0,
        device="cpu",
    )
    before = [value.clone() for value in trainer.model.parameters()]
    trainer.step()
    assert all(map(torch.equal, before, trainer.model.parameters()))


@pytest.mark.parametrize("name", POINT_MODELS)
@pytest.mark.parametrize("batch_size", [1, 100])
def test_few_points_and_no_held_out_ones(name: str, batch_size: int) -> None:
    data = build_dataset("two_moons", n_samples=10, valid_fraction=0.0, test_fraction=0.0)
    model = build_model(name, event_shape=(2,), dataset=data)
    result = fit(model, data, steps=3, batch_size=batch_size, device="cpu")
    assert result.steps == 3
    assert not model.training
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


SCRIPT = """
import hashlib, torch
torch.set_num_threads(1)
from engine.registry import build_dataset, build_model
from engine.training import fit
from tests.engine.choice import POINT_MODELS
digest = hashlib.sha256()
for name in POINT_MODELS:
    torch.rand({n})
    data = build_dataset("pinwheel", n_samples=60)
    model = build_model(name, event_shape=(2,), seed=5, dataset=data)
    fit(model, data, steps=4, batch_size=16, seed=6, device="cpu")
    for value in model.state_dict().values():
        digest.update(value.numpy().tobytes())
print(digest.hexdigest())
"""


def test_two_processes_train_the_same_weights_bit_for_bit() -> None:
    digests = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT.replace("{n}", str(n))],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for n in (1, 2)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 2 * hashlib.sha256().digest_size
