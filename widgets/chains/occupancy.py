"""Bars over the valleys of an energy: their exact mass, and the time that chains spend there."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.controls.chips import Chip, ChipRow
from widgets.look import Look
from widgets.panel import Pointed
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]

#: The share of a valley's room that its bars take, and the most valleys that are named.
FULL, MOST_NAMES = 0.8, 16
MOST_GROUPS = 4


class OccupancyBars(QWidget):
    """Groups of bars side by side, one group a valley.

    Signals:
        pointed: A :class:`~widgets.panel.Pointed`, or None.
    """

    pointed = Signal(object)

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._groups: list[tuple[str, str, Floats]] = []
        self._ceiling = StickyCeiling()
        self.legend, self.frame = ChipRow(look), Frame(look)
        self.frame.view.setMouseEnabled(x=False, y=False)
        self.frame.set_names("valley of the energy, heaviest first", "share")
        self._layers = [LinesLayer(z) for z in range(MOST_GROUPS)]
        for layer in self._layers:
            self.frame.add(layer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.legend)
        column.addWidget(self.frame, 1)
        self.setMinimumSize(1, 1)
        self.frame.hovered.connect(self._on_hovered)

    def set_groups(self, groups: list[tuple[str, str, Floats]]) -> None:
        """(words, colour, shares (K,)) of each kind of bar, all of the same valleys."""
        self._groups = groups[:MOST_GROUPS]
        count = max((len(shares) for *_, shares in self._groups), default=0)
        width = FULL / max(len(self._groups), 1)
        for layer in self._layers:
            layer.clear()
        for index, (_, colour, shares) in enumerate(self._groups):
            layer = self._layers[index]
            layer.set_pen(with_alpha(colour, 0.95), 1.0)
            layer.set_fill(with_alpha(colour, 0.55))
            left = np.arange(len(shares)) - FULL / 2 + index * width
            layer.set_lines(_outline(left, width, np.nan_to_num(shares)))
        tops = [float(np.nan_to_num(shares).max(initial=0.0)) for *_, shares in self._groups]
        top = self._ceiling.update(max(tops, default=0.0))
        names = [(float(k), f"{k + 1}") for k in range(min(count, MOST_NAMES))]
        self.frame.grid.getItem(2, 1).setTicks([names])
        self.frame.set_box(Box((-0.6, 0.0), (max(count, 2) - 0.4, 1.04 * top)))
        self.legend.set_chips(tuple(
            Chip(words, "Shares of the late states of all chains in each valley: where they roll "
                 "down to", colour, "dot") for words, colour, _ in self._groups
        ))  # fmt: skip

    def clear(self) -> None:
        """Show none."""
        self._ceiling.reset()
        self.set_groups([])

    def restyle(self) -> None:
        """Take sizes from the look."""
        self.frame.restyle()

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        count = max((len(shares) for *_, shares in self._groups), default=0)
        if place is None or not 0 <= round(place[0]) < count:
            self.pointed.emit(None)
            return
        k = round(place[0])
        rows = tuple((words, f"{shares[k]:.1%}") for words, _, shares in self._groups
                     if k < len(shares))  # fmt: skip
        self.pointed.emit(Pointed(f"Valley {k + 1}", rows))


def _outline(left: Floats, width: float, heights: Floats) -> Floats:
    """(4 K, 2): bars that stand on 0."""
    x = np.stack([left, left, left + width, left + width], 1).ravel()
    zeros = np.zeros_like(heights)
    return np.stack([x, np.stack([zeros, heights, heights, zeros], 1).ravel()], 1)
