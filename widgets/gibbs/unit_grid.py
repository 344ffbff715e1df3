"""A layer of hidden units as a grid of cells: how probable each was, and whether it came on."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import fixed
from widgets.look import Look
from widgets.plots.colours import table, to_bytes

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1: the largest cell, and the least one with room between cells.
LARGEST, SPACED_FROM = 60, 9
#: Side of the square of a unit that is on, as a share of its cell.
INNER = 0.42


class UnitGrid(QWidget):
    """Cells coloured by p(h_j = 1 | …), with a square in those that are on.

    Signals:
        hovered: Number of the unit under the pointer, or None.
        chosen: Number of the unit that was clicked.
    """

    hovered = Signal(object)
    chosen = Signal(int)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.states: Floats = np.zeros(0)
        self.means: Floats = np.zeros(0)
        self.current: int | None = None
        self._title, self._is_new = "", False
        self.setMouseTracking(True)
        self.setMinimumSize(40, 40)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.restyle()

    def set_units(self, states: Floats, means: Floats) -> None:
        """Show n units: states 0 or 1, and the probabilities they were drawn from."""
        self.states, self.means = np.asarray(states), np.asarray(means, np.float64)
        self.update()

    def set_title(self, title: str, *, is_new: bool = False) -> None:
        """A line above the cells; marked while these units have just been drawn."""
        if (title, is_new) != (self._title, self._is_new):
            self._title, self._is_new = title, is_new
            self.setAccessibleName(title)
            self.update()

    def set_current(self, unit: int | None) -> None:
        """Frame a unit; emits nothing."""
        if unit != self.current:
            self.current = unit
            self.update()

    def clear(self) -> None:
        """Show none."""
        self.current = None
        self.set_units(np.zeros(0), np.zeros(0))

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.9))
        self.update()

    # --- places -------------------------------------------------------------------------------

    def _title_height(self) -> int:
        return self.fontMetrics().height() + self._look.px(6)

    def _tiling(self) -> tuple[int, float]:
        """Columns, and the side of a cell, that make the cells largest."""
        n = max(len(self.states), 1)
        wide, high = max(self.width() - 2, 1), max(self.height() - self._title_height() - 2, 1)
        best, side = 1, 0.0
        for columns in range(1, n + 1):
            found = min(wide / columns, high / math.ceil(n / columns))
            if found > side:
                best, side = columns, found
        side = min(side, float(self._look.px(LARGEST)))
        return best, float(int(side)) if side >= 4 else side

    def rect_of(self, unit: int) -> QRectF:
        """Where a unit lies."""
        columns, side = self._tiling()
        row, column = divmod(unit, columns)
        return QRectF(1 + column * side, self._title_height() + row * side, side, side)

    def unit_at(self, spot: QPointF) -> int | None:
        """The unit under a place."""
        columns, side = self._tiling()
        column = int((spot.x() - 1) // side)
        row = int((spot.y() - self._title_height()) // side)
        unit = row * columns + column
        inside = 0 <= column < columns and row >= 0 and unit < len(self.states)
        return unit if inside else None

    # --- drawing ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title and cells."""
        painter = QPainter(self)
        self._draw_title(painter)
        if not len(self.states):
            return
        palette = self._look.palette
        shades = table(palette.sequential)[to_bytes(self.means.astype(np.float32), 0.0, 1.0)]
        columns, side = self._tiling()
        gap = 1.0 if side >= self._look.px(SPACED_FROM) else 0.0
        inner = 0.5 * (1.0 - INNER) * side
        top = float(self._title_height())
        edge = QColor(palette.border)
        for unit, (on, shade) in enumerate(zip(self.states, shades, strict=True)):
            row, column = divmod(unit, columns)
            box = QRectF(1 + column * side, top + row * side, side - gap, side - gap)
            painter.fillRect(box, QColor(int(shade) & 0xFFFFFF))
            if gap:
                painter.setPen(edge)
                painter.drawRect(box)
            if on:
                square = box.adjusted(inner, inner, -inner, -inner)
                painter.fillRect(square.adjusted(-1, -1, 1, 1), QColor(palette.panel))
                painter.fillRect(square, QColor(palette.warning))
        if self.current is not None and self.current < len(self.states):
            painter.setPen(QPen(QColor(palette.accent), self._look.px(2)))
            painter.drawRect(self.rect_of(self.current))

    def _draw_title(self, painter: QPainter) -> None:
        palette, height = self._look.palette, self._title_height()
        left = self._look.px(2)
        if self._is_new:
            mark = self._look.px(8)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(palette.accent))
            painter.drawEllipse(QPointF(mark, height / 2), mark / 2, mark / 2)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
            left = 2 * mark
        painter.setPen(QColor(palette.text))
        room = QRectF(left, 0, max(self.width() - left, 1), height)
        words = self.fontMetrics().elidedText(
            self._title, Qt.TextElideMode.ElideRight, int(room.width())
        )
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, words)

    # --- the user -----------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Each cell tells its probability and its state."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            unit = self.unit_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self.words(unit), self)
            return True
        return super().event(event)

    def words(self, unit: int | None) -> str:
        """What a cell says."""
        if unit is None:
            return f"{self._title}. Shade: probability to be on; square: it came on"
        state = "on" if self.states[unit] else "off"
        return f"unit {unit + 1}: p(on) = {fixed(float(self.means[unit]), 3)}, drawn {state}"

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Report the unit under the pointer."""
        self.hovered.emit(self.unit_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """The pointer is on nothing any more."""
        self.hovered.emit(None)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the unit under the pointer."""
        unit = self.unit_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and unit is not None:
            self.set_current(unit)
            self.chosen.emit(unit)
