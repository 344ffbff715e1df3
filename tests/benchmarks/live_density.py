"""The density of a flow, live: frames while it trains, detail at rest, cost, and the slider."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from app.run_view import RunView
from engine.wire.messages import Answer, RunSpec
from tests.benchmarks.desk import FLOW, Desk, figure, open_desk

NAME = "density live"
SECONDS = 70
LONG = False

FRAMES, COARSE, FINE = 10.0, 128, 512
REST_SECONDS, SHARE, SLIDER_MS = 1.0, 0.60, 100.0
#: Seconds between two moves of the slider: long enough for a picture in full to have begun.
MOVE_SECONDS = 0.45


class Pictures:
    """Notes every density picture that reaches the panel."""

    def __init__(self, desk: Desk) -> None:
        self.seen: list[tuple[float, int, Answer]] = []
        desk.window.asker.pictured.connect(self._on_pictured)

    def _on_pictured(self, panel: str, part: str, answer: Answer) -> None:
        if panel == "density" and "log_density" in answer.arrays and part == "density":
            side = min(answer.arrays["log_density"].shape)
            self.seen.append((time.monotonic(), side, answer))

    def since(self, instant: float) -> list[tuple[float, int, Answer]]:
        """Pictures after an instant."""
        return [entry for entry in self.seen if entry[0] > instant]


def figures(quick: bool = False) -> list[dict[str, Any]]:
    """All figures of the density panel, from one window."""
    seconds = 4.0 if quick else 6.0
    with open_desk() as desk:
        pictures = Pictures(desk)
        view = desk.start(RunSpec("realnvp", "two_spirals", FLOW, {}))
        desk.show_only("density", "training")
        desk.pump(3.0)
        return [
            frames(desk, pictures, seconds),
            share(desk, view, seconds, 2 if quick else 3),
            slider(desk, view, pictures, 12 if quick else 30),
            rest(desk, view, pictures, 2 if quick else 4),
        ]


def frames(desk: Desk, pictures: Pictures, seconds: float) -> dict[str, Any]:
    """Pictures a second of at least 128² while training."""
    began = time.monotonic()
    desk.pump(seconds)
    sides = [side for _, side, answer in pictures.since(began) if answer.final]
    rate = sum(side >= COARSE for side in sides) / seconds
    note = f"sides {min(sides)} to {max(sides)}" if sides else "none came"
    return figure("density frames while training", rate, "1/s", "≥ 10", rate >= FRAMES, note)


def share(desk: Desk, view: RunView, seconds: float, rounds: int) -> dict[str, Any]:
    """Steps a second with the panel open against hidden, in turns."""
    opened, hidden = [], []
    for _ in range(rounds):
        desk.show_only()
        hidden.append(desk.steps_per_second(view, seconds))
        desk.show_only("density", "training")
        opened.append(desk.steps_per_second(view, seconds))
    ratio = float(np.median(opened) / np.median(hidden))
    note = f"{np.median(opened):.0f} against {np.median(hidden):.0f} steps/s"
    return figure("steps/s, panel open ÷ hidden", ratio, "", "≥ 0.60", ratio >= SHARE, note)


def slider(desk: Desk, view: RunView, pictures: Pictures, moves: int) -> dict[str, Any]:
    """From moving the time slider to the picture of that step, while training."""
    waits = []
    for move in range(moves):
        stored = view.state.stored if view.state else ()
        step = stored[(move * 7) % len(stored)]
        began = time.monotonic()
        desk.window.transport.cursor_changed.emit(step)
        desk.wait(lambda: any(a.step == step for _, _, a in pictures.since(began)))  # noqa: B023
        arrived = next(t for t, _, answer in pictures.since(began) if answer.step == step)
        waits.append(1000 * (arrived - began))
        desk.pump(MOVE_SECONDS)
    desk.window.transport.cursor_changed.emit(None)
    p95 = float(np.quantile(waits, 0.95))
    note = f"{moves} moves, median {np.median(waits):.0f} ms"
    name = "slider to picture while training, p95"
    return figure(name, p95, "ms", f"≤ {SLIDER_MS:.0f} ms", p95 <= SLIDER_MS, note)


def rest(desk: Desk, view: RunView, pictures: Pictures, rounds: int) -> dict[str, Any]:
    """From the pause to the picture of 512²."""
    waits = []
    for _ in range(rounds):
        began = time.monotonic()
        desk.session.pause(view)
        desk.wait(lambda: any(s >= FINE and a.final for _, s, a in pictures.since(began)))  # noqa: B023
        fine = [t for t, side, a in pictures.since(began) if side >= FINE and a.final]
        waits.append(fine[0] - began)
        desk.session.play(view)
        desk.pump(1.5)
    slowest = max(waits)
    note = f"{rounds} pauses, median {np.median(waits):.2f} s"
    name = "pause → density of 512², slowest"
    return figure(name, slowest, "s", f"≤ {REST_SECONDS:.0f} s", slowest <= REST_SECONDS, note)
