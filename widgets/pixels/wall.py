"""Many events in rows, as large as fits; they may grow together, and carry marked cells."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look
from widgets.pixels.cells import Pixels

Mask: TypeAlias = npt.NDArray[np.bool_]

#: Room between pictures, pixels at scale 1; least side of a cell that gets an outline.
GAP, OUTLINED_FROM = 5, 9
STEPS = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}


class PictureWall(QWidget):
    """Pictures (N, H, W) as 0xAARRGGBB; one may be framed as the chosen one.

    Signals:
        chosen: Index of the picture that was clicked, or reached with the arrow keys.
        hovered: Index of the picture under the pointer, or None.
    """

    chosen = Signal(int)
    hovered = Signal(object)

    def __init__(
        self, look: Look, *, one_row: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._look = look
        self._one_row = one_row
        self._pixels: Pixels = np.zeros((0, 1, 1), np.uint32)
        self._image = QImage()
        self._captions: tuple[str, ...] = ()
        self._title, self._colour, self._hint = "", "", ""
        self._marks: Mask | None = None
        self._mark_colour = ""
        self._columns = 0
        self.current: int | None = None
        self._framed: tuple[int, ...] = ()
        self._numbered = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.restyle()

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self._pixels)

    @property
    def pixels(self) -> Pixels:
        """What is shown."""
        return self._pixels

    def set_title(self, title: str, colour: str = "") -> None:
        """A line above the pictures, with a coloured mark."""
        if (title, colour) != (self._title, self._colour):
            self._title, self._colour = title, colour
            self.setAccessibleName(title)
            self.update()

    def set_hint(self, hint: str) -> None:
        """Words in the middle while there is nothing to show."""
        self._hint = hint
        self.update()

    def set_columns(self, n: int) -> None:
        """So many pictures a row; 0 lets the room decide."""
        self._columns = n

    def set_pictures(self, pixels: Pixels, captions: tuple[str, ...] = ()) -> None:
        """Show these; captions are tooltips and accessible words."""
        self._pixels, self._captions = np.ascontiguousarray(pixels, dtype=np.uint32), captions
        n, height, width = self._pixels.shape
        form = QImage.Format.Format_ARGB32
        self._image = QImage()
        if n:
            data = self._pixels.data
            self._image = QImage(data, width, n * height, 4 * width, form).copy()
        if self.current is not None and self.current >= n:
            self.current = None
        self.update()

    def set_marks(self, marks: Mask | None, colour: str = "") -> None:
        """Outline cells (N, H, W)."""
        self._marks, self._mark_colour = marks, colour
        self.update()

    def set_current(self, index: int | None) -> None:
        """Frame one picture; emits nothing."""
        if index != self.current:
            self.current = index
            self.update()

    def set_framed(self, indices: tuple[int, ...], *, numbered: bool = False) -> None:
        """Frame several pictures, with their places in the order given; emits nothing."""
        self._framed, self._numbered = indices, numbered
        self.update()

    def clear(self) -> None:
        """Show none."""
        self._marks = None
        self.set_pictures(np.zeros((0, 1, 1), np.uint32))

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.9))
        self.update()

    # --- drawing ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title and pictures."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_title(painter)
        if not self.count:
            painter.setPen(QColor(self._look.palette.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 8, -8, -8), flags, self._hint)
            return
        _, height, width = self._pixels.shape
        for index in range(self.count):
            painter.drawImage(
                self.rect_of(index), self._image, QRectF(0, index * height, width, height)
            )
        self._draw_marks(painter)
        self._draw_frames(painter)

    def _draw_frames(self, painter: QPainter) -> None:
        palette = self._look.palette
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(palette.border), 1))
        for index in range(self.count):
            painter.drawRect(self.rect_of(index).adjusted(-0.5, -0.5, 0.5, 0.5))
        for place, index in enumerate(self._framed):
            self._draw_frame_of(painter, index, f"{place + 1}" if self._numbered else "")
        if self.current is not None:
            box = self.rect_of(self.current).adjusted(-1, -1, 1, 1)
            painter.setPen(QPen(QColor(palette.accent), self._look.px(2)))
            painter.drawRect(box)
            if self.hasFocus():
                painter.setPen(QPen(QColor(palette.text), 1, Qt.PenStyle.DotLine))
                painter.drawRect(box.adjusted(-2, -2, 2, 2))

    def _draw_frame_of(self, painter: QPainter, index: int, words: str) -> None:
        if index >= self.count:
            return
        palette, metrics = self._look.palette, self.fontMetrics()
        box = self.rect_of(index).adjusted(-1, -1, 1, 1)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(palette.accent), self._look.px(2)))
        painter.drawRect(box)
        if words:
            width = metrics.horizontalAdvance(words) + self._look.px(6)
            badge = QRectF(box.left(), box.top(), width, metrics.height())
            painter.fillRect(badge, QColor(palette.accent))
            painter.setPen(QColor(palette.panel))
            painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, words)

    def _draw_marks(self, painter: QPainter) -> None:
        marks = self._marks
        if marks is None or marks.shape != self._pixels.shape:
            return
        _, height, width = marks.shape
        side = self.rect_of(0).width() / width
        colour = QColor(self._mark_colour)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour, 1))
        colour.setAlphaF(0.4)
        for index, row, column in np.argwhere(marks).tolist():
            box = self.rect_of(index)
            tall = box.height() / height
            cell = QRectF(box.left() + column * side, box.top() + row * tall, side, tall)
            if side >= self._look.px(OUTLINED_FROM):
                painter.drawRect(cell.adjusted(0.5, 0.5, -0.5, -0.5))
            else:
                painter.fillRect(cell, colour)

    def _title_height(self) -> int:
        return self.fontMetrics().height() + self._look.px(6) if self._title else 0

    def _draw_title(self, painter: QPainter) -> None:
        if not self._title:
            return
        mark, top = self._look.px(8), 0.0
        left = float(self._look.px(2))
        if self.count:
            gap = self._look.px(GAP) / 2
            top = max(0.0, self.rect_of(0).top() - gap - self._title_height())
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

    # --- places -------------------------------------------------------------------------------

    def rect_of(self, index: int) -> QRectF:
        """Where a picture lies."""
        columns, unit = self._tiling()
        _, height, width = self._pixels.shape
        gap = self._look.px(GAP)
        row, column = divmod(index, columns)
        rows = -(-self.count // columns)
        wide, high = width * unit + gap, height * unit + gap
        left = max(0.0, (self.width() - columns * wide) / 2)
        spare = self.height() - self._title_height() - rows * high
        top = self._title_height() + max(spare, 0.0) / 2
        return QRectF(
            left + column * wide + gap / 2, top + row * high + gap / 2, width * unit, height * unit
        )

    def index_at(self, spot: QPointF) -> int | None:
        """The picture under a place."""
        return next((i for i in range(self.count) if self.rect_of(i).contains(spot)), None)

    def _tiling(self) -> tuple[int, float]:
        """Columns, and the side of one cell, that make the pictures largest."""
        count = max(self.count, 1)
        _, height, width = self._pixels.shape
        gap = self._look.px(GAP)
        room_x, room_y = self.width(), max(1, self.height() - self._title_height())
        wanted = (count,) if self._one_row else range(1, count + 1)
        units = {
            c: min((room_x / c - gap) / width, (room_y / -(-count // c) - gap) / height)
            for c in ((self._columns,) if self._columns else wanted)
        }
        columns = max(units, key=lambda c: units[c])
        unit = max(units[columns], 0.2)
        return columns, float(int(unit)) if unit >= 4 else unit

    # --- the user -----------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Report the picture under the pointer; its caption is the tooltip."""
        index = self.index_at(event.position())
        has_words = index is not None and index < len(self._captions)
        self.setToolTip(self._captions[index] if has_words and index is not None else "")
        self.hovered.emit(index)

    def leaveEvent(self, event: QEvent) -> None:
        """The pointer is on nothing any more."""
        self.hovered.emit(None)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the picture under the pointer."""
        self.setFocus()
        index = self.index_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and index is not None:
            self._choose(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrow keys choose a neighbour."""
        columns = self._tiling()[0]
        steps = STEPS | {Qt.Key.Key_Up: -columns, Qt.Key.Key_Down: columns}
        step = steps.get(Qt.Key(event.key()))
        if step is None or not self.count:
            super().keyPressEvent(event)
            return
        to = (self.current or 0) + step
        if 0 <= to < self.count:
            self._choose(to)

    def _choose(self, index: int) -> None:
        self.set_current(index)
        self.chosen.emit(index)
