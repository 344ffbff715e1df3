"""How long a saved race of six families takes to open: all in view, the first picture drawn.

The stored steps follow then; when the last of them can be shown the note says.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from app.bootstrap import open_window
from app.session_file import new_folder
from engine.wire.messages import Answer, RunSpec
from tests.benchmarks.desk import FLOW, SIZE, Desk, figure
from tests.benchmarks.gui_delay import measure

NAME = "session files"
SECONDS = 75
LONG = False

OPEN_BAR, FRAME_MS = 3.0, 16.0
RACE_SECONDS, QUICK_SECONDS = 30.0, 10.0
OPENED = 2
#: Seconds until the icons of the data sets are drawn, which compete with nothing later.
WARM_UP = 8.0
MODELS = ("gaussian_mixture", "made", "realnvp", "maf", "vae", "ebm")


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Seconds from the wish to six runs and a picture; delays of the window while saving."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder
        root, path = Path(folder) / "sessions", Path(folder) / "race.genscope"
        with program(root) as desk:
            stored = race(desk, QUICK_SECONDS if quick else RACE_SECONDS)
            yield saving(desk, path)
        waits = []
        for _ in range(1 if quick else OPENED):
            with program(root) as desk:
                waits.append(opening(desk, path))
        size = path.stat().st_size / 2**20
    seen, whole = (statistics.median(column) for column in zip(*waits, strict=True))
    slowest = max(wait for wait, _ in waits)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    note = (
        f"median of {len(waits)}, slowest {slowest:.2f} s; all stored steps after {whole:.2f} s; "
        f"{size:.0f} MB, {stored} stored steps of {len(MODELS)} runs; load {load:.0f}"
    )
    yield figure(
        "session of a six-run race → all in view, first picture",
        seen,
        "s",
        f"≤ {OPEN_BAR:.0f} s",
        seen <= OPEN_BAR,
        note,
    )


@contextmanager
def program(root: Path) -> Iterator[Desk]:
    """The program as a user starts it, with the welcome run in training."""
    folder = new_folder(root)
    _, window = open_window(folder)
    window.resize(*SIZE)
    desk = Desk(window)
    desk.wait(lambda: any(view.step > 0 for view in desk.session.runs))
    desk.pump(WARM_UP)
    try:
        yield desk
    finally:
        window.close()
        shutil.rmtree(folder)


def race(desk: Desk, seconds: float) -> int:
    """Six runs that train side by side; how many steps are stored in the end."""
    desk.session.close_all()
    for name in MODELS:
        config = FLOW if name == "realnvp" else {}
        view = desk.session.start(RunSpec(name, "checkerboard", config, {}), playing=True)
        desk.wait(lambda view=view: view.info is not None)
        desk.session.set_pace(view, None)
    desk.pump(seconds)
    return sum(len(view.state.stored) for view in desk.session.runs if view.state)


def saving(desk: Desk, path: Path) -> dict[str, Any]:
    """The 99th percentile of delays in the window while the race trains and is saved."""
    sessions = desk.window.sessions
    before = 1000 * np.array(measure(desk, 5.0))
    sessions.save_path(str(path))
    began = time.monotonic()
    delays: list[float] = []
    while sessions.is_busy:
        delays += measure(desk, 0.5)
    took = time.monotonic() - began
    p99 = float(1000 * np.quantile(delays, 0.99))
    note = (
        f"six runs training; largest {1000 * max(delays):.0f} ms, saved within {took:.1f} s; "
        f"p99 before it {np.quantile(before, 0.99):.1f} ms"
    )
    bar = f"≤ {FRAME_MS:.0f} ms"
    return figure("delay of GUI events while saving, p99", p99, "ms", bar, p99 <= FRAME_MS, note)


def opening(desk: Desk, path: Path) -> tuple[float, float]:
    """Seconds until all runs are in view and the chosen one is drawn, and until all is open.

    All is open when every stored step of every run can be shown.
    """
    drawn: dict[str, float] = {}
    in_view: list[float] = []
    opened: list[float] = []

    def on_pictured(_: str, part: str, answer: Answer) -> None:
        if part == "density":
            drawn.setdefault(answer.slot.run, time.monotonic())

    desk.window.asker.pictured.connect(on_pictured)
    desk.window.sessions.in_view.connect(lambda: in_view.append(time.monotonic()))
    desk.window.sessions.opened.connect(lambda _: opened.append(time.monotonic()))
    began = time.monotonic()
    desk.window.files.open_path(str(path))
    desk.wait(lambda: opened and desk.session.current and desk.session.current.run in drawn)
    if len(desk.session.runs) != len(MODELS) or desk.session.current is None:
        raise RuntimeError(f"{len(desk.session.runs)} runs are open; {desk.window.banner.text}")
    return max(in_view[0], drawn[desk.session.current.run]) - began, opened[0] - began
