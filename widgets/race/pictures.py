"""The tiles of a race: from answers to pictures on one colour scale that stays put."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engine.wire.messages import Answer, RunInfo
from widgets.density.face import has_density
from widgets.look import Look
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table
from widgets.plots.layers import Box
from widgets.plots.ranges import StickyCeiling, mass_ceiling
from widgets.race.questions import TRUTH, kind_of
from widgets.race.tiles import Head, TileGrid, binned, binned_1d, mosaic

Floats: TypeAlias = npt.NDArray[Any]

#: Cells a side of binned samples, in two dimensions and in one.
BINS, LINE_BINS = 40, 60
KINDS = {
    "exact": "exact",
    "bound": "exp(bound)",
    "quadrature": "quadrature",
    "energy": "not normalised",
    "truth": "exact",
}
MAP_LABEL, LINE_LABEL = "p(x), per unit²", "p(x)"


class RacePictures(QWidget):
    """Tiles and the one legend beside them.

    Signals:
        chosen: Run of the tile that was clicked; "truth" for the first.
    """

    chosen = Signal(str)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._info: RunInfo | None = None
        self._ceiling = StickyCeiling()
        self._top = 1.0
        self._truth_known = False
        self._values: dict[str, tuple[Floats, str]] = {}
        self.tiles = TileGrid(look, self)
        self.bar = ColourBar(look, self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.tiles, 1)
        row.addWidget(self.bar)
        self.tiles.chosen.connect(self.chosen)
        self.restyle()

    @property
    def ceiling(self) -> float:
        """The value at the upper end of the scale, the same in all tiles."""
        return self._top

    def open(self, heads: dict[str, Head]) -> None:
        """Show these tiles, the truth first."""
        known = set(self.tiles.keys)
        truth = Head("truth", self._look.palette.truth, ("", ""))
        self.tiles.set_tiles({TRUTH: truth} | heads)
        if not known & set(heads):
            self._forget()

    def set_info(self, info: RunInfo) -> None:
        """What kind of data all racers have."""
        if self._info is not None and self._info.data == info.data:
            return
        self._info = info
        kind, data = kind_of(info), info.data
        names = data.columns or data.event.axes
        if kind == "line":
            self._show_line_axes()
        elif kind == "picture":
            self.tiles.set_axes(Box((0.0, 0.0), (1.0, 1.0)), ("", ""), bare=True)
        else:
            low, high = (data.low[0], data.low[1]), (data.high[0], data.high[1])
            pair = (names[0], names[1]) if len(names) > 1 else ("x₁", "x₂")
            self.tiles.set_axes(Box(low, high), pair)
        is_known = data.has_density and data.event.size <= 2
        facts = ("known density", "") if is_known else ("density unknown", "")
        title = "truth" if is_known else "data"
        role = self._look.palette.truth if is_known else self._look.palette.data
        self.tiles.set_head(TRUTH, Head(title, role, facts, tooltip="What all racers learn"))
        self.bar.setVisible(kind in ("map", "table"))

    def show_answer(self, key: str, info: RunInfo, answer: Answer) -> None:
        """Draw an answer to a tile's question."""
        kind = kind_of(info)
        if kind == "picture":
            self._show_mosaic(key, answer)
        elif kind == "line":
            self._show_line(key, info, answer)
        elif "log_density" in answer.arrays:
            with np.errstate(over="ignore", invalid="ignore"):
                density = np.exp(answer.arrays["log_density"])
            self._take(key, density, KINDS.get(str(answer.values.get("kind", "")), ""))
        elif "points" in answer.arrays:
            low, high = info.data.low, info.data.high
            box = Box((low[0], low[1]), (high[0], high[1]))
            density = binned(answer.arrays["points"][:, :2], box, BINS)
            self._take(key, density, _sample_words(key, info))

    def clear(self) -> None:
        """No tiles."""
        self.tiles.clear()
        self._forget()

    def restyle(self) -> None:
        """Take colours from the look and colour everything anew."""
        self.tiles.restyle()
        self.bar.restyle()
        self._recolour()

    # --- maps ---------------------------------------------------------------------------------

    def _take(self, key: str, density: Floats, words: str) -> None:
        self._values[key] = density, words
        top = mass_ceiling(density[:: max(1, len(density) // 64), :: max(1, len(density) // 64)])
        is_truth = key == TRUTH and self._info is not None and self._info.data.has_density
        if is_truth:
            self._truth_known = True
            self._ceiling.reset()
        if is_truth or not self._truth_known:
            # Before the truth is there, or where it is unknown, the highest model decides.
            top = self._ceiling.update(max(top, 0.0 if is_truth else self._ceiling.value))
            if top != self._top:
                self._top = top
                self._recolour()
                return
        self._colour(key)

    def _recolour(self) -> None:
        colours = table(self._look.palette.sequential)
        self.bar.set_scale(colours, 0.0, self._top, MAP_LABEL, open_top=True)
        for key in self._values:
            self._colour(key)

    def _colour(self, key: str) -> None:
        density, words = self._values[key]
        colours = table(self._look.palette.sequential)
        self.tiles.set_picture(key, density, colours, (0.0, self._top), words)

    # --- one dimension and pictures -----------------------------------------------------------

    def _show_line_axes(self) -> None:
        if self._info is not None:
            low, high = self._info.data.low[0], self._info.data.high[0]
            names = self._info.data.columns or ("x",)
            self.tiles.set_axes(Box((low, 0.0), (high, self._top)), (names[0], LINE_LABEL))

    def _show_line(self, key: str, info: RunInfo, answer: Answer) -> None:
        if "log_density" in answer.arrays:
            x = np.asarray(answer.arrays["x"], np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                curve = np.stack([x, np.exp(answer.arrays["log_density"].astype(np.float64))], 1)
            words = KINDS.get(str(answer.values.get("kind", "")), "")
        else:
            points = answer.arrays["points"][:, 0]
            curve = binned_1d(points, info.data.low[0], info.data.high[0], LINE_BINS)
            words = _sample_words(key, info)
        finite = curve[np.isfinite(curve).all(1), 1]
        top = float(np.quantile(finite, 0.99)) * 1.05 if len(finite) else 0.0
        if key == TRUTH or not self._truth_known:
            self._truth_known = self._truth_known or (key == TRUTH and info.data.has_density)
            wanted = self._ceiling.update(max(top, self._ceiling.value))
            if wanted != self._top:
                self._top = wanted
                self._show_line_axes()
        self.tiles.set_curve(key, curve, words)

    def _show_mosaic(self, key: str, answer: Answer) -> None:
        pictures = answer.arrays.get("samples", answer.arrays.get("examples"))
        if pictures is None or not len(pictures):
            return
        grey = np.asarray(pictures, np.float32)
        grey = grey.mean(1) if grey.ndim == 4 else grey
        words = "" if key == TRUTH else "samples"
        self.tiles.set_picture(key, mosaic(grey), table("CET-L1"), (0.0, 1.0), words)

    def _forget(self) -> None:
        self._info, self._values, self._truth_known = None, {}, False
        self._ceiling.reset()
        self._top = 1.0
        self.bar.hide()


def _sample_words(key: str, info: RunInfo) -> str:
    if key == TRUTH:
        return "binned data"
    return "binned samples" if has_density(info.card) else "samples only"
