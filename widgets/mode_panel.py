"""A panel with several modes: pages with tool rows of their own, one of them in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from PySide6.QtCore import QEvent, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QGridLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.controls.tool_row import ToolRow
from widgets.look import Look
from widgets.panel import Panel, Question

#: A room is low above, and tall below, this ratio of width to height.
LOW, TALL = 1.75, 1.2


class PanelMode(QWidget):
    """A page of a panel, with a tool row of its own.

    Signals:
        asks_changed: The mode wants other answers than before.
        pointed: A ``Pointed``, or None.
        chips_changed: :meth:`chips` are others.
        said: A sentence for the banner, "" takes it back.
        wanted: Name of the mode that should come to the front.
    """

    asks_changed = Signal()
    pointed = Signal(object)
    chips_changed = Signal()
    said = Signal(str)
    wanted = Signal(str)

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self.shape = ""
        self.tools = ToolRow(look, self)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(4)
        self.grid = QGridLayout()
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(8)

    def arrange(self, shape: str) -> None:
        """Place the parts for a room that is ``"low"``, ``"even"`` or ``"tall"``."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another shape of room may want another arrangement."""
        super().resizeEvent(event)
        ratio = self.width() / max(self.height(), 1)
        shape = "low" if ratio > LOW else "tall" if ratio < TALL else "even"
        if shape != self.shape:
            self.shape = shape
            self.arrange(shape)

    def open(self) -> None:
        """The desk shows another run."""

    def refusal(self) -> str:
        """Why this mode cannot serve the run, or ""."""
        return ""

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """What is asked while this mode is in front."""
        return {}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the answer to one part."""

    def show_failed(self, part: str, failed: Failed) -> bool:
        """Deal with a failure here; False leaves it to the panel's banner."""
        return False

    def refresh(self) -> None:
        """What the desk holds for all modes is new."""

    def follow(self) -> None:
        """Another place of the desk's is chosen."""

    def chips(self) -> tuple[Chip, ...]:
        """What is said below the pictures, numbers with their kind and unit."""
        return ()

    def enter(self) -> None:
        """The mode comes to the front."""

    def leave(self) -> None:
        """Another mode comes to the front, or nobody looks."""

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """Act on a key that nothing else wanted; ``only_ask`` says whether it would."""
        return False

    @property
    def own_frames(self) -> int:
        """Frames of a time of its own; 0 without one."""
        return 0

    def show_own_frame(self, index: int) -> None:
        """Show one of them."""

    def restyle(self) -> None:
        """Take colours and fonts from the look."""


class PanelDesk(Protocol):
    """What the modes of a panel share: the run, and what is chosen of it."""

    info: RunInfo | None

    def open(self, info: RunInfo | None) -> None:
        """Show another run, or none."""
        ...


