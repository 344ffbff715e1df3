"""The engine hangs, falls silent or dies: the window says so and the user decides."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QObject

from app.engine_pool import MAIN
from app.notices import Notice
from app.session import Session
from app.watch import LONG_SECONDS, EngineWatch
from engine.wire import messages as m
from tests.app.conftest import FakeLink


@pytest.fixture
def watch(session: Session) -> EngineWatch:
    return EngineWatch(session, session.notices)


def beat(training: str, seconds: float) -> m.Heartbeat:
    return m.Heartbeat(training, seconds, "idle", 0.0, 0)


def test_a_step_that_hangs_is_named_with_its_time(
    watch: QObject, link: FakeLink, said: list[Notice]
) -> None:
    link.beat.emit(MAIN, beat("step 7 of run-1", LONG_SECONDS - 0.1))
    assert said == []
    link.beat.emit(MAIN, beat("step 7 of run-1", LONG_SECONDS + 1))
    assert "step 7 of run-1" in said[-1].text
    assert "6 s" in said[-1].text
    assert set(said[-1].offers) == {"keep_waiting", "stop_the_engine"}


def test_the_user_may_wait_and_is_not_asked_again_for_that_step(
    watch: QObject, link: FakeLink, said: list[Notice]
) -> None:
    link.beat.emit(MAIN, beat("step 7", LONG_SECONDS + 1))
    said[-1].offers["keep_waiting"]()
    count = len(said)
    link.beat.emit(MAIN, beat("step 7", LONG_SECONDS + 2))
    assert len(said) == count
    link.beat.emit(MAIN, beat("idle", 0.0))
    link.beat.emit(MAIN, beat("step 9", LONG_SECONDS + 1))
    assert len(said) == count + 1


def test_the_user_may_stop_the_engine(watch: QObject, link: FakeLink, said: list[Notice]) -> None:
    link.beat.emit(MAIN, beat("step 7", LONG_SECONDS + 1))
    said[-1].offers["stop_the_engine"]()
    assert link.restarts == 1


def test_a_step_that_comes_through_takes_the_warning_back(
    qtbot: Any, watch: QObject, link: FakeLink, session: Session
) -> None:
    link.beat.emit(MAIN, beat("step 7", LONG_SECONDS + 1))
    with qtbot.waitSignal(session.notices.withdrawn):
        link.beat.emit(MAIN, beat("step 8", 0.1))


def test_a_long_answer_counts_too(watch: QObject, link: FakeLink, said: list[Notice]) -> None:
    link.beat.emit(MAIN, m.Heartbeat("idle", 0.0, "density for density", LONG_SECONDS + 2, 0))
    assert "density for density" in said[-1].text


def test_silence_is_said(watch: QObject, link: FakeLink, said: list[Notice]) -> None:
    link.silent.emit(MAIN, 4.0)
    assert "no sign of life for 4 s" in said[-1].text


def test_death_offers_a_restart_and_says_what_is_kept(
    watch: QObject, link: FakeLink, session: Session, said: list[Notice]
) -> None:
    run = session.start(m.RunSpec("toy", "eight_gaussians"), playing=False).run
    link.admit()
    link.tell(run, "training", 60, keyframe="/k", keyframe_step=50)
    link.died.emit(MAIN, "The engine process stopped (signal 9).")
    assert "signal 9" in said[-1].text
    assert "Toy · Data at step 50" in said[-1].text
    said[-1].offers["restart"]()
    assert link.restarts == 1
