"""What the user changed while a run trained, by step, so that any step can be reached again.

A painting of twenty thousand dabs is a text of 430 kB, and while one paints it changes ten times a
second. So a change of data that follows another of the same data set keeps only what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from engine.dataset import Dataset
from engine.registry import build_dataset
from engine.splice import Rows, Splice, rows_of, splice, text_of
from engine.wire.fields import Value

#: After so many differences one change is kept whole, so that none takes long to put together.
LONGEST_CHAIN = 256


class StoredChange(msgspec.Struct, frozen=True):
    """One change on disk; with ``splices`` it is the difference from the data change before it."""

    step: int
    values: dict[str, Value] = {}
    dataset: str = ""
    config: bytes = b""
    splices: dict[str, Splice] = {}


@dataclass(frozen=True)
class Change:
    """One change, in force from the step after ``step`` on.

    Attributes:
        step: Training steps taken when it was made.
        values: Live settings; empty for a change of data.
        dataset: Name of the new data set, or "".
        config: Its configuration, packed; without the fields in ``splices``.
        splices: Long texts by their difference from those of ``base``.
        base: The change of data before it, where there are splices.
        depth: How many changes it takes to put this one together.
    """

    step: int
    values: Mapping[str, Value] = field(default_factory=dict)
    dataset: str = ""
    config: bytes = b""
    splices: Mapping[str, Splice] = field(default_factory=dict)
    base: Change | None = field(default=None, repr=False, compare=False)
    depth: int = field(default=0, compare=False)

    @classmethod
    def of_data(cls, step: int, dataset: str, config: Mapping[str, Value]) -> Change:
        """A change of data."""
        return cls(step, {}, dataset, msgspec.msgpack.encode(dict(config)))

    def data_config(self) -> dict[str, Value]:
        """The configuration of the new data set."""
        chain: list[Change] = []
        change: Change | None = self
        while change is not None and change.splices:
            chain.append(change)
            change = change.base
        if change is None:
            raise ValueError("a change of data is a difference from nothing")
        config = _plain(change)
        rows: dict[str, Rows] = {}
        for link in reversed(chain):
            for name, found in link.splices.items():
                old = rows[name] if name in rows else rows_of(config.get(name))
                if old is None:
                    raise ValueError(f"a change of data is a difference from no {name}")
                rows[name] = found.apply(old)
        own = _plain(self)
        return own | {name: text_of(rows[name]) for name in self.splices}

    def build(self) -> Dataset:
        """The new data set; raises ``ValueError`` where it cannot be built."""
        return build_dataset(self.dataset, **self.data_config())

    def after(self, base: Change, old: Mapping[str, Value]) -> Change:
        """The same by its difference from the change of data before it, where that is shorter.

        Args:
            base: The change before.
            old: Its configuration.
        """
        if self.splices or base.dataset != self.dataset or base.depth >= LONGEST_CHAIN:
            return self
        new, splices = self.data_config(), {}
        for name, value in new.items():
            before, after = rows_of(old.get(name)), rows_of(value)
            found = splice(before, after) if before is not None and after is not None else None
            if found is not None:
                splices[name] = found
        if not splices or _skips(base, splices):
            return self
        rest = {name: value for name, value in new.items() if name not in splices}
        packed = msgspec.msgpack.encode(rest)
        return Change(self.step, {}, self.dataset, packed, splices, base, base.depth + 1)

    def stored(self) -> StoredChange:
        """As it goes to the disk."""
        values, splices = dict(self.values), dict(self.splices)
        return StoredChange(self.step, values, self.dataset, self.config, splices)


@dataclass
class Changes:
    """All changes of a run in order."""

    entries: list[Change] = field(default_factory=list)
    #: The newest change of data with its configuration, from which the next one will differ.
    _newest: tuple[Change, dict[str, Value]] | None = field(
        default=None, repr=False, compare=False
    )

    @classmethod
    def from_stored(cls, stored: Iterable[StoredChange]) -> Changes:
        """What was on disk.

        Raises:
            ValueError: A difference does not fit what it is from.
        """
        changes = cls()
        base: Change | None = None
        counts: dict[str, int] = {}
        for entry in stored:
            change = Change(entry.step, entry.values, entry.dataset, entry.config)
            if entry.splices:
                depth = base.depth + 1 if base is not None else 0
                change = replace(change, splices=entry.splices, base=base, depth=depth)
            if entry.dataset:
                counts = _counts(change, counts)
                base = change
            changes.entries.append(change)
        return changes

    @property
    def n_bytes(self) -> int:
        """Memory held by packed paintings."""
        splices = (s for change in self.entries for s in change.splices.values())
        return sum(len(c.config) for c in self.entries) + sum(s.n_bytes for s in splices)

    def add(self, change: Change) -> None:
        """Remember a change; of several of data at one step only the last counts."""
        last = self.entries[-1] if self.entries else None
        if change.dataset and last and last.dataset and last.step == change.step:
            del self.entries[-1]
        if change.dataset:
            change = self._shortened(change)
        self.entries.append(change)

    def _shortened(self, change: Change) -> Change:
        base = self.data_at(len(self.entries))
        config = change.data_config()
        if base is not None:
            known = self._newest is not None and self._newest[0] is base
            old = self._newest[1] if self._newest and known else base.data_config()
            change = change.after(base, old)
        self._newest = change, config
        return change

    def cut(self, step: int) -> None:
        """Forget what was changed after a step."""
        self.entries = [change for change in self.entries if change.step <= step]

    def data_at(self, count: int) -> Change | None:
        """The change of data in force after the first ``count`` changes, if any."""
        return next((c for c in reversed(self.entries[:count]) if c.dataset), None)


def _plain(change: Change) -> dict[str, Value]:
    return msgspec.msgpack.decode(change.config, type=dict[str, Value])


def _skips(base: Change, splices: Mapping[str, Splice]) -> bool:
    """Whether a text would be left without its beginning: it is whole in ``base``, others not."""
    return bool(base.splices) and base.splices.keys() != splices.keys()


def _counts(change: Change, before: Mapping[str, int]) -> dict[str, int]:
    """How many rows the texts of a change have; raises ``ValueError`` where splices do not fit."""
    if not change.splices:
        rows = {name: rows_of(value) for name, value in _plain(change).items()}
        return {name: len(found) for name, found in rows.items() if found is not None}
    if not change.splices.keys() <= before.keys():
        raise ValueError(f"the change of data at step {change.step} is a difference from nothing")
    return {name: s.count(before[name]) for name, s in change.splices.items()}
