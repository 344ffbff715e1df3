"""EM's bars in turn: the E-step closes the gap, the M-step lifts log p and opens it again."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.clock import Clock
from widgets.plots.curves import CurvePlot, Stroke
from widgets.posterior.level_bars import Level, LevelBars
from widgets.posterior.transport import StepTransport
from widgets.posterior.words import names, nats, plain

#: Half-steps ahead that are asked for, and how many are played a second.
N_HALF_STEPS, PACE = 24, 2.0
E_TIP = "E-step: q becomes the posterior under the weights as they are: L rises to log p."
M_TIP = "M-step: the weights climb L with q held still: log p rises further, and a gap opens."


class EmView(QWidget):
    """Bars of one half-step, the curve of all, and a time of their own.

    Signals:
        changed: Another half-step is shown.
    """

    changed = Signal()

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._answer: Answer | None = None
        self.clock = Clock(self)
        self.bars, self.curves = LevelBars(look), CurvePlot(look)
        self.transport = StepTransport(look, self.clock, "half-steps of EM")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.bars, 3)
        layout.addWidget(self.curves, 4)
        layout.addWidget(self.transport)
        self.curves.set_names("half-step", "nats per event")
        self.curves.set_fit("whole")
        self.clock.moved.connect(lambda _: self._draw())
        self.clear()

    def questions(self) -> dict[str, Question]:
        """The half-steps ahead of the weights in view; not again while they are played."""
        live = not self.clock.is_playing
        return {"em": Question("em_bars", {"n_half_steps": N_HALF_STEPS}, live=live, coarse=None)}

    def show_answer(self, answer: Answer) -> None:
        """Take in the half-steps so far."""
        count = len(answer.arrays.get("elbo", ()))
        if not count:
            return
        first = self._answer is None
        self._answer = answer
        place = min(self.clock.place, count - 1)
        self.clock.size, self.clock.ready, self.clock.pace = count - 1, count - 1, PACE
        self.clock.go(place)
        if first or answer.final:
            self.curves.clear()
        self._draw()

    def chips(self) -> tuple[Chip, ...]:
        """What this half-step does."""
        answer, palette = self._answer, self._look.palette
        if answer is None:
            return ()
        label = names(answer.values, "labels")[self.clock.place]
        tip = E_TIP if label == "E" else M_TIP
        gap = float(answer.arrays["kl"][self.clock.place])
        n = answer.values.get("n")
        return (
            Chip(f"after an {label}-step", tip, palette.model, "dot", framed=True),
            Chip(f"KL(q‖posterior) {nats(gap)}", "Exact, mean over the events", palette.warning,
                 "dot", framed=True),
            Chip(f"{n} training events, exact", "Means over the events, in nats", framed=True),
        )  # fmt: skip

    def clear(self) -> None:
        """Another run."""
        self._answer = None
        self.clock.open(0)
        self.bars.forget_axis()
        self.bars.set_title("", "The half-steps are coming …")
        self.bars.set_levels(())
        self.curves.clear()
        self.transport.show_clock()

    def restyle(self) -> None:
        """Take colours from the look."""
        self.bars.restyle()
        self.curves.restyle()
        self.transport.restyle()
        self.curves.clear()
        self._draw()

    def _draw(self) -> None:
        answer, palette = self._answer, self._look.palette
        if answer is None:
            return
        place = min(self.clock.place, len(answer.arrays["elbo"]) - 1)
        labels = names(answer.values, "labels")
        elbo, log_prob = (answer.arrays[name] for name in ("elbo", "log_prob"))
        bound, total = float(elbo[place]), float(log_prob[place])
        words = f"half-step {place + 1} of {len(elbo)}: after an {labels[place]}-step"
        self.bars.set_title(words, "")
        self.bars.hold(float(np.nanmin(elbo)), float(np.nanmax(log_prob)))
        self.bars.set_levels((
            Level("log p, exact", total, total, plain(total), "truth", "Mean over the events"),
            Level("KL(q‖posterior)", bound, total, plain(total - bound), "warning",
                  E_TIP if labels[place] == "E" else M_TIP),
            Level("L, bound", bound, bound, plain(bound), "model", "The bound with this q"),
        ))  # fmt: skip
        at = np.arange(1, len(elbo) + 1, dtype=float)
        for name, values, colour, words in (
            ("log p", log_prob, palette.truth, "log p, exact"),
            ("L", elbo, palette.model, "L = log p − KL(q‖posterior)"),
        ):
            self.curves.set_curve(name, at, values, Stroke(words, colour, 1.8))
        self.curves.fit()
        box = self.curves.frame.box
        here = np.full(2, place + 1.0)
        ends = np.array([box.low[1], box.high[1]])
        mark = Stroke("", palette.accent, 1.0, dashed=True, scaled=False)
        self.curves.set_curve("here", here, ends, mark)
        self.transport.show_clock(f"{labels[place]}  {place + 1} / {len(elbo)}")
        self.changed.emit()
