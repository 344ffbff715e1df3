"""Scores of disentanglement as dots with error bars between chance and perfect."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import with_error
from widgets.look import Look
from widgets.plots.colours import with_alpha

#: Pixels at scale 1: a row's largest height, its bar, and the room of the axis.
ROW_MOST, BAR = 64, 12
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class SeedScore:
    """One score over seeds: name, value of each seed, what a random code gets, a sentence."""

    name: str
    values: tuple[float, ...]
    chance: float
    words: str

    @property
    def mean(self) -> float:
        """Over the seeds; NaN while there are none."""
        return sum(self.values) / len(self.values) if self.values else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds, 0 for one."""
        if len(self.values) < 2:
            return 0.0
        mean = self.mean
        return math.sqrt(sum((v - mean) ** 2 for v in self.values) / (len(self.values) - 1))


class ScorePlot(QWidget):
    """One row for each score on an axis from 0 to 1."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._scores: tuple[SeedScore, ...] = ()
        self._title = self._hint = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(80, 60)
        self.restyle()

    @property
    def scores(self) -> tuple[SeedScore, ...]:
        """What is shown."""
        return self._scores

    def set_scores(self, scores: tuple[SeedScore, ...], title: str, hint: str) -> None:
        """Show scores, or words while there are none."""
        self._scores, self._title, self._hint = scores, title, hint
        self.setAccessibleName("; ".join(f"{s.name} {_words(s)}" for s in scores) or hint)
        self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.92))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title, axis, rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = self._look.palette
        if not self._scores:
            painter.setPen(QColor(palette.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 8, -8, -8), flags, self._hint)
            return
        painter.setPen(QColor(palette.text))
        metrics = self.fontMetrics()
        title = metrics.elidedText(self._title, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(0, 0, self.width(), self._line()), 0, title)
        self._draw_axis(painter)
        for index, score in enumerate(self._scores):
            self._draw_row(painter, index, score)

    def event(self, event: QEvent) -> bool:
        """Each row explains itself."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = int((event.pos().y() - 1.3 * self._line()) // self._row())
            text = ""
            if event.pos().y() > 1.3 * self._line() and 0 <= row < len(self._scores):
                score = self._scores[row]
                text = f"{score.name} = {_words(score)}\n{score.words}"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    # --- geometry -----------------------------------------------------------------------------

    def _line(self) -> float:
        return float(self.fontMetrics().height())

    def _row(self) -> float:
        room = self.height() - 3.8 * self._line()
        return min(max(room / max(len(self._scores), 1), 10.0), float(self._look.px(ROW_MOST)))

    def _columns(self) -> tuple[float, float]:
        metrics, gap = QFontMetricsF(self.font()), self._look.px(10)
        left = max(metrics.horizontalAdvance(score.name) for score in self._scores) + gap
        right = max(metrics.horizontalAdvance(_words(score)) for score in self._scores) + gap
        return left, max(self.width() - right, left + self._look.px(60))

    def _x(self, value: float) -> float:
        left, right = self._columns()
        return left + min(max(value, 0.0), 1.0) * (right - left)

    # --- drawing ------------------------------------------------------------------------------

    def _draw_axis(self, painter: QPainter) -> None:
        palette = self._look.palette
        top, bottom = 1.3 * self._line(), 1.3 * self._line() + len(self._scores) * self._row()
        painter.setFont(self._look.font(0.85))
        for tick in TICKS:
            x = self._x(tick)
            painter.setPen(QPen(QColor(palette.border), 1.0))
            painter.drawLine(QPointF(x, top), QPointF(x, bottom + 3))
            painter.setPen(QColor(palette.muted))
            place = QRectF(x - 40, bottom + 3, 80, self._line())
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, f"{tick:g}")
        left, right = self._columns()
        place = QRectF(left - 60, bottom + 3 + self._line(), right - left + 120, self._line())
        words = "score, 1 is perfect; the mark is chance"
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, words)
        painter.setFont(self.font())

    def _draw_row(self, painter: QPainter, index: int, score: SeedScore) -> None:
        palette, px = self._look.palette, self._look.px
        top = 1.3 * self._line() + index * self._row()
        middle = top + self._row() / 2
        left, right = self._columns()
        painter.setPen(QColor(palette.text))
        side = Qt.AlignmentFlag.AlignVCenter
        name = QRectF(0, top, left - px(8), self._row())
        painter.drawText(name, side | Qt.AlignmentFlag.AlignRight, score.name)
        painter.drawText(
            QRectF(right + px(8), top, self.width() - right, self._row()), side, _words(score)
        )
        thick = min(px(BAR), 0.6 * self._row())
        painter.setPen(QPen(QColor(palette.truth), px(2)))
        chance = self._x(score.chance)
        painter.drawLine(QPointF(chance, middle - thick), QPointF(chance, middle + thick))
        if not math.isfinite(score.mean):
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(with_alpha(palette.model, 0.45))
        zero, end = self._x(0.0), self._x(score.mean)
        painter.drawRect(QRectF(zero, middle - thick / 2, end - zero, thick))
        painter.setBrush(QColor(palette.model))
        for value in score.values:
            painter.drawEllipse(QPointF(self._x(value), middle), px(2), px(2))
        painter.setPen(QPen(QColor(palette.text), 1.4 * self._look.scale))
        ends = self._x(score.mean - score.spread), self._x(score.mean + score.spread)
        painter.drawLine(QPointF(ends[0], middle), QPointF(ends[1], middle))
        for x in ends:
            painter.drawLine(QPointF(x, middle - px(4)), QPointF(x, middle + px(4)))


def _words(score: SeedScore) -> str:
    if not math.isfinite(score.mean):
        return "–"
    return " ".join(with_error(score.mean, score.spread, 1))
