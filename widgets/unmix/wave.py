"""One waveform over time, as the range of the samples behind each pixel, with a play button."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look

#: Pixels at scale 1: the play button with its margin, and the least height.
BUTTON, LEAST_HEIGHT = 26, 46
#: Waveforms reach this many standard deviations before they are cut.
REACH = 6.0


class Wave(QWidget):
    """A title, a number or two in words, a waveform; a click plays it.

    Signals:
        pressed: The user wants to hear it, or no longer.
    """

    pressed = Signal()

    def __init__(self, look: Look, role: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._role = look, role
        self._title = self._words = ""
        self._samples = np.zeros(0, np.float32)
        self._seconds, self._at = 0.0, -1.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.restyle()

    @property
    def samples(self) -> np.ndarray[Any, Any]:
        """(T,), what is shown and played."""
        return self._samples

    def set_wave(self, samples: np.ndarray[Any, Any], rate: int, title: str, words: str) -> None:
        """Show these samples (T,), ``rate`` of them a second."""
        self._samples = np.nan_to_num(np.asarray(samples, np.float32).reshape(-1))
        self._seconds = len(self._samples) / max(rate, 1)
        self._title, self._words = title, words
        self.setAccessibleName(f"{title}: {words}. Press to play.")
        self.setToolTip(f"{title}\n{words}\nClick to play, click again to stop.")
        self.update()

    def show_place(self, seconds: float) -> None:
        """Where it is heard; −1 where it is not."""
        if seconds != self._at:
            self._at = seconds
            self.update()

    def restyle(self) -> None:
        """Take font and sizes from the look."""
        self.setFont(self._look.font(0.9))
        self.setMinimumHeight(self._look.px(LEAST_HEIGHT))
        self.update()

    def sizeHint(self) -> QSize:
        """Room for two dozen pixels on either side of the middle."""
        return QSize(self._look.px(220), self._look.px(70))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Anywhere on it plays or stops."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.pressed.emit()

    def keyPressEvent(self, event: Any) -> None:
        """Return plays or stops."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.pressed.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title and words above, button and waveform below."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, metrics = self._look.palette, self.fontMetrics()
        line = metrics.height()
        painter.setPen(QColor(palette.text))
        room = metrics.elidedText(self._title, Qt.TextElideMode.ElideRight, self.width() // 2)
        painter.drawText(QRectF(0, 0, self.width(), line), Qt.AlignmentFlag.AlignLeft, room)
        painter.setPen(QColor(palette.muted))
        left = self.width() - metrics.horizontalAdvance(room) - self._look.px(8)
        words = metrics.elidedText(self._words, Qt.TextElideMode.ElideRight, left)
        painter.drawText(QRectF(0, 0, self.width(), line), Qt.AlignmentFlag.AlignRight, words)
        area = QRectF(self._look.px(BUTTON), line + 2, self.width() - self._look.px(BUTTON + 2),
                      self.height() - line - 4)  # fmt: skip
        self._draw_button(painter, area)
        if len(self._samples) and area.width() > 2:
            self._draw_wave(painter, area)

    def _draw_button(self, painter: QPainter, area: QRectF) -> None:
        """A triangle, or a square while it plays."""
        half = self._look.px(6)
        middle = QPointF(self._look.px(BUTTON - 4) / 2, area.center().y())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._look.palette.text))
        if self._at >= 0:
            painter.drawRect(QRectF(middle.x() - half, middle.y() - half, 2 * half, 2 * half))
            return
        corners = [(-half, -half), (-half, half), (half, 0)]
        painter.drawPolygon([middle + QPointF(x, y) for x, y in corners])

    def _draw_wave(self, painter: QPainter, area: QRectF) -> None:
        low, high = envelope(self._samples, max(int(area.width()), 1))
        colour = QColor(getattr(self._look.palette, self._role))
        painter.setPen(QPen(QColor(self._look.palette.border), 1.0))
        middle = area.center().y()
        painter.drawLine(QPointF(area.left(), middle), QPointF(area.right(), middle))
        painter.setPen(QPen(colour, 1.0))
        scale = area.height() / (2.0 * REACH)
        for i, (a, b) in enumerate(zip(low, high, strict=True)):
            x = area.left() + i + 0.5
            painter.drawLine(QPointF(x, middle - scale * b - 0.5), QPointF(x, middle - scale * a))
        if self._at >= 0 and self._seconds > 0:
            x = area.left() + area.width() * min(self._at / self._seconds, 1.0)
            painter.setPen(QPen(QColor(self._look.palette.text), 1.5))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))


def envelope(
    samples: np.ndarray[Any, Any], columns: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Lowest and highest sample behind each of so many columns, in standard deviations, cut."""
    columns = min(columns, len(samples))
    edges = np.linspace(0, len(samples), columns + 1).astype(int)[:-1]
    spread = float(samples.std()) or 1.0
    low = np.minimum.reduceat(samples, edges) / spread
    high = np.maximum.reduceat(samples, edges) / spread
    return np.clip(low, -REACH, REACH), np.clip(high, -REACH, REACH)
