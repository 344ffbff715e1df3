"""Outside: the energy as a score of what is unlike the data, beside a classifier's doubt."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.chains.desk import Desk
from widgets.chains.mode import Mode
from widgets.controls.chips import Chip
from widgets.figures import fixed
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.image_grid import ImageGrid

Floats: TypeAlias = npt.NDArray[Any]

N, N_PICTURES, BINS = 500, 16, 40
#: The plot ends at this share of all energies; what lies beyond is counted in the last bin.
SHOWN = 0.95
HELD_OUT = "held-out data"
TIPS = {
    "independent values": "Each value from another event: every one alone is the data's",
    "noise": "Uniform between the data's least and greatest value",
    "two at once": "The mean of two events",
}
BEYOND = "What lies beyond the right end is counted in the last bin"
NO_DATA = "There are no observations here: a target stands in the place of the data."
AREA_TIP = (
    "AUROC: the chance that an event of this kind has a higher score than a held-out one, ± its "
    "standard error; ½ where the score cannot tell them apart. Above, the energy; below, the "
    "doubt 1 − max p(y|x) of a classifier"
)


class OutsideMode(Mode):
    """Histograms of both scores, the areas as chips, and the events themselves."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.energy = CurvePlot(look, wrap_legend=True)
        self.unsure = CurvePlot(look, wrap_legend=True)
        self.side = QWidget()
        self.grids: dict[str, ImageGrid] = {}
        self._answer: Answer | None = None
        self._build()

    def _build(self) -> None:
        row, left = QHBoxLayout(), QVBoxLayout()
        row.setSpacing(10)
        for plot, name in ((self.energy, "energy E(x), nats"), (self.unsure, "1 − max p(y|x)")):
            plot.set_names(name, "share of events")
            plot.set_pinned(y=0.0)
            plot.set_fit("whole")
            plot.setMinimumSize(1, 1)
            left.addWidget(plot, 1)
        self.energy.hovered.connect(self._on_hovered)
        pictures = QVBoxLayout(self.side)
        pictures.setContentsMargins(0, 0, 0, 0)
        for name in ("typical", "odd", *TIPS):
            grid = self.grids[name] = ImageGrid(self.look)
            grid.setMinimumSize(1, 1)
            grid.setToolTip(TIPS.get(name, "Held-out data, by their energy"))
            pictures.addWidget(grid, 1)
        row.addLayout(left, 3)
        row.addWidget(self.side, 2)
        self.column.addLayout(row, 1)
        self.unsure.hide()
        self.side.hide()

    def refusal(self) -> str:
        """A target has no observations."""
        return NO_DATA if self.desk.has_target else ""

    def open(self) -> None:
        """Another run: nothing is known."""
        self._answer = None
        for plot in (self.energy, self.unsure):
            plot.clear()
        for grid in self.grids.values():
            grid.clear()
        self.unsure.hide()
        self.side.hide()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Both scores of data and of what lies outside them."""
        info = self.desk.info
        is_picture = info is not None and info.data.event.kind == "picture"
        about: dict[str, Value] = {"n": N, "n_pictures": N_PICTURES if is_picture else 0}
        return {"outside": Question("outliers", about)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """The scores as they are now."""
        if part == "outside" and "energy" in answer.arrays:
            self._answer = answer
            self._draw()

    def chips(self) -> tuple[Chip, ...]:
        """What was compared."""
        if self._answer is None:
            return ()
        n, split = self._answer.values.get("n"), self._answer.values.get("split")
        words = f"{n} events of the {split} split, and as many of each kind outside"
        return (Chip(words, AREA_TIP, self.look.palette.data, "dot", framed=True),)

    # --- drawing ------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        names = self._answer.values.get("names") if self._answer is not None else None
        return [str(name) for name in names] if isinstance(names, list) else []

    def _colour(self, name: str) -> str:
        palette = self.look.palette
        colours = dict(zip(TIPS, (palette.model, palette.muted, palette.error), strict=True))
        return colours.get(name, palette.data)

    def _area(self, name: str, index: int) -> tuple[str, str]:
        """Such as 0.981 and 0.004, in words."""
        values = self._answer.values if self._answer is not None else {}
        areas, errors = values.get(name), values.get(f"{name}_error")
        if not isinstance(areas, list) or not isinstance(errors, list):
            return "?", "?"
        if not 0 <= index < min(len(areas), len(errors)):
            return "?", "?"
        return fixed(float(areas[index]), 3), fixed(float(errors[index]), 3)

    def _draw(self) -> None:
        if self._answer is None:
            return
        arrays = self._answer.arrays
        self._draw_scores(self.energy, np.asarray(arrays["energy"], np.float64), "auroc")
        unsure = arrays.get("unsure")
        self.unsure.setVisible(unsure is not None)
        if unsure is not None:
            self._draw_scores(self.unsure, np.asarray(unsure, np.float64), "auroc_unsure")
        self._draw_pictures(arrays)
        self.chips_changed.emit()

    def _draw_scores(self, plot: CurvePlot, rows: Floats, area: str) -> None:
        finite = rows[np.isfinite(rows)]
        names = [HELD_OUT, *self._names()]
        if rows.ndim != 2 or len(rows) != len(names) or not finite.size:
            plot.clear()
            return
        low = float(finite.min())
        own = rows[0][np.isfinite(rows[0])]
        high = max(float(np.quantile(finite, SHOWN)), float(own.max(initial=low)))
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        for index, (name, row) in enumerate(zip(names, rows, strict=True)):
            heights, _ = np.histogram(np.clip(row, edges[0], edges[-1]), edges)
            y = np.repeat(heights / max(len(row), 1), 2)
            held_out = name == HELD_OUT
            found, error = self._area(area, index - 1)
            label = name if held_out else f"{name}, AUROC {found}"
            tip = "" if held_out else f"AUROC {found} ± {error}. "
            tip += (
                f"{TIPS.get(name, 'As they are')}. What lies beyond the right end is counted in "
            )
            tip += f"the last bin. {AREA_TIP}"
            plot.set_curve(name, np.repeat(edges, 2), np.concatenate([[0.0], y, [0.0]]), Stroke(
                label, self._colour(name), 2.0 if held_out else 1.4, dashed=not held_out,
                filled=0.3 if held_out else 0.0, thinned=False, tooltip=tip))  # fmt: skip
        plot.set_x_range((float(edges[0]), float(edges[-1])))
        plot.fit()

    def _draw_pictures(self, arrays: dict[str, Floats]) -> None:
        pictures = arrays.get("pictures")
        shown = pictures is not None and pictures.ndim == 5
        self.side.setVisible(shown)
        if pictures is None or not shown:
            return
        low, high = float(pictures[0].min()), float(pictures[0].max())
        rows = {"typical": arrays["typical"], "odd": arrays["odd"]}
        titles = {
            "typical": "Held-out data, least energy",
            "odd": "Held-out data, greatest energy",
        }
        rows |= dict(zip(self._names(), pictures[1:], strict=False))
        for name, events in rows.items():
            grid = self.grids.get(name)
            if grid is not None and np.asarray(events).ndim == 4:
                grid.set_title(titles.get(name, name), self._colour(name))
                grid.set_pictures(events, low=low, high=high)

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        """Which share of each kind lies above an energy."""
        if place is None or self._answer is None:
            self.pointed.emit(None)
            return
        rows = np.asarray(self._answer.arrays["energy"], np.float64)
        names = [HELD_OUT, *self._names()]
        shares = tuple(
            (name, f"{float(np.mean(row > place[0])):.1%} above")
            for name, row in zip(names, rows, strict=False)
        )
        self.pointed.emit(Pointed(f"E(x) = {fixed(place[0], 2)} nats", shares))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.energy.restyle()
        self.unsure.restyle()
        for grid in self.grids.values():
            grid.restyle()
        self._draw()
