"""Runs, undo of set-up changes, cursor and revival, on a link without an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QUndoStack

from app.engine_pool import MAIN
from app.notices import Notice
from app.session import PARKED, Session
from app.undo import ChangeLive, PlayRuns, ReplaceRun
from engine.wire import messages as m
from tests.app.conftest import FakeLink

SPEC = m.RunSpec("toy", "eight_gaussians")
OTHER = m.RunSpec("toy", "checkerboard")


def start(session: Session, link: FakeLink, spec: m.RunSpec = SPEC) -> str:
    view = session.start(spec, playing=False)
    link.admit()
    return view.run


def test_started_run_comes_into_view_once_admitted(session: Session, link: FakeLink) -> None:
    view = session.start(SPEC, playing=True)
    assert session.current is None
    assert link.last(m.StartRun).playing
    link.admit()
    assert session.current is view
    assert view.title == "Toy · Data"


def test_refused_run_leaves_with_a_sentence(
    session: Session, link: FakeLink, said: list[Notice]
) -> None:
    first = start(session, link)
    session.replace(OTHER)
    command = link.last(m.StartRun)
    link.failed.emit(
        m.Failed("StartRun", "ValueError", "no such thing", run=command.run, id=command.id)
    )
    assert said[-1].text == "no such thing"
    assert [view.run for view in session.runs] == [first]
    assert session.current is not None
    assert session.current.run == first


def test_replaced_run_is_parked_and_comes_back_by_undo(session: Session, link: FakeLink) -> None:
    first = start(session, link)
    stack = QUndoStack()
    stack.push(ReplaceRun(session, "data", OTHER))
    second = link.admit().run
    assert [view.run for view in session.runs] == [second]
    stack.undo()
    assert [view.run for view in session.runs] == [first]
    assert session.current is not None
    assert session.current.run == first
    assert link.count(m.StartRun) == 2
    stack.redo()
    assert session.current.run == second
    assert link.count(m.StartRun) == 2


def test_only_so_many_parked_runs_are_kept_and_undo_starts_those_that_left(
    session: Session, link: FakeLink
) -> None:
    start(session, link)
    stack = QUndoStack()
    for seed in range(1, PARKED + 3):
        spec = m.RunSpec("toy", "eight_gaussians", seed=seed)
        stack.push(ReplaceRun(session, f"seed {seed}", spec))
        link.admit()
    assert link.count(m.CloseRun) == 2
    assert len(session.runs) == 1
    while stack.canUndo():
        before = link.count(m.StartRun)
        stack.undo()
        if link.count(m.StartRun) > before:
            link.admit()
    assert session.current is not None
    assert session.current.spec.seed == 0


def test_quick_second_replacement_leaves_one_run_in_the_place(
    session: Session, link: FakeLink
) -> None:
    start(session, link)
    session.replace(OTHER)
    session.replace(m.RunSpec("toy", "banana"))
    link.admit()
    assert len(session.runs) == 1
    assert session.runs[0].spec.dataset == "banana"


def test_live_changes_merge_while_a_slider_is_dragged(session: Session, link: FakeLink) -> None:
    run = start(session, link)
    stack = QUndoStack()
    for rate in (0.01, 0.02, 0.03):
        stack.push(ChangeLive(session, run, {"learning_rate": rate}, {"learning_rate": 0.001}))
    assert stack.count() == 1
    stack.undo()
    assert link.last(m.SetLive).values == {"learning_rate": 0.001}
    stack.redo()
    assert link.last(m.SetLive).values == {"learning_rate": 0.03}


def test_live_work_never_moves_the_cursor(session: Session, link: FakeLink) -> None:
    run = start(session, link)
    session.set_cursor(5)
    for step in range(10_000):
        link.tell(run, "training", step)
    assert session.cursor == 5


def test_metrics_are_collected_by_run(session: Session, link: FakeLink) -> None:
    run = start(session, link)
    table = np.array([[3.0, np.nan], [2.0, 1.0]])
    link.metrics.emit(m.Metrics(run, ("nll", "gradient_norm"), np.array([1, 2]), table))
    view = session.find(run)
    assert view is not None
    assert view.metrics.latest("nll") == 2.0
    assert view.metrics.column("gradient_norm")[0].tolist() == [2.0]


def test_restart_brings_runs_back_from_their_keyframe(
    session: Session, link: FakeLink, tmp_path: Path
) -> None:
    keyframe = tmp_path / "k.safetensors"
    keyframe.write_bytes(b"x")
    run = start(session, link)
    link.tell(run, "training", 50, keyframe=str(keyframe), keyframe_step=40)
    session.restart_engine()
    assert link.restarts == 1
    command = link.last(m.StartRun)
    assert (command.run, command.keyframe) == (run, str(keyframe))


def test_restart_without_keyframe_starts_from_the_spec(session: Session, link: FakeLink) -> None:
    run = start(session, link)
    session.restart_engine()
    command = link.last(m.StartRun)
    assert (command.run, command.keyframe, command.spec) == (run, "", SPEC)


def test_closing_brings_another_run_into_view(session: Session, link: FakeLink) -> None:
    first, second = start(session, link), start(session, link, OTHER)
    assert session.current is not None
    assert session.current.run == second
    session.close(session.current)
    assert session.current.run == first
    session.close(session.current)
    assert session.current is None


@pytest.mark.parametrize("step", [0, 7])
def test_play_returns_to_the_newest_step(session: Session, link: FakeLink, step: int) -> None:
    start(session, link)
    session.set_cursor(step)
    assert session.current is not None
    session.play(session.current)
    assert session.cursor is None


def test_nothing_looks_as_if_it_trained_once_the_engine_is_gone(
    session: Session, link: FakeLink
) -> None:
    run = start(session, link)
    link.tell(run, "training", 9, steps_per_second=100.0)
    link.died.emit(MAIN, "gone")
    view = session.find(run)
    assert view is not None
    assert not view.is_training
    assert view.step == 9


def test_playing_and_pausing_can_be_undone(session: Session, link: FakeLink) -> None:
    run = start(session, link)
    view, stack = session.find(run), QUndoStack()
    assert view is not None
    session.set_cursor(0)
    stack.push(PlayRuns(session, "play", [view], playing=True))
    assert link.last(m.Play).run == run
    assert session.cursor is None
    stack.undo()
    assert link.last(m.Pause).run == run
    assert session.cursor == 0
    stack.redo()
    assert view.wants_to_play
    stack.push(PlayRuns(session, "pause", [view], playing=False))
    assert not view.wants_to_play
    assert stack.count() == 0, "played and paused at once: nothing is left to undo"
