"""What a run keeps of its past, under one memory budget: snapshots to view, keyframes to fork.

Snapshots (weights only) are dense at first, then thin out, evenly in the logarithm of the step.
Keyframes (all that decides how training goes on) are sparser; a step between them is reached by
replay.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from engine.model import GenerativeModel
from engine.training import Keyframe

DEFAULT_BUDGET = 512 * 2**20
#: A snapshot is kept when it is this share of the run's length after the one before.
SNAPSHOT_SPACING = 1 / 50
#: A keyframe likewise, but never closer than so many steps.
KEYFRAME_SPACING = 1 / 6
KEYFRAME_STEPS = 25
#: Keyframes may take this share of the budget; snapshots always have the rest.
KEYFRAME_SHARE = 0.4


class Kept(Protocol):
    """One entry of the past."""

    @property
    def step(self) -> int:
        """Training steps taken by then."""
        ...

    @property
    def n_bytes(self) -> int:
        """Memory that it holds."""
        ...


#: Number types and shapes of a model's weights and buffers, in order.
Layout: TypeAlias = tuple[tuple[torch.dtype, torch.Size], ...]


@dataclass(frozen=True)
class Snapshot:
    """Immutable weights of one training step, with the configuration then in force.

    Attributes:
        packed: All numbers of one type in one vector: one large copy is far cheaper than many
            small ones, in memory as on the disk.
        layout: What is in them.
    """

    step: int
    packed: Mapping[torch.dtype, Tensor]
    layout: Layout
    config: Any

    @cached_property
    def n_bytes(self) -> int:
        """Memory that it holds."""
        return sum(t.numel() * t.element_size() for t in self.packed.values())

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """Weights and buffers one by one, as views."""
        taken = dict.fromkeys(self.packed, 0)
        found = []
        for kind, shape in self.layout:
            start = taken[kind]
            taken[kind] = start + shape.numel()
            found.append(self.packed[kind][start : taken[kind]].view(shape))
        return tuple(found)

    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(
            bool(torch.linalg.vector_norm(t).isfinite())
            for t in self.packed.values()
            if t.is_floating_point()
        )


@dataclass(frozen=True)
class Milestone:
    """A keyframe, and how many of the run's changes were in force when it was taken."""

    keyframe: Keyframe
    n_changes: int

    @property
    def step(self) -> int:
        """Training steps taken by then."""
        return int(self.keyframe.meta["step"])

    @cached_property
    def n_bytes(self) -> int:
        """Memory that it holds."""
        return sum(t.numel() * t.element_size() for t in self.keyframe.tensors.values())


K = TypeVar("K", bound=Kept)


@torch.no_grad()
def take(model: GenerativeModel, step: int) -> Snapshot:
    """Copy a model's weights and buffers as they are now."""
    values = list(model.state_dict(keep_vars=True).values())  # what is packed is a copy anyway
    return Snapshot(step, pack(values), layout_of(values), model.config)


def layout_of(tensors: Iterable[Tensor]) -> Layout:
    """Number types and shapes."""
    return tuple((value.dtype, value.shape) for value in tensors)


@torch.no_grad()
def pack(tensors: Iterable[Tensor]) -> dict[torch.dtype, Tensor]:
    """Copy tensors into one vector per number type."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for value in tensors:
        groups.setdefault(value.dtype, []).append(value.reshape(-1))
    return {kind: torch.cat(parts) for kind, parts in groups.items()}


@torch.no_grad()
def put(snapshot: Snapshot, model: GenerativeModel) -> None:
    """Load a snapshot into a replica of the model that it was taken of."""
    for target, source in zip(model.state_dict().values(), snapshot.tensors, strict=True):
        target.copy_(source)
    model.config = snapshot.config


@dataclass
class Track(Generic[K]):
    """Entries by step, ascending; the first and the newest are never dropped.

    The list is replaced as a whole, never changed, so another thread may read it at any time.

    Attributes:
        held: A step that somebody looks at: it is not thinned out meanwhile.
    """

    spacing: float
    least: int
    entries: list[K] = field(default_factory=list)
    n_bytes: int = 0
    held: int | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of all entries, oldest first."""
        return tuple(entry.step for entry in self.entries)

    def wants(self, step: int) -> bool:
        """Whether an entry of this step would be kept."""
        if not self.entries:
            return True
        return step - self.entries[-1].step >= max(self.least, int(step * self.spacing))

    def add(self, entry: K, budget: float) -> None:
        """Keep an entry; those at or after its step (from before a rewind) are dropped."""
        if self.entries and self.entries[-1].step >= entry.step:
            self.cut(entry.step)
        self.entries = [*self.entries, entry]
        self.n_bytes += entry.n_bytes
        self.fit(budget)

    def insert(self, entry: K, budget: float) -> None:
        """Keep an entry between the others."""
        place = self._place(entry.step)
        if place < len(self.entries) and self.entries[place].step == entry.step:
            return
        self.entries = [*self.entries[:place], entry, *self.entries[place:]]
        self.n_bytes += entry.n_bytes
        self.fit(budget, keep=entry.step)

    def fit(self, budget: float, keep: int | None = None) -> None:
        """Thin out until the budget holds: first where neighbours are closest together."""
        if self.n_bytes <= budget or len(self.entries) <= 2:
            return
        entries, safe = list(self.entries), {keep, self.held}
        while self.n_bytes > budget and len(entries) > 2:
            steps = [entry.step for entry in entries]
            inner = [i for i in range(1, len(steps) - 1) if steps[i] not in safe]
            if not inner:
                break
            victim = min(inner, key=lambda i: (steps[i + 1] - steps[i - 1]) / (steps[i] + 50))
            self.n_bytes -= entries.pop(victim).n_bytes
        self.entries = entries

    def cut(self, step: int) -> None:
        """Forget what is at or after a step."""
        self.replace(self.entries[: self._place(step)])

    def before(self, step: int) -> K | None:
        """The newest entry that is not after ``step``, else the oldest; None when empty."""
        entries = self.entries
        if not entries:
            return None
        place = bisect.bisect_right(entries, step, key=lambda entry: entry.step)
        return entries[max(0, place - 1)]

    def replace(self, entries: Sequence[K]) -> None:
        """Take over another list."""
        self.entries = list(entries)
        self.n_bytes = sum(entry.n_bytes for entry in self.entries)

    def _place(self, step: int) -> int:
        return bisect.bisect_left(self.entries, step, key=lambda entry: entry.step)


