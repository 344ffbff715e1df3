"""The base of the pages: one way of looking at pictures of a flow."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.tool_row import ToolRow
from widgets.flow_pictures.desk import PicturesDesk
from widgets.look import Look
from widgets.panel import Question


class Page(QWidget):
    """A page with a tool row of its own.

    Attributes:
        picks: ``"one"`` or ``"keys"``: what a click on a held-out picture chooses; "" hides them.

    Signals:
        asks_changed: The page wants other answers than before.
        chips_changed: :meth:`chips` are others.
    """

    picks = ""

    asks_changed = Signal()
    chips_changed = Signal()

    def __init__(self, look: Look, desk: PicturesDesk) -> None:
        super().__init__()
        self.look, self.desk = look, desk
        self.tools = ToolRow(look, self)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(4)

    def open(self) -> None:
        """Another run: what is drawn is of the one before."""

    def refusal(self) -> str:
        """Why this page cannot serve the data of the run, or ""."""
        return ""

    def question(self, *, rest: bool) -> Question | None:
        """What is asked while this page is in front."""
        return None

    def take(self, answer: Answer) -> None:
        """Draw the answer."""

    def chips(self) -> tuple[Chip, ...]:
        """What is said below, numbers with their unit."""
        return ()

    def leave(self) -> None:
        """Another page comes to the front."""

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """Act on a key that nothing else wanted; ``only_ask`` says whether it would."""
        return False

    @property
    def own_frames(self) -> int:
        """Frames of a time of its own; 0 without one."""
        return 0

    def show_own_frame(self, index: int) -> None:
        """Show one of them."""

    def save(self) -> dict[str, Value]:
        """The user's choices, for the layout file."""
        return {}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
