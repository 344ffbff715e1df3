"""Steps a second, over the last second or so."""

from __future__ import annotations

import time

#: Window over which steps per second are measured, in seconds.
RATE_SECONDS = 1.5


class StepRate:
    """Remembers when which step was reported."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []

    def begin(self, step: int) -> None:
        """Training begins, or goes on after a pause."""
        self._entries = [(time.monotonic(), step)]

    def per_second(self, step: int) -> float:
        """The rate up to now; 0 at the very beginning."""
        now = time.monotonic()
        entries = [*self._entries, (now, step)]
        self._entries = [entry for entry in entries if now - entry[0] <= RATE_SECONDS]
        (then, first), (_, last) = self._entries[0], self._entries[-1]
        return (last - first) / (now - then) if now > then else 0.0
