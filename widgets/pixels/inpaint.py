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
from widgets.controls.tool_row import Toggle
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.cells import Mask
from widgets.pixels.desk import Desk
from widgets.pixels.mode import Mode, lay_out
from widgets.pixels.picker import PicturePicker
from widgets.pixels.sampling_row import SamplingRow
from widgets.pixels.wall import PictureWall
from widgets.pixels.words import sharpened, spaced

N_COMPLETIONS, N_COARSE = 12, 4
#: Up to so many values all completions are asked for at once; partial answers later than this
#: are shown.
CHEAP, SLOW_SECONDS = 256, 0.8
TOOLS = (
    ("brush", "brush", "Occlude with a disc (B); the wheel changes its size"),
    ("rectangle", "rectangle", "Occlude a rectangle (R)"),
    ("eraser", "eraser", "Reveal again (E); so does the right button"),
)
TOOL_KEYS = {Qt.Key.Key_B: "brush", Qt.Key.Key_R: "rectangle", Qt.Key.Key_E: "eraser"}
ONE_ORDER_WORDS = "A NADE or MADE with order_agnostic would condition on all of them."


class InpaintMode(Mode):
    """The lecture's figure: occluded, completions, original."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.picker = PicturePicker(look, desk, "data")
        self.painter, self.original = MaskPainter(look), PixelCanvas(look)
        self.wall, self.words = PictureWall(look), QLabel()
        self.hand = Segments(look, TOOLS)
        self._answer: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.tools.addWidget(self.hand)
        self.tools.add_choice("part", "Occlude a whole part at once")
        parts = (("occlude …", None), *((f"{name} half", name) for name in HALVES[:4]))
        self.tools.set_choices("part", (*parts, ("centre", "centre"), ("nothing", "")))
        self.row = SamplingRow(self.tools, self.desk, ("temperature", "top_p", "label"))
        self.tools.add_toggle(
            Toggle("own", "own order", "Keep the model's own order: known values that come later "
                   "are then kept but not conditioned on, as in a model with one order", "warning")
        )  # fmt: skip
        self.tools.add_button("noise", "new noise", "Other noise u for all completions", "N")
        self.words.setWordWrap(True)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.column.addLayout(self.grid, 1)
        self.column.addWidget(self.words)
        self.column.addWidget(self.picker)
        self.arrange(self.shape)
        self.hand.chosen.connect(self._on_tool)
        self.tools.chosen.connect(self._on_part)
        self.tools.toggled.connect(lambda *_: self.asks_changed.emit())
        self.tools.pressed.connect(lambda _: self.desk.set(seed=self.desk.seed + 1))
        self.desk.changed.connect(self.asks_changed)
        self.painter.painted.connect(self._on_painted)
        self.picker.changed.connect(self._on_picture)

    def arrange(self, shape: str) -> None:
        """Side by side where there is width, else the completions below."""
        painter, wall, original = self.painter, self.wall, self.original
        if shape == "low":
            lay_out(self.grid, ((painter, wall, original),), (1,), (4, 6, 3))
        else:
            lay_out(self.grid, ((painter, original), (wall, wall)), (5, 5), (3, 2))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: the lower half is occluded."""
        self.row.open()
        self._answer = None
        for part in (self.painter, self.original, self.wall):
            part.clear()
        self.tools.set_usable("own", self.desk.has_orders)
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
        arguments: dict[str, Value] = {
            "n": N_COMPLETIONS if rest or len(picture) <= CHEAP else N_COARSE,
            "seed": self.desk.seed,
            "label": self.desk.label if self.desk.has_labels else -1,
            "own_order": self.tools.is_on("own"),
        }
        arrays = {"known": picture.astype(np.float64), "mask": known}
        sharp = self.desk.sharpening()
        asked["completions"] = Question("complete", arguments | sharp, arrays)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the completions."""
        if part == "completions":
            if not (answer.final or self._answer is None or answer.elapsed > SLOW_SECONDS):
                return
            self._answer = answer
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
        sharp = sharpened(self.desk.temperature, self.desk.top_p)
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
        for part in (self.painter, self.original, self.wall, self.picker):
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
            self.painter.set_marks()
            return
        drawn = answer.arrays["completions"]
        flat = drawn.reshape(len(drawn), -1).astype(np.float32)
        if flat.shape[1] != cells.size:
            return
        everything = np.ones(cells.size, dtype=bool)
        self.wall.set_pictures(cells.pixels(flat, everything, self.look.palette.raised))
        self.wall.set_title(f"{len(flat)} completions", self.look.palette.model)
        unseen = cells.any_channel(answer.arrays["unseen"].reshape(-1).astype(bool))
        self.painter.set_marks((unseen & self.painter.known, self.look.palette.warning, "dot"))

    def _write_words(self) -> None:
        """What an occlusion of this shape means for this model."""
        v = self._answer.values if self._answer is not None else {}
        words = str(v.get("words", ""))
        text = f"{words[:1].upper()}{words[1:]}." if words else ""
        if v.get("n_unseen"):
            kept = self.desk.has_orders
            text += (
                " Switch “own order” off to condition on all." if kept else f" {ONE_ORDER_WORDS}"
            )
        self.words.setText(text)

    # --- the user -----------------------------------------------------------------------------

    def _on_tool(self, name: str) -> None:
        self.painter.tool = name

    def _on_part(self, name: str, value: object) -> None:
        if name == "part":
            if value is not None:
                self.painter.occlude(str(value))
            self.tools.set_choice("part", None)

    def _on_painted(self) -> None:
        if not self.painter.is_occluded:
            self._answer = None
            self._draw_completions()
        self.chips_changed.emit()
        self.asks_changed.emit()

    def _on_picture(self) -> None:
        self._draw()
        self.asks_changed.emit()
