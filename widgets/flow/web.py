"""A warped grid as short lines, each in the colour of what happens to space there."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import internals
from PySide6.QtCore import QLineF
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from widgets.plots import vector
from widgets.plots.colours import Table
from widgets.plots.layers import Layer

Floats: TypeAlias = npt.NDArray[Any]

#: Colours that are told apart; a pen of its own each.
SHADES = 16
#: Lines that reach farther than so many views away are left out.
FAR = 6.0


class WebLayer(Layer):
    """Lines (G, P, 2) in at most :data:`SHADES` colours, in one paint call."""

    def __init__(self, z: float = 0.0) -> None:
        super().__init__(z)
        self._segments: Floats = np.empty((0, 4))
        self._shades: Floats = np.empty(0, np.int64)
        self._pens: list[QPen] = []

    @property
    def count(self) -> int:
        """How many short lines there are."""
        return len(self._segments)

    @property
    def shades(self) -> Floats:
        """The colour's number of each short line."""
        return self._shades

    def set_lines(self, lines: Floats, levels: npt.NDArray[np.uint8] | None = None) -> None:
        """Show lines (G, P, 2); levels (G, P) from 0 to 255, or all in the first colour."""
        ends = np.concatenate([lines[:, :-1], lines[:, 1:]], -1).reshape(-1, 4)
        finite = np.isfinite(ends).all(1)
        self._segments = np.ascontiguousarray(ends[finite], np.float64)
        self._shades = np.zeros(len(self._segments), np.int64)
        if levels is not None:
            wide = levels.astype(np.int64)
            middle = (wide[:, :-1] + wide[:, 1:]).ravel()[finite]
            self._shades = middle * SHADES // 512
        self.update()

    def set_colours(
        self, colours: Table | None, single: str, opacity: float, width: float
    ) -> None:
        """Take shades from a table of 256, or one colour; width in pixels."""
        if colours is None:
            shades = [QColor(single)]
        else:
            places = (np.arange(SHADES) * 2 + 1) * 256 // (2 * SHADES)
            shades = [QColor(int(colours[place]) & 0xFFFFFF) for place in places]
        self._pens = []
        for shade in shades:
            shade.setAlphaF(opacity)
            pen = QPen(shade, width)
            pen.setCosmetic(True)
            self._pens.append(pen)
        self.update()

    def clear(self) -> None:
        """Draw nothing."""
        self._segments, self._shades = np.empty((0, 4)), np.empty(0, np.int64)
        self.update()

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if not len(self._segments) or not self._pens:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        near = self._near()
        segments, shades = self._segments[near], self._shades[near]
        enlarged = vector.enlargement(painter, widget)
        for shade, pen in enumerate(self._pens):
            own = segments[shades == shade]
            if not len(own):
                continue
            if vector.draws_lines(painter):
                _draw_on_paper(painter, own, pen, self)
                continue
            painter.setPen(vector.enlarged_pen(pen, enlarged))
            lines = internals.PrimitiveArray(QLineF, 4)
            lines.resize(len(own))
            lines.ndarray()[:] = own
            painter.drawLines(*lines.drawargs())

    def _near(self) -> Floats:
        """Which short lines lie near the view: far ones would overflow the painter."""
        view = self._view
        centre = np.array([view.center().x(), view.center().y()] * 2)
        reach = FAR * np.array([view.width(), view.height()] * 2)
        near: Floats = (np.abs(self._segments - centre) <= reach).all(1)
        return near

    @property
    def view(self) -> Any:
        """The rectangle in view."""
        return self._view


def _draw_on_paper(painter: QPainter, segments: Floats, pen: QPen, layer: WebLayer) -> None:
    points = segments.reshape(-1, 2)
    connect = np.zeros(len(points), bool)
    connect[::2] = True
    vector.draw_lines(painter, points, connect, pen, layer.view)
