"""Marginals along the top and right edges of a frame, aligned with it pixel by pixel."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.frame import EDGE, TIGHT_EDGE, Frame
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]

THICKNESS = 54


class Strips:
    """Model and truth marginals of both axes, each pair on one scale."""

    def __init__(self, look: Look, frame: Frame) -> None:
        self._look = look
        self._frame = frame
        self._top = frame.new_view(mouse=False)
        self._right = frame.new_view(mouse=False)
        frame.grid.addItem(self._top, 0, 1)
        frame.grid.addItem(self._right, 1, 2)
        self._ceilings = {"x": StickyCeiling(), "y": StickyCeiling()}
        self._tops = {(axis, who): 0.0 for axis in ("x", "y") for who in ("model", "truth")}
        self._layers = {
            (axis, who): LinesLayer(z)
            for axis in ("x", "y")
            for who, z in (("model", 0.0), ("truth", 1.0))
        }
        for key, layer in self._layers.items():
            frame.add(layer, self._top if key[0] == "x" else self._right)
        frame.view.sigRangeChanged.connect(self._follow)

    def set_marginals(self, who: str, x: Floats, y: Floats, box: Box) -> None:
        """Curves of ``"model"`` or ``"truth"`` over the box: x (W,), y (H,)."""
        for axis, values in (("x", x), ("y", y)):
            values = np.where(np.isfinite(values), values, 0.0)
            self._tops[axis, who] = float(values.max(initial=0.0))
            self._ceilings[axis].update(max(self._tops[axis, w] for w in ("model", "truth")))
            side = 0 if axis == "x" else 1
            where = centres(box.low[side], box.high[side], len(values))
            curve = np.stack([where, values], 1)
            self._layers[axis, who].set_lines(curve if axis == "x" else curve[:, ::-1])
        self._follow()

    def clear(self, who: str = "") -> None:
        """Empty the curves of one, or of both."""
        for (axis, own), layer in self._layers.items():
            if who in ("", own):
                layer.clear()
                self._tops[axis, own] = 0.0
        if not who:
            for ceiling in self._ceilings.values():
                ceiling.reset()

    def set_shown(self, on: bool) -> None:
        """Take or give back the room."""
        edge = TIGHT_EDGE if self._frame.is_tight else EDGE
        self._top.setFixedHeight(self._look.px(THICKNESS if on else edge))
        self._right.setFixedWidth(self._look.px(THICKNESS if on else EDGE))
        for layer in self._layers.values():
            layer.setVisible(on)

    def restyle(self) -> None:
        """Take colours from the look."""
        palette = self._look.palette
        for (_, who), layer in self._layers.items():
            colour = palette.model if who == "model" else palette.truth
            layer.set_pen(with_alpha(colour, 1.0), 1.0, dashed=who == "truth")

    def _follow(self, *_: object) -> None:
        (x0, x1), (y0, y1) = self._frame.view.viewRange()
        tops = {axis: 1.08 * (ceiling.value or 1.0) for axis, ceiling in self._ceilings.items()}
        self._top.setRange(xRange=(x0, x1), yRange=(0, tops["x"]), padding=0)
        self._right.setRange(xRange=(0, tops["y"]), yRange=(y0, y1), padding=0)
        for key, layer in self._layers.items():
            layer.set_view((self._top if key[0] == "x" else self._right).viewRect())


def centres(low: float, high: float, count: int) -> Floats:
    """Middles of ``count`` equal cells from ``low`` to ``high``."""
    return low + (np.arange(count) + 0.5) * (high - low) / max(count, 1)
