"""The energy as a landscape in three dimensions, with the chains on it, by vispy."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QWidget

from widgets.chains.film import WalkFilm
from widgets.chains.step_parts import draped, parts_of, told_chains
from widgets.chains.surface import REACH, Surface, ground
from widgets.look import Look
from widgets.plots.cloud import Cloud
from widgets.plots.colours import mix, rgb, to_bytes

Floats: TypeAlias = npt.NDArray[Any]

#: Half the width of the landscape and its height, in units of the scene.
HALF, HEIGHT = 1.6, 0.8
#: Chains stand this little above the ground, so that half of a dot is never buried.
ABOVE = 0.03
#: Nodes a side: finer ones turn too slowly where software draws them.
NODES = 72
#: Steps of the watched chain's way.
BACK = 20
#: Where it is looked at from until it is turned.
HOME = {"elevation": 48.0, "distance": 5.4, "azimuth": 20.0, "center": (0.0, 0.0, 0.0)}
END = 7.0


class Relief(Cloud):
    """The ground is the energy less its lowest, cut at a height that the colours share.

    Only to be made where :func:`widgets.plots.cloud.has_opengl` is true.
    """

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        from vispy import scene

        inner = self._points.parent
        self._ground = scene.visuals.Mesh(parent=inner, shading=None)
        self._lines = scene.visuals.Line(parent=inner, connect="segments", method="gl")
        self._way = scene.visuals.Line(parent=inner, width=3)
        self._parts = scene.visuals.Line(parent=inner, connect="segments", width=3)
        self._told = scene.visuals.Markers(parent=inner)
        for item in (self._ground, self._lines, self._way, self._parts, self._told):
            item.visible = False
        for order, item in enumerate((self._points, self._way, self._parts, self._told), 1):
            item.set_gl_state("translucent", depth_test=False)  # seen through a valley's rim
            item.order = order
        self._surface: Surface | None = None
        self.set_turning(on=False)
        self.go_home()
        self.restyle()

    def go_home(self) -> None:
        """Look at all of it again, from the first side."""
        for name, value in HOME.items():
            setattr(self._camera, name, value)
        self._canvas.update()

    def set_surface(self, surface: Surface | None) -> None:
        """Another energy, or none."""
        self._surface = surface
        shown = surface is not None
        for item in (self._ground, self._lines):
            item.visible = shown
        if surface is None:
            self._canvas.update()
            return
        every = max(1, -(-max(surface.heights.shape) // NODES))
        heights = np.where(np.isnan(surface.heights), REACH, surface.heights)[::every, ::every]
        rows, columns = heights.shape
        low, high = np.array(surface.box.low), np.array(surface.box.high)
        step = (high - low) / np.array(surface.heights.shape[::-1])
        x = low[0] + (np.arange(columns) * every + 0.5) * step[0]
        y = low[1] + (np.arange(rows) * every + 0.5) * step[1]
        places = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        vertices = self._placed(places, np.minimum(heights.ravel(), REACH))
        levels = to_bytes(heights.ravel().astype(np.float32), 0.0, REACH)
        words = ground(self._look.palette.sequential)[levels]
        colours = np.stack([words >> 16 & 255, words >> 8 & 255, words & 255], 1) / 255.0
        self._ground.set_data(
            vertices, triangles(rows, columns),
            vertex_colors=np.concatenate([colours, np.ones((len(colours), 1))], 1),
        )  # fmt: skip
        self._draw_lines(surface)
        self._name(surface)
        self._canvas.update()

    def show_film(
        self, film: WalkFilm | None, at: int, watch: int, shown: set[str], n_arrows: int = 1
    ) -> None:
        """The chains after ``at`` steps, and of ``n_arrows`` of them the parts of a step."""
        surface = self._surface
        if film is None or surface is None or not film.rows:
            for item in (self._points, self._way, self._parts, self._told):
                item.visible = False
            self._canvas.update()
            return
        row = film.row(at)
        points = row["points"].astype(np.float64)
        heights = surface.height_at(points)
        seen = np.isfinite(heights) & ("chains" in shown)
        spots = self._placed(points[seen], heights[seen] + ABOVE * REACH)
        palette = self._look.palette
        shades = np.array([rgb(mix(palette.model, palette.text, 0.45)), rgb(palette.error)], float)
        lost = np.asarray(row.get("diverged", np.zeros(len(points))), np.int64)
        self.set_points(spots, shades[lost[seen]])
        trail = film.trail(min(watch, film.n_chains - 1), at, BACK)
        on = np.isfinite(surface.height_at(trail))
        self._way.visible = "trail" in shown and int(on.sum()) > 1
        if self._way.visible:
            own = trail[on]
            self._way.set_data(
                self._placed(own, surface.height_at(own) + ABOVE * REACH),
                color=self._look.palette.text,
            )
        self._draw_parts(row, told_chains(film.n_told, n_arrows, watch), shown)
        self._canvas.update()

    def paint_now(self) -> None:
        """Draw synchronously, for measurements."""
        self._canvas.native.repaint()

    def _draw_parts(self, row: dict[str, Floats], which: Floats, shown: set[str]) -> None:
        """Lines and ends of the steps of some chains, as from above."""
        surface = self._surface
        on = "arrows" in shown and "proposal" in row and len(which) > 0
        self._parts.visible = self._told.visible = False
        if not on or surface is None:
            return
        parts, palette = parts_of(row, which), self._look.palette
        shades = _shades(palette.text, palette.warning, palette.warning)
        lines = draped(parts.lines)
        kinds = np.repeat(parts.line_kinds, len(lines) // max(len(parts.lines), 1))
        heights = surface.height_at(lines.reshape(-1, 2)).reshape(-1, 2)
        seen = np.isfinite(heights).all(1)
        if seen.any():
            spots = self._placed(
                lines[seen].reshape(-1, 2), heights[seen].ravel() + 2 * ABOVE * REACH
            )
            self._parts.set_data(spots, color=np.repeat(shades[kinds[seen]], 2, 0))
            self._parts.visible = True
        heights = surface.height_at(parts.dots)
        seen = np.isfinite(heights)
        if seen.any():
            colours = _shades(palette.error, palette.good, palette.warning)[parts.dot_kinds[seen]]
            spots = self._placed(parts.dots[seen], heights[seen] + 2 * ABOVE * REACH)
            self._told.set_data(spots, face_color=colours, size=END, edge_width=0)
            self._told.visible = True

    def _draw_lines(self, surface: Surface) -> None:
        """Contours lie on the ground."""
        points, starts = surface.lines, surface.starts
        if len(points) < 2:
            self._lines.visible = False
            return
        heights = np.nan_to_num(surface.height_at(points), nan=REACH)
        placed = self._placed(points, heights + 0.3 * ABOVE * REACH)
        joined = np.ones(len(points), bool)
        joined[np.asarray(starts[1:], np.int64) - 1] = False
        begins = np.flatnonzero(joined[:-1])
        ends = np.stack([placed[begins], placed[begins + 1]], 1).reshape(-1, 3)
        shade = (*(c / 255 for c in rgb(self._look.palette.text)), 0.35)
        self._lines.set_data(ends, color=shade)

    def _placed(self, places: Floats, heights: Floats) -> Floats:
        """(N, 2) and (N,) nats → (N, 3) of the scene."""
        surface = self._surface
        if surface is None:
            return np.zeros((len(places), 3), np.float32)
        low, high = np.array(surface.box.low), np.array(surface.box.high)
        half = float((high - low).max()) / 2
        flat = HALF * (places - (low + high) / 2) / half
        z = HEIGHT * (np.minimum(heights, REACH) / REACH - 0.5)
        placed: Floats = np.concatenate([flat, z[:, None]], 1).astype(np.float32)
        return placed

    def _name(self, surface: Surface) -> None:
        low, high = np.array(surface.box.low), np.array(surface.box.high)
        side = HALF * (high - low) / float((high - low).max())
        words = (surface.names[0], surface.names[1], f"E: {REACH:.0f} nats above the lowest")
        bottom, top = -0.5 * HEIGHT, 0.5 * HEIGHT
        corner = np.array([-side[0], side[1]])
        self._axes.set_data(np.array([[*corner, bottom], [*corner, top + 0.1]], np.float32))
        self._axes.visible = True
        spots = ((0.0, -side[1] - 0.2, top), (side[0] + 0.2, 0.0, top), (*corner, top + 0.2))
        for text, word, spot in zip(self._ends, words, spots, strict=True):
            text.text, text.pos = word, spot

    def restyle(self) -> None:
        """Take colours from the look."""
        super().restyle()
        if getattr(self, "_surface", None) is not None:
            self.set_surface(self._surface)


def _shades(*words: str) -> Floats:
    """(K, 4) of colours, from 0 to 1."""
    return np.array([(*rgb(word), 255) for word in words]) / 255.0


def triangles(rows: int, columns: int) -> npt.NDArray[np.uint32]:
    """(T, 3) corners of a lattice's triangles, nodes counted row by row."""
    node = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (node[:-1, :-1], node[:-1, 1:], node[1:, :-1],
                                            node[1:, 1:]))  # fmt: skip
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.uint32)
