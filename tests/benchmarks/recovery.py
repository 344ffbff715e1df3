"""Seconds of training lost when the window and its engine are killed while two runs train."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from tests.end_to_end.killing import WindowProcess, flow_of

NAME = "recovery"
SECONDS = 50
LONG = False

BAR_SECONDS = 10.0
KILLS = 2


def figures(quick: bool = False) -> list[dict[str, Any]]:
    """The worst of several kills at random instants, and the painting strokes lost in all."""
    chance = random.Random(0)
    lost = [kill_once(8.0 + 6.0 * chance.random()) for _ in range(1 if quick else KILLS)]
    worst = max(seconds for seconds, _ in lost)
    strokes = sum(strokes for _, strokes in lost)
    note = f"worst of {len(lost)} kills of both processes while two runs train"
    return [
        {
            "name": "training lost by kill −9 of both processes",
            "value": worst,
            "unit": "s",
            "bar": f"≤ {BAR_SECONDS:.0f} s",
            "met": worst <= BAR_SECONDS,
            "note": note,
        },
        {
            "name": "painted strokes lost by kill −9",
            "value": strokes,
            "bar": "0",
            "met": strokes == 0,
            "note": "strokes that a run had been told of at least 0.2 s before",
        },
    ]


def kill_once(seconds: float) -> tuple[float, int]:
    """Train, kill both, start again, recover; seconds of training and strokes that are gone."""
    with tempfile.TemporaryDirectory() as folder:
        first = WindowProcess("train", Path(folder))
        began = first.until(lambda line: flow_of(line).get("step", 0) > 0)["t"]
        last = first.until(lambda line: line["t"] > began + seconds)
        first.kill()
        second = WindowProcess("recover", Path(folder))
        second.until(lambda line: "recovered" in line)
        after = flow_of(second.until(lambda line: flow_of(line).get("stored", 0) > 0))
        second.kill()
    seen = [(line["t"], flow_of(line)) for line in first.lines if flow_of(line)]
    reached = max((t for t, run in seen if run["step"] <= after["step"]), default=began)
    settled = max(run["strokes"] for t, run in seen if t <= last["t"] - 0.2)
    return last["t"] - reached, max(0, settled - after["strokes"])
