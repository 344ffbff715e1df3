"""Training for so many seconds of processor time, which a busy machine does not eat into."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.training import Trainer

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "processor": time.process_time,
}


def train_paced(
    model: GenerativeModel,
    dataset: Dataset,
    seconds: float,
    *,
    cosine: bool = True,
    clock: str = "processor",
    seed: int = 0,
) -> int:
    """Train a model, left in eval mode, on the CPU; the steps that it took.

    Args:
        model: Trained in place with the rate and batch size of its settings.
        dataset: Where batches come from.
        seconds: Budget by the clock.
        cosine: Let the learning rate fall to zero at the end.
        clock: One of :data:`CLOCKS`.
        seed: Of batches and noise.
    """
    trainer, now = Trainer(model, dataset, seed=seed, device="cpu"), CLOCKS[clock]
    start = now()
    while (share := (now() - start) / seconds) < 1.0:
        if cosine:
            rate = 0.5 * (1.0 + math.cos(math.pi * share))
            trainer.state.set_learning_rate(trainer.learning_rate * rate)
        trainer.step()
    model.eval()
    return trainer.steps_done
