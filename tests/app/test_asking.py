"""Stamping, newest wins, no starvation, no stale answers."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtWidgets import QLabel

from app.asking import Asker
from app.engine_pool import MAIN
from app.session import Session
from engine.wire import messages as m
from engine.wire.capability import Capability
from tests.app.conftest import FakeLink
from widgets.look import Look
from widgets.panel import Panel, Question


class Probe(Panel):
    name = "probe_panel"
    title = "Probe"
    summary = "For tests."

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.value = 0
        self.live = True
        self.shown: list[m.Answer] = []
        self.body.addWidget(QLabel("probe"))

    def asks(self, *, rest: bool) -> dict[str, Question]:
        arguments: dict[str, Any] = {"value": self.value}
        if self.live:
            arguments["rest"] = rest
        return {"part": Question("density", arguments, live=self.live)}

    def show_answer(self, part: str, answer: m.Answer) -> None:
        self.shown.append(answer)


class Demanding(Probe):
    name = "demanding"
    title = "Demanding"
    needs = (frozenset({Capability.FLOW_PATH}),)


@pytest.fixture
def asker(link: FakeLink, session: Session) -> Any:
    made = Asker(link, session)  # type: ignore[arg-type]
    made._timer.stop()
    yield made
    made.stop()


@pytest.fixture
def panel(qtbot: Any, asker: Asker, session: Session, link: FakeLink) -> Probe:
    made = Probe(Look())
    qtbot.addWidget(made)
    made.show()
    asker.add(made)
    session.start(m.RunSpec("toy", "eight_gaussians"), playing=False)
    link.admit()
    return made


def answer(ask: m.Ask, **more: Any) -> m.Answer:
    return m.Answer(ask.slot, ask.generation, more.pop("step", 0), **more)


def become_static(panel: Probe, link: FakeLink) -> None:
    """The panel asks something else, which does not follow training, and is answered."""
    panel.live = False
    panel.asks_changed.emit()
    link.answered.emit(answer(link.last(m.Ask)))


def test_a_visible_panel_is_asked_and_answered(panel: Probe, link: FakeLink) -> None:
    ask = link.last(m.Ask)
    assert ask.slot.panel == "probe_panel"
    assert ask.arguments == {"value": 0, "rest": True}
    link.answered.emit(answer(ask))
    assert len(panel.shown) == 1


def test_nothing_is_asked_twice(panel: Probe, link: FakeLink, asker: Asker) -> None:
    link.answered.emit(answer(link.last(m.Ask)))
    for _ in range(5):
        asker.tick()
    assert link.count(m.Ask) == 1


def test_a_change_is_asked_at_once_and_old_answers_are_dropped(
    panel: Probe, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.asking.SUPERSEDE_SECONDS", -1.0)
    old = link.last(m.Ask)
    panel.value = 1
    panel.asks_changed.emit()
    new = link.last(m.Ask)
    assert new.arguments["value"] == 1
    link.answered.emit(answer(old))
    assert panel.shown == []
    link.answered.emit(answer(new))
    assert len(panel.shown) == 1


def test_a_drag_waits_for_the_answer_on_its_way(
    panel: Probe, link: FakeLink, asker: Asker
) -> None:
    for value in range(1, 20):
        panel.value = value
        panel.asks_changed.emit()
    # The detailed ask from before the drag is superseded at once, the coarse one after it is not.
    assert link.count(m.Ask) == 2
    coarse = link.last(m.Ask)
    assert coarse.arguments == {"value": 1, "rest": False}
    link.answered.emit(answer(coarse))
    assert len(panel.shown) == 1
    asker.tick()
    assert link.last(m.Ask).arguments == {"value": 19, "rest": False}


def test_detail_follows_when_the_drag_has_come_to_rest(
    panel: Probe, link: FakeLink, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.value = 1
    panel.asks_changed.emit()
    link.answered.emit(answer(link.last(m.Ask)))
    monkeypatch.setattr("app.asking.SETTLE_SECONDS", -1.0)
    asker.tick()
    assert link.last(m.Ask).arguments == {"value": 1, "rest": True}


def test_live_questions_are_asked_again_while_training(
    panel: Probe, link: FakeLink, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.asking.LIVE_SECONDS", 0.0)
    link.answered.emit(answer(link.last(m.Ask)))
    link.tell(link.last(m.Ask).slot.run, "training", 5)
    asker.tick()
    assert link.last(m.Ask).arguments["rest"] is False
    link.answered.emit(answer(link.last(m.Ask), step=5))
    count = link.count(m.Ask)
    asker.tick()
    assert link.count(m.Ask) == count + 1


def test_a_run_at_rest_is_asked_again_after_a_live_setting(
    panel: Probe, link: FakeLink, asker: Asker, session: Session
) -> None:
    ask = link.last(m.Ask)
    link.answered.emit(answer(ask, values={"slope": 2.0}))
    view = session.current
    assert view is not None
    session.set_live(view, {"slope": -2.0})
    asker.tick()
    assert link.count(m.Ask) == 1  # the engine has not made the change yet
    link.acknowledged.emit(m.Ack(link.last(m.SetLive).id))
    asker.tick()
    assert link.count(m.Ask) == 2
    link.answered.emit(answer(ask, values={"slope": 2.0}))  # a late one of before is dropped
    link.answered.emit(answer(link.last(m.Ask), values={"slope": -2.0}))
    assert [shown.values["slope"] for shown in panel.shown] == [2.0, -2.0]


def test_static_questions_are_not(panel: Probe, link: FakeLink, asker: Asker) -> None:
    become_static(panel, link)
    link.tell(link.last(m.Ask).slot.run, "paused", 5)
    asker.tick()
    assert link.count(m.Ask) == 2


def test_cursor_goes_into_the_ask(panel: Probe, link: FakeLink, session: Session) -> None:
    link.answered.emit(answer(link.last(m.Ask)))
    session.set_cursor(12)
    assert link.last(m.Ask).cursor == 12


def test_what_does_not_follow_training_is_not_asked_anew_for_another_step(
    panel: Probe, link: FakeLink, session: Session
) -> None:
    become_static(panel, link)
    session.set_cursor(12)
    assert link.count(m.Ask) == 2


def test_hidden_panels_ask_nothing(panel: Probe, link: FakeLink, asker: Asker) -> None:
    panel.hide()
    panel.value = 3
    panel.asks_changed.emit()
    asker.tick()
    assert link.count(m.Ask) == 1


def test_failure_is_shown_on_the_panel_that_asked(
    panel: Probe, link: FakeLink, asker: Asker
) -> None:
    ask = link.last(m.Ask)
    failed = m.Failed("density", "ValueError", "bad box", slot=ask.slot, generation=ask.generation)
    link.failed.emit(failed)
    assert panel.banner.text == "bad box"
    asker.tick()
    assert link.count(m.Ask) == 1


def test_unfit_panel_says_why_and_asks_nothing(
    qtbot: Any, panel: Probe, link: FakeLink, asker: Asker
) -> None:
    demanding = Demanding(Look())
    qtbot.addWidget(demanding)
    demanding.show()
    asker.add(demanding)
    asker.tick()
    assert "needs invertible layers; Toy has none" in demanding.banner.text
    assert all(r.slot.panel != "demanding" for r in link.sent if isinstance(r, m.Ask))


def test_removed_panel_is_left_alone(panel: Probe, link: FakeLink, asker: Asker) -> None:
    ask = link.last(m.Ask)
    asker.remove(panel)
    link.answered.emit(answer(ask))
    assert panel.shown == []


def test_only_the_dead_engines_questions_are_given_up(panel: Probe, link: FakeLink) -> None:
    ask = link.last(m.Ask)
    link.died.emit("racer-1", "gone")
    link.answered.emit(answer(ask))
    assert len(panel.shown) == 1
    panel.value += 1
    panel.asks_changed.emit()
    late = link.last(m.Ask)
    link.died.emit(MAIN, "gone")
    link.answered.emit(answer(late))
    assert len(panel.shown) == 1
