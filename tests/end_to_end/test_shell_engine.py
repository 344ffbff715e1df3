"""The shell's blocking client on a real engine process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.shell_engine import ShellEngine, ShellError, explain
from app.shell_train import Job, make_spec
from engine.wire.messages import Failed, Metrics, RunSpec, RunState, StartRun

SPEC = RunSpec("gaussian_mixture", "eight_gaussians", {"n_components": 8}, {}, seed=1)


@pytest.fixture(scope="module")
def engine() -> Iterator[ShellEngine]:
    with ShellEngine(threads=1) as started:
        yield started


def start(engine: ShellEngine, run: str) -> None:
    engine.command(StartRun(engine.next_id(), run, SPEC))


def job(**changes: object) -> Job:
    words: dict[str, object] = {
        "model": "realnvp",
        "data": "two_moons",
        "steps": 5,
        "seed": 0,
        "out": Path("a.safetensors"),
        "settings": (),
        "data_settings": (),
        "device": "auto",
    }
    return Job(**{**words, **changes})  # type: ignore[arg-type]


def test_plays_to_the_wanted_step(engine: ShellEngine) -> None:
    start(engine, "plays")
    events = list(engine.play("plays", 12))
    last = events[-1]
    assert isinstance(last, RunState)
    assert (last.state, last.step) == ("paused", 12)
    steps = np.concatenate([e.steps for e in events if isinstance(e, Metrics)])
    assert steps.tolist() == list(range(1, 13))
    assert [e for e in engine.play("plays", 12) if isinstance(e, Metrics)] == []


def test_stops_when_told(engine: ShellEngine) -> None:
    start(engine, "stops")
    states = [e for e in engine.play("stops", 10**9, lambda: True) if isinstance(e, RunState)]
    assert states[-1].state == "paused"
    assert states[-1].step < 10**9


def test_asks(engine: ShellEngine) -> None:
    start(engine, "asks")
    draws = [engine.ask("asks", "draw", {"n": 7, "seed": s}).arrays["samples"] for s in (1, 1, 2)]
    assert draws[0].shape == (7, 2)
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_refusals_are_sentences(engine: ShellEngine) -> None:
    start(engine, "refuses")
    with pytest.raises(ShellError, match="there is no probe 'nothing'"):
        engine.ask("refuses", "nothing")
    with pytest.raises(ShellError, match="there is no model 'nothing'; there are: "):
        engine.command(StartRun(engine.next_id(), "x", RunSpec("nothing", "two_moons")))
    assert engine.ask("refuses", "draw", {"n": 1}).final


def test_spec_from_words(engine: ShellEngine) -> None:
    words = job(settings=("n_layers=3", "hidden_features=8,8"), data_settings=("n_samples=900",))
    spec = make_spec(words, engine.hello)
    assert spec.model_config == {"n_layers": 3, "hidden_features": [8, 8]}
    assert spec.dataset_config == {"n_samples": 900}


def test_own_file_becomes_points(engine: ShellEngine, tmp_path: Path) -> None:
    file = tmp_path / "mine.tsv"
    file.write_text("a\tb\n1\t2\n")
    spec = make_spec(job(data=str(file)), engine.hello)
    assert (spec.dataset, spec.dataset_config["path"]) == ("points", str(file.resolve()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "nope"}, "there is no model 'nope'; there are: .*realnvp"),
        ({"data": "nope"}, "there is no data set 'nope'; there are: .*two_moons"),
        ({"data": "none.csv"}, "given 'none.csv', wanted a file that exists"),
        ({"settings": ("depth=3",)}, "no setting 'depth'; the settings are: n_layers"),
        ({"settings": ("n_layers",)}, "given 'n_layers', wanted a setting as key=value"),
        ({"settings": ("n_layers=0",)}, "n_layers: given '0', wanted a whole number from 1"),
        ({"data_settings": ("n_samples=x",)}, "n_samples: given 'x', wanted a whole number"),
    ],
)
def test_bad_words(engine: ShellEngine, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ShellError, match=sentence):
        make_spec(job(**changes), engine.hello)


def test_unknown_device(engine: ShellEngine) -> None:
    spec = make_spec(job(device="abacus"), engine.hello)
    with pytest.raises(ShellError, match="given 'abacus', wanted auto or one of cpu"):
        engine.command(StartRun(engine.next_id(), "device", spec))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_engine_is_a_sentence() -> None:
    with ShellEngine(threads=1) as engine:
        os.kill(engine.hello.pid, signal.SIGKILL)
        with pytest.raises(ShellError, match="the engine process ended"):
            start(engine, "dead")


def test_offers_are_named() -> None:
    failed = Failed("step 3", "out_of_memory", "memory ran out.", offer={"batch_size": 64})
    assert explain(failed) == "memory ran out; try --set batch_size=64"


def test_closed() -> None:
    with pytest.raises(RuntimeError, match="outside its 'with' block"):
        ShellEngine().hello  # noqa: B018
