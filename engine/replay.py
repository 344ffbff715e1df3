"""Reach a step between two stored ones: from the keyframe before it, repeat what was done.

On one device with one thread count the repetition is exact, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.changes import Change, Changes
from engine.dataset import Dataset
from engine.history import Milestone
from engine.registry import build_for
from engine.training import Trainer
from engine.wire.fields import Value
from engine.wire.messages import RunSpec


class Replay:
    """A trainer of its own that takes a run's steps again.

    Args:
        spec: The run's.
        first_dataset: The data with which the run began.
        milestone: Where to begin.
        changes: What the user changed, in order.
        target: The step to reach.

    Raises:
        ValueError: The data that were in force cannot be built again.
    """

    def __init__(
        self,
        spec: RunSpec,
        first_dataset: Dataset,
        milestone: Milestone,
        changes: Changes,
        target: int,
    ) -> None:
        data = changes.data_at(milestone.n_changes)
        dataset = data.build() if data is not None else first_dataset
        model = build_for(spec, dataset)
        self.trainer = Trainer(model, dataset, seed=spec.seed, device=spec.device)
        self.trainer.restore(milestone.keyframe)
        self._begin = milestone
        self.target = target
        self.due = Due(changes.entries[milestone.n_changes :], target)

    @property
    def is_done(self) -> bool:
        """Whether the step is reached."""
        return self.trainer.steps_done >= self.target

    def advance(self) -> None:
        """Take one step."""
        self.due.apply(self.trainer)
        self.trainer.step()

    def milestone(self) -> Milestone:
        """Where it stands, as a keyframe of the run that it repeats."""
        keyframe = self.trainer.capture()
        keyframe.meta["seconds"] = self._begin.keyframe.meta.get("seconds", 0.0)
        return Milestone(keyframe, self._begin.n_changes + self.due.n_made)


class Due:
    """Changes that wait for their step.

    Args:
        changes: In order.
        target: Changes made after this step are left out.
    """

    def __init__(self, changes: list[Change], target: int) -> None:
        self._changes = [change for change in changes if change.step <= target]
        self.n_made = 0

    def apply(self, trainer: Trainer, told: Callable[[Change], None] | None = None) -> None:
        """Make those that are due at the trainer's step."""
        while self._changes and self._changes[0].step <= trainer.steps_done:
            change = self._changes.pop(0)
            self.n_made += 1
            if change.dataset:
                trainer.set_data(change.build())
            else:
                trainer.set_live(change.values)
            if told is not None:
                told(change)


@dataclass(frozen=True)
class CatchUp:
    """What a fork does until it parts from its parent."""

    step: int
    due: Due
    values: dict[str, Value]
    playing: bool
    first: int

    def progress(self, step: int) -> tuple[int, ...]:
        """First, present and last step of what is repeated."""
        return self.first, step, self.step
