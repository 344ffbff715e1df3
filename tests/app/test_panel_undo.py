"""What a hand does in a panel or to a dock is one entry of the undo stack for each gesture."""

from __future__ import annotations

from typing import Any

import pyqtgraph
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QUndoStack, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QSpinBox, QWidget

from app.layout_undo import LayoutUndo
from app.panel_undo import PanelUndo
from app.session import Session
from app.time_travel import TimeTravel
from app.workspace import Workspace
from engine.wire import messages as m
from tests.app.conftest import FakeLink
from tests.widgets.fakes import run_info
from tests.widgets.pixel_runs import info_of, serve, spot
from widgets.controls.transport import TransportBar
from widgets.look import Look
from widgets.plots.layers import Box
from widgets.race.lineup import Rule


class Hand:
    """Presses, turns and types as a user does: on the window, not on a widget."""

    def __init__(self, top: QWidget) -> None:
        self._top = top

    def _at(self, widget: QWidget, place: QPoint | None) -> tuple[Any, QPoint]:
        place = place if place is not None else widget.rect().center()
        return self._top.windowHandle(), widget.mapTo(self._top, place)

    def click(self, widget: QWidget, place: QPoint | None = None) -> None:
        window, at = self._at(widget, place)
        QTest.mouseClick(window, Qt.MouseButton.LeftButton, pos=at)

    def double_click(self, widget: QWidget, place: QPoint | None = None) -> None:
        window, at = self._at(widget, place)
        QTest.mouseDClick(window, Qt.MouseButton.LeftButton, pos=at)

    def drag(self, widget: QWidget, start: QPoint, *stops: QPoint) -> None:
        window, at = self._at(widget, start)
        left = Qt.MouseButton.LeftButton
        QTest.mousePress(window, left, pos=at)
        for stop in stops:
            QTest.mouseMove(window, self._at(widget, stop)[1])
        QTest.mouseRelease(window, left, pos=self._at(widget, stops[-1])[1])

    def turn(self, widget: QWidget, notches: int) -> None:
        window, at = self._at(widget, None)
        none = Qt.KeyboardModifier.NoModifier
        event = QWheelEvent(
            QPointF(at), QPointF(self._top.mapToGlobal(at)), QPoint(), QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton, none, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(window, event)

    def key(self, key: Qt.Key, **more: Any) -> None:
        QTest.keyClick(self._top.windowHandle(), key, **more)


@pytest.fixture
def workspace(qtbot: Any) -> Workspace:
    made = Workspace(Look())
    made.setWindowFlags(Qt.WindowType.Window)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.arrange()
    made.show()
    with qtbot.waitActive(made):
        made.activateWindow()
    return made


@pytest.fixture
def stack(workspace: Workspace) -> QUndoStack:
    return QUndoStack(workspace)


@pytest.fixture
def travel(session: Session, link: FakeLink, qtbot: Any) -> TimeTravel:
    """Two runs with a past, the second in view."""
    bar = TransportBar(Look())
    qtbot.addWidget(bar)
    for _ in range(2):
        view = session.start(m.RunSpec("toy", "points"), playing=False)
        link.admit()
        link.tell(view.run, "paused", 300, stored=(0, 100, 200, 300))
    return TimeTravel(session, bar)


@pytest.fixture
def watch(workspace: Workspace, stack: QUndoStack, travel: TimeTravel) -> PanelUndo:
    layout = workspace.saveState, workspace.restoreState
    made = PanelUndo(stack, workspace, LayoutUndo(stack, workspace), layout, travel)
    made.gestures.watch(workspace)
    return made


@pytest.fixture
def hand(workspace: Workspace) -> Hand:
    return Hand(workspace)


def density(workspace: Workspace) -> Any:
    panel = workspace.panels["density"]
    panel.open_run(run_info("realnvp"))
    for _ in range(3):
        QApplication.processEvents()
    panel.faces["map"].map.frame.set_box(Box((-4.0, -4.0), (4.0, 4.0)))  # type: ignore[attr-defined]
    return panel


def test_turns_of_the_wheel_are_one_zoom(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    frame = density(workspace).faces["map"].map.frame
    before = frame.box
    for _ in range(3):
        hand.turn(frame.canvas.viewport(), 1)
    assert frame.box != before
    assert stack.count() == 0  # the gesture is not over yet
    watch.undo()
    assert stack.count() == 1
    assert stack.redoText() == "Density: zoom"
    assert frame.box.low == pytest.approx(before.low)
    assert not frame.user_moved
    stack.redo()
    assert frame.user_moved
    assert frame.box.low > before.low


def test_dragged_view_is_named_a_move_and_comes_back(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand, monkeypatch: Any
) -> None:
    monkeypatch.setitem(pyqtgraph.CONFIG_OPTIONS, "mouseRateLimit", -1)
    frame = density(workspace).faces["map"].map.frame
    before = frame.box
    hand.drag(frame.canvas.viewport(), QPoint(200, 150), *(QPoint(200 + i, 160) for i in (9, 40)))
    watch.gestures.settle()
    assert stack.undoText() == "Density: move the view"
    stack.undo()
    assert frame.box.low == pytest.approx(before.low)


def test_point_is_chosen_and_taken_back_for_all_panels(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    panel = density(workspace)
    mark = panel.faces["map"].mark
    hand.click(panel.faces["map"].map.frame.canvas.viewport())
    watch.gestures.settle()
    chosen = workspace.point
    assert chosen is not None
    assert stack.undoText() == "choose a point"
    hand.key(Qt.Key.Key_Right)
    hand.key(Qt.Key.Key_Right)
    watch.gestures.settle()
    assert stack.count() == 2  # both nudges are one
    stack.undo()
    assert mark.place == pytest.approx(chosen.at)
    stack.undo()
    assert workspace.point is None
    assert mark.place is None
    stack.redo()
    assert workspace.point == chosen


def test_double_click_that_changes_nothing_is_no_entry(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    panel = density(workspace)
    hand.double_click(panel.faces["map"].map.frame.canvas.viewport())
    watch.gestures.settle()
    assert workspace.point is None
    assert stack.count() == 0


def test_what_the_program_does_is_no_entry(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    panel = density(workspace)
    panel.restore_state({"samples": True, "log": True})
    panel.faces["map"].map.frame.set_box(Box((-1.0, -1.0), (1.0, 1.0)))
    hand.click(panel.chips)
    panel.faces["map"].map.frame.set_box(Box((-2.0, -2.0), (2.0, 2.0)))  # data, not the hand
    watch.gestures.settle()
    assert stack.count() == 0


def test_a_switch_in_a_row_is_one_entry_not_two(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    panel = density(workspace)
    action = panel.tools._toggles["samples"][1]
    hand.click(panel.tools.widgetForAction(action))
    watch.gestures.settle()
    assert stack.count() == 1
    assert stack.undoText() == "Density: samples on"


def test_hand_of_the_painter_is_taken_back(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    workspace.show_panel("paint")
    workspace.dock("density").hide()
    workspace.dock("training").hide()
    stack.clear()
    panel: Any = workspace.panels["paint"]
    QApplication.processEvents()
    radius = panel.canvas.hand.radius
    for _ in range(2):
        hand.turn(panel.canvas._viewport, 1)
    watch.gestures.settle()
    assert panel.canvas.hand.radius > radius
    assert stack.count() == 1
    assert stack.undoText().startswith("Paint: radius")
    stack.undo()
    assert panel.canvas.hand.radius == radius
    panel.canvas.zoom(1)
    assert stack.count() == 1


def test_undo_works_while_a_number_has_the_keyboard(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand, qtbot: Any
) -> None:
    panel: Any = workspace.panels["density"]
    box = QSpinBox(panel)
    panel.body.addWidget(box)
    heard: list[str] = []
    action = workspace.addAction("undo", "Ctrl+Z", lambda: heard.append("undo"))
    ended: list[bool] = []
    watch.gestures.ended.connect(lambda: ended.append(True))
    box.show()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus)
    hand.key(Qt.Key.Key_Up)
    hand.key(Qt.Key.Key_Z, modifier=Qt.KeyboardModifier.ControlModifier)
    assert box.value() == 1
    assert heard == ["undo"]
    assert ended  # before the key was looked up, so that there is something to undo
    del action


def test_floated_dock_is_docked_again(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand, qtbot: Any
) -> None:
    dock = workspace.dock("training")
    title = QPoint(60, 8)
    hand.double_click(dock, title)
    watch.gestures.settle()
    assert dock.isFloating()
    assert stack.undoText() == "float Training"
    assert stack.count() == 1
    stack.undo()
    assert not dock.isFloating()
    assert not dock.isHidden()


def test_dock_closed_by_its_button_comes_back_to_its_place(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand, qtbot: Any
) -> None:
    dock = workspace.dock("training")
    place = dock.geometry()
    button = dock.findChild(QAbstractButton, "qt_dockwidget_closebutton")
    hand.click(button)
    assert dock.isHidden()
    watch.undo()
    assert stack.count() == 1
    assert stack.redoText() == "close Training"
    assert not dock.isHidden()
    qtbot.waitUntil(lambda: dock.geometry() == place)
    watch.redo()
    assert dock.isHidden()
    assert stack.count() == 1


def test_panels_dragged_wider_are_one_entry(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, hand: Hand, qtbot: Any
) -> None:
    upper = workspace.dock("density")
    high = upper.height()
    edge = QPoint(200, upper.geometry().bottom() + 2)
    hand.drag(workspace, edge, *(edge + QPoint(0, -i) for i in (20, 60, 90)))
    watch.gestures.settle()
    assert upper.height() < high
    assert stack.undoText() == "resize the panels"
    stack.undo()
    qtbot.waitUntil(lambda: upper.height() == high)
    assert stack.count() == 1


@pytest.fixture
def pixels(workspace: Workspace, watch: PanelUndo, stack: QUndoStack) -> Any:
    """The pixels panel alone, with digits and their samples."""
    workspace.show_panel("pixels")
    for name in ("density", "training"):
        workspace.dock(name).hide()
    panel: Any = workspace.panels["pixels"]
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    QApplication.processEvents()
    stack.clear()
    return panel


def test_strokes_of_a_mask_are_taken_back_one_by_one(
    pixels: Any, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    pixels.set_mode("inpaint")
    serve(pixels, pixels.run)
    QApplication.processEvents()
    painter = pixels.modes["inpaint"].painter
    first = painter.known.copy()
    hand.drag(painter, spot(painter, 0, 1), spot(painter, 1, 2), spot(painter, 2, 2))
    watch.gestures.settle()
    second = painter.known.copy()
    assert second.sum() < first.sum()
    hand.click(painter, spot(painter, 0, 6))
    watch.undo()
    assert stack.redoText() == "Pixels: occlude"
    assert (painter.known == second).all()
    watch.undo()
    assert (painter.known == first).all()
    watch.redo()
    assert (painter.known == second).all()
    assert stack.count() == 2


def test_modes_and_values_of_pixels_are_taken_back(
    pixels: Any, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    hand.click(pixels.switch.buttons["what_if"])
    watch.gestures.settle()
    assert stack.undoText() == "Pixels: What if"
    serve(pixels, pixels.run)
    QApplication.processEvents()
    mode = pixels.modes["what_if"]
    before = mode.index, mode.value
    hand.click(mode.canvas, spot(mode.canvas, 2, 2))
    watch.gestures.settle()
    assert mode.index != before[0]
    assert stack.undoText() == "Pixels: change another value"
    stack.undo()
    assert (mode.index, mode.value) == before
    stack.undo()
    assert pixels.switch.current == "grow"
    assert pixels.mode is pixels.modes["grow"]
    stack.redo()
    assert pixels.mode is mode


def test_a_slider_that_is_held_is_one_entry(
    pixels: Any, watch: PanelUndo, stack: QUndoStack, hand: Hand
) -> None:
    pixels.set_mode("what_if")
    serve(pixels, pixels.run)
    QApplication.processEvents()
    mode = pixels.modes["what_if"]
    before = mode.value
    mode.slider.setFocus()
    key = Qt.Key.Key_Left if before > 8 else Qt.Key.Key_Right
    for _ in range(4):
        hand.key(key)
    watch.gestures.settle()
    assert abs(mode.value - before) == 4
    assert stack.count() == 1
    stack.undo()
    assert mode.value == before


def test_race_is_set_up_and_set_back(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack
) -> None:
    workspace.show_panel("race")
    panel: Any = workspace.panels["race"]
    before = panel.picker.kept()
    changed = (before[0], Rule("seconds", seconds=7.0), 5, True)
    panel.picker.keep(changed)
    assert panel.picker.kept()[2:] == (5, True)
    assert panel.picker.wish.rule.kind == "seconds"
    assert panel.picker.what_changed(before, changed) == "the rule"
    panel.picker.keep(before)
    assert panel.picker.kept() == before


def test_moves_of_the_cursor_and_the_run_in_view_are_taken_back(
    workspace: Workspace,
    watch: PanelUndo,
    stack: QUndoStack,
    travel: TimeTravel,
    session: Session,
) -> None:
    first, second = (view.run for view in session.runs)
    at = workspace.dock("density")  # any widget: what counts is what a key does
    for step in (100, 200):
        watch.gestures.begin("keys", at)
        travel.go(step)
    watch.gestures.settle()
    assert stack.count() == 1
    assert stack.undoText() == "look at step 200"
    watch.gestures.begin("press", at.widget())
    session.select(first)
    watch.gestures.settle()
    assert stack.undoText() == "show Toy · Data"
    stack.undo()
    assert (session.current and session.current.run, session.cursor) == (second, 200)
    stack.undo()
    assert session.cursor is None
    stack.redo()
    assert session.cursor == 200


def test_a_cursor_that_plays_by_itself_is_no_entry(
    workspace: Workspace, watch: PanelUndo, stack: QUndoStack, travel: TimeTravel
) -> None:
    watch.gestures.begin("keys", workspace.dock("density").widget())
    travel.play()
    watch.gestures.settle()
    travel.stop()
    assert stack.count() == 0
