"""Upright bars over named places: weights, counts, a histogram's bins."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]


class BarPlot(QWidget):
    """Bars from 0; the upper end of the axis stays on the 1-2-5 grid."""

    def __init__(self, look: Look, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._ceiling = StickyCeiling()
        self._colour = look.palette.model
        self.frame = Frame(look, parent=self)
        self._bars = LinesLayer(1)
        self.frame.add(self._bars)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.frame)
        self._apply_colour()

    def set_bars(self, heights: Floats, *, low: float = 0.0, high: float | None = None) -> None:
        """Bars of equal width from ``low`` to ``high`` (default: one unit each, from 0)."""
        heights = np.where(np.isfinite(heights), heights, 0.0).astype(np.float64)
        end = float(len(heights)) if high is None else high
        top = self._ceiling.update(float(heights.max(initial=0.0)))
        self._bars.set_lines(bar_outline(heights, low, end))
        self.frame.set_box(Box((low, 0.0), (max(end, low + 1e-9), top)))

    def set_colour(self, colour: str) -> None:
        """Colour of the bars."""
        self._colour = colour
        self._apply_colour()

    def clear(self) -> None:
        """Show no bars."""
        self._bars.clear()
        self._ceiling.reset()

    def restyle(self) -> None:
        """Take sizes from the look."""
        self.frame.restyle()

    def _apply_colour(self) -> None:
        self._bars.set_pen(with_alpha(self._colour, 0.9), 1.0)
        self._bars.set_fill(with_alpha(self._colour, 0.35))


def bar_outline(heights: Floats, low: float, high: float, gap: float = 0.0) -> Floats:
    """The outline (4 n, 2) of n bars standing on 0; ``gap`` is the share left free."""
    edges = np.linspace(low, high, len(heights) + 1)
    room = gap * (edges[1:] - edges[:-1]) / 2
    left, right = edges[:-1] + room, edges[1:] - room
    x = np.stack([left, left, right, right], 1).ravel()
    zeros = np.zeros_like(heights)
    return np.stack([x, np.stack([zeros, heights, heights, zeros], 1).ravel()], 1)
