"""Forks and replays repeat their parent bit for bit; the past survives on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.run import Run
from engine.shelf import LOG, Shelf, load_past
from engine.wire.messages import RunSpec
from tests.engine.choice import POINT_MODELS

STEPS = 60
SMALL = {"n_samples": 400}


def make(model: str, data: str = "two_moons", **config: object) -> Run:
    return Run("parent", RunSpec(model, data, config, dict(SMALL), seed=3, device="cpu"))  # type: ignore[arg-type]


def train(run: Run, until: int) -> None:
    run.play(until)
    while run.is_training:
        run.advance()


def weights(run: Run) -> list[Tensor]:
    return [value.clone() for value in run.trainer.model.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("model", POINT_MODELS)
def test_unchanged_fork_repeats_its_parent_bit_for_bit(model: str) -> None:
    parent = make(model)
    train(parent, STEPS)
    child = parent.fork("child", 37, {}, playing=True)
    train(child, STEPS)
    assert child.step == STEPS
    assert same(weights(parent), weights(child))


@pytest.mark.parametrize("model", ["realnvp", "ebm", "wgan_gp"])
def test_fork_repeats_what_the_user_changed(model: str) -> None:
    parent = make(model)
    train(parent, 20)
    parent.set_live({"learning_rate": 3e-4})
    train(parent, 33)
    parent.set_live({"batch_size": 32})
    parent.set_data("eight_gaussians", SMALL)
    train(parent, STEPS)
    child = parent.fork("child", 35, {}, playing=True)
    assert child.step < 33, "the test wants a replay over the changes"
    train(child, STEPS)
    assert same(weights(parent), weights(child))
    assert child.spec.dataset_config == parent.spec.dataset_config
    assert parent.spec.model_config.items() <= child.spec.model_config.items()


def test_changed_fork_goes_its_own_way_from_the_step_on() -> None:
    parent = make("realnvp")
    train(parent, STEPS)
    child = parent.fork("child", 37, {"learning_rate": 1e-4}, playing=False)
    train(child, 37)
    assert child.step == 37
    assert child.state == "paused"
    at = parent.history.at(37)
    assert at is not None
    assert at.step == 37
    assert same(list(at.tensors), weights(child))
    assert child.report().live["learning_rate"] == 1e-4
    assert parent.report().live["learning_rate"] != 1e-4
    train(child, STEPS)
    assert not same(weights(parent), weights(child))


def test_fork_at_the_newest_step_needs_no_replay() -> None:
    parent = make("maf")
    train(parent, 30)
    child = parent.fork("child", 30, {}, playing=False)
    assert (child.step, child.state) == (30, "paused")


def test_fork_beyond_the_newest_step_is_refused() -> None:
    parent = make("maf")
    train(parent, 5)
    with pytest.raises(ValueError, match="given 9, wanted one between 0"):
        parent.fork("child", 9, {}, playing=False)


def test_replay_reaches_a_step_that_is_not_stored() -> None:
    parent = make("realnvp")
    train(parent, 57)
    wanted = weights(parent)
    train(parent, 150)
    replay = parent.replay(57)
    assert replay.trainer.steps_done < 57
    while not replay.is_done:
        replay.advance()
    assert same(wanted, list(replay.trainer.model.state_dict().values()))
    assert parent.step == 150


def test_rewind_restores_the_same_initial_weights() -> None:
    run = make("vae")
    before = weights(run)
    train(run, 20)
    run.reset()
    assert run.step == 0
    assert same(before, weights(run))


def test_divergence_takes_back_the_change_that_caused_it() -> None:
    run = make("realnvp")
    train(run, 40)
    run._mark_safe()
    run.set_live({"learning_rate": 0.1})
    with torch.no_grad():
        next(iter(run.trainer.model.parameters())).fill_(float("nan"))
    run.play(None)
    error: Exception | None = None
    try:
        while run.is_training:
            run.advance()
    except FloatingPointError as raised:
        error = raised
    assert error is not None
    assert run.state == "diverged"
    assert run.step == 40
    assert run.report().live["learning_rate"] != 0.1
    assert run.changes.entries == []


def test_new_data_of_another_shape_are_refused() -> None:
    run = make("realnvp")
    with pytest.raises(ValueError, match=r"given data of shape \(1,\)"):
        run.set_data("gaussian_1d", SMALL)
    train(run, 5)
    assert run.spec.dataset == "two_moons"


def test_past_comes_back_from_the_disk(tmp_path: Path) -> None:
    run = make("realnvp")
    train(run, 20)
    run.set_live({"learning_rate": 3e-4})
    train(run, STEPS)
    run.save(str(tmp_path / "run.safetensors"))
    Shelf(tmp_path / "run.history").sync(*run.past())
    again = Run.open(
        "again", str(tmp_path / "run.safetensors"), "cpu", str(tmp_path / "run.history")
    )
    assert again.history.steps == run.history.steps
    assert again.history.keyframes.steps[:-1] == run.history.keyframes.steps
    assert again.missing == ""
    for mine, theirs in zip(
        run.history.snapshots.entries, again.history.snapshots.entries, strict=True
    ):
        assert same(list(mine.tensors), list(theirs.tensors))
        assert mine.config == theirs.config
    child = again.fork("child", 18, {}, playing=True)
    train(child, 20)
    child.set_live({"learning_rate": 3e-4})
    train(child, STEPS)
    assert same(weights(run), weights(child))


def test_damaged_entries_are_left_out_and_said(tmp_path: Path) -> None:
    run = make("realnvp")
    train(run, 30)
    Shelf(tmp_path).sync(*run.past())
    snapshots = sorted(tmp_path.glob("s-*"))
    snapshots[3].write_bytes(snapshots[3].read_bytes()[:100])
    (tmp_path / LOG).write_bytes(b"\xff\xff")
    past = load_past(tmp_path, run.exhibit.replica)
    assert len(past.history.steps) == len(run.history.steps) - 1
    assert past.missing == "could not be read: the list of changed settings, 1 stored steps"


def test_shelf_follows_the_history(tmp_path: Path) -> None:
    run = make("gaussian_mixture")
    train(run, 30)
    shelf = Shelf(tmp_path)
    shelf.sync(*run.past())
    assert len(list(tmp_path.glob("s-*"))) == len(run.history.steps)
    run.reset()
    shelf.sync(*run.past())
    assert [p.name for p in tmp_path.glob("s-*")] == ["s-000000000000.safetensors"]
    shelf.clear()
    assert not tmp_path.exists()


def test_history_never_exceeds_its_budget() -> None:
    run = make("realnvp")
    one = run.history.snapshots.entries[0].n_bytes
    run.set_budget(12 * one)
    train(run, 120)
    assert run.history.n_bytes <= 12 * one
    assert run.history.steps[0] == 0
    assert run.history.steps[-1] > 115
    spread = np.diff(run.history.steps)
    assert spread.max() < 80


def test_smaller_budget_takes_effect_at_once() -> None:
    run = make("realnvp")
    train(run, 60)
    one = run.history.snapshots.entries[0].n_bytes
    assert run.history.n_bytes > 10 * one
    run.set_budget(10 * one)
    assert run.history.n_bytes <= 10 * one
