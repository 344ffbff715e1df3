"""The legend of a heat map: its colours, the numbers at their ends, and what they mean."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look
from widgets.plots.colours import Table

BAR_WIDTH = 12
STAYS = "The colour scale; it stays as it is until the values leave it."


class ColourBar(QWidget):
    """A vertical bar with ticks and a turned label such as ``p(x)  [1 / unit²]``."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._image = QImage()
        self._ends = (0.0, 1.0)
        self._label = ""
        self._open_ends = (False, False)
        self._is_bare = False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored)
        self.setToolTip(STAYS)
        self.restyle()

    @property
    def ends(self) -> tuple[float, float]:
        """The values at bottom and top."""
        return self._ends

    def set_scale(
        self,
        colours: Table,
        low: float,
        high: float,
        label: str,
        *,
        open_top: bool = False,
        open_bottom: bool = False,
    ) -> None:
        """Show a scale; an open end has ≥ or ≤ before its number, for clipped values."""
        column = np.ascontiguousarray(colours[::-1])
        self._image = QImage(
            column.tobytes(), 1, len(column), 4, QImage.Format.Format_RGB32
        ).copy()
        self._ends, self._label = (low, high), label
        self._open_ends = open_bottom, open_top
        self.updateGeometry()
        self.setToolTip(f"{label}: {_short(low)} … {_short(high)}.\n{STAYS}")
        self.update()

    def set_bare(self, on: bool) -> None:
        """Colours and the ends' numbers alone, for little room; the tooltip has the rest."""
        if on != self._is_bare:
            self._is_bare = on
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Wide enough for the numbers, if there are any."""
        metrics = self.fontMetrics()
        if self._is_bare:
            ends = max(metrics.horizontalAdvance(_short(end)) for end in self._ends)
            return QSize(max(self._look.px(BAR_WIDTH + 8), ends + 2), self._look.px(40))
        return QSize(
            self._look.px(BAR_WIDTH + 12) + metrics.horizontalAdvance("≥ 0.0005")
            + metrics.height(), self._look.px(120),
        )  # fmt: skip

    def restyle(self) -> None:
        """Take the font from the look again."""
        self.setFont(self._look.font(0.85))
        self.updateGeometry()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Bar, three numbers, label."""
        if self._image.isNull():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line, wide = self.fontMetrics().height(), self._look.px(BAR_WIDTH)
        margin = line * (1.1 if self._is_bare else 0.8)
        left = (self.width() - wide) / 2 if self._is_bare else self._look.px(4)
        bar = QRectF(left, margin, wide, self.height() - 2 * margin)
        painter.drawImage(bar, self._image)
        painter.setPen(self._look.palette.border)
        painter.drawRect(bar)
        painter.setPen(self._look.palette.muted)
        if self._is_bare:
            for y, end in ((0.0, self._ends[1]), (self.height() - line, self._ends[0])):
                area = QRectF(0, y, self.width(), line)
                painter.drawText(area, Qt.AlignmentFlag.AlignCenter, _short(end))
            return
        self._draw_numbers(painter, bar)
        self._draw_label(painter)

    def _draw_numbers(self, painter: QPainter, bar: QRectF) -> None:
        low, high = self._ends
        height = self.fontMetrics().height()
        shares = (0.0, 0.5, 1.0) if bar.height() > 4 * height else (0.0, 1.0)
        for share in shares:
            text = _short(low + share * (high - low))
            if share == 1.0 and self._open_ends[1]:
                text = "≥ " + text
            if share == 0.0 and self._open_ends[0]:
                text = "≤ " + text
            y = bar.bottom() - share * bar.height() - height / 2
            area = QRectF(bar.right() + self._look.px(4), y, self.width(), height)
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, text)

    def _draw_label(self, painter: QPainter) -> None:
        height = self.fontMetrics().height()
        if self.fontMetrics().horizontalAdvance(self._label) > self.height():
            return
        painter.save()
        painter.translate(QPointF(self.width() - height, self.height() / 2))
        painter.rotate(-90)
        area = QRectF(-self.height() / 2, 0, self.height(), height)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self._label)
        painter.restore()


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
