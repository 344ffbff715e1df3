"""What curves lack is asked for one by one, in idle moments, and stops when nobody looks."""

from __future__ import annotations

from typing import Any

import pytest

from app.backfill import MARK, Backfill, Missing
from app.session import Session
from engine.wire import messages as m
from tests.app.conftest import FakeLink
from widgets.look import Look
from widgets.panel import Panel, Question

STORED = (0, 10, 20, 30)


class Curve(Panel):
    """Lacks what it has not been shown."""

    name, title, summary = "curve", "Curve", "A curve."

    def __init__(self) -> None:
        super().__init__(Look())
        self.known: list[int] = []
        self.takes = True

    def missing_past(self, stored: tuple[int, ...]) -> tuple[str, Question, int] | None:
        lacking = [step for step in stored if step not in self.known]
        return ("kl", Question("divergences", {"size": 64}), lacking[0]) if lacking else None

    def show_past(self, part: str, answer: m.Answer) -> None:
        assert answer.slot.part == part == "kl"
        if self.takes:
            self.known.append(answer.step)


class Desk:
    """A panel, whether it is on screen, and a link that is answered by hand."""

    def __init__(self, link: FakeLink, session: Session, panel: Curve) -> None:
        self.link, self.session, self.panel = link, session, panel
        self.is_seen = True
        view = session.start(m.RunSpec("toy", "points"), playing=False)
        panel.open_run(link.admit())
        self.run = view.run
        link.tell(self.run, "paused", 30, stored=STORED)
        self.fill = Backfill(link, session, self.missing)  # type: ignore[arg-type]
        self.fill._timer.stop()

    def missing(self) -> list[Missing]:
        view = self.session.current
        if not self.is_seen or view is None or view.state is None:
            return []
        lack = self.panel.missing_past(view.state.stored)
        return [] if lack is None else [Missing(self.panel, *lack)]

    def tick(self) -> None:
        self.fill._due = min(self.fill._due, 0.0)  # the pause is over
        self.fill.tick()

    def answer(self, **more: Any) -> m.Ask:
        ask: m.Ask = self.link.last(m.Ask)
        step = more.pop("step", ask.cursor)
        self.link.answered.emit(m.Answer(ask.slot, ask.generation, step, {}, {}, **more))
        return ask


@pytest.fixture
def desk(qtbot: Any, link: FakeLink, session: Session) -> Any:
    panel = Curve()
    qtbot.addWidget(panel)
    made = Desk(link, session, panel)
    yield made
    made.fill.stop()


def test_every_missing_step_is_asked_once_and_only_for_idle_moments(
    desk: Desk, link: FakeLink
) -> None:
    for _ in range(6):
        desk.tick()
        desk.tick()  # one at a time
        if link.count(m.Ask) > len(desk.panel.known):
            ask = desk.answer()
            assert ask.idle
            assert not ask.urgent
            assert ask.slot == m.Slot("curve", desk.run, "kl" + MARK)
    assert desk.panel.known == list(STORED)
    assert link.count(m.Ask) == 4


def test_nothing_is_asked_while_nobody_looks(desk: Desk, link: FakeLink) -> None:
    desk.tick()
    desk.answer()
    desk.is_seen = False
    desk.tick()
    assert link.count(m.Ask) == 1
    desk.is_seen = True
    desk.tick()
    assert link.count(m.Ask) == 2


def test_beside_training_the_pauses_are_long(desk: Desk, link: FakeLink) -> None:
    pauses = []
    for state in ("paused", "training"):
        link.tell(desk.run, state, 30, stored=STORED)
        desk.tick()
        began = desk.fill._asked[3] if desk.fill._asked else 0.0
        desk.answer(elapsed=0.5)
        pauses.append(desk.fill._due - began)
    assert 0.5 <= pauses[0] < 5.0
    assert pauses[1] >= 10.0


def test_what_fails_or_is_of_no_use_is_not_asked_again(desk: Desk, link: FakeLink) -> None:
    desk.panel.takes = False
    desk.tick()
    desk.answer()
    desk.tick()
    assert link.count(m.Ask) == 1


def test_a_probe_that_fails_ends_it_for_this_run(desk: Desk, link: FakeLink) -> None:
    desk.tick()
    ask = link.last(m.Ask)
    link.failed.emit(
        m.Failed("probe", "ValueError", "no", slot=ask.slot, generation=ask.generation)
    )
    desk.tick()
    assert link.count(m.Ask) == 1
    desk.session.rewritten.emit(desk.run)
    desk.tick()
    assert link.count(m.Ask) == 2


def test_an_answer_for_a_run_that_is_gone_is_dropped(desk: Desk, link: FakeLink) -> None:
    desk.tick()
    desk.panel.open_run(None)
    desk.answer()
    assert desk.panel.known == []


def test_a_step_that_history_no_longer_has_is_no_point(desk: Desk) -> None:
    desk.tick()
    desk.answer(step=30)
    assert desk.panel.known == []
