"""Rows: each row one chain, a column every k sweeps; how little changes is to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.fields import Value
from widgets.controls.chips import Chip
from widgets.figures import fixed
from widgets.gibbs.desk import Desk
from widgets.gibbs.film import VISIBLE, WalkFilm
from widgets.gibbs.page import WalkPage
from widgets.gibbs.plane_view import PlaneView
from widgets.gibbs.rows_wall import RowsWall
from widgets.look import Look
from widgets.pixels.cells import packed_colour
from widgets.pixels.mode import lay_out
from widgets.pixels.words import spaced
from widgets.plots.curves import CurvePlot, Stroke

Floats: TypeAlias = npt.NDArray[Any]

CHAINS = (3, 5, 8, 12)
COLUMNS = (8, 12, 16, 24)
EVERY = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SHOWN = (("probabilities", "means"), ("as drawn", "states"))
SHOWN_TIP = (
    "Probabilities, the mean of v given the hidden units, are what is usually printed; the chain "
    "itself goes on from v as it was drawn"
)


class RowsPage(WalkPage):
    """The lecture's figure, and a curve of how fast a chain forgets."""

    PACE = 2.0

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk, "Columns")
        self.wall = RowsWall(look, parent=self)
        self.plane = PlaneView(look, self)
        self.curves = CurvePlot(look, wrap_legend=True, parent=self)
        self._chosen: dict[str, int] = {"chains": 5, "columns": 12, "every": 10}
        self._shown = "means"
        self._build()

    def _build(self) -> None:
        self.add_start()
        lists = (
            ("chains", CHAINS, "{} chains", "N, the rows: chains that know nothing of each other"),
            ("columns", COLUMNS, "{} columns", "Columns of each row"),
            ("every", EVERY, "k = {} sweeps", "k, the sweeps between two columns; a sweep draws "
             "every unit once"),
        )  # fmt: skip
        for name, entries, words, tip in lists:
            self.tools.add_choice(name, tip)
            self.tools.set_choices(name, tuple((words.format(n), n) for n in entries))
            self.tools.set_choice(name, self._chosen[name])
        self.tools.add_choice("shown", SHOWN_TIP)
        self.tools.set_choices("shown", SHOWN)
        self.add_noise()
        self.column.addWidget(self.transport)
        self.tools.chosen.connect(self._on_chosen)
        self.arrange(self.shape)

    def arrange(self, shape: str) -> None:
        """The curve beside the rows, or below them where it is tall."""
        main = self.plane if self.desk.is_plane else self.wall
        self.wall.setVisible(main is self.wall)
        self.plane.setVisible(main is self.plane)
        if shape == "tall":
            lay_out(self.grid, ((main,), (self.curves,)), (3, 2), (1,))
        else:
            lay_out(self.grid, ((main, self.curves),), (1,), (5, 2))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        super().open()
        self.wall.clear()
        self.plane.open(self.desk)
        self.curves.clear()
        self.wall.set_hint("The chains are on their way …")
        self.tools.show_choice("shown", not self.desk.is_plane)
        self.arrange(self.shape)

    def chain_arguments(
        self,
    ) -> tuple[dict[str, Value], dict[str, npt.NDArray[np.float64]]] | None:
        """N chains, one frame every k sweeps."""
        return {
            "n": self._chosen["chains"],
            "n_frames": self._chosen["columns"],
            "sweeps": self._chosen["every"],
        }, {}

    def save(self) -> dict[str, Value]:
        """Rows, columns, k, and what of v is shown."""
        return {"rows_shown": self._shown, **{f"rows_{k}": v for k, v in self._chosen.items()}}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        for name, entries in (("chains", CHAINS), ("columns", COLUMNS), ("every", EVERY)):
            value = state.get(f"rows_{name}")
            if value in entries and isinstance(value, int):
                self._chosen[name] = value
                self.tools.set_choice(name, value)
        if state.get("rows_shown") in [name for _, name in SHOWN]:
            self._shown = str(state["rows_shown"])
            self.tools.set_choice("shown", self._shown)
            self.draw()

    # --- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Show the columns up to where the clock is."""
        film = self.film
        if film is None:
            return
        place = self.place
        if self.desk.is_plane:
            self.plane.set_chains(film.states[VISIBLE][: place + 1])
        else:
            self._draw_wall(film, place)
        self._draw_curves(film)
        self.transport.show_clock(f"{spaced(round(film.sweeps(place)))} sweeps")
        self.chips_changed.emit()

    def _draw_wall(self, film: WalkFilm, place: int) -> None:
        means = self._shown == "means"
        columns = [
            film.mean(VISIBLE, t) if means else film.states[VISIBLE][t] for t in range(film.n)
        ]
        pixels = self.desk.pixels(np.stack(columns, 1), self.look.palette.raised)
        if pixels is None:
            return
        n_chains, _, height, width = pixels.shape
        shape = (n_chains, film.n_frames, height, width)
        whole = np.full(shape, packed_colour(self.look.palette.raised), np.uint32)
        whole[:, : place + 1] = pixels[:, : place + 1]
        self.wall.set_columns(film.n_frames)
        captions = tuple(
            f"chain {row + 1} after {spaced(round(film.sweeps(t)))} sweeps"
            for row in range(n_chains)
            for t in range(film.n_frames)
        )
        self.wall.set_pictures(whole.reshape(-1, height, width), captions)
        heads = tuple(spaced(round(film.sweeps(t))) for t in range(film.n_frames))
        self.wall.set_heads("each row is one chain; the columns after so many sweeps:", heads)

    def _draw_curves(self, film: WalkFilm) -> None:
        palette = self.look.palette
        lags, apart, between = forgetting(film)
        unit = "rms distance" if self.desk.is_gaussian else "visible units that differ, %"
        differ = "rms distance" if self.desk.is_gaussian else "% differ"
        self.curves.set_names("sweeps apart", unit)
        own = Stroke(f"a chain and itself later: {differ}", palette.model, 2.0,
                     tooltip="How far a chain is from itself so many sweeps later")  # fmt: skip
        self.curves.set_curve("own", lags, apart, own)
        if np.isfinite(between):
            other = Stroke("two chains at once", palette.muted, 1.6, dashed=True,
                           tooltip="How far two chains are apart at the same time")  # fmt: skip
            self.curves.set_floor("other", between, other)
        self.curves.set_pinned(x=0.0, y=0.0)
        self.curves.fit()

    def chips(self) -> tuple[Chip, ...]:
        """How little changes from column to column."""
        film = self.film
        if film is None or film.n < 2:
            return ()
        _, apart, between = forgetting(film)
        every = spaced(round(film.sweeps(1)))
        unit = "" if self.desk.is_gaussian else " %"
        tip = (
            "Of the visible units as drawn. A chain that mixes fast is as far from where it was "
            "as from another chain; a slow one stays near"
        )
        change = fixed(float(apart[1]), 1)
        one = (
            f"in {every} sweeps a chain goes {change}" if self.desk.is_gaussian
            else f"from column to column ({every} sweeps) {change} % change"
        )  # fmt: skip
        two = f"two chains differ by {fixed(between, 1)}{unit}"
        palette = self.look.palette
        chips = [Chip(one, tip, palette.model, "dot", framed=True)]
        if np.isfinite(between):
            chips.append(Chip(two, tip, palette.muted, "dot", framed=True))
        return (*chips, *self.common_chips(film))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for part in (self.wall, self.plane, self.curves):
            part.restyle()
        self.draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "shown":
            self._shown = str(value)
            self.draw()
        elif name in self._chosen and isinstance(value, int):
            self._chosen[name] = value
            self.asks_changed.emit()


