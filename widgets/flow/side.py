"""The base of what stands beside the stage: numbers about layers, points and passes."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.messages import Answer
from widgets.flow.clock import FlowClock
from widgets.look import Look


class Side(QWidget):
    """A page beside the stage.

    Signals:
        wanted_layer: Number of a layer, from 0, that was clicked.
    """

    wanted_layer = Signal(int)

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__()
        self.look, self.clock = look, clock
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(4)

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Draw the answer to one part, or nothing."""

    def follow(self) -> None:
        """The clock moved."""

    def leave(self) -> None:
        """Another page comes to the front, or nobody looks."""

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
