"""The panel's own time: how many values have been drawn, played at any pace, in either way."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from widgets.controls.played_clock import PlayedClock

#: Values a second that the speed slider offers.
PACES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
SLOW_PACE = 2.0
#: Seconds that a picture takes at first.
FIRST_SECONDS = 7.0


class Clock(PlayedClock):
    """A place from 0 to ``size``: so many values are there.

    Signals:
        moved: The place is another.
    """

    moved = Signal(int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.size = 0
        self.ready = 0
        self.pace = 10.0
        self._at = 0.0

    @property
    def place(self) -> int:
        """How many values are there."""
        return int(self._at)

    def open(self, size: int) -> None:
        """Another film of so many values, from its start."""
        self.pause()
        self.size, self.ready = size, 0
        wanted = size / FIRST_SECONDS
        self.pace = float(min(PACES, key=lambda pace: abs(pace - wanted)))
        self._go(0.0)

    def set_ready(self, n: int) -> None:
        """So many values can be shown; it plays no further than that."""
        self.ready = n

    def play(self) -> None:
        """Run on; from the start when all is there already."""
        if not self.size:
            return
        if self.place >= self.size:
            self._go(0.0)
        super().play()

    def step(self, by: int) -> None:
        """One value on or back; stops the play."""
        self.pause()
        self._go(self.place + by)

    def go(self, place: int) -> None:
        """Jump, without stopping the play."""
        self._go(float(place))

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._go(min(self._at + seconds * self.pace, max(float(self.ready), float(self.place))))
        if self.place >= self.size:
            self.pause()

    def _go(self, at: float) -> None:
        before = self.place
        self._at = min(max(at, 0.0), float(self.size))
        if self.place != before:
            self.moved.emit(self.place)
