"""What the user does to the window can be taken back: switches, docks, theme and size."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QToolButton

from app.layout_undo import LayoutUndo, Switch
from app.workspace import Workspace
from widgets.look import Look


@pytest.fixture
def workspace(qtbot: Any) -> Workspace:
    made = Workspace(Look())
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.arrange()
    made.show()
    return made


@pytest.fixture
def stack(workspace: Workspace) -> QUndoStack:
    return QUndoStack(workspace)


@pytest.fixture
def watch(workspace: Workspace, stack: QUndoStack) -> LayoutUndo:
    return LayoutUndo(stack, workspace)


def test_switch_of_a_panel_is_taken_back_and_made_again(
    workspace: Workspace, watch: LayoutUndo, stack: QUndoStack
) -> None:
    tools: Any = workspace.panels["training"].tools  # type: ignore[attr-defined]
    heard: list[tuple[str, bool]] = []
    tools.toggled.connect(lambda name, on: heard.append((name, on)))
    buttons = {b.text(): b for b in tools.findChildren(QToolButton)}
    buttons["log steps"].click()
    assert stack.undoText() == "Training: log steps on"
    stack.undo()
    assert not tools.is_checked("log")
    stack.redo()
    assert tools.is_checked("log")
    assert heard == [("log", True), ("log", False), ("log", True)]
    assert stack.count() == 1


def test_choice_of_a_panel_is_taken_back(
    workspace: Workspace, watch: LayoutUndo, stack: QUndoStack
) -> None:
    tools: Any = workspace.panels["training"].tools  # type: ignore[attr-defined]
    tools.set_choices("group", (("energies", "energies"), ("losses", "losses")))
    box = tools._choices["group"][0]
    box.setCurrentIndex(1)
    box.activated.emit(1)
    assert stack.undoText() == "Training: choose losses"
    stack.undo()
    assert box.currentData() == "energies"
    box.activated.emit(0)  # the same again is nothing to take back
    assert stack.count() == 1
    assert not stack.canUndo()


def test_closed_panel_comes_back(
    workspace: Workspace, watch: LayoutUndo, stack: QUndoStack, qtbot: Any
) -> None:
    assert stack.count() == 0
    dock = workspace.dock("training")
    dock.close()
    assert stack.undoText() == "close Training"
    stack.undo()
    assert not dock.isHidden()
    stack.redo()
    assert dock.isHidden()
    assert stack.count() == 1


def test_opened_panel_goes_again(
    workspace: Workspace, watch: LayoutUndo, stack: QUndoStack, qtbot: Any
) -> None:
    workspace.show_panel("why")
    qtbot.waitUntil(lambda: stack.count() == 1)
    assert stack.undoText().startswith("open ")
    stack.undo()
    assert workspace.dock("why").isHidden()


def test_what_a_layout_does_is_not_written_down(
    workspace: Workspace, watch: LayoutUndo, stack: QUndoStack
) -> None:
    workspace.dock("training").close()
    workspace.arrange()
    assert not workspace.dock("training").isHidden()
    assert stack.count() == 1
    with watch.quietly():
        workspace.dock("training").close()
        watch.push(Switch("no", lambda _: None, 1, 2))
    assert stack.count() == 1


def test_quick_changes_of_one_thing_are_one_undo() -> None:
    stack, now = QUndoStack(), [1.0]

    def put(value: float) -> None:
        now[0] = value

    for before, after in ((1.0, 1.1), (1.1, 1.2), (1.2, 1.3)):
        put(after)
        stack.push(Switch(f"size {after:.0%}", put, before, after, merges="scale"))
    assert stack.count() == 1
    assert stack.undoText() == "size 130%"
    stack.undo()
    assert now == [1.0]
    stack.redo()
    assert now == [1.3]


def test_changes_of_different_things_are_kept_apart() -> None:
    stack = QUndoStack()
    stack.push(Switch("one", lambda _: None, 1, 2, merges="one"))
    stack.push(Switch("other", lambda _: None, 1, 2, merges="other"))
    stack.push(Switch("plain", lambda _: None, 1, 2))
    assert stack.count() == 3
