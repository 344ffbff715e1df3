"""The window's cursor in a plot over training steps: a line, and the curves' values on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.layers import Layer

#: Pixels at scale 1: a dot's radius, the distance of words from the line, between rows.
DOT, GAP, LEADING = 3.5, 7, 2


@dataclass(frozen=True)
class Reading:
    """One curve's value at the cursor: its height in data units, its words and colour."""

    y: float
    text: str
    colour: str


class RuleLayer(Layer):
    """A vertical line with dots where it crosses curves, and what the curves say there."""

    def __init__(self, look: Look) -> None:
        super().__init__(40.0)
        self._look = look
        self.at: float | None = None
        self.heading = ""
        self.readings: tuple[Reading, ...] = ()

    def show_at(self, x: float, heading: str, readings: Sequence[Reading]) -> None:
        """Stand at a place (as the axis shows it) with these words, or with none."""
        self.at, self.heading, self.readings = x, heading, tuple(readings)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.at, self.heading, self.readings = None, "", ()
        self.update()

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if self.at is None:
            return
        transform = painter.worldTransform()
        view = transform.mapRect(self._view)
        places = [transform.map(QPointF(self.at, reading.y)) for reading in self.readings]
        x = transform.map(QPointF(self.at, self._view.top())).x()
        painter.save()
        painter.resetTransform()
        painter.setClipRect(view)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(self._look.palette.warning), 1.4 * self._look.scale))
        painter.drawLine(QPointF(x, view.top()), QPointF(x, view.bottom()))
        for place, reading in zip(places, self.readings, strict=True):
            self._draw_dot(painter, place, reading.colour)
        if self.heading or self.readings:
            self._draw_words(painter, view, x)
        painter.restore()

    def _draw_dot(self, painter: QPainter, place: QPointF, colour: str) -> None:
        radius = DOT * self._look.scale
        painter.setPen(QPen(QColor(self._look.palette.panel), 1.0))
        painter.setBrush(QColor(colour))
        painter.drawEllipse(place, radius, radius)

    def _draw_words(self, painter: QPainter, view: QRectF, x: float) -> None:
        """A small block beside the line, on the side where there is room."""
        look = self._look
        font = look.font(0.85)
        painter.setFont(font)
        rows = [(self.heading, look.palette.warning)]
        rows += [(reading.text, reading.colour) for reading in self.readings]
        metrics = QFontMetricsF(font)
        wide = max(metrics.horizontalAdvance(text) for text, _ in rows) + 2 * look.px(4)
        step = metrics.height() + look.px(LEADING)
        gap = look.px(GAP)
        left = x + gap if x + gap + wide <= view.right() else x - gap - wide
        if left < view.left():
            return  # a plot so narrow has no room for words; the pointer tells them too
        block = QRectF(left, view.top() + gap, wide, step * len(rows) + look.px(4))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(with_alpha(look.palette.panel, 0.82))
        painter.drawRoundedRect(block, 3, 3)
        for index, (text, colour) in enumerate(rows):
            painter.setPen(QColor(colour))
            top = block.top() + look.px(2) + index * step
            spot = QRectF(left + look.px(4), top, wide, step)
            painter.drawText(spot, Qt.AlignmentFlag.AlignVCenter, text)
