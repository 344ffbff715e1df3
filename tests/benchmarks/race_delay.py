"""How long an event waits in the window while six models race with two panels open."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from engine.wire.messages import Answer, RunSpec
from tests.benchmarks.desk import Desk, figure, open_desk
from tests.benchmarks.gui_delay import MAX_MS, P99_MS, measure
from widgets.race.lineup import Entry, Rule, Wish

NAME = "delay of GUI events in a race"
SECONDS = 45
LONG = False

#: One of each family, and a second flow.
RACERS = ("made", "vae", "maf", "realnvp", "ebm", "gan")
DATA = "two_moons"
WARM_UP = 8.0


class Frames:
    """Counts the pictures that reach the race panel."""

    def __init__(self, desk: Desk) -> None:
        self.times: list[float] = []
        desk.window.asker.pictured.connect(self._on_pictured)

    def _on_pictured(self, panel: str, part: str, answer: Answer) -> None:
        if panel == "race" and part.startswith("picture:") and answer.final:
            self.times.append(time.monotonic())

    def per_second(self, since: float, seconds: float) -> float:
        """Pictures a second, of all racers together."""
        return sum(moment >= since for moment in self.times) / seconds


def figures(quick: bool = False) -> list[dict[str, Any]]:
    """The 99th percentile and the largest delay, and how many pictures came."""
    seconds = 8.0 if quick else 20.0
    with open_desk() as desk:
        start_race(desk)
        frames = Frames(desk)
        desk.pump(WARM_UP)
        began = time.monotonic()
        delays = 1000 * np.array(measure(desk, seconds))
        rate = frames.per_second(began, seconds)
        steps = [view.step for view in desk.window.racing.members]
    p99, largest = float(np.quantile(delays, 0.99)), float(delays.max())
    note = f"{len(delays)} events, median {np.median(delays):.2f} ms"
    spread = f"all six together; steps {min(steps)} to {max(steps)}"
    return [
        figure("six racers: GUI delay, p99", p99, "ms", f"≤ {P99_MS:.0f} ms", p99 <= P99_MS, note),
        figure(
            "six racers: GUI delay, largest",
            largest,
            "ms",
            f"≤ {MAX_MS:.0f} ms",
            largest <= MAX_MS,
            note,
        ),
        figure("six racers: pictures", rate, "1/s", "", None, spread),
    ]


def start_race(desk: Desk) -> None:
    """Six models with equal steps, more than they can take while this is measured."""
    desk.start(RunSpec("realnvp", DATA), playing=False)
    window = desk.window
    window.racing.choose()
    cards = {card.name: card for card in desk.session.hello.models} if desk.session.hello else {}
    entries = tuple(Entry(name, cards[name].title, cards[name]) for name in RACERS)
    window.racing.start(Wish(entries, Rule("steps", steps=1_000_000)))
    desk.wait(lambda: window.racing.members and all(v.step > 0 for v in window.racing.members))
    desk.show_only("race", "training")
