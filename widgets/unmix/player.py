"""Plays a waveform, where the machine can make a sound; else says so in a sentence."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

#: Loudest value of what is played, and milliseconds between two looks at how far it is.
PEAK, TICK_MS = 0.8, 40


class Player(QObject):
    """One sound at a time.

    Signals:
        moved: Seconds since the beginning of what is heard; −1 when it has ended.
    """

    moved = Signal(float)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._began, self._length = 0.0, 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    @property
    def is_playing(self) -> bool:
        """Whether a sound is heard."""
        return self._timer.isActive()

    def play(self, samples: np.ndarray[Any, Any], rate: int) -> str:
        """Begin; returns "" or why there is no sound.

        Args:
            samples: (T,), any loudness; what is not finite is silent.
            rate: Samples a second.
        """
        self.stop()
        try:
            # Imported here: without PortAudio the import itself fails, and most never need it.
            import sounddevice

            sounddevice.play(loudest(samples), rate)
        except Exception as error:  # PortAudio's own errors, OSError without its library
            return f"No sound can be played here: {_first_line(error)}."
        self._began, self._length = time.monotonic(), len(samples) / rate
        self._timer.start()
        return ""

    def stop(self) -> None:
        """Silence."""
        if not self.is_playing:
            return
        self._timer.stop()
        import sounddevice

        sounddevice.stop()
        self.moved.emit(-1.0)

    def _tick(self) -> None:
        passed = time.monotonic() - self._began
        if passed >= self._length:
            self._timer.stop()
            passed = -1.0
        self.moved.emit(passed)


def loudest(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Samples (T,) as float32 whose largest absolute value is :data:`PEAK`; silence stays so."""
    clean = np.nan_to_num(np.asarray(samples, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(np.abs(clean).max(initial=0.0))
    return clean * np.float32(PEAK / top) if top > 0 else clean


def _first_line(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return words[0].rstrip(".") if words else type(error).__name__
