"""The plane on which one paints: the painted density, data and model over it, the brush's rim."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy.typing as npt
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStyleOptionGraphicsItem, QWidget

from widgets.look import Look
from widgets.painting.ink import Ink
from widgets.painting.state import EXTENT, Painting
from widgets.painting.tools import Place
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, ImageLayer, Layer, LinesLayer
from widgets.plots.ranges import StickyCeiling, mass_ceiling
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels of the density along the shorter side of the view, and at most along any.
RESOLUTION, MOST_RESOLUTION = 176, 1024
#: How far out one can zoom, in canvases, and a step of it.
FARTHEST, ZOOM = 16.0, 1.25
#: Diameter of a dot, and the share of a crowded place that dots may cover.
DOT, CROWDING = 2.4, 0.2
#: This share of the painted mass may be denser than the top of the colour scale.
CLIPPED = 0.25
#: Pixels at scale 1 from which there is room for the colour scale, and for its numbers.
BAR_FROM, BAR_FROM_HEIGHT, BAR_TEXT_FROM = 260, 120, 330
LABEL = "painted p(x), per unit²"


class RingLayer(Layer):
    """The brush's rim under the pointer."""

    def __init__(self) -> None:
        super().__init__(30.0)
        self._ring: tuple[Place, float] | None = None
        self._pens = (QPen(), QPen())

    def set_pens(self, under: QPen, over: QPen) -> None:
        """A dark rim below a light one, so that it is seen on every ground."""
        self._pens = (under, over)

    def set_ring(self, place: Place | None, radius: float) -> None:
        """Show it here, or nowhere."""
        self._ring = None if place is None else (place, radius)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.set_ring(None, 0.0)

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if self._ring is None:
            return
        (x, y), radius = self._ring
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for pen in self._pens:
            painter.setPen(pen)
            painter.drawEllipse(QPointF(x, y), radius, radius)


