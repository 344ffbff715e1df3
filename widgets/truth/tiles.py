"""Numbers large enough to be read from the last row: title with unit, value, error, kind."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.look import Look
from widgets.truth.words import Reading

#: Pixels at scale 1: least width of a tile, gap between tiles, room within one, round corners.
LEAST_WIDTH, GAP, PADDING, RADIUS = 152, 6, 8, 6
#: Sizes of the lines of a tile, as multiples of the body text.
TITLE, VALUE, ERROR, KIND = 0.86, 1.5, 0.9, 0.8
#: How strongly a tile that needs attention takes its colour.
TINT = 0.22


class Tiles(QWidget):
    """Tiles in as few rows as the width allows; each has a tooltip."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._readings: tuple[Reading, ...] = ()
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What is shown."""
        return self._readings

    def show_readings(self, readings: tuple[Reading, ...]) -> None:
        """Show these, in this order."""
        if readings == self._readings:
            return
        resized = len(readings) != len(self._readings)
        self._readings = readings
        self.setAccessibleName(", ".join(f"{r.title} {r.value} {r.error}" for r in readings))
        if resized:
            self.updateGeometry()
        self.update()

    def restyle(self) -> None:
        """Take fonts from the look."""
        self.updateGeometry()
        self.update()

    def n_columns(self, width: float) -> int:
        """Tiles in a row; rows are as even as can be."""
        count = max(1, len(self._readings))
        most = max(1, int((width + self._px(GAP)) // (self._px(LEAST_WIDTH) + self._px(GAP))))
        return math.ceil(count / math.ceil(count / most))

    def sizeHint(self) -> QSize:
        """As wide as it gets, as high as its rows."""
        return QSize(self._px(300), self.heightForWidth(max(self.width(), 1)))

    def minimumSizeHint(self) -> QSize:
        """As high as its rows at the present width."""
        return QSize(1, self.heightForWidth(max(self.width(), 1)))

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's
        """As many rows as it takes."""
        if not self._readings:
            return 0
        rows = math.ceil(len(self._readings) / self.n_columns(width))
        return round(rows * self._tile_height() + (rows - 1) * self._px(GAP))

    def areas(self) -> list[tuple[QRectF, Reading]]:
        """Where each tile lies."""
        columns, gap = self.n_columns(self.width()), float(self._px(GAP))
        wide, high = (self.width() - gap * (columns - 1)) / columns, self._tile_height()
        places = [
            QRectF((i % columns) * (wide + gap), (i // columns) * (high + gap), wide, high)
            for i in range(len(self._readings))
        ]
        if places:
            # The last row is filled: a hole would look like something missing.
            places[-1].setRight(self.width())
        return list(zip(places, self._readings, strict=True))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the tiles."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for area, reading in self.areas():
            self._draw(painter, area, reading)

    def event(self, event: QEvent) -> bool:
        """Tooltips belong to single tiles."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            spot = QPointF(event.pos())
            found = next((r for area, r in self.areas() if area.contains(spot)), None)
            text = "" if found is None else _explain(found)
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    # --- drawing ------------------------------------------------------------------------------

    def _px(self, size: float) -> int:
        return self._look.px(size)

    def _fonts(self) -> tuple[QFont, QFont, QFont, QFont]:
        look = self._look
        return (look.font(TITLE), look.font(VALUE, bold=True), look.font(ERROR), look.font(KIND))

    def _tile_height(self) -> float:
        title, value, _, kind = (QFontMetricsF(font).height() for font in self._fonts())
        return title + value + kind + 1.5 * self._px(PADDING)

    def _draw(self, painter: QPainter, area: QRectF, reading: Reading) -> None:
        palette = self._look.palette
        alarm = reading.role in ("error", "warning")
        colour = QColor(getattr(palette, reading.role))
        painter.setPen(QPen(colour if alarm else QColor(palette.border), 1.5 if alarm else 1.0))
        painter.setBrush(QColor(palette.raised))
        box = area.adjusted(1.0, 1.0, -1.0, -1.0)
        painter.drawRoundedRect(box, self._px(RADIUS), self._px(RADIUS))
        if alarm:
            colour.setAlphaF(TINT)
            painter.setBrush(colour)
            painter.drawRoundedRect(box, self._px(RADIUS), self._px(RADIUS))
        pad = self._px(PADDING)
        self._write(painter, area.adjusted(pad, 0.6 * pad, -pad, -0.6 * pad), reading)

    def _write(self, painter: QPainter, area: QRectF, reading: Reading) -> None:
        palette = self._look.palette
        title, value, error, kind = self._fonts()
        top = _line(painter, area, area.top(), title, reading.title, palette.muted)
        taken = QFontMetricsF(value).horizontalAdvance(reading.value) + self._px(6)
        colour = getattr(palette, reading.role)
        bottom = _line(painter, area, top, value, reading.value, colour)
        room = area.adjusted(taken, 0.0, 0.0, 0.0)
        drop = QFontMetricsF(value).ascent() - QFontMetricsF(error).ascent()
        if room.width() > self._px(20):
            _line(painter, room, top + drop, error, reading.error, palette.text)
        _line(painter, area, bottom, kind, reading.kind, palette.muted)


def _line(
    painter: QPainter, area: QRectF, top: float, font: QFont, text: str, colour: str
) -> float:
    """One line of text, cut short where there is no room; returns where the next one begins."""
    metrics = QFontMetricsF(font)
    painter.setFont(font)
    painter.setPen(QColor(colour))
    cut = metrics.elidedText(text, Qt.TextElideMode.ElideRight, area.width())
    painter.drawText(QPointF(area.left(), top + metrics.ascent()), cut)
    return top + metrics.height()


def _explain(reading: Reading) -> str:
    head = f"{reading.title}: {reading.value} {reading.error}".rstrip()
    return f"{head}\n{reading.kind}\n{reading.tooltip}"
