"""Every user action in one table: id, text, shortcut, tip, menu and what it does.

Menus, the command palette and the keyboard are all made from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QWidget


@dataclass(frozen=True)
class Entry:
    """One action.

    Attributes:
        id: Stable word, such as ``"run.play"``; the part before the dot is the menu.
        text: As in the menu and the palette.
        call: What it does; gets the new state when ``checkable``.
        shortcut: Key sequence or "".
        tip: One sentence.
        checkable: Whether it is a switch.
        why_not: Says why it cannot be done now, or "" when it can.
    """

    id: str
    text: str
    call: Callable[..., object]
    shortcut: str = ""
    tip: str = ""
    checkable: bool = False
    why_not: Callable[[], str] = lambda: ""

    @property
    def menu(self) -> str:
        """The menu it stands in."""
        return self.id.split(".", 1)[0]


class Actions(QObject):
    """The table, as Qt actions of one window."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._entries: dict[str, Entry] = {}
        self._actions: dict[str, QAction] = {}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All actions in the order in which they were added."""
        return tuple(self._entries.values())

    def add(self, entries: Iterable[Entry]) -> None:
        """Add actions; raises ``ValueError`` for an id or a shortcut that is taken."""
        for entry in entries:
            self._check(entry)
            action = QAction(entry.text, self._window)
            action.setCheckable(entry.checkable)
            action.setToolTip(entry.tip or entry.text)
            action.setStatusTip(entry.tip or entry.text)
            if entry.shortcut:
                action.setShortcut(QKeySequence(entry.shortcut))
            if entry.checkable:
                action.triggered.connect(lambda on, call=entry.call: call(on))
            else:
                action.triggered.connect(lambda _=False, call=entry.call: call())
            self._window.addAction(action)
            self._entries[entry.id] = entry
            self._actions[entry.id] = action

    def action(self, name: str) -> QAction:
        """The Qt action of an id."""
        return self._actions[name]

    def shortcut(self, name: str) -> str:
        """The shortcut of an action in the system's own wording."""
        sequence = self._actions[name].shortcut()
        return sequence.toString(QKeySequence.SequenceFormat.NativeText)

    def trigger(self, name: str) -> None:
        """Do it."""
        self._actions[name].trigger()

    def refresh(self) -> None:
        """Grey out what cannot be done now; the tooltip says why."""
        for name, entry in self._entries.items():
            reason = entry.why_not()
            action = self._actions[name]
            action.setEnabled(not reason)
            action.setToolTip(reason or entry.tip or entry.text)

    def fill(self, bar: QMenuBar, titles: dict[str, str]) -> dict[str, QMenu]:
        """Make the menus in the order of ``titles`` ({id prefix: title})."""
        menus: dict[str, QMenu] = {}
        for prefix, title in titles.items():
            menu = bar.addMenu(title)
            menu.setToolTipsVisible(True)
            menus[prefix] = menu
        for name, entry in self._entries.items():
            if entry.menu in menus:
                menus[entry.menu].addAction(self._actions[name])
        return menus

    def _check(self, entry: Entry) -> None:
        if entry.id in self._entries:
            raise ValueError(f"the action '{entry.id}' exists already")
        taken = [e.id for e in self._entries.values() if e.shortcut == entry.shortcut != ""]
        if taken:
            raise ValueError(f"{entry.id}: the shortcut {entry.shortcut} belongs to {taken[0]}")
