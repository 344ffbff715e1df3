"""One run as the window knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.wire.messages import RunInfo, RunSpec, RunState
from widgets.metrics_table import MetricsTable


@dataclass
class RunView:
    """One run as the window knows it.

    ``place`` is its position in the strip of runs; a run that was replaced by a change of set-up
    is parked: it keeps its place but is not shown, until undo brings it back. A run of a session
    was read from the file ``kept`` and the folder ``history``.
    """

    run: str
    spec: RunSpec
    place: int
    info: RunInfo | None = None
    state: RunState | None = None
    metrics: MetricsTable = field(default_factory=MetricsTable)
    pace: float | None = None
    path: str = ""
    history: str = ""
    kept: str = ""
    parked: bool = False
    wants_to_play: bool = False
    headline: str = ""

    @property
    def is_training(self) -> bool:
        """Whether the engine says that it trains."""
        return self.state is not None and self.state.state == "training"

    @property
    def kept_file(self) -> str:
        """Its newest keyframe on this machine's disk, or ""."""
        known = (self.state.keyframe if self.state is not None else "", self.kept)
        return next((path for path in known if path and Path(path).is_file()), "")

    @property
    def step(self) -> int:
        """Training steps taken."""
        return self.state.step if self.state else (self.info.step if self.info else 0)

    def nearest(self, step: int | None) -> int | None:
        """The stored step nearest to one; None, the newest, for one that is not reached yet."""
        stored = self.state.stored if self.state is not None else ()
        if step is None or not stored or step > self.step:
            return None
        return min(stored, key=lambda other: abs(other - step))

    @property
    def title(self) -> str:
        """Model and data set in words."""
        if self.info is None:
            return f"{self.spec.model} · {self.spec.dataset}"
        return f"{self.info.card.title} · {self.info.dataset.title}"
