"""A small picture over the plane with a title: one of several side by side."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.colours import Table, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, ImageLayer, LinesLayer
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]


class SmallMap(QWidget):
    """A grid of values through a colour table, contours and dots over it.

    Signals:
        hovered: (x, y) or None.
    """

    hovered = Signal(object)

    def __init__(self, look: Look, tooltip: str = "") -> None:
        super().__init__()
        self._look = look
        self.title, self.frame = QLabel(), Frame(look, equal=True)
        self.title.setWordWrap(True)
        self.title.setToolTip(tooltip)
        self.image, self.lines, self.dots = ImageLayer(0), LinesLayer(2), DotsLayer(5)
        for layer in (self.image, self.lines, self.dots):
            self.frame.add(layer)
        self._values: tuple[Floats, Box] | None = None
        self._home: Box | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.title)
        column.addWidget(self.frame, 1)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumSize(1, 1)
        self.frame.hovered.connect(self.hovered)
        self.frame.reset_requested.connect(self._go_home)
        self.restyle()

    def set_title(self, text: str) -> None:
        """The line above the picture."""
        self.title.setText(text)

    def set_values(
        self, values: Floats, box: Box, colours: Table, ends: tuple[float, float]
    ) -> None:
        """A grid (H, W), rows from low to high y; NaN counts as the low end."""
        self._values = values, box
        self.image.set_image(to_bytes(values.astype(np.float32), *ends), colours, box)
        if box != self._home:
            self._home = box
            self._go_home()

    def set_lines(self, points: Floats, starts: npt.NDArray[Any]) -> None:
        """Contours, as an energy's answer has them."""
        self.lines.set_lines(points, starts)

    def set_dots(self, points: Floats, colour: str, colours: Floats | None = None) -> None:
        """Dots (N, 2) in one colour, or in one each (N, 3)."""
        many = len(points) > 800
        size = (2.6 if many else 5.0) * self._look.scale * self.devicePixelRatioF()
        self.dots.set_dots(
            Dots(colour, size, 0.9, colours, self._look.palette.panel, 0.45 if many else 0.0)
        )
        self.dots.set_points(points)

    def value_at(self, place: tuple[float, float]) -> float | None:
        """The nearest grid value, or None outside."""
        if self._values is None:
            return None
        values, box = self._values
        shares = (np.asarray(place) - box.low) / (np.asarray(box.high) - box.low)
        if not ((shares >= 0) & (shares < 1)).all():
            return None
        column, row = (shares * values.shape[::-1]).astype(int)
        return float(values[row, column])

    def clear(self) -> None:
        """Show nothing."""
        self._values = None
        for layer in (self.image, self.lines, self.dots):
            layer.clear()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        palette = self._look.palette
        self.title.setFont(self._look.font(0.88))
        self.title.setStyleSheet(f"color: {palette.text}; background: transparent")
        self.lines.set_pen(with_alpha(palette.text, 0.25), 1.0)
        self.frame.restyle()

    def _go_home(self) -> None:
        self.frame.user_moved = False
        if self._home is not None:
            self.frame.set_box(self._home)


def box_of(x: Floats, y: Floats) -> Box:
    """The box whose cells have these middles."""
    dx, dy = (float(nodes[-1] - nodes[0]) / max(len(nodes) - 1, 1) for nodes in (x, y))
    return Box((float(x[0]) - dx / 2, float(y[0]) - dy / 2),
               (float(x[-1]) + dx / 2, float(y[-1]) + dy / 2))  # fmt: skip
