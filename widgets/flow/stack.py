"""All layers at once in three dimensions: the states stand one above the other, by vispy."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QWidget

from widgets.flow.stage import Stage
from widgets.flow.walk import Walk, blend
from widgets.look import Look
from widgets.plots.cloud import Cloud
from widgets.plots.colours import rgb

Floats: TypeAlias = npt.NDArray[Any]

#: Half the height of the stack and half the width of the data's window, in units of the scene.
HALF_HEIGHT, HALF_WIDTH = 1.5, 1.1
#: Lines are drawn as far as so many half widths from the middle.
REACH = 1.5
#: So many lines of each state's grid, evenly chosen, and so many states at most.
MOST_LINES, MOST_STATES = 26, 12
#: Opacity of the grids of all states, and of the one that moves.
STILL, MOVING = 0.28, 0.9
#: Names of the data's axes are written where they are no longer than this.
MOST_LETTERS = 24


class Stack(Cloud):
    """Grids of the states, the cloud and the grid on their way, and the chosen point's way.

    Only to be made where :func:`widgets.plots.cloud.has_opengl` is true.
    """

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        from vispy import scene

        inner = self._points.parent
        self._still = scene.visuals.Line(connect="segments", parent=inner, method="gl")
        self._moving = scene.visuals.Line(connect="segments", parent=inner, method="gl")
        self._way = scene.visuals.Line(parent=inner, width=3)
        self._levels = [scene.visuals.Text("", parent=inner, font_size=9) for _ in range(2)]
        for item in (self._still, self._moving, self._way, *self._levels):
            item.visible = False
        self._axes.visible = False
        self._walk: Walk | None = None
        self._middle, self._reach = np.zeros(2), 1.0
        self._camera.elevation, self._camera.distance = 22, 7.8
        self.restyle()

    def set_walk(self, walk: Walk | None) -> None:
        """Stand the states of an answer one above the other."""
        self._walk = walk
        self._still.visible = walk is not None
        if walk is None:
            return
        boxes = walk.boxes()
        low = np.min([box.low for box in boxes], 0)
        high = np.max([box.high for box in boxes], 0)
        self._middle = (low + high) / 2
        self._reach = max(float((high - low).max()) / 2, 1e-9)
        every = max(1, -(-walk.grid.shape[1] // MOST_LINES))
        which = np.unique(np.linspace(0, walk.size, min(walk.size + 1, MOST_STATES)).round())
        parts = [self._segments(walk.grid[int(k)][::every], float(k)) for k in which]
        shade = (*(c / 255 for c in rgb(self._look.palette.model)), STILL)
        self._still.set_data(np.concatenate(parts), color=shade)
        self._name(walk)

    def show_at(self, stage: Stage, trail: Floats) -> None:
        """The cloud and the grid where the stage has them; ``trail`` (L + 1, 2) may be empty."""
        walk, at = self._walk, stage.at
        if walk is None:
            return
        shown = blend(walk.points, at) if "points" in stage.shown else walk.points[0][:0]
        finite = np.isfinite(shown).all(1)
        colours = stage.point_colours()
        places = self._placed(shown[finite], at)
        self.set_points(places, None if colours is None or not len(shown) else colours[finite])
        self._moving.visible = "grid" in stage.shown
        if self._moving.visible:
            shade = (*(c / 255 for c in rgb(self._look.palette.accent)), MOVING)
            self._moving.set_data(self._segments(blend(walk.grid, at), at), color=shade)
        self._way.visible = len(trail) == walk.size + 1
        if self._way.visible:
            heights = np.arange(walk.size + 1.0)
            way = np.concatenate([self._placed(p[None], h) for p, h in
                                  zip(trail, heights, strict=True)])  # fmt: skip
            self._way.set_data(way, color=self._look.palette.text)
        self._canvas.update()

    def restyle(self) -> None:
        """Take colours from the look."""
        super().restyle()
        for text in getattr(self, "_levels", ()):
            text.color, text.font_size = self._look.palette.text, 9 * self._look.scale
        if getattr(self, "_walk", None) is not None:
            self.set_walk(self._walk)

    def _placed(self, places: Floats, at: float) -> Floats:
        """(…, 2) at a place → (…, 3) of the scene."""
        walk = self._walk
        share = at / max(walk.size, 1) if walk is not None else 0.0
        flat = HALF_WIDTH * (places - self._middle) / self._reach
        height = np.full((*flat.shape[:-1], 1), HALF_HEIGHT * (2 * share - 1))
        placed: Floats = np.concatenate([flat, height], -1).astype(np.float32)
        return placed

    def _segments(self, lines: Floats, at: float) -> Floats:
        """(G, P, 2) → ends of short lines (S, 3) in pairs; those out of reach are left out."""
        placed = self._placed(lines, at)
        ends = np.stack([placed[:, :-1], placed[:, 1:]], 2).reshape(-1, 2, 3)
        with np.errstate(invalid="ignore"):
            near = (np.abs(ends[..., :2]) <= REACH * HALF_WIDTH).all((1, 2))
        kept = ends[near] if near.any() else np.zeros((1, 2, 3), np.float32)
        return np.asarray(kept.reshape(-1, 3))

    def _name(self, walk: Walk) -> None:
        names = f"data: {walk.axes[0]}, {walk.axes[1]}".rstrip(", ")
        words = (names if len(names) <= MOST_LETTERS else "data", "base")
        for text, word, side in zip(self._levels, words, (-1.0, 1.0), strict=True):
            text.text, text.visible = word, True
            text.pos = (0.0, -1.25 * HALF_WIDTH, side * HALF_HEIGHT)
