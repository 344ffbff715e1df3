"""Chains on an energy: frames a second of 10,000 in 2-D painting, and of 1,000 on the 3-D surface.

Each frame moves all chains to another step of a walk, with the parts of sixteen chains' steps and
the watched chain's trail, and paints it at once, in a panel as large as a window of 1600 × 900
leaves for it. The surface is drawn by OpenGL, by software where there is no card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.wire.messages import RunSpec
from tests.benchmarks.desk import Desk, figure, open_desk
from widgets.panels.chains import ChainsPanel
from widgets.plots.cloud import has_opengl

NAME = "chain animation"
SECONDS = 8
LONG = False

FLAT, RELIEF = 10_000, 1000
BAR_2D, BAR_3D = 20.0, 15.0
STEPS = 100
#: A small network: what is measured is the painting.
MODEL = {"hidden_features": [16]}
DATA = {"n_samples": 2000}


def figures(quick: bool = False) -> list[dict[str, Any]]:
    """Painting as fast as it goes, from above and as a landscape."""
    frames = 20 if quick else 50
    with open_desk() as desk:
        view = desk.start(RunSpec("ebm", "eight_gaussians", dict(MODEL), dict(DATA)))
        desk.show_only("chains")
        desk.session.pause(view)
        panel: Any = desk.window.workspace.panels["chains"]
        made = [_figure(desk, panel, FLAT, frames)]
        panel.walk.set_view("relief")
        made.append(_figure(desk, panel, RELIEF, frames))
        return made


def _figure(desk: Desk, panel: ChainsPanel, n: int, frames: int) -> dict[str, Any]:
    """Wait for a film of so many chains, then paint its frames."""
    panel.bar.tools.chosen.emit("length", STEPS)
    panel.bar.tools.chosen.emit("n", n)
    desk.wait(lambda: _is_there(panel, n, frames))
    panel.walk.clock.pause()
    flat = not panel.walk.is_relief
    if not flat and not has_opengl():
        return figure(f"chains, {n:,} on the surface in 3-D", 0.0, "/s", "≥ 15 /s", None,
                      "this machine has no OpenGL")  # fmt: skip
    waits, busy = painted(panel, frames)
    rate, bar = 1.0 / float(np.mean(waits)), BAR_2D if flat else BAR_3D
    size = panel.walk.views
    note = f"{frames} frames of {size.width()} × {size.height()} pixels, mean "
    note += f"{1000 * np.mean(waits):.1f} ms, p95 {1000 * np.quantile(waits, 0.95):.1f} ms, of it "
    note += f"{1000 * np.mean(busy):.1f} ms of processor time, all threads"
    where = "in 2-D" if flat else "on the surface in 3-D"
    name = f"chains, {n:,} {where}, frames a second"
    return figure(name, rate, "/s", f"≥ {bar:g} /s", rate >= bar, note)


def _is_there(panel: ChainsPanel, n: int, frames: int) -> bool:
    film = panel.desk.film
    return film is not None and film.n_chains == n and film.n > frames


def painted(panel: ChainsPanel, frames: int) -> tuple[list[float], list[float]]:
    """Seconds from a new step to the painted picture, and its processor time, all threads."""
    walk, waits, busy = panel.walk, list[float](), list[float]()
    paint: Callable[[], object] = walk.stage.frame.repaint_now
    if walk.relief is not None and walk.is_relief:
        paint = walk.relief.paint_now
    for step in range(frames):
        began, worked = time.perf_counter(), time.process_time()
        walk.clock.go(step + 1)
        paint()
        waits.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)
    return waits, busy
