"""Lattice: a grid of the latent plane, decoded: pictures, or a net in the data's space."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtWidgets import QStackedWidget

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.latent.decoded_view import DecodedView
from widgets.latent.desk import Desk
from widgets.latent.mode import Mode
from widgets.latent.picture_table import PictureTable, Spot
from widgets.latent.plane_tools import PlaneTools
from widgets.latent.words import no_plane, number
from widgets.look import Look
from widgets.panel import Pointed, Question

SIDES = (6, 8, 10, 12, 16, 20, 24)
SPACINGS = (("prior quantiles", "quantile"), ("even", "even"))
REACHES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
#: Nodes while something moves, and points between two nodes where lines are drawn.
COARSE, BETWEEN = 6, 8


class LatticeMode(Mode):
    """What lies where: the map that the decoder has learned."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.side, self.spacing, self.reach = 12, "quantile", 2.5
        self.table, self.net = PictureTable(look, tight=True), DecodedView(look, desk)
        self.pages = QStackedWidget()
        self._answer: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.picks = PlaneTools(self.tools, self.desk, points=False)
        self.tools.add_choice("side", "Nodes of the lattice on each side")
        self.tools.set_choices("side", tuple((f"{n} × {n}", n) for n in SIDES))
        self.tools.set_choice("side", self.side)
        self.tools.add_choice(
            "spacing", "Where the nodes lie: at quantiles of the prior, with equal shares of it "
            "between neighbours, or evenly",
        )  # fmt: skip
        self.tools.set_choices("spacing", SPACINGS)
        self.tools.add_choice("reach", "How far an even lattice reaches, in units of z")
        self.tools.set_choices("reach", tuple((f"± {r:g}", r) for r in REACHES))
        self.tools.set_choice("reach", self.reach)
        self.tools.show_choice("reach", on=False)
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
        self.table.set_hint("The lattice is coming …")
        self.net.open()
        self.pages.setCurrentWidget(self.net if self.net.is_plane else self.table)
        self.picks.show()

    def refusal(self) -> str:
        """A lattice needs a real latent."""
        return no_plane(self.desk.kind)

    def refresh(self) -> None:
        """Draw the lists anew."""
        self.picks.show()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The lattice, finer at rest."""
        asked = dict(self.net.data_question())
        if not self.desk.is_real:
            return asked
        d, reach = self.desk.dims, self.reach
        wanted: dict[str, Any] = {
            "nodes": self.side, "spacing": self.spacing, "low": [-reach] * d, "high": [reach] * d,
            "between": BETWEEN if self.net.is_plane else 0, "latent": self.desk.latent,
        }  # fmt: skip
        coarse: dict[str, Any] = {} if self.net.is_plane else {"nodes": COARSE}
        asked["lattice"] = Question(
            "latent_lattice", wanted, self.desk.plane_arrays(), coarse=coarse
        )
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "data":
            self.net.show_data(answer)
        elif part == "lattice":
            self._answer = answer
            self._draw()
        self.chips_changed.emit()

    def _draw(self) -> None:
        answer, cells = self._answer, self.desk.cells
        if answer is None or "pictures" not in answer.arrays:
            return
        arrays = answer.arrays
        if self.net.is_plane:
            lines = arrays.get("lines")
            if lines is not None:
                self.net.set_curves(lines.reshape(*lines.shape[:2], -1))
            return
        pictures = arrays["pictures"]
        if cells is None or pictures.ndim < 3 or pictures[0, 0].size != cells.size:
            return
        flat = pictures.reshape(*pictures.shape[:2], -1)[::-1].astype(np.float32)
        everything = np.ones(cells.size, dtype=bool)
        x, y = (_numbers(arrays.get(name)) for name in "xy")
        rows = y[::-1] if len(y) > 1 else ()
        self.table.set_pictures(cells.pixels(flat, everything, self.look.palette.raised), rows, x)
        names = self.desk.axis_names()
        up = f", {names[1]} up" if len(y) > 1 else ""
        self.table.set_title(
            f"{self.desk.decoded_words}, {names[0]} to the right{up}", self.look.palette.model
        )

    def chips(self) -> tuple[Chip, ...]:
        """What the lattice is."""
        if self._answer is None or not self.desk.is_real:
            return ()
        even = self.spacing == "even"
        words = f"evenly over ± {self.reach:g}" if even else "at quantiles of the prior"
        chips = [Chip(f"nodes {words}", "Where z lies; all else stays as the chosen z has it",
                      framed=True)]  # fmt: skip
        draws = self.desk.decodes_to_draws
        kind = "a net of constant coordinates" if self.net.is_plane else "decoded means"
        kind = "decoded draws" if draws and not self.net.is_plane else kind
        tip = "Each node decoded: the mean of p(x given z), exact"
        if draws:
            tip = "Each node decoded to one draw, on the same noise; this decoder has no mean"
        elif len(self.desk.names) > 1:
            tip += ", with the other latents at the means of their priors"
        chips.append(Chip(kind, tip, self.look.palette.model, "dot", framed=True))
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.table, self.net, self.picks):
            part.restyle()
        self._draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name not in ("side", "spacing", "reach"):
            return
        setattr(self, name, value)
        self.tools.show_choice("reach", self.spacing == "even")
        self.asks_changed.emit()

    def _place(self, spot: Spot) -> tuple[float, ...] | None:
        """Where on the plane a picture lies."""
        if self._answer is None:
            return None
        x, y = self._answer.arrays["x"], self._answer.arrays["y"]
        row = len(y) - 1 - spot[0]
        if not (0 <= row < len(y) and spot[1] < len(x)):
            return None
        return (float(x[spot[1]]), float(y[row]))

    def _on_hovered(self, spot: Spot | None) -> None:
        place = None if spot is None else self._place(spot)
        if place is None:
            self.pointed.emit(None)
            return
        rows = tuple((n, number(v)) for n, v in zip(self.desk.axis_names(), place, strict=True))
        self.pointed.emit(Pointed("a node of the lattice", rows[: self.desk.dims]))

    def _on_spot(self, spot: Spot) -> None:
        """The node becomes the chosen z."""
        place = self._place(spot)
        if place is not None:
            self.desk.move(self.desk.lift(np.array(place)))


def _numbers(values: Any) -> tuple[str, ...]:
    return () if values is None else tuple(f"{float(v):.2f}".replace("-", "−") for v in values)
