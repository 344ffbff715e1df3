"""The base of the panel's modes: one way of looking at chains and their energy."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.messages import Answer, Failed
from widgets.chains.desk import Desk
from widgets.controls.chips import Chip
from widgets.controls.tool_row import ToolRow
from widgets.look import Look
from widgets.panel import Question


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
        self.tools = ToolRow(look, self)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(4)

    def open(self) -> None:
        """The desk shows another run."""

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """What is asked while this mode is in front."""
        return {}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the answer to one part."""

    def show_failed(self, part: str, failed: Failed) -> bool:
        """Deal with a failure here; False leaves it to the panel's banner."""
        return False

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

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
