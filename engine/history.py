"""Snapshots of a run to look at: dense at first, then thinning, under a memory budget."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.model import GenerativeModel

DEFAULT_BUDGET = 512 * 2**20
#: A snapshot is kept when it is this share of the run's length after the one before.
RELATIVE_SPACING = 1 / 50


@dataclass(frozen=True)
class Snapshot:
    """Immutable weights of one training step, with the configuration then in force."""

    step: int
    tensors: tuple[Tensor, ...]
    config: Any

    @property
    def n_bytes(self) -> int:
        """Memory that it holds."""
        return sum(t.numel() * t.element_size() for t in self.tensors)


@torch.no_grad()
def take(model: GenerativeModel, step: int) -> Snapshot:
    """Copy a model's weights and buffers as they are now."""
    tensors = tuple(value.detach().clone() for value in model.state_dict().values())
    return Snapshot(step, tensors, model.config)


@torch.no_grad()
def put(snapshot: Snapshot, model: GenerativeModel) -> None:
    """Load a snapshot into a replica of the model that it was taken of."""
    for target, source in zip(model.state_dict().values(), snapshot.tensors, strict=True):
        target.copy_(source)
    model.config = snapshot.config


@dataclass
class History:
    """Stored snapshots by step, ascending; the first and the newest are never dropped."""

    budget: int = DEFAULT_BUDGET
    _snapshots: list[Snapshot] = field(default_factory=list)
    _bytes: int = 0

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that can be shown, oldest first."""
        return tuple(snapshot.step for snapshot in self._snapshots)

    @property
    def n_bytes(self) -> int:
        """Memory held by all snapshots."""
        return self._bytes

    def wants(self, step: int) -> bool:
        """Whether a snapshot of this step would be kept."""
        if not self._snapshots:
            return True
        gap = step - self._snapshots[-1].step
        return gap >= max(1, int(step * RELATIVE_SPACING))

    def add(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; those at or after its step (from before a rewind) are dropped."""
        self.cut(snapshot.step)
        self._replace([*self._snapshots, snapshot])
        while self._bytes > self.budget and len(self._snapshots) > 2:
            self._thin()

    def cut(self, step: int) -> None:
        """Forget snapshots at or after a step."""
        keep = bisect.bisect_left(self.steps, step)
        self._replace(self._snapshots[:keep])

    def at(self, step: int) -> Snapshot | None:
        """The newest snapshot that is not after ``step``, else the oldest; None when empty."""
        snapshots = self._snapshots  # one read: the trainer's thread may replace the list
        if not snapshots:
            return None
        place = bisect.bisect_right(snapshots, step, key=lambda snapshot: snapshot.step)
        return snapshots[max(0, place - 1)]

    def _thin(self) -> None:
        """Drop the snapshot whose neighbours are closest together, relative to its step."""
        inner = range(1, len(self._snapshots) - 1)
        steps = self.steps
        victim = min(inner, key=lambda i: (steps[i + 1] - steps[i - 1]) / (steps[i] + 50))
        self._replace([*self._snapshots[:victim], *self._snapshots[victim + 1 :]])

    def _replace(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = list(snapshots)
        self._bytes = sum(snapshot.n_bytes for snapshot in self._snapshots)
