"""The transport of a few steps: play, pause, step either way, jump; a clock of its own."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSignalBlocker, QSize, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QWidget

from widgets.controls.icons import icon
from widgets.look import Look
from widgets.pixels.clock import Clock

TOOLTIPS = {
    "reset": "Back to the start (Home)",
    "back": "One step back (Left)",
    "play": "Play (Space)",
    "step": "One step on (Right)",
}


class StepTransport(QWidget):
    """Buttons and a slider over the places of a clock."""

    def __init__(self, look: Look, clock: Clock, what: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._clock = look, clock
        self.buttons = {name: self._button(tip) for name, tip in TOOLTIPS.items()}
        self.slider, self.label = QSlider(Qt.Orientation.Horizontal), QLabel()
        self.slider.setToolTip(f"Jump: {what}")
        self.slider.setAccessibleName(what)
        self.slider.setMinimumWidth(40)
        self.label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        for button in self.buttons.values():
            row.addWidget(button)
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)
        self.buttons["reset"].clicked.connect(lambda: clock.go(0))
        self.buttons["back"].clicked.connect(lambda: clock.step(-1))
        self.buttons["play"].clicked.connect(clock.toggle)
        self.buttons["step"].clicked.connect(lambda: clock.step(1))
        self.slider.valueChanged.connect(self._on_jump)
        clock.playing_changed.connect(lambda _: self._paint_play())
        self.restyle()

    def show_clock(self, words: str = "") -> None:
        """Show where the clock is; ``words`` say what is there."""
        clock = self._clock
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(clock.size, 1))
            self.slider.setValue(clock.place)
        self.label.setText(words or f"step {clock.place} / {clock.size}")
        self._paint_play()

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """The same keys as everywhere, while the panel has the focus."""
        clock = self._clock
        actions: dict[Qt.Key, Callable[[], None]] = {
            Qt.Key.Key_Space: clock.toggle,
            Qt.Key.Key_Left: lambda: clock.step(-1),
            Qt.Key.Key_Right: lambda: clock.step(1),
            Qt.Key.Key_Home: lambda: clock.go(0),
            Qt.Key.Key_End: lambda: clock.go(clock.size),
        }
        action = actions.get(Qt.Key(event.key()))
        if action is None or not clock.size:
            return False
        if not only_ask:
            action()
        return True

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        side = self._look.px(18)
        for name, button in self.buttons.items():
            button.setIconSize(QSize(side, side))
            button.setIcon(icon(name, self._look.palette, side))
        self.label.setFont(self._look.font(0.88))
        self.label.setStyleSheet(f"color: {self._look.palette.muted}; background: transparent")
        self._paint_play()

    def _button(self, tooltip: str) -> QToolButton:
        button = QToolButton(self)
        button.setAutoRaise(True)
        button.setToolTip(tooltip)
        button.setAccessibleName(tooltip.split(" (")[0])
        return button

    def _paint_play(self) -> None:
        playing, button = self._clock.is_playing, self.buttons["play"]
        name = "pause" if playing else "play"
        button.setIcon(icon(name, self._look.palette, self._look.px(18)))
        button.setToolTip("Stop here (Space)" if playing else TOOLTIPS["play"])
        button.setAccessibleName("Pause" if playing else "Play")

    def _on_jump(self, place: int) -> None:
        self._clock.pause()
        self._clock.go(place)
