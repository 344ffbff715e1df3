"""Layers: mean-field settling in a deep Boltzmann machine; the pass down a belief network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtWidgets import QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.figures import as_float, fixed
from widgets.gibbs.desk import Desk
from widgets.gibbs.film import VISIBLE, WalkFilm
from widgets.gibbs.page import ChainArguments, WalkPage
from widgets.gibbs.unit_grid import UnitGrid
from widgets.gibbs.words import block_words, counted, energy_words, free_words, given_words
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.mode import lay_out
from widgets.pixels.wall import PictureWall
from widgets.plots.curves import CurvePlot, Stroke

FIELD = "field"
#: Sweeps of the top two layers before the pass down, chains that pass, and mean-field's sweeps.
SWEEPS, N_CHAINS, N_SWEEPS = (5, 20, 100, 500, 2000), 12, 12
MOST_LAYERS = 4
#: Smaller changes are rounding.
LEAST_CHANGE = 1e-6


class LayersPage(WalkPage):
    """The layers of a deep model, from the visible units to the top."""

    PACE = 3.0

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk, "Steps")
        self.picture = PixelCanvas(look, parent=self)
        self.layers = [UnitGrid(look, self) for _ in range(MOST_LAYERS)]
        self.wall = PictureWall(look, parent=self)
        self.curves, self.change = (CurvePlot(look, parent=self) for _ in range(2))
        self.sweeps = SWEEPS[2]
        self.chain = 0
        self._field: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.tools.add_choice(
            "sweeps", "Gibbs sweeps in the top two layers before the pass down to the data"
        )
        entries = tuple((f"{counted(n, 'sweep')}, then down", n) for n in SWEEPS)
        self.tools.set_choices("sweeps", entries)
        self.tools.set_choice("sweeps", self.sweeps)
        self.tools.add_button("next", "next picture", "Let the layers settle on another held-out "
                              "picture", "P")  # fmt: skip
        self.add_noise()
        self.column.addWidget(self.transport)
        self.picture.takes_arrows = False
        for plot in (self.curves, self.change):
            plot.frame.clicked.connect(lambda at: self.clock.go(round(at[0])))
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(self._on_pressed)
        self.wall.chosen.connect(self._on_chain)
        self.arrange(self.shape)

    def refusal(self) -> str:
        """One hidden layer has nothing to settle with, and no pass down."""
        if self.desk.is_settling or self.desk.is_directed:
            return ""
        return (
            "One hidden layer is drawn and summed out exactly; layers that settle belong to a "
            "deep Boltzmann machine, a pass down to a deep belief network."
        )

    def arrange(self, shape: str) -> None:
        """The stack in a row, numbers below; two rows of the stack where it is tall."""
        n_layers = min(max(1, len(self.desk.widths)), MOST_LAYERS)
        hidden: tuple[QWidget, ...] = tuple(self.layers[:n_layers])
        settles = self.desk.is_settling
        stack: tuple[QWidget, ...] = (self.picture, *hidden)
        below: tuple[QWidget, ...] = (self.curves, self.change if settles else self.wall)
        for part in (*self.layers, self.change, self.wall):
            part.setVisible(part in stack or part in below)
        n = len(stack)
        if shape == "tall":
            rows = (stack, (below[0],) * n, (below[1],) * n)
            lay_out(self.grid, rows, (3, 2, 2), (1,) * n)
            return
        # Two shares a column, so that the lower row can be cut in the middle.
        upper = tuple(part for part in stack for _ in range(2))
        lower = tuple(below[place // n] for place in range(2 * n))
        lay_out(self.grid, (upper, lower), (3, 2) if settles else (4, 3), (1,) * (2 * n))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        super().open()
        self._field, self.chain = None, 0
        self.picture.clear()
        self.picture.set_hint("The layers are on their way …")
        for grid in self.layers:
            grid.clear()
        self.wall.clear()
        self.wall.set_hint("Pictures come with the pass down.")
        self.curves.clear()
        self.change.clear()
        settles = self.desk.is_settling
        self.tools.show_choice("sweeps", not settles)
        self.tools.show_button("noise", not settles)
        self.tools.show_button("next", settles)
        x = "mean-field sweeps" if settles else "sweeps of the top two layers"
        self.curves.set_names(x, "nats, up to log Z")
        self.change.set_names(x, "largest change of a mean")
        self.change.set_log_y(True)
        for plot in (self.curves, self.change):
            plot.set_pinned(x=0.0)
        self.arrange(self.shape)

    def chain_arguments(self) -> ChainArguments | None:
        """Chains in the top two layers, and the pass down at the end."""
        return {
            "start": "noise", "n": N_CHAINS, "n_frames": self.sweeps + 2,
            "pass_after": self.sweeps,
        }, {}  # fmt: skip

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Mean-field on the chosen picture, or the chains."""
        if not self.desk.is_settling:
            return super().questions(rest=rest)
        picture = self.desk.picture
        arrays = {} if picture is None else {"picture": picture.astype(np.float64)}
        wanted: dict[str, Value] = {"n_sweeps": N_SWEEPS, "n_data": 200 if rest else 50}
        return {FIELD: Question("mean_field", wanted, arrays)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """A piece of the chains, or the layers while they settle."""
        super().show_answer(part, answer)
        if part != FIELD or "mu_1" not in answer.arrays:
            return
        self._field = answer
        size = len(answer.arrays["mu_1"]) - 1
        if self.clock.size != size:
            self.clock.open(size)
            self.clock.pace = self.PACE
        self.clock.set_ready(size)
        self.begin(is_whole=True)
        self.draw()

    def save(self) -> dict[str, Value]:
        """Sweeps before the pass, and the chain that is watched."""
        return {"layers_sweeps": self.sweeps, "layers_chain": self.chain}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        sweeps, chain = state.get("layers_sweeps"), state.get("layers_chain")
        if isinstance(sweeps, int) and sweeps in SWEEPS:
            self.sweeps = sweeps
            self.tools.set_choice("sweeps", sweeps)
        if isinstance(chain, int) and 0 <= chain < N_CHAINS:
            self.chain = chain
            self.draw()

    # --- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Show the step that the clock is at."""
        if self._field is not None:
            self._draw_field(self._field)
        elif self.film is not None:
            self._draw_pass(self.film)
        else:
            return
        self.chips_changed.emit()

    def _draw_field(self, answer: Answer) -> None:
        place, arrays, palette = self.clock.place, answer.arrays, self.look.palette
        n_layers = sum(name.startswith("mu_") for name in arrays)
        for index, grid in enumerate(self.layers[:n_layers]):
            means = arrays[f"mu_{index + 1}"][min(place, len(arrays["mu_1"]) - 1)]
            grid.set_title(f"{block_words(f'h{index + 1}')}: means μ", is_new=place > 0)
            grid.set_units(np.zeros(len(means)), means)
        picture = self.desk.picture
        if picture is not None:
            self.picture.set_title(f"visible v: held-out picture {self.desk.index + 1}",
                                   palette.data)  # fmt: skip
            self.picture.set_cells(self.desk.cells, self.desk.pixels(picture, palette.raised))
        x = np.arange(len(arrays["bound"]), dtype=np.float64)
        own = Stroke("bound, this picture", palette.model, 2.0, tooltip="−E(v, μ) + Σ H(μ), a "
                     "lower bound of log p(v) + log Z")  # fmt: skip
        self.curves.set_curve("bound", x, arrays["bound"], own)
        exact = as_float(answer.values.get("exact"))
        if exact is None:
            self.curves.remove("exact")
        else:
            line = Stroke("exact, by counting", palette.truth, 1.6, dashed=True)
            self.curves.set_floor("exact", exact, line)
        mean = Stroke(f"mean of {answer.values.get('n_data')} held out", palette.muted, 1.6)
        self.curves.set_curve("mean", x, arrays["mean_bound"], mean)
        for layer in range(arrays["change"].shape[1]):
            shade = Stroke(block_words(f"h{layer + 1}"), self._shade(layer), 1.6)
            change = arrays["change"][:, layer]
            change = np.where(change >= LEAST_CHANGE, change, np.nan)
            self.change.set_curve(f"h{layer + 1}", x[1:], change, shade)
        self._mark_now(self.curves, self.change)
        words = "upward pass" if place == 0 else f"{counted(place, 'sweep')}"
        self.transport.show_clock(words)

    def _shade(self, layer: int) -> str:
        palette = self.look.palette
        return (palette.model, palette.warning, palette.truth, palette.data)[layer % 4]

    def _draw_pass(self, film: WalkFilm) -> None:
        place, palette = self.place, self.look.palette
        drawn = film.drawn_at(place)
        chain = min(self.chain, film.n_chains - 1)
        for grid, block in zip(self.layers, film.hidden, strict=False):
            given = given_words(film.given[block])
            words = f"given {given}" if given else "not trained yet"
            grid.set_title(f"{block_words(block)} {words}", is_new=block in drawn)
            grid.set_units(film.states[block][place, chain], film.mean(block, place)[chain])
        is_down = VISIBLE in drawn or film.joined[:1] == (VISIBLE,)
        self._draw_pictures(film, place, chain, is_down=is_down)
        x = np.arange(film.n, dtype=np.float64)
        lines = (
            ("energy", film.energy[: film.n, chain], energy_words(film.joined), palette.warning),
            ("free", film.free_energy[: film.n, chain], free_words(film.free_of), palette.model),
        )
        for name, y, label, colour in lines:
            self.curves.set_curve(name, x, y, Stroke(label, colour, 1.6))
        self._mark_now(self.curves)
        top = counted(min(place, self.sweeps), "sweep")
        passed = VISIBLE in drawn and VISIBLE not in film.joined
        self.transport.show_clock(f"{top}, then down" if passed else top)

    def _draw_pictures(self, film: WalkFilm, place: int, chain: int, *, is_down: bool) -> None:
        palette = self.look.palette
        given = given_words(film.given[VISIBLE])
        self.picture.set_title(f"visible v given {given}", palette.accent if is_down else "")
        pixels = self.desk.pixels(film.mean(VISIBLE, place), palette.raised)
        if pixels is None or not is_down:
            self.picture.set_hint("No picture yet: the top two layers go first.")
            self.picture.set_cells(None, None)
            self.wall.clear()
            return
        states = self.desk.pixels(film.states[VISIBLE][place], palette.raised)
        if states is not None:
            self.picture.set_cells(self.desk.cells, states[chain])
        self.wall.set_title(f"probabilities of v, {film.n_chains} chains", palette.model)
        self.wall.set_pictures(pixels)
        self.wall.set_current(chain)

    def _mark_now(self, *plots: CurvePlot) -> None:
        """A line where the clock is."""
        for plot in plots:
            plot.fit()
            low, high = plot.frame.box.low[1], plot.frame.box.high[1]
            ends = np.array([low - (high - low), high + (high - low)])
            if plot is self.change:
                ends = 10.0 ** np.clip(ends, -300.0, 300.0)
            now = Stroke("", self.look.palette.accent, 1.6, scaled=False)
            plot.set_curve("now", np.full(2, float(self.clock.place)), ends, now)

    def chips(self) -> tuple[Chip, ...]:
        """What the bound is at, or what the pass is."""
        palette = self.look.palette
        if self._field is not None:
            return self._field_chips(self._field)
        film = self.film
        if film is None:
            return ()
        tip = (
            "The top two layers are a restricted machine and walk by Gibbs sampling; every layer "
            "below is drawn once given the one above, as an ancestor is before its children"
        )
        words = f"Gibbs in {given_words(film.joined)}"
        words += "; nothing below yet" if VISIBLE in film.joined else ", then one pass down"
        chips = [Chip(words, tip, palette.model, "dot", framed=True)]
        idle = [block for block, given in film.given.items() if not given]
        if idle:
            names = ", ".join(map(block_words, idle))
            chips.append(Chip(f"not trained yet: {names}", "Layers are trained one after the "
                              "other; these are not part of the model so far", palette.warning,
                              "dot", framed=True))  # fmt: skip
        return (*chips, *self.common_chips(film))

    def _field_chips(self, answer: Answer) -> tuple[Chip, ...]:
        palette, bound = self.look.palette, answer.arrays["bound"]
        place = min(self.clock.place, len(bound) - 1)
        tip = "−E(v, μ) + Σ H(μ): it lies below log p(v) + log Z, and every sweep raises it"
        chips = [
            Chip(f"bound {fixed(float(bound[place]), 2)} nats", tip, palette.model, "dot",
                 framed=True)
        ]  # fmt: skip
        exact = as_float(answer.values.get("exact"))
        if exact is not None:
            gap = fixed(exact - float(bound[place]), 2)
            chips.append(Chip(f"{gap} below the exact value", "By counting the states of the "
                              "hidden layers; the gap is the KL of μ from the posterior",
                              palette.truth, "dot", framed=True))  # fmt: skip
        trained = answer.values.get("trained_with")
        chips.append(Chip(f"trained with {trained} sweeps", "Mean-field sweeps per update in the "
                          "model's settings", framed=True))  # fmt: skip
        return (*chips, self.step_chip(answer.step))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for part in (self.picture, self.wall, self.curves, self.change):
            part.restyle()
        for grid in self.layers:
            grid.restyle()
        self.draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "sweeps" and isinstance(value, int):
            self.sweeps = value
            self._fresh = True
            self.asks_changed.emit()

    def _on_pressed(self, name: str) -> None:
        if name == "next" and len(self.desk.events):
            self.desk.set(index=(self.desk.index + 1) % len(self.desk.events))

    def _on_chain(self, chain: int) -> None:
        self.chain = chain
        self.draw()
