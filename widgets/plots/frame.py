"""One pair of named axes: view range, zoom and pan, pointer position. Layers are put into it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pyqtgraph
from PySide6.QtCore import QEvent, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QFont, QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QGraphicsView, QVBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.axis import Axis
from widgets.plots.layers import Box, Layer
from widgets.recall import Recalled

#: Pixels at scale 1: an axis with its name, and without.
LEFT_WIDTH = 50
BARE_WIDTH = 36
BOTTOM_HEIGHT = 33
BARE_HEIGHT = 18
#: Below this height letters get smaller, below the next one the lower axis goes without its name,
#: below this width the left one.
TIGHT_BELOW = 190
NAMED_FROM = 150
NAMED_FROM_WIDTH = 220
#: Room at the top and on the right, for the outermost tick labels.
EDGE = 8
TIGHT_EDGE = 3
#: A view is reported this long after it moved, so that a drag asks some thirty times a second.
REPORT_MS = 30


class View(NamedTuple):
    """What a frame shows, and whether the user or the data decided it."""

    moved: bool
    box: Box


class Frame(QWidget, Recalled):
    """Axes around one view.

    Signals:
        hovered: ``(x, y)`` under the pointer in data units, or None when it leaves.
        view_changed: The :class:`Box` now visible, by whatever cause, at most every 30 ms.
        clicked: ``(x, y)`` of a click with the left button that was no drag.
        reset_requested: The user double-clicked.
    """

    hovered = Signal(object)
    view_changed = Signal(object)
    clicked = Signal(object)
    reset_requested = Signal()

    def __init__(self, look: Look, *, equal: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._layers: list[tuple[Any, Layer]] = []
        self.user_moved = False
        self._x_name = self._y_name = ""
        self._is_line = self._is_bare = False
        self._graphics = pyqtgraph.GraphicsLayoutWidget(self)
        self._graphics.setMinimumSize(1, 1)
        self.grid = self._graphics.ci
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(0)
        self.view = self.new_view(equal=equal)
        self._left, self._bottom = Axis("left"), Axis("bottom")
        for axis in (self._left, self._bottom):
            axis.linkToView(self.view)
        self.grid.addItem(self._left, 1, 0)
        self.grid.addItem(self.view, 1, 1)
        self.grid.addItem(self._bottom, 2, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._graphics)
        self._report = QTimer(self)
        self._report.setSingleShot(True)
        self._report.setInterval(REPORT_MS)
        self._connect()
        self.restyle()

    def new_view(self, *, equal: bool = False, mouse: bool = True) -> Any:
        """A bare view box of our kind."""
        view = pyqtgraph.ViewBox(enableMenu=False, lockAspect=equal, enableMouse=mouse)
        view.disableAutoRange()
        view.setDefaultPadding(0.0)
        return view

    def add(self, layer: Layer, view: Any = None) -> None:
        """Put a layer into the main view, or into another one of this frame."""
        view = view if view is not None else self.view
        view.addItem(layer, ignoreBounds=True)
        layer.set_view(view.viewRect())
        self._layers.append((view, layer))

    def remove(self, layer: Layer) -> None:
        """Take a layer out again."""
        for view, own in self._layers:
            if own is layer:
                view.removeItem(layer)
        self._layers = [entry for entry in self._layers if entry[1] is not layer]

    @property
    def box(self) -> Box:
        """What is visible, in data units."""
        (x0, x1), (y0, y1) = self.view.viewRange()
        return Box((float(x0), float(y0)), (float(x1), float(y1)))

    def set_box(self, box: Box) -> None:
        """Show this box (with equal aspect: at least this box)."""
        if box.is_proper:
            self.view.setRange(
                xRange=(box.low[0], box.high[0]), yRange=(box.low[1], box.high[1]), padding=0
            )

    def kept(self) -> View:
        """What is visible, for undo."""
        return View(self.user_moved, self.box)

    def keep(self, value: View) -> None:
        """Show it again; a view that the data decided follows them again."""
        self.user_moved = value.moved
        self.set_box(value.box)

    def is_same(self, before: View, after: View) -> bool:
        """Whether the user moved nothing; what the data move by themselves does not count."""
        if not (before.moved or after.moved):
            return True
        free = [axis for axis, on in enumerate(self.view.state["mouseEnabled"]) if on] or [0, 1]
        ends = ((v.box.low[axis], v.box.high[axis]) for axis in free for v in (before, after))
        pairs = list(ends)
        near = all(_near(a, b) for a, b in zip(pairs[::2], pairs[1::2], strict=True))
        return near and before.moved == after.moved

    def what_changed(self, before: View, after: View) -> str:
        """Which way the view was moved."""
        if not after.moved:
            return "reset the view"
        sides = [_sides(view.box) for view in (before, after)]
        kept = all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(*sides, strict=True))
        return "move the view" if kept else "zoom"

    def set_names(self, x_name: str, y_name: str) -> None:
        """What stands at the axes."""
        self._x_name, self._y_name = x_name, y_name
        self._bottom.setLabel(x_name)
        self._left.setLabel(y_name)
        self.restyle()

    def set_line(self, on: bool) -> None:
        """Whether events lie on a line: heights then mean nothing, and carry no numbers."""
        if on != self._is_line:
            self._is_line = on
            self.restyle()

    def set_bare(self, on: bool) -> None:
        """Whether neither axis carries numbers, as places alone mean nothing."""
        self._is_bare = on
        self.restyle()

    def set_log_x(self, on: bool) -> None:
        """Whether x values are given as decimal logarithms and labelled as powers."""
        self._bottom.setLogMode(on, on)

    def set_log_y(self, on: bool) -> None:
        """Whether y values are given as decimal logarithms and labelled as powers."""
        self._left.setLogMode(on, on)

    def restyle(self) -> None:
        """Take colours, fonts and sizes from the look."""
        self._graphics.setBackground(self._look.palette.panel)
        self._style_axes()
        self._fit_names()

    @property
    def is_tight(self) -> bool:
        """Whether the frame is so low that everything beside the picture gives way to it."""
        return self.height() < self._look.px(TIGHT_BELOW)

    @property
    def names_shown(self) -> tuple[str, str]:
        """The names that stand at the axes now, "" for those that have no room."""
        labels = zip((self._bottom, self._left), (self._x_name, self._y_name), strict=True)
        x, y = (name if axis.label.isVisible() else "" for axis, name in labels)
        return x, y

    @property
    def canvas(self) -> QGraphicsView:
        """What receives mouse and keys."""
        canvas: QGraphicsView = self._graphics
        return canvas

    def to_canvas(self, place: tuple[float, float]) -> QPointF:
        """Data units → pixels of the canvas."""
        return QPointF(self._graphics.mapFromScene(self.view.mapViewToScene(QPointF(*place))))

    def to_data(self, position: QPointF) -> tuple[float, float]:
        """Pixels of the canvas → data units."""
        point = self.view.mapSceneToView(self._graphics.mapToScene(position.toPoint()))
        return float(point.x()), float(point.y())

    def holds(self, position: QPointF) -> bool:
        """Whether a pixel of the canvas lies in the view."""
        scene = self._graphics.mapToScene(position.toPoint())
        return bool(self.view.sceneBoundingRect().contains(scene))

    def repaint_now(self) -> None:
        """Paint synchronously, for measurements."""
        self._graphics.viewport().repaint()

    def _connect(self) -> None:
        self.view.sigRangeChanged.connect(self._on_range_changed)
        self.view.sigResized.connect(self._on_range_changed)
        self.view.sigRangeChangedManually.connect(self._on_moved_by_user)
        self._report.timeout.connect(self._on_report_due)
        scene = self._graphics.scene()
        scene.sigMouseMoved.connect(self._on_mouse_moved)
        scene.sigMouseClicked.connect(self._on_mouse_clicked)

    def _style_axes(self) -> None:
        palette, font = self._look.palette, self._font()
        for axis in (self._left, self._bottom):
            axis.setPen(palette.panel if self._is_bare else palette.border)
            axis.setTextPen(palette.muted)
            bare = self._is_bare or (self._is_line and axis is self._left)
            length = 0 if bare else -self._look.px(4)
            axis.setStyle(tickFont=font, tickLength=length, showValues=not bare)
            axis.label.setFont(font)
            axis.label.setDefaultTextColor(palette.muted)

    def _font(self) -> QFont:
        return self._look.font(0.75 if self.is_tight else 0.85)

    def _fit_names(self) -> None:
        """A name that has no room, or is longer than its axis, is left out and gives its room."""
        px = self._look.px
        x_named = bool(self._x_name) and self.height() >= px(NAMED_FROM)
        bottom = px(BOTTOM_HEIGHT if x_named else BARE_HEIGHT)
        room = self.height() - bottom - 2
        length = QFontMetrics(self._font()).horizontalAdvance(self._y_name)
        y_named = bool(self._y_name) and length <= room and self.width() >= px(NAMED_FROM_WIDTH)
        self._bottom.showLabel(x_named)
        self._left.showLabel(y_named)
        self._bottom.setHeight(bottom)
        self._left.setWidth(px(LEFT_WIDTH if y_named else BARE_WIDTH))
        # Half of the topmost tick's label stands above the axis.
        half = QFontMetrics(self._font()).ascent() // 2 + 1
        edge = max(px(TIGHT_EDGE), half) if self.is_tight else px(EDGE)
        self.grid.layout.setRowMinimumHeight(0, edge)
        self.grid.layout.setColumnMinimumWidth(2, px(EDGE))

    def _on_range_changed(self, *_: object) -> None:
        for view, layer in self._layers:
            layer.set_view(view.viewRect())
        if not self._report.isActive():
            self._report.start()

    def _on_report_due(self) -> None:
        self.view_changed.emit(self.box)

    def _on_moved_by_user(self, *_: object) -> None:
        self.user_moved = True

    def _on_mouse_moved(self, position: QPointF) -> None:
        if self.view.sceneBoundingRect().contains(position):
            point = self.view.mapSceneToView(position)
            self.hovered.emit((float(point.x()), float(point.y())))
        else:
            self.hovered.emit(None)

    def _on_mouse_clicked(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if event.double():
            self.reset_requested.emit()
        elif self.view.sceneBoundingRect().contains(event.scenePos()):
            point = self.view.mapSceneToView(event.scenePos())
            self.clicked.emit((float(point.x()), float(point.y())))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Names may fit no longer, or again."""
        super().resizeEvent(event)
        self._style_axes()
        self._fit_names()

    def leaveEvent(self, event: QEvent) -> None:
        """The pointer is on nothing any more."""
        self.hovered.emit(None)
        super().leaveEvent(event)


def _near(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two spans are the same but for rounding."""
    slack = 1e-9 * max(abs(end) for end in (*one, *other))
    return all(abs(a - b) <= slack for a, b in zip(one, other, strict=True))


def _sides(box: Box) -> tuple[float, float]:
    """Width and height."""
    return box.high[0] - box.low[0], box.high[1] - box.low[1]
