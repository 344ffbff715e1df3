"""Complete: what is painted over is left to the chains, the rest of the picture is held."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QSizePolicy

from engine.wire.fields import Value
from widgets.controls.chips import Chip
from widgets.controls.mask_painter import HALVES, MaskPainter
from widgets.controls.segments import Segments
from widgets.gibbs.desk import Desk
from widgets.gibbs.film import VISIBLE
from widgets.gibbs.page import ChainArguments, WalkPage
from widgets.gibbs.words import counted
from widgets.look import Look
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.inpaint import TOOL_KEYS, TOOLS
from widgets.pixels.mode import lay_out
from widgets.pixels.picker import HEIGHT
from widgets.pixels.wall import PictureWall

COUNTS = (4, 9, 12, 20)
LENGTHS = (20, 50, 100, 300, 1000)
SHOWN = (("probabilities", "means"), ("as drawn", "states"))


class CompletePage(WalkPage):
    """Occluded, completions while they come about, original."""

    PACE = 10.0

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk, "Sweeps")
        self.painter, self.original = (
            MaskPainter(look, parent=self),
            PixelCanvas(look, parent=self),
        )
        self.wall = PictureWall(look, parent=self)
        self.strip = PictureWall(look, one_row=True, parent=self)
        self.hand = Segments(look, TOOLS)
        self._n, self._length, self._shown = COUNTS[2], LENGTHS[1], "means"
        self._build()

    def _build(self) -> None:
        self.tools.addWidget(self.hand)
        self.tools.add_choice("part", "Hide a whole part at once")
        parts = (("hide …", None), *((f"{name} half", name) for name in HALVES[:4]))
        self.tools.set_choices("part", (*parts, ("centre", "centre"), ("nothing", "")))
        lists = (
            ("n", COUNTS, "{} chains", "N, chains that complete the picture, each by itself"),
            ("length", LENGTHS, "{} sweeps", "How many sweeps each chain takes"),
        )
        for name, entries, words, tip in lists:
            self.tools.add_choice(name, tip)
            self.tools.set_choices(name, tuple((words.format(n), n) for n in entries))
        self.tools.add_choice("shown", "Show the probabilities that v is drawn from, or v itself")
        self.tools.set_choices("shown", SHOWN)
        self._show_settings()
        self.add_noise()
        self.strip.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.strip.setFixedHeight(self.look.px(HEIGHT))
        self.strip.setToolTip("Held-out pictures; click one")
        self.column.addWidget(self.strip)
        self.column.addWidget(self.transport)
        self.hand.chosen.connect(self._on_tool)
        self.tools.chosen.connect(self._on_chosen)
        self.painter.painted.connect(self._on_painted)
        self.strip.chosen.connect(lambda index: self.desk.set(index=index))
        self.desk.arrived.connect(self._show_pictures)
        self.desk.changed.connect(self._show_pictures)
        self.arrange(self.shape)

    def arrange(self, shape: str) -> None:
        """Side by side where there is width, else the completions below."""
        painter, wall, original = self.painter, self.wall, self.original
        if shape == "tall":
            lay_out(self.grid, ((painter, original), (wall, wall)), (4, 5), (1, 1))
        else:
            lay_out(self.grid, ((painter, wall, original),), (1,), (3, 5, 3))

    def refusal(self) -> str:
        """Pictures only, and no model that is directed below."""
        if not self.desk.is_picture:
            return "There is no part of these events to paint over; choose data of pictures."
        if self.desk.is_directed:
            return (
                "The layers of a belief network below the top two are directed: holding visible "
                "values there is no half-step of its chain."
            )
        return ""

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: the lower half is hidden."""
        super().open()
        self.tools.restyle()
        for part in (self.painter, self.original, self.wall, self.strip):
            part.clear()
        self.painter.set_hint(self.desk.absence or "The pictures are coming …")
        self.wall.set_hint("Paint over a part of the picture on the left.")
        cells = self.desk.cells
        if cells is not None and self.desk.is_picture:
            black = self.desk.pixels(np.full(cells.size, cells.low), "#000000")
            if black is not None and self.painter.known.shape != black.shape:
                self.painter.set_cells(cells, black)
                self.painter.occlude("lower")
                self.painter.set_cells(cells, None)
        self._show_pictures()

    def chain_arguments(self) -> ChainArguments | None:
        """N chains that hold what is known; they begin with noise in what is hidden."""
        cells, picture, known = self.desk.cells, self.desk.picture, self.painter.known
        if cells is None or picture is None or known.size != cells.n_cells or known.all():
            return None
        mask = np.broadcast_to(known, (cells.channels, *known.shape)).reshape(-1)[: cells.size]
        arguments: dict[str, Value] = {
            "start": "noise", "n": self._n, "n_frames": self._length + 1, "sweeps": 1
        }  # fmt: skip
        return arguments, {"known": picture.astype(np.float64), "mask": mask.copy()}

    def save(self) -> dict[str, Value]:
        """How many chains, how long, and what of v is shown."""
        return {
            "complete_n": self._n, "complete_length": self._length, "complete_shown": self._shown
        }  # fmt: skip

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        for name, entries in (("n", COUNTS), ("length", LENGTHS)):
            value = state.get(f"complete_{name}")
            if value in entries:
                setattr(self, f"_{name}", value)
        if state.get("complete_shown") in [name for _, name in SHOWN]:
            self._shown = str(state["complete_shown"])
        self._show_settings()
        self._show_pictures()

    def _show_settings(self) -> None:
        for name in ("n", "length", "shown"):
            self.tools.set_choice(name, getattr(self, f"_{name}"))

    # --- drawing ------------------------------------------------------------------------------

    def _show_pictures(self) -> None:
        palette, cells, desk = self.look.palette, self.desk.cells, self.desk
        all_of_them = desk.pixels(desk.events, palette.raised)
        if cells is None or all_of_them is None or desk.picture is None or not desk.is_picture:
            return
        self.strip.set_pictures(all_of_them)
        self.strip.set_current(desk.index)
        self.painter.set_title("hidden where it is hatched")
        self.painter.set_cells(cells, all_of_them[desk.index])
        self.original.set_title(f"held-out picture {desk.index + 1}", palette.data)
        self.original.set_cells(cells, all_of_them[desk.index])

    def draw(self) -> None:
        """The completions at the sweep that the clock is at."""
        film = self.film
        if film is None or not self.painter.is_occluded:
            self.wall.clear()
            self.wall.set_title("")
            self.chips_changed.emit()
            return
        place = self.place
        flat = film.mean(VISIBLE, place) if self._shown == "means" else film.states[VISIBLE][place]
        pixels = self.desk.pixels(flat, self.look.palette.raised)
        if pixels is not None:
            self.wall.set_pictures(pixels)
        sweeps = round(film.sweeps(place))
        title = f"{film.n_chains} chains after {counted(sweeps, 'sweep')}"
        self.wall.set_title(title, self.look.palette.model)
        self.transport.show_clock("sweeps")
        self.chips_changed.emit()

    def chips(self) -> tuple[Chip, ...]:
        """What the completions are."""
        film = self.film
        if film is None or not self.painter.is_occluded:
            return ()
        tip = (
            "Every chain leaves p(hidden part | the rest) invariant, and so draws from it once it "
            "has forgotten the noise it began with; how soon that is no number here can tell"
        )
        palette = self.look.palette
        return (
            Chip("draws from p(hidden part | rest) in the long run", tip, palette.model, "dot",
                 framed=True),
            Chip(f"{film.n_clamped} values held", "They stay as they are at every half-step",
                 framed=True),
            *self.common_chips(film),
        )  # fmt: skip

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for part in (self.painter, self.original, self.wall, self.strip):
            part.restyle()
        self.strip.setFixedHeight(self.look.px(HEIGHT))
        self._show_pictures()
        self.draw()

    # --- the user -----------------------------------------------------------------------------

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """The tools' keys, and those of the transport."""
        tool = TOOL_KEYS.get(Qt.Key(event.key()))
        if tool is None:
            return super().take_key(event, only_ask=only_ask)
        if not only_ask:
            self.hand.set_current(tool)
            self._on_tool(tool)
        return True

    def _on_tool(self, name: str) -> None:
        self.painter.tool = name

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "part":
            if value is not None:
                self.painter.occlude(str(value))
            self.tools.set_choice("part", None)
        elif name == "shown":
            self._shown = str(value)
            self.draw()
        elif name in ("n", "length") and isinstance(value, int):
            setattr(self, f"_{name}", value)
            self.asks_changed.emit()

    def _on_painted(self) -> None:
        self.draw()
        self.asks_changed.emit()
