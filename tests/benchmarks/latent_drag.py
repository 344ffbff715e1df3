"""From a move of the dragged z to the decoded picture on screen, while the model trains."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest

from engine.wire.messages import Answer, RunSpec
from tests.benchmarks.desk import Desk, figure, open_desk
from widgets.latent.plane_mode import PlaneMode

NAME = "drag a z, see it decode"
SECONDS = 40
LONG = False

BAR_MS = 50.0
#: Seconds of training before the drag, and between two moves.
TRAIN_SECONDS, MOVE_SECONDS = 5.0, 0.04
CASES = (
    ("2-D", RunSpec("vae", "two_moons")),
    ("28×28", RunSpec("vae", "sprites", {"hidden_features": [200, 200], "batch_size": 128},
                      {"size": 28, "n_samples": 4000})),
)  # fmt: skip


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """One figure for points, one for pictures."""
    moves = 15 if quick else 30
    with open_desk() as desk:
        for name, spec in CASES:
            view = desk.start(spec)
            desk.show_only("latent")
            panel: Any = desk.window.workspace.panels["latent"]
            desk.wait(lambda: panel.desk.is_real)  # noqa: B023
            desk.pump(TRAIN_SECONDS)
            yield row(name, drag(desk, panel.modes["plane"], moves))
            desk.session.close(view)
            desk.pump(0.3)


class Watch:
    """Notes when what a z decodes to was painted, by log p(z), which tells one z from another."""

    def __init__(self, desk: Desk) -> None:
        self.painted: list[tuple[float, float]] = []
        desk.window.asker.pictured.connect(self._on_pictured)

    def _on_pictured(self, panel: str, part: str, answer: Answer) -> None:
        if panel == "latent" and part == "decoded":
            log_prior = float(answer.arrays["log_prior"][0])
            # A timer of 0 ms comes after the paint that the answer caused.
            QTimer.singleShot(0, lambda: self.painted.append((log_prior, time.perf_counter())))

    def instant(self, z: Any) -> float | None:
        """When this z was painted."""
        wanted = -0.5 * float(np.square(z).sum()) - 0.5 * len(z) * math.log(2 * math.pi)
        return next((t for log_p, t in self.painted if abs(log_p - wanted) < 1e-4), None)


def drag(desk: Desk, mode: PlaneMode, moves: int) -> list[float]:
    """Milliseconds from each move of the pointer to the painted picture of its z."""
    watch = Watch(desk)
    frame = mode.plane.frame
    viewport, left = frame.canvas.viewport(), Qt.MouseButton.LeftButton
    mode.desk.move(np.zeros(mode.desk.size))
    desk.pump(0.5)
    centre = frame.to_canvas((0.0, 0.0)).toPoint()
    QTest.mousePress(viewport, left, pos=centre)
    waits = []
    for move in range(moves):
        angle, reach = 0.37 * move, 40 + 1.7 * move % 90
        spot = centre + type(centre)(
            round(reach * math.cos(angle)), round(reach * math.sin(angle))
        )
        watch.painted.clear()
        began = time.perf_counter()
        QTest.mouseMove(viewport, spot)
        z = np.array(mode.desk.z)
        desk.wait(lambda: watch.instant(z) is not None)  # noqa: B023
        waits.append(1000 * ((watch.instant(z) or began) - began))
        desk.pump(MOVE_SECONDS)
    QTest.mouseRelease(viewport, left, pos=spot)
    return waits


def row(name: str, waits: list[float]) -> dict[str, Any]:
    """One figure."""
    p95 = float(np.quantile(waits, 0.95))
    note = f"{len(waits)} moves, median {np.median(waits):.0f} ms, largest {max(waits):.0f} ms"
    words = f"drag → decoded picture while training, {name}, p95"
    return figure(words, p95, "ms", "≤ 50 ms", p95 <= BAR_MS, note)
