"""A canvas on which a density is painted with brush, spray, eraser, jitter and magnet.

The painted density is kept on a grid that changes only where the stroke is, and drawn once a
frame; nothing is rebuilt while the pointer moves.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, TypeAlias

import numpy.typing as npt
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPen, QWheelEvent
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QStyleOptionGraphicsItem,
    QWidget,
)

from widgets.look import Look
from widgets.painting.ink import Ink
from widgets.painting.state import EXTENT, Painting
from widgets.painting.tools import TOOLS, Change, Hand, Place, Stroke
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, ImageLayer, Layer, LinesLayer
from widgets.plots.ranges import StickyCeiling, mass_ceiling
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

FRAME_MS = 16
#: Pixels of the density along the shorter side of the view.
RESOLUTION = 176
KEYS = {
    Qt.Key.Key_B: "brush",
    Qt.Key.Key_S: "spray",
    Qt.Key.Key_E: "eraser",
    Qt.Key.Key_J: "jitter",
    Qt.Key.Key_M: "magnet",
}
SIZE_KEYS = {Qt.Key.Key_BracketLeft: -1, Qt.Key.Key_BracketRight: 1}
ZOOM_KEYS = {Qt.Key.Key_Minus: 1, Qt.Key.Key_Plus: -1, Qt.Key.Key_Equal: -1}
#: A step of wheel or key changes a size by this factor, and the view by the other.
STEP, ZOOM = 1.12, 1.25
#: Ends of radius and σ, on a canvas of −4 … 4; and how far out one can zoom, in canvases.
RADII, SIGMAS, FARTHEST = (0.03, 2.0), (0.03, 1.0), 16.0
DOT = 2.6
BAR_FROM = 300
LABEL = "painted p(x), per unit²"
WORDS = {"magnet": ("pull", "push")}


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


class Painter(QWidget):
    """The canvas; keys B S E J M take a tool, [ and ] or the wheel change its radius.

    Signals:
        changed: The painting is another, by the user's stroke.
        finished: (:class:`Painting` before, after, words) at the end of a stroke that changed it.
        held: Tool, radius, softness or strength were changed on the canvas.
        filled: No more dabs can be added.
        viewed: Another part of the plane is seen.
    """

    changed = Signal()
    finished = Signal(object, object, str)
    held = Signal()
    filled = Signal()
    viewed = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.tool = TOOLS[0]
        self.hand = Hand()
        self.unit = 1.0
        self._painting = Painting()
        self._stroke: Stroke | None = None
        self._before = self._painting
        self._n_strokes = 0
        self._pointer: Place | None = None
        self._pan: QPointF | None = None
        self._clock = 0.0
        self._is_stale = False
        self._ceiling = StickyCeiling()
        self._home = Box((-EXTENT, -EXTENT), (EXTENT, EXTENT))
        self._make_layers()
        self._frame_timer = QTimer(self)
        self._frame_timer.setInterval(FRAME_MS)
        self._frame_timer.timeout.connect(self._on_frame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Canvas")
        self.restyle()
        self.reset_view()

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
        self._viewport = self.frame.view.scene().views()[0].viewport()
        self._viewport.setMouseTracking(True)
        self._viewport.installEventFilter(self)
        self._viewport.setCursor(Qt.CursorShape.CrossCursor)
        self.frame.view.scene().views()[0].setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.frame.view_changed.connect(self._on_view_changed)

    # --- the painting -------------------------------------------------------------------------

    @property
    def painting(self) -> Painting:
        """What is on the canvas now."""
        return Painting(self._stroke.dabs) if self._stroke else self._painting

    @property
    def is_busy(self) -> bool:
        """Whether a stroke is on."""
        return self._stroke is not None

    def set_painting(self, painting: Painting) -> None:
        """Put another painting on the canvas, without a signal."""
        self._stroke = None
        self._frame_timer.stop()
        self._painting = painting
        self._redraw_all()

    def set_home(self, box: Box) -> None:
        """The part of the plane to come back to; the tools' sizes are in its units."""
        self._home = box
        side = max(high - low for low, high in zip(box.low, box.high, strict=True))
        self.unit = side / (2.0 * EXTENT)
        self.reset_view()

    def reset_view(self) -> None:
        """Show the canvas as it was at first."""
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
        self.frame.set_box(Box((low[0], low[1]), (high[0], high[1])))

    # --- tools --------------------------------------------------------------------------------

    def set_tool(self, tool: str) -> None:
        """Take another tool."""
        if tool in TOOLS and tool != self.tool:
            self.tool = tool
            self.held.emit()

    def set_hand(self, hand: Hand) -> None:
        """Hold the tool otherwise."""
        radius = min(max(hand.radius, RADII[0]), RADII[1])
        sigma = min(max(hand.sigma, SIGMAS[0]), SIGMAS[1])
        strength = min(max(hand.strength, 0.01), 1.0)
        hand = Hand(float(f"{radius:.3g}"), float(f"{sigma:.3g}"), strength)
        if hand != self.hand:
            self.hand = hand
            self._show_ring()
            self.held.emit()

    def press(self, place: Place, *, push: bool = False) -> None:
        """Begin a stroke at a place of the plane."""
        self._before = self._painting
        painting = self._painting.as_dabs()
        if painting is not self._painting:
            self._painting = painting
            self._redraw_all()
        self._n_strokes += 1
        hand = self.hand.scaled(self.unit)
        self._stroke = Stroke(self.tool, hand, painting.dabs, self._n_strokes, push)
        self._clock = time.monotonic()
        self._frame_timer.start()
        self._apply(self._stroke.move(place))

    def drag(self, place: Place) -> None:
        """Go on with the stroke."""
        if self._stroke is not None:
            self._apply(self._stroke.move(place))

    def tick(self, seconds: float) -> None:
        """Let time pass for spray, jitter and magnet."""
        if self._stroke is not None:
            self._apply(self._stroke.tick(seconds))

    def release(self) -> None:
        """End the stroke."""
        stroke, self._stroke = self._stroke, None
        self._frame_timer.stop()
        if stroke is None:
            return
        if stroke.is_full:
            self.filled.emit()
        if stroke.dabs is self._painting.dabs:
            if self._painting is not self._before:
                self.set_painting(self._before)
            return
        self._painting = Painting(stroke.dabs)
        self._redraw_all()
        words = WORDS["magnet"][stroke.push] if stroke.tool == "magnet" else stroke.tool
        self.finished.emit(self._before, self._painting, words)

    # --- what lies over it ---------------------------------------------------------------------

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
        self._model.set_pen(with_alpha(palette.model, 1.0), self._look.px(1.6) * 1.0)
        size = DOT * self._look.scale * self.devicePixelRatioF()
        self._points["data"].set_dots(Dots(palette.data, size, 0.8, crowding=0.35))
        samples = Dots(palette.model, size, 0.95, rim=palette.panel, crowding=0.45)
        self._points["samples"].set_dots(samples)
        pens = []
        for colour, width in ((palette.panel, 3.0), (palette.text, 1.3)):
            pen = QPen(with_alpha(colour, 0.9), width)
            pen.setCosmetic(True)
            pens.append(pen)
        self._ring.set_pens(*pens)
        self.frame.restyle()
        self.bar.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            self._ink.add(change.gone, -1.0)
            self._ink.add(change.new)
        if changes:
            self._is_stale = True
            self.changed.emit()

    def _on_frame(self) -> None:
        """Once a frame while a stroke is on."""
        now = time.monotonic()
        seconds, self._clock = now - self._clock, now
        if self._stroke is not None:
            self._stroke.push = self._wants_push()
        self.tick(min(seconds, 0.1))
        if self._is_stale:
            self._draw()

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
        top = self._ceiling.update(mass_ceiling(density[::3, ::3]))
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
        room = self.width() >= self._look.px(BAR_FROM) and self.height() >= self._look.px(120)
        self.bar.setVisible(room and self._image.isVisible())
        self.bar.set_bare(self.width() < self._look.px(420))

    def _show_ring(self) -> None:
        self._ring.set_ring(self._pointer, self.hand.radius * self.unit)

    # --- Qt -----------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The pointer on the canvas, before the plot sees it."""
        if watched is not self._viewport:
            return super().eventFilter(watched, event)
        if isinstance(event, QWheelEvent):
            self._on_wheel(event)
            return True
        if isinstance(event, QMouseEvent):
            return self._on_mouse(event)
        if event.type() == QEvent.Type.Leave:
            self._pointer = None
            self._show_ring()
        return False

    def event(self, event: QEvent) -> bool:
        """Letters are the canvas' own while it has the focus, whatever the menus do with them."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            known = event.key() in (*KEYS, *SIZE_KEYS, *ZOOM_KEYS, Qt.Key.Key_Home)
            held = event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier
            keypad = Qt.KeyboardModifier.KeypadModifier
            if known and held in (Qt.KeyboardModifier.NoModifier, keypad):
                event.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Tools, sizes and the view."""
        key = Qt.Key(event.key())
        if key in KEYS:
            self.set_tool(KEYS[key])
        elif key in SIZE_KEYS:
            self._grow(SIZE_KEYS[key])
        elif key in ZOOM_KEYS:
            self.zoom(ZOOM_KEYS[key])
        elif key == Qt.Key.Key_Home:
            self.reset_view()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: Any) -> None:
        """The scale gives its room to the canvas."""
        super().resizeEvent(event)
        self._fit_bar()

    def _on_wheel(self, event: QWheelEvent) -> None:
        delta = event.angleDelta()
        steps = (delta.y() or delta.x()) / 120.0
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(-steps)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.set_hand(replace(self.hand, sigma=self.hand.sigma * STEP**steps))
        else:
            self._grow(steps)

    def _grow(self, steps: float) -> None:
        self.set_hand(replace(self.hand, radius=self.hand.radius * STEP**steps))

    def _on_mouse(self, event: QMouseEvent) -> bool:
        place = self._place(event.position())
        kind, button = event.type(), event.button()
        if kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick):
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            if button == Qt.MouseButton.LeftButton:
                self.press(place, push=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
            elif button == Qt.MouseButton.MiddleButton:
                self._pan = event.position()
        elif kind == QEvent.Type.MouseMove:
            self._on_moved(event, place)
        elif kind == QEvent.Type.MouseButtonRelease:
            if button == Qt.MouseButton.LeftButton:
                self.drag(place)
                self.release()
            self._pan = None
        return True

    def _on_moved(self, event: QMouseEvent, place: Place) -> None:
        if self._pan is not None:
            start = self._place(self._pan)
            self._pan = event.position()
            box = self.frame.box
            by = start[0] - place[0], start[1] - place[1]
            low, high = ((e[0] + by[0], e[1] + by[1]) for e in (box.low, box.high))
            self.frame.set_box(Box(low, high))
            return
        self._pointer = place
        self._show_ring()
        self.drag(place)

    def _place(self, position: QPointF) -> Place:
        scene = self.frame.view.scene().views()[0].mapToScene(position.toPoint())
        point = self.frame.view.mapSceneToView(scene)
        return float(point.x()), float(point.y())

    def _wants_push(self) -> bool:
        return bool(QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
