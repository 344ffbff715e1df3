"""The energy over a window, as the panel draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Answer
from widgets.figures import as_float
from widgets.plots.colours import Table, table
from widgets.plots.layers import Box

Floats: TypeAlias = npt.NDArray[Any]

#: Nats above the lowest energy that the colours tell apart.
REACH = 12.0
#: The share of the density's colour map that the ground takes, so that chains stand out on it.
SHADE = 0.62


@dataclass(frozen=True)
class Surface:
    """An answer of the probe ``energy_surface``.

    Attributes:
        heights: (H, W) E less the lowest in view, nats, NaN where it is none.
        box: The window.
        lowest: E at the lowest place in view.
        lines, starts: Contours, as a density's answer has them.
        places, forces: (G, 2), or empty.
        log_z, log_z_error: nats, or None.
    """

    heights: Floats
    box: Box
    lowest: float
    lines: Floats
    starts: Floats
    places: Floats
    forces: Floats
    log_z: float | None
    log_z_error: float | None
    kind: str
    label: str
    names: tuple[str, str]
    is_slice: bool
    kernels: tuple[str, ...]
    has_target: bool
    training_steps: int
    training_rate: float | None
    sampler: str
    step: int

    def height_at(self, points: Floats) -> Floats:
        """(N,) heights at points (N, 2), between nodes on straight lines; NaN outside."""
        rows, columns = self.heights.shape
        low, high = np.array(self.box.low), np.array(self.box.high)
        at = (points - low) / (high - low) * [columns, rows] - 0.5
        inside = (at >= -0.5) & (at <= np.array([columns, rows]) - 0.5)
        at = np.clip(np.nan_to_num(at), 0, np.array([columns, rows]) - 1.000001)
        x, y = at[:, 0].astype(np.int64), at[:, 1].astype(np.int64)
        s, t = at[:, 0] - x, at[:, 1] - y
        h = self.heights
        found = (1 - t) * ((1 - s) * h[y, x] + s * h[y, x + 1]) + t * (
            (1 - s) * h[y + 1, x] + s * h[y + 1, x + 1]
        )
        return np.where(inside.all(1), found, np.nan)

    def energy_at(self, place: tuple[float, float]) -> float:
        """E at a place, nats, or NaN."""
        return float(self.height_at(np.array([place], np.float64))[0]) + self.lowest


def ground(name: str) -> Table:
    """256 colours of the ground, from low energy, where much is, to high; ``name`` of the map."""
    places = np.linspace(SHADE * 255, 0, 256)
    return table(name)[np.rint(places).astype(np.int64)]


def read(answer: Answer) -> Surface | None:
    """The surface of an answer, or None for one that cannot be drawn."""
    arrays, values = answer.arrays, answer.values
    energy = np.asarray(arrays.get("energy", np.zeros(0)), np.float64)
    if energy.ndim != 2 or min(energy.shape) < 2:
        return None
    x, y = np.asarray(arrays["x"], np.float64), np.asarray(arrays["y"], np.float64)
    dx, dy = (float(nodes[-1] - nodes[0]) / (len(nodes) - 1) for nodes in (x, y))
    box = Box((x[0] - dx / 2, y[0] - dy / 2), (x[-1] + dx / 2, y[-1] + dy / 2))
    if not box.is_proper:
        return None
    finite = energy[np.isfinite(energy)]
    lowest = as_float(values.get("lowest"))
    low = lowest if lowest is not None else float(finite.min()) if len(finite) else 0.0
    empty = np.zeros((0, 2))
    kernels = values.get("kernels")
    return Surface(
        np.where(np.isfinite(energy), energy - low, np.nan), box, low,
        np.asarray(arrays["contour_points"], np.float64), np.asarray(arrays["contour_starts"]),
        np.asarray(arrays.get("places", empty), np.float64),
        np.asarray(arrays.get("forces", empty), np.float64),
        as_float(values.get("log_z")), as_float(values.get("log_z_error")),
        str(values.get("kind", "")), str(values.get("label", "")),
        (str(values.get("x_name", "")), str(values.get("y_name", ""))),
        bool(values.get("is_slice")),
        tuple(map(str, kernels)) if isinstance(kernels, list) else (),
        bool(values.get("has_target")), int(as_float(values.get("steps")) or 0),
        as_float(values.get("rate")), str(values.get("sampler", "")), answer.step,
    )  # fmt: skip
