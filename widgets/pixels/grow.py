"""Grow: pictures appear value by value; beside one of them its conditionals and entropies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.clock import Clock
from widgets.pixels.desk import Desk
from widgets.pixels.film import Film
from widgets.pixels.level_bars import LevelBars
from widgets.pixels.map_view import MapView, entropy_ends
from widgets.pixels.mode import Mode, lay_out
from widgets.pixels.sampling_row import SamplingRow
from widgets.pixels.transport import PixelTransport
from widgets.pixels.wall import PictureWall
from widgets.pixels.words import fixed, nats_and_bits, spaced
from widgets.recall import Recalled

MAPS = (("entropy map", "entropies"), ("surprise map", "log_probs"))
KEYS = {
    Qt.Key.Key_Space, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Home, Qt.Key.Key_End,
    Qt.Key.Key_S, Qt.Key.Key_BracketLeft, Qt.Key.Key_BracketRight,
    Qt.Key.Key_PageUp, Qt.Key.Key_PageDown,
}  # fmt: skip


class GrowMode(Mode, Recalled):
    """The watched picture, the others, the conditional under the cursor, the entropy map."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.clock = Clock(self)
        self.canvas, self.wall = PixelCanvas(look), PictureWall(look)
        self.bars, self.map = LevelBars(look), MapView(look)
        self.transport = PixelTransport(look, self.clock)
        self.canvas.takes_arrows = False
        self._map = "entropies"
        self._hover: int | None = None
        self._curve: Answer | None = None
        self._fresh = True
        self._build()

    def _build(self) -> None:
        self.row = SamplingRow(
            self.tools, self.desk, ("n", "temperature", "top_p", "label", "order")
        )
        self.tools.add_choice(
            "map",
            "Entropy H = −Σ p ln p of each conditional, or surprise −ln p of the value drawn",
        )
        self.tools.set_choices("map", MAPS)
        self.tools.add_button("noise", "new noise", "Other noise u, one number per value", "N")
        self.column.addLayout(self.grid, 1)
        self.column.addWidget(self.transport)
        self.arrange(self.shape)
        self.clock.moved.connect(self._on_moved)
        self.clock.playing_changed.connect(lambda _: self.asks_changed.emit())
        self.desk.changed.connect(self.asks_changed)
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(lambda _: self.desk.set(seed=self.desk.seed + 1))
        self.canvas.hovered.connect(self._on_hovered)
        self.canvas.chosen.connect(self._on_cell_chosen)
        self.map.canvas.hovered.connect(self._on_hovered)
        self.map.canvas.chosen.connect(self._on_cell_chosen)
        self.wall.chosen.connect(self._on_picture_chosen)

    def arrange(self, shape: str) -> None:
        """Three columns in a low room, else two rows."""
        canvas, wall, bars, field = self.canvas, self.wall, self.bars, self.map
        if shape == "low":
            lay_out(self.grid, ((canvas, bars, wall), (canvas, field, wall)), (5, 6), (3, 4, 4))
        else:
            lay_out(self.grid, ((canvas, wall), (bars, field)), (6, 4), (1, 1))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: an empty picture, and it begins to grow."""
        self.row.open()
        for part in (self.canvas, self.wall, self.bars, self.map):
            part.clear()
        self.bars.forget_axis()
        self._curve, self._hover = None, None
        cells = self.desk.cells
        self.clock.open(cells.size if cells is not None else 0)
        self.transport.show_clock("")
        hint = "The first values are being drawn …"
        self.canvas.set_hint(hint if cells is not None else "")
        self._fresh = True

    def kept(self) -> int:
        """Which picture is watched, for undo."""
        return self.desk.watch

    def keep(self, value: int) -> None:
        """Watch it again."""
        self._on_picture_chosen(value)

    def what_changed(self, before: int, after: int) -> str:
        """What was chosen."""
        return f"watch picture {after + 1}"

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The film of the samples; for real values also the curve under the cursor."""
        asked = {"samples": self.desk.samples_question(rest=rest)}
        film = self.desk.film
        place = self._place_shown()
        if film is None or film.probabilities is not None or self.clock.is_playing:
            return asked
        if film.n > place >= 0:
            asked["curve"] = Question(
                "conditional_at",
                {"index": film.index_at(place), "label": self._label(),
                 **self.desk.ordering(), **self.desk.sharpening()},
                {"picture": film.values[self._watch()].astype(np.float64)},
            )  # fmt: skip
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """A piece of the film, or a curve."""
        if part == "curve":
            self._curve = answer
            self._draw_bars()
            return
        if self.desk.show_samples(answer, self.clock.place):
            self.clock.set_ready(self.desk.film.n if self.desk.film is not None else 0)
            if self._fresh and self.isVisible():
                self._fresh = False
                self._begin()
            if not self.clock.is_playing or self.clock.place >= self.clock.size:
                self._draw()

    def _begin(self) -> None:
        """The pictures grow; on paper, where nothing moves, all of them is there."""
        if self.window().testAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen):
            self.clock.go(self.clock.size)
        else:
            self.clock.play()

    def leave(self) -> None:
        """Time stands still while another mode is in front."""
        self.clock.pause()

    def chips(self) -> tuple[Chip, ...]:
        """What has been drawn, and how sure the model is."""
        film = self.desk.film
        if film is None:
            return ()
        place, watch = min(self.clock.place, film.n), self._watch()
        total = film.log_prob(watch, place)
        palette = self.look.palette
        words = (
            f"log p of its {place} values {fixed(total)} nats, exact"
            if film.exact
            else f"Σ log of what it was drawn from {fixed(total)} nats, not the model's log p"
        )
        meaning = (
            "The chain rule: the sum of the logarithms of the conditionals of the values drawn "
            "so far, in the picture on the left"
        )
        chips = [Chip(words, meaning, palette.model, "dot", framed=True)]
        index = film.index_at(self._place_shown())
        if self._place_shown() < place and self.desk.cells is not None:
            h = float(film.entropies[watch, index])
            kind = "exact" if self.desk.cells.levels is not None else "quadrature"
            chips.append(
                Chip(f"H {nats_and_bits(h)}, {kind}", "Entropy of the conditional shown below",
                     framed=True)
            )  # fmt: skip
        sharp = "" if film.exact else self.desk.sharp_words
        chips += [Chip(sharp, "The conditionals are sharpened", palette.warning, "dot",
                       framed=True)] if sharp else []  # fmt: skip
        chips.append(Chip(f"step {spaced(film.step)}", "Training step of these weights",
                          framed=True))  # fmt: skip
        chips.append(Chip(f"noise {self.desk.seed}", "The same noise at every training step, so "
                          "that the same pictures improve", framed=True))  # fmt: skip
        return tuple(chips)

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """The keys of the transport."""
        key = Qt.Key(event.key())
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if key not in KEYS or plain != Qt.KeyboardModifier.NoModifier:
            return False
        if only_ask:
            return True
        columns = self.desk.cells.columns if self.desk.cells is not None else 1
        acts: dict[Qt.Key, Callable[[], object]] = {
            Qt.Key.Key_Space: self.clock.toggle,
            Qt.Key.Key_Left: lambda: self.clock.step(-1),
            Qt.Key.Key_Right: lambda: self.clock.step(1),
            Qt.Key.Key_PageUp: lambda: self.clock.step(-columns),
            Qt.Key.Key_PageDown: lambda: self.clock.step(columns),
            Qt.Key.Key_Home: lambda: self.clock.go(0),
            Qt.Key.Key_End: lambda: self.clock.go(self.clock.size),
            Qt.Key.Key_S: self.transport.toggle_slow,
            Qt.Key.Key_BracketLeft: lambda: self.transport.nudge(-1),
            Qt.Key.Key_BracketRight: lambda: self.transport.nudge(1),
        }
        acts[key]()
        return True

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.canvas, self.wall, self.bars, self.map):
            part.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _watch(self) -> int:
        film = self.desk.film
        return min(self.desk.watch, film.n_pictures - 1) if film is not None else 0

    def _label(self) -> int:
        film = self.desk.film
        return film.labels[self._watch()] if film is not None and film.labels else 0

    def _place_shown(self) -> int:
        """The place in the order whose conditional is shown: hovered, else the newest."""
        film = self.desk.film
        if film is not None and self._hover is not None:
            place = film.place_of(self._hover)
            if place < self.clock.place:
                return place
        return max(self.clock.place - 1, 0)

    def _draw(self) -> None:
        film, cells = self.desk.film, self.desk.cells
        if film is None or cells is None or film.size != cells.size:
            return
        place, watch = self.clock.place, self._watch()
        drawn, empty = film.drawn(place), self.look.palette.raised
        pixels = cells.pixels(film.values, drawn, empty)
        self.wall.set_pictures(pixels, tuple(map(self.desk.class_words, film.labels)))
        self.wall.set_current(watch)
        self.wall.set_title(f"{film.n_pictures} grow together", self.look.palette.model)
        name = self.desk.class_words(film.labels[watch]) if film.labels else ""
        title = f"sample {watch + 1}" + (f", class {name}" if name else "")
        self.canvas.set_title(title, self.look.palette.model)
        self.canvas.set_cells(cells, pixels[watch])
        self.canvas.set_words(cells.written(film.values[watch], drawn))
        self._draw_map(film, watch)
        self._draw_cursor()

    def _draw_cursor(self) -> None:
        film = self.desk.film
        if film is None or self.desk.cells is None:
            return
        index = film.index_at(self._place_shown())
        self.canvas.set_at(index)
        self.map.canvas.set_at(index)
        self.transport.show_clock(
            self.desk.cells.words(film.index_at(max(self.clock.place - 1, 0)))
        )
        self._draw_bars()
        self.chips_changed.emit()

    def _draw_map(self, film: Film, watch: int) -> None:
        cells = self.desk.cells
        if cells is None:
            return
        entropy = self._map == "entropies"
        values = film.entropies[watch] if entropy else -film.log_probs[watch]
        label = "entropy, nats" if entropy else "surprise −ln p, nats"
        ends = entropy_ends(cells)
        if not entropy and ends is not None:
            ends = 0.0, 2.0 * ends[1]
        self.map.canvas.set_title("entropy map" if entropy else "surprise map")
        self.map.set_map(cells, values, film.drawn(self.clock.place), label, ends)

    def _draw_bars(self) -> None:
        film, cells = self.desk.film, self.desk.cells
        if film is None or cells is None:
            return
        place = self._place_shown()
        index = film.index_at(place)
        there = place < min(self.clock.place, film.n)
        value = float(film.values[self._watch(), index]) if there else None
        words = f"p(x | earlier), {cells.words(index)}"
        curve = self._curve_at(place)
        if film.probabilities is None and curve is None:
            self.bars.clear()
        if value is not None:
            words += f": drew {cells.value_words(value)}"
            if film.probabilities is None and self.clock.is_playing:
                words += "; pause to see its density"
        elif place >= film.n:
            self.bars.clear()
            words += ": not drawn yet"
        tip = "The conditional of this value given those drawn before it; the drawn one is bright"
        self.bars.set_heading(words, tip)
        if film.probabilities is not None and place < film.n:
            self.bars.set_levels(film.probabilities[index], value)
        elif curve is not None:
            self.bars.set_curve(curve.arrays["nodes"], curve.arrays["density"], value)

    def _curve_at(self, place: int) -> Answer | None:
        """The density of the value drawn at a place, once it has come."""
        curve = self._curve
        if curve is None or "nodes" not in curve.arrays or curve.values.get("place") != place:
            return None
        return curve

    # --- the user -----------------------------------------------------------------------------

    def _on_moved(self, _: int) -> None:
        self._draw()
        if not self.clock.is_playing:
            self.asks_changed.emit()

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "map":
            self._map = str(value)
            self.map.clear()
            self._draw()

    def _on_hovered(self, index: int | None) -> None:
        if index == self._hover:
            return
        self._hover = index
        self._draw_cursor()
        film, cells = self.desk.film, self.desk.cells
        if index is None or film is None or cells is None:
            self.pointed.emit(None)
            return
        self.asks_changed.emit()
        self.pointed.emit(self._pointed(film, index))

    def _pointed(self, film: Film, index: int) -> Pointed:
        cells, watch = self.desk.cells, self._watch()
        place = film.place_of(index)
        if cells is None or place >= min(self.clock.place, film.n):
            return Pointed("Not drawn yet", (("place in the order", f"{place + 1}"),))
        return Pointed(
            f"Value at {cells.words(index)}",
            (
                ("drawn", cells.value_words(float(film.values[watch, index]))),
                ("place in the order", f"{place + 1} of {film.size}"),
                ("entropy", nats_and_bits(float(film.entropies[watch, index]))),
                ("surprise −ln p", f"{fixed(-float(film.log_probs[watch, index]))} nats"),
            ),
        )

    def _on_cell_chosen(self, index: int) -> None:
        """Jump to the moment at which a value was drawn."""
        if self.desk.film is not None:
            self.clock.pause()
            self.clock.go(self.desk.film.place_of(index) + 1)
            self._draw_cursor()

    def _on_picture_chosen(self, index: int) -> None:
        self.desk.watch = index
        self._draw()
        self.asks_changed.emit()
