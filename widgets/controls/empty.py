"""What a panel shows before there is anything to show: what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from widgets.look import Look


class EmptyState(QWidget):
    """A heading and a hint in the middle of the room."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._heading = QLabel(self)
        self._hint = QLabel(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.addStretch(1)
        for label in (self._heading, self._hint):
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            layout.addWidget(label)
        layout.addStretch(1)
        look.changed.connect(self.restyle)
        self.restyle()

    @property
    def text(self) -> str:
        """Heading and hint."""
        return f"{self._heading.text()} {self._hint.text()}".strip()

    def say(self, heading: str, hint: str = "") -> None:
        """Replace the words."""
        self._heading.setText(heading)
        self._hint.setText(hint)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        palette = self._look.palette
        self._heading.setFont(self._look.font(1.3))
        self._hint.setFont(self._look.font(1.0))
        self._heading.setStyleSheet(f"color: {palette.text}; background: transparent")
        self._hint.setStyleSheet(f"color: {palette.muted}; background: transparent")
