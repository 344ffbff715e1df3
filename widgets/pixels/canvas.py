"""One event, large: its cells, a map over them, marked ones, and the cell that is chosen."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look
from widgets.pixels.cells import Cells, Pixels
from widgets.plots.colours import with_alpha

Mask: TypeAlias = npt.NDArray[np.bool_]

#: Pixels at scale 1: least side of a cell with its value written in it, with an outline.
WRITTEN_FROM, OUTLINED_FROM = 22, 4
ARROWS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


class PixelCanvas(QWidget):
    """Cells as large as whole pixels allow; the pointer and the arrow keys choose one.

    Signals:
        hovered: Flat index under the pointer, or None.
        chosen: Flat index that was clicked, or reached with the arrow keys.
    """

    hovered = Signal(object)
    chosen = Signal(int)

    def __init__(self, look: Look, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.cells: Cells | None = None
        self.at: int | None = None
        self.channel = 0
        self.takes_arrows = True
        self._image = QImage()
        self._words: tuple[str, ...] = ()
        self._marks: list[tuple[Mask, str, str]] = []
        self._title, self._colour, self._hint = "", "", ""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(40, 40)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.restyle()

    # --- what is shown ------------------------------------------------------------------------

    def set_title(self, title: str, colour: str = "") -> None:
        """A line above the cells, with a coloured mark."""
        if (title, colour) != (self._title, self._colour):
            self._title, self._colour = title, colour
            self.setAccessibleName(title)
            self.update()

    def set_hint(self, hint: str) -> None:
        """Words in the middle while there is nothing to show."""
        self._hint = hint
        self.update()

    def set_cells(self, cells: Cells | None, pixels: Pixels | None) -> None:
        """Show cells (H, W) as 0xAARRGGBB, or nothing."""
        self.cells = cells
        self._image = QImage()
        if cells is not None and pixels is not None:
            data = np.ascontiguousarray(pixels, dtype=np.uint32)
            height, width = data.shape
            form = QImage.Format.Format_ARGB32
            self._image = QImage(data.data, width, height, 4 * width, form).copy()
        self.update()

    def set_words(self, words: tuple[str, ...]) -> None:
        """What is written into each cell where it is large enough, by flat index."""
        self._words = words
        self.update()

    def set_marks(self, *marks: tuple[Mask, str, str]) -> None:
        """Marked cells: which (H, W), a colour, and ``"hatch"``, ``"ring"`` or ``"dot"``."""
        self._marks = list(marks)
        self.update()

    def set_at(self, index: int | None) -> None:
        """Outline the cell of a flat index; emits nothing."""
        if index != self.at:
            self.at = index
            if index is not None and self.cells is not None:
                self.channel = self.cells.channel_of(index)
            self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.at, self._words, self._marks = None, (), []
        self.set_cells(None, None)

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.9))
        self.update()

    # --- places -------------------------------------------------------------------------------

    def area(self) -> QRectF:
        """Where the cells lie."""
        cells = self.cells
        top = self._title_height()
        if cells is None:
            return QRectF(0, top, 0, 0)
        wide, high = self.width() - 2, self.height() - top - 2
        side = min(wide / cells.columns, high / cells.rows)
        if side >= 2:
            side = math.floor(side)
        width, height = side * cells.columns, side * cells.rows
        return QRectF(
            (self.width() - width) / 2, top + max(0.0, (high - height) / 2), width, height
        )

    def rect_of(self, row: int, column: int) -> QRectF:
        """Where one cell lies."""
        area, cells = self.area(), self.cells
        if cells is None:
            return QRectF()
        wide, high = area.width() / cells.columns, area.height() / cells.rows
        return QRectF(area.left() + column * wide, area.top() + row * high, wide, high)

    def cell_at(self, spot: QPointF) -> tuple[int, int] | None:
        """Row and column under a place, or None beside the cells."""
        area, cells = self.area(), self.cells
        if cells is None or not area.contains(spot) or not area.width():
            return None
        row = int((spot.y() - area.top()) / area.height() * cells.rows)
        column = int((spot.x() - area.left()) / area.width() * cells.columns)
        return min(row, cells.rows - 1), min(column, cells.columns - 1)

    def index_at(self, spot: QPointF) -> int | None:
        """The flat index under a place, of the channel that is looked at."""
        cell = self.cell_at(spot)
        return (
            None
            if cell is None or self.cells is None
            else self.cells.index_at(*cell, self.channel)
        )

    # --- drawing ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title, cells, marks, words, and the chosen cell."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_title(painter)
        if self.cells is None or self._image.isNull():
            painter.setPen(QColor(self._look.palette.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 8, -8, -8), flags, self._hint)
            return
        area = self.area()
        painter.drawImage(area, self._image)
        painter.setPen(QPen(QColor(self._look.palette.border), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(area.adjusted(-0.5, -0.5, 0.5, 0.5))
        for mask, colour, kind in self._marks:
            self._draw_mark(painter, mask, colour, kind)
        self._draw_words(painter)
        self._draw_at(painter)

    def _title_height(self) -> int:
        return self.fontMetrics().height() + self._look.px(6) if self._title else 0

    def _draw_title(self, painter: QPainter) -> None:
        if not self._title:
            return
        mark, top = self._look.px(8), 0.0
        left = float(self._look.px(2))
        if self.cells is not None and not self._image.isNull():
            top = max(0.0, self.area().top() - self._title_height())
        if self._colour:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._colour))
            painter.drawEllipse(QPointF(mark, top + self._title_height() / 2), mark / 2, mark / 2)
            left = 2.0 * mark
        painter.setPen(QColor(self._look.palette.text))
        area = QRectF(left, top, max(1.0, self.width() - left), self._title_height())
        text = self.fontMetrics().elidedText(
            self._title, Qt.TextElideMode.ElideRight, int(area.width())
        )
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, text)

    def _draw_mark(self, painter: QPainter, mask: Mask, colour: str, kind: str) -> None:
        side = self.rect_of(0, 0).width()
        ink = QColor(colour)
        painter.setPen(Qt.PenStyle.NoPen)
        hatch = QBrush(with_alpha(colour, 0.75), Qt.BrushStyle.BDiagPattern)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=kind != "hatch")
        if kind == "dot":
            painter.setBrush(ink)
        elif kind == "ring":
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(ink, max(1.0, min(side / 8, self._look.px(2)))))
        for row, column in np.argwhere(mask).tolist():
            box = self.rect_of(row, column)
            if kind == "dot":
                radius = max(1.0, side / 9)
                painter.drawEllipse(box.center(), radius, radius)
            elif kind == "hatch":
                painter.fillRect(box, hatch)
            elif kind == "ring" and side < self._look.px(OUTLINED_FROM):
                painter.fillRect(box, with_alpha(colour, 0.5))
            else:
                painter.drawRect(box.adjusted(1.0, 1.0, -1.0, -1.0))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)

    def _draw_words(self, painter: QPainter) -> None:
        cells = self.cells
        if not self._words or cells is None:
            return
        box = self.rect_of(0, 0)
        longest = max((self.fontMetrics().horizontalAdvance(w) for w in self._words), default=0)
        if box.width() < self._look.px(WRITTEN_FROM) or box.width() < longest + 2:
            return
        for index, word in enumerate(self._words[: cells.n_cells]):
            row, column = cells.cell_of(index)
            shade = self._image.pixelColor(column, row).lightnessF()
            painter.setPen(QColor("#000000" if shade > 0.55 else "#ffffff"))
            painter.drawText(self.rect_of(row, column), Qt.AlignmentFlag.AlignCenter, word)

    def _draw_at(self, painter: QPainter) -> None:
        if self.at is None or self.cells is None or not 0 <= self.at < self.cells.size:
            return
        box = self.rect_of(*self.cells.cell_of(self.at))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        width = self._look.px(2)
        for colour, extra in ((self._look.palette.panel, 2.0), (self._look.palette.accent, 0.0)):
            painter.setPen(QPen(QColor(colour), width + extra))
            painter.drawRect(box)
        if self.hasFocus():
            painter.setPen(QPen(QColor(self._look.palette.text), 1, Qt.PenStyle.DotLine))
            painter.drawRect(box.adjusted(-3, -3, 3, 3))

    # --- the user -----------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Report the value under the pointer."""
        self.hovered.emit(self.index_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """The pointer is on nothing any more."""
        self.hovered.emit(None)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the cell under the pointer."""
        self.setFocus()
        index = self.index_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and index is not None:
            self.set_at(index)
            self.chosen.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrow keys choose the next cell."""
        move = ARROWS.get(Qt.Key(event.key()))
        cells = self.cells
        if not self.takes_arrows or move is None or cells is None:
            super().keyPressEvent(event)
            return
        row, column = cells.cell_of(self.at or 0)
        to = cells.index_at(row + move[0], column + move[1], self.channel)
        if to is not None:
            self.set_at(to)
            self.chosen.emit(to)


def overlay(base: Pixels, strength: npt.NDArray[Any], colour: str) -> Pixels:
    """Cells (H, W) with a colour laid over them, as strongly as ``strength`` (H, W) in 0 … 1."""
    ink = QColor(colour)
    share = np.clip(np.nan_to_num(strength), 0.0, 1.0)
    out = np.full(base.shape, 0xFF, np.uint32)
    for part, shift in ((ink.red(), 16), (ink.green(), 8), (ink.blue(), 0)):
        below = ((base >> shift) & 0xFF).astype(np.float64)
        out = (out << 8) | (below + (part - below) * share).astype(np.uint32)
    return out
