"""A cloud of points on named axes, with nothing behind it."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer
from widgets.plots.splat import Dots


class PointPlot(QWidget):
    """Named clouds, one colour each or one colour per point.

    Signals:
        hovered: ``(x, y)`` or None.
    """

    hovered = Signal(object)

    def __init__(self, look: Look, *, equal: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._clouds: dict[str, DotsLayer] = {}
        self.frame = Frame(look, equal=equal, parent=self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.frame)
        self.frame.hovered.connect(self.hovered)

    def set_points(self, name: str, points: npt.NDArray[Any], dots: Dots) -> None:
        """Draw or replace a cloud (N, 2)."""
        if name not in self._clouds:
            self._clouds[name] = DotsLayer(len(self._clouds))
            self.frame.add(self._clouds[name])
        self._clouds[name].set_dots(dots)
        self._clouds[name].set_points(points)

    def set_box(self, box: Box) -> None:
        """Show this box."""
        self.frame.set_box(box)

    def clear(self) -> None:
        """Take all clouds away."""
        for layer in self._clouds.values():
            self.frame.remove(layer)
        self._clouds = {}

    def restyle(self) -> None:
        """Take colours of the axes from the look."""
        self.frame.restyle()
