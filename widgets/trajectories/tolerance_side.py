"""Tolerance: what a finer solve costs in evaluations, and what it gains in accuracy."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel

from engine.wire.messages import Answer
from widgets.figures import as_float, number
from widgets.flow.clock import FlowClock
from widgets.flow.side import Side
from widgets.look import Look
from widgets.panel import Pointed
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.rule import RuleLayer

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
X_NAME = "tolerance per step (rtol = atol)"
WAITING = "The sweep over tolerances is on its way."


class ToleranceSide(Side):
    """Two plots over the tolerance, all axes by powers of ten.

    Signals:
        pointed: A :class:`~widgets.panel.Pointed`, or None.
    """

    pointed = Signal(object)

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__(look, clock)
        self.words = QLabel(WAITING)
        self.words.setWordWrap(True)
        self.costs, self.errors = CurvePlot(look), CurvePlot(look, wrap_legend=True)
        self.rules = RuleLayer(look), RuleLayer(look)
        for plot, rule, y_name in (
            (self.costs, self.rules[0], "number, one way"),
            (self.errors, self.rules[1], "error"),
        ):
            plot.set_names(X_NAME, y_name)
            plot.set_log_y(True)
            plot.set_fit("whole")
            plot.frame.set_log_x(True)  # x is given as a logarithm: it lies below 1
            plot.frame.add(rule)
            plot.hovered.connect(self._on_hovered)
            self.column.addWidget(plot, 1)
        self.column.addWidget(self.words)
        self._answer: Answer | None = None
        self._own: float | None = None
        self.restyle()

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Take the sweep in, and the tolerance that the model trains with."""
        if part == "steps":
            rtol = None if answer is None else as_float(answer.values.get("rtol"))
            adaptive = answer is not None and answer.values.get("solver") == "dopri5"
            self._own = rtol if adaptive and rtol and rtol > 0 else None
            self._draw_rules()
        if part != "sweep" or (answer is not None and "tolerances" not in answer.arrays):
            return  # a partial answer comes first
        self._answer = answer
        if answer is None:
            for plot in (self.costs, self.errors):
                plot.clear()
            self.words.setText(WAITING)
        else:
            self._draw(answer)
        self._draw_rules()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.words.setFont(self.look.font(0.88))
        self.words.setStyleSheet(f"color: {self.look.palette.muted}; background: transparent")
        for plot in (self.costs, self.errors):
            plot.restyle()
        if self._answer is not None:
            self._draw(self._answer)

    def _draw(self, answer: Answer) -> None:
        palette = self.look.palette
        names = ("tolerances", "evaluations", "rejected", "round_trip", "log_det_error")
        found = {name: np.asarray(answer.arrays[name], np.float64) for name in names}
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.log10(found["tolerances"])
        curves = (
            (self.costs, "evaluations", Stroke("evaluations", palette.model, 2.0, tooltip=(
                "Calls of the network from the start to the end of the way"))),
            (self.costs, "rejected", Stroke("rejected steps", palette.error, 1.6, tooltip=(
                "Left out where there are none"))),
            (self.errors, "round_trip", Stroke("round trip, flow units", palette.data, 2.0,
             tooltip="There and back: the farthest that a point ends from where it began")),
            (self.errors, "log_det_error", Stroke("log-det, nats", palette.model, 2.0, tooltip=(
                "The largest error of a log-determinant, by a solve at 1e-10"))),
            (self.errors, "tolerances", Stroke("the tolerance", palette.muted, 1.4, dashed=True,
             tooltip="The error of one step that is allowed; those of all steps add up")),
        )  # fmt: skip
        for plot, name, stroke in curves:
            plot.set_curve(name, x, found[name], stroke)
        for plot in (self.costs, self.errors):
            plot.fit()
        self.words.setText(_words(found["tolerances"], found["evaluations"]))

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        """Tell all numbers at the tolerance nearest to the pointer."""
        if place is None or self._answer is None:
            self.pointed.emit(None)
            return
        x = self.costs.nearest_x("evaluations", place[0])
        rows = [
            (plot.label_of(name), number(value))
            for plot in (self.costs, self.errors)
            for name in plot.names
            if (value := plot.value_at(name, x)) is not None
        ]
        self.pointed.emit(Pointed(f"Tolerance {power(10.0**x)}", tuple(rows)))

    def _draw_rules(self) -> None:
        for rule, words in zip(self.rules, ("in training", ""), strict=True):
            if self._own is None or self._answer is None:
                rule.clear()
            else:
                heading = f"{words} {power(self._own)}" if words else ""
                rule.show_at(float(np.log10(self._own)), heading, ())


def power(value: float) -> str:
    """A tolerance in print: a power of ten where it is one."""
    exponent = round(math.log10(value)) if 0 < value < math.inf else 0
    if exponent < -2 and math.isclose(value, 10.0**exponent, rel_tol=1e-9):
        return "10" + str(exponent).translate(RAISED)
    return f"{value:.3g}"


def _words(tolerances: np.ndarray[tuple[int], np.dtype[np.float64]],
           evaluations: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:  # fmt: skip
    """What the sweep says in a sentence."""
    if len(tolerances) < 2 or not np.isfinite(evaluations).all() or not evaluations.all():
        return "Dormand–Prince of order 5."
    loose, tight = int(np.argmax(tolerances)), int(np.argmin(tolerances))
    return (
        f"Dormand–Prince: {evaluations[loose]:.0f} evaluations at {power(tolerances[loose])}, "
        f"{evaluations[tight]:.0f} at {power(tolerances[tight])}. The error of order 5 falls much "
        "faster than the cost rises."
    )
