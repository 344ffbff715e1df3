"""An autoregressive model at one point: each conditional's shape, and where the event lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.curves import CurvePlot, Stroke

Floats: TypeAlias = npt.NDArray[Any]

#: Least height of one conditional, pixels at scale 1.
HEIGHT = 128


class ConditionalCurves(QWidget):
    """One plot per coordinate, in the order in which they are generated."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.plots: list[CurvePlot] = []
        self._given: tuple[Floats, Floats, Floats, tuple[str, ...]] | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)

    def set_conditionals(
        self, nodes: Floats, density: Floats, at: Floats, names: Sequence[str]
    ) -> None:
        """Densities (D, P) over nodes (D, P), and the event's own values (D,)."""
        self._given = nodes, density, at, tuple(names)
        self._fit_count(len(nodes))
        for place, plot in enumerate(self.plots):
            self._draw(plot, place)

    def restyle(self) -> None:
        """Take colours from the look."""
        for plot in self.plots:
            plot.restyle()
            plot.setMinimumHeight(self._look.px(HEIGHT))
        if self._given is not None:
            self.set_conditionals(*self._given)

    def _fit_count(self, count: int) -> None:
        while len(self.plots) > count:
            plot = self.plots.pop()
            self._column.removeWidget(plot)
            plot.deleteLater()
        while len(self.plots) < count:
            plot = CurvePlot(self._look)
            plot.set_pinned(y=0.0)
            plot.set_fit("whole")
            plot.setMinimumHeight(self._look.px(HEIGHT))
            self.plots.append(plot)
            self._column.addWidget(plot, 1)

    def _draw(self, plot: CurvePlot, place: int) -> None:
        if self._given is None:
            return
        nodes, density, at, names = self._given
        palette = self._look.palette
        own = names[place]
        given = ", ".join(f"{n} = {v:.3g}" for n, v in zip(names[:place], at, strict=False))
        if place > 2:
            given = f"{place} before"
        title = f"p({own} | {given})" if place else f"p({own})"
        plot.set_names(own, "density, per unit")
        words = "The model's exact conditional density along this coordinate"
        curve = Stroke(title.replace("-", "−"), palette.model, 1.8, filled=0.18, tooltip=words)
        finite = np.where(np.isfinite(density[place]), density[place], np.nan)
        plot.set_curve("conditional", nodes[place], finite, curve)
        height = float(np.interp(at[place], nodes[place], np.nan_to_num(density[place])))
        label = f"{own} = {at[place]:.4g}".replace("-", "−")
        mark = Stroke(label, palette.text, 1.6, dashed=True, tooltip="The chosen point's value")
        plot.set_curve("at", np.full(2, at[place]), np.array([0.0, height]), mark)
        plot.fit()
