"""Numbers and the pieces between them on one axis: log p, the gap, ELBO, KL, reconstruction."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.look import Look
from widgets.plots.axis import written
from widgets.plots.colours import mix, with_alpha
from widgets.plots.ranges import StickySpan, nice_ceiling

#: Pixels at scale 1: a row's least and largest height, and the least room of the bars.
ROW_LEAST, ROW_MOST, BARS_LEAST = 22, 120, 50
#: Least and largest thickness of a bar, and its share of the row between them.
BAR, BAR_MOST, BAR_SHARE = 14, 30, 0.3
#: The names take at most this share of the width.
NAMES_SHARE = 0.44
TICKS_APART = 2.2


@dataclass(frozen=True)
class Level:
    """One row: a number as a mark, or a piece of the axis between two numbers.

    Attributes:
        name: What it is, as shown at the left.
        low, high: Ends on the axis; equal for a single number.
        text: The number in words, at the right.
        role: Palette entry of its colour.
        words: A sentence for the tooltip.
        error: One standard error of the number, 0 where it is exact.
        faint: Whether the piece is taken away (drawn faint).
    """

    name: str
    low: float
    high: float
    text: str
    role: str
    words: str = ""
    error: float = 0.0
    faint: bool = False

    @property
    def is_finite(self) -> bool:
        """Whether it can be drawn."""
        return math.isfinite(self.low) and math.isfinite(self.high)


class LevelBars(QWidget):
    """Rows from top to bottom on one axis in nats; it keeps its ends until a row leaves them."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._title = self._hint = ""
        self._levels: tuple[Level, ...] = ()
        self._span = StickySpan()
        self._held: tuple[float, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(80, 60)
        self.restyle()

    @property
    def levels(self) -> tuple[Level, ...]:
        """What is shown."""
        return self._levels

    def set_title(self, title: str, hint: str) -> None:
        """A line above the bars, and what stands there while there are none."""
        if (title, hint) != (self._title, self._hint):
            self._title, self._hint = title, hint
            self.update()

    def set_levels(self, levels: tuple[Level, ...]) -> None:
        """Show these rows."""
        self._levels = levels
        ends = [v for level in levels if level.is_finite for v in (level.low, level.high)]
        ends += [end for end in self._held if math.isfinite(end)]
        if ends:
            self._span.update(min(ends), max(ends))
        self.setAccessibleName("; ".join(f"{level.name} {level.text}" for level in levels))
        self.update()

    def hold(self, low: float, high: float) -> None:
        """The axis holds these ends too: rows of other moments that are yet to be shown."""
        self._held = (low, high)

    def forget_axis(self) -> None:
        """The next rows decide the axis alone."""
        self._held = ()
        self._span.reset()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.92))
        self.update()

    def sizeHint(self) -> QSize:
        """Room for five rows."""
        return QSize(self._look.px(320), self._look.px(5 * ROW_LEAST + 60))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title, axis, rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = self._look.palette
        painter.setPen(QColor(palette.text))
        head = QRectF(0, 0, self.width(), self._head())
        title = self.fontMetrics().elidedText(
            self._title, Qt.TextElideMode.ElideRight, self.width()
        )
        painter.drawText(head, Qt.AlignmentFlag.AlignVCenter, title)
        if not self._levels:
            painter.setPen(QColor(palette.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 8, -8, -8), flags, self._hint)
            return
        if not self._span.is_set:
            return
        self._draw_axis(painter)
        for index, level in enumerate(self._levels):
            self._draw_row(painter, index, level)

    def event(self, event: QEvent) -> bool:
        """Each row explains itself."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = int((event.pos().y() - self._head()) // self._row_height())
            text = ""
            if event.pos().y() >= self._head() and 0 <= row < len(self._levels):
                level = self._levels[row]
                text = f"{level.name} = {level.text}\n{level.words}".strip()
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    # --- geometry -----------------------------------------------------------------------------

    def _head(self) -> float:
        return self.fontMetrics().height() + self._look.px(6)

    def _row_height(self) -> float:
        room = self.height() - self._head() - self._axis_height()
        px = self._look.px
        return min(max(room / max(len(self._levels), 1), px(8)), px(ROW_MOST))

    def _axis_height(self) -> float:
        return 2.3 * self.fontMetrics().height()

    def _columns(self) -> tuple[float, float]:
        metrics, gap = QFontMetricsF(self.font()), self._look.px(8)
        names = max(metrics.horizontalAdvance(level.name) for level in self._levels)
        texts = max(metrics.horizontalAdvance(level.text) for level in self._levels)
        left = min(names, NAMES_SHARE * self.width()) + gap
        right = self.width() - texts - 2 * gap
        return left, max(right, left + self._look.px(BARS_LEAST))

    def _x(self, value: float) -> float:
        left, right = self._columns()
        low, high = self._span.low, self._span.high
        share = (min(max(value, low), high) - low) / max(high - low, 1e-300)
        return left + share * (right - left)

    # --- drawing ------------------------------------------------------------------------------

    def _draw_row(self, painter: QPainter, index: int, level: Level) -> None:
        palette, height = self._look.palette, self._row_height()
        top = self._head() + index * height
        left, right = self._columns()
        metrics = self.fontMetrics()
        name = metrics.elidedText(level.name, Qt.TextElideMode.ElideRight, int(left) - 6)
        painter.setFont(self.font())
        painter.setPen(QColor(palette.text))
        room = QRectF(0, top, left - self._look.px(6), height)
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, name)
        place = QRectF(right + self._look.px(6), top, self.width() - right, height)
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, level.text)
        if level.is_finite:
            self._draw_level(painter, top, height, level)

    def _draw_level(self, painter: QPainter, top: float, height: float, level: Level) -> None:
        palette = self._look.palette
        colour = str(getattr(palette, level.role))
        x0, x1 = self._x(level.low), self._x(level.high)
        px = self._look.px
        thick = min(max(px(BAR), BAR_SHARE * height), px(BAR_MOST), 0.7 * height)
        middle = top + height / 2
        if level.low == level.high:
            bottom = self._head() + len(self._levels) * height
            painter.setPen(QPen(with_alpha(colour, 0.55), 1.0, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(x0, self._head()), QPointF(x0, bottom))
            self._draw_error(painter, middle, level)
            painter.setPen(QPen(QColor(palette.panel), 1.0))
            painter.setBrush(QColor(colour))
            radius = min(thick, px(BAR + 4)) / 2
            painter.drawEllipse(QPointF(x0, middle), radius, radius)
            return
        painter.setPen(QPen(QColor(colour), 1.0))
        painter.setBrush(QColor(mix(palette.panel, colour, 0.35) if level.faint else colour))
        painter.drawRect(QRectF(min(x0, x1), middle - thick / 2, max(abs(x1 - x0), 1.5), thick))

    def _draw_error(self, painter: QPainter, y: float, level: Level) -> None:
        if not (level.error > 0 and math.isfinite(level.error)):
            return
        painter.setPen(QPen(QColor(self._look.palette.text), 1.4 * self._look.scale))
        x0, x1 = self._x(level.low - level.error), self._x(level.low + level.error)
        cap = self._look.px(4)
        painter.drawLine(QPointF(x0, y), QPointF(x1, y))
        for x in (x0, x1):
            painter.drawLine(QPointF(x, y - cap), QPointF(x, y + cap))

    def _draw_axis(self, painter: QPainter) -> None:
        palette = self._look.palette
        bottom = self._head() + len(self._levels) * self._row_height()
        left, right = self._columns()
        line = self.fontMetrics().height()
        painter.setFont(self._look.font(0.85))
        spacing = self._spacing()
        for i in range(math.ceil(self._span.low / spacing - 1e-9),
                       math.floor(self._span.high / spacing + 1e-9) + 1):  # fmt: skip
            x = self._x(i * spacing)
            painter.setPen(QPen(QColor(palette.border), 1.0))
            painter.drawLine(QPointF(x, self._head()), QPointF(x, bottom + 3))
            painter.setPen(QColor(palette.muted))
            area = QRectF(x - 60, bottom + 3, 120, line)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, written(i * spacing, spacing))
        painter.setPen(QColor(palette.muted))
        area = QRectF(left, bottom + line + 3, right - left, line)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "nats")

    def _spacing(self) -> float:
        left, right = self._columns()
        low, high = self._span.low, self._span.high
        text = max(len(f"{low:.3g}"), len(f"{high:.3g}"))
        wide = TICKS_APART * text * self.fontMetrics().horizontalAdvance("0")
        return nice_ceiling((high - low) * wide / max(right - left, 1.0))
