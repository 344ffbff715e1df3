"""From an answer's log-density to values and a colour scale that stays put."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Answer
from widgets.look import Palette
from widgets.plots.heatmap import Scale
from widgets.plots.layers import Box
from widgets.plots.ranges import StickyCeiling, StickySpan, mass_ceiling

Floats: TypeAlias = npt.NDArray[Any]

#: A logarithmic scale shows this many nats below its top.
LOG_DEPTH = 12.0
#: At most so many grid points a side decide the ceiling.
SUBSAMPLE = 64


class ColourScale:
    """Remembers the ends of the scale between answers."""

    def __init__(self) -> None:
        self._ceiling = StickyCeiling()
        self._top = StickySpan()
        self._span = StickySpan()

    def reset(self) -> None:
        """Forget the ends."""
        for sticky in (self._ceiling, self._top, self._span):
            sticky.reset()

    def apply(self, answer: Answer, palette: Palette, *, log: bool) -> tuple[Floats, Scale]:
        """Values to colour (H, W) and their scale."""
        surface = answer.arrays["log_density"]
        kind, label = str(answer.values.get("kind", "")), str(answer.values.get("label", ""))
        if kind == "critic":
            return surface, self._critic_scale(surface, label, palette)
        relative = answer.values.get("peak") is None
        shift = _highest(surface) if relative else 0.0
        shifted = surface - np.float32(shift)
        if log:
            return shifted, self._log_scale(shifted, palette, relative=relative)
        with np.errstate(over="ignore", invalid="ignore"):
            density = np.exp(shifted)
        if relative:
            return density, Scale(0.0, 1.0, "p(x) / highest p", palette.sequential)
        top = self._ceiling.update(mass_ceiling(_subsample(density)))
        words = "exp of the bound, per unit²" if kind == "bound" else "p(x), per unit²"
        return density, Scale(0.0, top, words, palette.sequential, open_top=True)

    def _log_scale(self, surface: Floats, palette: Palette, *, relative: bool) -> Scale:
        if relative:
            words = "log p(x) − highest, nats"
            return Scale(-LOG_DEPTH, 0.0, words, palette.sequential)
        top = _highest(surface)
        high = self._top.update(top - LOG_DEPTH, top)[1]
        return Scale(high - LOG_DEPTH, high, "log p(x), nats", palette.sequential)

    def _critic_scale(self, surface: Floats, label: str, palette: Palette) -> Scale:
        if "σ" in label:
            return Scale(0.0, 1.0, "critic: chance of real", palette.diverging)
        finite = surface[np.isfinite(surface)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        low, high = self._span.update(float(low), float(high))
        return Scale(low, high, "critic f(x), higher = more real", palette.diverging)


def answer_box(answer: Answer, asked: Box) -> Box:
    """The window that an answer covers: from its pixel centres, or as asked."""
    nodes = answer.arrays.get("x"), answer.arrays.get("y")
    if nodes[0] is None or nodes[1] is None or min(len(nodes[0]), len(nodes[1])) < 2:
        return asked
    (x0, x1), (y0, y1) = (_edges(n) for n in nodes if n is not None)
    return Box((x0, y0), (x1, y1))


def _edges(nodes: Floats) -> tuple[float, float]:
    half = float(nodes[1] - nodes[0]) / 2
    return float(nodes[0]) - half, float(nodes[-1]) + half


def _subsample(density: Floats) -> Floats:
    return density[tuple(slice(None, None, max(1, side // SUBSAMPLE)) for side in density.shape)]


def _highest(surface: Floats) -> float:
    finite = surface[np.isfinite(surface)]
    highest = float(finite.max()) if len(finite) else 0.0
    return highest if math.isfinite(highest) else 0.0
