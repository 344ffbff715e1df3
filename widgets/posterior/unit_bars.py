"""Bars over units, living and dead ones in two colours, with a threshold and the units' names."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]

#: Lowest end of a logarithmic axis, as a power of ten; what is below it has no height.
LOWEST = -6.0
#: Names that have room at the axis; fewer bars than this leave room at the right.
MOST_NAMES, FEWEST = 24, 6
GAP = 0.25


class UnitBars(QWidget):
    """Upright bars, one per unit; a logarithmic axis where small values matter.

    Signals:
        hovered: Index of the bar under the pointer, or None.
    """

    hovered = Signal(object)

    def __init__(self, look: Look, name: str, *, log: bool = False) -> None:
        super().__init__()
        self._look, self._log, self._name = look, log, name
        self._ceiling = StickyCeiling()
        self._values: Floats = np.zeros(0)
        self.frame = Frame(look)
        self.frame.view.setMouseEnabled(x=False, y=False)
        self.layers = {name: LinesLayer(z) for z, name in enumerate(("alive", "dead", "line"))}
        for layer in self.layers.values():
            self.frame.add(layer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.frame)
        self.frame.hovered.connect(self._on_hovered)
        self.setMinimumSize(80, 50)
        self.restyle()

    @property
    def values(self) -> Floats:
        """What is shown."""
        return self._values

    def set_units(
        self, values: Floats, dead: npt.NDArray[np.bool_], names: tuple[str, ...],
        threshold: float | None = None,
    ) -> None:  # fmt: skip
        """Bars (U,) in this order; ``threshold`` is drawn across."""
        self._values = values
        self.frame.set_names("unit", self._name)
        finite = np.where(np.isfinite(values), values, 0.0)
        heights = self._placed(finite)
        if self._log:
            high = float(np.ceil(max(heights.max(initial=0.0), -LOWEST) + 0.15))
        else:
            high = self._ceiling.update(float(heights.max(initial=0.0)))
        for layer, chosen in (("alive", ~dead), ("dead", dead)):
            self.layers[layer].set_lines(_outline(heights, chosen))
        self._tick(names)
        count = max(len(values), FEWEST)
        # Shares of one KL may lie below 0 where levels are inferred from the data up.
        low = min(0.0, 1.04 * float(heights.min(initial=0.0)))
        self.frame.set_box(Box((-0.6, low), (count - 0.4, 1.04 * high)))
        if threshold is None:
            self.layers["line"].clear()
        else:
            at = float(self._placed(np.array([threshold]))[0])
            self.layers["line"].set_lines(np.array([[-0.6, at], [count - 0.4, at]]))

    def set_name(self, name: str) -> None:
        """What stands at the axis from the next bars on."""
        self._name = name

    def clear(self) -> None:
        """Show nothing; the axis is taken anew."""
        self._values = np.zeros(0)
        self._ceiling.reset()
        for layer in self.layers.values():
            layer.clear()

    def restyle(self) -> None:
        """Take colours from the look."""
        palette = self._look.palette
        for name, colour in (("alive", palette.model), ("dead", palette.error)):
            self.layers[name].set_pen(with_alpha(colour, 0.95), 1.0)
            self.layers[name].set_fill(with_alpha(colour, 0.45))
        self.layers["line"].set_pen(QColor(palette.warning), 1.0, dashed=True)
        self.frame.restyle()

    def _placed(self, values: Floats) -> Floats:
        """Heights above the lower end of the axis: powers of ten, or the values themselves."""
        if not self._log:
            return values
        return np.asarray(np.log10(np.maximum(values, 10.0**LOWEST)) - LOWEST)

    def _tick(self, names: tuple[str, ...]) -> None:
        """Names at the axis, every so many where there are too many."""
        step = max(1, -(-len(names) // MOST_NAMES))
        ticks = [[(float(i), name) for i, name in enumerate(names) if i % step == 0]]
        self.frame.grid.getItem(2, 1).setTicks(ticks)
        if self._log:
            powers = range(0, 20, 2)
            self.frame.grid.getItem(1, 0).setTicks(
                [[(float(i), _power(i + int(LOWEST))) for i in powers]]
            )

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        index = None if place is None else round(place[0])
        inside = index is not None and 0 <= index < len(self._values)
        self.hovered.emit(index if inside else None)


def _power(exponent: int) -> str:
    """Such as 1, 0.01 or 10⁻⁴."""
    if exponent >= -2:
        return f"{10.0**exponent:g}"
    return "10" + f"{exponent}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _outline(heights: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """The outlines (4 n, 2) of the chosen bars, standing on 0 so that they can be filled."""
    at, half = np.flatnonzero(chosen).astype(np.float64), 0.5 * (1.0 - GAP)
    x = np.stack([at - half, at - half, at + half, at + half], 1).ravel()
    tall, zero = heights[chosen], np.zeros(len(at))
    return np.stack([x, np.stack([zero, tall, tall, zero], 1).ravel()], 1)
