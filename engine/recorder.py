"""Training figures of a run between two reports: losses, gradient norm, held-out score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from engine.training import Trainer, held_out_nll
from engine.wire.messages import Metrics

#: The gradient norm is recorded at every so many steps, the held-out score at every so many.
GRADIENT_EVERY = 10
HELD_OUT_EVERY = 50
#: Held-out points scored while training.
HELD_OUT_POINTS = 2000


class Recorder:
    """Rows of named figures by step."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, dict[str, Tensor | float]]] = []

    def record(
        self, trainer: Trainer, losses: Mapping[str, Tensor], seed: int, seconds: float
    ) -> None:
        """Add the row of the step just taken, after so many seconds of training.

        The same seed gives the same noise in scores.
        """
        step = trainer.steps_done
        row: dict[str, Tensor | float] = {**losses, "seconds": seconds}
        # What is fitted without a gradient has none to show.
        if trainer.state.optimisers and (step % GRADIENT_EVERY == 0 or step == 1):
            row["gradient_norm"] = trainer.gradient_norm()
        every = 1 if trainer.model.full_batch else HELD_OUT_EVERY
        if step % every == 0 or step == 1:
            score = _held_out(trainer, seed)
            if score is not None:
                row["held_out_nll"] = score
        self._rows.append((step, row))

    def cut(self, step: int) -> None:
        """Forget rows after a step."""
        self._rows = [row for row in self._rows if row[0] <= step]

    def clear(self) -> None:
        """Forget all rows."""
        self._rows = []

    def take(self, run: str) -> Metrics | None:
        """The rows recorded since the last call; None when there are none."""
        rows, self._rows = self._rows, []
        if not rows:
            return None
        columns = tuple(dict.fromkeys(name for _, row in rows for name in row))
        table = np.full((len(rows), len(columns)), np.nan)
        for index, name in enumerate(columns):
            places = [i for i, (_, row) in enumerate(rows) if name in row]
            table[places, index] = _floats([rows[i][1][name] for i in places])
        return Metrics(run, columns, np.array([step for step, _ in rows]), table)


def _held_out(trainer: Trainer, seed: int) -> float | None:
    model = trainer.model.eval()
    data, labels = trainer.dataset.valid[:HELD_OUT_POINTS], trainer.dataset.valid_labels
    labels = None if labels is None else labels[:HELD_OUT_POINTS]
    score = held_out_nll(model, data, labels=labels, seed=seed)
    model.train()
    return score


def _floats(values: list[Tensor | float]) -> list[float]:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) == len(values):
        return [float(v) for v in torch.stack([t.detach().reshape(()) for t in tensors]).tolist()]
    return [float(value) for value in values]
