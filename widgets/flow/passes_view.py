"""Passes as boxes that fill one after the other: each waits for the one before."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look

#: Pixels at scale 1: height of the boxes, room below a row, least width of a box of its own.
BOXES, BELOW, BOX_FROM = 24, 16, 5


@dataclass(frozen=True)
class Row:
    """One way through the layers.

    Attributes:
        title: What it is good for.
        passes: Per layer, data first.
        backwards: Whether it goes from the base to the data.
    """

    title: str
    passes: tuple[int, ...]
    backwards: bool = False

    @property
    def total(self) -> int:
        """All passes, which wait for one another."""
        return sum(self.passes)

    def done(self, place: int) -> tuple[int, ...]:
        """Per layer the passes that are done after so many."""
        left, found = place, [0] * len(self.passes)
        ways = range(len(self.passes))
        for index in reversed(ways) if self.backwards else ways:
            found[index] = min(left, self.passes[index])
            left -= found[index]
        return tuple(found)


class PassesView(QWidget):
    """Rows of layers, data at the left; headings between rows where given."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.rows: tuple[tuple[str, Row | None], ...] = ()
        self.names: tuple[str, ...] = ()
        self.place = 0
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.restyle()

    def set_rows(self, names: tuple[str, ...], rows: tuple[tuple[str, Row | None], ...]) -> None:
        """Show rows, or headings where there is none."""
        self.names, self.rows = names, rows
        told = (f"{r.title}: {r.total} passes" if r is not None else h for h, r in rows)
        self.setAccessibleName("; ".join(told))
        self.updateGeometry()
        self.update()

    def set_place(self, place: int) -> None:
        """So many passes have gone by."""
        self.place = place
        self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.9))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """All rows."""
        return QSize(self._look.px(320), round(sum(self._height(r) for _, r in self.rows)) + 4)

    def minimumSizeHint(self) -> QSize:
        """All rows; a scroll area holds what is too high."""
        return QSize(1, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Row by row."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top = 0.0
        for heading, row in self.rows:
            if row is None:
                painter.setFont(self._look.font(0.9, bold=True))
                painter.setPen(QColor(self._look.palette.text))
                area = QRectF(0, top, self.width(), self._height(None))
                painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, heading)
                painter.setFont(self.font())
            else:
                self._draw_row(painter, top, row)
            top += self._height(row)

    def _height(self, row: Row | None) -> float:
        line, px = self.fontMetrics().height(), self._look.px
        return line + px(8) if row is None else line + px(BOXES) + px(BELOW)

    def _draw_row(self, painter: QPainter, top: float, row: Row) -> None:
        palette, px = self._look.palette, self._look.px
        line = self.fontMetrics().height()
        done = row.done(self.place)
        ready = sum(done) == row.total
        count = f"{sum(done)} of {row.total} passes" + (" ✓" if ready else "")
        area = QRectF(0, top, self.width(), line)
        metrics = self.fontMetrics()
        room = self.width() - metrics.horizontalAdvance(count) - px(8)
        title = metrics.elidedText(row.title, Qt.TextElideMode.ElideRight, room)
        painter.setPen(QColor(palette.text))
        painter.drawText(area, Qt.AlignmentFlag.AlignLeft, title)
        painter.setPen(QColor(palette.good if ready else palette.muted))
        painter.drawText(area, Qt.AlignmentFlag.AlignRight, count)
        shown = [index for index, n in enumerate(row.passes) if n]
        wide = self.width() / max(len(shown), 1)
        gap = min(px(4), 0.3 * wide)
        for slot, index in enumerate(shown):
            area = QRectF(slot * wide, top + line + px(2), wide - gap, px(BOXES))
            self._draw_layer(painter, area, row.passes[index], done[index])

    def _draw_layer(self, painter: QPainter, area: QRectF, total: int, done: int) -> None:
        """A box per pass, or where they are too many one that fills and says how many."""
        palette = self._look.palette
        apart = area.width() / total >= self._look.px(BOX_FROM)
        painter.setPen(QPen(QColor(palette.border), 1.0))
        full, empty = QColor(palette.model), QColor(palette.raised)
        if apart:
            wide = area.width() / total
            for index in range(total):
                painter.setBrush(full if index < done else empty)
                painter.drawRect(
                    QRectF(area.left() + index * wide, area.top(), wide, area.height())
                )
            return
        painter.setBrush(empty)
        painter.drawRect(area)
        painter.setBrush(full)
        painter.drawRect(
            QRectF(area.left(), area.top(), area.width() * done / total, area.height())
        )
        painter.setPen(QColor(palette.text))
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, f"{total}")
