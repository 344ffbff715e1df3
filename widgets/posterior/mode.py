"""The base of the posterior panel's modes: one way of looking at latents and their posterior."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLayout, QVBoxLayout, QWidget

from engine.wire.messages import Answer, Failed
from widgets.controls.chips import Chip
from widgets.controls.tool_row import ToolRow
from widgets.look import Look
from widgets.panel import Question
from widgets.posterior.desk import Desk

#: A room is low above, and tall below, this ratio of width to height.
LOW, TALL = 1.75, 1.2


class Page(QWidget):
    """A widget around a layout."""

    def __init__(self, layout: QLayout) -> None:
        super().__init__()
        self.setLayout(layout)


class Mode(QWidget):
    """A page of the panel, with a tool row of its own.

    Signals:
        asks_changed: The mode wants other answers than before.
        pointed: A ``Pointed``, or None.
        chips_changed: :meth:`chips` are others.
    """

    asks_changed = Signal()
    pointed = Signal(object)
    chips_changed = Signal()

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__()
        self.look, self.desk = look, desk
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

    def follow(self) -> None:
        """Another event is chosen, or what is known of the units is new."""

    def chips(self) -> tuple[Chip, ...]:
        """What is said below the pictures, numbers with their kind and unit."""
        return ()

    def leave(self) -> None:
        """Another mode comes to the front."""

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """Act on a key that nothing else wanted; ``only_ask`` says whether it would."""
        return False

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
