"""The transport of a few steps: play, pause, step either way, jump; a clock of its own."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.controls.clock_bar import ClockBar
from widgets.look import Look
from widgets.pixels.clock import Clock

TOOLTIPS = {
    "reset": "Back to the start (Home)",
    "back": "One step back (Left)",
    "play": "Play (Space)",
    "step": "One step on (Right)",
}


class StepTransport(ClockBar):
    """Buttons and a slider over the places of a clock."""

    def __init__(self, look: Look, clock: Clock, what: str, parent: QWidget | None = None) -> None:
        self._clock = clock
        super().__init__(look, clock, TOOLTIPS, parent)
        self.slider.setToolTip(f"Jump: {what}")
        self.slider.setAccessibleName(what)
        self.label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.restyle()

    def go_to_start(self) -> None:
        """Before the first step."""
        self._clock.go(0)

    def jump(self, place: int) -> None:
        """After so many steps."""
        self._clock.go(place)

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
