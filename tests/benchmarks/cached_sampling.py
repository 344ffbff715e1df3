"""What a batch of 28×28 samples costs in forward passes of that batch, and pixels per second.

A naïve sampler needs one pass per pixel, 784. The cached result is the naïve one: the laws
and the models' tests hold that; here only time is measured. Rounds alternate.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.nets.stepwise import last_of
from engine.registry import build_model

NAME = "cached sampling of pictures"
SECONDS = 240
LONG = False

SHAPE, N_PIXELS = (1, 28, 28), 784
BATCH = 64
PASSES_BAR = 10.0
PIXELS_BAR = 1000.0
N_ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A model and the bars it has, if any."""

    model: str
    passes_bar: float | None = None
    pixels_bar: float | None = None
    config: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("gated_pixelcnn", PASSES_BAR, PIXELS_BAR, {"n_layers": 6, "n_channels": 32}),
    Case("transformer", PASSES_BAR),
    Case("rnn"),
)


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Two figures for each model."""
    torch.set_num_threads(1)
    for case in CASES:
        yield from measure(case, 1 if quick else N_ROUNDS)


@torch.no_grad()
def measure(case: Case, n_rounds: int) -> Iterator[dict[str, Any]]:
    """Forward passes that a batch of samples takes, and pixels per second of one sample."""
    model: Any = build_model(case.model, event_shape=SHAPE, levels=2, **case.config).eval()
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(BATCH, N_PIXELS, generator=generator)
    x = last_of(model.sample_steps(noise))
    ratios, alone = [], []
    for _ in range(n_rounds):
        passing = seconds_of(lambda: model.log_prob(x))
        ratios.append(seconds_of(lambda: last_of(model.sample_steps(noise))) / passing)
        alone.append(N_PIXELS / seconds_of(lambda: last_of(model.sample_steps(noise[:1]))))
    yield figure(
        f"{BATCH} samples of 28×28, {case.model}",
        statistics.median(ratios),
        "passes",
        case.passes_bar,
        note="forward passes of that batch; naïve: 784; one thread",
    )
    yield figure(
        f"one sample of 28×28, {case.model}",
        max(alone),
        "pixels/s",
        case.pixels_bar,
        at_least=True,
        note="the best of the rounds, one thread",
    )


def figure(
    name: str, value: float, unit: str, bar: float | None, *, at_least: bool = False, note: str
) -> dict[str, Any]:
    """A line of the table."""
    found: dict[str, Any] = {"name": name, "value": value, "unit": unit, "note": note}
    if bar is not None:
        sign = "≥" if at_least else "≤"
        met = value >= bar if at_least else value <= bar
        found |= {"bar": f"{sign} {bar:g} {unit}", "met": met}
    return found


def seconds_of(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    for found in figures(quick="--quick" in sys.argv):
        words = (found["name"], f"{found['value']:.3g}", found["unit"], found.get("bar", ""))
        sys.stdout.write("  ".join((*words, found["note"])) + "\n")
        sys.stdout.flush()
