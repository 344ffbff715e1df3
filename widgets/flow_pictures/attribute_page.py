"""Attribute: a held-out picture moved along the direction from one label to another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.flow_pictures.desk import PicturesDesk
from widgets.flow_pictures.film import Film
from widgets.flow_pictures.page import Page
from widgets.flow_pictures.slider import NumberSlider
from widgets.latent.picture_table import Spot
from widgets.latent.words import number
from widgets.look import Look
from widgets.panel import Question

#: How far the slider goes, its step, and every which of its places stands in the row.
REACH, STEP, EVERY = 2.0, 0.125, 4
MULTIPLES = np.arange(-REACH, REACH + STEP / 2, STEP)
THE_REST = -1
TIP = "Multiple a of the direction: 0 is the picture itself"


class AttributePage(Page):
    """Two labels, and how far along their direction."""

    picks = "one"

    def __init__(self, look: Look, desk: PicturesDesk) -> None:
        super().__init__(look, desk)
        self.positive, self.negative = 1, 0
        self.multiple = NumberSlider(look, "a", (-REACH, REACH), STEP, TIP)
        self.multiple.set_value(1.0)
        self.film = Film(look)
        self._answer: Answer | None = None
        self.tools.add_choice("negative", "The label that a < 0 leads to: where z comes from")
        self.tools.add_choice("positive", "The label that a > 0 leads to: where z goes")
        self.tools.addWidget(self.multiple)
        self.column.addWidget(self.film, 1)
        self.tools.chosen.connect(self._on_chosen)
        self.multiple.moved.connect(lambda _: self._show_one())
        self.film.chosen.connect(self._on_spot)

    def open(self) -> None:
        """Another run: its labels."""
        self._answer = None
        self.film.clear("The pictures along the direction are coming …")
        names = self.desk.names
        if names and self.positive >= len(names):
            self.positive = min(1, len(names) - 1)
        if names and self.negative >= len(names):
            self.negative = THE_REST
        entries = tuple((f"to {name}", k) for k, name in enumerate(names))
        self.tools.set_choices("positive", entries)
        entries = tuple((f"from {name}", k) for k, name in enumerate(names))
        self.tools.set_choices("negative", (("from all others", THE_REST), *entries))
        self._show_choices()

    def refusal(self) -> str:
        """A direction needs two labels."""
        few = len(self.desk.names) < 2
        return "these data have no labels to take a direction from" if few else ""

    def question(self, *, rest: bool) -> Question | None:
        """The picture at all multiples: the slider then asks nothing."""
        event = self.desk.picture
        if event is None or self.refusal():
            return None
        wanted: dict[str, Value] = {
            "positive": self.positive, "negative": self.negative,
            "multiples": [float(a) for a in MULTIPLES],
        }  # fmt: skip
        return Question("flow_attribute", wanted, {"event": event})

    def take(self, answer: Answer) -> None:
        """Draw them."""
        pictures, cells = answer.arrays.get("pictures"), self.desk.cells
        good = pictures is not None and len(pictures) == len(MULTIPLES) and cells is not None
        if not good or pictures is None or cells is None or pictures[0].size != cells.size:
            return
        self._answer = answer
        flat = pictures[::EVERY].reshape(1, -1, cells.size)
        pixels = self.desk.pixels(flat, self.look.palette.raised)
        if pixels is not None:
            columns = tuple(f"{a:+g}".replace("-", "−") if a else "0" for a in MULTIPLES[::EVERY])
            self.film.set_pictures(pixels, ("a =",), columns)
        self._show_one()

    def _show_one(self) -> None:
        if self._answer is None:
            return
        place = int(np.argmin(np.abs(MULTIPLES - self.multiple.value)))
        picture = self._answer.arrays["pictures"][place].reshape(-1)
        pixels = self.desk.pixels(picture, self.look.palette.raised)
        if pixels is not None:
            itself = "" if self.multiple.value else ", the picture itself"
            title = f"x = f⁻¹(f(x₀) + a d){itself}"
            spot = (0, round(place / EVERY))
            self.film.show_one(pixels, title, self.look.palette.model, spot)
        self.chips_changed.emit()

    def chips(self) -> tuple[Chip, ...]:
        """The direction, and where the picture lies along it."""
        if self._answer is None:
            return ()
        values, accent = self._answer.values, self.look.palette.accent
        share = float(values.get("coordinate", np.nan))  # type: ignore[arg-type]
        norm = number(float(values.get("norm", np.nan)))  # type: ignore[arg-type]
        counts = f"{values.get('n_positive')} and {values.get('n_negative')}"
        now = number(share + self.multiple.value, 2)
        tip = "Along d: 0 at the mean of the label that it comes from, 1 at that of the other one"
        return (
            Chip(self.desk.words(self.desk.index), "Click another one at the left", accent, "dot",
                 framed=True),
            Chip(f"|d| = {norm}", f"d is the difference of the mean base points of {counts} "
                 "training pictures", framed=True),
            Chip(f"lies at {number(share, 2)}, moved to {now}", tip, framed=True),
        )  # fmt: skip

    def save(self) -> dict[str, Value]:
        """Labels and multiple."""
        return {"positive": self.positive, "negative": self.negative, "a": self.multiple.value}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        for name, least in (("positive", 0), ("negative", THE_REST)):
            value = state.get(name)
            if isinstance(value, int) and value >= least:
                setattr(self, name, value)
        a = state.get("a")
        if isinstance(a, int | float) and abs(a) <= REACH:
            self.multiple.set_value(float(a))
        self._show_choices()
        self._show_one()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.film.restyle()
        self.multiple.restyle()
        if self._answer is not None:
            self.take(self._answer)

    def _show_choices(self) -> None:
        self.tools.set_choice("positive", self.positive)
        self.tools.set_choice("negative", self.negative)

    def _on_chosen(self, name: str, value: object) -> None:
        if isinstance(value, int):
            setattr(self, name, value)
            self.asks_changed.emit()

    def _on_spot(self, spot: Spot) -> None:
        self.multiple.set_value(float(MULTIPLES[spot[1] * EVERY]))
        self._show_one()
