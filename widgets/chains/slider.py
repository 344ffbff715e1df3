"""A slider for a positive number on a logarithmic scale, or a whole one, with its value beside."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from widgets.controls.calm import CalmSlider
from widgets.figures import number
from widgets.look import Look

#: Places of the slider from end to end of a logarithmic scale.
PLACES = 200


@dataclass(frozen=True)
class Scale:
    """What a slider sets.

    Attributes:
        name: Of the setting.
        symbol: As it is written beside the slider.
        low, high: The ends.
        tooltip: What it is, with its symbol and unit.
        whole: Whole numbers on a linear scale, instead of a logarithmic one.
    """

    name: str
    symbol: str
    low: float
    high: float
    tooltip: str
    whole: bool = False

    def value_at(self, place: int) -> float:
        """The number at a place of the slider, with three digits."""
        if self.whole:
            return self.low + place
        share = place / PLACES
        exact = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return float(f"{exact:.3g}")

    def place_of(self, value: float) -> int:
        """The nearest place."""
        if self.whole:
            return round(value - self.low)
        inside = min(max(value, self.low), self.high)
        return round(PLACES * math.log(inside / self.low) / math.log(self.high / self.low))

    @property
    def n_places(self) -> int:
        """The last place."""
        return round(self.high - self.low) if self.whole else PLACES


class ScaleSlider(QWidget):
    """One setting.

    Signals:
        moved: (name, value), by the user only.
    """

    moved = Signal(str, object)

    def __init__(self, look: Look, scale: Scale) -> None:
        super().__init__()
        self._look, self.scale = look, scale
        self._value = scale.low
        self.label, self.slider = QLabel(), CalmSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, scale.n_places)
        self.slider.setMinimumWidth(40)
        for part in (self, self.slider, self.label):
            part.setToolTip(scale.tooltip)
        self.slider.setAccessibleName(scale.tooltip)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.label)
        row.addWidget(self.slider, 1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.slider.valueChanged.connect(self._on_moved)
        self.restyle()

    @property
    def value(self) -> float:
        """The number."""
        return self._value

    def set_value(self, value: float) -> None:
        """Show a number without a signal; it is kept as it is."""
        self._value = value
        with QSignalBlocker(self.slider):
            self.slider.setValue(self.scale.place_of(value))
        self._write()

    def restyle(self) -> None:
        """Take font and sizes from the look."""
        self.label.setFont(self._look.font(0.9))
        self.label.setStyleSheet(f"color: {self._look.palette.text}; background: transparent")
        widest = f"{self.scale.symbol} = 0.00555"
        self.label.setFixedWidth(self.label.fontMetrics().horizontalAdvance(widest))
        self._write()

    def _write(self) -> None:
        self.label.setText(f"{self.scale.symbol} = {number(self._value, 3)}")

    def _on_moved(self, place: int) -> None:
        self._value = self.scale.value_at(place)
        self._write()
        self.moved.emit(self.scale.name, self._value)
