"""Whose turn it is: training time is shared by time, or within a convoy by steps.

Each run counts the training time that it has used. The one that has used least goes next, so that
in any second all get the same share, whatever a step of theirs costs. Runs of one convoy (a race
of equal steps) count as one group with the mean of its members' time, which gives k members k
shares; within it the one with the fewest steps goes next, so all are at about the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

#: Steps by which one turn of a convoy's member may lead the slowest other member.
LEAD = 8
#: Seconds after which a run that is held looks again; it is told before, as a rule.
HELD_SECONDS = 1.0


@dataclass(frozen=True)
class Finish:
    """Where a run stops by itself; None is no limit. ``convoy`` names its group, "" for none.

    ``hold`` is a step at which it only waits: for members of the convoy in other engines.

    Raises:
        ValueError: The line is not ahead of the start.
    """

    steps: int | None = None
    seconds: float | None = None
    convoy: str = ""
    hold: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise ValueError(f"finish: given {value} {name}, wanted more than 0")

    def is_reached(self, step: int, seconds: float) -> bool:
        """Whether so many steps, or so many seconds of training, are at or beyond the line."""
        by_steps = self.steps is not None and step >= self.steps
        return by_steps or (self.seconds is not None and seconds >= self.seconds)

    def wait_seconds(self, step: int, due: float) -> float:
        """Seconds to wait at a step whose next one is due in ``due`` seconds."""
        if self.hold is not None and step >= self.hold:
            return HELD_SECONDS
        return max(0.0, due)

    def beyond(self, step: int, seconds: float) -> Finish:
        """The line for a fork: the same while it lies ahead, and none once it is crossed."""
        return Finish() if self.is_reached(step, seconds) else replace(self, convoy="", hold=None)


class Contender(Protocol):
    """What is asked of a run."""

    used: float
    finish: Finish

    @property
    def step(self) -> int:
        """Steps taken."""


C = TypeVar("C", bound=Contender)


def choose(due: Sequence[C]) -> C:
    """The run that goes next among those that are due; the first of equals.

    Args:
        due: Runs that want training time now, at least one.
    """
    alone: list[list[C]] = []
    convoys: dict[str, list[C]] = {}
    for run in due:
        if run.finish.convoy:
            convoys.setdefault(run.finish.convoy, []).append(run)
        else:
            alone.append([run])
    group = min([*alone, *convoys.values()], key=_mean_used)
    return min(group, key=lambda run: (run.step, run.used))


def last_step(run: Contender, due: Sequence[Contender]) -> int | None:
    """The step at which a turn ends, whatever time is left; None where only time counts."""
    convoy = run.finish.convoy
    others = [other.step for other in due if other is not run and other.finish.convoy == convoy]
    return min(others) + LEAD if convoy and others else None


def _mean_used(group: Sequence[Contender]) -> float:
    return sum(run.used for run in group) / len(group)
