"""A slider for a real number, with its symbol and value beside it."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from widgets.controls.calm import CalmSlider
from widgets.look import Look

#: Least width of the slider, pixels at scale 1.
WIDTH = 130


class NumberSlider(QWidget):
    """A number from ``low`` to ``high`` in steps.

    Signals:
        moved: The number, by the user only.
    """

    moved = Signal(float)

    def __init__(
        self, look: Look, symbol: str, ends: tuple[float, float], step: float, tooltip: str
    ) -> None:
        super().__init__()
        self._look, self._symbol = look, symbol
        self._low, self._step = ends[0], step
        self.slider = CalmSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, round((ends[1] - ends[0]) / step))
        self.slider.setToolTip(tooltip)
        self.slider.setAccessibleName(tooltip)
        self.label = QLabel()
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        row.setSpacing(4)
        row.addWidget(self.slider)
        row.addWidget(self.label)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.slider.valueChanged.connect(self._on_moved)
        self.restyle()

    @property
    def value(self) -> float:
        """The number."""
        return round(self._low + self.slider.value() * self._step, 6)

    def set_value(self, value: float) -> None:
        """Show the nearest one without a signal."""
        with QSignalBlocker(self.slider):
            self.slider.setValue(round((value - self._low) / self._step))
        self._write()

    def restyle(self) -> None:
        """Take font and sizes from the look."""
        self.label.setFont(self._look.font(0.9))
        self.label.setStyleSheet(f"color: {self._look.palette.text}; background: transparent")
        self.slider.setFixedWidth(self._look.px(WIDTH))
        widest = f"{self._symbol} = −0.00 "
        self.label.setFixedWidth(self.label.fontMetrics().horizontalAdvance(widest))
        self._write()

    def _write(self) -> None:
        sign = "+" if self._low < 0 < self.value else ""
        self.label.setText(f"{self._symbol} = {sign}{self.value:.2f}".replace("-", "−"))

    def _on_moved(self, _: int) -> None:
        self._write()
        self.moved.emit(self.value)
