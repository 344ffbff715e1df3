"""The small box in which a fork's settings are changed before it starts."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from engine.wire.fields import FieldSpec, Value
from widgets.controls.form import ConfigForm
from widgets.controls.timeline import spaced
from widgets.look import Look

WIDTH = 360
WORDS = "Change nothing and the fork repeats its parent exactly."


class ForkBox(QFrame):
    """Settings that may change without a restart, over a button that starts the fork.

    Signals:
        forked: The changed settings, and whether the fork is to train at once.
    """

    forked = Signal(object, bool)

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self._before: dict[str, Value] = {}
        self.heading = QLabel(self)
        self.words = QLabel(WORDS, self)
        self.words.setWordWrap(True)
        self.form = ConfigForm(look, self)
        self.start = QPushButton("Fork and train", self)
        self.start.setToolTip("Start the fork and let it train (Enter)")
        self.hold = QPushButton("Fork, paused", self)
        self.hold.setToolTip("Start the fork; it waits at this step")
        self.cancel = QPushButton("Cancel", self)
        self.cancel.setToolTip("Start nothing (Escape)")
        self._lay_out()
        self.start.clicked.connect(lambda: self._send(True))
        self.hold.clicked.connect(lambda: self._send(False))
        self.cancel.clicked.connect(self.close_box)
        look.changed.connect(self.restyle)
        self.restyle()
        self.hide()

    def open(
        self,
        step: int,
        title: str,
        fields: tuple[FieldSpec, ...],
        values: Mapping[str, Value],
    ) -> None:
        """Show the box for a fork of a run at a step, with the settings in force there."""
        self.heading.setText(f"Fork {title} at step {spaced(step)}")
        self.form.set_fields(tuple(spec for spec in fields if spec.field.live))
        self.form.set_values(values)
        self._before = self.form.values()
        self._place()
        self.show()
        self.raise_()
        self.start.setFocus()

    def close_box(self) -> None:
        """Hide it; the keyboard goes back to the window."""
        self.hide()
        parent = self.parentWidget()
        if parent is not None:
            parent.setFocus()

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        palette, px = self._look.palette, self._look.px
        self.setStyleSheet(
            f"ForkBox {{ background: {palette.panel}; border: 1px solid {palette.accent};"
            f" border-radius: {px(6)}px; }}"
        )
        font = self._look.font()
        font.setBold(True)
        self.heading.setFont(font)
        self.words.setFont(self._look.font(0.9))
        self.words.setStyleSheet(f"color: {palette.muted};")
        self.setFixedWidth(px(WIDTH))
        if self.isVisible():
            self._place()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter starts, Escape leaves."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_box()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._send(True)
        else:
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        for part in (self.heading, self.words, self.form):
            column.addWidget(part)
        row = QHBoxLayout()
        for button in (self.start, self.hold, self.cancel):
            row.addWidget(button)
        column.addLayout(row)

    def _place(self) -> None:
        """Over the timeline, at the right."""
        parent = self.parentWidget()
        if parent is None:
            return
        self.adjustSize()
        margin = self._look.px(12)
        x = (parent.width() - self.width()) // 2
        y = parent.height() - self.height() - self._look.px(70)
        self.move(QPoint(max(margin, x), max(margin, y)))

    def _send(self, playing: bool) -> None:
        if self.form.problems:
            return
        now = self.form.values()
        changed = {n: v for n, v in now.items() if v != self._before.get(n)}
        self.close_box()
        self.forked.emit(changed, playing)
