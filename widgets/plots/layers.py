"""What lies in a frame: a picture, many lines as one path, a cloud of dots as one picture.

Plain graphics items, each with one paint call, instead of one item per level or point: a frame of
a live density is repainted some ten times a second beside everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyqtgraph
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPen, QTransform
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from widgets.plots import vector
from widgets.plots.colours import Table
from widgets.plots.splat import Dots, splat

Floats: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Box:
    """A rectangle in data units."""

    low: tuple[float, float]
    high: tuple[float, float]

    @property
    def rectangle(self) -> QRectF:
        """The box for Qt."""
        (x0, y0), (x1, y1) = self.low, self.high
        return QRectF(x0, y0, x1 - x0, y1 - y0)

    @property
    def is_proper(self) -> bool:
        """Whether both sides are finite and positive."""
        ends = np.array([self.low, self.high])
        return bool(np.isfinite(ends).all() and (ends[1] > ends[0]).all())


class Layer(QGraphicsItem):
    """An item that may draw anywhere in the view that it lies in."""

    def __init__(self, z: float = 0.0) -> None:
        super().__init__()
        self.setZValue(z)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self._view = QRectF(0.0, 0.0, 1.0, 1.0)

    def set_view(self, view: QRectF) -> None:
        """The view shows this rectangle of data units from now on."""
        self.prepareGeometryChange()
        self._view = view

    def clear(self) -> None:
        """Show nothing."""
        raise NotImplementedError

    def boundingRect(self) -> QRectF:  # noqa: D102, N802 - Qt's
        return self._view


class ImageLayer(Layer):
    """A picture stretched over a box; row 0 lies at the low end of y."""

    def __init__(self, z: float = 0.0) -> None:
        super().__init__(z)
        self._pixels: npt.NDArray[np.uint32] | None = None
        self._image = QImage()
        self._box = QRectF()

    @property
    def pixels(self) -> npt.NDArray[np.uint32] | None:
        """The picture as 0xffRRGGBB, (H, W), or None."""
        return self._pixels

    def set_image(self, levels: npt.NDArray[np.uint8], colours: Table, box: Box) -> None:
        """Show levels (H, W) through a colour table of 256."""
        pixels = np.ascontiguousarray(colours[levels])
        height, width = pixels.shape
        self._pixels = pixels
        self._image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
        self._box = box.rectangle
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._pixels, self._image = None, QImage()
        self.update()

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if not self._image.isNull():
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            if vector.draws_lines(painter):
                vector.draw_image(painter, self._box, self._image, self._view)
            else:
                painter.drawImage(self._box, self._image)


class LinesLayer(Layer):
    """Polylines under one pen, as one path."""

    def __init__(self, z: float = 0.0) -> None:
        super().__init__(z)
        self._path = QPainterPath()
        self._pen = QPen()
        self._under: QPen | None = None
        self._fill: QColor | None = None
        self._fill_path = QPainterPath()
        self._points: Floats = np.empty((0, 2))
        self._connect: npt.NDArray[np.bool_] = np.empty(0, dtype=bool)
        self._segments: list[QLineF] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn."""
        return not len(self._points)

    def set_pen(self, colour: QColor, width: float, *, dashed: bool = False) -> None:
        """Width in pixels, whatever the zoom; at most 1 is fastest by far."""
        self._pen = _cosmetic(colour, width)
        if dashed:
            self._pen.setStyle(Qt.PenStyle.CustomDashLine)
            self._pen.setDashPattern([5.0, 4.0])
        self._build()

    def set_fill(self, colour: QColor | None) -> None:
        """Fill between the line and y = 0."""
        self._fill = colour
        self.update()

    def set_lines(self, points: Floats, starts: npt.NDArray[Any] | None = None) -> None:
        """Points (P, 2); ``starts``: where each polyline starts, then P; NaN breaks a line."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        finite = np.logical_and(np.isfinite(points[:, 0]), np.isfinite(points[:, 1]))
        connect = np.zeros(len(points), dtype=bool)
        connect[:-1] = finite[:-1] & finite[1:]
        if starts is not None and len(starts) > 1:
            ends = np.asarray(starts[1:], dtype=np.int64) - 1
            connect[ends[(ends >= 0) & (ends < len(points))]] = False
        self._points = np.where(finite[:, None], points, 0.0)
        self._connect = connect
        self._fill_path = _area(points[finite]) if self._fill is not None else QPainterPath()
        self._build()

    def _build(self) -> None:
        """Wide solid lines are drawn segment by segment: Qt joins a path forty times slower."""
        solid = self._pen.style() == Qt.PenStyle.SolidLine and self._pen.color().alpha() == 255
        self._segments, self._path = [], QPainterPath()
        if solid and self._pen.widthF() > 1.0:
            ends = np.concatenate([self._points[:-1], self._points[1:]], 1)[self._connect[:-1]]
            self._segments = [QLineF(*row) for row in ends.tolist()]
        else:
            self._path = _path(self._points, self._connect)
        self.update()

    def clear(self) -> None:
        """Draw nothing."""
        self.set_lines(np.empty((0, 2)))

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if vector.draws_lines(painter):
            self._draw_on_paper(painter)
            return
        if self._fill is not None:
            painter.fillPath(self._fill_path, self._fill)
        painter.setPen(vector.enlarged_pen(self._pen, vector.enlargement(painter, widget)))
        if not self._path.isEmpty():
            painter.drawPath(self._path)
        if self._segments:
            painter.drawLines(self._segments)

    def _draw_on_paper(self, painter: QPainter) -> None:
        if self._fill is not None:
            view = QPainterPath()
            view.addRect(self._view)
            painter.fillPath(self._fill_path.intersected(view), self._fill)
        vector.draw_lines(painter, self._points, self._connect, self._pen, self._view)


class DotsLayer(Layer):
    """A cloud of dots, drawn once into a picture that is kept until the view moves."""

    def __init__(self, z: float = 0.0) -> None:
        super().__init__(z)
        self._points: Floats = np.empty((0, 2))
        self._dots = Dots("#ffffff", 4.0)
        self._kept: tuple[object, QImage] | None = None

    @property
    def count(self) -> int:
        """How many dots there are."""
        return len(self._points)

    def set_points(self, points: Floats) -> None:
        """Show points (N, 2) in data units; those with NaN or infinity are left out."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        self._points = points
        self._changed()

    def set_dots(self, dots: Dots) -> None:
        """How the dots look; per-point colours must match the points in number."""
        self._dots = dots
        self._changed()

    def clear(self) -> None:
        """Show none."""
        self.set_points(np.empty((0, 2)))

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if not len(self._points) or widget is None:
            return
        transform, ratio = painter.worldTransform(), vector.pixel_ratio(painter)
        if vector.draws_lines(painter) and len(self._points) <= vector.MOST_DISCS:
            self._draw_discs(painter, transform, widget.devicePixelRatioF())
            return
        area = QRectF(transform.mapRect(self._view).toAlignedRect())
        key = (area, _entries(transform), ratio)
        if self._kept is None or self._kept[0] != key:
            dots = vector.enlarged_dots(self._dots, vector.enlargement(painter, widget))
            self._kept = (key, self._render(transform, area, ratio, dots))
        painter.save()
        painter.resetTransform()
        painter.drawImage(area.topLeft(), self._kept[1])
        painter.restore()

    def _changed(self) -> None:
        self._kept = None
        self.update()

    def _draw_discs(self, painter: QPainter, transform: QTransform, ratio: float) -> None:
        """As circles, for a file of lines; the dots' size is in pixels of the screen."""
        where = self._points * [transform.m11(), transform.m22()] + [
            transform.dx(), transform.dy()
        ]  # fmt: skip
        view = transform.mapRect(self._view)
        low = np.array([view.left(), view.top()])
        high = np.array([view.right(), view.bottom()])
        with np.errstate(invalid="ignore"):
            inside = np.logical_and(where >= low, where <= high).all(1)
        painter.save()
        painter.resetTransform()
        dots = vector.enlarged_dots(self._seen(inside), 1.0 / ratio)
        vector.draw_discs(painter, where[inside], dots)
        painter.restore()

    def _seen(self, inside: Any) -> Dots:
        colours = self._dots.colours
        return self._dots if colours is None else replace(self._dots, colours=colours[inside])

    def _render(self, transform: QTransform, area: QRectF, ratio: float, dots: Dots) -> QImage:
        origin = QPointF(transform.dx(), transform.dy()) - area.topLeft()
        scale = np.array([transform.m11(), transform.m22()])
        where = ratio * (self._points * scale + np.array([origin.x(), origin.y()]))
        width, height = (max(1, round(side * ratio)) for side in (area.width(), area.height()))
        picture = _picture(where, width, height, dots)
        if dots.rim:
            rimmed = _picture(where, width, height, dots.as_rim)
            painter = QPainter(rimmed)
            painter.drawImage(0, 0, picture)
            painter.end()
            picture = rimmed
        picture.setDevicePixelRatio(ratio)
        return picture


def _picture(where: Floats, width: int, height: int, dots: Dots) -> QImage:
    pixels = splat(where, width, height, dots)
    form = QImage.Format.Format_ARGB32_Premultiplied
    return QImage(pixels.data, width, height, 4 * width, form).copy()


def _entries(transform: QTransform) -> tuple[float, ...]:
    return transform.m11(), transform.m22(), transform.dx(), transform.dy()


def _cosmetic(colour: QColor, width: float) -> QPen:
    pen = QPen(colour, width)
    pen.setCosmetic(True)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    return pen


def _path(points: Floats, connect: npt.NDArray[np.bool_]) -> QPainterPath:
    if len(points) < 2:
        return QPainterPath()
    path: QPainterPath = pyqtgraph.arrayToQPath(
        np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1]), connect=connect
    )
    return path


def _area(points: Floats) -> QPainterPath:
    if len(points) < 2:
        return QPainterPath()
    ends = np.array([[points[-1, 0], 0.0], [points[0, 0], 0.0]])
    closed = np.concatenate([points, ends, points[:1]])
    return _path(closed, np.ones(len(closed), dtype=bool))