class ModePanel(Panel):
    """The frame around the modes. A subclass sets ``desk`` and calls :meth:`set_up` at its end.

    Attributes:
        MODES: Name, word on the switch and tooltip of each mode.
        HINT: What to do while nothing is open.
        NOTHING: What is not open, as a heading.
        ROW_FROM, TWO_ROWS_FROM: Pixels at scale 1: the width that one row of tools takes, and the
            height that has two rows.
        WRAPS_CHIPS: Whether chips take as many rows as they need.
    """

    MODES: ClassVar[tuple[tuple[str, str, str], ...]]
    HINT: ClassVar[str]
    NOTHING: ClassVar[str] = "No run is open"
    ROW_FROM: ClassVar[int] = 900
    TWO_ROWS_FROM: ClassVar[int] = 420
    WRAPS_CHIPS: ClassVar[bool] = False

    desk: PanelDesk

    def set_up(self, modes: Mapping[str, PanelMode], *between: QWidget) -> None:
        """Build the panel from its modes; ``between`` stand below the tools."""
        self.modes = dict(modes)
        self.switch = Segments(self.look, self.MODES, self)
        self.chips = ChipRow(self.look, wrap=self.WRAPS_CHIPS, parent=self)
        self.empty = EmptyState(self.look)
        self.tool_pages, self.pages = QStackedWidget(), QStackedWidget()
        self.outer = QStackedWidget()
        for mode in self.modes.values():
            self._take_in(mode)
        self._content = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.switch)
        self._top.addWidget(self.tool_pages, 1)
        column.addLayout(self._top)
        for widget in between:
            column.addWidget(widget)
        column.addWidget(self.pages, 1)
        column.addWidget(self.chips)
        self.outer.addWidget(self.empty)
        self.outer.addWidget(self._content)
        self.body.addWidget(self.outer, 1)
        self.switch.chosen.connect(self.set_mode)
        self.clear()

    def _take_in(self, mode: PanelMode) -> None:
        mode.restyle()
        self.pages.addWidget(mode)
        self.tool_pages.addWidget(mode.tools)
        mode.asks_changed.connect(self.asks_changed)
        mode.pointed.connect(self.pointed)
        mode.chips_changed.connect(self._show_chips)
        mode.said.connect(self._say)
        mode.wanted.connect(self.set_mode)

    @property
    def mode(self) -> PanelMode:
        """What is in front."""
        return self.modes[self.switch.current]

    def set_mode(self, name: str) -> None:
        """Bring a mode to the front."""
        before = self.pages.currentWidget()
        self.switch.set_current(name)
        self.pages.setCurrentWidget(self.mode)
        self.tool_pages.setCurrentWidget(self.mode.tools)
        if isinstance(before, PanelMode) and before is not self.mode:
            before.leave()
            self.banner.clear()
            self.mode.enter()
        self.mode.refresh()
        self._show_chips()
        self.asks_changed.emit()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run, or say why it cannot be shown."""
        super().open_run(info)
        if info is None:
            return
        heading, reason = self.unfit(info)
        if heading:
            self.run = None
            self.empty.say(heading, reason)
            return
        self._open(info)

    def unfit(self, info: RunInfo) -> tuple[str, str]:
        """A heading and a sentence for a run that no mode can show, or two empty ones."""
        return "", ""

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self._open(info)

    def _open(self, info: RunInfo) -> None:
        self.desk.open(info)
        for mode in self.modes.values():
            mode.open()
        self._offer()
        self.outer.setCurrentWidget(self._content)
        self._show_chips()

    def _offer(self) -> None:
        """Modes that have no use for this run are grey; the first that serves it is shown."""
        for name, _, tip in self.MODES:
            reason = self.modes[name].refusal()
            self.switch.set_usable(name, not reason, f"{tip}: {reason}" if reason else tip)
        if self.mode.refusal():
            usable = [name for name, mode in self.modes.items() if not mode.refusal()]
            if usable:
                self.set_mode(usable[0])

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """What the mode in front asks."""
        if self.run is None or self.desk.info is None:
            return {}
        return self.mode.questions(rest=rest)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Answers go to the mode in front."""
        if self.run is None:
            return
        self.show_mended(part)
        self.mode.show_answer(part, answer)

    def show_failed(self, part: str, failed: Failed) -> None:
        """A mode may know what to do; else the banner says it."""
        if not self.mode.show_failed(part, failed):
            super().show_failed(part, failed)

    def clear(self) -> None:
        """Say what to do."""
        self.desk.open(None)
        for mode in self.modes.values():
            mode.open()
        self.chips.set_chips(())
        self.empty.say(self.NOTHING, self.HINT)
        self.outer.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for mode in self.modes.values():
            mode.restyle()
        self._show_chips()

    @property
    def own_frames(self) -> int:
        """Those of the mode in front."""
        return self.mode.own_frames

    def show_own_frame(self, index: int) -> None:
        """Scrub to one of them."""
        self.mode.show_own_frame(index)

    def save_state(self) -> dict[str, Value]:
        """The mode in front."""
        return {"mode": self.switch.current}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take it back, where it can serve the run."""
        name = str(state.get("mode"))
        if name in self.modes and not (self.run is not None and self.modes[name].refusal()):
            self.set_mode(name)

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the mode in front come before the window's while the panel has the focus."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and self.mode.take_key(event, only_ask=True):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A key that no part of the panel wanted."""
        if self.run is None or not self.mode.take_key(event):
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The tools get a row of their own where there is height but no width."""
        super().resizeEvent(event)
        px, way = self.look.px, QBoxLayout.Direction
        apart = self.width() < px(self.ROW_FROM) and self.height() >= px(self.TWO_ROWS_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.mode.leave()
        super().hideEvent(event)

    def _say(self, sentence: str) -> None:
        if sentence:
            self.banner.show_error(sentence)
        else:
            self.banner.clear()

    def _show_chips(self) -> None:
        if self.outer.currentWidget() is self._content:
            self.chips.set_chips(self.mode.chips())