class Canvas(QWidget):
    """Shows a painting over −4 … 4, or over what the data need.

    Signals:
        viewed: Another part of the plane is seen.
    """

    viewed = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.unit = 1.0
        self._painting = Painting()
        self._is_stale = False
        self._ceiling = StickyCeiling()
        self._home = Box((-EXTENT, -EXTENT), (EXTENT, EXTENT))
        self._make_layers()
        self.restyle()
        self.reset_view()

    @property
    def painting(self) -> Painting:
        """What is on the canvas now."""
        return self._painting

    def set_home(self, box: Box) -> None:
        """The part of the plane to come back to; the tools' sizes are in its units."""
        self._home = box
        side = max(high - low for low, high in zip(box.low, box.high, strict=True))
        self.unit = side / (2.0 * EXTENT)
        self.reset_view()

    def reset_view(self) -> None:
        """Show the canvas as it was at first."""
        self.frame.user_moved = False
        self.frame.set_box(self._home)

    def zoom(self, steps: float) -> None:
        """Out (above 0) or in, around the middle."""
        box = self.frame.box
        middle = [(a + b) / 2 for a, b in zip(box.low, box.high, strict=True)]
        farthest = FARTHEST * EXTENT * self.unit
        half = [
            min((b - a) / 2 * ZOOM**steps, farthest)
            for a, b in zip(box.low, box.high, strict=True)
        ]
        low, high = ([m + s * h for m, h in zip(middle, half, strict=True)] for s in (-1, 1))
        self.frame.user_moved = True
        self.frame.set_box(Box((low[0], low[1]), (high[0], high[1])))

    def set_hint(self, words: str) -> None:
        """What to do, written on the canvas itself so that nothing moves when it goes."""
        self.hint.setText(words)
        self.hint.setVisible(bool(words))
        self._fit_hint()

    def set_points(self, name: str, points: Floats) -> None:
        """Dots (N, 2) of ``data`` or ``samples``."""
        self._points[name].set_points(points)

    def set_contours(self, points: Floats, starts: npt.NDArray[Any] | None = None) -> None:
        """The model's regions of highest density, as a density's answer has them."""
        self._model.set_lines(points, starts)

    def set_shown(self, name: str, on: bool) -> None:
        """Switch ``density``, ``data``, or ``model`` (contours and samples)."""
        if name == "density":
            self._image.setVisible(on)
            self._fit_bar()
        elif name == "data":
            self._points["data"].setVisible(on)
        else:
            self._model.setVisible(on)
            self._points["samples"].setVisible(on)

    def clear_model(self) -> None:
        """Show no data and no model."""
        self._model.clear()
        for layer in self._points.values():
            layer.clear()

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        palette = self._look.palette
        self._model.set_pen(with_alpha(palette.model, 0.9), 1.0)
        size = DOT * self._look.scale * self.devicePixelRatioF()
        self._points["data"].set_dots(Dots(palette.data, size, 0.8, crowding=CROWDING))
        samples = Dots(palette.model, size, 0.95, rim=palette.panel, crowding=CROWDING)
        self._points["samples"].set_dots(samples)
        pens = []
        for colour, width in ((palette.panel, 3.0), (palette.text, 1.3)):
            pen = QPen(with_alpha(colour, 0.9), width)
            pen.setCosmetic(True)
            pens.append(pen)
        self._ring.set_pens(*pens)
        self.frame.restyle()
        self.bar.restyle()
        self.hint.setFont(self._look.font(1.1))
        self.hint.setStyleSheet(f"color: {palette.muted}; background: transparent")
        self._fit_bar()
        self._fit_hint()
        self._draw()

    def _make_layers(self) -> None:
        self.frame = Frame(self._look, equal=True, parent=self)
        self.frame.set_names("x", "y")
        self.bar = ColourBar(self._look, self)
        self._image, self._ring = ImageLayer(0), RingLayer()
        self._model = LinesLayer(5)
        self._points = {"data": DotsLayer(10), "samples": DotsLayer(11)}
        for layer in (self._image, self._model, *self._points.values(), self._ring):
            self.frame.add(layer)
        self.frame.view.setMouseEnabled(x=False, y=False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(self._look.px(4))
        row.addWidget(self.frame, 1)
        row.addWidget(self.bar)
        self._ink = Ink(self._home, (RESOLUTION, RESOLUTION))
        self.hint = QLabel(self)
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hint.hide()
        self._viewport = self.frame.view.scene().views()[0].viewport()
        self._viewport.setMouseTracking(True)
        self._viewport.setCursor(Qt.CursorShape.CrossCursor)
        self.frame.view.scene().views()[0].setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.frame.view_changed.connect(self._on_view_changed)

    def _redraw_all(self) -> None:
        """From nothing, which also takes rounding away."""
        box = self.frame.box
        size = [b - a for a, b in zip(box.low, box.high, strict=True)]
        step = min(size) / RESOLUTION
        shape = min(1024, math.ceil(size[1] / step)), min(1024, math.ceil(size[0] / step))
        self._ink = Ink(box, shape)
        self._ink.add(self.painting.dabs)
        self._draw()

    def _draw(self) -> None:
        self._is_stale = False
        density = self._density()
        top = self._ceiling.update(mass_ceiling(density[::3, ::3], CLIPPED))
        colours = table(f"truth-{self._look.palette.name}")
        self._image.set_image(to_bytes(density, 0.0, top), colours, self._ink.box)
        self.bar.set_scale(colours, 0.0, top, LABEL, open_top=True)

    def _density(self) -> Floats:
        painting = self.painting
        return self._ink.density if painting.grey is None else painting.pixels_at(*self._ink.axes)

    def _on_view_changed(self, _: Box) -> None:
        self._redraw_all()
        self.viewed.emit()

    def _fit_bar(self) -> None:
        px = self._look.px
        room = self.width() >= px(BAR_FROM) and self.height() >= px(BAR_FROM_HEIGHT)
        self.bar.setVisible(room and self._image.isVisible())
        self.bar.set_bare(self.width() < px(BAR_TEXT_FROM))

    def _fit_hint(self) -> None:
        """In the upper part of the view, where it is not taken for paint."""
        px, frame = self._look.px, self.frame.geometry()
        width = max(1, frame.width() - px(80))
        self.hint.setGeometry(frame.left() + px(60), self.height() // 8, width, px(90))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The scale gives its room to the canvas."""
        super().resizeEvent(event)
        self._fit_bar()
        self._fit_hint()
