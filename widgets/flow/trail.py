"""The chosen point on its way: where it has been, where it is, and its sum so far."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.layers import Layer

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1: radius of the ring, distance of the words, room around them.
RING, GAP, ROOM = 7.0, 12.0, 4.0


class TrailLayer(Layer):
    """A line with a dot at each whole layer, a ring at its end, and words beside the ring."""

    def __init__(self, look: Look) -> None:
        super().__init__(40.0)
        self._look = look
        self._places: Floats = np.empty((0, 2))
        self.words = ""
        self.way_on: tuple[float, float] | None = None

    @property
    def at(self) -> tuple[float, float] | None:
        """Where the ring is, in data units."""
        return None if not len(self._places) else (
            float(self._places[-1, 0]), float(self._places[-1, 1])
        )  # fmt: skip

    def set_trail(
        self, places: Floats, words: str, *, way_on: tuple[float, float] | None = None
    ) -> None:
        """Places (P, 2), the last one where the point is now; none hides it.

        ``way_on`` is where something is drawn that leaves from there, in data units, which the
        words keep away from where there is room.
        """
        places = np.asarray(places, np.float64).reshape(-1, 2)
        self._places = places if np.isfinite(places).all() else np.empty((0, 2))
        self.words, self.way_on = words, way_on
        self.update()

    def clear(self) -> None:
        """Show none."""
        self.set_trail(np.empty((0, 2)), "")

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if not len(self._places):
            return
        transform = painter.worldTransform()
        view = transform.mapRect(self._view)
        spots = [transform.map(QPointF(*place)) for place in self._places.tolist()]
        painter.save()
        painter.resetTransform()
        painter.setClipRect(view)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_way(painter, spots)
        self._draw_ring(painter, spots[-1])
        if self.words:
            self._draw_words(painter, view, spots[-1])
        painter.restore()

    def _draw_way(self, painter: QPainter, spots: list[QPointF]) -> None:
        palette, scale = self._look.palette, self._look.scale
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((with_alpha(palette.panel, 0.8), 4.0), (QColor(palette.text), 1.5)):
            painter.setPen(QPen(colour, width * scale))
            painter.drawPolyline(QPolygonF(spots))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(palette.text))
        for spot in spots[:-1]:
            painter.drawEllipse(spot, 2.5 * scale, 2.5 * scale)

    def _draw_ring(self, painter: QPainter, spot: QPointF) -> None:
        palette, scale = self._look.palette, self._look.scale
        painter.setBrush(QColor(palette.accent))
        for colour, width in ((palette.panel, 4.5), (palette.text, 2.0)):
            painter.setPen(QPen(QColor(colour), width * scale))
            painter.drawEllipse(spot, RING * scale, RING * scale)

    def _draw_words(self, painter: QPainter, view: QRectF, spot: QPointF) -> None:
        palette, px = self._look.palette, self._look.px
        painter.setFont(self._look.font(0.92, bold=True))
        metrics = QFontMetricsF(painter.font())
        size = metrics.boundingRect(QRectF(0, 0, 1e4, 1e4), 0, self.words)
        width, height = size.width() + 2 * px(ROOM), size.height() + px(ROOM)
        area = place_beside(view, spot, QSizeF(width, height), float(px(GAP)), self.way_on)
        painter.setPen(QPen(QColor(palette.border), 1.0))
        painter.setBrush(with_alpha(palette.raised, 0.92))
        painter.drawRoundedRect(area, px(3), px(3))
        painter.setPen(QColor(palette.text))
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self.words)


def place_beside(
    view: QRectF, spot: QPointF, size: QSizeF, gap: float, way_on: tuple[float, float] | None
) -> QRectF:
    """Where words stand beside a spot, all in pixels; ``way_on`` with y upwards, to keep off."""
    width, height = size.width(), size.height()
    sides = [spot.x() + gap, spot.x() - gap - width]
    free = [x for x in sides if view.left() <= x and x + width <= view.right()]
    left, top = spot.x() - width / 2, spot.y() - gap - height
    if free:
        right, up = way_on or (-1.0, 0.0)
        left, top = free[-1 if right > 0.0 else 0], spot.y() - height / 2
        top += math.copysign((height + gap) / 2, up) if way_on else 0.0
    left = min(max(left, view.left() + 1), max(view.right() - width - 1, view.left()))
    top = min(max(top, view.top() + 1), max(view.bottom() - height - 1, view.top()))
    return QRectF(left, top, width, height)
