"""Many small pictures in rows, as large as whole pixels allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look

#: Room between pictures, in pixels at scale 1.
GAP = 5


class ImageGrid(QWidget):
    """Grey or colour pictures on one fixed grey scale.

    Signals:
        hovered: Index of the picture under the pointer, or None.
        clicked: Index of the picture that was clicked.
    """

    hovered = Signal(object)
    clicked = Signal(int)

    def __init__(self, look: Look, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._images: list[QImage] = []
        self._title = ""
        self._colour = ""
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self._images)

    def set_title(self, title: str, colour: str) -> None:
        """A line above the grid, with a coloured mark."""
        self._title, self._colour = title, colour
        self.update()

    def set_pictures(
        self, pictures: npt.NDArray[Any], *, low: float = 0.0, high: float = 1.0
    ) -> None:
        """Show pictures (N, H, W) or (N, C, H, W), black at ``low``, white at ``high``."""
        if pictures.ndim == 4:
            colour = pictures.shape[1] == 3
            pictures = np.moveaxis(pictures, 1, 3) if colour else pictures.mean(1)
        scaled = np.nan_to_num((pictures - low) / max(high - low, 1e-30), posinf=1.0, neginf=0.0)
        self._images = [picture_image(picture) for picture in np.clip(scaled, 0.0, 1.0)]
        self.update()

    def clear(self) -> None:
        """Show none."""
        self._images = []
        self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.9))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title and pictures."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_title(painter)
        for index, image in enumerate(self._images):
            painter.drawImage(self._cell(index), image)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Report the picture under the pointer."""
        self.hovered.emit(self._index_at(event.position()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Report the picture that was clicked."""
        index = self._index_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and index is not None:
            self.clicked.emit(index)

    def _index_at(self, spot: QPointF) -> int | None:
        return next((i for i in range(self.count) if self._cell(i).contains(spot)), None)

    def leaveEvent(self, event: QEvent) -> None:
        """The pointer is on nothing any more."""
        self.hovered.emit(None)
        super().leaveEvent(event)

    def _title_height(self) -> int:
        return self.fontMetrics().height() + self._look.px(6) if self._title else 0

    def _draw_title(self, painter: QPainter) -> None:
        if not self._title:
            return
        mark = self._look.px(8)
        middle = self._title_height() / 2
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._colour))
        painter.drawEllipse(QPointF(mark, middle), mark / 2, mark / 2)
        painter.setPen(self._look.palette.text)
        area = QRectF(2 * mark, 0, max(1, self.width() - 2 * mark), self._title_height())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, self._title)

    def _cell(self, index: int) -> QRectF:
        columns, side = self._tiling()
        left = (self.width() - columns * side) / 2
        row, column = divmod(index, columns)
        rows = -(-self.count // columns)
        spare = self.height() - self._title_height() - rows * side
        top = self._title_height() + max(spare, 0.0) / 2
        inner = side - self._look.px(GAP)
        return QRectF(left + column * side, top + row * side, inner, inner)

    def _tiling(self) -> tuple[int, float]:
        """Columns, and the side of one cell, that make the pictures largest."""
        width, height = self.width(), max(1, self.height() - self._title_height())
        sides = {c: min(width / c, height / -(-self.count // c)) for c in range(1, self.count + 1)}
        columns = max(sides, key=lambda c: sides[c])
        return columns, max(sides[columns], self._look.px(GAP) + 1.0)


def picture_image(picture: npt.NDArray[Any]) -> QImage:
    """A picture (H, W) or (H, W, 3) of 0 … 1 as Qt has it."""
    data = np.ascontiguousarray((255.0 * picture).astype(np.uint8))
    height, width = data.shape[:2]
    grey = data.ndim == 2
    form = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
    return QImage(data.data, width, height, data.strides[0], form).copy()
