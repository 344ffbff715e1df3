"""Filters: the weights of every hidden unit as pictures, its bias, and how often it is on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.figures import fixed
from widgets.gibbs.desk import Desk
from widgets.gibbs.filter_view import FilterView, SignedScale
from widgets.gibbs.page import Page
from widgets.gibbs.plane_view import PlaneView
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.mode import lay_out
from widgets.pixels.wall import PictureWall
from widgets.plots.bars import bar_outline
from widgets.plots.curves import CurvePlot, Stroke

Floats = npt.NDArray[np.float64]

ORDERS = (("strongest first", "norm"), ("most active first", "activity"), ("as numbered", "unit"))
#: A unit whose probability to be on varies less than this from one observation to the next.
DEAD_BELOW = 0.01
#: Filters that are drawn at most, the first of the order.
MOST_FILTERS = 400
FILTERS = "filters"


class FiltersPage(Page):
    """W's columns, sorted."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.wall, self.plane = PictureWall(look, parent=self), PlaneView(look, self)
        self.scale = SignedScale()
        self.filter = FilterView(look, self.scale, self)
        self.activity, self.biases = (CurvePlot(look, parent=self) for _ in range(2))
        self._answer: Answer | None = None
        self._by, self._layer, self.unit = "norm", 1, 0
        self._order: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._build()

    def _build(self) -> None:
        self.tools.add_choice("by", "The order of the hidden units: length of their weights, mean "
                              "activity over the data, or number")  # fmt: skip
        self.tools.set_choices("by", ORDERS)
        self.tools.add_choice("layer", "Which layer of hidden units; filters of higher ones are "
                              "drawn through the layers below, W₁W₂…")  # fmt: skip
        self.activity.set_names("unit, in the order shown", "mean p(on)")
        self.biases.set_names("unit, in the order shown", "hidden bias c, nats")
        self.activity.set_pinned(x=-0.5, y=0.0)
        self.biases.set_pinned(x=-0.5)
        for plot in (self.activity, self.biases):
            plot.frame.clicked.connect(self._on_clicked)
        self.tools.chosen.connect(self._on_chosen)
        self.wall.chosen.connect(self._on_picture)
        self.arrange(self.shape)

    def arrange(self, shape: str) -> None:
        """The filters with one of them large, activity and biases beside or below."""
        main: QWidget = self.plane if self.desk.is_plane else self.wall
        self.wall.setVisible(main is self.wall)
        self.plane.setVisible(main is self.plane)
        self.filter.setVisible(main is self.wall)
        rows: tuple[tuple[QWidget, ...], ...]
        if main is self.plane:
            rows = ((main, self.activity), (main, self.biases))
            lay_out(self.grid, rows, (1, 1), (3, 2))
        elif shape == "tall":
            rows = ((main, main), (self.filter, self.activity), (self.filter, self.biases))
            lay_out(self.grid, rows, (4, 2, 2), (1, 1))
        else:
            rows = ((main, self.filter), (main, self.activity), (main, self.biases))
            lay_out(self.grid, rows, (1, 1, 1), (3, 2))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._answer, self.unit = None, 0
        self.scale.reset()
        self.wall.clear()
        self.wall.set_hint("The filters are on their way …")
        self.plane.open(self.desk)
        self.filter.set_filter(None, None, "")
        self.activity.clear()
        self.biases.clear()
        n_layers = max(1, len(self.desk.widths))
        self._layer = min(self._layer, n_layers)
        entries = tuple((f"layer {n + 1}", n + 1) for n in range(n_layers))
        self.tools.set_choices("layer", entries)
        self.tools.set_choice("layer", self._layer)
        self.tools.show_choice("layer", n_layers > 1)
        self.arrange(self.shape)

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Weights, biases and activity."""
        wanted: dict[str, Value] = {"n_data": 2000 if rest else 500, "layer": self._layer}
        return {FILTERS: Question("gibbs_filters", wanted)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw them."""
        if part == FILTERS and "filters" in answer.arrays:
            self._answer = answer
            self.scale.take(answer.arrays["filters"])
            self._draw()

    def save(self) -> dict[str, Value]:
        """Order, layer, and the unit that is looked at."""
        return {"filters_by": self._by, "filters_layer": self._layer, "filters_unit": self.unit}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        if state.get("filters_by") in [name for _, name in ORDERS]:
            self._by = str(state["filters_by"])
            self.tools.set_choice("by", self._by)
        for key, name, least in (("filters_layer", "_layer", 1), ("filters_unit", "unit", 0)):
            value = state.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value >= least:
                setattr(self, name, value)
        self.tools.set_choice("layer", self._layer)
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        if self._answer is None:
            return
        arrays = self._answer.arrays
        keys = {"norm": -arrays["norms"], "activity": -arrays["activity"]}
        n = len(arrays["norms"])
        key = keys.get(self._by, np.arange(n))
        self._order = np.argsort(key, kind="stable").astype(np.int64)
        self.unit = min(self.unit, n - 1)
        self._draw_filters(arrays["filters"])
        self._draw_curves()
        if self.desk.is_plane and "directions" in arrays:
            centre = arrays["centre"]
            self.plane.set_arrows(centre, centre + arrays["directions"], self.unit)
        self.chips_changed.emit()

    def _draw_filters(self, filters: npt.NDArray[np.float32]) -> None:
        cells = self.desk.cells
        if cells is None or self.desk.is_plane or filters.shape[1] != cells.size:
            return
        shown = self._order[:MOST_FILTERS]
        pixels = self.scale.pixels(cells, filters[shown], self.look)
        self.wall.set_pictures(pixels, tuple(self._words(int(unit)) for unit in shown))
        more = len(self._order) - len(shown)
        title = f"weights of {len(shown)} hidden units" + (f", {more} more" if more else "")
        self.wall.set_title(f"{title}; framed: dead")
        dead = self._dead()
        self.wall.set_framed(tuple(i for i, unit in enumerate(shown) if dead[unit]))
        self._draw_chosen(filters)

    def _draw_chosen(self, filters: npt.NDArray[np.float32]) -> None:
        where = np.flatnonzero(self._order[:MOST_FILTERS] == self.unit)
        self.wall.set_current(int(where[0]) if len(where) else None)
        self.filter.set_filter(self.desk.cells, filters[self.unit], self._words(self.unit))

    def _draw_curves(self) -> None:
        assert self._answer is not None
        arrays, palette = self._answer.arrays, self.look.palette
        place = float(np.flatnonzero(self._order == self.unit)[0])
        for plot, name, label in (
            (self.activity, "activity", "mean p(on) over training data"),
            (self.biases, "biases", "hidden bias c, nats"),
        ):
            bars = Stroke(label, palette.model, 1.0, filled=0.35, thinned=False)
            heights = arrays[name][self._order].astype(np.float64)
            outline = bar_outline(heights, -0.5, len(heights) - 0.5)
            plot.set_curve(name, outline[:, 0], outline[:, 1], bars)
            plot.fit()
            low, high = plot.frame.box.low[1], plot.frame.box.high[1]
            now = Stroke("", palette.warning, 1.6, scaled=False)
            plot.set_curve("now", np.full(2, place), np.array([low, high]), now)

    def _dead(self) -> npt.NDArray[np.bool_]:
        assert self._answer is not None
        return np.asarray(self._answer.arrays["spread"] < DEAD_BELOW)

    def _words(self, unit: int) -> str:
        assert self._answer is not None
        arrays = self._answer.arrays
        bias, norm = (fixed(float(arrays[name][unit]), 2) for name in ("biases", "norms"))
        active = fixed(100.0 * float(arrays["activity"][unit]), 1)
        dead = ", dead" if self._dead()[unit] else ""
        return f"unit {unit + 1}: on {active} %, c {bias}, norm {norm}{dead}"

    def chips(self) -> tuple[Chip, ...]:
        """How many are dead, and of what the activity is the mean."""
        if self._answer is None:
            return ()
        palette, n_dead = self.look.palette, int(self._dead().sum())
        arrays, values = self._answer.arrays, self._answer.values
        tip = (
            f"Hidden units whose probability to be on varies by less than {DEAD_BELOW:g} "
            "(standard deviation) over the data: they say nothing about an observation"
        )
        dead = Chip(f"{n_dead} of {len(self._order)} units dead", tip,
                    palette.warning if n_dead else palette.good, "dot", framed=True)  # fmt: skip
        mean = fixed(100.0 * float(np.mean(arrays["activity"])), 1)
        return (
            dead,
            Chip(f"on {mean} % of the time", f"p(h = 1 | x), mean over {values.get('n_data')} "
                 "training observations and all units", palette.model, "dot", framed=True),
            self.step_chip(self._answer.step),
        )  # fmt: skip

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for part in (self.wall, self.plane, self.filter, self.activity, self.biases):
            part.restyle()
        self._draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "by":
            self._by = str(value)
            self._draw()
        elif name == "layer" and isinstance(value, int):
            self._layer = value
            self.scale.reset()
            self.asks_changed.emit()

    def _on_picture(self, index: int) -> None:
        if index < len(self._order):
            self._choose(int(self._order[index]))

    def _on_clicked(self, at: tuple[float, float]) -> None:
        index = round(at[0])
        if 0 <= index < len(self._order):
            self._choose(int(self._order[index]))

    def _choose(self, unit: int) -> None:
        self.unit = unit
        self._draw()
