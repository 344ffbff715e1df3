"""What a flow did to a grid and a cloud, at any place between data and base."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Answer
from widgets.plots.layers import Box

Floats: TypeAlias = npt.NDArray[Any]

#: Points of a line are drawn apart by heights that mean nothing, over this half height.
SPREAD = 0.8
#: The golden ratio: multiples of it fill the unit interval evenly.
GOLDEN = 0.6180339887498949
#: A window holds all but this share of the points on each side, with a margin.
OUTSIDE, MARGIN = 0.005, 0.06
#: Where the spreads of the layers differ by more than this factor, each has a window of its own.
WIDELY = 2.2


@dataclass(frozen=True)
class Walk:
    """An answer of ``flow_path``, ready to be drawn.

    Attributes:
        points: (L + 1, N, 2) and ``grid`` (L + 1, G, P, 2), at whole layers, data first.
        point_sums: (L + 1, N) and ``grid_sums`` (L + 1, G, P): log-dets summed up from the data.
        log_base: (N,), log-density of the base where each point ends, nats.
        labels: (N,), −1 for none.
        events: (N, D), the points as data.
        names: L names of layers.
        axes: What is drawn to the right and upwards; the second is "" where that means nothing.
        start: ``"data"`` or ``"base"``: where the grid is even.
        is_slice: Whether there are more values than are drawn.
        step: Training step of the weights.
    """

    points: Floats
    grid: Floats
    point_sums: Floats
    grid_sums: Floats
    log_base: Floats
    labels: Floats
    events: Floats
    names: tuple[str, ...]
    axes: tuple[str, str]
    start: str
    is_slice: bool
    step: int

    @property
    def size(self) -> int:
        """L."""
        return len(self.names)

    def point_volumes(self, at: float) -> Floats:
        """(N,): log of the factor by which space around each point has grown since the start."""
        grown: Floats = blend(self.point_sums, at) - self.point_sums[self._first]
        return grown

    def grid_volumes(self, at: float) -> Floats:
        """(G, P), as :meth:`point_volumes`."""
        grown: Floats = blend(self.grid_sums, at) - self.grid_sums[self._first]
        return grown

    def densities(self, at: float) -> Floats:
        """(N,): log-density at each point of what the model makes of the base up to here."""
        there: Floats = self.log_base + self.point_sums[-1] - blend(self.point_sums, at)
        return there

    def nearest(self, at: float, place: tuple[float, float]) -> int | None:
        """The point next to a place of the stage."""
        away = np.linalg.norm(blend(self.points, at) - np.asarray(place), axis=1)
        return int(np.nanargmin(away)) if np.isfinite(away).any() else None

    def boxes(self) -> list[Box]:
        """A window per state; all the same where the layers differ little in spread."""
        with np.errstate(invalid="ignore"):
            ends = np.array([_ends(state) for state in self.points])
        spreads = (ends[:, 1] - ends[:, 0]).max(1)
        if spreads.max() <= WIDELY * max(float(spreads.min()), 1e-12):
            ends[:] = np.stack([ends[:, 0].min(0), ends[:, 1].max(0)])
        return [Box(tuple(low), tuple(high)) for low, high in ends.tolist()]

    @property
    def _first(self) -> int:
        return 0 if self.start == "data" else self.size


def read(answer: Answer) -> Walk:
    """Take an answer of ``flow_path`` in."""
    arrays, values = answer.arrays, answer.values
    points, grid = _known(arrays["points"]), _known(arrays["grid"])
    dets, grid_dets = _known(arrays["point_log_dets"]), _known(arrays["grid_log_dets"])
    if len(points) != len(dets) + 1:
        points = np.zeros((len(dets) + 1, 0, grid.shape[-1]), grid.dtype)
    if grid.shape[-1] == 1:
        points, grid, grid_dets = _raised(points, grid, grid_dets)
    per_point = [np.asarray(arrays[name]) for name in ("log_base", "labels", "events")]
    n = min(points.shape[1], dets.shape[1], *map(len, per_point))
    log_base, labels, events = (array[:n] for array in per_point)
    names = values.get("names")
    return Walk(
        points=points[:, :n],
        grid=grid,
        point_sums=summed(dets[:, :n]),
        grid_sums=summed(grid_dets),
        log_base=_known(log_base),
        labels=labels,
        events=events,
        names=tuple(map(str, names)) if isinstance(names, list) else (),
        axes=(str(values.get("x_name", "x")), str(values.get("y_name", ""))),
        start=str(values.get("start", "data")),
        is_slice=bool(values.get("is_slice")),
        step=answer.step,
    )


def blend(states: Floats, at: float) -> Floats:
    """The state at a place: that of a whole layer exactly, between two on a straight line."""
    first = min(max(math.floor(at), 0), len(states) - 1)
    share = at - first
    if share <= 0 or first + 1 >= len(states):
        return np.asarray(states[first])
    step = states.dtype.type(share) * (states[first + 1] - states[first])
    return np.asarray(states[first] + step)


def summed(log_dets: Floats) -> Floats:
    """(L, …) → (L + 1, …): 0, then the sums of the first 1, 2, … layers."""
    return np.concatenate([np.zeros_like(log_dets[:1]), np.cumsum(log_dets, 0)])


def _known(values: Floats) -> Floats:
    """Infinities count as unknown, as NaN does: they could not be drawn either."""
    return np.where(np.isfinite(values), values, np.asarray(np.nan, values.dtype))


def _raised(points: Floats, grid: Floats, dets: Floats) -> tuple[Floats, Floats, Floats]:
    """Points of a line at heights that mean nothing; nodes of its grid as upright lines."""
    n = points.shape[1]
    heights = SPREAD * (2 * ((np.arange(n) * GOLDEN) % 1.0) - 1)
    raised = np.stack([points[..., 0], np.broadcast_to(heights, points.shape[:2])], -1)
    nodes = np.repeat(grid[:, 0, :, :], 2, axis=2)  # (L + 1, P, 2): lower and upper end
    ends = np.broadcast_to(np.array([-1.0, 1.0]), nodes.shape)
    lines = np.stack([nodes, ends], -1)
    return (
        raised.astype(points.dtype),
        lines.astype(grid.dtype),
        np.repeat(dets[:, 0, :, None], 2, 2),
    )


def _ends(state: Floats) -> Floats:
    """(2, 2): low and high of nearly all points, with a margin."""
    finite = state[np.isfinite(state).all(1)]
    if not len(finite):
        return np.array([[-1.0, -1.0], [1.0, 1.0]])
    ends = np.quantile(finite.astype(np.float64), [OUTSIDE, 1 - OUTSIDE], axis=0)
    room = np.maximum(MARGIN * (ends[1] - ends[0]), 1e-6)
    return np.stack([ends[0] - room, ends[1] + room])
