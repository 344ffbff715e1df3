"""Pictures in rows and columns with words beside them: lattices, traversals, neighbours."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look
from widgets.pixels.cells import Pixels

Spot: TypeAlias = tuple[int, int]

#: Pixels at scale 1: room between pictures, and the least side of one with words beside it.
GAP, WORDS_FROM = 3, 9
ARROWS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


class PictureTable(QWidget):
    """Pictures (R, S, H, W) as 0xAARRGGBB.

    Signals:
        hovered: (row, column) under the pointer, or None.
        chosen: (row, column) that was clicked, or reached with the arrow keys.
    """

    hovered = Signal(object)
    chosen = Signal(object)

    def __init__(self, look: Look, *, tight: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._tight = look, tight
        self._shape = (0, 0)
        self._sides = (1, 1)
        self._image = QImage()
        self._rows: tuple[str, ...] = ()
        self._columns: tuple[str, ...] = ()
        self._title, self._colour, self._hint = "", "", ""
        self.current: Spot | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.restyle()

    @property
    def shape(self) -> Spot:
        """Rows and columns."""
        return self._shape

    def set_title(self, title: str, colour: str = "") -> None:
        """A line above, with a coloured mark."""
        if (title, colour) != (self._title, self._colour):
            self._title, self._colour = title, colour
            self.setAccessibleName(title)
            self.update()

    def set_hint(self, hint: str) -> None:
        """Words in the middle while there is nothing to show."""
        self._hint = hint
        self.update()

    def set_pictures(
        self, pixels: Pixels, rows: tuple[str, ...] = (), columns: tuple[str, ...] = ()
    ) -> None:
        """Show these, with words at the left of rows and below columns."""
        n, m, height, width = pixels.shape
        self._shape, self._sides = (n, m), (height, width)
        sheet = np.ascontiguousarray(pixels.transpose(0, 2, 1, 3).reshape(n * height, m * width))
        sheet = sheet.astype(np.uint32, copy=False)
        form = QImage.Format.Format_ARGB32
        self._image = QImage()
        if sheet.size:
            self._image = QImage(sheet.data, m * width, n * height, 4 * m * width, form).copy()
        self._rows, self._columns = rows, columns
        self.update()

    def set_current(self, spot: Spot | None) -> None:
        """Frame one picture; emits nothing."""
        self.current = spot
        self.update()

    def clear(self) -> None:
        """Show none."""
        self._shape, self._image, self.current = (0, 0), QImage(), None
        self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.85))
        self.update()

    # --- places -------------------------------------------------------------------------------

    def rect_of(self, row: int, column: int) -> QRectF:
        """Where one picture lies."""
        left, top, wide, high = self._tiling()
        gap = 0.0 if self._tight else float(self._look.px(GAP))
        return QRectF(left + column * wide, top + row * high, wide - gap, high - gap)

    def spot_at(self, place: QPointF) -> Spot | None:
        """Row and column under a place."""
        left, top, wide, high = self._tiling()
        if not self._shape[0] or place.x() < left or place.y() < top:
            return None
        row, column = int((place.y() - top) / high), int((place.x() - left) / wide)
        return (row, column) if row < self._shape[0] and column < self._shape[1] else None

    def _tiling(self) -> tuple[float, float, float, float]:
        """Left and top of the first picture, and the distance to the next one in both ways."""
        metrics, px = self.fontMetrics(), self._look.px
        title = metrics.height() + px(6) if self._title else 0
        words = max((metrics.horizontalAdvance(word) for word in self._rows), default=0)
        left = words + px(6) if words else 0
        below = metrics.height() + px(3) if self._columns else 0
        n, m = max(self._shape[0], 1), max(self._shape[1], 1)
        height, width = self._sides
        room_x = max(self.width() - left - 2, 1)
        room_y = max(self.height() - title - below - 2, 1)
        scale = min(room_x / (m * width), room_y / (n * height))
        wide, high = scale * width, scale * height
        spare_x, spare_y = max(room_x - m * wide, 0), max(room_y - n * high, 0)
        return left + spare_x / 2, title + spare_y / 2, max(wide, 1e-6), max(high, 1e-6)

    # --- drawing ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title, pictures, words, and the frame of the chosen one."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_title(painter)
        if self._image.isNull():
            painter.setPen(QColor(self._look.palette.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 8, -8, -8), flags, self._hint)
            return
        height, width = self._sides
        for row in range(self._shape[0]):
            for column in range(self._shape[1]):
                source = QRectF(column * width, row * height, width, height)
                painter.drawImage(self.rect_of(row, column), self._image, source)
        self._draw_words(painter)
        if self.current is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(self._look.palette.accent), self._look.px(2)))
            painter.drawRect(self.rect_of(*self.current))

    def _draw_title(self, painter: QPainter) -> None:
        if not self._title:
            return
        mark, metrics = self._look.px(8), self.fontMetrics()
        height = metrics.height() + self._look.px(6)
        box = self.rect_of(0, 0) if self._shape[0] else QRectF()
        left, top = box.left() + self._look.px(2), max(box.top() - height, 0.0)
        if self._colour:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._colour))
            painter.drawEllipse(QPointF(left + mark, top + height / 2), mark / 2, mark / 2)
            left += 2.0 * mark
        painter.setPen(QColor(self._look.palette.text))
        area = QRectF(left, top, max(1.0, self.width() - left), height)
        text = metrics.elidedText(self._title, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, text)

    def _draw_words(self, painter: QPainter) -> None:
        painter.setPen(QColor(self._look.palette.muted))
        metrics, px = self.fontMetrics(), self._look.px
        high = self.rect_of(0, 0).height()
        every = max(1, round(metrics.height() / max(high, 1e-6)))
        for row, word in enumerate(self._rows[: self._shape[0] : every]):
            box = self.rect_of(row * every, 0)
            area = QRectF(0, box.center().y() - px(9), box.left() - px(5), px(18))
            flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(area, flags, word)
        wide = self.rect_of(0, 0).width() + px(4)
        longest = max((metrics.horizontalAdvance(word) for word in self._columns), default=0)
        every = max(1, -(-longest // max(int(wide), 1)))
        for column in range(0, min(len(self._columns), self._shape[1]), every):
            box = self.rect_of(self._shape[0] - 1, column)
            area = QRectF(box.center().x() - longest, box.bottom() + px(2), 2 * longest, px(16))
            painter.drawText(area, Qt.AlignmentFlag.AlignHCenter, self._columns[column])

    # --- the user -----------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Report the picture under the pointer."""
        self.hovered.emit(self.spot_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """The pointer is on nothing any more."""
        self.hovered.emit(None)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the picture under the pointer."""
        self.setFocus()
        spot = self.spot_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and spot is not None:
            self.set_current(spot)
            self.chosen.emit(spot)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrow keys choose the next picture."""
        move = ARROWS.get(Qt.Key(event.key()))
        if move is None or not self._shape[0]:
            super().keyPressEvent(event)
            return
        row, column = self.current or (0, 0)
        row = min(max(row + move[0], 0), self._shape[0] - 1)
        column = min(max(column + move[1], 0), self._shape[1] - 1)
        self.set_current((row, column))
        self.chosen.emit((row, column))
