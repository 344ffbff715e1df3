"""The ranking: bars with whiskers, best first; bounds hatched, models without a density apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import number
from widgets.look import Look
from widgets.plots.ranges import nice_ceiling

TEXT, SMALL = 0.86, 0.78
#: Pixels at scale 1: room around text, and the least length of a bar's axis.
GAP, LEAST_BAR = 6, 60


@dataclass(frozen=True)
class Row:
    """One racer.

    Attributes:
        run: Its id.
        label: Its place.
        title, colour: The racer's.
        value: Length of the bar; None draws none, ∞ one that leaves the axis.
        error: Half the length of the whisker.
        text: The number with error, unit and kind.
        tooltip: What the number is.
        bound: Drawn as an outline: the true number is lower.
        band: Ends of what a perfect model would get, or None.
    """

    run: str
    label: str
    title: str
    colour: str
    value: float | None
    error: float
    text: str
    tooltip: str = ""
    bound: bool = False
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class Group:
    """Rows that share an axis, under a heading that names the number and its unit."""

    heading: str
    rows: tuple[Row, ...]
    tooltip: str = ""


class RankingView(QWidget):
    """All groups, one under the other.

    Signals:
        chosen: Run of the row that was clicked.
    """

    chosen = Signal(str)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._groups: tuple[Group, ...] = ()
        self._spots: list[tuple[QRectF, str, str]] = []
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMouseTracking(True)

    @property
    def groups(self) -> tuple[Group, ...]:
        """What is shown."""
        return self._groups

    def show_groups(self, groups: tuple[Group, ...]) -> None:
        """Show these; nothing is repainted where nothing is new."""
        if groups == self._groups:
            return
        self._groups = groups
        words = [f"{row.label} {row.title} {row.text}" for g in groups for row in g.rows]
        self.setAccessibleName("Ranking: " + ", ".join(words))
        self.updateGeometry()
        self.update()

    def restyle(self) -> None:
        """Take fonts from the look."""
        self.updateGeometry()
        self.update()

    def wanted_height(self) -> int:
        """Pixels for all rows at full height."""
        lines = sum(len(group.rows) + 1 for group in self._groups)
        return int(lines * self._line() * 1.25) + self._look.px(GAP)

    def sizeHint(self) -> QSize:
        """Room for all rows."""
        return QSize(self._look.px(300), self.wanted_height())

    def _line(self) -> float:
        return QFontMetricsF(self._look.font(TEXT)).height()

    # --- painting -----------------------------------------------------------------------------

    def paintEvent(self, event: Any) -> None:
        """Headings, rows, bars."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        lines = sum(len(group.rows) + 1 for group in self._groups)
        if not lines:
            return
        height = min(self.height() / lines, self._line() * 1.6)
        self._spots, y = [], 0.0
        for group in self._groups:
            self._draw_group(painter, group, y, height)
            y += (len(group.rows) + 1) * height

    def _draw_group(self, painter: QPainter, group: Group, y: float, height: float) -> None:
        px = self._look.px
        columns = self._columns(group)
        painter.setFont(self._look.font(SMALL))
        painter.setPen(QColor(self._look.palette.muted))
        heading = QRectF(0, y, self.width(), height)
        painter.drawText(heading, _LEFT, group.heading)
        self._spots.append((heading, "", group.tooltip))
        top = _axis_top(group.rows)
        for index, row in enumerate(group.rows):
            place = QRectF(0, y + (index + 1) * height, self.width(), height)
            self._draw_words(painter, row, place, columns)
            bar = QRectF(columns[1], place.top() + 0.22 * height,
                         columns[2] - columns[1] - px(GAP), 0.56 * height)  # fmt: skip
            if bar.width() >= px(LEAST_BAR) / 2:
                self._draw_bar(painter, row, bar, top)
            self._spots.append((place, row.run, row.tooltip))

    def _columns(self, group: Group) -> tuple[float, float, float]:
        """Where titles, bars and numbers begin."""
        px = self._look.px
        metrics = QFontMetricsF(self._look.font(TEXT))
        small = QFontMetricsF(self._look.font(SMALL))
        place = max((metrics.horizontalAdvance(row.label) for row in group.rows), default=0)
        place = max(place, metrics.horizontalAdvance("(8)")) + px(GAP)
        title = max((metrics.horizontalAdvance(row.title) for row in group.rows), default=0)
        title += metrics.height() + px(GAP)
        text = max((small.horizontalAdvance(row.text) for row in group.rows), default=0)
        numbers = max(self.width() - text - px(2), place)
        bars = min(place + title, max(numbers - px(LEAST_BAR), place + px(40)))
        return place, bars, numbers

    def _draw_words(
        self, painter: QPainter, row: Row, place: QRectF, columns: tuple[float, float, float]
    ) -> None:
        palette = self._look.palette
        metrics = QFontMetricsF(self._look.font(TEXT))
        painter.setFont(self._look.font(TEXT, bold=row.label.startswith("1")))
        painter.setPen(QColor(palette.text))
        painter.drawText(QRectF(0, place.top(), columns[0], place.height()), _LEFT, row.label)
        dot = 0.6 * metrics.height()
        spot = QRectF(columns[0], place.center().y() - dot / 2, dot, dot)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(row.colour))
        painter.drawEllipse(spot)
        left = spot.right() + self._look.px(4)
        room = columns[1] - left - self._look.px(4)
        painter.setFont(self._look.font(TEXT))
        painter.setPen(QColor(palette.text))
        text = metrics.elidedText(row.title, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRectF(left, place.top(), room, place.height()), _LEFT, text)
        painter.setFont(self._look.font(SMALL))
        area = QRectF(columns[2], place.top(), self.width() - columns[2], place.height())
        painter.drawText(area, _LEFT, row.text)

    def _draw_bar(self, painter: QPainter, row: Row, bar: QRectF, top: float) -> None:
        palette = self._look.palette
        painter.fillRect(QRectF(bar.left(), bar.bottom(), bar.width(), 1), QColor(palette.border))
        if row.band is not None:
            low, high = (min(max(end / top, 0.0), 1.0) * bar.width() for end in row.band)
            ground = QColor(palette.truth)
            ground.setAlphaF(0.3)
            painter.fillRect(QRectF(bar.left() + low, bar.top() - 2, max(high - low, 2),
                                    bar.height() + 4), ground)  # fmt: skip
        if row.value is None or math.isnan(row.value):
            return
        share = 1.0 if math.isinf(row.value) else min(max(row.value / top, 0.0), 1.0)
        filled = QRectF(bar.left(), bar.top(), max(share * bar.width(), 1.0), bar.height())
        colour = QColor(row.colour)
        colour.setAlphaF(0.18 if row.bound else 0.75)
        painter.fillRect(filled, colour)
        if row.bound:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(row.colour), 1.0, Qt.PenStyle.DashLine))
            painter.drawRect(filled)
        self._draw_whisker(painter, row, bar, top)

    def _draw_whisker(self, painter: QPainter, row: Row, bar: QRectF, top: float) -> None:
        if row.value is None or not math.isfinite(row.value) or not math.isfinite(row.error):
            return
        low, high = (
            bar.left() + min(max(end / top, 0.0), 1.0) * bar.width()
            for end in (row.value - row.error, row.value + row.error)
        )
        painter.setPen(QPen(QColor(self._look.palette.text), 1.2))
        y = bar.center().y()
        painter.drawLine(QPointF(low, y), QPointF(high, y))
        for x in (low, high):
            painter.drawLine(QPointF(x, y - bar.height() / 4), QPointF(x, y + bar.height() / 4))

    # --- pointer ------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Each row has a tooltip."""
        if isinstance(event, QHelpEvent):
            place = QPointF(event.pos())
            text = next((tip for area, _, tip in self._spots if area.contains(place)), "")
            if text:
                QToolTip.showText(event.globalPos(), text, self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click brings that run into view."""
        at = event.position()
        run = next((run for area, run, _ in self._spots if run and area.contains(at)), "")
        if run:
            self.chosen.emit(run)
        super().mouseReleaseEvent(event)


def _axis_top(rows: tuple[Row, ...]) -> float:
    """The end of the bars' axis, from 0: on the 1-2-5 grid, so that it seldom moves."""
    values = [row.value + _finite(row.error) for row in rows if row.value is not None]
    ends = [row.band[1] for row in rows if row.band is not None]
    finite = [value for value in (*values, *ends) if math.isfinite(value)]
    return nice_ceiling(max(finite, default=1.0))


def axis_words(rows: tuple[Row, ...]) -> str:
    """From where to where the bars go."""
    return f"bars from 0 to {number(_axis_top(rows), 3)}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
