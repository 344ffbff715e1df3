"""The table of actions."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtWidgets import QMainWindow

from app.actions import Actions, Entry


@pytest.fixture
def window(qtbot: Any) -> QMainWindow:
    made = QMainWindow()
    qtbot.addWidget(made)
    return made


def test_an_action_stands_in_its_menu_with_its_key(window: QMainWindow) -> None:
    done: list[str] = []
    table = Actions(window)
    table.add([Entry("file.open", "Open", lambda: done.append("open"), "Ctrl+O", "Open it.")])
    menus = table.fill(window.menuBar(), {"file": "&File"})
    assert [action.text() for action in menus["file"].actions()] == ["Open"]
    table.trigger("file.open")
    assert done == ["open"]
    assert table.shortcut("file.open") == "Ctrl+O"


def test_what_cannot_be_done_is_grey_and_says_why(window: QMainWindow) -> None:
    table = Actions(window)
    table.add([Entry("run.play", "Play", lambda: None, why_not=lambda: "no run is open")])
    table.refresh()
    assert not table.action("run.play").isEnabled()
    assert table.action("run.play").toolTip() == "no run is open"


def test_a_switch_gets_its_state(window: QMainWindow) -> None:
    states: list[bool] = []
    table = Actions(window)
    table.add([Entry("view.grid", "Grid", states.append, checkable=True)])
    table.trigger("view.grid")
    assert states == [True]


def test_no_key_and_no_id_is_given_twice(window: QMainWindow) -> None:
    table = Actions(window)
    table.add([Entry("a.b", "B", lambda: None, "Ctrl+B")])
    with pytest.raises(ValueError, match="exists already"):
        table.add([Entry("a.b", "C", lambda: None)])
    with pytest.raises(ValueError, match=r"Ctrl\+B belongs to a\.b"):
        table.add([Entry("a.c", "C", lambda: None, "Ctrl+B")])
