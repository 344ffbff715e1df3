"""A panel with a stage on the left, on which points move, and pages of numbers beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from widgets.controls.chips import ChipRow
from widgets.controls.clock_bar import ClockBar
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.flow.clock import FlowClock
from widgets.flow.side import Side
from widgets.look import Look
from widgets.panel import Panel

Choices = tuple[tuple[str, str, str], ...]


class StagePanel(Panel):
    """The frame: way, tools, stage, transport, pages. A subclass calls :meth:`set_up`.

    Attributes:
        WAYS: Name, word and tooltip of the two ways that points can go.
        SIDES: The same of the pages beside the stage.
        BESIDE_FROM: Pixels at scale 1: from this width on the pages stand beside the stage.
        ROOMY_FROM: From this width on the stage gets more than half of it.
        SIDE_FROM_HEIGHT: From this height on pages have room below the stage.
        LOW: Below this height the stage stands alone.
        ROW_FROM, ROWS_FROM_HEIGHT: The width that one row of tools takes, and the height that has
            two rows.
    """

    WAYS: ClassVar[Choices]
    SIDES: ClassVar[Choices]
    BESIDE_FROM: ClassVar[int] = 720
    ROOMY_FROM: ClassVar[int] = 0
    SIDE_FROM_HEIGHT: ClassVar[int] = 480
    LOW: ClassVar[int] = 220
    ROW_FROM: ClassVar[int] = 560
    ROWS_FROM_HEIGHT: ClassVar[int] = 480

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.clock = FlowClock(self)
        self.way = Segments(look, self.WAYS, self)
        self.switch = Segments(look, self.SIDES, self)
        self.chips = ChipRow(look, parent=self)
        self.empty = EmptyState(look)
        self.side_pages, self.outer = QStackedWidget(), QStackedWidget()
        self.sides: dict[str, Side] = {}

    def set_up(
        self, tools: QWidget, stage: QWidget, transport: ClockBar, sides: Mapping[str, Side]
    ) -> None:
        """Lay the parts out; the first side is in front."""
        self.sides, self._transport = dict(sides), transport
        left, self._right, self._content = QWidget(), QWidget(), QWidget()
        column, beside, whole = map(QVBoxLayout, (left, self._right, self._content))
        for layout in (column, beside, whole):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(4)
        column.addWidget(stage, 1)
        column.addWidget(transport)
        beside.addWidget(self.switch)
        beside.addWidget(self.side_pages, 1)
        for side in self.sides.values():
            self.side_pages.addWidget(side)
        for half in (left, self._right):
            half.setMinimumSize(1, 1)  # the panel may be small: parts give way by its size
        self._split = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._split.setSpacing(10)
        self._split.addWidget(left, 3)
        self._split.addWidget(self._right, 2)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.way)
        self._top.addWidget(tools, 1)
        whole.addLayout(self._top)
        whole.addLayout(self._split, 1)
        whole.addWidget(self.chips)
        self.outer.addWidget(self.empty)
        self.outer.addWidget(self._content)
        self.body.addWidget(self.outer, 1)
        self.way.chosen.connect(self.set_way)
        self.switch.chosen.connect(self.set_side)

    @property
    def side(self) -> Side:
        """What stands beside the stage."""
        return self.sides[self.switch.current]

    def set_side(self, name: str) -> None:
        """Show other numbers beside the stage."""
        before = self.side_pages.currentWidget()
        self.switch.set_current(name)
        if isinstance(before, Side) and before is not self.side:
            before.leave()
        self.side_pages.setCurrentWidget(self.side)
        self.side.follow()
        self.asks_changed.emit()

    def set_way(self, name: str) -> None:
        """Go from the data to the base, or from the base to the data."""
        self.way.set_current(name)
        self.clock.turn(inverse=name == "base")
        self.turned()
        self.follow()
        self.asks_changed.emit()

    def turned(self) -> None:
        """The way goes in the other direction."""

    def follow(self) -> None:
        """Everything goes where the clock is."""
        raise NotImplementedError

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the panel's own time come before the window's while it has the focus."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and self._act(event) is not None:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space plays, the arrows step, Home goes to the start, S is slow motion if there is."""
        act = self._act(event) if self.run is not None else None
        if act is None:
            super().keyPressEvent(event)
        else:
            act()

    def _act(self, event: QKeyEvent) -> Callable[[], object] | None:
        if event.modifiers() != Qt.KeyboardModifier.NoModifier:
            return None
        actions: dict[Qt.Key, Callable[[], object]] = {
            Qt.Key.Key_Space: self.clock.toggle,
            Qt.Key.Key_Left: lambda: self.clock.step(-1),
            Qt.Key.Key_Right: lambda: self.clock.step(1),
            Qt.Key.Key_Home: lambda: self.clock.go(self.clock.start),
        }
        slow = self._transport.buttons.get("slow")
        if slow is not None:
            actions[Qt.Key.Key_S] = slow.click
        return actions.get(Qt.Key(event.key()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Numbers beside the stage, below it, or nowhere where there is no room."""
        super().resizeEvent(event)
        px, way = self.look.px, QBoxLayout.Direction
        beside = self.width() >= px(self.BESIDE_FROM)
        self._split.setDirection(way.LeftToRight if beside else way.TopToBottom)
        roomy = self.width() >= px(self.ROOMY_FROM)
        for index, share in enumerate((3, 2) if roomy else (1, 1)):
            self._split.setStretch(index, share)
        low = self.height() < px(self.LOW)
        self._right.setVisible(not low if beside else self.height() >= px(self.SIDE_FROM_HEIGHT))
        self.chips.setVisible(not low)
        apart = self.width() < px(self.ROW_FROM) and self.height() >= px(self.ROWS_FROM_HEIGHT)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.clock.pause()
        self.side.leave()
        super().hideEvent(event)
