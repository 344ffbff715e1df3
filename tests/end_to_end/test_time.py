"""Time as a place, in the real window on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from tests.end_to_end.test_window import Driver
from widgets.look import Look


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


def train(driver: Driver, steps: int) -> None:
    driver.window.session.step(driver.run, steps - driver.run.step)
    driver.until(lambda: driver.run.step == steps and not driver.run.is_training)


def seen(driver: Driver, step: int, run: str = "") -> m.Answer:
    """The density on screen, in full, of a step."""

    def found() -> m.Answer | None:
        answers = [a for a in driver.pictured() if a.step == step and a.final]
        fine = [a for a in answers if min(a.arrays["log_density"].shape) >= 256]
        return next((a for a in reversed(fine) if run in ("", a.slot.run)), None)

    driver.until(found)
    answer = found()
    assert answer is not None
    return answer


def test_cursor_stays_while_training_goes_on_and_shows_its_step(driver: Driver) -> None:
    driver.start()
    train(driver, 60)
    driver.window.travel.go(0)
    first = seen(driver, 0)
    driver.do("run.play")
    driver.until(lambda: driver.run.is_training)
    driver.window.travel.go(0)
    driver.until(lambda: driver.run.step > 400)
    assert driver.window.session.cursor == 0
    assert driver.window.transport.step_label.text() == "step 0"
    driver.pictures.clear()
    driver.window.travel.go(driver.run.state.stored[3])
    driver.window.travel.go(0)
    assert np.array_equal(seen(driver, 0).arrays["log_density"], first.arrays["log_density"])


def test_typed_step_equals_a_run_trained_to_it(driver: Driver) -> None:
    driver.start()
    train(driver, 300)
    step = next(s for s in range(250, 299) if s not in driver.run.state.stored)
    box = driver.window.transport.step_label
    driver.do("run.goto")
    box.setText(str(step))
    driver.qtbot.keyClick(box, Qt.Key.Key_Return)
    driver.until(lambda: driver.window.session.cursor == step)
    recalled = seen(driver, step)
    first = driver.run
    driver.do("run.new")
    driver.until(lambda: driver.run is not first and driver.run.state)
    train(driver, step)
    straight = seen(driver, step, driver.run.run)
    assert np.array_equal(recalled.arrays["log_density"], straight.arrays["log_density"])


def test_unchanged_fork_equals_its_parent_and_undo_takes_it_away(driver: Driver) -> None:
    driver.start()
    train(driver, 80)
    parent = driver.run
    whole = seen(driver, 80)
    driver.window.travel.go(43)
    driver.until(lambda: driver.window.session.cursor == 43)
    driver.do("run.fork")
    driver.qtbot.mouseClick(driver.window.forking.box.hold, Qt.MouseButton.LeftButton)
    driver.until(lambda: driver.run is not parent)
    child = driver.run
    driver.until(lambda: child.state and child.step == 43 and not child.is_training)
    train(driver, 80)
    again = seen(driver, 80, child.run)
    assert np.array_equal(again.arrays["log_density"], whole.arrays["log_density"])
    assert child.info.parent == parent.run
    assert driver.window.actions_table.action("edit.undo").text() == "Undo: fork at step 43"
    driver.do("edit.undo")
    assert driver.window.session.runs == (parent,)
    driver.do("edit.redo")
    assert driver.run is child
    assert child.step == 80


def test_undo_of_reset_and_close_brings_the_trained_run_back(driver: Driver) -> None:
    driver.start()
    train(driver, 50)
    trained = driver.run
    first = trained.state.stored
    driver.do("run.reset")
    driver.until(lambda: driver.run is not trained and driver.run.state)
    assert driver.run.step == 0
    assert len(driver.window.session.runs) == 1
    driver.do("edit.undo")
    assert driver.run is trained
    driver.do("run.close")
    assert driver.window.session.current is None
    driver.do("edit.undo")
    assert driver.run is trained
    driver.until(lambda: not trained.is_training)
    assert trained.step == 50
    assert trained.state.stored == first
    driver.pictures.clear()
    driver.window.travel.go(0)
    seen(driver, 0)
    train(driver, 51)


def test_escape_and_arrows_move_the_cursor(driver: Driver) -> None:
    driver.start()
    train(driver, 30)
    driver.do("run.back")
    driver.do("run.back")
    cursor = driver.window.session.cursor
    assert cursor is not None
    driver.do("run.step")
    assert driver.run.step == 30, "while history is looked at the arrow trains nothing"
    driver.do("run.back")
    assert driver.window.session.cursor == cursor
    driver.qtbot.keyClick(driver.window, Qt.Key.Key_Escape)
    assert driver.window.session.cursor is None


def test_history_plays_while_training_goes_on(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.playback.SECONDS", 2.0)
    driver.start(playing=True)
    driver.until(lambda: driver.run.step > 60)
    cursors: list[Any] = []
    driver.window.session.cursor_changed.connect(cursors.append)
    driver.do("run.history")
    driver.until(lambda: len(set(cursors)) > 8)
    before = driver.run.step
    driver.until(lambda: driver.run.step > before)
    assert cursors == sorted(cursors)
    driver.do("run.history")
    assert not driver.window.travel.is_playing
    assert driver.window.session.cursor == cursors[-1]


def test_theme_size_and_panels_are_undone(driver: Driver) -> None:
    window = driver.window
    theme, scale = window.look.palette.name, window.look.scale
    for action in ("view.theme", "view.lecture", "view.inspector"):
        driver.do(action)
    assert window.undo_stack.undoText() == "close Inspector"
    for _ in range(3):
        driver.do("edit.undo")
    assert (window.look.palette.name, window.look.scale) == (theme, scale)
    assert not window.inspector_dock.isHidden()