def forgetting(film: WalkFilm) -> tuple[Floats, Floats, float]:
    """How far chains are from themselves a lag later, and from each other at the same time.

    Returns:
        Lags in sweeps (L,), the mean difference at each (L,), and that of two chains (NaN with
        one): a percentage of the units for binary ones, else the root mean square.
    """
    v = film.states[VISIBLE][: film.n].astype(np.float64)
    is_binary = film.states[VISIBLE].dtype == np.uint8
    n = len(v)
    lags = range(max(n, 1))
    apart = [np.mean(np.square(v[lag:] - v[: n - lag])) if lag else 0.0 for lag in lags]
    n_chains = v.shape[1]
    pairs = n_chains * (n_chains - 1)
    # Σ over ordered pairs of (a − b)² = 2 N Σ a² − 2 (Σ a)².
    squares = 2.0 * n_chains * np.square(v).sum(1) - 2.0 * np.square(v.sum(1))
    later = squares[n // 2 :]
    between = float(later.mean() / pairs) if pairs else float("nan")
    found = np.asarray(apart)
    sweeps = np.array([film.sweeps(lag) for lag in lags])
    if is_binary:
        return sweeps, 100.0 * found, 100.0 * between
    return sweeps, np.sqrt(found), float(np.sqrt(between))
