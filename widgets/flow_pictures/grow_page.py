"""Grow: noise becomes a picture, from the coarsest scale to the finest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.flow_pictures.desk import PicturesDesk
from widgets.flow_pictures.page import Page
from widgets.flow_pictures.slider import NumberSlider
from widgets.latent.picture_table import PictureTable
from widgets.look import Look
from widgets.panel import Question

ROWS = (3, 4, 6, 8, 12)
N_ROWS = 6
HIGHEST = 2.0
TIP = "Spread T of the base noise: 0 is the picture of no noise, 1 the model's own samples"
TITLE = "base noise enters from coarse (left) to fine (right)"


class GrowPage(Page):
    """Scales as columns, samples as rows."""

    def __init__(self, look: Look, desk: PicturesDesk) -> None:
        super().__init__(look, desk)
        self.rows, self.seed = N_ROWS, 0
        self.temperature = NumberSlider(look, "T", (0.0, HIGHEST), 0.05, TIP)
        self.temperature.set_value(1.0)
        self.table = PictureTable(look)
        self._answer: Answer | None = None
        self.tools.add_choice("rows", "Samples")
        self.tools.set_choices("rows", tuple((f"{n} samples", n) for n in ROWS))
        self.tools.set_choice("rows", self.rows)
        self.tools.addWidget(self.temperature)
        self.tools.add_button("noise", "new noise", "Other draws of the base noise", "N")
        self.column.addWidget(self.table, 1)
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(self._on_pressed)
        self.temperature.moved.connect(lambda _: self.asks_changed.emit())

    def open(self) -> None:
        """Another run."""
        self._answer = None
        self.table.clear()
        self.table.set_title("")
        self.table.set_hint("The samples are coming …")

    def question(self, *, rest: bool) -> Question:
        """All pictures at this temperature."""
        wanted: dict[str, Value] = {
            "n": self.rows, "temperature": self.temperature.value, "seed": self.seed,
        }  # fmt: skip
        return Question("flow_pictures", wanted)

    def take(self, answer: Answer) -> None:
        """Draw them."""
        pictures = answer.arrays.get("pictures")
        if pictures is None or pictures.ndim < 3:
            return
        flat = pictures.reshape(*pictures.shape[:2], -1)
        pixels = self.desk.pixels(flat, self.look.palette.raised)
        if pixels is None:
            return
        self._answer = answer
        rows = tuple(f"{i + 1}" for i in range(len(flat)))
        self.table.set_pictures(pixels, rows, self._columns(flat.shape[1], flat.shape[2]))
        self.table.set_title(TITLE, self.look.palette.model)
        self.chips_changed.emit()

    def _columns(self, count: int, size: int) -> tuple[str, ...]:
        kept = self._kept()
        if len(kept) != count:
            return ()
        words = [f"{n}/{size}" for n in kept]
        words[0] = "no noise"
        return (*words[:-1], "sample")

    def _kept(self) -> list[int]:
        kept = self._answer.values.get("kept") if self._answer is not None else None
        return [int(n) for n in kept] if isinstance(kept, list) else []

    def chips(self) -> tuple[Chip, ...]:
        """How the values are shared among the scales."""
        kept = self._kept()
        if len(kept) < 2:
            return ()
        shares = np.diff(kept).tolist()
        scales = " + ".join(str(n) for n in shares)
        count = f"{len(shares)} scales" if len(shares) > 1 else "1 scale"
        words = f"{count}, {scales} of {kept[-1]} values" if len(shares) > 1 else f"{count}"
        tip = (
            "Values that stay to the coarsest scale, and those that leave for the base at each "
            "finer one. What has no noise rests at the mean that its prior predicts, or at 0."
        )
        exact = Chip(
            "last column: exact samples at T" if self.temperature.value != 1.0
            else "last column: exact samples",
            "All noise is in it: it is what the model's sample gives at this temperature",
            framed=True,
        )  # fmt: skip
        return Chip(words, tip, self.look.palette.model, "dot", framed=True), exact

    def save(self) -> dict[str, Value]:
        """Rows, temperature and noise."""
        return {"rows": self.rows, "temperature": self.temperature.value, "noise": self.seed}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        rows, heat, seed = state.get("rows"), state.get("temperature"), state.get("noise")
        if rows in ROWS and isinstance(rows, int):
            self.rows = rows
            self.tools.set_choice("rows", rows)
        if isinstance(heat, int | float) and 0.0 <= heat <= HIGHEST:
            self.temperature.set_value(float(heat))
        if isinstance(seed, int) and 0 <= seed < 2**31:
            self.seed = seed

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.table.restyle()
        self.temperature.restyle()
        if self._answer is not None:
            self.take(self._answer)

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "rows" and isinstance(value, int):
            self.rows = value
            self.asks_changed.emit()

    def _on_pressed(self, name: str) -> None:
        if name == "noise":
            self.seed += 1
            self.asks_changed.emit()
