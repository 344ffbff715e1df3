"""Trace: the exact divergence along a trajectory, and Hutchinson's estimates with their spread."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel

from engine.wire.messages import Answer
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.segments import Segments
from widgets.figures import as_float, fixed
from widgets.flow.clock import FlowClock
from widgets.flow.side import Side
from widgets.look import Look
from widgets.panel import Pointed
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.rule import RuleLayer
from widgets.trajectories.steps_side import SPAN
from widgets.trajectories.transport import TENTHS

#: So many single estimates are drawn as lines; bins of the histogram.
SHOWN, BINS = 8, 25
#: Room beside estimates that are all the same, as a share of their size.
LEAST = 1e-3
KINDS = (
    ("rademacher", "Rademacher noise", "Each value of ε is −1 or 1; of D values there are at most "
     "2ᴰ⁻¹ estimates"),
    ("gaussian", "Gaussian noise", "Each value of ε is standard normal: a wider spread"),
)  # fmt: skip


class TraceSide(Side):
    """Over time the trace and its estimates; below the whole way's log-determinants.

    Signals:
        noise_chosen: Another kind of noise is wanted.
        pointed: A :class:`~widgets.panel.Pointed`, or None.
    """

    noise_chosen = Signal(str)
    pointed = Signal(object)

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__(look, clock)
        self.kind = Segments(look, KINDS)
        self.kind.chosen.connect(self.noise_chosen)
        self.chips = ChipRow(look, wrap=True)
        self.over_time = CurvePlot(look, wrap_legend=True)
        self.totals = CurvePlot(look, wrap_legend=True)
        self.rule, self.exact = RuleLayer(look), RuleLayer(look)
        self.over_time.set_names("time t: data 0, base 1", "trace, nats per unit of time")
        self.totals.set_names("log-det of the whole way  [nats]", "share of the noises")
        self.over_time.set_x_range(SPAN)
        self.over_time.frame.add(self.rule)
        self.over_time.hovered.connect(self._on_hovered)
        self.totals.frame.add(self.exact)
        self.totals.set_pinned(y=0.0)
        self.totals.set_fit("whole")
        self.words = QLabel()
        self.words.setWordWrap(True)
        for part, stretch in (
            (self.kind, 0), (self.chips, 0), (self.over_time, 3), (self.totals, 2), (self.words, 0)
        ):  # fmt: skip
            self.column.addWidget(part, stretch)
        self._answer: Answer | None = None
        self.restyle()

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Take exact and estimated traces in, or forget them."""
        if part != "path":
            return
        self._answer = answer
        if answer is None:
            for plot in (self.over_time, self.totals):
                plot.clear()
            self.exact.clear()
            self.chips.set_chips(())
            self.words.clear()
        else:
            self._draw(answer)
        self.follow()

    def follow(self) -> None:
        """The line stands at the clock's time."""
        if self._answer is None:
            self.rule.clear()
            return
        t = self.clock.at / TENTHS
        self.rule.show_at(t, "", ())

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.words.setFont(self.look.font(0.88))
        self.words.setStyleSheet(f"color: {self.look.palette.muted}; background: transparent")
        for plot in (self.over_time, self.totals):
            plot.restyle()
        if self._answer is not None:
            self._draw(self._answer)

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        """Tell exact trace and spread at the time under the pointer."""
        if place is None or self._answer is None:
            self.pointed.emit(None)
            return
        t = self.over_time.nearest_x("exact", place[0])
        exact = self.over_time.value_at("exact", t) or 0.0
        above = self.over_time.value_at("spread +1", t) or 0.0
        self.pointed.emit(Pointed(f"t = {t:.2f}", (
            ("exact trace", f"{fixed(exact, 3)} nats per unit of time"),
            ("σ of one estimate", f"{fixed(above - exact, 3)} nats per unit of time"),
        )))  # fmt: skip

    def _draw(self, answer: Answer) -> None:
        palette = self.look.palette
        times, exact, table, variance = (
            np.asarray(answer.arrays[name], np.float64)
            for name in ("times", "trace_exact", "trace_estimates", "trace_variance")
        )
        plot = self.over_time
        for place in range(SHOWN):
            own = table[:, min(place, table.shape[1] - 1)]
            label = "one noise each" if place == 0 else ""
            plot.set_curve(f"noise {place}", times, own, Stroke(
                label, palette.model, 1.0, opacity=0.55, scaled=False,
                tooltip="Hutchinson's estimate with one noise, kept for the whole solve",
            ))  # fmt: skip
        spread = np.sqrt(np.maximum(variance, 0.0))
        for sign in (-1.0, 1.0):
            label = "± σ of one estimate" if sign > 0 else ""
            plot.set_curve(f"spread {sign:+.0f}", times, exact + sign * spread, Stroke(
                label, palette.text, 1.4, dashed=True,
                tooltip="By the variance over all noises",
            ))  # fmt: skip
        plot.set_curve("exact", times, exact, Stroke(
            "exact", palette.truth, 2.2, tooltip="The sum of the Jacobian's diagonal"
        ))  # fmt: skip
        plot.fit()
        self._draw_totals(answer)

    def _draw_totals(self, answer: Answer) -> None:
        palette = self.look.palette
        totals = np.asarray(answer.arrays["log_det_estimates"], np.float64).ravel()
        totals = totals[np.isfinite(totals)]
        exact = as_float(answer.values.get("log_det"))
        self.totals.clear()
        if len(totals) > 1 and float(np.ptp(totals)) < 1e30:
            low, high = float(totals.min()), float(totals.max())
            room = max(0.02 * (high - low), LEAST * max(1.0, abs(low)))
            counts, edges = np.histogram(totals, BINS, (low - room, high + room))
            x = np.repeat(edges, 2)
            y = np.concatenate([[0.0], np.repeat(counts / len(totals), 2), [0.0]])
            self.totals.set_curve("estimates", x, y, Stroke(
                f"{len(totals)} estimates", palette.model, 1.4, filled=0.35, thinned=False,
            ))  # fmt: skip
        self.totals.fit()
        if exact is not None and np.isfinite(exact):
            self.exact.show_at(exact, f"exact {fixed(exact, 3)}", ())
        self._say(answer, totals)

    def _say(self, answer: Answer, totals: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        trained = str(answer.values.get("trained_with", ""))
        words = f"trained with the {trained} trace" if trained == "exact" else (
            f"trained with {trained} noise"
        )  # fmt: skip
        ringed = Chip("along the ringed point", "Click another one to ring it", framed=True)
        self.chips.set_chips((ringed, Chip(words, "", framed=True)))
        if len(totals) < 2:
            self.words.clear()
            return
        error = float(totals.std(ddof=1)) / np.sqrt(len(totals))
        self.words.setText(
            f"Mean of the estimates {fixed(float(totals.mean()), 3)} ± {fixed(error, 3)} nats; a "
            f"single one has σ = {fixed(float(totals.std(ddof=1)), 3)} nats. It has no bias, and "
            "costs one product with the Jacobian, whatever the number of values."
        )
