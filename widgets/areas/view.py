"""A map from z to x as a curve, each axis with its density, cut into strips of equal mass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import number
from widgets.look import Look
from widgets.plots.axis import written
from widgets.plots.colours import with_alpha
from widgets.plots.ranges import nice_ceiling

#: Share of the side that a density takes; room for numbers and names, below and to the left, in
#: lines of text.
DENSITY_SHARE, AXIS_LINES, LEFT_LINES = 0.24, 2.4, 4.2
#: Room above the highest density, and about how many numbers an axis has.
HEAD, TICKS = 1.08, 5
Arrays = Mapping[str, np.ndarray[Any, Any]]
#: The array that holds the density along each axis.
DENSITY = {"z": "base_density", "x": "density"}
WANTED = ("z", "x", "base_density", "density", "z_edges", "x_edges", "mass", "base_mass")


@dataclass(frozen=True)
class AreasWords:
    """What the two axes are called, and the symbols of what lies along them."""

    below: str = "base z"
    left: str = "data x"
    below_symbol: str = "z"
    left_symbol: str = "x"


class AreasView(QWidget):
    """The base lies below, the data to the left; a strip keeps its colour on both."""

    def __init__(
        self, look: Look, words: AreasWords | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._look, self._words = look, words or AreasWords()
        self._arrays: Arrays = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 100)
        self.restyle()

    @property
    def n_strips(self) -> int:
        """How many strips are drawn."""
        return len(self._arrays["mass"]) if self._arrays else 0

    def set_words(self, words: AreasWords) -> None:
        """Call the axes otherwise."""
        self._words = words
        self.update()

    def set_arrays(self, arrays: Arrays) -> None:
        """Show an answer of the probe ``equal_areas``; one that has holes shows nothing."""
        whole = all(name in arrays and len(arrays[name]) for name in WANTED)
        finite = whole and all(np.isfinite(arrays[name]).all() for name in WANTED)
        self._arrays = dict(arrays) if finite else {}
        self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.9))
        self.update()

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(self._look.px(420), self._look.px(360))

    # --- places -------------------------------------------------------------------------------

    def _areas(self) -> tuple[QRectF, QRectF, QRectF]:
        """The curve's area, the base's below it, the data's to its left."""
        line = self.fontMetrics().height()
        axis = LEFT_LINES * line
        # Half of the outermost numbers stands above the curve and to its right.
        above, right = line / 2 + 1, 1.2 * line
        width = self.width() - axis - right
        height = self.height() - AXIS_LINES * line - above - 4
        left, low = DENSITY_SHARE * width, DENSITY_SHARE * height
        curve = QRectF(axis + left, above, width - left, height - low)
        below = QRectF(curve.left(), curve.bottom() + 2, curve.width(), low)
        beside = QRectF(axis, curve.top(), left - 2, curve.height())
        return curve, below, beside

    def _span(self, name: str) -> tuple[float, float]:
        values = self._arrays[name]
        low, high = float(values.min()), float(values.max())
        return (low, high) if high > low else (low - 0.5, low + 0.5)

    def _across(self, area: QRectF, z: float) -> float:
        low, high = self._span("z")
        return area.left() + area.width() * (z - low) / (high - low)

    def _up(self, area: QRectF, x: float) -> float:
        low, high = self._span("x")
        return area.bottom() - area.height() * (x - low) / (high - low)

    # --- drawing ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Strips, densities, the curve, and the axes' numbers."""
        if not self._arrays:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        curve, below, beside = self._areas()
        palette = self._look.palette
        for k in range(self.n_strips):
            colour = with_alpha(palette.model if k % 2 else palette.truth, 0.45)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawPolygon(self._strip(k, below, "z"))
            painter.drawPolygon(self._strip(k, beside, "x"))
        self._draw_links(painter, curve)
        for area, name in ((below, "z"), (beside, "x")):
            painter.setPen(QPen(QColor(palette.text), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(self._outline(area, name, self._arrays["z"]))
        points = [QPointF(self._across(curve, float(z)), self._up(curve, float(x)))
                  for z, x in zip(self._arrays["z"], self._arrays["x"], strict=True)]  # fmt: skip
        painter.setPen(QPen(QColor(palette.model), 2.2 * self._look.scale))
        painter.drawPolyline(QPolygonF(points))
        self._draw_axes(painter, curve, below, beside)

    def _outline(self, area: QRectF, name: str, at: np.ndarray[Any, Any]) -> QPolygonF:
        """A density over some z along its axis, its foot at the curve's side of the area."""
        a = self._arrays
        share = np.interp(at, a["z"], a[DENSITY[name]]) / (HEAD * self._highest(name))
        places = np.interp(at, a["z"], a[name])
        if name == "z":
            return QPolygonF([
                QPointF(self._across(area, float(v)), area.top() + area.height() * float(s))
                for v, s in zip(places, share, strict=True)
            ])  # fmt: skip
        return QPolygonF([
            QPointF(area.right() - area.width() * float(s), self._up(area, float(v)))
            for v, s in zip(places, share, strict=True)
        ])  # fmt: skip

    @property
    def heights(self) -> tuple[str, str]:
        """The highest density below and to the left, in words."""
        names = self._words
        below = f"p({names.below_symbol}) = {number(self._highest('z'), 3)}"
        return below, f"p({names.left_symbol}) = {number(self._highest('x'), 3)}"

    def _highest(self, name: str) -> float:
        """The highest density along an axis."""
        return max(float(self._arrays[DENSITY[name]].max()), 1e-300)

    def _strip(self, k: int, area: QRectF, name: str) -> QPolygonF:
        """One strip's polygon between its density and the axis, from edge to edge."""
        z, (low, high) = self._arrays["z"], self._arrays["z_edges"][k : k + 2]
        outline = self._outline(area, name, np.array([low, *z[(z > low) & (z < high)], high]))
        # Copies: what first() and last() give points into a list that grows below.
        a, b = QPointF(outline.first()), QPointF(outline.last())
        if name == "z":
            outline.append(QPointF(b.x(), area.top()))
            outline.append(QPointF(a.x(), area.top()))
        else:
            outline.append(QPointF(area.right(), b.y()))
            outline.append(QPointF(area.right(), a.y()))
        return outline

    def _draw_links(self, painter: QPainter, curve: QRectF) -> None:
        """From each edge in z up to the curve, and over to its x."""
        painter.setPen(QPen(with_alpha(self._look.palette.muted, 0.5), 1.0, Qt.PenStyle.DotLine))
        for z, x in zip(self._arrays["z_edges"], self._arrays["x_edges"], strict=True):
            corner = QPointF(self._across(curve, float(z)), self._up(curve, float(x)))
            painter.drawLine(QPointF(corner.x(), curve.bottom()), corner)
            painter.drawLine(corner, QPointF(curve.left(), corner.y()))

    def _draw_axes(self, painter: QPainter, curve: QRectF, below: QRectF, beside: QRectF) -> None:
        palette, line = self._look.palette, self.fontMetrics().height()
        painter.setPen(QPen(QColor(palette.border), 1.0))
        painter.drawRect(curve)
        painter.setPen(QColor(palette.muted))
        centre = Qt.AlignmentFlag.AlignCenter
        for value, words in ticks(*self._span("z")):
            x = self._across(curve, value)
            painter.drawText(QRectF(x - 40, below.bottom() + 2, 80, line), centre, words)
        room = QRectF(curve.left(), below.bottom() + line + 2, curve.width(), line)
        painter.drawText(room, centre, self._name("below", room.width()))
        for value, words in ticks(*self._span("x")):
            y = self._up(curve, value)
            room = QRectF(0, y - line / 2, beside.left() - 4, line)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(room, right, words)
        self._draw_heights(painter, below, beside)
        painter.save()
        painter.translate(0, curve.center().y())
        painter.rotate(-90)
        room = QRectF(-curve.height() / 2, 0, curve.height(), line)
        painter.drawText(room, centre, self._name("left", room.width()))
        painter.restore()

    def _draw_heights(self, painter: QPainter, below: QRectF, beside: QRectF) -> None:
        """How high either density gets, in the corner between them."""
        line, (z, x) = self.fontMetrics().height(), self.heights
        room = QRectF(beside.bottomLeft(), QPointF(beside.right(), below.bottom()))
        wide = max(self.fontMetrics().horizontalAdvance(words) for words in (z, x))
        if room.height() < 2.6 * line or room.width() < wide + 8:
            return
        top = QPointF(beside.right() - beside.width() / HEAD, beside.bottom())
        painter.drawLine(top, top + QPointF(0, 4))
        painter.drawText(QRectF(top.x() - 2, top.y() + 4, wide + 4, line), 0, x)
        side = QPointF(below.left(), below.top() + below.height() / HEAD)
        painter.drawLine(side, side - QPointF(4, 0))
        area = QRectF(side.x() - 7 - wide, side.y() - line / 2, wide, line)
        painter.drawText(area, Qt.AlignmentFlag.AlignRight, z)

    def _name(self, side: str, room: float) -> str:
        """An axis' name, with where its density stands if there is room for that."""
        names = self._words
        axis, symbol = (names.below, names.below_symbol) if side == "below" else (
            names.left, names.left_symbol
        )  # fmt: skip
        where = "below the axis" if side == "below" else "to the left"
        words = f"{axis}, with its density p({symbol}) {where}"
        return words if self.fontMetrics().horizontalAdvance(words) <= room else axis

    def event(self, event: QEvent) -> bool:
        """Each strip tells its mass on both sides."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self._arrays:
            words = self.words_at(event.pos().x(), event.pos().y())
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return super().event(event)

    def words_at(self, px: float, py: float) -> str:
        """The strip under a place of the widget, in words; "" where there is none."""
        curve, foot, beside = self._areas()
        edges = self._arrays["z_edges"]
        if foot.left() <= px <= foot.right() and py >= curve.top():
            low, high = self._span("z")
            z = low + (high - low) * (px - foot.left()) / foot.width()
            k = int(np.searchsorted(edges, z)) - 1
        elif beside.left() <= px <= beside.right():
            low, high = self._span("x")
            x = low + (high - low) * (beside.bottom() - py) / beside.height()
            x_edges = self._arrays["x_edges"]
            rises = x_edges[-1] > x_edges[0]
            order = x_edges if rises else x_edges[::-1]
            k = int(np.searchsorted(order, x)) - 1
            k = k if rises else self.n_strips - 1 - k
        else:
            return ""
        if not 0 <= k < self.n_strips:
            return ""
        a = self._arrays
        below, beside_it = self._words.below_symbol, self._words.left_symbol
        dz = abs(float(edges[k + 1] - edges[k]))
        dx = abs(float(a["x_edges"][k + 1] - a["x_edges"][k]))
        return (
            f"strip {k + 1} of {self.n_strips}\n"
            f"mass in {below} {float(a['base_mass'][k]):.4f}, "
            f"in {beside_it} {float(a['mass'][k]):.4f}\n"
            f"width in {below} {dz:.4g}, in {beside_it} {dx:.4g}"
        )


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """A few round numbers within a span, and as they are written."""
    step = nice_ceiling((high - low) / TICKS)
    if not step > 0 or not np.isfinite(step):
        return []
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    return [(i * step, written(i * step, step)) for i in range(first, last + 1)]
