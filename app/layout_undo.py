"""Undo and redo of what the user does to the window: switches, panels, theme and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoCommand, QUndoStack
from PySide6.QtWidgets import QDockWidget

from app.workspace import Workspace
from widgets.controls.tool_row import ToolRow
from widgets.panel import Panel

#: Changes of one thing closer together than this are one undo.
MERGE_SECONDS = 1.0
#: Commands of one id may merge.
SET_ID = 10


class Switch(QUndoCommand):
    """Something was set from one value to another; it is set already when the command is made.

    Args:
        text: What the user did.
        put: Sets a value.
        before: The value before.
        after: The value now.
        merges: Name under which quick changes join to one undo, or "".
    """

    def __init__(
        self,
        text: str,
        put: Callable[[Any], object],
        before: object,
        after: object,
        merges: str = "",
    ) -> None:
        super().__init__(text)
        self._put = put
        self._before, self._after = before, after
        self._merges = merges
        self._is_done = True
        self._when = time.monotonic()

    def id(self) -> int:
        """Commands of one id may merge."""
        return SET_ID if self._merges else -1

    def mergeWith(self, other: QUndoCommand) -> bool:  # noqa: N802  # Qt's name
        """Join with a later change of the same thing."""
        if not isinstance(other, Switch) or other._merges != self._merges:
            return False
        if other._when - self._when > MERGE_SECONDS:
            return False
        self._after, self._when = other._after, other._when
        self.setText(other.text())
        self.setObsolete(self._before == self._after)
        return True

    def redo(self) -> None:
        """Set it again; the first time it is set already."""
        if not self._is_done:
            self._put(self._after)
        self._is_done = True

    def undo(self) -> None:
        """Set it back."""
        self._is_done = False
        self._put(self._before)


class LayoutUndo(QObject):
    """Watches panels and docks and writes what the user changes into the undo stack."""

    def __init__(self, undo_stack: QUndoStack, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._undo, self._workspace = undo_stack, workspace
        self._quiet = 0
        self._shown: dict[QDockWidget, bool] = {}
        for panel in workspace.panels.values():
            self._on_opened(panel)
        workspace.opened.connect(self._on_opened)
        workspace.arranged.connect(self.sync)

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """What changes meanwhile is not the user's doing, or is written down by the caller."""
        self.hold()
        try:
            yield
        finally:
            self.let_go()

    def hold(self) -> None:
        """Write nothing down until :meth:`let_go`."""
        self._quiet += 1

    def let_go(self) -> None:
        """Go on writing down."""
        self._quiet -= 1

    @property
    def docks(self) -> tuple[QDockWidget, ...]:
        """All docks that are watched."""
        return tuple(self._shown)

    def watch(self, dock: QDockWidget) -> None:
        """Write down when the user opens or closes a dock."""
        self._shown[dock] = not dock.isHidden()
        dock.visibilityChanged.connect(lambda _: self._on_visibility(dock))

    def sync(self) -> None:
        """Take what is open now for what the user chose."""
        self._shown = {dock: not dock.isHidden() for dock in self._shown}

    def push(self, command: QUndoCommand) -> None:
        """Write something down that was done just now."""
        if not self._quiet:
            self._undo.push(command)

    # --- panels -------------------------------------------------------------------------------

    def _on_opened(self, panel: Panel) -> None:
        for row in panel.findChildren(ToolRow):
            row.switched.connect(partial(self._on_switched, panel, row))
        self.watch(self._workspace.dock(panel.name))

    def _on_switched(
        self, panel: Panel, row: ToolRow, name: str, before: object, after: object
    ) -> None:
        words = f"{panel.title}: {row.words_for(name, after)}"
        self.push(Switch(words, partial(row.switch, name), before, after))

    def _on_visibility(self, dock: QDockWidget) -> None:
        shown = not dock.isHidden()
        if shown == self._shown.get(dock):
            return
        self._shown[dock] = shown
        if not self._quiet and not self._workspace.is_arranging:
            words = f"{'open' if shown else 'close'} {dock.windowTitle()}"
            self.push(Switch(words, partial(self._show, dock), not shown, shown))

    def _show(self, dock: QDockWidget, shown: bool) -> None:
        with self.quietly():
            dock.setVisible(shown)
            if shown:
                dock.raise_()
