"""A Jacobian as a picture: cells in colours around zero, with numbers where there is room."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import number
from widgets.look import Look
from widgets.plots.colours import table, to_bytes
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1: the side of a cell that has room for its number; the largest side.
NUMBER_FROM, LARGEST = 40, 92
#: Rows and columns are named up to so many.
MOST_NAMES = 12


class MatrixView(QWidget):
    """A square matrix (D, D) with a title above it; rows are outputs, columns inputs."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._end = StickyCeiling()
        self.values: Floats = np.zeros((0, 0))
        self.names: tuple[str, ...] = ()
        self.title, self.diagonal = "", False
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(look.px(90))
        self.restyle()

    def set_matrix(
        self, values: Floats, names: tuple[str, ...], title: str, *, diagonal: bool
    ) -> None:
        """Show a matrix; ``diagonal`` frames its diagonal, whose product is the determinant."""
        self.values, self.names, self.title = np.asarray(values), names, title
        self.diagonal = diagonal
        finite = np.abs(self.values[np.isfinite(self.values)])
        self._end.update(float(finite.max(initial=0.0)))
        rows = "; ".join(", ".join(number(float(v), 3) for v in row) for row in self.values[:12])
        self.setAccessibleName(f"{title}: {rows}")
        self.update()

    def clear(self) -> None:
        """Show none."""
        self.values, self.title = np.zeros((0, 0)), ""
        self._end.reset()
        self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.88))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title, names, cells, the diagonal's frame, the scale."""
        if not len(self.values):
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, line = self._look.palette, self.fontMetrics().height()
        painter.setPen(QColor(palette.text))
        words = self.fontMetrics().elidedText(
            self.title, Qt.TextElideMode.ElideRight, self.width()
        )
        painter.drawText(QRectF(0, 0, self.width(), line), 0, words)
        self._draw_cells(painter)
        painter.setPen(QColor(palette.muted))
        painter.setFont(self._look.font(0.8))
        area = QRectF(0, self.height() - line, self.width(), line)
        painter.drawText(area, Qt.AlignmentFlag.AlignLeft, self.scale_words)

    def event(self, event: QEvent) -> bool:
        """Each cell tells its derivative."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._words_at(QPointF(event.pos())), self)
            return True
        return super().event(event)

    @property
    def scale_words(self) -> str:
        """What the colours mean, in as many words as there is room for."""
        end = number(self._end.value, 3)
        whole = f"colours from −{end} (red) over 0 to {end} (blue)"
        wide = QFontMetricsF(self._look.font(0.8)).horizontalAdvance(whole)
        return whole if wide <= self.width() else f"−{end} red, {end} blue"

    @property
    def digits(self) -> int:
        """Digits of the numbers in the cells: three or two, as all have room, or 0 for none."""
        room = self._side() - self._look.px(4)
        if self._side() < self._look.px(NUMBER_FROM):
            return 0
        values = self.values[np.isfinite(self.values)].ravel().tolist()
        metrics = self.fontMetrics()
        for digits in (3, 2):
            widths = (metrics.horizontalAdvance(number(v, digits)) for v in values)
            if max(widths, default=0) <= room:
                return digits
        return 0

    @property
    def column_names(self) -> tuple[str, ...]:
        """What stands above the columns: names, or where they are too wide their last words."""
        metrics, room = self.fontMetrics(), self._side() - self._look.px(2)
        tails = tuple(name.split()[-1] for name in self.names if name.split())
        if len(set(tails)) == len(self.names) and any(
            metrics.horizontalAdvance(f"∂{name}") > room for name in self.names
        ):
            return tails
        return self.names

    # --- geometry -----------------------------------------------------------------------------

    @property
    def _named(self) -> bool:
        return len(self.values) <= MOST_NAMES and len(self.names) == len(self.values)

    def _margins(self) -> tuple[float, float]:
        """Room for the rows' names on the left, and above for the title and the columns'."""
        line = self.fontMetrics().height()
        if not self._named:
            return 0.0, 1.3 * line
        wide = max(self.fontMetrics().horizontalAdvance(f"∂{name}′") for name in self.names)
        return min(wide + self._look.px(6), 0.3 * self.width()), 2.5 * line

    def _side(self) -> float:
        left, top = self._margins()
        room = min(self.width() - left, self.height() - top - 1.4 * self.fontMetrics().height())
        return max(min(room / max(len(self.values), 1), self._look.px(LARGEST)), 0.5)

    def _cell(self, row: int, column: int) -> QRectF:
        left, top = self._margins()
        side = self._side()
        return QRectF(left + column * side, top + row * side, side, side)

    def _words_at(self, spot: QPointF) -> str:
        left, top = self._margins()
        row, column = int((spot.y() - top) // self._side()), int((spot.x() - left) // self._side())
        size = len(self.values)
        if not (0 <= row < size and 0 <= column < size):
            return self.title
        names = self.names if len(self.names) == size else tuple(map(str, range(1, size + 1)))
        value = number(float(self.values[row, column]), 6)
        return f"∂ output {names[row]} / ∂ input {names[column]} = {value}"

    # --- drawing ------------------------------------------------------------------------------

    def _draw_cells(self, painter: QPainter) -> None:
        palette, size, side = self._look.palette, len(self.values), self._side()
        end = self._end.value or 1.0
        packed = table(palette.signed)[to_bytes(self.values.astype(np.float32), -end, end)]
        digits = self.digits
        edge = QPen(QColor(palette.border), 1.0) if side >= 6 else QPen(Qt.PenStyle.NoPen)
        for row in range(size):
            for column in range(size):
                cell = self._cell(row, column)
                shade = QColor(int(packed[row, column]) & 0xFFFFFF)
                painter.setPen(edge)
                painter.setBrush(shade)
                painter.drawRect(cell)
                if digits:
                    words = number(float(self.values[row, column]) + 0.0, digits)  # no −0
                    self._draw_number(painter, cell, words, shade)
        if self._named:
            self._draw_names(painter)
        if self.diagonal and side >= 6:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(palette.accent), 2.0 * self._look.scale))
            for index in range(size):
                painter.drawRect(self._cell(index, index).adjusted(1, 1, -1, -1))

    @staticmethod
    def _draw_number(painter: QPainter, cell: QRectF, words: str, shade: QColor) -> None:
        light = shade.lightnessF() > 0.5
        painter.setPen(QColor("#101216" if light else "#f4f6fa"))
        painter.drawText(cell, Qt.AlignmentFlag.AlignCenter, words)

    def _draw_names(self, painter: QPainter) -> None:
        painter.setPen(QColor(self._look.palette.muted))
        left, top = self._margins()
        line, side = self.fontMetrics().height(), self._side()
        for index, (name, above) in enumerate(zip(self.names, self.column_names, strict=True)):
            row = QRectF(0, top + index * side, left - self._look.px(4), side)
            flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(row, flags, self._short(f"∂{name}′", left))
            area = QRectF(left + index * side, top - 1.15 * line, side, line)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self._short(f"∂{above}", side))

    def _short(self, text: str, room: float) -> str:
        return self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(room))
