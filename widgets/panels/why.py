"""Why this density? The number at a chosen point as a sum that can be followed term by term."""

from __future__ import annotations

import math
from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QStackedWidget,
    QWidget,
)

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import ToolRow
from widgets.density.words import KINDS, SYMBOLS, as_float, number
from widgets.look import Look
from widgets.panel import Panel, Point, Question
from widgets.plots.colours import FIRST_ON_A_LINE
from widgets.why.components import ComponentTable
from widgets.why.conditionals import ConditionalCurves
from widgets.why.coordinates import CoordinateBoxes
from widgets.why.waterfall import Bar, Waterfall

#: The parts stand beside the bars from this width on (pixels at scale 1), else below them.
BESIDE_FROM = 620
DRAWS = (1, 8, 64, 512, 4096)
N_DRAWS = 512
#: Qt's own word for no limit, and below which an interval is too narrow to be written out.
UNLIMITED, NARROW = 16_777_215, 1e-4
HINT = "Click a point in the density map, or type its coordinates above."
HINT_PICTURES = "Click a picture in the density panel."

NOTHING = "Choose data and a model with a density on the left, then press play."


class WhyPanel(Panel):
    """log p(x) of the chosen point: a waterfall from 0 to the number, and what it is made of."""

    name = "why"
    title = "Why this density?"
    summary = "The log-density of a chosen point as a sum of terms that adds up."
    needs = (
        frozenset({Capability.LOG_PROB}),
        frozenset({Capability.BOUND}),
        frozenset({Capability.ENERGY}),
    )
    shortcut = "Ctrl+3"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._point: Point | None = None
        self._n_draws = N_DRAWS
        self._answer: Answer | None = None
        self.coordinates = CoordinateBoxes(look)
        self.tools = ToolRow(look, self)
        self.heading = QLabel(self)
        self.heading.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.chips = ChipRow(look, wrap=True, parent=self)
        self.waterfall = Waterfall(look)
        self.components = ComponentTable(look)
        self.conditionals = ConditionalCurves(look)
        self._empty = EmptyState(look)
        self._build()
        self.clear()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: the chosen point stays where it fits its events."""
        super().open_run(info)
        self.waterfall.forget_axis()
        if info is not None:
            bound = Capability.LOG_PROB not in info.card.capabilities
            self.tools.setVisible(bound and Capability.BOUND in info.card.capabilities)
            on_a_line = info.data.event.size == 1
            self.components.first_colour = FIRST_ON_A_LINE if on_a_line else 0
            pictures = info.data.event.kind == "picture"
            self._empty.say("No point is chosen", HINT_PICTURES if pictures else HINT)
        self._show_point()

    def choose_point(self, point: Point | None) -> None:
        """Explain this point from now on."""
        self._point = point
        self._show_point()
        self.asks_changed.emit()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """Why the density is what it is at the chosen point."""
        point = self._fitting
        if point is None:
            return {}
        wanted: dict[str, Value] = {"point": list(point.at), "n_draws": self._n_draws}
        return {"why": Question("why", wanted | dict(point.plane))}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw bars and parts."""
        if self._fitting is None:
            return
        self._answer = answer
        self._draw(answer)
        self._pages.setCurrentWidget(self._content)

    def clear(self) -> None:
        """Say what to do."""
        self._answer = None
        self.heading.clear()
        self.chips.set_chips(())
        self.tools.hide()
        self._empty.say("There is no density to explain", NOTHING)
        self._pages.setCurrentWidget(self._empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for part in (self.waterfall, self.components, self.conditionals, self.coordinates):
            part.restyle()
        if self._answer is not None:
            self._write_heading(self._answer)
            self._show_chips(self._answer)

    def save_state(self) -> dict[str, Value]:
        """The number of draws."""
        return {"n_draws": self._n_draws}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Set it again."""
        wanted = state.get("n_draws")
        if wanted in DRAWS and isinstance(wanted, int):
            self._n_draws = wanted
            self.tools.set_choice("draws", wanted)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Parts beside the bars, or below them."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        beside = self.width() >= self.look.px(BESIDE_FROM)
        self._split.setDirection(way.LeftToRight if beside else way.TopToBottom)
        self._share_room()

    def _share_room(self) -> None:
        """Where the parts stand below, the bars take what they need and no more."""
        below = self._split.direction() == QBoxLayout.Direction.TopToBottom
        shared = below and not self._parts_area.isHidden()
        needed = self.waterfall.sizeHint().height() + 2
        self._bars_area.setMaximumHeight(needed if shared else UNLIMITED)

    # --- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self.tools.add_choice("draws", "K, the number of latents drawn for the bound")
        self.tools.set_choices("draws", tuple((f"{n} draws", n) for n in DRAWS))
        self.tools.set_choice("draws", self._n_draws)
        self.tools.chosen.connect(self._on_draws_chosen)
        self.coordinates.edited.connect(self.point_chosen)
        self._parts = QWidget()
        parts = QBoxLayout(QBoxLayout.Direction.TopToBottom, self._parts)
        parts.setContentsMargins(0, 0, 0, 0)
        parts.addWidget(self.components)
        parts.addWidget(self.conditionals, 1)
        parts.addStretch(0)
        self._content = QWidget()
        self._split = QBoxLayout(QBoxLayout.Direction.TopToBottom, self._content)
        self._split.setContentsMargins(0, 0, 0, 0)
        self._split.setSpacing(10)
        self._bars_area, self._parts_area = _scrolled(self.waterfall), _scrolled(self._parts)
        self._split.addWidget(self._bars_area, 3)
        self._split.addWidget(self._parts_area, 2)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self._content)
        top = QHBoxLayout()
        top.addWidget(self.coordinates)
        top.addWidget(self.tools, 1)
        self.body.addLayout(top)
        self.body.addWidget(self.heading)
        self.body.addWidget(self.chips)
        self.body.addWidget(self._pages, 1)

    # --- the point ----------------------------------------------------------------------------

    @property
    def _fitting(self) -> Point | None:
        """The chosen point, where it is one of the open run's events or planes."""
        point, info = self._point, self.run
        if point is None or info is None:
            return None
        size = info.data.event.size
        fits = len(point.at) == size if not point.plane else len(point.at) == 2 < size
        return point if fits else None

    def _show_point(self) -> None:
        self.coordinates.open(self.run, self._fitting)
        if self._fitting is None:
            self._answer = None
            self.heading.clear()
            self.chips.set_chips(())
            self._pages.setCurrentWidget(self._empty)

    def _on_draws_chosen(self, _: str, value: object) -> None:
        if isinstance(value, int):
            self._n_draws = value
            self.asks_changed.emit()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self, answer: Answer) -> None:
        self._write_heading(answer)
        self._show_chips(answer)
        values = answer.values
        unit = str(values.get("unit") or "")
        error = as_float(values.get("error")) or 0.0
        words = f"{self._symbol(answer)}: {self._kind_words(answer)}"
        total = Bar("total", self._total(answer), words, error)
        self.waterfall.set_bars(_bars(answer), total, unit)
        arrays = answer.arrays
        mixture, curves = "responsibilities" in arrays, "conditionals" in arrays
        self._parts_area.setVisible(mixture or curves)
        self._share_room()
        self.components.setVisible(mixture)
        self.conditionals.setVisible(curves)
        if mixture:
            self.components.set_components(
                arrays["log_weights"], arrays["log_densities"], arrays["responsibilities"]
            )
        if curves:
            names = values.get("names")
            titles = [str(n) for n in names] if isinstance(names, list) else []
            self.conditionals.set_conditionals(
                arrays["nodes"], arrays["conditionals"], arrays["at"], titles
            )

    def _write_heading(self, answer: Answer) -> None:
        symbol, total = self._symbol(answer), self._total(answer)
        joint = "" if symbol.endswith("≥") else "= "
        error = as_float(answer.values.get("error")) or 0.0
        spread = f" ± {number(error, 2)}" if error > 0 else ""
        unit = str(answer.values.get("unit") or "")
        shown = number(total, 9) if abs(total) >= 1e4 else f"{total:.5f}".replace("-", "−")
        if not math.isfinite(total):
            shown = number(total)
        self.heading.setFont(self.look.font(1.25, bold=True))
        self.heading.setText(f"{symbol} {joint}{shown}{spread} {unit}".rstrip())

    def _show_chips(self, answer: Answer) -> None:
        kind = str(answer.values.get("kind", ""))
        text, words = KINDS.get(kind, (kind, ""))
        bars = _bars(answer)
        residual = as_float(answer.values.get("residual")) or 0.0
        total = math.fsum(bar.value for bar in bars)
        count = "the only term" if len(bars) == 1 else f"sum of {len(bars)} terms"
        sums = f"{count} {_plain(total)}, differs by {_residual(residual)}"
        meaning = (
            "The terms are added up in double precision and compared with the number that the "
            "model's own method gives"
        )
        chips = [Chip(text, words, self.look.palette.model, "dot", framed=True),
                 Chip(sums, meaning, framed=True)]  # fmt: skip
        error = as_float(answer.values.get("error")) or 0.0
        if kind == "bound" and error > 0:
            chips.append(
                Chip(f"standard error {number(error, 2)} nats", "Of the bound, from the spread of "
                     "its importance weights; too small where few weights carry it", framed=True)
            )  # fmt: skip
        if kind == "quadrature" and error < NARROW:
            chips.append(
                Chip(f"log Z ± {number(error, 2)} nats", "From half the grid", framed=True)
            )
        elif kind == "quadrature":
            low, high = self._total(answer) - error, self._total(answer) + error
            words = "The number with log Z at either end of its interval"
            chips.append(Chip(f"between {_plain(low)} and {_plain(high)}", words, framed=True))
        chips.append(Chip(f"step {answer.step:,}".replace(",", " "),
                          "The training step of these weights", framed=True))  # fmt: skip
        self.chips.set_chips(tuple(chips))

    def _symbol(self, answer: Answer) -> str:
        return SYMBOLS.get(str(answer.values.get("kind", "")), "value")

    def _kind_words(self, answer: Answer) -> str:
        return KINDS.get(str(answer.values.get("kind", "")), ("", ""))[1]

    def _total(self, answer: Answer) -> float:
        total = as_float(answer.values.get("log_prob"))
        return math.nan if total is None else total


def _bars(answer: Answer) -> list[Bar]:
    columns = [answer.values.get(f"term{name}") for name in ("s", "_values", "_words", "_errors")]
    names, amounts, words, errors = (c if isinstance(c, list) else [] for c in columns)
    return [
        Bar(str(n), float(v), str(w), float(e))
        for n, v, w, e in zip(names, amounts, words, errors, strict=False)
    ]


def _plain(value: float) -> str:
    return f"{value:.5f}".replace("-", "−") if abs(value) < 1e5 else number(value, 9)


def _residual(value: float) -> str:
    return "0" if value == 0 else f"{abs(value):.0e}".replace("e-0", "e-").replace("-", "−")


def _scrolled(part: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(part)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.viewport().setAutoFillBackground(False)
    part.setAutoFillBackground(False)
    return area
