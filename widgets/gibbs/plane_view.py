"""A chain of visible units in the plane: where it is, where it has been, and the data behind."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.controls.chips import Chip, ChipRow
from widgets.gibbs.desk import Desk
from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, LinesLayer
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1 of the dots of data, of a chain's way, and of where it stands.
DATA, WAY, NOW = 3.0, 5.0, 11.0
#: Room around the data, as a share of their extent.
MARGIN = 0.15


class PlaneView(QWidget):
    """Data, chains' ways, arrows from a place, on named axes."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._desk: Desk | None = None
        self._fitted = False
        self.legend = ChipRow(look, parent=self)
        self.frame = Frame(look, equal=True, parent=self)
        self.data, self.dots, self.mean, self.now = (DotsLayer(z) for z in (0, 2, 3, 4))
        self.lines = LinesLayer(1)
        for layer in (self.data, self.lines, self.dots, self.mean, self.now):
            self.frame.add(layer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.legend)
        layout.addWidget(self.frame, 1)
        self.setMinimumSize(40, 40)
        self.frame.set_names("v₁", "v₂")

    def open(self, desk: Desk) -> None:
        """Another run: nothing walks yet."""
        self._desk, self._fitted = desk, False
        for layer in (self.data, self.lines, self.dots, self.mean, self.now):
            layer.clear()

    def set_chain(self, way: Floats, mean: Floats, *, is_new: bool) -> None:
        """One chain's places (T, 2) so far, and the mean (2,) that it was last drawn from."""
        self.set_chains(way[:, None], is_new=is_new)
        self.mean.set_dots(Dots(self._look.palette.warning, self._size(WAY), 1.0))
        self.mean.set_points(mean[None])
        palette = self._look.palette
        self._tell(
            ("data", palette.data, "Training observations"),
            ("the chain", palette.model, "Where v has been; the large dot is where it is"),
            ("mean of v given h", palette.warning, "The centre of the Gaussian that v was drawn "
             "from"),
        )  # fmt: skip

    def set_chains(self, ways: Floats, *, is_new: bool = True) -> None:
        """Chains' places (T, N, 2) so far."""
        palette = self._look.palette
        self._show_data(ways)
        n_frames, n_chains, _ = ways.shape
        flat = ways.transpose(1, 0, 2).reshape(-1, 2)
        starts = np.arange(n_chains) * n_frames
        self.lines.set_pen(with_alpha(palette.model, 0.45), 1.2)
        self.lines.set_lines(flat, starts)
        self.dots.set_dots(Dots(palette.model, self._size(WAY), 0.6))
        self.dots.set_points(flat)
        colour = palette.accent if is_new else palette.text
        self.now.set_dots(Dots(colour, self._size(NOW), 1.0))
        self.now.set_points(ways[-1])
        self._tell(
            ("data", palette.data, "Training observations"),
            ("chains", palette.model, "Where each chain has been; large dots are where it is"),
        )

    def set_arrows(self, start: Floats, ends: Floats, chosen: int) -> None:
        """Lines from one place (2,) to others (N, 2), one of which is chosen."""
        palette = self._look.palette
        self._show_data(ends[None])
        points = np.stack([np.broadcast_to(start, ends.shape), ends], 1).reshape(-1, 2)
        self.lines.set_pen(with_alpha(palette.model, 0.9), 1.6)
        self.lines.set_lines(points, 2 * np.arange(len(ends)))
        self.dots.set_dots(Dots(palette.model, self._size(WAY), 1.0))
        self.dots.set_points(ends)
        self.mean.set_dots(Dots(palette.warning, self._size(NOW), 1.0))
        self.mean.set_points(ends[chosen : chosen + 1])
        self.now.set_dots(Dots(palette.accent, self._size(NOW), 1.0))
        self.now.set_points(start[None])
        tip = "Where the mean of v goes when this hidden unit is on"
        self._tell(
            ("data", palette.data, "Training observations"),
            ("mean of v with every hidden unit off", palette.accent, "The visible biases"),
            ("what each hidden unit adds", palette.model, tip),
            ("the chosen unit", palette.warning, tip),
        )

    def _tell(self, *words: tuple[str, str, str]) -> None:
        """The legend: words, colour and tooltip of each kind of dot."""
        self.legend.set_chips(tuple(Chip(text, tip, colour, "dot") for text, colour, tip in words))

    def restyle(self) -> None:
        """Take colours of the axes from the look."""
        self.frame.restyle()

    def _size(self, size: float) -> float:
        return size * self._look.scale * self.devicePixelRatioF()

    def _show_data(self, others: Floats) -> None:
        points = self._desk.points if self._desk is not None else np.zeros((0, 2))
        self.data.set_dots(Dots(self._look.palette.data, self._size(DATA), 0.5))
        self.data.set_points(points)
        if self._fitted or self.frame.user_moved:
            return
        known = points if len(points) else others.reshape(-1, 2)
        if not len(known):
            return
        low, high = known.min(0), known.max(0)
        room = MARGIN * np.maximum(high - low, 1e-3)
        low, high = low - room, high + room
        self.frame.set_box(Box((float(low[0]), float(low[1])), (float(high[0]), float(high[1]))))
        self._fitted = len(points) > 0
