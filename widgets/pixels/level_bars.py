"""One conditional: bars over all levels, the value that was drawn marked; or a density's curve."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.bars import bar_outline
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]

#: Share of a bar left free, up to so many levels.
BAR_GAP, GAPS_UP_TO = 0.2, 64
#: Levels that are numbered at the axis.
MOST_TICKS = 6


class LevelBars(QWidget):
    """Bars from 0 over the levels 0 … k − 1; a click on a bar chooses its level.

    Signals:
        picked: The level that was clicked (a float for real values).
    """

    picked = Signal(float)

    def __init__(self, look: Look, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._ceiling = StickyCeiling()
        self._levels = 0
        self._given: tuple[Floats, Floats | None] | None = None
        self._value: float | None = None
        self._words = self._tip = ""
        self.heading = QLabel(self)
        self.heading.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.frame = Frame(look, parent=self)
        self.frame.view.setMouseEnabled(x=False, y=False)
        self.layers = {
            name: LinesLayer(z) for z, name in enumerate(("pin", "bars", "ghost", "mark"))
        }
        for layer in self.layers.values():
            self.frame.add(layer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.heading)
        layout.addWidget(self.frame, 1)
        self.frame.clicked.connect(self._on_clicked)
        self.setMinimumSize(60, 60)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.restyle()

    @property
    def heights(self) -> Floats:
        """The probabilities that are shown."""
        return np.zeros(0) if self._given is None else self._given[0]

    @property
    def value(self) -> float | None:
        """The value that is marked."""
        return self._value

    def set_heading(self, text: str, tooltip: str = "") -> None:
        """Whose conditional it is, and its entropy."""
        self._words, self._tip = text, tooltip
        self._write_heading()

    def set_levels(
        self, probabilities: Floats, value: float | None, ghost: Floats | None = None
    ) -> None:
        """Bars (k,), the level that is marked, and what was drawn from where that differs."""
        self.frame.set_names("level x", "probability")
        self._levels = len(probabilities)
        self._tick(self._levels)
        self._given, self._value = (probabilities, ghost), value
        both = [probabilities] if ghost is None else [probabilities, ghost]
        top = self._ceiling.update(float(max(p.max(initial=0.0) for p in both)))
        gap = BAR_GAP if self._levels <= GAPS_UP_TO else 0.0
        low, high = -0.5, self._levels - 0.5
        self.layers["bars"].set_lines(bar_outline(probabilities, low, high, gap))
        self._draw_ghost(ghost, gap)
        self._draw_value(probabilities, gap)
        self._draw_pin(top)
        self.frame.set_box(Box((low, 0.0), (high, top)))

    def set_curve(self, nodes: Floats, density: Floats, value: float | None) -> None:
        """The density of a real value over nodes (P,)."""
        self.frame.set_names("value x", "density")
        self._levels = 0
        self._tick(0)
        self._given, self._value = (density, None), value
        top = self._ceiling.update(float(np.nan_to_num(density, posinf=0.0).max(initial=0.0)))
        self.layers["bars"].set_lines(np.stack([nodes, density], 1))
        self.layers["ghost"].clear()
        self.layers["mark"].clear()
        if value is not None:
            height = float(np.interp(value, nodes, density))
            self.layers["mark"].set_lines(np.array([[value, 0.0], [value, height]]))
        self._draw_pin(top)
        self.frame.set_box(Box((float(nodes[0]), 0.0), (float(nodes[-1]), top)))

    def clear(self) -> None:
        """Show nothing; the axis stays."""
        self._given, self._value = None, None
        self.set_heading("")
        for layer in self.layers.values():
            layer.clear()

    def forget_axis(self) -> None:
        """Another run: the axis is taken anew."""
        self._ceiling.reset()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        palette = self._look.palette
        self.heading.setFont(self._look.font(0.9))
        self.heading.setStyleSheet(f"color: {palette.text}; background: transparent")
        bars, ghost, mark = (self.layers[name] for name in ("bars", "ghost", "mark"))
        self.layers["pin"].set_pen(with_alpha(palette.accent, 0.7), 1.0, dashed=True)
        bars.set_pen(with_alpha(palette.model, 0.9), 1.0)
        bars.set_fill(with_alpha(palette.model, 0.4))
        ghost.set_pen(QColor(palette.text), 1.0, dashed=True)
        mark.set_pen(QColor(palette.accent), 1.0)
        mark.set_fill(QColor(palette.accent))
        self.frame.restyle()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut the heading where there is little room."""
        super().resizeEvent(event)
        self._write_heading()

    def _write_heading(self) -> None:
        text = self.heading.fontMetrics().elidedText(
            self._words, Qt.TextElideMode.ElideRight, max(self.width() - 4, 1)
        )
        self.heading.setText(text)
        self.heading.setToolTip(f"{self._words}\n{self._tip}".strip())

    def _draw_ghost(self, ghost: Floats | None, gap: float) -> None:
        if ghost is None:
            self.layers["ghost"].clear()
        else:
            self.layers["ghost"].set_lines(bar_outline(ghost, -0.5, self._levels - 0.5, gap))

    def _tick(self, levels: int) -> None:
        """Whole levels at the axis; real values are left to the axis."""
        step = next((s for s in (1, 2, 5, 10, 20, 50) if levels <= MOST_TICKS * s), 100)
        ticks = [[(float(level), f"{level}") for level in range(0, levels, step)]]
        self.frame.grid.getItem(2, 1).setTicks(ticks if levels else None)

    def _draw_pin(self, top: float) -> None:
        """A line up through the value, which may itself be all but impossible."""
        pin = self.layers["pin"]
        if self._value is None:
            pin.clear()
        else:
            pin.set_lines(np.array([[self._value, 0.0], [self._value, top]]))

    def _draw_value(self, probabilities: Floats, gap: float) -> None:
        level = -1 if self._value is None else round(self._value)
        if not 0 <= level < self._levels:
            self.layers["mark"].clear()
            return
        bar = bar_outline(probabilities[level : level + 1], level - 0.5, level + 0.5, gap)
        self.layers["mark"].set_lines(bar)

    def _on_clicked(self, place: tuple[float, float]) -> None:
        if self._given is None:
            return
        if not self._levels:
            self.picked.emit(float(place[0]))
            return
        level = round(place[0])
        if 0 <= level < self._levels:
            self.picked.emit(float(level))
