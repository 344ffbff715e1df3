"""How long flows over pictures take to draw 64 pictures of 28 × 28, at their default size.

Untrained models of 256 levels (the work does not depend on the weights), on one thread; the least
of a few times.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from engine.registry import build_model, model_names

NAME = "sampling pictures by a flow"
SECONDS = 10
LONG = False

SHAPE = (1, 28, 28)
N_PICTURES = 64
MODELS = ("glow", "realnvp_pictures")
MOST_SECONDS = 2.0


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Seconds per model."""
    torch.set_num_threads(1)
    for name in MODELS:
        if name in model_names():
            yield measure(name, 2 if quick else 5)


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Draw a few times; the least counts."""
    model: Any = build_model(name, event_shape=SHAPE, seed=0, levels=256).eval()
    generator = torch.Generator().manual_seed(0)
    least = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        model.sample(N_PICTURES, generator=generator)
        least = min(least, time.perf_counter() - start)
    return {
        "name": f"{model.card.title}: {N_PICTURES} samples 28×28",
        "value": least,
        "unit": "s",
        "bar": f"≤ {MOST_SECONDS:g} s",
        "met": least <= MOST_SECONDS,
        "note": f"one thread; {model.n_parameters:,} parameters; {len(model.layers())} layers",
    }
