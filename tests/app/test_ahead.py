"""Coarse pictures of stored steps are made ahead while nothing else is to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.ahead import MARK, Ahead, Wish
from app.answer_cache import AnswerCache
from app.session import Session
from engine.wire import messages as m
from tests.app.conftest import FakeLink
from widgets.panel import Question

STORED = (0, 10, 20, 30)


def key_of(question: Question, step: int | None) -> str:
    return f"{question.probe} {step}"


@pytest.fixture
def cache() -> AnswerCache:
    return AnswerCache(100_000)


@pytest.fixture
def wishes() -> list[Wish]:
    return []


@pytest.fixture
def ahead(link: FakeLink, session: Session, cache: AnswerCache, wishes: list[Wish]) -> Any:
    made = Ahead(link, session, cache, lambda: wishes, key_of)  # type: ignore[arg-type]
    made._timer.stop()
    run = session.start(m.RunSpec("toy", "eight_gaussians"), playing=False).run
    link.admit()
    link.tell(run, "paused", 30, stored=STORED)
    wishes.append(Wish(m.Slot("density", run, "density"), Question("density", {"size": 64})))
    yield made
    made.stop()


def answer(link: FakeLink, *, elapsed: float = 0.1, size: int = 10, **more: Any) -> m.Ask:
    ask = link.last(m.Ask)
    step = more.pop("step", ask.cursor)
    arrays = {"x": np.zeros(size)}
    record = m.Answer(ask.slot, ask.generation, step, arrays, elapsed=elapsed)
    link.answered.emit(record)
    return ask


def test_nearest_steps_come_first_and_each_but_once(
    ahead: Ahead, link: FakeLink, session: Session, cache: AnswerCache, wishes: list[Wish]
) -> None:
    session.set_cursor(20)
    asked = []
    for _ in range(6):
        ahead.tick()
        asked.append(answer(link).cursor)
    assert asked[:4] in ([20, 10, 30, 0], [20, 30, 10, 0])
    assert link.count(m.Ask) == 4
    kept = cache.get(wishes[0].slot, "density 10")
    assert kept is not None
    assert kept.slot == wishes[0].slot
    assert not link.last(m.Ask).urgent
    assert link.last(m.Ask).slot.part == "density" + MARK


def test_one_at_a_time(ahead: Ahead, link: FakeLink) -> None:
    ahead.tick()
    ahead.tick()
    assert link.count(m.Ask) == 1


def test_quick_models_are_left_alone_after_the_first(ahead: Ahead, link: FakeLink) -> None:
    ahead.tick()
    answer(link, elapsed=0.005)
    ahead.tick()
    assert link.count(m.Ask) == 1


def test_nothing_is_asked_while_anything_else_goes_on(
    ahead: Ahead, link: FakeLink, wishes: list[Wish]
) -> None:
    wishes.clear()
    ahead.tick()
    assert link.count(m.Ask) == 0


def test_answer_of_another_step_is_not_kept(
    ahead: Ahead, link: FakeLink, cache: AnswerCache, wishes: list[Wish]
) -> None:
    ahead.tick()
    ask = answer(link, step=7)
    assert not cache.has(wishes[0].slot, f"density {ask.cursor}")


def test_full_cache_is_left_to_what_was_looked_at(
    ahead: Ahead, link: FakeLink, cache: AnswerCache
) -> None:
    ahead.tick()
    answer(link, size=10_000)
    assert cache.is_full
    ahead.tick()
    assert link.count(m.Ask) == 1


def test_failure_is_not_repeated(ahead: Ahead, link: FakeLink) -> None:
    ahead.tick()
    ask = link.last(m.Ask)
    link.failed.emit(m.Failed("density", "ValueError", "no", slot=ask.slot, generation=1))
    ahead.tick()
    assert link.count(m.Ask) == 1
