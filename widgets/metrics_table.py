"""Training figures of one run, thinned so that a run of any length costs bounded memory."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Metrics

Floats: TypeAlias = npt.NDArray[np.float64]

#: Rows kept; when full, every second one of the older half is dropped.
CAPACITY = 16_384


class MetricsTable:
    """Columns over training steps; missing entries are NaN."""

    def __init__(self) -> None:
        self._steps: Floats = np.empty(0)
        self._columns: dict[str, Floats] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that have been recorded."""
        return tuple(self._columns)

    @property
    def steps(self) -> Floats:
        """The recorded steps, ascending."""
        return self._steps

    def column(self, name: str) -> tuple[Floats, Floats]:
        """Steps and values of one column without its missing entries."""
        values = self._columns.get(name)
        if values is None:
            return np.empty(0), np.empty(0)
        keep = ~np.isnan(values)
        return self._steps[keep], values[keep]

    def latest(self, name: str) -> float | None:
        """The newest value of a column."""
        _, values = self.column(name)
        return float(values[-1]) if len(values) else None

    def append(self, metrics: Metrics) -> None:
        """Add rows; rows at or after their first step are replaced (a rewind or a restart)."""
        if not len(metrics.steps):
            return
        self._cut(float(metrics.steps[0]))
        n_old, n_new = len(self._steps), len(metrics.steps)
        self._steps = np.concatenate([self._steps, metrics.steps.astype(np.float64)])
        for name in dict.fromkeys((*self._columns, *metrics.columns)):
            old = self._columns.get(name, np.full(n_old, np.nan))
            self._columns[name] = np.concatenate([old, _values(metrics, name, n_new)])
        if len(self._steps) > CAPACITY:
            self._thin()

    def until(self, step: float) -> MetricsTable:
        """A table of its own with the rows up to and with a step."""
        other = MetricsTable()
        keep = self._steps <= step
        other._steps = self._steps[keep]
        other._columns = {name: values[keep] for name, values in self._columns.items()}
        return other

    def copy(self) -> MetricsTable:
        """A table of its own with the same rows, which are shared: they are never changed."""
        other = MetricsTable()
        other._steps, other._columns = self._steps, dict(self._columns)
        return other

    def as_metrics(self, run: str) -> Metrics:
        """All rows as one record, for a file."""
        columns = tuple(self._columns)
        table = np.empty((len(self._steps), len(columns)))
        for index, name in enumerate(columns):
            table[:, index] = self._columns[name]
        return Metrics(run, columns, self._steps, table)

    def clear(self) -> None:
        """Forget everything."""
        self._steps = np.empty(0)
        self._columns = {}

    def _cut(self, step: float) -> None:
        self._select(np.flatnonzero(self._steps < step))

    def _thin(self) -> None:
        half = len(self._steps) // 2
        self._select(np.concatenate([np.arange(0, half, 2), np.arange(half, len(self._steps))]))

    def _select(self, keep: npt.NDArray[Any]) -> None:
        if len(keep) != len(self._steps):
            self._steps = self._steps[keep]
            self._columns = {name: values[keep] for name, values in self._columns.items()}


def _values(metrics: Metrics, name: str, count: int) -> Floats:
    if name not in metrics.columns:
        return np.full(count, np.nan)
    return np.asarray(metrics.table[:, metrics.columns.index(name)], dtype=np.float64)
