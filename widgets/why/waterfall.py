"""Signed bars that begin where the one before ended: a sum that can be followed from 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.look import Look
from widgets.plots.axis import written
from widgets.plots.colours import mix
from widgets.plots.ranges import StickySpan, nice_ceiling

#: Pixels at scale 1: a row, its bar, and the least room of the bars.
ROW, BAR, BARS_LEAST = 23, 13, 90
#: The names take at most this share of the width.
NAMES_SHARE = 0.42
#: A bar that lowers the sum has so much of the model's colour.
FAINT = 0.38
#: Wanted distance of two ticks, in widths of their numbers.
TICKS_APART = 1.9


@dataclass(frozen=True)
class Bar:
    """One summand: its name, its value, a sentence, one standard error (0: exact).

    A ``pending`` one has not been added yet: it stands there without a number.
    """

    name: str
    value: float
    words: str = ""
    error: float = 0.0
    pending: bool = False

    @property
    def number(self) -> str:
        """What is written beside its bar."""
        return "" if self.pending else signed(self.value)


class Waterfall(QWidget):
    """Rows from top to bottom: one per summand, the sum last; an axis in one unit below.

    A bar that raises the sum is full, one that lowers it is faint: both are the model's doing.
    The axis keeps its ends until a bar leaves them.
    """

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._bars: tuple[Bar, ...] = ()
        self._total = Bar("", 0.0)
        self._unit = ""
        self._span = StickySpan()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.restyle()

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The summands."""
        return self._bars

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the axis."""
        return self._span.low, self._span.high

    def set_bars(
        self, bars: Sequence[Bar], total: Bar, unit: str, held: Sequence[float] = ()
    ) -> None:
        """Show summands and the number that they add up to; ``held`` stay on the axis too."""
        count = len(self._bars)
        self._bars, self._total, self._unit = tuple(bars), total, unit
        edges = [0.0, total.value, *held, *accumulate(bar.value for bar in bars)]
        finite = [edge for edge in edges if math.isfinite(edge)]
        self._span.update(min(finite), max(finite))
        lines = [f"{bar.name} {bar.number or 'not added yet'}" for bar in (*bars, total)]
        self.setAccessibleName("; ".join(lines))
        if count != len(self._bars):
            self.updateGeometry()
        self.update()

    def forget_axis(self) -> None:
        """The next bars decide the axis alone."""
        self._span.reset()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.92))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """All rows and the axis."""
        return QSize(self._look.px(320), self._full_height())

    def minimumSizeHint(self) -> QSize:
        """All rows and the axis; a scroll area holds what is too high."""
        return QSize(1, self._full_height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axis, rows, sum."""
        if not self._bars:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_axis(painter)
        start = 0.0
        for index, bar in enumerate(self._bars):
            self._draw_row(painter, index, bar, start, summand=True)
            start += bar.value
        self._draw_row(painter, len(self._bars), self._total, 0.0, summand=False)

    def event(self, event: QEvent) -> bool:
        """Each row explains itself."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = int(event.pos().y() // self._row_height())
            rows = (*self._bars, self._total)
            text = explanation(rows[row], self._unit) if 0 <= row < len(rows) else ""
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    # --- geometry -----------------------------------------------------------------------------

    def _row_height(self) -> int:
        return self._look.px(ROW)

    def _axis_height(self) -> int:
        return round(2.3 * self.fontMetrics().height())

    def _full_height(self) -> int:
        return (len(self._bars) + 1) * self._row_height() + self._axis_height()

    def _columns(self) -> tuple[float, float]:
        """Where the bars begin and end."""
        metrics, gap = QFontMetricsF(self.font()), self._look.px(8)
        bold = QFontMetricsF(self._look.font(0.92, bold=True))
        sizes = [(metrics, bar) for bar in self._bars] + [(bold, self._total)]
        names = max(font.horizontalAdvance(bar.name) for font, bar in sizes)
        numbers = max(font.horizontalAdvance(bar.number) for font, bar in sizes)
        left = min(names, NAMES_SHARE * self.width()) + gap
        right = self.width() - numbers - 2 * gap
        return left, max(right, left + self._look.px(BARS_LEAST))

    def _x(self, value: float) -> float:
        left, right = self._columns()
        low, high = self._span.low, self._span.high
        value = min(max(value, low), high)
        return left + (value - low) / max(high - low, 1e-300) * (right - left)

    # --- drawing ------------------------------------------------------------------------------

    def _draw_row(
        self, painter: QPainter, index: int, bar: Bar, start: float, *, summand: bool
    ) -> None:
        palette, height = self._look.palette, self._row_height()
        top = index * height
        left, right = self._columns()
        room = QRectF(0, top, left - self._look.px(6), height)
        name = self.fontMetrics().elidedText(
            bar.name, Qt.TextElideMode.ElideRight, int(room.width())
        )
        font = self._look.font(0.92, bold=not summand)
        painter.setFont(font)
        painter.setPen(QColor(palette.muted if bar.pending else palette.text))
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, name)
        number = QRectF(right + self._look.px(4), top, self.width() - right, height)
        painter.drawText(number, Qt.AlignmentFlag.AlignVCenter, bar.number)
        if not bar.pending and math.isfinite(bar.value) and math.isfinite(start):
            self._draw_bar(painter, top, bar, start, summand=summand)

    def _draw_bar(
        self, painter: QPainter, top: float, bar: Bar, start: float, *, summand: bool
    ) -> None:
        palette, height, thick = self._look.palette, self._row_height(), self._look.px(BAR)
        x0, x1 = self._x(start), self._x(start + bar.value)
        inset = (height - thick) / 2
        box = QRectF(min(x0, x1), top + inset, max(abs(x1 - x0), 1.5), thick)
        full = mix(palette.panel, palette.model, FAINT)
        painter.setPen(QPen(QColor(palette.model), 1.0))
        painter.setBrush(QColor(palette.model if bar.value >= 0 or not summand else full))
        painter.drawRect(box)
        if summand:
            painter.setPen(QPen(QColor(palette.muted), 1.0, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(x1, top + inset + thick), QPointF(x1, top + height + inset))
        if bar.error > 0 and math.isfinite(bar.error):
            self._draw_error(painter, top + height / 2, start + bar.value, bar.error)

    def _draw_error(self, painter: QPainter, y: float, value: float, error: float) -> None:
        painter.setPen(QPen(QColor(self._look.palette.text), 1.4 * self._look.scale))
        x0, x1, cap = self._x(value - error), self._x(value + error), self._look.px(3)
        painter.drawLine(QPointF(x0, y), QPointF(x1, y))
        for x in (x0, x1):
            painter.drawLine(QPointF(x, y - cap), QPointF(x, y + cap))

    def _draw_axis(self, painter: QPainter) -> None:
        palette = self._look.palette
        bottom = (len(self._bars) + 1) * self._row_height()
        left, right = self._columns()
        line = self.fontMetrics().height()
        painter.setFont(self._look.font(0.85))
        for value in self._ticks():
            x = self._x(value)
            zero = value == 0
            painter.setPen(QPen(QColor(palette.muted if zero else palette.border), 1.0))
            painter.drawLine(QPointF(x, 0), QPointF(x, bottom + 3))
            painter.setPen(QColor(palette.muted))
            area = QRectF(x - 60, bottom + 3, 120, line)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, written(value, self._spacing()))
        area = QRectF(left, bottom + line + 3, right - left, line)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, f"running sum, {self._unit or 'f'}")

    def _spacing(self) -> float:
        left, right = self._columns()
        low, high = self.ends
        text = max(len(f"{low:.3g}"), len(f"{high:.3g}"))
        wide = TICKS_APART * text * self.fontMetrics().horizontalAdvance("0")
        return nice_ceiling((high - low) * wide / max(right - left, 1.0))

    def _ticks(self) -> list[float]:
        spacing = self._spacing()
        first = math.ceil(self._span.low / spacing - 1e-9)
        last = math.floor(self._span.high / spacing + 1e-9)
        return [i * spacing for i in range(first, last + 1)]


def signed(value: float, digits: int = 4) -> str:
    """A summand for people: its sign, and some decimals while they mean something."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("+∞" if value > 0 else "−∞")
    value += 0.0  # no −0
    tiny, huge = 0.0 < abs(value) < 5e-5, abs(value) >= 1e5
    text = f"{value:+.1e}" if tiny else f"{value:+.5e}" if huge else f"{value:+.{digits}f}"
    return text.replace("-", "−")


def explanation(bar: Bar, unit: str) -> str:
    """A row in words."""
    error = f" ± {bar.error:.2g}" if bar.error > 0 else ""
    head = bar.name if bar.pending else f"{bar.name} = {bar.number}{error} {unit}".rstrip()
    return f"{head}\n{bar.words}".strip()
