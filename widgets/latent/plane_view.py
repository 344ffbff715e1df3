"""The latent plane: points, shading, contours, an ellipse, a path, and the chosen place."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engine.wire.messages import Answer
from widgets.latent.desk import Desk
from widgets.look import Look
from widgets.panel import Question
from widgets.plots.bins import CloudLayer
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.heatmap import ellipse_lines
from widgets.plots.layers import Box, DotsLayer, ImageLayer, LinesLayer
from widgets.plots.mark import Mark
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1: how near a point must be to be named, and diameters of dots.
NEAR, DOT, KEY_DOT = 9, 4.0, 9.0
#: Pixels a side and q's of the shading at rest, and while a run trains.
SIZES, N_QS = {True: 160, False: 72}, {True: 5000, False: 400}
COARSE: dict[str, Any] = {"size": 48, "n": 200}
#: The shading covers so much more than the view, so that a small pan shows no edge.
BEYOND = 0.25
#: Nats below the highest value at which the shading is empty.
DEPTH = 7.0
#: What is in view before anything is known.
EMPTY = Box((-3.0, -3.0), (3.0, 3.0))
BAR_FROM, BAR_FROM_HEIGHT = 380, 190


class PlaneView(QWidget):
    """One pair of latent axes.

    Signals:
        asks_changed: The view moved.
        hovered: Row of the encodings under the pointer, or None.
        moved: Place (d,) that the user chose, or None.
        reset_requested: The user double-clicked.
    """

    asks_changed = Signal()
    hovered = Signal(object)
    moved = Signal(object)
    reset_requested = Signal()

    def __init__(self, look: Look, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look, self.desk = look, desk
        self.shown = {"points", "shading", "prior", "aggregate"}
        self.frame, self.bar = Frame(look, equal=False, parent=self), ColourBar(look, self)
        self._image = ImageLayer(0)
        self.lines = {name: LinesLayer(12 + i) for i, name in enumerate(
            ("aggregate", "prior", "under", "path", "ellipse"))}  # fmt: skip
        self.points, self.keys, self.ring = CloudLayer(10), DotsLayer(20), DotsLayer(21)
        for layer in (self._image, *self.lines.values(), self.points, self.keys, self.ring):
            self.frame.add(layer)
        self.mark = Mark(look, self.frame)
        self.places: Floats = np.zeros((0, 2))
        self._answer: Answer | None = None
        self._key: object = None
        self._row: int | None = None
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(look.px(4))
        layout.addWidget(self.frame, 1)
        layout.addWidget(self.bar)
        self.frame.hovered.connect(self._on_hovered)
        self.frame.view_changed.connect(lambda _: self.asks_changed.emit())
        self.frame.reset_requested.connect(self.reset_requested)
        self.mark.moved.connect(self.moved)
        self.bar.hide()
        self.restyle()

    # --- asking -------------------------------------------------------------------------------

    def question(self, *, rest: bool) -> Question | None:
        """Prior and aggregate posterior over what is seen; None without a plane."""
        box = self.frame.box
        if not self.desk.is_real or not box.is_proper:
            return None
        fine = self.desk.is_fine(rest=rest)
        low, high = np.array(box.low), np.array(box.high)
        margin = BEYOND * (high - low)
        low, high = (low - margin)[: self.desk.dims], (high + margin)[: self.desk.dims]
        wanted: dict[str, Any] = {
            "low": low.tolist(), "high": high.tolist(), "latent": self.desk.latent,
            "size": SIZES[fine] if self.desk.dims == 2 else 400, "n": N_QS[fine],
        }  # fmt: skip
        held = self.desk.holds
        return Question(
            "latent_density", wanted, self.desk.plane_arrays(), live=not held,
            coarse={} if held else COARSE,
        )  # fmt: skip

    # --- drawing ------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._answer, self._key, self._row = None, None, None
        self.places = np.zeros((0, 2))
        for layer in (self._image, *self.lines.values(), self.points, self.keys, self.ring):
            layer.clear()
        self.mark.set_place(None)
        self.bar.hide()
        # Until the encodings say what the latents are: no axes without a name.
        self.frame.set_names("z₁", "z₂")
        self.frame.set_box(EMPTY)

    def refresh(self) -> None:
        """Draw the encodings anew; the view goes home when the plane is another one."""
        desk = self.desk
        if not desk.is_real:
            return
        key = (desk.info.run if desk.info else "", desk.latent, desk.size, desk.projection,
               desk.axes)  # fmt: skip
        if key != self._key:
            self._key = key
            self._image.clear()
            for layer in self.lines.values():
                layer.clear()
            self._answer = None
            self.frame.view.setAspectLocked(desk.dims == 2)
            self.go_home()
        elif not self.frame.user_moved and _outgrown(self.frame.box, desk.home(), desk.dims):
            self.go_home()
        self.frame.set_names(*desk.axis_names())
        self._draw_points()
        self.show_mark()

    def go_home(self) -> None:
        """Show nearly all points."""
        self.frame.user_moved = False
        box = self.desk.home()
        if self.desk.dims == 1:
            box = Box((box.low[0], -0.12), (box.high[0], 1.1))
        self.frame.set_box(box)

    def show_mark(self) -> None:
        """Mark the chosen z."""
        self.mark_z(self.desk.z)

    def mark_z(self, z: Floats | None) -> None:
        """Mark a z, or none."""
        if z is None or len(z) != self.desk.size or not self.desk.size:
            self.mark.set_place(None)
            return
        place = self.desk.project(z)
        self.mark.set_place((float(place[0]), float(place[1]) if len(place) > 1 else 0.0))

    def show_density(self, answer: Answer) -> None:
        """Draw shading and contours."""
        self._answer = answer
        arrays = answer.arrays
        surface = arrays.get("log_aggregate", arrays.get("log_prior"))
        if surface is None or surface.ndim != self.desk.dims:
            return
        if surface.ndim == 1:
            self._draw_curves(answer)
            return
        name = "aggregate" if "log_aggregate" in arrays else "prior"
        ends_low, ends_high = self._asked(answer)
        box = Box((ends_low[0], ends_low[1]), (ends_high[0], ends_high[1]))
        palette = self.look.palette
        finite = surface[np.isfinite(surface)]
        top = float(finite.max()) if len(finite) else 0.0
        colours, low = table(palette.sequential), top - DEPTH
        self._image.set_image(to_bytes(surface, low, top), colours, box)
        words = "log q(z), nats" if name == "aggregate" else "log p(z), nats"
        self.bar.set_scale(colours, low, top, words, open_bottom=True)
        self._lay_out()
        self._ink_contours()
        for each in ("aggregate", "prior"):
            points = arrays.get(f"{each}_points", np.empty((0, 2)))
            self.lines[each].set_lines(points, arrays.get(f"{each}_starts"))
        self._apply_shown()

    def _draw_curves(self, answer: Answer) -> None:
        """One latent: both densities as curves over it, on one scale."""
        arrays = answer.arrays
        low, high = self._asked(answer)
        curves = {n: np.exp(arrays[f"log_{n}"]) for n in ("aggregate", "prior")
                  if f"log_{n}" in arrays}  # fmt: skip
        self._image.clear()
        self.bar.hide()
        self.lines["aggregate"].set_pen(with_alpha(self.look.palette.model, 1.0), 1.6)
        for name, curve in curves.items():
            width = (high[0] - low[0]) / max(len(curve), 1)
            x = low[0] + (np.arange(len(curve)) + 0.5) * width
            self.lines[name].set_lines(np.stack([x, curve], 1))
        top = max((float(np.nanmax(c)) for c in curves.values() if len(c)), default=1.0)
        if np.isfinite(top) and not self.frame.user_moved and _off(self.frame.box, top):
            box = self.frame.box
            self.frame.set_box(Box((box.low[0], -0.12 * top), (box.high[0], 1.15 * top)))
            self._draw_points()
        self._apply_shown()

    def _asked(self, answer: Answer) -> tuple[Floats, Floats]:
        """Low and high ends (d,) of what an answer covers; the view's where it does not say."""
        low, high = answer.arrays.get("low"), answer.arrays.get("high")
        if low is None or high is None or len(low) != self.desk.dims or len(high) != len(low):
            return np.array(self.frame.box.low), np.array(self.frame.box.high)
        return low, high

    def set_shown(self, shown: set[str]) -> None:
        """Which layers are to be seen."""
        self.shown = shown
        self._apply_shown()

    def set_ellipse(self, mean: Floats | None, covariance: Floats | None) -> None:
        """Outline one q at one and two standard deviations, or none."""
        if mean is None or covariance is None or len(mean) != 2:
            self.lines["ellipse"].clear()
            return
        self.lines["ellipse"].set_lines(*ellipse_lines(mean[None], covariance[None]))

    def set_path(self, places: Floats, keys: Floats) -> None:
        """A curve (T, d) and its keyframes (K, d)."""
        for name in ("under", "path"):
            self.lines[name].set_lines(_two(places))
        self.keys.set_points(_two(keys))

    def set_ring(self, row: int | None) -> None:
        """Emphasise one point."""
        if row is None or row >= len(self.places):
            self.ring.clear()
        else:
            self.ring.set_points(self.places[row : row + 1])

    def nearest(self, place: tuple[float, float]) -> int | None:
        """The row of the encodings that lies under a place, or None.

        All points are looked at: 60,000 of them take about a millisecond, less than keeping an
        index up to date while they move with every training step.
        """
        if not len(self.places) or "points" not in self.shown:
            return None
        at, next_to = self.frame.to_canvas(place), self.frame.to_canvas((place[0] + 1, place[1]))
        above = self.frame.to_canvas((place[0], place[1] + 1))
        scale = np.array([next_to.x() - at.x(), at.y() - above.y()])
        square = (((self.places - place) * scale) ** 2).sum(1)
        row = int(np.argmin(square))
        return row if square[row] <= self.look.px(NEAR) ** 2 else None

    def restyle(self) -> None:
        """Take colours from the look."""
        palette, px = self.look.palette, self.look.px
        dark = palette.name == "dark"
        strong = "#ffffff" if dark else palette.text
        self._ink_contours()
        self.lines["prior"].set_pen(with_alpha(palette.truth, 0.95), 1.0, dashed=True)
        self.lines["under"].set_pen(with_alpha(palette.panel, 1.0), px(5) * 1.0)
        self.lines["path"].set_pen(with_alpha(strong, 1.0), px(2) * 1.0)
        self.lines["ellipse"].set_pen(with_alpha(strong, 1.0), px(1.6) * 1.0)
        size = self.devicePixelRatioF() * self.look.scale
        self.keys.set_dots(Dots(palette.accent, KEY_DOT * size, 1.0, rim=palette.panel))
        self.ring.set_dots(Dots(strong, KEY_DOT * size, 1.0, rim=palette.panel))
        self.frame.restyle()
        self.bar.restyle()
        self._draw_points()
        if self._answer is not None:
            self.show_density(self._answer)

    def _ink_contours(self) -> None:
        palette = self.look.palette
        strong = "#ffffff" if palette.name == "dark" else palette.text
        self.lines["aggregate"].set_pen(with_alpha(strong, 0.55), 1.0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The legend goes before the picture gets too small."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        px = self.look.px
        room = self.width() >= px(BAR_FROM) and self.height() >= px(BAR_FROM_HEIGHT)
        there = self._image.pixels is not None and "shading" in self.shown
        self.bar.setVisible(room and there)

    def _draw_points(self) -> None:
        desk, palette = self.desk, self.look.palette
        if not desk.is_real or not len(desk.means):
            self.places = np.zeros((0, 2))
            self.points.clear()
            return
        places = desk.project(desk.means)
        self.places = self._on_line(places) if desk.dims == 1 else places
        colour = palette.model if desk.values.get("kind") == "prior" else palette.data
        size = DOT * self.look.scale * self.devicePixelRatioF()
        colours = desk.colours(dark=palette.name == "dark")
        self.points.set_dots(Dots(colour, size, 0.9, colours))
        self.points.set_points(self.places)
        self._apply_shown()

    def _on_line(self, places: Floats) -> Floats:
        """Points of one latent lie in a strip below the curves, spread so that they are seen."""
        floor = self.frame.box.low[1]
        spread = np.modf(np.arange(len(places)) * 0.6180339887)[0]
        return np.stack([places[:, 0], 0.9 * floor * (0.1 + 0.9 * spread)], 1)

    def _apply_shown(self) -> None:
        self.points.setVisible("points" in self.shown)
        self._image.setVisible("shading" in self.shown)
        self.lines["prior"].setVisible("prior" in self.shown)
        # Of a single latent q(z) is a curve, and there are no contours.
        curve = "shading" if self.desk.dims == 1 else "aggregate"
        self.lines["aggregate"].setVisible(curve in self.shown)
        self._lay_out()

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        row = None if place is None else self.nearest(place)
        if row != self._row:
            self._row = row
            self.set_ring(row)
            self.hovered.emit(row)


def _two(places: Floats) -> Floats:
    places = np.asarray(places, np.float64)
    if places.ndim == 2 and places.shape[1] == 1:
        return np.concatenate([places, np.zeros_like(places)], 1)
    return places.reshape(-1, 2)


def _outgrown(box: Box, home: Box, dims: int) -> bool:
    """Whether points have left the view, or fill only a small part of it."""
    for axis in range(dims):
        width, wanted = box.high[axis] - box.low[axis], home.high[axis] - home.low[axis]
        outside = home.low[axis] < box.low[axis] - 0.05 * width
        outside |= home.high[axis] > box.high[axis] + 0.05 * width
        if outside or width > 2.5 * wanted:
            return True
    return False


def _off(box: Box, high: float) -> bool:
    """Whether curves as high as this do not fit a view's height."""
    return not 0.5 * box.high[1] < high < 0.97 * box.high[1]
