"""A segmented switch: one of a few ways of looking, side by side."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from widgets.look import Look
from widgets.recall import Recalled


class Segments(QWidget, Recalled):
    """Buttons of which one is down; the arrow keys move between them.

    Signals:
        chosen: Name of the segment, by the user only.
    """

    chosen = Signal(str)

    def __init__(
        self, look: Look, entries: tuple[tuple[str, str, str], ...], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._look = look
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self.buttons: dict[str, QPushButton] = {}
        self._widths: dict[str, int] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for name, text, tooltip in entries:
            button = QPushButton(text, self)
            button.setCheckable(True)
            button.setToolTip(tooltip)
            button.clicked.connect(lambda _=False, own=name: self.chosen.emit(own))
            self._group.addButton(button)
            self.buttons[name] = button
            row.addWidget(button)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        look.changed.connect(self.restyle)
        self.restyle()
        if entries:
            self.set_current(entries[0][0])

    @property
    def current(self) -> str:
        """The segment that is down."""
        return next((name for name, b in self.buttons.items() if b.isChecked()), "")

    def set_current(self, name: str) -> None:
        """Press one without a signal."""
        if name in self.buttons:
            self.buttons[name].setChecked(True)

    def kept(self) -> str:
        """The segment that is down, for undo."""
        return self.current

    def keep(self, value: str) -> None:
        """Press it again, as the user would."""
        if value in self.buttons and self.buttons[value].isEnabled() and value != self.current:
            self.set_current(value)
            self.chosen.emit(value)

    def what_changed(self, before: str, after: str) -> str:
        """Which segment was pressed."""
        return self.buttons[after].text()

    def set_usable(self, name: str, usable: bool, reason: str = "") -> None:
        """Grey a segment out with the reason as tooltip."""
        button = self.buttons[name]
        button.setEnabled(usable)
        if reason:
            button.setToolTip(reason)

    def set_shown(self, name: str, on: bool) -> None:
        """Show or hide a segment."""
        self.buttons[name].setVisible(on)
        self._fit()

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        palette, px = self._look.palette, self._look.px
        self.setFont(self._look.font(0.9))
        self.setStyleSheet(
            f"QPushButton {{ color: {palette.muted}; background: {palette.panel};"
            f" border: 1px solid {palette.border}; border-radius: 0; margin: 0;"
            f" padding: {px(3)}px {px(8)}px; min-width: 0; }}"
            f"QPushButton:checked {{ color: {palette.text}; background: {palette.raised};"
            f" border-bottom: {px(2)}px solid {palette.accent}; }}"
            f"QPushButton:focus {{ border-color: {palette.accent}; }}"
            f"QPushButton:disabled {{ color: {palette.border}; }}"
        )
        for name, button in self.buttons.items():
            button.setFont(self._look.font(0.9))
            words = button.fontMetrics().horizontalAdvance(button.text())
            self._widths[name] = words + 2 * px(8) + 4
            button.setFixedWidth(self._widths[name])
        self._fit()

    def _fit(self) -> None:
        # Not the buttons' own widths: the style's least width lets a layout squeeze them.
        shown = (name for name, button in self.buttons.items() if not button.isHidden())
        self.setFixedWidth(sum(self._widths[name] for name in shown))
