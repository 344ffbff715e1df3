"""Levels: one latent of a hierarchy is drawn again, the others are held."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtWidgets import QStackedWidget

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.latent.decoded_view import DecodedView
from widgets.latent.desk import Desk
from widgets.latent.mode import Mode
from widgets.latent.picture_table import PictureTable
from widgets.look import Look
from widgets.panel import Question

COUNTS = (6, 8, 12, 16)
STARTS = (("a draw of the prior", "prior"), ("a test observation", "data"))
#: Rows are asked one by one, one part each; more levels than this are not shown.
MOST_LEVELS = 12


class LevelsMode(Mode):
    """One row per level: what each of them decides."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.n, self.seed, self.start = 8, 0, "prior"
        self.table, self.net = PictureTable(look), DecodedView(look, desk)
        self.pages = QStackedWidget()
        self._answers: dict[str, Answer] = {}
        self._build()

    def _build(self) -> None:
        self.tools.add_choice("n", "Pictures in a row: the first is before anything is drawn anew")
        self.tools.set_choices("n", tuple((f"{n} a row", n) for n in COUNTS))
        self.tools.set_choice("n", self.n)
        self.tools.add_choice("start", "What all rows begin with")
        self.tools.set_choices("start", STARTS)
        self.tools.add_button("again", "draw again", "Other random numbers and another start", "N")
        self.pages.addWidget(self.table)
        self.pages.addWidget(self.net)
        self.column.addWidget(self.pages, 1)
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(lambda _: self._again())

    def open(self) -> None:
        """Another run."""
        self._answers = {}
        self.table.clear()
        self.table.set_hint("The levels are coming …")
        self.net.open()
        self.pages.setCurrentWidget(self.net if self.net.is_plane else self.table)

    def refusal(self) -> str:
        """Only for several latents."""
        few = len(self.desk.names) < 2
        return "this model has a single latent; a hierarchy has several" if few else ""

    @property
    def levels(self) -> tuple[str, ...]:
        """The latents shown, the topmost first."""
        return self.desk.names[:MOST_LEVELS]

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """A row per level."""
        asked = dict(self.net.data_question())
        if len(self.desk.names) < 2:
            return asked
        from_data = self.start == "data" and self.desk.encodes and self.desk.info is not None
        n_test = self.desk.info.data.n_test if self.desk.info is not None else 1
        for level in self.levels:
            wanted: dict[str, Any] = {
                "level": level, "n": self.n, "seed": self.seed,
                "index": self.seed % max(n_test, 1) if from_data else -1,
            }  # fmt: skip
            asked[f"level {level}"] = Question("latent_levels", wanted)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "data":
            self.net.show_data(answer)
        elif part.startswith("level "):
            self._answers[part.removeprefix("level ")] = answer
            self._draw()
        self.chips_changed.emit()

    def _draw(self) -> None:
        cells = self.desk.cells
        rows = [
            (n, self._answers[n].arrays["pictures"]) for n in self.levels if n in self._answers
        ]
        if cells is None or not rows:
            return
        most = min(len(pictures) for _, pictures in rows)
        flat = np.stack([p[:most].reshape(most, -1) for _, p in rows]).astype(np.float32)
        if flat.shape[-1] != cells.size:
            return
        if self.net.is_plane:
            points = flat.reshape(-1, cells.size)
            padded = points if cells.size > 1 else np.pad(points, ((0, 0), (0, 1)))
            self.net.dot.set_points(padded)
            return
        everything = np.ones(cells.size, dtype=bool)
        columns = ("before", *("" for _ in range(most - 1)))
        self.table.set_pictures(
            cells.pixels(flat, everything, self.look.palette.raised),
            tuple(f"draw {name}" for name, _ in rows), columns,
        )  # fmt: skip
        self.table.set_title("each row draws one level again", self.look.palette.model)

    def chips(self) -> tuple[Chip, ...]:
        """What is held."""
        if not self._answers:
            return ()
        tip = "Levels above keep their values; levels below keep their noise ε = (z − m)/s, so "
        tip += "that what changes is the drawn level's doing alone"
        return (
            Chip("levels above held, noise below held", tip, self.look.palette.model, "dot",
                 framed=True),
            Chip(f"decoded: {self.desk.decoded_words}", "Without fresh noise", framed=True),
        )  # fmt: skip

    def restyle(self) -> None:
        """Take colours from the look."""
        self.table.restyle()
        self.net.restyle()
        self._draw()

    def _on_chosen(self, name: str, value: object) -> None:
        setattr(self, name, value)
        self.asks_changed.emit()

    def _again(self) -> None:
        self.seed += 1
        self.asks_changed.emit()
