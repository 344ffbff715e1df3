"""What steps cost with history (snapshots, keyframes, all of it on disk) and without any.

The cost is the processor time that the whole engine takes while it trains, disk thread and all: on
a machine where other work runs too it is far steadier than wall-clock, which the note gives beside
what is written once the run rests.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import psutil

from engine.launch import EngineProcess, launch
from engine.shelving import VISIT_SECONDS
from engine.wire import messages as m
from tests.benchmarks.desk import figure

NAME = "history's cost"
SECONDS = 82
LONG = False

MODELS = ("realnvp", "maf", "vae", "ebm", "gan")
BAR = 0.05
#: Bytes for the check that the budget is never exceeded: a few dozen snapshots of a flow.
BUDGET = 4 * 2**20
BEFORE = "tests.benchmarks.without_history"
PATIENCE = 120.0


class Child:
    """An engine with one run at a time."""

    def __init__(self, folder: str, plugins: tuple[str, ...] = (), **options: Any) -> None:
        self.engine: EngineProcess = launch(keyframe_folder=folder, plugins=plugins, **options)
        self._ids = itertools.count(1)
        self.most_bytes = 0
        self._receive(lambda record: isinstance(record, m.Hello))

    def start(self, model: str) -> None:
        """A run of a model with its own settings."""
        self._command(m.StartRun, "a", m.RunSpec(model, "two_moons"))

    def steps(self, count: int) -> tuple[float, float]:
        """Processor and wall-clock seconds for so many steps."""
        began, used = time.perf_counter(), self._processor_seconds()
        self._command(m.StepOnce, "a", count)
        self._receive(lambda r: isinstance(r, m.RunState) and r.state == "paused")
        return self._processor_seconds() - used, time.perf_counter() - began

    def rest(self) -> float:
        """Processor seconds that the disk thread takes at its next visit, while the run rests."""
        used = self._processor_seconds()
        time.sleep(VISIT_SECONDS)
        return self._processor_seconds() - used

    def _processor_seconds(self) -> float:
        times = psutil.Process(self.engine.process.pid).cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        """Forget the run."""
        self._command(m.CloseRun, "a")

    def _command(self, kind: Any, *arguments: Any) -> None:
        name = next(self._ids)
        self.engine.channel.send(kind(name, *arguments))
        found = self._receive(lambda r: isinstance(r, m.Ack | m.Failed) and r.id == name)
        if isinstance(found, m.Failed):
            raise RuntimeError(found.message)

    def _receive(self, accept: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.engine.channel.poll(0.05):
                record = self.engine.channel.receive()
                if isinstance(record, m.RunState):
                    self.most_bytes = max(self.most_bytes, record.history_bytes)
                if accept(record):
                    return record
        raise TimeoutError("the engine said nothing that was waited for")


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """The share of training time that history takes, and its bytes against the budget."""
    rounds, seconds = (8, 0.2) if quick else (24, 0.25)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        pair = Child(folder), Child("", (BEFORE,))
        for child in pair:
            stack.callback(child.engine.stop)
        for model in MODELS:
            yield cost(pair, model, rounds, seconds)
    yield budget(1500 if quick else 3000)


def cost(pair: tuple[Child, Child], model: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Both take the same steps in many short turns: what else the machine does falls on both.

    The figure is the ratio of the sums over all turns; the note has the turns' own quartiles.
    """
    for child in pair:
        child.start(model)
    first = [child.steps(100)[0] for child in pair]
    count = max(20, round(100 * seconds / max(first)))
    taken = np.empty((rounds, 2, 2))
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            taken[turn, which] = pair[which].steps(count)
    left = pair[0].rest() / float(taken[:, 0, 0].sum())
    for child in pair:
        child.close()
    ratios = taken[:, 0, 0] / taken[:, 1, 0] - 1.0
    share = float(taken[:, 0, 0].sum() / taken[:, 1, 0].sum() - 1.0)
    wall = float(taken[:, 0, 1].sum() / taken[:, 1, 1].sum() - 1.0)
    low, high = (100 * float(np.quantile(ratios, q)) for q in (0.25, 0.75))
    note = (
        f"{rounds} pairs of {count} steps, quartiles {low:.1f} … {high:.1f} %; "
        f"wall-clock {100 * wall:.1f} %; written at rest: {100 * left:.1f} %"
    )
    name = f"history's cost, {model}"
    return figure(name, 100 * share, "%", f"≤ {100 * BAR:.0f} %", share <= BAR, note)


def budget(steps: int) -> dict[str, Any]:
    """The most bytes that any report told, over the budget."""
    with tempfile.TemporaryDirectory() as folder:
        child = Child(folder, history_budget=BUDGET)
        try:
            child.start("realnvp")
            child.steps(steps)
        finally:
            child.engine.stop()
    share = child.most_bytes / BUDGET
    note = f"{child.most_bytes / 2**20:.2f} MiB of {BUDGET / 2**20:.0f} MiB after {steps} steps"
    return figure("history, most bytes ÷ budget", share, "", "≤ 1", share <= 1, note)
