"""What the user changed while a run trained, by step, so that any step can be reached again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from engine.dataset import Dataset
from engine.registry import build_dataset
from engine.wire.fields import Value


class Change(msgspec.Struct, frozen=True):
    """One change, in force from the step after ``step`` on.

    Attributes:
        step: Training steps taken when it was made.
        values: Live settings; empty for a change of data.
        dataset: Name of the new data set, or "".
        config: Its configuration, packed, since a painting has thousands of numbers.
    """

    step: int
    values: dict[str, Value] = {}
    dataset: str = ""
    config: bytes = b""

    @classmethod
    def of_data(cls, step: int, dataset: str, config: Mapping[str, Value]) -> Change:
        """A change of data."""
        return cls(step, {}, dataset, msgspec.msgpack.encode(dict(config)))

    def data_config(self) -> dict[str, Value]:
        """The configuration of the new data set."""
        return msgspec.msgpack.decode(self.config, type=dict[str, Value])

    def build(self) -> Dataset:
        """The new data set; raises ``ValueError`` where it cannot be built."""
        return build_dataset(self.dataset, **self.data_config())


@dataclass
class Changes:
    """All changes of a run in order."""

    entries: list[Change] = field(default_factory=list)

    @property
    def n_bytes(self) -> int:
        """Memory held by packed paintings."""
        return sum(len(change.config) for change in self.entries)

    def add(self, change: Change) -> None:
        """Remember a change; of several of data at one step only the last counts."""
        last = self.entries[-1] if self.entries else None
        if change.dataset and last and last.dataset and last.step == change.step:
            self.entries[-1] = change
        else:
            self.entries.append(change)

    def cut(self, step: int) -> None:
        """Forget what was changed after a step."""
        self.entries = [change for change in self.entries if change.step <= step]

    def data_at(self, count: int) -> Change | None:
        """The change of data in force after the first ``count`` changes, if any."""
        return next((c for c in reversed(self.entries[:count]) if c.dataset), None)
