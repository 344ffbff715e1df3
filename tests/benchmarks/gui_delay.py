"""How long an event waits in the window while two runs train and three panels are open."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import numpy as np
from PySide6.QtCore import QCoreApplication, QEvent, QObject

from engine.wire.messages import RunSpec
from tests.benchmarks.desk import FLOW, Desk, figure, open_desk

NAME = "delay of GUI events"
SECONDS = 35
LONG = False

P99_MS, MAX_MS = 16.0, 100.0
#: Mean milliseconds between two events; the gaps are exponential, so no rhythm can hide a delay.
GAP_MS = 12.0
WARM_UP = 8.0


class Probe(QEvent):
    """Carries the instant at which it was posted."""

    KIND = QEvent.Type(QEvent.registerEventType())

    def __init__(self) -> None:
        super().__init__(self.KIND)
        self.posted = time.perf_counter()


class Listener(QObject):
    """Notes how long each probe waited."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def event(self, event: QEvent) -> bool:
        """Handle one event in the window's thread."""
        if isinstance(event, Probe):
            self.delays.append(time.perf_counter() - event.posted)
            return True
        return super().event(event)


def figures(quick: bool = False) -> list[dict[str, Any]]:
    """The 99th percentile and the largest delay."""
    with open_desk() as desk:
        desk.start(RunSpec("maf", "checkerboard", {}, {}))
        desk.start(RunSpec("realnvp", "two_spirals", FLOW, {}))
        desk.show_only("density", "training")
        desk.window.inspector_dock.show()
        desk.pump(WARM_UP)
        delays = 1000 * np.array(measure(desk, 6.0 if quick else 20.0))
    p99, largest = float(np.quantile(delays, 0.99)), float(delays.max())
    note = f"{len(delays)} events, median {np.median(delays):.2f} ms"
    return [
        figure("delay of GUI events, p99", p99, "ms", f"≤ {P99_MS:.0f} ms", p99 <= P99_MS, note),
        figure(
            "delay of GUI events, largest",
            largest,
            "ms",
            f"≤ {MAX_MS:.0f} ms",
            largest <= MAX_MS,
            note,
        ),
    ]


def measure(desk: Desk, seconds: float) -> list[float]:
    """Post probes from another thread while the window's loop runs."""
    listener, stop = Listener(), threading.Event()
    gaps = random.Random(0)

    def post() -> None:
        while not stop.wait(gaps.expovariate(1000 / GAP_MS)):
            QCoreApplication.postEvent(listener, Probe())

    thread = threading.Thread(target=post, name="poster", daemon=True)
    thread.start()
    desk.pump(seconds)
    stop.set()
    thread.join()
    desk.pump(0.2)
    return listener.delays
