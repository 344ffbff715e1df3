"""The one cursor: stored steps, steps between them, playing, forks; never moved by live work."""

from __future__ import annotations

import re
from typing import Any

import pytest
from PySide6.QtGui import QUndoStack

from app.forking import Forking
from app.notices import Notice
from app.playback import SECONDS, Playback
from app.session import PUT_AWAY, Session
from app.time_travel import TimeTravel
from app.undo import AddRun, ChangeDevice, ChangePace, CloseRun, ReplaceRun
from engine.wire import messages as m
from tests.app.conftest import FakeLink
from widgets.controls.transport import TransportBar
from widgets.look import Look

SPEC = m.RunSpec("toy", "eight_gaussians")
STORED = (0, 1, 2, 10, 100, 1000)


@pytest.fixture
def transport(qtbot: Any) -> TransportBar:
    made = TransportBar(Look())
    qtbot.addWidget(made)
    return made


@pytest.fixture
def travel(session: Session, link: FakeLink, transport: TransportBar) -> TimeTravel:
    made = TimeTravel(session, transport)
    run = start(session, link)
    tell(link, run, 1200)
    return made


def start(session: Session, link: FakeLink, spec: m.RunSpec = SPEC) -> str:
    view = session.start(spec, playing=False)
    link.admit()
    return view.run


def tell(
    link: FakeLink, run: str, step: int, stored: tuple[int, ...] = STORED, **more: Any
) -> None:
    link.tell(run, more.pop("state", "training"), step, stored=stored, **more)


def arrive(link: FakeLink) -> None:
    link.acknowledged.emit(m.Ack(link.last(m.Recall).id))


# --- to a step --------------------------------------------------------------------------------


