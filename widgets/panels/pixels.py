"""Pixels: a model of pictures (or symbols) watched, questioned and bent value by value."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo
from widgets.controls.chips import ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.look import Look
from widgets.painting.state import PICTURE_SUFFIXES
from widgets.panel import Panel, Question
from widgets.pixels.canvas import ARROWS
from widgets.pixels.desk import Desk
from widgets.pixels.errors import ErrorsMode
from widgets.pixels.grow import GrowMode
from widgets.pixels.inpaint import InpaintMode
from widgets.pixels.mode import Mode
from widgets.pixels.picker import read_own
from widgets.pixels.sees import SeesMode
from widgets.pixels.what_if import WhatIfMode

MODES = (
    ("grow", "Grow", "Pictures appear value by value; each value's conditional and its entropy"),
    ("sees", "Sees", "What one value's conditional depends on: its receptive field, attention"),
    ("inpaint", "Inpaint", "Paint over a part of a picture and let the model complete it"),
    ("what_if", "What if", "Change one value: what comes after it is drawn again"),
    ("errors", "Errors", "NLL on own samples against data; output distributions compared"),
)
HINT = (
    "Choose Digits 8×8 (17 levels) and Gated PixelCNN on the left, then press play (space): "
    "pictures appear here value by value."
)
#: Events of more values than this cannot be watched one by one.
MOST_VALUES = 4096
#: Pixels at scale 1: the width that one row of tools takes, and the height that has two rows.
ROW_FROM, TWO_ROWS_FROM = 920, 470


class PixelsPanel(Panel):
    """A picture appears pixel by pixel, and every pixel can be asked why."""

    name = "pixels"
    title = "Pixels"
    summary = "Pictures that grow value by value: conditionals, receptive fields, inpainting."
    needs = (frozenset({Capability.CONDITIONALS}),)
    shortcut = "Ctrl+7"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk = Desk(self)
        self.switch = Segments(look, MODES, self)
        self.modes: dict[str, Mode] = {
            "grow": GrowMode(look, self.desk),
            "sees": SeesMode(look, self.desk),
            "inpaint": InpaintMode(look, self.desk),
            "what_if": WhatIfMode(look, self.desk),
            "errors": ErrorsMode(look, self.desk),
        }
        self.chips = ChipRow(look, parent=self)
        self.empty = EmptyState(look)
        self.tool_pages, self.pages = QStackedWidget(), QStackedWidget()
        self.outer = QStackedWidget()
        self.setAcceptDrops(True)
        self._build()
        self.clear()

    def _build(self) -> None:
        for mode in self.modes.values():
            self.pages.addWidget(mode)
            self.tool_pages.addWidget(mode.tools)
            mode.asks_changed.connect(self.asks_changed)
            mode.pointed.connect(self.pointed)
            mode.chips_changed.connect(self._show_chips)
        self._content = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.switch)
        self._top.addWidget(self.tool_pages, 1)
        column.addLayout(self._top)
        column.addWidget(self.pages, 1)
        column.addWidget(self.chips)
        self.outer.addWidget(self.empty)
        self.outer.addWidget(self._content)
        self.body.addWidget(self.outer, 1)
        self.switch.chosen.connect(self.set_mode)

    @property
    def mode(self) -> Mode:
        """What is in front."""
        return self.modes[self.switch.current]

    def set_mode(self, name: str) -> None:
        """Bring a mode to the front."""
        before = self.pages.currentWidget()
        self.switch.set_current(name)
        self.pages.setCurrentWidget(self.mode)
        self.tool_pages.setCurrentWidget(self.mode.tools)
        if isinstance(before, Mode) and before is not self.mode:
            before.leave()
            self.mode.enter()
        self._show_chips()
        self.asks_changed.emit()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run."""
        super().open_run(info)
        if info is None:
            return
        reason = _too_large(info)
        if reason:
            self.run = None
            self.empty.say("These events cannot be watched value by value", reason)
            return
        self._open(info)

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self._open(info)

    def _open(self, info: RunInfo) -> None:
        self.desk.open(info)
        for mode in self.modes.values():
            mode.open()
        self.outer.setCurrentWidget(self._content)
        self._show_chips()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """What the mode in front asks."""
        if self.run is None or self.desk.info is None:
            return {}
        return self.mode.questions(rest=rest)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Samples and data go to the desk, the rest to the mode in front."""
        if self.run is None:
            return
        self.banner.clear()
        if part == "examples":
            self.desk.show_examples(answer)
        elif part == "samples" and self.mode is not self.modes["grow"]:
            self.desk.show_samples(answer, 0)
        else:
            self.mode.show_answer(part, answer)
        if part in ("examples", "samples"):
            self._show_chips()

    def show_failed(self, part: str, failed: Failed) -> None:
        """A mode may know what to do; else the banner says it."""
        if not self.mode.show_failed(part, failed):
            super().show_failed(part, failed)

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at: films are asked of it at once."""
        self.desk.is_scrubbing = step is not None

    def clear(self) -> None:
        """Say what to do."""
        self.desk.open(None)
        for mode in self.modes.values():
            mode.open()
        self.chips.set_chips(())
        self.empty.say("No model of pixels is open", HINT)
        self.outer.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for mode in self.modes.values():
            mode.restyle()
        self._show_chips()

    def save_state(self) -> dict[str, Value]:
        """The mode and how it samples."""
        return {"mode": self.switch.current} | self.desk.save()

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state)
        if state.get("mode") in self.modes:
            self.set_mode(str(state["mode"]))
        self.desk.changed.emit()

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the mode in front come before the window's while the panel has the focus."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and self._wants(event):
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
        apart = self.width() < px(ROW_FROM) and self.height() >= px(TWO_ROWS_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.mode.leave()
        super().hideEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take pictures."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        if self.desk.cells is not None and any(_is_picture(path) for path in paths):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Look at the picture that was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        path = next((path for path in paths if _is_picture(path)), "")
        if path:
            self.open_picture(path)
            event.acceptProposedAction()

    def open_picture(self, path: str) -> None:
        """Put a picture file in the place of a data picture."""
        if self.desk.cells is None:
            return
        try:
            self.desk.own = read_own(path, self.desk.cells)
        except ValueError as error:
            self.banner.show_error(f"{error}")
            return
        if not hasattr(self.mode, "picker"):
            self.set_mode("inpaint")
        self.mode.picker.set_source("own")  # type: ignore[attr-defined]

    def _wants(self, event: QKeyEvent) -> bool:
        return self.mode.take_key(event, only_ask=True) or event.key() in ARROWS

    def _show_chips(self) -> None:
        if self.outer.currentWidget() is self._content:
            self.chips.set_chips(self.mode.chips())


def _is_picture(path: str) -> bool:
    return path.lower().endswith(PICTURE_SUFFIXES)


def _too_large(info: RunInfo) -> str:
    event = info.data.event
    if event.kind == "sequence":
        return "Their length is open; choose data of a fixed size."
    if event.size > MOST_VALUES:
        return f"They have {event.size:,} values, the panel shows up to {MOST_VALUES:,}."
    return ""
