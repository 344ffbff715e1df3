"""Conditional slices and marginals of a plane density: the model's curves against the truth's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import ToolRow
from widgets.density.words import KINDS, as_float, number
from widgets.look import Look
from widgets.panel import Panel, Point, Pointed, Question
from widgets.plots.curves import CurvePlot, Stroke
from widgets.why.coordinates import CoordinateBoxes

#: Nodes while training and at rest: of a slice, of a marginal (which takes their square).
SIZES = {"conditional": {False: 256, True: 1024}, "marginal": {False: 96, True: 256}}
#: Nodes of a marginal where every point costs many draws.
COSTLY = {False: 48, True: 96}
#: Both curves stand side by side from this share of the height on.
WIDE = 1.15
AXES = ("x", "y")
HINT = "Click a point in the density map, then drag its lines: both slices go through it."

NOTHING = "Choose data and a model with a density on the left, then press play."


class SlicesPanel(Panel):
    """p(x given y = c) and p(y given x = c) through the chosen point, or both marginals."""

    name = "slices"
    title = "Slices"
    summary = "Conditional slices through the chosen point, and marginals, model against truth."
    needs = (
        frozenset({Capability.LOG_PROB}),
        frozenset({Capability.BOUND}),
        frozenset({Capability.ENERGY}),
    )
    shortcut = "Ctrl+6"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._point: Point | None = None
        self._kind = "conditional"
        self._answer: Answer | None = None
        self._names = AXES
        self.tools = ToolRow(look, self)
        self.coordinates = CoordinateBoxes(look)
        self.plots = {axis: CurvePlot(look) for axis in AXES}
        self.chips = {axis: ChipRow(look, parent=self) for axis in AXES}
        self._empty = EmptyState(look)
        self._pages = QStackedWidget()
        self._build()
        self.clear()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: the chosen point stays where it fits."""
        super().open_run(info)
        self._answer = None
        if info is not None:
            names = info.data.columns or info.data.event.axes
            self._names = (names[0], names[1]) if len(names) == 2 else AXES
            for axis, low, high in zip(AXES, info.data.low, info.data.high, strict=False):
                self.plots[axis].set_x_range((float(low), float(high)))
        self.tools.setVisible(self._usable)
        self._show_point()

    def choose_point(self, point: Point | None) -> None:
        """Both slices go through this point from now on."""
        self._point = point
        self._show_point()
        self.asks_changed.emit()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The curves that are chosen."""
        info, point = self.run, self._fitting
        if info is None or not self._usable or (self._kind == "conditional" and point is None):
            return {}
        size = SIZES[self._kind][rest]
        if self._kind == "marginal" and Capability.LOG_PROB not in info.card.capabilities:
            size = COSTLY[rest]
        wanted: dict[str, Value] = {
            "low": list(info.data.low),
            "high": list(info.data.high),
            "kind": self._kind,
            "size": size,
        }
        if self._kind == "conditional" and point is not None:
            wanted["point"] = list(point.at)
        return {"curves": Question("slices", wanted)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw both curves."""
        if answer.values.get("curves") != self._kind or not self._is_shown:
            return
        self._answer = answer
        self._draw()
        self._pages.setCurrentWidget(self._content)

    def clear(self) -> None:
        """Say what to do."""
        self._answer = None
        for axis in AXES:
            self.plots[axis].clear()
            self.chips[axis].set_chips(())
        self.tools.hide()
        self._empty.say("There is no density to slice", NOTHING)
        self._pages.setCurrentWidget(self._empty)

    def restyle(self) -> None:
        """Take colours from the look."""
        self.coordinates.restyle()
        for plot in self.plots.values():
            plot.restyle()
        self._draw()

    def save_state(self) -> dict[str, Value]:
        """Which curves are drawn."""
        return {"kind": self._kind}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Draw them again."""
        if state.get("kind") in SIZES:
            self._kind = str(state["kind"])
            self.tools.set_choice("kind", self._kind)
            self._show_point()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Side by side where there is width."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        wide = self.width() >= WIDE * self.height()
        self._row.setDirection(way.LeftToRight if wide else way.TopToBottom)

    # --- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self.tools.add_choice("kind", "Slices through the chosen point, or densities of one axis")
        self.tools.set_choices(
            "kind", (("conditionals", "conditional"), ("marginals", "marginal"))
        )
        self.tools.chosen.connect(self._on_chosen)
        self.coordinates.edited.connect(self.point_chosen)
        self._content = QWidget()
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self._content)
        self._row.setContentsMargins(0, 0, 0, 0)
        for axis, plot in self.plots.items():
            plot.set_pinned(y=0.0)
            plot.set_fit("whole")
            plot.hovered.connect(lambda point, own=axis: self._on_hovered(own, point))
            column = QVBoxLayout()
            column.addWidget(plot, 1)
            column.addWidget(self.chips[axis])
            self._row.addLayout(column, 1)
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self._content)
        top = QHBoxLayout()
        top.addWidget(self.tools, 1)
        top.addWidget(self.coordinates)
        self.body.addLayout(top)
        self.body.addWidget(self._pages, 1)

    # --- the point ----------------------------------------------------------------------------

    @property
    def _usable(self) -> bool:
        """Whether the run's events are points of a plane."""
        info = self.run
        return info is not None and info.data.event.size == 2 and len(info.data.low) == 2

    @property
    def _fitting(self) -> Point | None:
        point = self._point
        fits = point is not None and self._usable and len(point.at) == 2 and not point.plane
        return point if fits else None

    @property
    def _is_shown(self) -> bool:
        return self._usable and (self._kind == "marginal" or self._fitting is not None)

    def _show_point(self) -> None:
        conditional = self._kind == "conditional" and self._usable
        self.coordinates.open(self.run if conditional else None, self._fitting)
        if self._is_shown:
            return
        self._answer = None
        if self._usable:
            self._empty.say("No point is chosen", HINT)
        elif self.run is not None:
            self._empty.say("There is nothing to slice", "Slices are of data with two columns.")
        self._pages.setCurrentWidget(self._empty)

    def _on_chosen(self, _: str, value: object) -> None:
        self._kind = str(value)
        self._answer = None
        for plot in self.plots.values():
            plot.clear()
        self._show_point()
        self.asks_changed.emit()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        if self._answer is None:
            return
        for place, axis in enumerate(AXES):
            self._draw_axis(axis, place, self._answer)

    def _draw_axis(self, axis: str, place: int, answer: Answer) -> None:
        palette, plot, arrays = self.look.palette, self.plots[axis], answer.arrays
        title = self._title(place)
        plot.set_names(self._names[place], f"{title}, per unit")
        kind = KINDS.get(str(answer.values.get("kind", "")), ("", ""))
        model = Stroke("model", palette.model, 1.8, filled=0.16, tooltip=f"{title}: {kind[1]}")
        plot.set_curve("model", arrays[axis], arrays[f"model_{axis}"], model)
        known = f"truth_{axis}" in arrays
        if known:
            words = f"{title} of the known density of the data"
            truth = Stroke("truth", palette.truth, 1.8, dashed=True, tooltip=words)
            plot.set_curve("truth", arrays[axis], arrays[f"truth_{axis}"], truth)
        else:
            plot.remove("truth")
        plot.fit()
        self.chips[axis].set_chips(self._chips(axis, title, answer))

    def _title(self, place: int) -> str:
        own, other = self._names[place], self._names[1 - place]
        if self._kind == "marginal" or self._fitting is None:
            return f"p({own})"
        return f"p({own} | {other} = {number(self._fitting.at[1 - place], 3)})"

    def _chips(self, axis: str, title: str, answer: Answer) -> tuple[Chip, ...]:
        values = answer.values
        chips = []
        kl, error = as_float(values.get(f"kl_{axis}")), as_float(values.get(f"kl_{axis}_error"))
        if kl is not None:
            known = error is not None and math.isfinite(error)
            spread = f" ± {number(error, 1)}" if known and error is not None else ""
            missing = bool(np.isnan(answer.arrays[f"truth_{axis}"]).any())
            text = "the truth never comes here" if missing else f"KL {number(kl, 3)}{spread} nats"
            words = f"KL(truth‖model) of {title}; the error is that of half the nodes"
            if values.get("kind") == "bound":
                words += ". The model's density is a lower bound here, so this is an estimate"
                text = text.replace("KL ", "KL ≈ ")
            chips.append(Chip(text, words, self.look.palette.truth, "dot", framed=True))
        words = (
            "Each curve is divided by its integral over the window of the data, by "
            f"one-dimensional quadrature on {len(answer.arrays[axis])} nodes"
        )
        word = {"exact": "exact, ", "bound": "lower bound, "}.get(str(values.get("kind")), "")
        chips.append(Chip(f"{word}normalised in the window", words, framed=True))
        return tuple(chips)

    def _on_hovered(self, axis: str, point: tuple[float, float] | None) -> None:
        if point is None or self._answer is None:
            self.pointed.emit(None)
            return
        plot, place = self.plots[axis], AXES.index(axis)
        rows = [(self._names[place], number(point[0]))]
        for name in plot.names:
            value = plot.value_at(name, point[0])
            if value is not None:
                rows.append((name, f"{number(value)} per unit"))
        self.pointed.emit(Pointed(self._title(place), tuple(rows)))
