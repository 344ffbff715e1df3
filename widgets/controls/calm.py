"""Qt's inputs with better manners: they scroll only with the focus, and show numbers shortly."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QValidator, QWheelEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSlider, QSpinBox

from widgets.look import Look


class Switch(QCheckBox):
    """A check box drawn as a sliding switch."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        """Twice as wide as high."""
        return QSize(self._look.px(30), self._look.px(22))

    def hitButton(self, position: object) -> bool:  # noqa: N802 - Qt's
        """All of it can be clicked."""
        return True

    def paintEvent(self, event: QPaintEvent) -> None:
        """A pill with a knob, left for off and right for on."""
        palette, px = self._look.palette, self._look.px
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pill = QRectF(1, (self.height() - px(16)) / 2, px(28), px(16))
        on = self.isChecked()
        border = palette.accent if on or self.hasFocus() else palette.muted
        painter.setPen(QPen(QColor(border), 1.5 if self.hasFocus() else 1))
        painter.setBrush(QColor(palette.accent if on else palette.raised))
        painter.drawRoundedRect(pill, px(8), px(8))
        x = pill.right() - px(8) if on else pill.left() + px(8)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(palette.panel if on else palette.muted))
        painter.drawEllipse(QPointF(x, pill.center().y()), px(10) / 2, px(10) / 2)


class CalmSpinBox(QSpinBox):
    """Scrolls only with the focus, so that scrolling a form changes nothing by accident."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the form unless this has the focus."""
        super().wheelEvent(event) if self.hasFocus() else event.ignore()


class NumberBox(QDoubleSpinBox):
    """Numbers over many decades: as many digits as they need, in short form."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(12)

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's
        """Six digits at most."""
        return f"{value:.6g}"

    def valueFromText(self, text: str) -> float:  # noqa: N802 - Qt's
        """Any way of writing a number."""
        return float(text)

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Numbers such as 1e-3 are welcome while they are being typed."""
        try:
            inside = self.minimum() <= float(text) <= self.maximum()
        except ValueError:
            typing = set(text.lower()) <= set("0123456789+-.e ")
            state = QValidator.State.Intermediate if typing else QValidator.State.Invalid
            return state, text, position
        state = QValidator.State.Acceptable if inside else QValidator.State.Intermediate
        return state, text, position

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the form unless this has the focus."""
        super().wheelEvent(event) if self.hasFocus() else event.ignore()


class CalmSlider(QSlider):
    """Scrolls only with the focus."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the form unless this has the focus."""
        super().wheelEvent(event) if self.hasFocus() else event.ignore()


class CalmComboBox(QComboBox):
    """Scrolls only with the focus."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the form unless this has the focus."""
        super().wheelEvent(event) if self.hasFocus() else event.ignore()
