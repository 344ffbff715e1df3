"""A line at the top of a panel: what happened and what to do about it; never a modal box."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from widgets.look import Look


class Banner(QWidget):
    """Hidden until something is said; one message at a time, with at most three buttons."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._kind = "info"
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.label = QLabel(self)
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._buttons: list[QPushButton] = []
        self._close = QToolButton(self)
        self._close.setText("✕")
        self._close.setToolTip("Dismiss this message")
        self._close.setAutoRaise(True)
        self._close.clicked.connect(self.clear)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(10, 4, 4, 4)
        self._row.addWidget(self.label, 1)
        self._row.addWidget(self._close)
        look.changed.connect(self._restyle)
        self.hide()

    @property
    def text(self) -> str:
        """What is said now; "" when hidden."""
        return self.label.text()

    def show_error(self, text: str, **offers: Callable[[], object]) -> None:
        """Something failed; ``offers`` maps button words (``_`` for a space) to what they do."""
        self._show("error", text, offers)

    def show_warning(self, text: str, **offers: Callable[[], object]) -> None:
        """Something needs attention."""
        self._show("warning", text, offers)

    def show_info(self, text: str, **offers: Callable[[], object]) -> None:
        """Something is worth knowing."""
        self._show("info", text, offers)

    def clear(self) -> None:
        """Say nothing."""
        self.label.clear()
        self._drop_buttons()
        self.hide()

    def _show(self, kind: str, text: str, offers: dict[str, Callable[[], object]]) -> None:
        if not self.isHidden() and (kind, text) == (self._kind, self.text):
            return
        self._kind = kind
        self.label.setText(text)
        self._drop_buttons()
        for words, action in offers.items():
            self._add_button(words.replace("_", " ").capitalize(), action)
        self._restyle()
        self.show()

    def _add_button(self, text: str, action: Callable[[], object]) -> None:
        button = QPushButton(text, self)

        def press() -> None:
            self.clear()
            action()

        button.clicked.connect(press)
        self._row.insertWidget(self._row.count() - 1, button)
        self._buttons.append(button)

    def _drop_buttons(self) -> None:
        for button in self._buttons:
            self._row.removeWidget(button)
            button.deleteLater()
        self._buttons = []

    def _restyle(self) -> None:
        palette = self._look.palette
        colour = {"error": palette.error, "warning": palette.warning}.get(
            self._kind, palette.accent
        )
        self.setStyleSheet(
            f"Banner {{ background: {palette.raised}; border-left: 4px solid {colour}; }}"
            f"QLabel {{ color: {palette.text}; }}"
        )
