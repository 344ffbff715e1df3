"""Steps: how far the solver went at each time, what it took back, and what that cost."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal

from engine.wire.messages import Answer
from widgets.controls.chips import Chip, ChipRow
from widgets.figures import as_float, number
from widgets.flow.clock import FlowClock
from widgets.flow.side import Side
from widgets.look import Look
from widgets.panel import Pointed
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.rule import RuleLayer
from widgets.trajectories.transport import TENTHS

Floats: TypeAlias = npt.NDArray[Any]

#: The time that is shown: a little more than there is, so that nothing lies on the edge.
SPAN = (-0.02, 1.02)
#: Tolerances are written with so many digits.
DIGITS = 3
TIPS = {
    "accepted": "Each line reaches from where a step began to where it ended",
    "rejected": "Its error was above the tolerance; it was tried again with a smaller one",
}


class StepsSide(Side):
    """Sizes and errors of all steps over time, the rejected ones marked.

    Signals:
        pointed: A :class:`~widgets.panel.Pointed`, or None.
    """

    pointed = Signal(object)

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__(look, clock)
        self.chips = ChipRow(look, wrap=True)
        self.sizes, self.errors = CurvePlot(look), CurvePlot(look)
        self.rules = RuleLayer(look), RuleLayer(look)
        self.column.addWidget(self.chips)
        for plot, rule, words in (
            (self.sizes, self.rules[0], "size of a step, units of time"),
            (self.errors, self.rules[1], "error ÷ tolerance"),
        ):
            plot.set_names("time t: data 0, base 1", words)
            plot.set_x_range(SPAN)
            plot.set_fit("whole")
            plot.frame.add(rule)
            plot.hovered.connect(self._on_hovered)
            self.column.addWidget(plot, 1)
        self.sizes.set_pinned(y=0.0)
        self.errors.set_log_y(True)
        self._answer: Answer | None = None

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Take the steps in, or forget them."""
        if part != "steps":
            return
        self._answer = answer
        if answer is None:
            for plot in (self.sizes, self.errors):
                plot.clear()
            self.chips.set_chips(())
            return
        self._draw(answer)
        self.follow()

    def follow(self) -> None:
        """The line stands at the clock's time, and says which step crosses it."""
        if self._answer is None:
            for rule in self.rules:
                rule.clear()
            return
        t = self.clock.at / TENTHS
        for rule in self.rules:
            rule.show_at(t, "", ())

    def restyle(self) -> None:
        """Take colours from the look."""
        for plot in (self.sizes, self.errors):
            plot.restyle()
        if self._answer is not None:
            self._draw(self._answer)

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        """Tell every step that was tried over the time under the pointer."""
        if place is None or self._answer is None:
            self.pointed.emit(None)
            return
        arrays, t = self._answer.arrays, place[0]
        tried = zip(*(arrays[f"step_{name}"].tolist() for name in
                      ("times", "sizes", "errors", "accepted")), strict=True)  # fmt: skip
        rows = [
            ("accepted" if taken else "rejected",
             f"size {number(abs(size), DIGITS)}, error ÷ tolerance {number(error, DIGITS)}")
            for begin, size, error, taken in tried
            if min(begin, begin + size) <= t <= max(begin, begin + size)
        ]  # fmt: skip
        self.pointed.emit(Pointed(f"t = {t:.2f}", tuple(rows)))

    def _draw(self, answer: Answer) -> None:
        palette = self.look.palette
        times, sizes, errors = (
            np.asarray(answer.arrays[name], np.float64)
            for name in ("step_times", "step_sizes", "step_errors")
        )
        accepted = np.asarray(answer.arrays["step_accepted"], bool)
        for plot, heights in ((self.sizes, np.abs(sizes)), (self.errors, errors)):
            for name, colour, own in (
                ("rejected", palette.error, ~accepted), ("accepted", palette.model, accepted)
            ):  # fmt: skip
                x, y = spans(times[own], sizes[own], heights[own])
                plot.set_curve(name, x, y, Stroke("", colour, 2.4, thinned=False))
        limit = Stroke("the tolerance", palette.muted, 1.4, dashed=True,
                       tooltip="Above it a step is taken back")  # fmt: skip
        if np.isfinite(errors).any():
            self.errors.set_floor("limit", 1.0, limit)
        self.errors.setVisible(bool(np.isfinite(errors).any()))
        for plot in (self.sizes, self.errors):
            plot.fit()
        self._show_chips(answer)

    def _show_chips(self, answer: Answer) -> None:
        palette, values = self.look.palette, answer.values
        n = {name: as_float(values.get(f"n_{name}")) or 0.0
             for name in ("evaluations", "accepted", "rejected")}  # fmt: skip
        chips = [
            Chip(f"{n['evaluations']:.0f} evaluations", "Calls of the network for this solve of "
                 "all points, those in rejected steps included", framed=True),
            Chip(f"{n['accepted']:.0f} accepted", TIPS["accepted"], palette.model, "line",
                 framed=True),
        ]  # fmt: skip
        adaptive = values.get("solver") == "dopri5"
        if adaptive:
            rejected = f"{n['rejected']:.0f} rejected"
            chips.append(Chip(rejected, TIPS["rejected"], palette.error, "line", framed=True))
        words = str(values.get("solver", ""))
        for name in ("rtol", "atol") if adaptive else ():
            words += f", {name} {number(as_float(values.get(name)) or 0.0, DIGITS)}"
        chips.append(Chip(words, "As in training; change it among the settings", framed=True))
        self.chips.set_chips(tuple(chips))


def spans(times: Floats, sizes: Floats, heights: Floats) -> tuple[Floats, Floats]:
    """(3·T,) twice: each step as a level line over the time that it took, with gaps between."""
    ends = times + sizes
    x = np.stack([times, ends, ends], 1).ravel()
    y = np.stack([heights, heights, np.full(len(times), np.nan)], 1).ravel()
    return x, y
