"""What plays by itself: a clock that is advanced by the time that passed between two frames."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, QTimer, Signal

#: Milliseconds between two frames.
FRAME_MS = 16
#: Longest time between two frames that counts; a window that was hidden does not leap.
LONGEST_FRAME = 0.1


class PlayedClock(QObject):
    """The base of panels' own times. A subclass says what a place is, in :meth:`advance`.

    Signals:
        playing_changed: It plays, or no longer.
    """

    playing_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._last = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._on_frame)

    @property
    def is_playing(self) -> bool:
        """Whether it runs."""
        return self._timer.isActive()

    def play(self) -> None:
        """Run on."""
        if not self.is_playing:
            self._last = time.monotonic()
            self._timer.start()
            self.playing_changed.emit(True)

    def pause(self) -> None:
        """Stay here."""
        if self.is_playing:
            self._timer.stop()
            self.playing_changed.emit(False)

    def toggle(self) -> None:
        """Play or pause."""
        self.pause() if self.is_playing else self.play()

    def advance(self, seconds: float) -> None:
        """Time passes."""
        raise NotImplementedError

    def _on_frame(self) -> None:
        now = time.monotonic()
        passed, self._last = now - self._last, now
        self.advance(min(passed, LONGEST_FRAME))
