"""The number in the strip: asked of one run at a time, paced, and forgotten with its steps."""

from __future__ import annotations

from typing import Any

import pytest

from app.headlines import STRIP, Headlines
from app.runs_strip import score
from app.session import Session
from engine.wire import messages as m
from tests.app.conftest import FakeLink

VALUES: dict[str, Any] = {
    "kl": 0.031,
    "kl_error": 0.002,
    "kl_kind": "exact",
    "mass_state": "whole",
}


@pytest.fixture
def headlines(link: FakeLink, session: Session) -> Any:
    made = Headlines(link, session)  # type: ignore[arg-type]
    made.stop()
    session.start(m.RunSpec("toy", "eight_gaussians"), playing=False)
    link.admit()
    return made


def answer(link: FakeLink, step: int = 0, **more: Any) -> None:
    ask = link.last(m.Ask)
    link.answered.emit(m.Answer(ask.slot, ask.generation, step, {}, {**VALUES, **more}))


def test_a_run_is_asked_once_a_step(link: FakeLink, session: Session, headlines: Any) -> None:
    headlines.tick()
    assert link.last(m.Ask).slot == m.Slot(STRIP, "run-1", "headline")
    headlines.tick()
    assert link.count(m.Ask) == 1
    answer(link)
    assert session.current is not None
    assert score(session.current) == "KL 0.031 ± 0.002 nats"
    headlines.tick()
    assert link.count(m.Ask) == 1
    link.tell("run-1", "paused", 7)
    headlines.tick()
    assert link.count(m.Ask) == 2


def test_a_training_run_waits_its_pace(link: FakeLink, headlines: Any) -> None:
    headlines.tick()
    link.tell("run-1", "training", 5)
    answer(link)
    link.tell("run-1", "training", 9)
    headlines.tick()
    assert link.count(m.Ask) == 1


def test_partial_answers_are_not_shown(link: FakeLink, session: Session, headlines: Any) -> None:
    headlines.tick()
    ask = link.last(m.Ask)
    link.answered.emit(m.Answer(ask.slot, ask.generation, 0, {}, VALUES, final=False))
    assert session.current is not None
    assert session.current.headline == ""


def test_a_rewind_forgets_the_number(link: FakeLink, session: Session, headlines: Any) -> None:
    headlines.tick()
    answer(link)
    session.rewritten.emit("run-1")
    assert session.current is not None
    assert session.current.headline == ""
    headlines.tick()
    assert link.count(m.Ask) == 2


def test_a_death_does_not_end_the_asking(link: FakeLink, headlines: Any) -> None:
    headlines.tick()
    link.died.emit("main", "gone")
    link.tell("run-1", "ready", 0)
    headlines.tick()
    assert link.count(m.Ask) == 2


def test_what_a_panel_was_told_is_not_asked_again(
    link: FakeLink, session: Session, headlines: Any
) -> None:
    slot = m.Slot("truth", "run-1", "divergences")
    link.answered.emit(m.Answer(slot, 5, 0, {}, VALUES))
    headlines.tick()
    assert link.count(m.Ask) == 0
    assert session.current is not None
    assert session.current.headline == "KL 0.031 ± 0.002 nats"


def test_numbers_of_stored_steps_are_not_those_of_now(
    link: FakeLink, session: Session, headlines: Any
) -> None:
    link.tell("run-1", "paused", 50, stored=(0, 10, 50))
    session.set_cursor(10)
    link.answered.emit(m.Answer(m.Slot("truth", "run-1", "divergences"), 5, 10, {}, VALUES))
    assert session.current is not None
    assert session.current.headline == ""
