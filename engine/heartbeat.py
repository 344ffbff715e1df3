"""Who is doing what for how long: the sign of life that lets a user judge a step that hangs."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.wire.messages import Heartbeat

INTERVAL = 0.25
IDLE = "idle"


class Phase:
    """What one thread is doing now; written by that thread, read by the heartbeat."""

    def __init__(self) -> None:
        self._now: tuple[str, float] = (IDLE, time.monotonic())
        self._beside: list[Phase] = []

    def join(self, other: Phase) -> None:
        """Tell of another thread too: of the two, :meth:`read` gives what lasts longer."""
        self._beside.append(other)

    def set(self, name: str) -> None:
        """Begin a phase."""
        self._now = (name, time.monotonic())

    @contextmanager
    def during(self, name: str) -> Iterator[None]:
        """A phase that ends with the block."""
        self.set(name)
        try:
            yield
        finally:
            self.set(IDLE)

    def read(self) -> tuple[str, float]:
        """The phase and the seconds since it began (0 when idle)."""
        name, began = self._now
        mine = name, 0.0 if name == IDLE else time.monotonic() - began
        return max([mine, *(phase.read() for phase in self._beside)], key=lambda found: found[1])


def start(training: Phase, answering: Phase, post: Callable[[Heartbeat], None]) -> None:
    """Post a heartbeat every :data:`INTERVAL` seconds for as long as the process lives."""

    def beat() -> None:
        while True:
            post(Heartbeat(*training.read(), *answering.read(), resident_bytes()))
            time.sleep(INTERVAL)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


def resident_bytes() -> int:
    """Memory of this process that lies in RAM; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 0
