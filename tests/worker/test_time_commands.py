"""Recall, ForkRun and SetData in a real child: acknowledged, refused, told, and exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.launch import launch
from engine.wire import messages as m
from tests.worker.conftest import PLUGIN, Client

WINDOW = {"low": [-4.0, -4.0], "high": [4.0, 4.0], "size": 32}
SMALL = {"n_layers": 2, "hidden_features": [16]}


@pytest.fixture
def flow(shared: Client) -> Client:
    """A small flow at step 200 as run "a"; forks are called "b"."""
    spec = m.RunSpec("realnvp", "two_moons", dict(SMALL), {"n_samples": 500})
    shared.command(m.StartRun, "a", spec)
    shared.command(m.StepOnce, "a", 200)
    shared.wait_for(m.RunState, run="a", state="paused", step=200)
    return shared


def newest(client: Client, run: str = "a") -> m.RunState:
    return [r for r in client.heard if isinstance(r, m.RunState) and r.run == run][-1]


def between(client: Client) -> int:
    """A step that is neither stored nor near a keyframe."""
    state = newest(client)
    taken = {*state.stored, *(s + i for s in state.keyframes for i in range(4))}
    return next(s for s in range(150, 199) if s not in taken and s - 1 not in state.stored)


def density(
    client: Client, generation: int, cursor: int | None = None, run: str = "a"
) -> m.Answer:
    slot = m.Slot("p", run, "density")
    client.send(m.Ask(slot, generation, "density", dict(WINDOW), cursor=cursor))
    answer = client.wait_for(m.Answer, generation=generation, final=True)
    assert isinstance(answer, m.Answer)
    return answer


def test_recalled_step_equals_the_weights_trained_to_that_step(flow: Client) -> None:
    step = between(flow)
    ack = flow.command(m.Recall, "a", step)
    assert isinstance(ack, m.Ack), ack
    stored = flow.wait(lambda r: isinstance(r, m.RunState) and step in r.stored).stored
    assert {step - 1, step - 2} <= set(stored)
    recalled = density(flow, 1, step)
    assert recalled.step == step
    spec = m.RunSpec("realnvp", "two_moons", dict(SMALL), {"n_samples": 500})
    flow.command(m.StartRun, "b", spec)
    flow.command(m.StepOnce, "b", step)
    flow.wait_for(m.RunState, run="b", state="paused", step=step)
    straight = density(flow, 2, run="b")
    assert np.array_equal(recalled.arrays["log_density"], straight.arrays["log_density"])
    assert newest(flow).step == 200


def test_recall_tells_how_far_it_is_and_a_newer_one_replaces_it(shared: Client) -> None:
    flow = shared
    flow.start("lingers")
    flow.command(m.StepOnce, "a", 3000)
    flow.wait_for(m.RunState, run="a", state="paused", step=3000)
    state = newest(flow)
    pairs = zip(state.keyframes, state.keyframes[1:], strict=False)
    low, high = max(pairs, key=lambda pair: pair[1] - pair[0])
    first, second = flow.next_id(), flow.next_id()
    flow.send(m.Recall(first, "a", high - 5))
    told = flow.wait(lambda r: isinstance(r, m.RunState) and r.repeating)
    assert told.repeating[0] == low
    assert told.repeating[0] <= told.repeating[1] <= told.repeating[2] == high - 5
    flow.send(m.Recall(second, "a", low + 3))
    acks = [flow.wait_for(m.Ack).id, flow.wait_for(m.Ack).id]
    assert sorted(acks) == [first, second]
    after = flow.wait(lambda r: isinstance(r, m.RunState) and low + 3 in r.stored)
    assert high - 5 not in after.stored


@pytest.mark.parametrize(("step", "words"), [(10_000, "and 200, the newest"), (-1, "wanted one")])
def test_step_out_of_reach_is_refused(flow: Client, step: int, words: str) -> None:
    refused = flow.command(m.Recall, "a", step)
    assert isinstance(refused, m.Failed)
    assert words in refused.message


def test_unchanged_fork_repeats_its_parent(flow: Client) -> None:
    step = between(flow)
    ack = flow.command(m.ForkRun, "b", "a", step, {}, False)
    assert isinstance(ack, m.Ack), ack
    assert ack.info is not None
    assert (ack.info.parent, ack.info.forked_at) == ("a", step)
    flow.wait_for(m.RunState, run="b", state="paused", step=step)
    assert newest(flow, "b").repeating == ()
    flow.command(m.StepOnce, "b", 200 - step)
    flow.wait_for(m.RunState, run="b", state="paused", step=200)
    parent, child = density(flow, 1), density(flow, 2, run="b")
    assert np.array_equal(parent.arrays["log_density"], child.arrays["log_density"])


def test_fork_of_the_newest_step_with_another_rate(flow: Client) -> None:
    ack = flow.command(m.ForkRun, "b", "a", -1, {"learning_rate": 0.005}, False)
    assert ack.info.forked_at == 200
    state = flow.wait_for(m.RunState, run="b")
    assert (state.step, state.live["learning_rate"]) == (200, 0.005)


@pytest.mark.parametrize(("arguments", "words"), [
    (("b", "ghost", 3), "there is no run 'ghost'"),
    (("b", "a", 999), "wanted one between 0"),
    (("b", "a", 3, {"n_layers": 8}), "n_layers cannot change while training"),
])  # fmt: skip
def test_fork_is_refused_with_a_sentence(
    flow: Client, arguments: tuple[Any, ...], words: str
) -> None:
    refused = flow.command(m.ForkRun, *arguments)
    assert isinstance(refused, m.Failed)
    assert words in refused.message


def test_training_goes_on_on_other_data(flow: Client) -> None:
    ack = flow.command(m.SetData, "a", "eight_gaussians", {"n_samples": 500})
    assert ack.info.spec.dataset == "eight_gaussians"
    assert ack.info.step == 200
    refused = flow.command(m.SetData, "a", "gaussian_1d", {"n_samples": 500})
    assert isinstance(refused, m.Failed)
    assert "given data of shape (1,)" in refused.message


def test_rewind_beside_the_old_run_has_the_same_initial_weights(flow: Client) -> None:
    spec = m.RunSpec("realnvp", "two_moons", dict(SMALL), {"n_samples": 500})
    ack = flow.command(m.StartRun, "b", spec, data_of="a")
    assert ack.info.step == 0
    assert np.array_equal(
        density(flow, 1, 0).arrays["log_density"], density(flow, 2, run="b").arrays["log_density"]
    )
    refused = flow.command(m.StartRun, "good", spec, data_of="ghost")
    assert "there is no run 'ghost'" in refused.message


def test_stored_steps_of_an_opened_run_follow(flow: Client, tmp_path: Path) -> None:
    path, folder = str(tmp_path / "a.safetensors"), str(tmp_path / "a.history")
    flow.command(m.SaveRun, "a", path, folder)
    stored = newest(flow).stored
    flow.command(m.OpenRun, "b", path, "cpu", past_follows=True)
    flow.command(m.StepOnce, "b", 40)
    early = flow.wait_for(m.RunState, run="b", state="paused", step=240)
    assert early.stored[0] == 200 > stored[-1]
    ack = flow.command(m.TakePast, "b", folder)
    assert isinstance(ack, m.Ack), ack
    assert ack.info.missing == ""
    assert flow.wait_for(m.RunState, run="b").stored == (*stored, *early.stored)
    step = stored[len(stored) // 2]
    one, other = density(flow, 1, step), density(flow, 2, step, run="b")
    assert np.array_equal(one.arrays["log_density"], other.arrays["log_density"])
    again = flow.command(m.TakePast, "b", folder)
    assert isinstance(again, m.Ack), "what it has already it does not take again"


def test_step_that_is_looked_at_is_not_thinned_out_and_the_budget_holds(tmp_path: Path) -> None:
    budget = 300_000
    client = Client(launch(plugins=[PLUGIN], history_budget=budget))
    try:
        client.wait_for(m.Hello)
        config = {"n_layers": 4, "hidden_features": [64], "batch_size": 16}
        spec = m.RunSpec("realnvp", "two_moons", config, {"n_samples": 500})
        client.command(m.StartRun, "a", spec)
        client.command(m.StepOnce, "a", 60)
        state = client.wait_for(m.RunState, state="paused", step=60)
        step = state.stored[-2]
        assert density(client, 1, step).step == step
        client.command(m.StepOnce, "a", 900)
        client.wait_for(m.RunState, state="paused", step=960)
        states = [r for r in client.heard if isinstance(r, m.RunState)]
        assert max(s.history_bytes for s in states) <= budget
        assert all(step in s.stored for s in states[-5:])
        gone = set(state.stored) - set(states[-1].stored)
        assert gone, "the test wants a history that was thinned out"
    finally:
        client.engine.stop()


def test_a_held_run_waits_at_its_step_and_goes_on_when_it_is_let_go(flow: Client) -> None:
    assert isinstance(flow.command(m.SetFinish, "a", 260, None, "race"), m.Ack)
    assert isinstance(flow.command(m.SetHold, "a", 230), m.Ack)
    flow.command(m.Play, "a")
    flow.wait_for(m.RunState, run="a", state="training", step=230)
    ack = flow.command(m.SetHold, "a", 240)
    assert isinstance(ack, m.Ack)
    flow.wait_for(m.RunState, run="a", state="training", step=240)
    flow.command(m.SetHold, "a", None)
    flow.wait_for(m.RunState, run="a", state="paused", step=260)
    assert max(r.step for r in flow.heard if isinstance(r, m.RunState)) == 260
