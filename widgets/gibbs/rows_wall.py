"""Rows of pictures with numbered columns: each row one chain, each column some sweeps later."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter

from widgets.pixels.wall import PictureWall


class RowsWall(PictureWall):
    """A wall whose columns carry words above them."""

    _heads: tuple[str, ...] = ()
    _words = ""

    def set_heads(self, title: str, heads: tuple[str, ...]) -> None:
        """A line above all, and words above each column; those without room are left out."""
        self._words, self._heads = title, heads
        self.setAccessibleName(f"{title}: {', '.join(heads)}")
        self.update()

    def _title_height(self) -> int:
        return 2 * self.fontMetrics().height() + self._look.px(4)

    def _draw_title(self, painter: QPainter) -> None:
        palette, line = self._look.palette, self.fontMetrics().height()
        first = self.rect_of(0)
        top = max(0.0, first.top() - self._title_height()) if self.count else 0.0
        painter.setPen(QColor(palette.text))
        words = self.fontMetrics().elidedText(
            self._words, Qt.TextElideMode.ElideRight, max(self.width(), 1)
        )
        left = max(0.0, first.left() if self.count else 0.0)
        painter.drawText(QRectF(left, top, self.width() - left, line), words)
        if not self.count:
            return
        painter.setPen(QColor(palette.muted))
        free = -1.0
        for index, head in enumerate(self._heads[: self._columns]):
            box = self.rect_of(index)
            wide = self.fontMetrics().horizontalAdvance(head)
            start = box.center().x() - wide / 2
            if start > free and start + wide <= self.width():
                area = QRectF(start, box.top() - line - 1, wide + 2, line)
                painter.drawText(area, head)
                free = start + wide + self._look.px(6)