def _snapshots() -> Track[Snapshot]:
    return Track(SNAPSHOT_SPACING, 1)


def _keyframes() -> Track[Milestone]:
    return Track(KEYFRAME_SPACING, KEYFRAME_STEPS)


@dataclass
class History:
    """Snapshots and keyframes of one run under one budget, in bytes.

    Attributes:
        budget: Never exceeded, but by the first and the newest entry of each kind.
    """

    budget: int = DEFAULT_BUDGET
    snapshots: Track[Snapshot] = field(default_factory=_snapshots)
    keyframes: Track[Milestone] = field(default_factory=_keyframes)

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that can be shown, oldest first."""
        return self.snapshots.steps

    @property
    def n_bytes(self) -> int:
        """Memory held by everything."""
        return self.snapshots.n_bytes + self.keyframes.n_bytes

    def set_budget(self, budget: int) -> None:
        """Another budget, kept from now on."""
        self.budget = budget
        self.keyframes.fit(self._keyframe_budget())
        self.snapshots.fit(self._snapshot_budget())

    def wants(self, step: int) -> bool:
        """Whether a snapshot of this step would be kept."""
        return self.snapshots.wants(step)

    def wants_keyframe(self, step: int) -> bool:
        """Whether a keyframe of this step would be kept."""
        return self.keyframes.wants(step)

    def add(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; those at or after its step (from before a rewind) are dropped."""
        self.snapshots.add(snapshot, self._snapshot_budget())

    def insert(self, snapshot: Snapshot) -> None:
        """Keep a snapshot of a step between the stored ones."""
        self.snapshots.insert(snapshot, self._snapshot_budget())

    def insert_keyframe(self, milestone: Milestone) -> None:
        """Keep a keyframe of a step between the others, unless one is close before it."""
        before = self.keyframe_at(milestone.step)
        if before is None or milestone.step - before.step >= KEYFRAME_STEPS:
            self.keyframes.insert(milestone, self._keyframe_budget())
            self.snapshots.fit(self._snapshot_budget())

    def hold(self, step: int | None) -> None:
        """Do not thin out what somebody looks at; the one held before is free again."""
        self.snapshots.held = step

    def add_keyframe(self, milestone: Milestone) -> None:
        """Keep a keyframe; snapshots make room for it."""
        self.keyframes.add(milestone, self._keyframe_budget())
        self.snapshots.fit(self._snapshot_budget())

    def cut(self, step: int) -> None:
        """Forget everything at or after a step."""
        self.snapshots.cut(step)
        self.keyframes.cut(step)

    def at(self, step: int) -> Snapshot | None:
        """The newest snapshot that is not after ``step``, else the oldest; None when empty."""
        return self.snapshots.before(step)

    def keyframe_at(self, step: int) -> Milestone | None:
        """The newest keyframe that is not after ``step``; None if there is none."""
        found = self.keyframes.before(step)
        return found if found is not None and found.step <= step else None

    def until(self, step: int) -> History:
        """A history of its own with what is at or before a step; the entries are shared."""
        other = History(self.budget)
        other.snapshots.replace([s for s in self.snapshots.entries if s.step <= step])
        other.keyframes.replace([k for k in self.keyframes.entries if k.step <= step])
        return other

    def _keyframe_budget(self) -> float:
        return KEYFRAME_SHARE * self.budget

    def _snapshot_budget(self) -> float:
        return self.budget - self.keyframes.n_bytes
