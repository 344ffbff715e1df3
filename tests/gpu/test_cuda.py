"""Every model trains and answers on CUDA, and says the same there as on the CPU."""

from __future__ import annotations

import copy
import os
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from app.shell_engine import ShellEngine, ShellError
from engine.estimators import density
from engine.model import GenerativeModel
from engine.probe import Probe, View
from engine.registry import model_names, probes
from engine.wire.messages import RunSpec, RunState, StartRun
from tests.gpu.cases import ARGUMENTS, make_trainer

#: Another device shows that the tests themselves work: ``GENSCOPE_GPU=cpu pytest tests/gpu``.
DEVICE = os.environ.get("GENSCOPE_GPU", "cuda")
STEPS = 20
#: These look at a file, or train nothing that a device could change.
NOT_OF_A_MODEL = ("preview_table",)
#: Chains amplify rounding; their draws agree only in distribution.
CHAOTIC = ("draw", "samples", "capacity_sweep", "chain_walk")
#: Of long chains not even that much is left.
LOST = ("chain_truth", "chain_long")
#: These iterate on a copy, in float64 and beside the device.
OF_THE_PROCESSOR = ("free_form_em", "mean_field_em")
#: Values that tell of the machine, not of the model.
OF_THE_MACHINE = ("seconds", "density_seconds", "sampling_seconds")

MISSING = DEVICE == "cuda" and not torch.cuda.is_available()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(MISSING, reason="there is no CUDA device"),
]
#: Every model is asked everything; where there is no device one skipped test says so for all.
QUESTIONS = [name for name in probes() if name not in NOT_OF_A_MODEL][: 1 if MISSING else None]
MODELS = model_names()[: 1 if MISSING else None]


@cache
def trained(name: str) -> tuple[GenerativeModel, Any]:
    """A model after a few steps on the device, with its data."""
    trainer = make_trainer(name, DEVICE)
    for _ in range(STEPS):
        trainer.step()
    return trainer.model.eval().requires_grad_(False), trainer.dataset


@pytest.mark.parametrize("name", MODELS)
def test_training_stays_on_the_device_and_repeats_itself_bit_for_bit(name: str) -> None:
    first, second = make_trainer(name, DEVICE), make_trainer(name, DEVICE)
    for _ in range(STEPS):
        losses = first.step()
        second.step()
    elsewhere = [key for key, loss in losses.items() if loss.device.type != DEVICE]
    assert not elsewhere or name in OF_THE_PROCESSOR, "these losses are elsewhere"
    assert first.is_finite()
    again = second.model.state_dict()
    other = [k for k, v in first.model.state_dict().items() if not torch.equal(v, again[k])]
    assert not other, "these weights differ: time travel would not be exact"


def outcome(probe: Probe, view: View) -> dict[str, np.ndarray] | str:
    """The arrays and numbers of a full answer, or the sentence of a refusal."""
    try:
        result = list(probe.ask(view, ARGUMENTS.get(probe.name, {})))[-1]
    except ValueError as error:
        return str(error)
    numbers = {
        key: np.asarray(value, np.float64)
        for key, value in result.values.items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and key not in OF_THE_MACHINE
    }
    return {**result.numpy(), **numbers}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_answers_as_on_the_cpu(name: str, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Bounds draw afresh for every piece, which otherwise are larger there.
    monkeypatch.setattr(density, "WIDER", 1)
    model, data = trained(name)
    there = outcome(probes()[question], View(model, data, STEPS))
    here = outcome(probes()[question], View(copy.deepcopy(model).cpu(), data, STEPS))
    if isinstance(there, str) or isinstance(here, str):
        assert there == here
        return
    assert set(there) == set(here)
    for key in there:
        if question in LOST:
            assert np.array_equal(np.isfinite(there[key]), np.isfinite(here[key])), key
        else:
            compare(there[key], here[key], loose=question in CHAOTIC)


def compare(there: np.ndarray, here: np.ndarray, *, loose: bool) -> None:
    """Equal up to float32; contour lines may differ in the number of their points."""
    if there.shape != here.shape:
        assert abs(len(there) - len(here)) <= 0.05 * len(here) + 4
        return
    finite = np.isfinite(here)
    assert np.array_equal(finite, np.isfinite(there))
    assert np.array_equal(here[~finite], there[~finite], equal_nan=True)
    gap = np.abs(there[finite].astype(np.float64) - here[finite])
    scale = 1.0 + np.abs(here[finite])
    if gap.size:
        assert np.quantile(gap / scale, 0.9) < (0.1 if loose else 2e-3)


def test_memory_that_runs_out_is_a_sentence_with_an_offer() -> None:
    spec = RunSpec(
        "realnvp",
        "eight_gaussians",
        {"batch_size": 4096, "n_layers": 64, "hidden_features": [1024, 1024]},
        {},
        device=DEVICE,
    )
    with ShellEngine(plugins=("tests.gpu.small_card",)) as engine:
        with pytest.raises(ShellError, match="memory ran out"):
            play(engine, "large", spec)
        modest = RunSpec("realnvp", "eight_gaussians", {"batch_size": 64}, {}, device=DEVICE)
        assert play(engine, "modest", modest).step == 5


def play(engine: ShellEngine, run: str, spec: RunSpec) -> RunState:
    """Five steps of a fresh run; its last state."""
    engine.command(StartRun(engine.next_id(), run, spec))
    return [event for event in engine.play(run, 5) if isinstance(event, RunState)][-1]
