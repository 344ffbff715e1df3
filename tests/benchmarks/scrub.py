"""From moving the cursor to the coarse picture on screen, three panels open, for every model."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from PySide6.QtCore import QTimer

from app.run_view import RunView
from engine.wire.messages import Answer, RunSpec
from tests.benchmarks.desk import Desk, figure, open_desk

NAME = "scrub to any stored step"
SECONDS = 130
LONG = False

BAR_MS = 100.0
PANELS = ("density", "training", "truth")
DATA = "two_moons"
#: The models that are made for points on a plane; those for pictures have no density to draw.
MODELS = (
    "gaussian_mixture", "ppca", "made", "vae", "realnvp", "maf", "ebm", "gan", "wgan_gp",
)  # fmt: skip
#: Those whose pictures cost most: they are scrubbed while another run trains, too.
BESIDE = ("made", "vae", "maf", "ebm")
#: Mean seconds between two moves: sometimes the full picture is there, sometimes it is being made.
GAP_SECONDS = 0.35
#: Seconds from the pause to the scrub: pictures of slow models begin to be made ahead.
REST_SECONDS = 3.0
#: Seconds of training before the scrub.
TRAIN_SECONDS = 2.5


class Watch:
    """Notes when the density of a step was painted, and when its other panels answered."""

    def __init__(self, desk: Desk) -> None:
        self.painted: dict[int, float] = {}
        self.answered: dict[int, float] = {}
        desk.window.asker.pictured.connect(self._on_pictured)

    def clear(self) -> None:
        """Forget what was seen."""
        self.painted, self.answered = {}, {}

    def _on_pictured(self, panel: str, part: str, answer: Answer) -> None:
        if panel == "truth":
            self.answered.setdefault(answer.step, time.perf_counter())
        if panel == "density" and part == "density" and answer.step not in self.painted:
            step = answer.step  # a timer of 0 ms comes after the paint that the answer caused
            QTimer.singleShot(0, lambda: self.painted.setdefault(step, time.perf_counter()))


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """The 95th percentile for each model, alone and while another run trains."""
    moves = 8 if quick else 12
    with open_desk() as desk:
        watch = Watch(desk)
        desk.show_only(*PANELS)
        for name in MODELS:
            view = desk.start(RunSpec(name, DATA))
            desk.pump(TRAIN_SECONDS)
            desk.session.pause(view)
            desk.pump(REST_SECONDS)
            yield row(name, "", scrub(desk, view, watch, moves, seed=0))
            if name not in BESIDE:
                desk.session.close(view)
                continue
            other = desk.start(RunSpec("realnvp", DATA, seed=1))
            desk.session.select(view.run)
            desk.pump(2.0)
            yield row(name, ", another run trains", scrub(desk, view, watch, moves, seed=1))
            for run in (other, view):
                desk.session.close(run)
            desk.pump(0.2)


def scrub(desk: Desk, view: RunView, watch: Watch, moves: int, *, seed: int) -> list[float]:
    """Milliseconds from each move to the painted picture; no step comes twice."""
    chance = random.Random(seed)
    stored = list(view.state.stored[:-1]) if view.state else []
    waits = []
    for step in chance.sample(stored, min(moves, len(stored))):
        watch.clear()
        began = time.perf_counter()
        desk.window.transport.cursor_changed.emit(step)
        desk.wait(lambda: step in watch.painted)  # noqa: B023
        waits.append(1000 * (watch.painted[step] - began))
        desk.pump(GAP_SECONDS * chance.uniform(0.3, 1.7))
    desk.window.transport.cursor_changed.emit(None)
    return waits


def row(name: str, words: str, waits: list[float]) -> dict[str, Any]:
    """One model's figure."""
    p95 = float(np.quantile(waits, 0.95))
    note = f"{len(waits)} moves, median {np.median(waits):.0f} ms, largest {max(waits):.0f} ms"
    return figure(f"scrub, {name}{words}, p95", p95, "ms", "≤ 100 ms", p95 <= BAR_MS, note)
