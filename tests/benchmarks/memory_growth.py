"""Growth of both processes over ten minutes of training with all panels open."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil

from app.panel_manager import panel_kinds
from app.run_view import RunView
from engine.wire.messages import RunSpec
from tests.benchmarks.desk import FLOW, Desk, figure, open_desk

NAME = "growth of memory"
SECONDS = 780
LONG = True

LIMIT_MB = 20.0
MEGABYTE = 1e6


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Megabytes gained by each process beyond what history reports."""
    warm_up, seconds = (10.0, 20.0) if quick else (120.0, 600.0)
    with open_desk() as desk:
        view = desk.start(RunSpec("realnvp", "two_spirals", FLOW, {}))
        desk.show_only(*panel_kinds())
        desk.pump(warm_up)
        before = resident(desk, view)
        began = time.monotonic()
        desk.pump(seconds)
        after = resident(desk, view)
        minutes = (time.monotonic() - began) / 60
        for process in before:
            gained = (after[process] - before[process]) / MEGABYTE
            note = (
                f"{minutes:.1f} min, {view.step} steps, {after[process] / MEGABYTE:.0f} MB in all"
            )
            name = f"growth of memory, {process}"
            yield figure(name, gained, "MB", f"≤ {LIMIT_MB:.0f} MB", gained <= LIMIT_MB, note)


def resident(desk: Desk, view: RunView) -> dict[str, float]:
    """Resident bytes of both processes without history's, the median of several looks."""
    gc.collect()
    ours, engine = psutil.Process(), psutil.Process(desk.window.link.pid())
    looks = []
    for _ in range(9):
        desk.pump(0.5)
        history = view.state.history_bytes if view.state else 0
        looks.append((ours.memory_info().rss, engine.memory_info().rss - history))
    window, child = np.median(np.array(looks, float), axis=0)
    return {"window": float(window), "engine": float(child)}
