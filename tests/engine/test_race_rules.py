"""Finish lines are exact, time is shared fairly, and sizes are matched: no clock is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from engine import run as run_module
from engine.fairness import LEAD, Finish, choose, last_step
from engine.matching import NEAR, TOO_FAR, match_parameters
from engine.registry import build_model, model_names
from engine.run import Run
from engine.wire.messages import RunSpec

SPEC = RunSpec("realnvp", "two_moons", {"n_layers": 2, "hidden_features": [8]}, {"n_samples": 200})
SLICE = 0.02


class Clock:
    """Moves on by a fixed amount at every look, so that each step takes the same time."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


@dataclass
class Racer:
    """A run whose steps take a known time."""

    name: str
    cost: float
    finish: Finish = field(default_factory=Finish)
    used: float = 0.0
    step: int = 0


def race(racers: list[Racer], seconds: float, note: Any = lambda racers: None) -> None:
    """The worker's loop in made-up time."""
    now = 0.0
    while now < seconds:
        racer = choose(racers)
        last, end = last_step(racer, racers), now + SLICE
        while True:
            now += racer.cost
            racer.used += racer.cost
            racer.step += 1
            if now >= end or (last is not None and racer.step >= last):
                break
        note(racers)


# --- sharing ------------------------------------------------------------------------------------


def test_six_runs_get_equal_time_in_every_second() -> None:
    racers = [
        Racer(str(i), cost) for i, cost in enumerate((0.0005, 0.001, 0.004, 0.01, 0.03, 0.05))
    ]
    before = [0.0] * 6
    for _ in range(10):
        race(racers, 1.0)
        got = [racer.used - old for racer, old in zip(racers, before, strict=True)]
        before = [racer.used for racer in racers]
        assert max(abs(share - 1.0 / 6.0) for share in got) <= 0.05 + SLICE


def test_a_convoy_stays_together_whatever_steps_cost() -> None:
    costs = (0.0005, 0.001, 0.004, 0.01, 0.03, 0.05)
    convoy = [Racer(str(i), cost, Finish(1000, convoy="race")) for i, cost in enumerate(costs)]
    gaps: list[int] = []
    race(
        convoy,
        20.0,
        lambda all_: gaps.append(max(r.step for r in all_) - min(r.step for r in all_)),
    )
    assert max(gaps) <= LEAD
    assert convoy[0].step > 100


def test_a_convoy_of_three_gets_three_shares_beside_a_run_of_its_own() -> None:
    convoy = [Racer(str(i), cost, Finish(10**6, convoy="race")) for i, cost in
              enumerate((0.001, 0.002, 0.006))]  # fmt: skip
    alone = Racer("alone", 0.003)
    race([*convoy, alone], 60.0)
    assert alone.used == pytest.approx(15.0, abs=0.3)


def test_a_run_outside_has_no_last_step() -> None:
    one, two = Racer("1", 0.1), Racer("2", 0.1)
    assert last_step(one, [one, two]) is None
    convoy = [Racer(str(i), 0.1, Finish(9, convoy="a"), step=5 * i) for i in range(2)]
    assert last_step(convoy[0], convoy) == 5 + LEAD
    other = Racer("3", 0.1, Finish(9, convoy="b"))
    assert last_step(other, [*convoy, other]) is None


def test_a_run_that_is_held_waits_and_a_fork_of_it_does_not() -> None:
    finish = Finish(steps=100, convoy="race", hold=20)
    assert finish.wait_seconds(19, -0.5) == 0.0
    assert finish.wait_seconds(19, 0.25) == 0.25
    assert finish.wait_seconds(20, -0.5) > 0.0
    assert finish.beyond(20, 0.0).hold is None
    assert not finish.is_reached(20, 0.0)


# --- the finish line ----------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [0, -1, 0.0, float("nan")])
def test_a_line_at_the_start_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="wanted more than 0"):
        Finish(seconds=amount)


def stepped(run: Run, most: int = 500) -> int:
    """Let a run take steps until it stands; returns how many it took."""
    before = run.step
    while run.is_training and run.step < most:
        run.advance()
    return run.step - before


def test_equal_steps_end_exactly_and_survive_pause_play_and_reset() -> None:
    run = Run("a", SPEC)
    run.set_finish(Finish(steps=7))
    run.play(None)
    run.advance()
    run.pause()
    run.play(None)
    assert stepped(run) == 6
    assert (run.step, run.state, run.report().finished) == (7, "paused", True)
    run.play(None)
    assert run.state == "paused"
    run.play(20)
    assert stepped(run) == 0
    run.reset()
    assert not run.report().finished
    assert run.seconds == 0.0
    run.play(None)
    assert stepped(run) == 7


