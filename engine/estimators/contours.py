"""Iso-contours at the levels of highest-density regions, packed into three flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from contourpy import LineType, contour_generator

#: Shares of the mass that the drawn levels enclose.
MASSES = (0.25, 0.5, 0.75, 0.95)
#: Contours are drawn on at most so many nodes a side; a finer grid is thinned out.
LARGEST = 256
#: Values so many nats below the lowest level count as flat, so that −inf can be interpolated.
FLOOR = 10.0
#: A level lies this little below the value that defines it, so that a plateau has an outline.
BELOW = 1e-4

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contours:
    """Polylines: points (P, 2), where each begins (C + 1,), and each one's level index (C,)."""

    points: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int32]
    level: npt.NDArray[np.int32]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Under the names by which panels know them."""
        return {
            "contour_points": self.points,
            "contour_starts": self.starts,
            "contour_level": self.level,
        }


def highest_density_levels(
    log_density: FloatArray, masses: Sequence[float] = MASSES
) -> list[float]:
    """Levels l such that {log p ≥ l} holds each share of the mass on an even grid, nats.

    The result falls as the share rises. A grid without any mass has no levels.
    """
    flat = log_density[np.isfinite(log_density)]
    if not flat.size:
        return []
    ranked = np.sort(flat, axis=None)[::-1]
    enclosed = np.cumsum(np.exp(ranked - ranked[0]))
    places = np.searchsorted(enclosed, np.asarray(masses) * enclosed[-1])
    return [float(ranked[min(place, ranked.size - 1)]) for place in places]


def trace_contours(
    x: FloatArray, y: FloatArray, surface: FloatArray, levels: Sequence[float]
) -> Contours:
    """Lines along which a surface (H, W) over nodes x (W,) and y (H,) takes each level.

    Levels that coincide (a plateau has one level for all its mass) are drawn once, as the last
    of them. The grid is thinned to at most 256 nodes a side.
    """
    if not levels or min(surface.shape) < 2:
        return NONE
    step = max(1, -(-max(surface.shape) // LARGEST))
    z = np.maximum(surface[::step, ::step], min(levels) - FLOOR)
    generator = contour_generator(
        x[::step], y[::step], z, name="serial", line_type=LineType.ChunkCombinedOffset
    )
    found = []
    for index, level in enumerate(levels):
        if level not in levels[index + 1 :]:
            points, offsets = cast(tuple[Any, Any], generator.lines(level - BELOW))
            if points[0] is not None:
                found.append((index, points[0], offsets[0]))
    return _pack(found)


def _pack(found: list[tuple[int, FloatArray, npt.NDArray[np.uint32]]]) -> Contours:
    points: list[FloatArray] = [np.zeros((0, 2))]
    starts, level = [0], list[int]()
    for index, line, offsets in found:
        starts.extend((starts[-1] + offsets[1:].astype(np.int64)).tolist())
        level.extend([index] * (len(offsets) - 1))
        points.append(line)
    return Contours(
        np.concatenate(points).astype(np.float32),
        np.asarray(starts, np.int32),
        np.asarray(level, np.int32),
    )


#: No lines at all.
NONE = _pack([])