def test_cursor_stays_over_ten_thousand_live_steps(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    travel.go(100)
    run = session.runs[0].run
    for step in range(1200, 11_200):
        tell(link, run, step, (*STORED, step))
    assert session.cursor == 100
    assert link.count(m.Recall) == 0


def test_step_between_stored_ones_shows_the_nearest_until_it_is_there(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    travel.go(90)
    assert session.cursor == 100
    assert travel.here == 90
    assert link.last(m.Recall).step == 90
    arrive(link)
    assert session.cursor == 90
    assert travel.wanted is None


def test_a_later_wish_is_not_overtaken_by_an_earlier_one(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    travel.go(90)
    first = link.last(m.Recall)
    travel.go(50)
    link.acknowledged.emit(m.Ack(first.id))  # the engine dropped it for the newer one
    assert session.cursor != 90
    assert travel.wanted == 50
    arrive(link)
    assert session.cursor == 50


def test_step_that_cannot_be_reached_is_said(
    travel: TimeTravel, session: Session, link: FakeLink, said: list[Notice]
) -> None:
    travel.go(90)
    failed = m.Failed("Recall", "ValueError", "no keyframe", id=link.last(m.Recall).id)
    link.failed.emit(failed)
    assert said[-1].text == "Step 90 cannot be shown: no keyframe"
    assert session.cursor == 100


def test_looked_at_step_that_was_thinned_out_is_fetched_again(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    travel.go(100)
    run = session.runs[0].run
    tell(link, run, 2000, (0, 10, 1000, 2000))
    assert session.cursor == 100
    assert link.last(m.Recall).step == 100
    tell(link, run, 2001, (0, 10, 1000, 2000))
    assert link.count(m.Recall) == 1


def test_training_that_went_back_before_the_cursor_shows_the_newest(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    travel.go(1000)
    tell(link, session.runs[0].run, 500, (0, 10, 100, 500))
    assert session.cursor is None


@pytest.mark.parametrize(("moves", "expected"), [
    ([-1], 1000), ([-1, -1], 100), ([-1, -1, 1], 1000), ([-1, 1], None), ([1], None),
])  # fmt: skip
def test_arrows_go_from_stored_step_to_stored_step(
    travel: TimeTravel, session: Session, moves: list[int], expected: int | None
) -> None:
    for move in moves:
        travel.by_stored(move)
    assert session.cursor == expected


def test_shifted_arrows_go_step_by_step(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    travel.go(100)
    travel.by_one(1)
    assert link.last(m.Recall).step == 101
    travel.by_one(1)
    assert link.last(m.Recall).step == 102
    travel.go(2)
    travel.by_one(-1)
    assert session.cursor == 1


def test_beyond_the_newest_is_live(travel: TimeTravel, session: Session) -> None:
    travel.go(10)
    travel.go(5000)
    assert session.cursor is None


def test_another_run_keeps_the_step_where_it_has_been_there(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    first = session.runs[0].run
    second = start(session, link)
    tell(link, second, 60, (0, 5, 12, 60))
    session.select(first)
    travel.go(10)
    session.select(second)
    assert session.cursor == 12
    session.select(first)
    assert session.cursor == 10
    travel.go(100)
    session.select(second)
    assert session.cursor is None


def test_sentence_tells_what_is_repeated(
    travel: TimeTravel, session: Session, link: FakeLink
) -> None:
    heard: list[str] = []
    travel.said.connect(heard.append)
    run = session.runs[0].run
    tell(link, run, 1200, repeating=(1000, 1100, 1240))
    tell(link, run, 1200, repeating=(1000, 1100, 1240))
    tell(link, run, 1200)
    assert heard == ["Repeating steps 1 000 → 1 240: now 1 100", ""]


# --- playing ----------------------------------------------------------------------------------


def test_even_walk_takes_its_seconds() -> None:
    walk = Playback(0, log=False)
    stored = tuple(range(0, 1001, 10))
    assert walk.step_at(0.0, stored) == 0
    assert walk.step_at(SECONDS / 2, stored) == 500
    assert walk.step_at(SECONDS, stored) == 1000
    assert walk.step_at(99.0, stored) == 1000
    assert walk.is_over(1000, stored)


def test_log_walk_gives_equal_time_to_equal_ratios() -> None:
    walk = Playback(0, log=True)
    stored = tuple(range(1000))
    assert walk.step_at(SECONDS / 3, stored) == pytest.approx(9, abs=1)
    assert walk.step_at(2 * SECONDS / 3, stored) == pytest.approx(99, abs=1)


def test_walk_backwards_ends_at_the_first_step() -> None:
    walk = Playback(1000, forwards=False, log=False, pace=100.0)
    stored = (0, 500, 1000)
    assert walk.step_at(4.9, stored) == 500
    assert walk.step_at(10.0, stored) == 0
    assert walk.is_over(0, stored)


def test_playing_moves_the_cursor_and_trains_nothing(
    travel: TimeTravel, session: Session, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("app.time_travel.time.monotonic", lambda: now[0])
    sent = len(link.sent)
    travel.toggle_playing()
    assert session.cursor == 0
    seen = []
    for _ in range(20):
        now[0] += SECONDS / 10
        travel._on_frame()
        seen.append(session.cursor)
    assert seen == sorted(seen)  # type: ignore[type-var]
    assert session.cursor == 1000
    assert not travel.is_playing
    assert len(link.sent) == sent


def test_loop_begins_again(
    travel: TimeTravel, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("app.time_travel.time.monotonic", lambda: now[0])
    travel.set_loop(True)
    travel.toggle_playing()
    now[0] += 2 * SECONDS
    travel._on_frame()
    assert travel.is_playing
    assert session.cursor == 0
    travel.stop()


def test_a_hand_on_the_timeline_stops_the_walk(travel: TimeTravel, session: Session) -> None:
    travel.toggle_playing()
    travel.go(10)
    assert not travel.is_playing
    assert session.cursor == 10


def test_menu_offers_what_the_keys_do(
    travel: TimeTravel, session: Session, transport: TransportBar
) -> None:
    texts = {action.text(): action for action in travel.menu(100, transport).actions()}
    with_step = [text for text in texts if "100" in text]
    assert with_step == ["Fork at step 100 …", "Look at step 100"]
    texts["Look at step 100"].trigger()
    assert session.cursor == 100
    texts["Space steps by powers of ten"].trigger()
    assert travel.log


# --- forks and undo ---------------------------------------------------------------------------


@pytest.fixture
def stack() -> QUndoStack:
    return QUndoStack()


@pytest.fixture
def forking(
    session: Session, travel: TimeTravel, transport: TransportBar, stack: QUndoStack
) -> Forking:
    return Forking(session, travel, stack, Look(), transport)


def test_fork_starts_at_the_cursor_and_undo_puts_it_away(
    forking: Forking, travel: TimeTravel, session: Session, link: FakeLink, stack: QUndoStack
) -> None:
    parent = session.runs[0].run
    travel.go(100)
    forking.open_here()
    forking.box.forked.emit({"learning_rate": 0.5}, False)
    command = link.last(m.ForkRun)
    assert (command.parent, command.step, command.playing) == (parent, 100, False)
    assert command.values == {"learning_rate": 0.5}
    link.admit()
    assert len(session.runs) == 2
    assert re.fullmatch("fork at step 100", stack.undoText())
    stack.undo()
    assert [view.run for view in session.runs] == [parent]
    assert link.count(m.CloseRun) == 0
    stack.redo()
    assert [view.run for view in session.runs] == [parent, command.run]
    assert link.count(m.ForkRun) == 1


def test_fork_of_the_newest_step_needs_no_replay(forking: Forking, link: FakeLink) -> None:
    forking.open_here()
    forking.box.forked.emit({}, True)
    assert link.last(m.ForkRun).step == -1


def test_box_shows_the_settings_that_were_in_force(
    forking: Forking, session: Session, link: FakeLink
) -> None:
    view = session.runs[0]
    for step, rate in ((1210, 0.1), (1300, 0.2), (1400, 0.2)):
        tell(link, view.run, step, live={"learning_rate": rate})
    assert forking.settings_at(view, 1299) == {"learning_rate": 0.1}
    assert forking.settings_at(view, 1350) == {"learning_rate": 0.2}
    tell(link, view.run, 1250, live={"learning_rate": 0.1})  # it diverged and went back
    assert forking.settings_at(view, 1350) == {"learning_rate": 0.1}


def test_reset_is_a_run_of_its_own_and_undo_brings_the_trained_one_back(
    travel: TimeTravel, session: Session, link: FakeLink, stack: QUndoStack
) -> None:
    trained = session.runs[0]
    stack.push(ReplaceRun(session, "reset", trained.spec, rewind=True))
    command = link.last(m.StartRun)
    assert (command.spec, command.data_of, command.playing) == (trained.spec, trained.run, False)
    link.admit()
    assert session.current is not trained
    stack.undo()
    assert session.current is trained
    assert trained.step == 1200
    assert link.count(m.CloseRun) == 0


def test_closed_run_comes_back_as_it_was(
    travel: TimeTravel, session: Session, link: FakeLink, stack: QUndoStack
) -> None:
    view = session.runs[0]
    stack.push(CloseRun(session, view))
    assert session.runs == ()
    assert session.current is None
    assert isinstance(link.sent[-1], m.Pause)
    stack.undo()
    assert session.current is view
    assert view.step == 1200


def test_only_so_many_closed_runs_are_kept(
    session: Session, link: FakeLink, stack: QUndoStack, said: list[Notice]
) -> None:
    for _ in range(PUT_AWAY + 1):
        start(session, link)
    for view in session.runs:
        stack.push(CloseRun(session, view))
    assert link.count(m.CloseRun) == 1
    before = link.count(m.StartRun)
    while stack.canUndo():
        stack.undo()
    assert link.count(m.StartRun) == before + 1
    assert "begins anew" in said[-1].text


def test_run_taken_back_before_it_was_built_does_not_come_into_view(
    session: Session, link: FakeLink, stack: QUndoStack
) -> None:
    first = start(session, link)
    stack.push(AddRun(session, "new run", lambda: session.start(SPEC, playing=True)))
    stack.undo()
    late = link.admit()
    assert session.current is not None
    assert session.current.run == first
    assert link.last(m.Pause).run == late.run


def test_device_and_pace_are_taken_back(
    session: Session, link: FakeLink, stack: QUndoStack
) -> None:
    view = session.find(start(session, link))
    assert view is not None
    stack.push(ChangeDevice(session, view, "cuda"))
    assert link.last(m.SetDevice).device == "cuda"
    for pace in (5.0, 10.0, None):
        stack.push(ChangePace(session, view, pace))
    stack.push(ChangePace(session, view, 2.0))
    assert stack.count() == 2
    stack.undo()
    assert link.last(m.SetPace).steps_per_second is None
    stack.undo()
    assert link.last(m.SetDevice).device == "auto"
