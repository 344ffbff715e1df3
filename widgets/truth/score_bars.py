"""Sample scores as bars beside the band of a perfect sampler, all on one axis.

Each score is divided by the upper end of its own band, so that 1 is where a perfect sampler stops
and the three can share an axis whose upper end is 2, 5, 10, … of them.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import number
from widgets.look import Look
from widgets.plots.ranges import StickyCeiling
from widgets.truth.words import Score

#: The axis begins here (MMD² may be negative) and reaches at least this far.
START, LEAST = -0.5, 2.0
#: Pixels at scale 1: height of a bar, and room above and below it.
BAR, ROOM = 10, 5
BAND_OPACITY = 0.3
AXIS_NAME = "score ÷ upper end of its band"


class ScoreBars(QWidget):
    """Three bars, a shaded band, numbers and a verdict in words."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._scores: tuple[Score, ...] = ()
        self._ceiling = StickyCeiling()
        self._top = LEAST
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def scores(self) -> tuple[Score, ...]:
        """What is shown."""
        return self._scores

    def show_scores(self, scores: tuple[Score, ...]) -> None:
        """Show these; the axis keeps its end until a bar leaves it or shrinks far within it."""
        self._scores = scores
        ratios = [s.ratio(s.value) for s in scores]
        highest = max((r for r in ratios if r is not None), default=0.0)
        self._top = max(LEAST, self._ceiling.update(1.1 * highest))
        self.setAccessibleName(", ".join(f"{s.title} {s.verdict}" for s in scores))
        self.updateGeometry()
        self.update()

    def clear(self) -> None:
        """Show none and forget the axis."""
        self._ceiling.reset()
        self.show_scores(())

    def restyle(self) -> None:
        """Take fonts from the look."""
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As high as three rows and an axis."""
        return QSize(self._look.px(300), self._wanted_height())

    def minimumSizeHint(self) -> QSize:
        """The same height, any width."""
        return QSize(1, self._wanted_height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the axis, then row by row."""
        if not self._scores:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_axis(painter)
        for index, score in enumerate(self._scores):
            self._draw_row(painter, self._row(index), score)

    def event(self, event: QEvent) -> bool:
        """Each row explains its score."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            spot = QPointF(event.pos())
            rows = enumerate(self._scores)
            found = next((s for i, s in rows if self._row(i).contains(spot)), None)
            QToolTip.showText(event.globalPos(), "" if found is None else _explain(found), self)
            return True
        return super().event(event)

    # --- places -------------------------------------------------------------------------------

    def _font(self) -> QFont:
        return self._look.font(0.88)

    def _line(self) -> float:
        return QFontMetricsF(self._font()).height()

    def _row_height(self) -> float:
        return self._line() + self._look.px(BAR) + 2.0 * self._look.px(ROOM)

    def _axis_height(self) -> float:
        return 2.0 * QFontMetricsF(self._look.font(0.8)).height() + self._look.px(4)

    def _wanted_height(self) -> int:
        return round(len(self._scores) * self._row_height() + self._axis_height())

    def _row(self, index: int) -> QRectF:
        return QRectF(0.0, index * self._row_height(), self.width(), self._row_height())

    def _bar_area(self, row: QRectF) -> QRectF:
        px = self._look.px
        top = row.top() + self._line() + px(ROOM)
        return QRectF(px(4), top, max(1.0, row.width() - px(24)), px(BAR))

    def _x(self, ratio: float, area: QRectF) -> float:
        share = (ratio - START) / (self._top - START)
        return area.left() + min(max(share, 0.0), 1.0) * area.width()

    # --- drawing ------------------------------------------------------------------------------

    def _draw_axis(self, painter: QPainter) -> None:
        palette, font = self._look.palette, self._look.font(0.8)
        area = self._bar_area(self._row(0))
        top = len(self._scores) * self._row_height()
        painter.setFont(font)
        line = QFontMetricsF(font).height()
        for tick in self._ticks():
            x = self._x(tick, area)
            painter.setPen(QPen(QColor(palette.border), 1.0))
            for index in range(len(self._scores)):
                bar, room = self._bar_area(self._row(index)), self._look.px(ROOM)
                painter.drawLine(QPointF(x, bar.top() - room), QPointF(x, bar.bottom() + room))
            painter.setPen(QColor(palette.muted))
            place = QRectF(x - 40, top, 80, line)
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, f"{tick:g}")
        name = QRectF(0.0, top + line, self.width(), line)
        cut = QFontMetricsF(font).elidedText(AXIS_NAME, Qt.TextElideMode.ElideRight, name.width())
        painter.drawText(name, Qt.AlignmentFlag.AlignCenter, cut)

    def _ticks(self) -> list[float]:
        step = self._top / (4 if self._top in (2.0, 20.0, 200.0) else 5)
        return [round(i * step, 6) for i in range(round(self._top / step) + 1)]

    def _draw_row(self, painter: QPainter, row: QRectF, score: Score) -> None:
        palette, area = self._look.palette, self._bar_area(row)
        self._write(painter, row, score)
        painter.setPen(Qt.PenStyle.NoPen)
        low, high = score.ratio(score.low), score.ratio(score.high)
        if low is not None and high is not None:
            band = QColor(palette.truth)
            band.setAlphaF(BAND_OPACITY)
            painter.setBrush(band)
            left, right, room = self._x(low, area), self._x(high, area), self._look.px(3)
            painter.drawRoundedRect(
                QRectF(left, area.top() - room, right - left, area.height() + 2 * room), 3, 3
            )
            self._draw_middle(painter, area, score)
        value = score.ratio(score.value)
        if value is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(palette.model))
            zero, end = self._x(0.0, area), self._x(value, area)
            thick = area.adjusted(0.0, area.height() / 4, 0.0, -area.height() / 4)
            painter.drawRect(QRectF(min(zero, end), thick.top(), abs(end - zero), thick.height()))
            painter.drawEllipse(QPointF(end, area.center().y()), area.height() / 2,
                                area.height() / 2)  # fmt: skip

    def _draw_middle(self, painter: QPainter, area: QRectF, score: Score) -> None:
        middle = score.ratio(score.middle)
        if middle is not None:
            x = self._x(middle, area)
            painter.setPen(QPen(QColor(self._look.palette.truth), 1.5))
            painter.drawLine(QPointF(x, area.top() - 3), QPointF(x, area.bottom() + 3))

    def _write(self, painter: QPainter, row: QRectF, score: Score) -> None:
        palette, font = self._look.palette, self._font()
        painter.setFont(font)
        place = QRectF(self._look.px(4), row.top(), row.width() - self._look.px(24), self._line())
        value = "–" if score.value is None else number(score.value, 3)
        verdict = score.verdict
        colour = palette.good if score.is_inside else palette.text
        right = QFontMetricsF(font).horizontalAdvance(verdict)
        painter.setPen(QColor(colour))
        painter.drawText(place, Qt.AlignmentFlag.AlignRight, verdict)
        painter.setPen(QColor(palette.text))
        room = place.width() - right - self._look.px(8)
        words = f"{score.title} = {value} {score.unit}".rstrip()
        cut = QFontMetricsF(font).elidedText(words, Qt.TextElideMode.ElideRight, room)
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft, cut)


def _explain(score: Score) -> str:
    lines = [f"{score.title}, an estimate, {score.unit}".rstrip(", "), score.tooltip + "."]
    if score.low is not None and score.high is not None and score.middle is not None:
        lines.append(
            f"A perfect sampler scores {number(score.low, 3)} … {number(score.high, 3)} in 5–95 % "
            f"of cases (median {number(score.middle, 3)}), each end moved outwards by its own "
            "uncertainty."
        )
    return "\n".join(lines)
