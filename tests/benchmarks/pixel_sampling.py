"""How fast pictures are painted pixel by pixel: cached, against one pass and against naïve.

Binary pictures of 28 × 28 from untrained models (the work does not depend on the weights); one
thread. A naïve sampler runs the whole network once per pixel, 784 times; here it is timed over
its first rows and scaled up, since every pixel costs the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch

from engine.model import GenerativeModel
from engine.nets.stepwise import naive_steps
from engine.registry import build_model, model_names

NAME = "sampling pixel by pixel"
SECONDS = 42
LONG = False

SHAPE = (1, 28, 28)
N_PIXELS = 784
BATCH_SIZE = 64
#: Models with a cached sampler; those that have a bar stand first.
MODELS = (
    "gated_pixelcnn",
    "transformer",
    "pixelcnn",
    "row_lstm",
    "diagonal_bilstm",
    "multiscale_pixelrnn",
)
WITH_BAR = ("gated_pixelcnn", "transformer")
MOST_PASSES = 10.0
LEAST_PIXELS = 1000.0
N_NAIVE = 28


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Per model: passes that 64 samples cost, and pixels per second of one sample."""
    torch.set_num_threads(1)
    repeats = 2
    for name in MODELS:
        if name in model_names():
            model = build_model(name, event_shape=SHAPE, seed=0).eval()
            yield passes(model, repeats)
            yield pixels(model, repeats)


def passes(model: GenerativeModel, repeats: int) -> dict[str, Any]:
    """Time of 64 cached samples in passes of the same batch through the network."""
    drawn: Any = model
    generator = torch.Generator().manual_seed(0)
    x = drawn.sample(BATCH_SIZE, generator=generator)
    with torch.no_grad():
        one = least_seconds(lambda: drawn.conditionals(x), repeats)
    all_ = least_seconds(lambda: drawn.sample(BATCH_SIZE, generator=generator), repeats)
    barred = model.card.name in WITH_BAR
    return {
        "name": f"{model.card.title}: {BATCH_SIZE} samples ÷ one forward pass",
        "value": all_ / one,
        "unit": "×",
        "bar": f"≤ {MOST_PASSES:g} ×" if barred else "",
        "met": all_ / one <= MOST_PASSES if barred else None,
        "note": f"{all_:.2f} s against {one:.3f} s; naïve {N_PIXELS} passes; one thread",
    }


def pixels(model: GenerativeModel, repeats: int) -> dict[str, Any]:
    """Pixels per second of a single sample, cached, and naïve beside it."""
    drawn: Any = model
    noise = torch.rand(1, N_PIXELS, generator=torch.Generator().manual_seed(1))
    cached = N_PIXELS / least_seconds(lambda: list(drawn.sample_steps(noise)), repeats)
    naive = N_NAIVE / least_seconds(lambda: list(islice(naive_steps(drawn, noise), N_NAIVE)), 2)
    barred = model.card.name == "gated_pixelcnn"
    return {
        "name": f"{model.card.title}: pixels per second of one sample",
        "value": cached,
        "unit": "pixels/s",
        "bar": f"≥ {LEAST_PIXELS:.0f}" if barred else "",
        "met": cached >= LEAST_PIXELS if barred else None,
        "note": f"naïve {naive:.0f} pixels/s; {model.n_parameters:,} parameters; one thread",
    }


def least_seconds(work: Callable[[], object], repeats: int) -> float:
    """Wall-clock time of the quickest of some runs after a first one: the machine may be busy."""
    work()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)
