"""Pixels: a model of pictures (or symbols) watched, questioned and bent value by value."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeyEvent

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.look import Look
from widgets.mode_panel import ModePanel
from widgets.painting.state import PICTURE_SUFFIXES
from widgets.pixels.canvas import ARROWS
from widgets.pixels.desk import Desk
from widgets.pixels.errors import ErrorsMode
from widgets.pixels.grow import GrowMode
from widgets.pixels.inpaint import InpaintMode
from widgets.pixels.orders import OrdersMode
from widgets.pixels.picker import read_own
from widgets.pixels.sees import SeesMode
from widgets.pixels.what_if import WhatIfMode

MODES = (
    ("grow", "Grow", "Pictures appear value by value; each value's conditional and its entropy"),
    ("sees", "Sees", "What one value's conditional depends on: its receptive field, attention"),
    ("inpaint", "Inpaint", "Paint over a part of a picture and let the model complete it"),
    ("what_if", "What if", "Change one value: what comes after it is drawn again"),
    ("errors", "Errors", "NLL on own samples against data; output distributions compared"),
    ("orders", "Orders", "One joint factored in every order; several orders of one network"),
)
HINT = (
    "Choose Digits 8×8 (17 levels) and Gated PixelCNN on the left, then press play (space): "
    "pictures appear here value by value."
)
#: Events of more values than this cannot be watched one by one.
MOST_VALUES = 4096


class PixelsPanel(ModePanel):
    """A picture appears pixel by pixel, and every pixel can be asked why."""

    name = "pixels"
    title = "Pixels"
    summary = "Pictures that grow value by value: conditionals, receptive fields, inpainting."
    needs = (frozenset({Capability.CONDITIONALS}),)
    shortcut = "Ctrl+7"

    MODES = MODES
    HINT = HINT
    NOTHING = "No model of pixels is open"
    ROW_FROM, TWO_ROWS_FROM = 920, 470

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk: Desk = Desk(self)
        self.setAcceptDrops(True)
        self.set_up(
            {
                "grow": GrowMode(look, self.desk),
                "sees": SeesMode(look, self.desk),
                "inpaint": InpaintMode(look, self.desk),
                "what_if": WhatIfMode(look, self.desk),
                "errors": ErrorsMode(look, self.desk),
                "orders": OrdersMode(look, self.desk),
            }
        )

    def unfit(self, info: RunInfo) -> tuple[str, str]:
        """Events whose values are too many, or not known in number."""
        reason = _too_large(info)
        return ("These events cannot be watched value by value", reason) if reason else ("", "")

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

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at: films are asked of it at once."""
        self.desk.is_scrubbing = step is not None

    def save_state(self) -> dict[str, Value]:
        """The mode and how it samples."""
        return super().save_state() | self.desk.save()

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state)
        super().restore_state(state)
        self.desk.changed.emit()

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Arrows move over the picture too."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and event.key() in ARROWS:
            event.accept()
            return True
        return super().event(event)

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


def _is_picture(path: str) -> bool:
    return path.lower().endswith(PICTURE_SUFFIXES)


def _too_large(info: RunInfo) -> str:
    event = info.data.event
    if event.kind == "sequence":
        return "Their length is open; choose data of a fixed size."
    if event.size > MOST_VALUES:
        return f"They have {event.size:,} values, the panel shows up to {MOST_VALUES:,}."
    return ""
