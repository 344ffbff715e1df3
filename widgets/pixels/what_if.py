"""What if: one value is changed; what comes after it is drawn again under the same noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.tool_row import Toggle
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.desk import Desk
from widgets.pixels.level_bars import LevelBars
from widgets.pixels.map_view import MapView
from widgets.pixels.mode import Mode, lay_out
from widgets.pixels.picker import PicturePicker
from widgets.pixels.sampling_row import SamplingRow
from widgets.pixels.wall import PictureWall
from widgets.pixels.words import fixed, spaced
from widgets.recall import Recalled

N_FUTURES, N_COARSE = 12, 4
#: Up to so many values all futures are asked for at once; partial answers later than this show.
CHEAP, SLOW_SECONDS = 256, 0.8
#: Steps of the slider for real values.
REAL_STEPS = 200
COMMON_TIP = (
    "Common random numbers: the noise u that led to the picture is kept, so only what depends on "
    "the change changes; off, every future has fresh noise, shared by both branches"
)


class WhatIfMode(Mode, Recalled):
    """A picture, the value that is changed, and the futures that follow."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.picker = PicturePicker(look, desk, "samples")
        self.canvas, self.wall = PixelCanvas(look), PictureWall(look)
        self.bars, self.map = LevelBars(look), MapView(look)
        self.slider, self.value_label = QSlider(Qt.Orientation.Horizontal), QLabel()
        self.index: int | None = None
        self.value: float | None = None
        self._answer: Answer | None = None
        self._conditional: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.tools.add_toggle(Toggle("common", "same noise", COMMON_TIP, "accent", True))
        self.tools.add_toggle(
            Toggle("marks", "mark changes", "Outline the values that are not as in the picture",
                   "warning", True)
        )  # fmt: skip
        self.row = SamplingRow(self.tools, self.desk, ("temperature", "top_p"))
        self.tools.add_button("noise", "new noise", "Other noise u for the futures", "N")
        self.slider.setToolTip("The value x that is put here instead; or click a bar")
        self.slider.setAccessibleName("Value put here instead")
        self.value_label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._chooser = QWidget()
        column = QVBoxLayout(self._chooser)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.bars, 1)
        row = QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(self.value_label)
        column.addLayout(row)
        self._chooser.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.arrange(self.shape)
        self.column.addLayout(self.grid, 1)
        self.column.addWidget(self.picker)
        self.canvas.chosen.connect(self._on_chosen)
        self.bars.picked.connect(self._on_picked)
        self.slider.valueChanged.connect(self._on_slid)
        self.picker.changed.connect(self._on_picture)
        self.desk.changed.connect(self.asks_changed)
        self.tools.toggled.connect(self._on_toggled)
        self.tools.pressed.connect(lambda _: self.desk.set(seed=self.desk.seed + 1))

    def arrange(self, shape: str) -> None:
        """Three columns in a low room, else two rows."""
        canvas, wall, bars, field = self.canvas, self.wall, self._chooser, self.map
        if shape == "low":
            lay_out(self.grid, ((canvas, bars, wall), (canvas, field, wall)), (6, 5), (3, 4, 4))
        else:
            lay_out(self.grid, ((canvas, wall), (bars, field)), (5, 4), (1, 1))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: a value is yet to be chosen."""
        self.row.open()
        for part in (self.canvas, self.wall, self.bars, self.map):
            part.clear()
        self.bars.forget_axis()
        self._answer = self._conditional = None
        self.index = self.value = None
        cells = self.desk.cells
        self.canvas.set_hint("The samples are being drawn …")
        self.wall.set_hint("Click a value of the picture, then another level for it.")
        self.map.canvas.set_hint("Where the futures part from the picture will be seen here.")
        steps = REAL_STEPS if cells is None or cells.levels is None else cells.levels - 1
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(steps, 1))
        if cells is not None:
            row = (3 * cells.rows) // 8
            column = cells.columns // (2 if cells.is_picture else 4)
            self.index = cells.index_at(row, column) or 0
        self.picker.open()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The conditional of the chosen value, and the futures."""
        asked = self.desk.data_questions()
        if self.picker.wants_samples:
            asked["samples"] = self.desk.samples_question(rest=rest)
        picture = self.picker.values
        if picture is None or self.index is None:
            return asked
        about: dict[str, Value] = {"index": self.index, "label": self.picker.label}
        about |= self.desk.ordering() | self.desk.sharpening()
        arrays = {"picture": picture.astype(np.float64)}
        asked["before"] = Question("conditional_at", about, arrays)
        if self.value is not None:
            more: dict[str, Value] = {
                "value": self.value,
                "n": N_FUTURES if rest or len(picture) <= CHEAP else N_COARSE,
                "common": self.tools.is_on("common"),
            }
            asked["futures"] = Question("what_if", about | more, arrays)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one part."""
        if part == "before":
            self._conditional = answer
            self._draw_bars()
        elif part == "futures":
            if not (answer.final or self._answer is None or answer.elapsed > SLOW_SECONDS):
                return
            self._answer = answer
            self._draw_futures()
            self.chips_changed.emit()

    def kept(self) -> tuple[int | None, float | None]:
        """Which value is changed, and to what, for undo."""
        return self.index, self.value

    def keep(self, value: tuple[int | None, float | None]) -> None:
        """Change that one again."""
        cells = self.desk.cells
        if cells is None or value[0] is None or value[0] >= cells.size:
            return
        if value[0] != self.index:
            self.index, self._answer, self._conditional = value[0], None, None
            self.wall.clear()
            self.map.clear()
        self._set_value(value[1])

    def what_changed(self, before: tuple[Any, Any], after: tuple[Any, Any]) -> str:
        """What was changed."""
        return "put another value here" if before[0] == after[0] else "change another value"

    def chips(self) -> tuple[Chip, ...]:
        """How much the change did."""
        if self._answer is None:
            return ()
        v, palette = self._answer.values, self.look.palette
        n = len(self._answer.arrays["changed"])
        mean = float(v.get("n_differ") or 0.0)  # type: ignore[arg-type]
        place = int(v.get("place") or 0)  # type: ignore[arg-type]
        chips = [
            Chip(f"{fixed(mean, 1)} further values differ, mean of {n} futures",
                 "An estimate from these futures: values after the changed one that are other "
                 "than without the change, under the same noise", palette.warning, "dot",
                 framed=True),
            Chip(f"{place} earlier values stay", "A value depends on earlier ones only: what "
                 "precedes the change cannot change", framed=True),
        ]  # fmt: skip
        if lost := int(v.get("n_impossible") or 0):  # type: ignore[arg-type]
            tip = "Values of this picture that are never drawn so: no noise leads to them"
            chips.append(Chip(f"{lost} later values cannot be drawn so: drawn afresh", tip,
                              palette.warning, "dot", framed=True))  # fmt: skip
        sharp = self.desk.sharp_words
        chips += [Chip(sharp, "The conditionals are sharpened", framed=True)] if sharp else []
        chips.append(Chip(f"step {spaced(self._answer.step)}", "Training step of these weights",
                          framed=True))  # fmt: skip
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.canvas, self.wall, self.bars, self.map, self.picker):
            part.restyle()
        self.value_label.setFont(self.look.font(0.88))
        self.value_label.setStyleSheet(
            f"color: {self.look.palette.muted}; background: transparent"
        )
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        cells, picture = self.desk.cells, self.picker.values
        if cells is None or picture is None:
            return
        changed = picture.copy()
        if self.index is not None and self.value is not None:
            changed[self.index] = self.value
        everything = np.ones(cells.size, dtype=bool)
        self.canvas.set_cells(cells, cells.pixels(changed, everything, self.look.palette.raised))
        self.canvas.set_words(cells.written(changed, everything))
        self.canvas.set_title(
            f"{self.picker.words_with_class}, one value changed", self.picker.colour
        )
        self.canvas.set_at(self.index)
        self._draw_value()
        self._draw_futures()

    def _draw_value(self) -> None:
        cells, picture = self.desk.cells, self.picker.values
        if cells is None or picture is None or self.index is None:
            return
        was = float(picture[self.index])
        now = was if self.value is None else self.value
        self.value_label.setText(f"{cells.value_words(was)} → {cells.value_words(now)}")
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(self._slider_place(now)))

    def _slider_place(self, value: float) -> float:
        cells = self.desk.cells
        if cells is None or cells.levels is not None:
            return value
        return (value - cells.low) / (cells.high - cells.low) * REAL_STEPS

    def _draw_bars(self) -> None:
        cells, answer = self.desk.cells, self._conditional
        if cells is None or answer is None or self.index is None:
            return
        words = f"p(x | earlier), {cells.words(self.index)}: click a level"
        self.bars.set_heading(words, "The conditional of this value; the one put here is bright")
        picture = self.picker.values
        value = self.value
        if value is None and picture is not None:
            value = float(picture[self.index])
        if "drawn_from" in answer.arrays:
            self.bars.set_levels(answer.arrays["drawn_from"], value)
        elif "nodes" in answer.arrays:
            self.bars.set_curve(answer.arrays["nodes"], answer.arrays["density"], value)

    def _draw_futures(self) -> None:
        cells, answer, picture = self.desk.cells, self._answer, self.picker.values
        if cells is None or answer is None or picture is None:
            return
        changed = answer.arrays["changed"]
        flat = changed.reshape(len(changed), -1).astype(np.float32)
        if flat.shape[1] != cells.size:
            return
        everything = np.ones(cells.size, dtype=bool)
        self.wall.set_title(f"{len(flat)} futures", self.look.palette.model)
        self.wall.set_pictures(cells.pixels(flat, everything, self.look.palette.raised))
        before = answer.arrays["unchanged"].reshape(len(changed), -1)
        other = cells.any_channel(flat != before.astype(np.float32))
        on = self.tools.is_on("marks")
        self.wall.set_marks(other if on else None, self.look.palette.warning)
        after = answer.arrays["descendants"].reshape(-1).astype(bool)
        share = answer.arrays["differs"].reshape(-1)
        if self.index is not None:
            after = after.copy()
            after[self.index] = True
        self.map.canvas.set_title("share of futures that differ")
        label = "share, estimate" if cells.channels == 1 else "mean share of a pixel, estimate"
        self.map.set_map(cells, share / cells.channels, after, label, (0.0, 1.0))
        self.map.canvas.set_at(self.index)

    # --- the user -----------------------------------------------------------------------------

    def _propose(self) -> None:
        """The far end of the scale, so that something happens at once."""
        picture, cells = self.picker.values, self.desk.cells
        if picture is None or cells is None or self.index is None:
            return
        below = float(picture[self.index]) < (cells.low + cells.high) / 2
        inset = 0.0 if cells.levels is not None else 0.25 * (cells.high - cells.low)
        self._set_value(cells.high - inset if below else cells.low + inset)

    def _set_value(self, value: float | None) -> None:
        self.value = value
        self._draw()
        self._draw_bars()
        self.asks_changed.emit()

    def _on_chosen(self, index: int) -> None:
        if index == self.index and self.value is not None:
            return
        self.index, self._answer, self._conditional = index, None, None
        self.wall.clear()
        self.map.clear()
        self._propose()

    def _on_picked(self, value: float) -> None:
        self._set_value(value)

    def _on_slid(self, place: int) -> None:
        cells = self.desk.cells
        if cells is None:
            return
        share = place / REAL_STEPS
        real = cells.low + share * (cells.high - cells.low)
        self._set_value(float(place) if cells.levels is not None else real)

    def _on_picture(self) -> None:
        if self.value is None:
            self._propose()
        self._draw()
        self.asks_changed.emit()

    def _on_toggled(self, *_: Any) -> None:
        self._draw_futures()
        self.asks_changed.emit()
