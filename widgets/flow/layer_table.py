"""One row per layer: its numbers, each with a bar behind it, so that rows can be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import number
from widgets.look import Look
from widgets.plots.colours import with_alpha

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1: room around words, room between two columns.
PAD, GAP = 5, 6
#: Share of the width that names take at most.
NAMES = 0.26


@dataclass(frozen=True)
class Column:
    """A quantity of every layer.

    Attributes:
        title: Its name.
        units: What each number of a cell is, one or two.
        texts: Per layer as many numbers as units.
        spans: (L, 2), where each bar begins and ends, from 0 to 1.
        words: What it means, for the tooltip.
    """

    title: str
    units: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    spans: Floats
    words: str


class LayerTable(QWidget):
    """Rows of layers, data first.

    Signals:
        chosen: Number of the layer that was clicked, from 0.
    """

    chosen = Signal(int)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.names: tuple[str, ...] = ()
        self.columns: tuple[Column, ...] = ()
        self.current = -1
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.setMouseTracking(True)
        self.restyle()

    def set_layers(self, names: tuple[str, ...], columns: tuple[Column, ...]) -> None:
        """Show these."""
        grown = len(names) != len(self.names)
        self.names, self.columns = names, columns
        rows = (
            f"{name}: " + ", ".join(" to ".join(column.texts[row]) for column in columns)
            for row, name in enumerate(names)
        )
        self.setAccessibleName("; ".join(rows))
        if grown:
            self.updateGeometry()
        self.update()

    def set_current(self, layer: int) -> None:
        """Mark a row."""
        if layer != self.current:
            self.current = layer
            self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.82))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """All rows below two lines of headings."""
        return QSize(self._look.px(320), self._top() + len(self.names) * self._row_height() + 2)

    def minimumSizeHint(self) -> QSize:
        """All rows; a scroll area holds what is too high."""
        return QSize(1, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Headings, rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_headings(painter)
        for index in range(len(self.names)):
            self._draw_row(painter, index)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cells may need two lines, or one again."""
        super().resizeEvent(event)
        self.updateGeometry()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose the row under the pointer."""
        row = self._row_at(event.position().y())
        if event.button() == Qt.MouseButton.LeftButton and row is not None:
            self.chosen.emit(row)

    def event(self, event: QEvent) -> bool:
        """Each row tells all its numbers."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = self._row_at(event.pos().y())
            lines = [f"{c.title} ({', '.join(c.units)}): {c.words}" for c in self.columns]
            if row is not None:
                told = [zip(c.units, c.texts[row], strict=True) for c in self.columns]
                cells = [", ".join(f"{text} {unit}" for unit, text in pairs) for pairs in told]
                pairs = zip(self.columns, cells, strict=True)
                lines = [f"{column.title}: {cell}" for column, cell in pairs]
                lines = [self.names[row], *lines, "Click: go to this layer"]
            QToolTip.showText(event.globalPos(), "\n".join(lines), self)
            return True
        return super().event(event)

    # --- geometry -----------------------------------------------------------------------------

    @property
    def is_stacked(self) -> bool:
        """Whether the two numbers of a cell stand one above the other, for want of width."""
        metrics, room = self.fontMetrics(), self._cell(0, 0, 1).width() - self._look.px(PAD)
        texts = [", ".join(t) for c in self.columns for t in (c.units, *c.texts)]
        return max((metrics.horizontalAdvance(text) for text in texts), default=0) > room

    def _row_height(self) -> int:
        line = self.fontMetrics().height()
        return 2 * line + self._look.px(6) if self.is_stacked else line + self._look.px(9)

    def _top(self) -> int:
        lines = 3 if self.is_stacked else 2
        return lines * self.fontMetrics().height() + self._look.px(4)

    def _row_at(self, y: float) -> int | None:
        row = math.floor((y - self._top()) / self._row_height())
        return row if 0 <= row < len(self.names) else None

    def _name_width(self) -> float:
        wanted = max((self.fontMetrics().horizontalAdvance(n) for n in self.names), default=0)
        return min(wanted + 2.0 * self._look.px(PAD), NAMES * self.width())

    def _cell(self, column: int, top: float, height: float) -> QRectF:
        left, gap = self._name_width(), self._look.px(GAP)
        wide = (self.width() - left) / max(len(self.columns), 1)
        return QRectF(left + column * wide + gap, top, max(wide - gap, 1.0), height)

    def name_lines(self, name: str, room: int) -> tuple[str, ...]:
        """A name that is too long for so many pixels in two lines, where rows have two."""
        metrics = self.fontMetrics()
        if metrics.horizontalAdvance(name) > room and self.is_stacked:
            head, colon, tail = name.rpartition(": ")
            head, _, tail = (head, colon, tail) if colon else name.rpartition(" ")
            lines = (head, tail) if head else (tail,)
        else:
            lines = (name,)
        middle = Qt.TextElideMode.ElideMiddle
        return tuple(metrics.elidedText(line, middle, room) for line in lines)

    # --- drawing ------------------------------------------------------------------------------

    def _draw_headings(self, painter: QPainter) -> None:
        palette, line = self._look.palette, self.fontMetrics().height()
        for index, column in enumerate(self.columns):
            cell, units = self._cell(index, 0, line), ", ".join(column.units)
            lines = units.split(", ") if self.is_stacked else [units]
            for row, text in enumerate((column.title, *lines)):
                painter.setPen(QColor(palette.muted if row else palette.text))
                area = cell.translated(0, row * line)
                shown = self.fontMetrics().elidedText(
                    text, Qt.TextElideMode.ElideRight, int(cell.width())
                )
                painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, shown)

    def _draw_row(self, painter: QPainter, index: int) -> None:
        palette, px = self._look.palette, self._look.px
        height = self._row_height()
        top = self._top() + index * height
        if index == self.current:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(palette.raised))
            painter.drawRect(QRectF(0, top, self.width(), height))
            painter.setBrush(QColor(palette.accent))
            painter.drawRect(QRectF(0, top, px(2), height))
        painter.setPen(QColor(palette.text))
        room = QRectF(px(PAD), top, self._name_width() - px(PAD), height)
        lines = self.name_lines(self.names[index], int(room.width()))
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, "\n".join(lines))
        for place, column in enumerate(self.columns):
            self._draw_cell(painter, self._cell(place, top, height), column, index)

    def _draw_cell(self, painter: QPainter, cell: QRectF, column: Column, index: int) -> None:
        palette, px = self._look.palette, self._look.px
        first, last = np.clip(np.nan_to_num(column.spans[index]), 0.0, 1.0).tolist()
        inner = cell.adjusted(0, px(3), 0, -px(3))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(with_alpha(palette.border, 0.35))
        painter.drawRect(inner)
        bar = QRectF(inner.left() + first * inner.width(), inner.top(),
                     max((last - first) * inner.width(), 2.0), inner.height())  # fmt: skip
        painter.setBrush(with_alpha(palette.model, 0.45))
        painter.drawRect(bar)
        painter.setPen(QColor(palette.text))
        texts = column.texts[index]
        lines = texts if self.is_stacked else (", ".join(texts),)
        high = inner.height() / len(lines)
        for row, text in enumerate(lines):
            area = QRectF(cell.left() + px(PAD), inner.top() + row * high, cell.width(), high)
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, text)


def linear_spans(values: Floats, low: float, high: float) -> Floats:
    """(L,) or (2, L) → (L, 2), as shares of [low, high]; a single value is a bar from 0."""
    shares = (np.asarray(values, np.float64) - low) / max(high - low, 1e-300)
    if shares.ndim == 1:
        shares = np.stack([np.full_like(shares, (0.0 - low) / max(high - low, 1e-300)), shares])
    return np.sort(shares, 0).T


def log_spans(values: Floats, low: float, high: float) -> Floats:
    """As :func:`linear_spans` for (2, L) between two powers of ten."""
    with np.errstate(divide="ignore"):
        logs = np.log10(np.maximum(np.asarray(values, np.float64), 1e-300))
    return linear_spans(np.minimum(logs, 300.0), low, high)


def short(value: float) -> str:
    """Two digits, as little as tells layers apart."""
    if 0 < abs(value) < 1e-3 or abs(value) >= 1e4:
        return "∞" if math.isinf(value) else f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
    return f"{value:.0f}".replace("-", "−") if abs(value) >= 100 else number(value, 2)
