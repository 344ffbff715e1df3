"""Traverse: one row per coordinate of z, moved by itself, the most used ones first."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtWidgets import QStackedWidget

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.latent.decoded_view import DecodedView
from widgets.latent.desk import Desk, subscript
from widgets.latent.mode import Mode
from widgets.latent.picture_table import PictureTable, Spot
from widgets.latent.words import number, vector
from widgets.look import Look
from widgets.panel import Pointed, Question

ROWS = (4, 8, 12, 20, 32)
STEPS = 11
REACHES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
CENTRES = (("around the prior's mean", "prior"), ("around the chosen z", "chosen"))
ORDERS = {
    "kl": ("sorted by KL, exact", "Mean KL(q(z_j | x) ‖ p(z_j)) over the data, nats"),
    "kl estimate": ("sorted by KL, an estimate", "q is tilted or known by draws, or the prior is "
                    "no normal: the KL is that of Gaussians as wide as each coordinate"),
    "index": ("in the order of z", "Without an encoder there is no KL"),
    "levels": ("every level", "Each level of the latent decoded"),
}  # fmt: skip


class TraverseMode(Mode):
    """What each coordinate does."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.rows, self.reach, self.centre = 12, 2.5, "prior"
        self.table, self.net = PictureTable(look), DecodedView(look, desk)
        self.pages = QStackedWidget()
        self._answer: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.tools.add_choice("latent", "Which of the model's latents is moved")
        self.tools.show_choice("latent", on=False)
        self.tools.add_choice("rows", "Most rows")
        self.tools.set_choices("rows", tuple((f"up to {n} rows", n) for n in ROWS))
        self.tools.set_choice("rows", self.rows)
        self.tools.add_choice("reach", "How far each way, in standard deviations of the prior")
        self.tools.set_choices("reach", tuple((f"± {r:g} σ", r) for r in REACHES))
        self.tools.set_choice("reach", self.reach)
        self.tools.add_choice("centre", "Where all other coordinates rest: choose a point in the "
                              "plane for the second")  # fmt: skip
        self.tools.set_choices("centre", CENTRES)
        self.pages.addWidget(self.table)
        self.pages.addWidget(self.net)
        self.column.addWidget(self.pages, 1)
        self.tools.chosen.connect(self._on_chosen)
        self.table.hovered.connect(self._on_hovered)
        self.table.chosen.connect(self._on_spot)

    def open(self) -> None:
        """Another run."""
        self._answer = None
        self.table.clear()
        self.table.set_hint("The traversals are coming …")
        self.net.open()
        self.pages.setCurrentWidget(self.net if self.net.is_plane else self.table)

    def refresh(self) -> None:
        """Offer the latents, where there are several."""
        names = self.desk.names
        self.tools.set_choices("latent", tuple((name, name) for name in names))
        self.tools.set_choice("latent", self.desk.values.get("latent"))
        self.tools.show_choice("latent", len(names) > 1)

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """All rows."""
        asked = dict(self.net.data_question())
        if not self.desk.kind:
            return asked
        fine = self.desk.is_fine(rest=rest)
        wanted: dict[str, Any] = {
            "rows": self.rows, "steps": STEPS, "reach": self.reach, "latent": self.desk.latent,
            "n": 2000 if fine else 300,
        }  # fmt: skip
        arrays = {}
        if self.centre == "chosen" and self.desk.z is not None and self.desk.is_real:
            arrays["z"] = self.desk.z
        if self.net.is_plane:
            wanted["steps"] = 41
        asked["traverse"] = Question("latent_traverse", wanted, arrays, coarse={"n": 100})
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "data":
            self.net.show_data(answer)
        elif part == "traverse":
            self._answer = answer
            self._draw()
        self.chips_changed.emit()

    def _draw(self) -> None:
        answer, cells = self._answer, self.desk.cells
        pictures = None if answer is None else answer.arrays.get("pictures")
        if answer is None or pictures is None or pictures.ndim < 3:
            return
        if self.net.is_plane:
            self._draw_curves(answer)
            return
        if cells is None or not pictures.size or pictures[0, 0].size != cells.size:
            return
        flat = pictures.reshape(*pictures.shape[:2], -1).astype(np.float32)
        everything = np.ones(cells.size, dtype=bool)
        pixels = cells.pixels(flat, everything, self.look.palette.raised)
        if answer.values.get("kind") != "real":
            first = 1 if answer.values.get("kind") == "category" else 0  # states have numbers
            columns = tuple(str(k + first) for k in range(pictures.shape[1]))
            one = (str(self.desk.values.get("latent") or "k"),)
            rows = one if len(pictures) == 1 else self._row_words(answer)
            self.table.set_pictures(pixels, rows, columns)
        else:
            offsets = answer.arrays.get("offsets", np.zeros(0))
            columns = tuple(f"{float(o):+.1f} σ".replace("-", "−") for o in offsets)
            self.table.set_pictures(pixels, self._row_words(answer), columns)
        around = "the chosen z" if self.centre == "chosen" else "the prior's mean"
        words = "levels of the latent" if answer.values.get("kind") != "real" else (
            f"one coordinate at a time, around {around}")  # fmt: skip
        self.table.set_title(f"{self.desk.decoded_words}: {words}", self.look.palette.model)

    def _draw_curves(self, answer: Answer) -> None:
        """Each coordinate's curve through the data's space; levels are dots."""
        pictures = answer.arrays["pictures"]
        flat = pictures.reshape(*pictures.shape[:2], -1)
        if answer.values.get("kind") == "real":
            self.net.set_curves(flat)
        else:
            points = flat[0] if flat.shape[-1] > 1 else np.pad(flat[0], ((0, 0), (0, 1)))
            self.net.dot.set_points(points)

    def _row_words(self, answer: Answer) -> tuple[str, ...]:
        kl = answer.arrays.get("kl", np.zeros(0))
        name = str(self.desk.values.get("latent") or "z")
        words = []
        for row, coordinate in enumerate(answer.arrays["coordinates"]):
            known = row < len(kl) and np.isfinite(kl[row])
            words.append(f"{name}{subscript(int(coordinate))}" +
                         (f"  {number(float(kl[row]))}" if known else ""))  # fmt: skip
        return tuple(words)

    def chips(self) -> tuple[Chip, ...]:
        """How rows are ranked."""
        if self._answer is None:
            return ()
        values, palette = self._answer.values, self.look.palette
        words, tip = ORDERS.get(str(values.get("order")), ("", ""))
        chips = [Chip(words, tip, palette.model, "dot", framed=True)] if words else []
        rows, n = len(self._answer.arrays.get("coordinates", ())), values.get("n_coordinates")
        if isinstance(n, int) and values.get("kind") == "real" and rows < n:
            chips.append(Chip(f"{rows} of {n} coordinates", "Those with the largest KL come first",
                              framed=True))  # fmt: skip
        kl = self._answer.arrays.get("kl")
        if kl is not None and len(kl) and np.isfinite(kl).all() and self.net.is_plane:
            words = ", ".join(self._row_words(self._answer))
            chips.append(Chip(f"KL {words} nats", ORDERS["kl"][1], framed=True))
        elif kl is not None and len(kl) and np.isfinite(kl).all():
            chips.append(Chip("beside each row: its KL, nats", ORDERS["kl"][1], framed=True))
        if self.centre == "chosen" and self.desk.z is not None:
            chips.append(Chip(f"z = {vector(self.desk.z)}", "Where the others rest",
                              palette.accent, "dot", framed=True))  # fmt: skip
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        self.table.restyle()
        self.net.restyle()
        self._draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "latent":
            self.desk.set(latent=str(value))
            return
        setattr(self, name, value)
        self._draw()
        self.asks_changed.emit()

    def _value(self, spot: Spot) -> tuple[int, float] | None:
        """Coordinate and value of a picture of the table."""
        arrays = {} if self._answer is None else self._answer.arrays
        z, coordinates = arrays.get("z"), arrays.get("coordinates")
        if z is None or coordinates is None or spot[0] >= len(z) or spot[1] >= z.shape[1]:
            return None
        return int(coordinates[spot[0]]), float(z[spot])

    def _on_hovered(self, spot: Spot | None) -> None:
        value = None if spot is None else self._value(spot)
        if value is None:
            self.pointed.emit(None)
            return
        name = str(self.desk.values.get("latent") or "z")
        row = (f"{name}{subscript(value[0])}", number(value[1]))
        self.pointed.emit(Pointed("a traversal", (row,)))

    def _on_spot(self, spot: Spot) -> None:
        """The picture's z becomes the chosen one."""
        value = self._value(spot)
        if value is None or not self.desk.is_real:
            return
        around = self.centre == "chosen" and self.desk.z is not None
        middle = None if self._answer is None else self._answer.arrays.get("middle")
        fits = middle is not None and len(middle) == self.desk.size
        rest = middle if fits else np.zeros(self.desk.size)
        z = np.array(self.desk.z if around else rest, np.float64)
        z[value[0]] = value[1]
        if not around:
            self.desk.move(z)
