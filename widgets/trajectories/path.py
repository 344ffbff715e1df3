"""Trajectories of a continuous flow, as answered: places at rising times, told at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Answer

Floats: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Path:
    """N trajectories at T rising times; data lie at t = 0, the base at t = 1.

    Attributes:
        times: (T,).
        states: (T, N, d), d = 1 or 2, in the flow's own units.
        log_dets: (T, N), log abs det of the way from where it began, data → base, in nats.
        names: Of the drawn values; the second is "" of data of one value.
        is_slice: Whether events have more values than are drawn.
        from_base: Whether the points are draws of the base.
        step: The training step of the weights.
    """

    times: Floats
    states: Floats
    log_dets: Floats
    names: tuple[str, str]
    is_slice: bool
    from_base: bool
    step: int

    @property
    def dims(self) -> int:
        """How many values are drawn: 1 or 2."""
        return int(self.states.shape[2])

    @property
    def size(self) -> int:
        """How many trajectories there are."""
        return int(self.states.shape[1])

    def at(self, t: float) -> Floats:
        """(N, 2), where the points are drawn at a time."""
        return self.drawn(_between(self.times, self.states, t), np.full(self.size, t))

    def log_det_at(self, t: float, point: int) -> float:
        """A point's log-determinant so far, in nats."""
        return float(_between(self.times, self.log_dets, t)[point])

    def nearest(self, t: float, place: tuple[float, float]) -> int:
        """Number of the point that is drawn nearest to a place at a time."""
        distances = np.linalg.norm(self.at(t) - np.asarray(place), axis=1)
        return int(np.argmin(np.where(np.isfinite(distances), distances, np.inf)))

    def lines(self) -> tuple[Floats, Floats]:
        """All trajectories as points (N·T, 2) and where each starts, then the number of points."""
        n_times = len(self.times)
        spots = self.drawn(self.states, np.repeat(self.times[:, None], self.size, 1))
        starts = np.arange(self.size + 1) * n_times
        return spots.transpose(1, 0, 2).reshape(-1, 2), starts

    def drawn(self, states: Floats, times: Floats) -> Floats:
        """(…, d) → (…, 2): one value is drawn over time."""
        if self.dims == 1:
            return np.stack([times, states[..., 0]], -1)
        return np.asarray(states)


def read(answer: Answer) -> Path | None:
    """What the probe ``ode_trace`` answered, or None where there is nothing to draw."""
    found = {name: np.asarray(answer.arrays[name], np.float64)
             for name in ("times", "states", "log_dets") if name in answer.arrays}  # fmt: skip
    if len(found) < 3 or found["states"].ndim != 3 or not found["states"].size:
        return None
    order = np.argsort(found["times"], kind="stable")
    values = answer.values
    names = str(values.get("x_name", "x")), str(values.get("y_name", ""))
    return Path(
        found["times"][order],
        found["states"][order],
        found["log_dets"][order],
        names,
        bool(values.get("is_slice", False)),
        len(found["times"]) > 1 and bool(found["times"][0] > found["times"][-1]),
        answer.step,
    )


def _between(times: Floats, table: Floats, t: float) -> Floats:
    """Row of (T, …) at a time, on straight lines between two rows."""
    if len(times) < 2:
        return np.asarray(table[0])
    left = int(np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2))
    width = times[left + 1] - times[left]
    share = float(np.clip((t - times[left]) / width, 0.0, 1.0)) if width > 0 else 0.0
    return np.asarray((1.0 - share) * table[left] + share * table[left + 1])
