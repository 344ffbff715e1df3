"""A number per value, over the cells, with its colour scale beside it."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from widgets.look import Look
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.cells import Cells, Mask, packed_colour
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes
from widgets.plots.ranges import StickySpan

Floats: TypeAlias = npt.NDArray[Any]

#: Height at scale 1 below which the scale has no numbers.
BARE_BELOW = 120


class MapView(QWidget):
    """Cells coloured by a number each; of several channels the sum is drawn."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._span = StickySpan()
        self._given: tuple[Any, ...] | None = None
        self.values: Floats = np.zeros(0)
        self.canvas = PixelCanvas(look, parent=self)
        self.bar = ColourBar(look, self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        row.addWidget(self.canvas, 1)
        row.addWidget(self.bar)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.bar.hide()
        self.bar.restyle()

    def set_map(
        self,
        cells: Cells,
        values: Floats,
        there: Mask,
        label: str,
        ends: tuple[float, float] | None = None,
    ) -> None:
        """Show values (D,) where they are there; ``ends`` fix the scale, else it is sticky."""
        self._given = cells, values, there, label, ends
        self.values = np.where(there, values, np.nan)
        shown = cells.spread(np.where(there, np.nan_to_num(values), 0.0)).sum(0)
        has = cells.any_channel(there)
        low, high = ends if ends is not None else self._sticky(shown, has)
        colours = table(self._look.palette.sequential)
        pixels = colours[to_bytes(shown.astype(np.float32), low, high)]
        empty = packed_colour(self._look.palette.raised)
        self.canvas.set_cells(cells, np.where(has, pixels, empty))
        over = bool((shown[has] > high).any()) if has.any() else False
        self.bar.set_scale(colours, low, high, label, open_top=over)
        self.bar.show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where it is low the scale goes without its numbers; the tooltip has them."""
        super().resizeEvent(event)
        self.bar.set_bare(self.height() < self._look.px(BARE_BELOW))

    def clear(self) -> None:
        """Show nothing."""
        self._given = None
        self._span.reset()
        self.canvas.clear()
        self.bar.hide()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.canvas.restyle()
        self.bar.restyle()
        if self._given is not None:
            self.set_map(*self._given)

    def _sticky(self, shown: Floats, has: Mask) -> tuple[float, float]:
        values = shown[has]
        values = values[np.isfinite(values)]
        if not len(values):
            return (self._span.low, self._span.high) if self._span.is_set else (0.0, 1.0)
        return self._span.update(min(0.0, float(values.min())), float(values.max()))


def entropy_ends(cells: Cells) -> tuple[float, float] | None:
    """0 … ln k nats of one value, times the channels; None for real values."""
    if cells.levels is None:
        return None
    return 0.0, cells.channels * math.log(max(cells.levels, 2))