def test_equal_seconds_count_training_steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that moves 1/8 s at every look, each step counts exactly 1/8 s."""
    run = Run("a", SPEC)
    clock = Clock(0.125)
    monkeypatch.setattr(run_module.time, "monotonic", clock)
    run.set_finish(Finish(seconds=1.0))
    run.play(None)
    run.advance()
    run.pause()
    clock.now += 100.0  # a long pause is not training
    run.play(None)
    stepped(run)
    assert run.step == 8
    assert run.seconds == 1.0
    assert run.report().seconds == 1.0


def test_the_clock_goes_on_in_forks_and_keyframes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("a", SPEC)
    monkeypatch.setattr(run_module.time, "monotonic", Clock(0.125))
    run.set_finish(Finish(seconds=1.0, convoy="race"))
    run.play(None)
    for _ in range(4):
        run.advance()
    child = run.fork("b", 4, {}, True)
    assert child.seconds == 0.5
    assert child.finish == Finish(seconds=1.0)
    assert stepped(child) == 4
    assert child.seconds == 1.0
    again = Run("c", SPEC, run._capture())
    assert again.seconds == 0.5
    stepped(run)
    free = run.fork("d", run.step, {}, True)
    assert free.finish == Finish()
    assert free.is_training


def test_moving_the_line_lets_a_finished_run_go_on_and_back_stops_it() -> None:
    run = Run("a", SPEC)
    run.set_finish(Finish(steps=3))
    run.play(None)
    stepped(run)
    run.set_finish(Finish(steps=6))
    run.play(None)
    assert stepped(run) == 3
    run.set_finish(Finish(steps=12))
    run.play(None)
    run.set_finish(Finish(steps=5))
    assert run.state == "paused"


def test_a_race_of_equal_steps_is_the_same_twice() -> None:
    def weights() -> list[bytes]:
        racers = [Run(str(i), spec) for i, spec in enumerate((SPEC, SPEC))]
        for racer in racers:
            racer.set_finish(Finish(steps=12, convoy="race"))
            racer.play(None)
        while due := [racer for racer in racers if racer.is_training]:
            choose(due).advance()
        return [
            tensor.numpy().tobytes()
            for racer in racers
            for tensor in racer.trainer.model.state_dict().values()
        ]

    first = weights()
    assert first == weights()
    half = len(first) // 2
    assert first[:half] == first[half:]


# --- equal parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize("wanted", [60, 3_000, 30_000])
def test_matched_settings_build_a_model_of_that_size(name: str, wanted: int) -> None:
    found = match_parameters(name, (2,), wanted)
    model = build_model(name, event_shape=(2,), **dict[str, Any](found.config))
    assert model.n_parameters == found.n_parameters
    assert found.difference == (found.n_parameters - wanted) / wanted
    if found.refusal:
        assert abs(found.difference) > TOO_FAR
        assert str(wanted) in found.refusal
        assert model.card.title in found.refusal
    else:
        assert abs(found.difference) <= TOO_FAR


@pytest.mark.parametrize("name", ["made", "vae", "maf", "realnvp", "ebm", "gan", "wgan_gp"])
def test_networks_come_within_a_percent(name: str) -> None:
    assert abs(match_parameters(name, (2,), 20_000).difference) <= NEAR


def test_matching_finds_the_nearest_of_a_mixture() -> None:
    """K Gaussians in the plane have 6 K − 1 free numbers."""
    counts = {k: 6 * k - 1 for k in range(1, 201)}
    for wanted in (5, 47, 100, 1199):
        nearest = min(counts, key=lambda k: (abs(counts[k] - wanted), k))
        found = match_parameters("gaussian_mixture", (2,), wanted)
        assert found.n_parameters == counts[nearest]
        assert not found.refusal
    assert "1199" in match_parameters("gaussian_mixture", (2,), 5000).refusal


def test_a_model_without_room_says_so_and_nonsense_is_refused() -> None:
    assert "no nearer to 500" in match_parameters("ppca", (2,), 500).refusal
    with pytest.raises(ValueError, match="wanted 1 to"):
        match_parameters("vae", (2,), 0)
    with pytest.raises(ValueError, match="no model"):
        match_parameters("nonsense", (2,), 10)
