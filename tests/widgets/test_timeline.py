"""The timeline, the box for a step and the fork's box, used as a person would."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QImage, QWheelEvent
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from engine.wire.fields import Field, FieldSpec
from engine.wire.messages import RunState
from tests.widgets.fakes import shown
from widgets.controls.fork_box import ForkBox
from widgets.controls.timeline import NOTCH
from widgets.controls.transport import TransportBar
from widgets.look import Look

STORED = (0, 100, 300, 1000)
FIELDS = (
    FieldSpec("learning_rate", "float", 1e-3, Field(1e-5, 1.0, scale="log", live=True)),
    FieldSpec("n_layers", "int", 4, Field(1, 8)),
)


@pytest.fixture
def bar(qtbot: QtBot, look: Look) -> Any:
    bar = TransportBar(look)
    bar.set_state(RunState("r", "paused", 1000, stored=STORED, keyframes=(0, 300)))
    return shown(bar, qtbot, 1100, 40)


def turn(bar: Any, notches: float) -> None:
    line = bar.timeline
    place = QPointF(line.rect().center())
    event = QWheelEvent(
        place, line.mapToGlobal(place), QPoint(), QPoint(0, round(notches * NOTCH)),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    line.wheelEvent(event)


def picture(widget: QWidget) -> QImage:
    return widget.grab().toImage()


def test_wheel_goes_from_stored_step_to_stored_step(bar: Any) -> None:
    heard: list[Any] = []
    bar.cursor_changed.connect(heard.append)
    turn(bar, 1)  # at the newest there is nothing later
    turn(bar, -1)
    turn(bar, -1)
    turn(bar, -0.5)
    turn(bar, -0.5)
    turn(bar, 5)
    assert heard == [1000, 300, 100, None]


@pytest.mark.parametrize(("key", "expected"), [
    (Qt.Key.Key_Home, 0), (Qt.Key.Key_PageDown, 100), (Qt.Key.Key_PageUp, 1000),
    (Qt.Key.Key_End, None),
])  # fmt: skip
def test_keys_on_the_timeline(bar: Any, qtbot: QtBot, key: Qt.Key, expected: int | None) -> None:
    bar.set_cursor(300)
    with qtbot.waitSignal(bar.cursor_changed) as caught:
        qtbot.keyClick(bar.timeline, key)
    assert caught.args == [expected]


def test_dragging_passes_over_stored_steps(bar: Any, qtbot: QtBot) -> None:
    heard: list[Any] = []
    bar.cursor_changed.connect(heard.append)
    line, y = bar.timeline, bar.timeline.height() // 2
    qtbot.mousePress(line, Qt.MouseButton.LeftButton, pos=QPoint(round(line.place_of(0)), y))
    for step in (120, 280, 700, 990):
        qtbot.mouseMove(line, QPoint(round(line.place_of(step)), y))
    qtbot.mouseRelease(line, Qt.MouseButton.LeftButton)
    assert heard[0] == 0
    assert set(heard) <= {*STORED, None}


def test_pointer_is_told_what_it_is_on(bar: Any) -> None:
    line = bar.timeline
    line.set_forks(((300, "Toy was forked here"),))
    assert line.words_at(100) == "step 100"
    words = line.words_at(300).splitlines()
    assert words == ["step 300", "keyframe: a fork starts here at once", "Toy was forked here"]
    assert line.words_at(None) == "newest step, 1 000 (live)"


def test_powers_of_ten_give_the_first_steps_room(bar: Any) -> None:
    line = bar.timeline
    even = line.place_of(100)
    line.set_log(True)
    assert line.place_of(100) > even + 100
    assert line.place_of(1000) == pytest.approx(line.width() - line.place_of(0))
    for step in STORED[:-1]:
        assert line.exact_at(line.place_of(step)) == step
        assert line.step_at(line.place_of(step)) == step


@pytest.mark.parametrize("change", [
    lambda line: line.set_forks(((600, "here"),)),
    lambda line: line.set_state(RunState("r", "paused", 1000, stored=STORED, keyframes=(0, 300),
                                         repeating=(300, 500, 900))),
    lambda line: line.set_state(RunState("r", "paused", 1000, stored=STORED, keyframes=(600,))),
    lambda line: line.set_cursor(300),
    lambda line: line.set_log(True),
])  # fmt: skip
def test_each_thing_is_seen(bar: Any, change: Any) -> None:
    before = picture(bar.timeline)
    change(bar.timeline)
    assert picture(bar.timeline) != before


def test_menu_is_asked_for_with_the_step(bar: Any, qtbot: QtBot) -> None:
    line = bar.timeline
    place = QPoint(round(line.place_of(290)), 5)
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, line.mapToGlobal(place))
    with qtbot.waitSignal(bar.menu_requested) as caught:
        line.contextMenuEvent(event)
    assert caught.args == [line.mapToGlobal(place), 300]


# --- the step in figures ----------------------------------------------------------------------


def test_typed_step_is_gone_to_exactly(bar: Any, qtbot: QtBot) -> None:
    box = bar.step_label
    bar.activateWindow()
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(box.hasFocus)
    box.setText("1 240 ")
    bar.set_state(RunState("r", "training", 5000, stored=STORED))  # typing is left alone
    assert box.text() == "1 240 "
    with qtbot.waitSignal(bar.step_entered) as caught:
        qtbot.keyClick(box, Qt.Key.Key_Return)
    assert caught.args == [1240]
    assert box.text().startswith("step ")


@pytest.mark.parametrize("typed", ["", "abc", "-3", "1001", "1e3"])
def test_what_is_no_step_goes_nowhere(bar: Any, qtbot: QtBot, typed: str) -> None:
    box = bar.step_label
    box.setFocus()
    box.setText(typed)
    with qtbot.assertNotEmitted(bar.step_entered):
        qtbot.keyClick(box, Qt.Key.Key_Return)
    qtbot.keyClick(box, Qt.Key.Key_Escape)
    assert box.text() == "step 1 000"


# --- buttons and boxes ------------------------------------------------------------------------


def test_history_and_fork_buttons(bar: Any, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bar.history_toggled) as caught:
        qtbot.mouseClick(bar.buttons["history"], Qt.MouseButton.LeftButton)
    assert caught.args == [True]
    bar.set_playing_history(False)
    assert not bar.buttons["history"].isChecked()
    with qtbot.waitSignal(bar.fork_requested):
        qtbot.mouseClick(bar.buttons["fork"], Qt.MouseButton.LeftButton)


@pytest.fixture
def box(qtbot: QtBot, look: Look) -> Any:
    window = QWidget()
    box = ForkBox(look, window)
    shown(window, qtbot, 900, 600)
    box.open(1240, "Toy · Moons", FIELDS, {"learning_rate": 0.01, "n_layers": 3})
    box.window_kept = window
    return box


def test_only_live_settings_are_offered_and_only_changes_are_sent(box: Any, qtbot: QtBot) -> None:
    assert box.form.values() == {"learning_rate": 0.01}
    assert box.heading.text() == "Fork Toy · Moons at step 1 240"
    with qtbot.waitSignal(box.forked) as caught:
        qtbot.mouseClick(box.start, Qt.MouseButton.LeftButton)
    assert caught.args == [{}, True]
    assert not box.isVisible()


def test_changed_setting_is_sent_with_the_fork(box: Any, qtbot: QtBot) -> None:
    box.form.editor("learning_rate").set_value(0.5)
    with qtbot.waitSignal(box.forked) as caught:
        qtbot.mouseClick(box.hold, Qt.MouseButton.LeftButton)
    assert caught.args == [{"learning_rate": 0.5}, False]


def test_escape_starts_nothing(box: Any, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(box.forked):
        qtbot.keyClick(box, Qt.Key.Key_Escape)
    assert not box.isVisible()


def test_words_of_the_buttons_fit(box: Any) -> None:
    for button in (box.start, box.hold, box.cancel):
        room = button.fontMetrics().horizontalAdvance(button.text())
        assert button.width() >= room + 8, button.text()
