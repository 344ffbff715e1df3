"""Inpaint: paint what is occluded; completions stand between it and the original."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.mask_painter import HALVES, MaskPainter
from widgets.controls.segments import Segments
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.cells import Mask, setting
from widgets.pixels.desk import Desk
from widgets.pixels.mode import Mode, lay_out
from widgets.pixels.order_words import difference, meaning
from widgets.pixels.picker import PicturePicker
from widgets.pixels.sampling_row import SamplingRow
from widgets.pixels.wall import PictureWall
from widgets.pixels.words import spaced

N_COMPLETIONS, N_BESIDE, N_COARSE = 12, 10, 4
#: Up to so many values all completions are asked for at once; partial answers later than this
#: are shown.
CHEAP, SLOW_SECONDS = 256, 0.8
TOOLS = (
    ("brush", "brush", "Occlude with a disc (B); the wheel changes its size"),
    ("rectangle", "rectangle", "Occlude a rectangle (R)"),
    ("eraser", "eraser", "Reveal again (E); so does the right button"),
)
TOOL_KEYS = {Qt.Key.Key_B: "brush", Qt.Key.Key_R: "rectangle", Qt.Key.Key_E: "eraser"}
CLASS_TIP = (
    "Class c of all completions; any class leaves it open: each draw weighs the classes by "
    "p(c | values before it)"
)
GIVEN = (("given all | earlier", "both"), ("given all", "all"), ("given earlier", "earlier"))
GIVEN_TIP = (
    "Which known values the completions of this order-agnostic model are conditioned on: all of "
    "them, which come first in the order then; or those that come earlier in its own order, as in "
    "a model with one order; or both, side by side, under the same noise"
)


class InpaintMode(Mode):
    """The lecture's figure: occluded, completions, original."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.picker = PicturePicker(look, desk, "data")
        self.painter, self.original = MaskPainter(look), PixelCanvas(look)
        self.wall, self.words = PictureWall(look, parent=self), QLabel()
        self.beside = PictureWall(look, parent=self)
        self.hand = Segments(look, TOOLS)
        self._answer: Answer | None = None
        self._kept: Answer | None = None
        self._given = "both"
        self._build()

    def _build(self) -> None:
        self.tools.addWidget(self.hand)
        self.tools.add_choice("part", "Occlude a whole part at once")
        parts = (("occlude …", None), *((f"{name} half", name) for name in HALVES[:4]))
        self.tools.set_choices("part", (*parts, ("centre", "centre"), ("nothing", "")))
        names = ("temperature", "top_p", "label")
        self.row = SamplingRow(self.tools, self.desk, names, no_class=("any class", CLASS_TIP))
        self.tools.add_choice("given", GIVEN_TIP)
        self.tools.set_choices("given", GIVEN)
        self.tools.add_button("noise", "new noise", "Other noise u for all completions", "N")
        self.words.setWordWrap(True)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.column.addLayout(self.grid, 1)
        self.column.addWidget(self.words)
        self.column.addWidget(self.picker)
        self.beside.hide()
        self.arrange(self.shape)
        self.hand.chosen.connect(self._on_tool)
        self.tools.chosen.connect(self._on_part)
        self.tools.pressed.connect(lambda _: self.desk.set(seed=self.desk.seed + 1))
        self.desk.changed.connect(self.asks_changed)
        self.painter.painted.connect(self._on_painted)
        self.picker.changed.connect(self._on_picture)

    def arrange(self, shape: str) -> None:
        """Side by side where there is width, else the completions below."""
        painter, wall, original = self.painter, self.wall, self.original
        beside = wall if self.beside.isHidden() else self.beside
        if shape == "low":
            lay_out(self.grid, ((painter, wall, beside, original),), (1,), (4, 3, 3, 3))
        else:
            top = (painter, painter, original, original)
            lay_out(self.grid, (top, (wall, wall, beside, beside)), (5, 5), (1, 1, 1, 1))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: the lower half is occluded."""
        self.row.open()
        self._answer = self._kept = None
        for part in (self.painter, self.original, self.wall, self.beside):
            part.clear()
        self.tools.show_choice("given", self.desk.has_orders)
        self._show_beside()
        self.words.clear()
        self.painter.set_hint("The pictures are coming …")
        self.wall.set_hint("Paint over a part of the picture on the left.")
        cells = self.desk.cells
        if cells is not None:
            everything = np.ones(cells.size, dtype=bool)
            black = cells.pixels(np.full(cells.size, cells.low), everything, "#000000")
            if self.painter.known.shape != black.shape:
                self.painter.set_cells(cells, black)
                self.painter.occlude("lower")
                self.painter.set_cells(cells, None)
        self.picker.open()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Completions; fewer while a stroke goes on."""
        asked = self.desk.data_questions()
        if self.picker.wants_samples:
            asked["samples"] = self.desk.samples_question(rest=rest)
        known, picture = self._known(), self.picker.values
        if known is None or picture is None or known.all():
            return asked
        most = N_BESIDE if self.compares else N_COMPLETIONS
        arguments: dict[str, Value] = {
            "n": most if rest or len(picture) <= CHEAP else N_COARSE,
            "seed": self.desk.seed,
            "label": self.desk.label if self.desk.has_labels else -1,
            "own_order": self._given == "earlier",
        }
        arguments |= self.desk.sharpening()
        arrays = {"known": picture.astype(np.float64), "mask": known}
        asked["completions"] = Question("complete", arguments, arrays)
        if self.compares:
            asked["kept"] = Question("complete", arguments | {"own_order": True}, arrays)
        return asked

    @property
    def compares(self) -> bool:
        """Whether completions given all known values stand beside those given earlier ones."""
        return self.desk.has_orders and self._given == "both"

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the completions."""
        if part in ("completions", "kept"):
            before = self._answer if part == "completions" else self._kept
            if not (answer.final or before is None or answer.elapsed > SLOW_SECONDS):
                return
            if part == "completions":
                self._answer = answer
            else:
                self._kept = answer
            self._draw_completions()
            self._write_words()
            self.chips_changed.emit()

    def chips(self) -> tuple[Chip, ...]:
        """What the completions are given."""
        if self._answer is None or not self.painter.is_occluded:
            return ()
        v, palette = self._answer.values, self.look.palette
        unseen = int(v.get("n_unseen") or 0)  # type: ignore[arg-type]
        given = (
            "exact conditional draws" if v.get("exact") else "not conditioned on everything known"
        )
        if unseen == 0 and not v.get("exact"):
            given = "sharpened draws"
        colour = palette.good if v.get("exact") else palette.warning
        chips = [
            Chip(given, str(v.get("words", "")), colour, "dot", framed=True),
            Chip(f"{v.get('n_known')} values known", "They stay as they are in every completion",
                 framed=True),
        ]  # fmt: skip
        if unseen:
            tip = str(v.get("words", ""))
            chips.append(Chip(f"{unseen} kept, not conditioned on", tip, palette.warning, "dot",
                              framed=True))  # fmt: skip
        sharp = self.desk.sharp_words
        chips += [Chip(sharp, "The conditionals are sharpened", framed=True)] if sharp else []
        chips.append(Chip(f"step {spaced(self._answer.step)}", "Training step of these weights",
                          framed=True))  # fmt: skip
        return tuple(chips)

    def take_key(self, event: Any, *, only_ask: bool = False) -> bool:
        """B, R and E take a tool; I inverts."""
        tool = TOOL_KEYS.get(Qt.Key(event.key()))
        if tool is None or event.modifiers() != Qt.KeyboardModifier.NoModifier:
            return False
        if not only_ask:
            self.hand.set_current(tool)
            self._on_tool(tool)
        return True

    def restyle(self) -> None:
        """Take colours from the look."""
        self.words.setFont(self.look.font(0.88))
        self.words.setStyleSheet(f"color: {self.look.palette.muted}; background: transparent")
        for part in (self.painter, self.original, self.wall, self.beside, self.picker):
            part.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _known(self) -> Mask | None:
        """(D,), true where the picture is known."""
        cells = self.desk.cells
        if cells is None or self.painter.known.shape != (cells.rows, cells.columns):
            return None
        every = np.broadcast_to(self.painter.known, (cells.channels, cells.rows, cells.columns))
        return every.reshape(-1)[: cells.size].copy()

    def _draw(self) -> None:
        cells, picture = self.desk.cells, self.picker.values
        if cells is None or picture is None:
            return
        everything = np.ones(cells.size, dtype=bool)
        pixels = cells.pixels(picture, everything, self.look.palette.raised)
        self.painter.set_cells(cells, pixels)
        self.original.set_cells(cells, pixels)
        self.original.set_words(cells.written(picture, everything))
        self.painter.set_title("occluded: paint here", self.look.palette.warning)
        self.original.set_title(f"original: {self.picker.words}", self.picker.colour)
        self._draw_completions()

    def _draw_completions(self) -> None:
        cells, answer = self.desk.cells, self._answer
        if cells is None or answer is None or not self.painter.is_occluded:
            self.wall.clear()
            self.beside.clear()
            self.painter.set_marks()
            return
        palette, kept = self.look.palette, self._kept if self.compares else None
        title = f"{len(answer.arrays['completions'])} completions"
        self._fill(self.wall, answer, f"{title}, given all" if self.compares else title)
        if kept is not None:
            self._fill(self.beside, kept, "given earlier ones only")
        unseen = (kept or answer).arrays["unseen"].reshape(-1).astype(bool)
        marked = cells.any_channel(unseen) & self.painter.known
        self.painter.set_marks((marked, palette.warning, "dot"))

    def _fill(self, wall: PictureWall, answer: Answer, title: str) -> None:
        cells, drawn = self.desk.cells, answer.arrays["completions"]
        flat = drawn.reshape(len(drawn), -1).astype(np.float32)
        if cells is None or flat.shape[1] != cells.size:
            return
        everything = np.ones(cells.size, dtype=bool)
        wall.set_pictures(cells.pixels(flat, everything, self.look.palette.raised))
        palette = self.look.palette
        wall.set_title(title, palette.warning if wall is self.beside else palette.model)

    def _show_beside(self) -> None:
        if self.beside.isHidden() == self.compares:
            self.beside.setVisible(self.compares)
            self.arrange(self.shape)

    def _write_words(self) -> None:
        """What an occlusion of this shape means for this model."""
        told, kept = self._answer, self._kept
        if told is None:
            self.words.clear()
        elif self.compares and kept is not None:
            order = str(setting(self.desk.info, "order") or "") if self.desk.info else ""
            self.words.setText(difference(told, kept, order))
        else:
            self.words.setText(meaning(told, takes_any=self.desk.has_orders))

    # --- the user -----------------------------------------------------------------------------

    def _on_tool(self, name: str) -> None:
        self.painter.tool = name

    def _on_part(self, name: str, value: object) -> None:
        if name == "part":
            if value is not None:
                self.painter.occlude(str(value))
            self.tools.set_choice("part", None)
        elif name == "given":
            self._given = str(value)
            self._kept = None
            self._show_beside()
            self.asks_changed.emit()

    def _on_painted(self) -> None:
        if not self.painter.is_occluded:
            self._answer = self._kept = None
            self._draw_completions()
            self._write_words()
        self.chips_changed.emit()
        self.asks_changed.emit()

    def _on_picture(self) -> None:
        self._draw()
        self.asks_changed.emit()
