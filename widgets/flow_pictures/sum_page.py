"""Sum: the likelihood of one held-out picture, from the base to the levels."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.segments import Segments
from widgets.flow_pictures.desk import PicturesDesk
from widgets.flow_pictures.page import Page
from widgets.latent.picture_table import PictureTable
from widgets.look import Look
from widgets.panel import Question
from widgets.why.waterfall import Bar, Waterfall, signed

UNITS = (
    ("nats", "nats", "The terms in nats of the whole picture; more is likelier"),
    ("bits", "bits/dim", "The same terms as −nats / (D ln 2): fewer bits are likelier"),
)
DRAWS = (1, 4, 16, 64)
N_DRAWS = 16
#: The width from which the picture stands beside the bars, pixels at scale 1.
PICTURE_FROM = 620


class SumPage(Page):
    """A waterfall beside the picture."""

    picks = "one"

    def __init__(self, look: Look, desk: PicturesDesk) -> None:
        super().__init__(look, desk)
        self.n_draws = N_DRAWS
        self.unit = Segments(look, UNITS)
        self.picture, self.waterfall = PictureTable(look), Waterfall(look)
        self._answer: Answer | None = None
        self.tools.addWidget(self.unit)
        self.tools.add_choice("draws", "Draws of the noise within the cells of the levels")
        self.tools.set_choices("draws", tuple((f"{n} draws of noise", n) for n in DRAWS))
        self.tools.set_choice("draws", self.n_draws)
        scroll = QScrollArea()
        scroll.setWidget(self.waterfall)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.viewport().setAutoFillBackground(False)
        self.waterfall.setAutoFillBackground(False)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.picture, 2)
        row.addWidget(scroll, 5)
        self.column.addLayout(row, 1)
        self.unit.chosen.connect(self._on_unit)
        self.tools.chosen.connect(self._on_chosen)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where it is narrow the bars have all the room: the picture is framed among the data."""
        super().resizeEvent(event)
        self.picture.setVisible(self.width() >= self.look.px(PICTURE_FROM))

    def open(self) -> None:
        """Another run."""
        self._answer = None
        self.picture.clear()
        self.picture.set_title("")
        self.picture.set_hint("The terms are coming …")
        self.waterfall.forget_axis()
        self.waterfall.set_bars((), Bar("", 0.0), "")
        info = self.desk.info
        self.tools.show_choice("draws", info is not None and info.data.event.levels is not None)

    def question(self, *, rest: bool) -> Question | None:
        """The terms at the chosen picture."""
        event = self.desk.picture
        if event is None:
            return None
        return Question("flow_likelihood", {"n_draws": self.n_draws}, {"event": event})

    def take(self, answer: Answer) -> None:
        """Draw picture and bars."""
        event = self.desk.picture
        terms, values = answer.values.get("terms"), answer.values.get("term_values")
        if event is None or not isinstance(terms, list) or not isinstance(values, list):
            return
        self._answer = answer
        pixels = self.desk.pixels(event, self.look.palette.raised)
        if pixels is not None:
            self.picture.set_pictures(pixels[None, None])
            self.picture.set_title(self.desk.words(self.desk.index), self.look.palette.data)
        self._draw()
        self.chips_changed.emit()

    @property
    def _in_bits(self) -> bool:
        return self.unit.current == "bits"

    def _draw(self) -> None:
        if self._answer is None:
            return
        v = self._answer.values
        factor, bars = 1.0, []
        if self._in_bits:
            factor = -1.0 / (float(v["size"]) * math.log(2.0))  # type: ignore[arg-type]
        names = ("terms", "term_values", "term_errors", "term_words")
        for term, value, error, words in zip(*(v[name] for name in names), strict=True):
            bars.append(Bar(str(term), factor * value, str(words), abs(factor) * error))
        number = factor * float(v["log_prob"])  # type: ignore[arg-type]
        offset = float(v.get("bits_offset", 0.0) or 0.0)  # type: ignore[arg-type]
        if self._in_bits and offset:
            bars.append(Bar("units of the levels", offset, "log₂ k: the density is of (x + u)/k."))
            number += offset
        name = "log p(x)" if v.get("kind") == "exact" else "bound on log P(x)"
        name = "sum" if self._in_bits else name
        error = abs(factor) * float(v.get("error", 0.0))  # type: ignore[arg-type]
        self.waterfall.set_bars(
            bars, Bar(name, number, "", error), "bits/dim" if self._in_bits else "nats"
        )

    def chips(self) -> tuple[Chip, ...]:
        """The number in both units, with its kind."""
        if self._answer is None:
            return ()
        v, palette = self._answer.values, self.look.palette
        value = float(v.get("log_prob", np.nan))  # type: ignore[arg-type]
        exact = v.get("kind") == "exact"
        sign = "=" if exact else "≥"
        kind = "log p(x)" if exact else "log P(x)"
        tip = (
            "A density, from the model's own method" if exact else
            "A lower bound: the integral over the levels' cells is estimated by noise u"
        )  # fmt: skip
        chips = [Chip(f"{kind} {sign} {signed(value, 2)} nats".replace("+", ""), tip,
                      palette.model, "dot", framed=True)]  # fmt: skip
        bits = v.get("bits")
        if isinstance(bits, float):
            tip = f"{v.get('bits_label')}; an upper bound where noise stands for the cells"
            most = "" if exact and not v.get("bits_offset") else "≤ "
            chips.append(Chip(f"{most}{bits:.3f} bits/dim", tip, framed=True))
        residual = float(v.get("residual", np.nan))  # type: ignore[arg-type]
        words = f"terms add up but for {abs(residual):.0e} nats".replace("-", "−")
        tip = "The number of the model's own method minus the sum of its terms, both in float64"
        chips.append(Chip(words if residual else "terms add up exactly", tip, framed=True))
        return tuple(chips)

    def save(self) -> dict[str, Value]:
        """Unit and draws."""
        return {"unit": self.unit.current, "draws": self.n_draws}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        if isinstance(state.get("unit"), str):
            self.unit.set_current(str(state["unit"]))
        draws = state.get("draws")
        if draws in DRAWS and isinstance(draws, int):
            self.n_draws = draws
            self.tools.set_choice("draws", draws)
        self._draw()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.picture.restyle()
        self.waterfall.restyle()
        if self._answer is not None:
            self.take(self._answer)

    def _on_unit(self, _: str) -> None:
        self.waterfall.forget_axis()
        self._draw()

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "draws" and isinstance(value, int):
            self.n_draws = value
            self.asks_changed.emit()
