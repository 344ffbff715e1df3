"""A 64 × 64 grid and 5,000 points through the layers of a flow: frames a second, in 2-D painting.

Each frame moves everything, a chosen point with its sum too, to another fractional place, colours
it by volume change and paints it at once, in a panel as large as a window of 1600 × 900 leaves
for it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from engine.wire.messages import RunSpec
from tests.benchmarks.desk import FLOW, Desk, figure, open_desk
from widgets.panel import Point
from widgets.panels.flow import FlowPanel

NAME = "flow animation"
SECONDS = 20
LONG = False

N_POINTS, N_LINES, BAR = 5000, 64, 30.0
#: Of 8000 observations 6400 are trained on.
DATA = {"n_samples": 8000}


def figures(quick: bool = False) -> list[dict[str, Any]]:
    """Painting as fast as it goes, and what the timer of the play reaches."""
    frames = 40 if quick else 120
    with open_desk() as desk:
        view = desk.start(RunSpec("realnvp", "two_moons", dict(FLOW), dict(DATA)))
        desk.show_only("flow")
        desk.pump(2.0)
        desk.session.pause(view)
        panel: Any = desk.window.workspace.panels["flow"]
        panel.tools.switch("n", N_POINTS)
        panel.tools.switch("lines", N_LINES)
        desk.wait(lambda: _is_full(panel))
        at = panel.stage.walk.events[7]
        panel.point_chosen.emit(Point(tuple(map(float, at)), ("x", "y")))
        desk.wait(lambda: panel.stage.trail.at is not None)
        desk.pump(0.5)
        return [painted(panel, frames), played(desk, panel)]


def _is_full(panel: FlowPanel) -> bool:
    walk = panel.stage.walk
    return (
        walk is not None and walk.points.shape[1] == N_POINTS and len(walk.grid[0]) == 2 * N_LINES
    )


def painted(panel: FlowPanel, frames: int) -> dict[str, Any]:
    """From a new place to the painted picture."""
    size, waits, busy = panel.clock.size, [], []
    for at in np.linspace(0.0, size, frames):
        began, worked = time.perf_counter(), time.thread_time()
        panel.clock.go(float(at))
        panel.stage.frame.repaint_now()
        waits.append(time.perf_counter() - began)
        busy.append(time.thread_time() - worked)
    rate = 1.0 / float(np.mean(waits))
    note = f"{frames} frames of {panel.stage.width()} × {panel.stage.height()} pixels, mean "
    note += f"{1000 * np.mean(waits):.1f} ms, p95 {1000 * np.quantile(waits, 0.95):.1f} ms, of it "
    note += f"{1000 * np.mean(busy):.1f} ms of the window's thread; 128 lines of 64 nodes"
    name = "flow, 64 × 64 grid and 5,000 points, frames a second"
    return figure(name, rate, "/s", "≥ 30 /s", rate >= BAR, note)


def played(desk: Desk, panel: FlowPanel) -> dict[str, Any]:
    """Frames that the play shows in its own time, with all else that the window does."""
    places: list[float] = []
    panel.clock.moved.connect(places.append)
    panel.clock.pace = 2.0
    panel.clock.play()
    began = time.perf_counter()
    desk.pump(2.5)
    panel.clock.pause()
    rate = len(places) / (time.perf_counter() - began)
    return figure("flow, the same while it plays", rate, "/s", "", None,
                  f"{len(places)} frames; the timer asks for 62 a second")  # fmt: skip
