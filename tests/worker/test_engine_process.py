"""A real child that raises, hangs, is killed, flooded, orphaned, hungry or diverging."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from engine.launch import launch
from engine.wire import messages as m
from tests.worker.conftest import PLUGIN, Client
from tests.worker.faulty import FAULTY_STEP

ROOT = Path(__file__).parents[2]


def test_hello_lists_what_was_discovered(shared: Client) -> None:
    hello = shared.heard[0]
    assert isinstance(hello, m.Hello)
    assert {"sound", "realnvp"} <= {card.name for card in hello.models}
    assert hello.pid == shared.engine.process.pid
    assert "cpu" in hello.devices


def test_probe_that_raises_is_reported_on_its_slot(shared: Client) -> None:
    shared.start()
    slot = shared.ask(1, probe="broken")
    failed = shared.wait_for(m.Failed)
    assert failed.slot == slot
    assert failed.generation == 1
    assert "planted probe fault" in failed.message
    assert "broken" in failed.traceback
    assert shared.is_answering()


def test_unknown_probe_run_and_argument_are_named(shared: Client) -> None:
    shared.start()
    shared.ask(1, probe="nonsense")
    assert "there is no probe 'nonsense'" in shared.wait_for(m.Failed, generation=1).message
    shared.ask(2, run="ghost")
    assert "there is no run 'ghost'" in shared.wait_for(m.Failed, generation=2).message
    shared.send(m.Ask(m.Slot("p", "a", "x"), 3, "echo", {"colour": 1}))
    assert "no argument 'colour'" in shared.wait_for(m.Failed, generation=3).message
    shared.send(m.Ask(m.Slot("p", "a", "x"), 4, "echo", {"value": "seven"}))
    assert "echo" in shared.wait_for(m.Failed, generation=4).message
    assert shared.is_answering()


def test_training_step_that_raises_stops_only_its_run(shared: Client) -> None:
    shared.start("sound", "good", playing=True)
    shared.start("raises", "bad", playing=True)
    failed = shared.wait_for(m.Failed)
    assert failed.run == "bad"
    assert failed.where == f"training step {FAULTY_STEP + 1}"
    assert "planted fault" in failed.message
    state = shared.wait_for(m.RunState, run="bad", state="failed")
    assert state.step == FAULTY_STEP
    shared.wait(lambda r: isinstance(r, m.RunState) and r.run == "good" and r.step > 50)
    shared.ask(1, run="bad")
    assert shared.wait_for(m.Answer, generation=1).step == FAULTY_STEP
    assert state.keyframe_step == FAULTY_STEP


def test_hanging_step_is_told_by_the_heartbeat_and_asks_go_on(client: Client) -> None:
    client.start("hangs", playing=True)
    beat = client.wait(lambda r: isinstance(r, m.Heartbeat) and r.training_elapsed > 1.0)
    assert beat.training == f"step {FAULTY_STEP + 1} of a"
    assert client.is_answering()
    later = client.wait(
        lambda r: isinstance(r, m.Heartbeat) and r.training_elapsed > beat.training_elapsed
    )
    assert later.training == beat.training
    began = time.monotonic()
    client.engine.stop(1.0)
    assert not client.engine.is_alive
    assert time.monotonic() - began < 10


def test_killed_child_closes_the_wire_and_its_keyframe_brings_the_run_back(
    client: Client, tmp_path: Path
) -> None:
    client.start(playing=True)
    state = client.wait(lambda r: isinstance(r, m.RunState) and r.keyframe_step > 20)
    os.kill(client.engine.process.pid or 0, signal.SIGKILL)
    with pytest.raises((EOFError, OSError)):
        client.wait(lambda r: False)
    fresh = launch(plugins=[PLUGIN], keyframe_folder=str(tmp_path))
    try:
        second = Client(fresh)
        second.wait_for(m.Hello)
        info = second.start(keyframe=state.keyframe)
        assert info.step >= state.keyframe_step
        second.command(m.StepOnce, "a", 10)
        after = second.wait_for(m.RunState, state="paused", step=info.step + 10)
        assert after.step == info.step + 10
    finally:
        fresh.stop()


def test_flood_of_a_thousand_asks_gets_at_most_two_answers_a_slot(shared: Client) -> None:
    shared.start()
    shared.ask(9000, part="busy", seconds=1.5)
    for generation in range(1000):
        shared.ask(generation, part=f"flooded-{generation % 2}", value=generation)
    shared.ask(9001, part="last")
    shared.wait_for(m.Answer, generation=9001)
    answers = [r for r in shared.heard if isinstance(r, m.Answer)]
    for part, newest in (("flooded-0", 998), ("flooded-1", 999)):
        values = [a.values["value"] for a in answers if a.slot.part == part]
        assert values[-1] == newest
        assert len(values) <= 2


def test_queued_asks_of_a_slot_are_replaced_by_the_newest(shared: Client) -> None:
    shared.start()
    for generation in range(50):
        shared.ask(generation, part="drag", value=generation)
    shared.wait_for(m.Answer, generation=49)
    answered = [r.generation for r in shared.heard if isinstance(r, m.Answer)]
    assert answered == sorted(answered)
    assert len(answered) < 50


def test_an_idle_ask_waits_for_all_others_and_steps_aside(shared: Client) -> None:
    shared.start()

    def idle(generation: int, n: int) -> None:
        slot = m.Slot("p", "a", f"idle-{generation}")
        wanted = {"value": n, "seconds": 0.02}
        shared.send(m.Ask(slot, generation, "count", wanted, idle=True))

    shared.ask(1, part="busy", seconds=0.3)
    idle(2, 3)
    shared.ask(3, part="live")
    shared.wait_for(m.Answer, generation=2, final=True)
    finals = [r.generation for r in shared.heard if isinstance(r, m.Answer) and r.final]
    assert finals == [1, 3, 2]
    idle(4, 100)  # two seconds of work
    shared.wait_for(m.Answer, generation=4)
    shared.ask(5, part="live")
    shared.wait_for(m.Answer, generation=5)
    done = [r for r in shared.heard if isinstance(r, m.Answer) and r.generation == 4]
    assert not any(answer.final for answer in done)
    shared.wait_for(m.Answer, generation=4, final=True)  # it began again


def test_asks_name_stored_steps_absolutely(shared: Client) -> None:
    shared.start()
    shared.command(m.StepOnce, "a", 40)
    state = shared.wait_for(m.RunState, state="paused", step=40)
    stored = state.stored[len(state.stored) // 2]
    shared.ask(1, cursor=stored)
    assert shared.wait_for(m.Answer, generation=1).step == stored
    shared.ask(2)
    newest = shared.wait_for(m.Answer, generation=2)
    assert newest.step == 40
    shared.ask(3, cursor=0)
    first = shared.wait_for(m.Answer, generation=3)
    assert first.step == 0
    assert first.arrays["mean"].tolist() == [0.0, 0.0]
    assert newest.arrays["mean"].tolist() != [0.0, 0.0]


def test_out_of_memory_offers_a_smaller_batch_which_then_works(shared: Client) -> None:
    shared.start("hungry", playing=True)
    failed = shared.wait_for(m.Failed)
    assert failed.kind == "out_of_memory"
    assert failed.offer == {"batch_size": 32}
    shared.command(m.SetLive, "a", dict(failed.offer))
    shared.command(m.Play, "a", 20)
    assert shared.wait_for(m.RunState, state="paused").step == 20


def test_nan_pauses_at_the_last_finite_snapshot(shared: Client) -> None:
    shared.start("diverges", playing=True)
    failed = shared.wait_for(m.Failed)
    assert failed.kind == "diverged"
    assert "last finite snapshot" in failed.message
    assert "learning_rate" in failed.offer
    state = shared.wait_for(m.RunState, state="diverged")
    assert state.step <= FAULTY_STEP
    shared.ask(1)
    answer = shared.wait_for(m.Answer, generation=1)
    assert all(math.isfinite(v) for v in answer.arrays["mean"])


def test_bad_commands_are_refused_with_a_sentence(shared: Client) -> None:
    refused = shared.command(m.StartRun, "x", m.RunSpec("nonsense", "eight_gaussians"))
    assert isinstance(refused, m.Failed)
    assert "there is no model 'nonsense'" in refused.message
    refused = shared.command(m.Play, "ghost")
    assert "there is no run 'ghost'" in refused.message
    shared.start()
    refused = shared.command(m.SetLive, "a", {"learning_rate": -1.0})
    assert "learning_rate: given -1.0" in refused.message
    refused = shared.command(m.SetPace, "a", 0.0)
    assert "wanted more than 0" in refused.message


def test_pace_limits_the_steps(shared: Client) -> None:
    shared.start()
    shared.command(m.SetPace, "a", 20.0)
    shared.command(m.Play, "a")
    began = time.monotonic()
    shared.wait(lambda r: isinstance(r, m.RunState) and r.step >= 20)
    assert time.monotonic() - began > 0.5


def test_reset_brings_back_the_same_first_weights(shared: Client) -> None:
    shared.start()
    shared.command(m.StepOnce, "a", 30)
    shared.wait_for(m.RunState, state="paused", step=30)
    info = shared.command(m.Reset, "a").info
    assert info.step == 0
    shared.ask(1)
    assert shared.wait_for(m.Answer, generation=1).arrays["mean"].tolist() == [0.0, 0.0]


def test_two_runs_share_the_time(shared: Client) -> None:
    shared.start("slow", "a", playing=True)
    shared.start("slow", "b", playing=True)
    shared.wait(lambda r: isinstance(r, m.RunState) and r.run == "b" and r.step >= 8)
    steps = {r.run: r.step for r in shared.heard if isinstance(r, m.RunState)}
    assert abs(steps["a"] - steps["b"]) <= 8


def test_child_leaves_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, time
        from engine.launch import launch
        if __name__ == "__main__":
            engine = launch()
            engine.channel.receive()
            sys.stdout.write(f"{engine.process.pid}\\n"); sys.stdout.flush()
            time.sleep(60)
        """
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([child], timeout=3.0)
    assert gone
    assert not alive
