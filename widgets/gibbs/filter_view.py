"""The weights of one hidden unit as a picture, on a signed scale that stays, with its legend."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from widgets.look import Look
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.cells import Cells, Pixels, packed_colour
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]

LABEL = "weight: red off, blue on"
#: The scale reaches to this share of all weights; the few that are larger have its end colours.
SHARE = 0.98


class SignedScale:
    """Colours from −end over 0 to end, the same for all filters of a model."""

    def __init__(self) -> None:
        self._ceiling = StickyCeiling()
        self.end = 1.0

    def take(self, weights: Floats) -> None:
        """Make room for weights."""
        finite = np.abs(weights[np.isfinite(weights)])
        if len(finite):
            self.end = self._ceiling.update(float(np.quantile(finite, SHARE))) or 1.0

    def reset(self) -> None:
        """Forget the scale: another model."""
        self._ceiling.reset()
        self.end = 1.0

    def pixels(self, cells: Cells, weights: Floats, look: Look) -> Pixels:
        """Weights (…, D) as cells (…, H, W), the mean over channels."""
        spread = cells.spread(weights.astype(np.float32))
        values = spread.mean(-3)
        shades = table(look.palette.signed)[to_bytes(values, -self.end, self.end)]
        empty = packed_colour(look.palette.raised)
        return np.where(np.isfinite(values), shades, empty).astype(np.uint32)


class FilterView(QWidget):
    """One filter, large, beside the colour scale."""

    def __init__(self, look: Look, scale: SignedScale, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._scale = look, scale
        self.canvas = PixelCanvas(look, parent=self)
        self.bar = ColourBar(look, self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.canvas, 1)
        row.addWidget(self.bar)
        self.setMinimumSize(40, 40)

    def set_filter(self, cells: Cells | None, weights: Floats | None, title: str) -> None:
        """Show the weights (D,) of a unit, or the hint."""
        self.canvas.set_title(title)
        if cells is None or weights is None or len(weights) != cells.size:
            self.canvas.set_cells(None, None)
            return
        self.canvas.set_cells(cells, self._scale.pixels(cells, weights, self._look))
        self._show_scale()

    def _show_scale(self) -> None:
        end = self._scale.end
        colours = table(self._look.palette.signed)
        self.bar.set_scale(colours, -end, end, LABEL, open_top=True, open_bottom=True)

    def set_bare(self, on: bool) -> None:
        """Without the numbers of the scale, where there is little room."""
        self.bar.set_bare(on)

    def restyle(self) -> None:
        """Take fonts and colours from the look."""
        self.canvas.restyle()
        self.bar.restyle()
