"""A race on a real engine: its numbers are the probe's, and the same again the second time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import settings as settings_file
from app.bootstrap import start_engine
from app.convoy import LEAD_STEPS, lead_of
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from engine.wire.fields import Value
from widgets.look import Look
from widgets.panels.race import RacePanel
from widgets.race.lineup import Entry, Rule, Wish
from widgets.race.questions import N_DRAWS, NODES

PATIENCE_MS = 90_000
DATA: dict[str, Value] = {"n_samples": 1000}
STEPS = 200
SMALL: dict[str, dict[str, Value]] = {
    "realnvp": {"n_layers": 2, "hidden_features": [16]},
    "made": {"hidden_features": [16], "n_components": 4},
    "gaussian_mixture": {"n_components": 4},
}


class Driver:
    """A window with the race panel open, and waiting for what the user would see."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window, self.qtbot = window, qtbot
        self.said: list[str] = []

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    @property
    def panel(self) -> RacePanel:
        found = self.window.workspace.panels["race"]
        assert isinstance(found, RacePanel)
        return found

    def open(self) -> None:
        session = self.window.session
        session.start(m.RunSpec("realnvp", "eight_gaussians", {}, DATA), playing=False)
        self.until(lambda: session.current and session.current.info)
        self.window.actions_table.trigger("run.race")
        for name in ("density", "training"):
            self.window.workspace.show_panel(name, False)
        self.panel.decided.connect(self.said.append)

    def wish(self, rule: Rule, **more: Any) -> Wish:
        hello = self.window.session.hello
        assert hello is not None
        cards = {card.name: card for card in hello.models}
        entries = (Entry(name, cards[name].title, cards[name], SMALL[name]) for name in SMALL)
        return Wish(tuple(entries), rule, **more)

    def race(self, rule: Rule, **more: Any) -> dict[str, tuple[float, float]]:
        """Run a race to its end; KL and error by model."""
        n_said = len(self.said)
        self.panel.race_wished.emit(self.wish(rule, **more))
        self.until(lambda: len(self.said) > n_said)
        models = {view.run: view.spec.model for view in self.window.racing.members}
        rows = self.panel.ranking.groups[0].rows
        assert len(rows) == len(SMALL)
        return {models[row.run]: (row.value or 0.0, row.error) for row in rows}

    def ask(self, run: str) -> m.Answer:
        """Ask the probe without the panel."""
        answers: list[m.Answer] = []
        link = self.window.link
        link.answered.connect(
            lambda a: answers.append(a) if a.slot.panel == "test" and a.final else None
        )
        wanted: dict[str, Value] = {"size": NODES["cheap"][True], "n_draws": N_DRAWS[True]}
        link.send(m.Ask(m.Slot("test", run, "kl"), 1, "divergences", wanted))
        self.until(lambda: answers)
        return answers[0]


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    folder = tmp_path / "keyframes"
    link = EnginePool(lambda: start_engine(folder))
    window = MainWindow(link, Notices(), Look(), settings_file.Settings())
    qtbot.addWidget(window)
    made = Driver(window, qtbot)
    window.show()
    made.until(lambda: window.session.hello)
    yield made
    window.close()


def test_a_race_ends_with_the_probes_numbers_and_repeats_bit_for_bit(driver: Driver) -> None:
    driver.open()
    rule = Rule("steps", steps=STEPS)
    found = driver.race(rule, seed=3)
    members = driver.window.racing.members
    assert [(view.step, view.state.state if view.state else "") for view in members] == [
        (STEPS, "paused")
    ] * 3
    assert " wins: KL " in driver.said[0] or driver.said[0].startswith("A tie")
    for view in members:
        answer = driver.ask(view.run)
        assert answer.step == STEPS
        assert (answer.values["kl"], answer.values["kl_error"]) == found[view.spec.model]
    assert driver.race(rule, seed=3) == found
    saved = driver.window.racing.save()
    driver.window.racing.restore(saved)
    assert [view.run for view in driver.window.racing.members] == saved["members"]


@pytest.mark.slow
def test_a_racer_of_its_own_process_dies_alone(driver: Driver) -> None:
    """The others go on to the finish, and the board says who is out."""
    driver.open()
    racing = driver.window.racing
    driver.panel.race_wished.emit(driver.wish(Rule("seconds", seconds=1.5), apart=True))
    driver.until(lambda: len(racing.members) == 3 and all(v.step > 0 for v in racing.members))
    victim, *others = racing.members
    pid = driver.window.link.pid(driver.window.link.engine_of(victim.run))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    driver.until(lambda: victim.state is not None and victim.state.state == "stopped")
    driver.until(lambda: driver.said)
    for view in others:
        assert view.state is not None
        assert view.state.finished
        assert view.state.seconds >= 1.5
    assert driver.panel.pictures.tiles.head(victim.run).mark == "engine gone"
    ranked = [row.run for row in driver.panel.ranking.groups[0].rows]
    assert set(ranked) >= {view.run for view in others}


@pytest.mark.slow
def test_racers_in_processes_of_their_own_stay_together(driver: Driver) -> None:
    """None is ever farther ahead of the slowest than the longest lead that was allowed so far."""
    driver.open()
    racing = driver.window.racing
    driver.panel.race_wished.emit(driver.wish(Rule("steps", steps=120), apart=True))
    gaps: list[int] = []
    leads: list[int] = []

    def note(_: object) -> None:
        views = [view for view in racing.members if view.is_training]
        if len(views) == 3:
            steps = [view.step for view in views]
            leads.append(lead_of(views))
            gaps.append(max(steps) - min(steps) - max(leads))

    driver.window.session.state_changed.connect(note)
    driver.until(lambda: racing.members and all(v.step == 120 for v in racing.members))
    engines = {driver.window.link.engine_of(view.run) for view in racing.members}
    assert len(engines) == 3
    assert gaps
    # What the window knows of the slowest is a little old, so that it seems farther behind.
    assert max(gaps) <= max(LEAD_STEPS, max(leads) // 4)
