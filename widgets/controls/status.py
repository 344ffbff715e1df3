"""Device, speed of training and of pictures, for the status bar."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from widgets.look import Look


class StatusLine(QWidget):
    """Three short facts, each with a tooltip."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.device = self._label("Where the model trains")
        self.rate = self._label("Training steps per second")
        self.frames = self._label("Density pictures per second, and how long the latest one took")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 6, 0)
        row.setSpacing(14)
        for label in (self.device, self.rate, self.frames):
            row.addWidget(label)
        look.changed.connect(self.restyle)
        self.restyle()

    def set_device(self, text: str) -> None:
        """Name of the device."""
        self.device.setText(text)

    def set_rate(self, steps_per_second: float) -> None:
        """Training speed; 0 is shown as nothing."""
        rate = f"{steps_per_second:,.0f} steps/s".replace(",", " ")
        self.rate.setText(rate if steps_per_second >= 1 else "")

    def set_frames(self, per_second: float, milliseconds: float) -> None:
        """Speed of pictures."""
        self.frames.setText(f"{per_second:.0f} pictures/s · {milliseconds:.0f} ms")

    def restyle(self) -> None:
        """Take colours from the look."""
        for label in (self.device, self.rate, self.frames):
            label.setFont(self._look.font(0.92))
            label.setStyleSheet(f"color: {self._look.palette.muted}")

    def _label(self, tooltip: str) -> QLabel:
        label = QLabel(self)
        label.setToolTip(tooltip)
        return label
