"""The panel's own time: a place between data (0) and base (L) that need not be a whole layer."""

from __future__ import annotations

import math

from PySide6.QtCore import QObject, Signal

from widgets.controls.played_clock import PlayedClock

#: Layers a second that the speed slider offers, and that of slow motion.
PACES = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
SLOW_PACE = 0.2
#: Seconds that the whole way takes at first.
FIRST_SECONDS = 9.0
#: Places this near a whole layer are that layer.
NEAR = 1e-9


class FlowClock(PlayedClock):
    """A place from 0 to ``size``, moved towards the base or back.

    Signals:
        moved: The place is another.
    """

    moved = Signal(float)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.size = 0
        self.at = 0.0
        self.pace = 1.0
        self.inverse = False

    @property
    def start(self) -> float:
        """Where the play begins."""
        return float(self.size) if self.inverse else 0.0

    @property
    def end(self) -> float:
        """Where the play ends."""
        return 0.0 if self.inverse else float(self.size)

    @property
    def layer(self) -> int:
        """Number of the layer, from 0, that is on its way or was passed last."""
        if self.inverse:
            return min(math.floor(self.at + NEAR), max(self.size - 1, 0))
        return max(math.ceil(self.at - NEAR) - 1, 0)

    @property
    def is_whole(self) -> bool:
        """Whether the place is between two layers, where numbers are given."""
        return abs(self.at - round(self.at)) < NEAR

    def open(self, size: int) -> None:
        """Another flow of so many layers, at the end of the way."""
        self.pause()
        self.size = size
        if size:
            self.pace = min(PACES, key=lambda pace: abs(pace - size / FIRST_SECONDS))
        self._go(self.end)

    def turn(self, *, inverse: bool) -> None:
        """Go the other way from now on, from its start."""
        if inverse != self.inverse:
            self.pause()
            self.inverse = inverse
            self._go(self.start)

    def play(self) -> None:
        """Run on; from the start when the end is reached."""
        if not self.size:
            return
        if self.at == self.end:
            self._go(self.start)
        super().play()

    def step(self, by: int) -> None:
        """To the next whole layer on the way, or with a negative number back; stops the play."""
        self.pause()
        up = (by > 0) != self.inverse
        near = math.floor(self.at + NEAR) + 1 if up else math.ceil(self.at - NEAR) - 1
        self._go(float(near))

    def go(self, at: float) -> None:
        """Jump, without stopping the play."""
        self._go(at)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._go(self.at + seconds * self.pace * (-1.0 if self.inverse else 1.0))
        if self.at == self.end:
            self.pause()

    def _go(self, at: float) -> None:
        before = self.at
        if abs(at - round(at)) < NEAR:
            at = float(round(at))
        self.at = min(max(at, 0.0), float(self.size))
        if self.at != before:
            self.moved.emit(self.at)
