"""Units: one chain, visible and hidden units side by side, every half-step."""

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
from widgets.gibbs.film import VISIBLE, WalkFilm
from widgets.gibbs.filter_view import FilterView, SignedScale
from widgets.gibbs.page import WalkPage
from widgets.gibbs.plane_view import PlaneView
from widgets.gibbs.unit_grid import UnitGrid
from widgets.gibbs.words import block_symbol, block_words, energy_words, free_words, given_words
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.mode import lay_out
from widgets.plots.curves import CurvePlot, Stroke

FILTERS = "filters"
LENGTHS = (30, 100, 300, 1000)
KEY = (
    "Each cell is a hidden unit: its shade is the probability to be on that it was drawn with, "
    "and the square in it says that it came on"
)
#: Hidden layers that are drawn at most.
MOST_LAYERS = 4
#: Pixels at scale 1 below which the scale of the filter goes without numbers.
BARE_BELOW = 190


class UnitsPage(WalkPage):
    """The two sides of the machine take turns."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk, "Half-steps")
        self.states, self.means = (PixelCanvas(look, parent=self) for _ in range(2))
        self.plane = PlaneView(look, self)
        self.layers = [UnitGrid(look, self) for _ in range(MOST_LAYERS)]
        self.scale = SignedScale()
        self.filter = FilterView(look, self.scale, self)
        self.curves = CurvePlot(look, parent=self)
        self.filters: npt.NDArray[np.float32] | None = None
        self.unit = 0
        self._hover: int | None = None
        self._length = LENGTHS[1]
        self._build()

    def _build(self) -> None:
        self.add_start()
        self.tools.add_choice("length", "How many sweeps there are to see; all units once is one")
        self.tools.set_choices("length", tuple((f"{n} sweeps", n) for n in LENGTHS))
        self.tools.set_choice("length", self._length)
        self.add_noise()
        self.column.addWidget(self.transport)
        self.curves.set_names("half-steps", "nats, up to log Z")
        self.curves.frame.clicked.connect(lambda at: self.clock.go(round(at[0])))
        self.tools.chosen.connect(self._on_chosen)
        for canvas in (self.states, self.means):
            canvas.takes_arrows = False
        first = self.layers[0]
        first.hovered.connect(self._on_hovered)
        first.chosen.connect(self._on_unit)
        self.arrange(self.shape)

    def arrange(self, shape: str) -> None:
        """Pictures, units and filter in a row with the curves below; two rows where it is tall."""
        n_layers = max(1, len(self.desk.widths))
        hidden: tuple[QWidget, ...] = tuple(self.layers[: min(n_layers, MOST_LAYERS)])
        plane = self.desk.is_plane
        seen: tuple[QWidget, ...] = (self.plane,) if plane else (self.states, self.means)
        last: tuple[QWidget, ...] = () if plane else (self.filter,)
        shown = {*hidden, *seen, *last}
        for part in (self.states, self.means, self.plane, self.filter, *self.layers):
            part.setVisible(part in shown)
        if shape == "tall":
            top = _spread(seen, 4)
            middle = _spread((*hidden, *last), 4)
            rows = (top, middle, (self.curves,) * 4)
            lay_out(self.grid, rows, (4, 4, 3), (1, 1, 1, 1))
        else:
            row = (*seen, *hidden, *last)
            shares = tuple(5 if part in hidden else 4 for part in row)
            lay_out(self.grid, (row, (self.curves,) * len(row)), (3, 2), shares)

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        super().open()
        self.filters, self._hover, self.unit = None, None, 0
        self.scale.reset()
        self.curves.clear()
        for canvas in (self.states, self.means):
            canvas.clear()
        for grid in self.layers:
            grid.clear()
        self.plane.open(self.desk)
        self.filter.set_filter(None, None, "")
        self.filter.canvas.set_hint("Point at a hidden unit")
        self.states.set_hint("The chain is on its way …")
        self.arrange(self.shape)

    def chain_arguments(
        self,
    ) -> tuple[dict[str, Value], dict[str, npt.NDArray[np.float64]]] | None:
        """One chain, every half-step."""
        arguments: dict[str, Value] = {"n": 1, "n_frames": 2 * self._length + 1}
        if self.desk.start != "data" or self.desk.absence:
            return arguments, {}
        arguments["first"] = self.desk.index
        return arguments, {}

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The chain, and the filters."""
        asked = super().questions(rest=rest)
        if self.desk.is_plane:
            return asked
        return asked | {FILTERS: Question("gibbs_filters", {"n_data": 500})}

    def show_answer(self, part: str, answer: Answer) -> None:
        """A piece of the chain, or the filters."""
        super().show_answer(part, answer)
        if part == FILTERS and "filters" in answer.arrays:
            self.filters = answer.arrays["filters"]
            self.scale.take(self.filters)
            self._draw_filter()

    def save(self) -> dict[str, Value]:
        """The unit that is looked at, and how long the chain is."""
        return {"unit": self.unit, "length": self._length}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        if state.get("length") in LENGTHS:
            self._length = int(state["length"])  # type: ignore[arg-type]
            self.tools.set_choice("length", self._length)
        unit = state.get("unit")
        if isinstance(unit, int) and not isinstance(unit, bool) and unit >= 0:
            self.unit = unit
            self._draw_filter()

    # --- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Show the half-step that the clock is at."""
        film = self.film
        if film is None:
            return
        place = self.place
        drawn = film.drawn_at(place)
        self._draw_visible(film, place, is_new=VISIBLE in drawn)
        for grid, block in zip(self.layers, film.hidden, strict=False):
            given = given_words(film.given[block])
            what = f"given {given}" if given else "not trained yet"
            words = f"{block_words(block)} {what}"
            grid.set_title(words, is_new=block in drawn)
            grid.set_units(film.states[block][place, 0], film.mean(block, place)[0])
        self._draw_curves(film)
        self._draw_filter()
        self.transport.show_clock(self._words(film, place))
        self.chips_changed.emit()

    def _draw_visible(self, film: WalkFilm, place: int, *, is_new: bool) -> None:
        palette, desk = self.look.palette, self.desk
        if desk.is_plane:
            way = film.states[VISIBLE][: place + 1, 0]
            self.plane.set_chain(way, film.mean(VISIBLE, place)[0], is_new=is_new)
            return
        mark = palette.accent if is_new else ""
        given = given_words(film.given[VISIBLE])
        mean = "mean" if desk.is_gaussian else "probabilities"
        self.states.set_title("visible v, as drawn", mark)
        self.means.set_title(f"its {mean} given {given}", mark)
        for canvas, flat in (
            (self.states, film.states[VISIBLE][place, 0]),
            (self.means, film.mean(VISIBLE, place)[0]),
        ):
            canvas.set_cells(desk.cells, desk.pixels(flat, palette.raised))

    def _draw_curves(self, film: WalkFilm) -> None:
        palette, n = self.look.palette, film.n
        x = np.arange(n, dtype=np.float64)
        lines = (
            ("energy", film.energy[:n, 0], energy_words(film.joined), palette.warning,
             "The energy of all units; −E is the log of the state's probability, up to log Z"),
            ("free", film.free_energy[:n, 0], free_words(film.free_of), palette.model,
             "The free energy: hidden units are summed out, F = −log Σ exp(−E)"),
        )  # fmt: skip
        for name, y, label, colour, tip in lines:
            self.curves.set_curve(name, x, y, Stroke(label, colour, 1.6, tooltip=tip))
        self.curves.set_pinned(x=0.0)
        self.curves.fit()
        low, high = self.curves.frame.box.low[1], self.curves.frame.box.high[1]
        ends = np.array([low - (high - low), high + (high - low)])
        now = Stroke("", palette.accent, 1.6, scaled=False)
        self.curves.set_curve("now", np.full(2, float(self.place)), ends, now)

    def _draw_filter(self) -> None:
        unit = self._hover if self._hover is not None else self.unit
        if self.filters is None or unit >= len(self.filters):
            return
        self.layers[0].set_current(unit)
        title = f"W of hidden unit {unit + 1}"
        self.filter.set_bare(self.filter.width() < self.look.px(BARE_BELOW))
        self.filter.set_filter(self.desk.cells, self.filters[unit], title)

    def _words(self, film: WalkFilm, place: int) -> str:
        drawn = ", ".join(map(block_symbol, film.drawn_at(place)))
        return f"{drawn} drawn" if drawn else "start"

    def chips(self) -> tuple[Chip, ...]:
        """Energies of the state in view."""
        film = self.film
        if film is None:
            return ()
        place, palette = self.place, self.look.palette
        energy, free = film.energy[place, 0], film.free_energy[place, 0]
        tip = "In nats. exp(−E)/Z is the probability of the state; here log Z is left out"
        chips = [
            Chip(f"{energy_words(film.joined)} = {fixed(float(energy), 1)} nats", tip,
                 palette.warning, "dot", framed=True),
            Chip(f"{free_words(film.free_of)} = {fixed(float(free), 1)} nats",
                 "F = −log Σ exp(−E) over the units that are not named", palette.model, "dot",
                 framed=True),
        ]  # fmt: skip
        tip = (
            "Each cell is a hidden unit: its shade is the probability to be on that it was drawn "
        )
        tip += "with, and the square in it says that it came on"
        chips.append(Chip("shade: p(on), square: on", tip, palette.warning, "", framed=True))
        for block in film.hidden:
            on = int(film.states[block][place, 0].sum())
            words = f"{on} of {film.states[block].shape[2]} {block_words(block)} on"
            chips.append(Chip(words, "Hidden units that are on now", framed=True))
        return (*chips, *self.common_chips(film))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for part in (self.states, self.means, self.plane, self.filter, self.curves):
            part.restyle()
        for grid in self.layers:
            grid.restyle()
        self.draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "length" and isinstance(value, int):
            self._length = value
            self.asks_changed.emit()

    def _on_hovered(self, unit: int | None) -> None:
        self._hover = unit
        self._draw_filter()

    def _on_unit(self, unit: int) -> None:
        self.unit = unit
        self._draw_filter()


def _spread(parts: tuple[QWidget, ...], n: int) -> tuple[QWidget, ...]:
    """Parts over n columns, as evenly as they go."""
    return tuple(parts[index * len(parts) // n] for index in range(n))
