"""The step under the cursor, and a place to type another one into."""

from __future__ import annotations

import re

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QToolTip, QWidget

from widgets.controls.timeline import spaced
from widgets.look import Look

TIP = "The step in view. Type another one to go there exactly (Ctrl+G)"


class StepBox(QLineEdit):
    """Shows "step 1 240"; a click makes it a number to change.

    Signals:
        entered: The step that the user typed.
    """

    entered = Signal(int)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__("step 0", parent)
        self._look = look
        self._step = 0
        self._newest = 0
        self.setFrame(False)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setToolTip(TIP)
        self.setAccessibleName("Step")
        self.returnPressed.connect(self._on_return)

    def set_step(self, step: int, newest: int) -> None:
        """Show a step, unless the user is typing one."""
        self._step, self._newest = step, newest
        if not self.hasFocus():
            self._write()

    def restyle(self) -> None:
        """Take the width from the look's font."""
        wide = self.fontMetrics().horizontalAdvance("step 88 888 888")
        self.setFixedWidth(wide + self._look.px(10))

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Only the number, all of it chosen."""
        super().focusInEvent(event)
        self.setText(str(self._step))
        self.selectAll()

    def mousePressEvent(self, event: object) -> None:
        """The first click chooses the whole number."""
        had = self.hasFocus()
        super().mousePressEvent(event)  # type: ignore[arg-type]
        if not had:
            self.selectAll()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802  # Qt's name
        """What was typed and not entered is forgotten."""
        super().focusOutEvent(event)
        self._write()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape takes back what was typed."""
        if event.key() == Qt.Key.Key_Escape:
            self._leave()
        else:
            super().keyPressEvent(event)

    def _on_return(self) -> None:
        digits = re.sub(r"[\s,.’_]", "", self.text().lower().removeprefix("step"))
        if not digits.isdecimal() or int(digits) > self._newest:
            words = (
                f"given {self.text().strip()!r}, wanted a step from 0 to {spaced(self._newest)}"
            )
            QToolTip.showText(self.mapToGlobal(QPoint(0, -self.height())), words, self)
            self.selectAll()
            return
        self._leave()
        self.entered.emit(int(digits))

    def _leave(self) -> None:
        self.clearFocus()
        self._write()

    def _write(self) -> None:
        self.setText(f"step {spaced(self._step)}")
        self.setCursorPosition(0)
