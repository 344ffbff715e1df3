"""The middle of the window: panels as docks that tile, tab, float, close and come back."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PySide6.QtCore import QByteArray, Qt, Signal
from PySide6.QtWidgets import QDockWidget, QMainWindow, QWidget

from app.panel_manager import panel_kinds
from widgets.look import Look
from widgets.panel import Panel, Point

#: Where a panel stands at first, in the order of arrangement; others open as tabs.
FIRST_LAYOUT = ("density", "training")
#: Shares of the height that the first layout gives.
FIRST_SHARES = (68, 32)
#: Below this width, at scale 1, a further panel becomes a tab.
TWO_COLUMNS_FROM = 860


class Workspace(QMainWindow):
    """Holds one dock per panel that the user has opened.

    Signals:
        opened: A panel was made (a ``Panel``).
        shown: A panel became visible or hidden (its name, whether it is visible).
        arranged: Docks were placed by a layout, not one by one.
    """

    opened = Signal(object)
    shown = Signal(str, bool)
    arranged = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._docks: dict[str, QDockWidget] = {}
        self._panels: dict[str, Panel] = {}
        self._placed: set[str] = set(FIRST_LAYOUT)
        self._point: Point | None = None
        self.is_arranging = False
        self.setWindowFlags(Qt.WindowType.Widget)
        self.setDockNestingEnabled(True)
        self.setDockOptions(
            QMainWindow.DockOption.AnimatedDocks
            | QMainWindow.DockOption.AllowNestedDocks
            | QMainWindow.DockOption.AllowTabbedDocks
        )
        self.setObjectName("workspace")

    @property
    def panels(self) -> Mapping[str, Panel]:
        """Panels that exist, by name."""
        return self._panels

    def dock(self, name: str) -> QDockWidget:
        """The dock of a panel, made when first asked for."""
        if name not in self._docks:
            self._make(name)
        return self._docks[name]

    def show_panel(self, name: str, visible: bool = True) -> None:
        """Bring a panel to the front, or close it."""
        dock = self.dock(name)
        if visible and name not in self._placed:
            self._place(name, dock)
        dock.setVisible(visible)
        if visible:
            dock.raise_()

    def _place(self, name: str, dock: QDockWidget) -> None:
        """Where a panel that has no place yet goes: a second column, or a tab.

        The first of them takes half the width where there is enough, all others share its place,
        so that no panel is ever squeezed to a sliver.
        """
        self._placed.add(name)
        further = [
            self._docks[other]
            for other in self._placed
            if other != name and self._is_docked(other) and other not in FIRST_LAYOUT
        ]
        first = next((other for other in FIRST_LAYOUT if self._is_docked(other)), None)
        if further:
            self.tabifyDockWidget(further[0], dock)
        elif first is not None and self.width() < self._look.px(TWO_COLUMNS_FROM):
            self.tabifyDockWidget(self._docks[first], dock)
        elif first is not None:
            self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
            half = self.width() // 2
            docks = [self._docks[first], dock]
            self.resizeDocks(docks, [half, half], Qt.Orientation.Horizontal)

    def _is_docked(self, name: str) -> bool:
        dock = self._docks.get(name)
        return dock is not None and dock.isVisibleTo(self) and not dock.isFloating()

    @contextmanager
    def _arranging(self) -> Iterator[None]:
        before, self.is_arranging = self.is_arranging, True
        try:
            yield
        finally:
            self.is_arranging = before
            self.arranged.emit()

    def arrange(self) -> None:
        """The first layout: density over training."""
        with self._arranging():
            self._arrange()

    def _arrange(self) -> None:
        for name in panel_kinds():
            if name not in FIRST_LAYOUT and name in self._docks:
                self._docks[name].hide()
        self._placed = set(FIRST_LAYOUT)
        docks = [self.dock(name) for name in FIRST_LAYOUT if name in panel_kinds()]
        for dock in docks:
            dock.setFloating(False)
            self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)
            dock.show()
        for upper, lower in itertools.pairwise(docks):
            self.splitDockWidget(upper, lower, Qt.Orientation.Vertical)
        height = max(self.height(), 100)
        sizes = [height * share // 100 for share in FIRST_SHARES[: len(docks)]]
        self.resizeDocks(docks, sizes, Qt.Orientation.Vertical)

    def stack(self, crowded: bool) -> None:
        """Panels as tabs where there is no room to tile them, else the first layout."""
        shown = [dock for dock in self._docks.values() if dock.isVisibleTo(self)]
        if not crowded:
            self.arrange()
        elif len(shown) > 1:
            for dock in shown[1:]:
                self.tabifyDockWidget(shown[0], dock)
            shown[0].raise_()

    def save(self) -> tuple[str, dict[str, dict[str, Any]]]:
        """Docks as base64, and each panel's choices."""
        state = base64.b64encode(bytes(self.saveState().data())).decode()
        return state, {name: dict(panel.save_state()) for name, panel in self._panels.items()}

    def restore(self, docks: str, panels: Mapping[str, Mapping[str, Any]]) -> bool:
        """Take back what :meth:`save` gave; False if it could not be used."""
        with self._arranging():
            for name in panels:
                if name in panel_kinds():
                    self.dock(name)
            self._placed |= set(self._docks)
            restored = bool(docks) and self.restoreState(QByteArray(base64.b64decode(docks)))
        for name, state in panels.items():
            if name in self._panels:
                self._panels[name].restore_state(state)
        return restored

    def _make(self, name: str) -> None:
        kind = panel_kinds()[name]
        dock = QDockWidget(kind.title, self)
        dock.setObjectName(f"panel-{name}")
        panel = kind(self._look)
        dock.setWidget(panel)
        dock.setToolTip(kind.summary)
        dock.visibilityChanged.connect(lambda visible: self.shown.emit(name, visible))
        self._docks[name], self._panels[name] = dock, panel
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        panel.point_chosen.connect(self.choose_point)
        panel.choose_point(self._point)
        self.opened.emit(panel)

    @property
    def point(self) -> Point | None:
        """The place that the user chose in some panel."""
        return self._point

    def choose_point(self, point: Point | None) -> None:
        """Panels do not know each other: what one says, all hear."""
        self._point = point
        for panel in self._panels.values():
            panel.choose_point(point)
