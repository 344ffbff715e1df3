"""Truth: the true posterior beside q, both gaps, and q walking to its best by gradient steps."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed
from widgets.controls.chips import Chip
from widgets.controls.empty import EmptyState
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.clock import Clock
from widgets.pixels.mode import lay_out
from widgets.plots.curves import CurvePlot, Stroke
from widgets.posterior.desk import Desk
from widgets.posterior.keys import ASIDE
from widgets.posterior.mode import Mode, Page
from widgets.posterior.picker import EventPicker
from widgets.posterior.transport import StepTransport
from widgets.posterior.truth_plot import TruthPlot
from widgets.posterior.words import figure, names, nats, numbers, plain

STARTS = (("from the encoder's q", "encoder"), ("from the prior", "prior"))
LENGTHS = (0.01, 0.02, 0.05, 0.1, 0.2)
COUNTS = (40, 120, 400)
#: The walk takes so many seconds to play, and is asked again so often while a run trains.
SECONDS, REDRAW_SECONDS = 4.0, 3.0
AMORTISED = (
    "L(best q) − L(encoder's q): what one network for all x loses to a q found for this x alone"
)
LOG_PROB_TIPS = {
    "quadrature": "± is the difference to half as many nodes, and the mass at the window's edge",
    "estimate": "Importance weighted, with draws of q and of the best q; ± is one standard error",
}
DRAWN_TIP = (
    "Choose one or two latents on the left to see the posterior itself. The best q is climbed on "
    "128 draws and judged on 1,000 others; ± is one standard error"
)
APPROXIMATED = "log p(x) − L(best q): what no q of this family can reach"


class TruthMode(Mode):
    """Posterior truth for one or two latents."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.picker = EventPicker(look, desk)
        self.plot, self.ascent = TruthPlot(look), CurvePlot(look)
        self.clock = Clock(self)
        self.transport = StepTransport(look, self.clock, "gradient steps on q")
        self.empty = EmptyState(look)
        self._answer: Answer | None = None
        self._has_picture = True
        self._done_at = 0.0
        self.start, self.learning_rate, self.n_steps = "encoder", 0.05, 120
        self._right = QWidget()
        self._build()
        self.arrange("even")

    def _build(self) -> None:
        column = QVBoxLayout(self._right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.ascent, 1)
        column.addWidget(self.transport)
        self.ascent.set_names("gradient step", "L(q), nats")
        self.ascent.set_fit("whole")
        self.pages = QStackedWidget()
        self.pages.addWidget(Page(self.grid))
        self.pages.addWidget(self.empty)
        self.column.addWidget(self.pages, 1)
        for name, tip, entries in (
            ("start", "Where q begins its walk", STARTS),
            ("length", "Step size of the natural gradient steps on μ and log σ",
             tuple((f"step {v:g}", v) for v in LENGTHS)),
            ("count", "How many gradient steps q takes",
             tuple((f"{n} steps", n) for n in COUNTS)),
        ):  # fmt: skip
            self.tools.add_choice(name, tip)
            self.tools.set_choices(name, entries)
        self.tools.set_choice("length", self.learning_rate)
        self.tools.set_choice("count", self.n_steps)
        self.tools.chosen.connect(self._on_chosen)
        self.clock.moved.connect(self._on_moved)
        self.clock.playing_changed.connect(lambda _: self.asks_changed.emit())

    def arrange(self, shape: str) -> None:
        """The events at the left, the posterior in the middle, the ascent beside or below."""
        if not self._has_picture:
            lay_out(self.grid, ((self.picker, self._right),), (1,), (2, 5))
        elif shape == "tall":
            rows: Any = ((self.picker, self._right), (self.plot, self.plot))
            lay_out(self.grid, rows, (3, 5), (3, 4))
        elif shape == "low":
            lay_out(self.grid, ((self.picker, self.plot, self._right),), (1,), (4, 9, 9))
        else:
            rows = ((self.picker, self.plot), (self._right, self.plot))
            lay_out(self.grid, rows, (1, 1), (3, 5))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._answer = None
        self._done_at = 0.0
        self.clock.open(0)
        self.plot.clear()
        self.ascent.clear()
        self.picker.open()
        self.transport.show_clock()
        self.empty.say("The true posterior is being found …", "and the best q of its family")
        self.pages.setCurrentIndex(1)

    def refusal(self) -> str:
        """An encoder and a decoder are needed."""
        wanted = (Capability.BOUND, Capability.ENCODING, Capability.DECODING)
        return "" if self.desk.has(*wanted) else "needs a bound, an encoder and a decoder"

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Posterior, gaps and walk of the chosen event; seldom while a run trains."""
        if self.desk.no_grid:
            self._say_no(self.desk.no_grid)
            return {}
        wanted: dict[str, Value] = {
            "start": self.start, "learning_rate": self.learning_rate, "n_steps": self.n_steps,
        }  # fmt: skip
        due = time.monotonic() - self._done_at > REDRAW_SECONDS
        live = (rest or due or self.desk.is_scrubbing) and not self.clock.is_playing
        question = self.desk.event_question("posterior_truth", wanted, live=live)
        return {} if question is None else {"truth": question}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the posterior; the walk comes a moment later."""
        if part != "truth" or "q_mean" not in answer.arrays:
            return
        self.pages.setCurrentIndex(0)
        old, self._answer = self._answer, answer
        self._show_picture(answer.values.get("kind") != "estimate")
        if "walk_elbo" in answer.arrays:
            self._done_at = time.monotonic()
            size = len(answer.arrays["walk_elbo"]) - 1
            at_end = old is None or self.clock.place >= self.clock.size
            place = size if at_end else min(self.clock.place, size)
            self.clock.size, self.clock.ready = size, size
            self.clock.pace = max(size / SECONDS, 1.0)
            self.clock.go(place)
        self._draw()
        self.chips_changed.emit()

    def show_failed(self, part: str, failed: Failed) -> bool:
        """Latents that have no grid are said in the empty state."""
        if part != "truth" or "posterior on a grid" not in failed.message:
            return False
        self._say_no(failed.message.split(": ", 1)[-1])
        return True

    def follow(self) -> None:
        """Another event."""
        self._done_at = 0.0
        self.asks_changed.emit()

    def chips(self) -> tuple[Chip, ...]:
        """Both gaps, and how log p was had."""
        if self._answer is None:
            return ()
        v, palette = self._answer.values, self.look.palette
        family = str(v.get("family", ""))
        starts = f"{v.get('n_agreeing')} of {v.get('n_starts')} starts led to it"
        kind = str(v.get("kind", ""))
        found = [
            Chip(f"{words} {nats(figure(v, name), figure(v, name + '_error'))}",
                 f"{tip} ({family})", colour, "dot", framed=True)
            for name, words, tip, colour in (
                ("amortisation_gap", "amortisation gap", AMORTISED, palette.model),
                ("approximation_gap", "approximation gap", APPROXIMATED, palette.warning),
            )
        ]  # fmt: skip
        log_prob = nats(figure(v, "log_prob"), figure(v, "error"))
        found.append(Chip(f"log p(x) {log_prob}, {kind}", LOG_PROB_TIPS.get(kind, ""),
                          palette.truth, "dot", framed=True))  # fmt: skip
        if kind == "estimate":
            size = len(names(v, "names"))
            found.append(Chip(f"{size} latents: no picture, from draws", DRAWN_TIP, framed=True))
        else:
            found.append(Chip(f"best of {v.get('n_starts')} starts", starts, framed=True))
        return tuple(found)

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """[ and ] go through the events, the others through the steps."""
        by = ASIDE.get(event.text())
        if by is not None:
            if not only_ask:
                self.picker.step(by)
            return True
        return self.transport.take_key(event, only_ask=only_ask)

    def leave(self) -> None:
        """Time stands still."""
        self.clock.pause()

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.picker, self.plot, self.ascent, self.transport):
            part.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        if self._answer is None:
            return
        v = self._answer.values
        if self._has_picture:
            self.plot.set_truth(
                self._answer.arrays, names(v, "names"), numbers(v, "low"), numbers(v, "high")
            )
        self._draw_ascent()
        self._on_moved()

    def _draw_ascent(self) -> None:
        answer, palette = self._answer, self.look.palette
        if answer is None:
            return
        v = answer.values
        walked = answer.arrays.get("walk_elbo")
        if walked is not None:
            at = np.arange(len(walked), dtype=float)
            stroke = Stroke(
                "L(q)", palette.text, 2.0, tooltip="Of each q on its way, decoder held still"
            )
            self.ascent.set_curve("walk", at, walked, stroke)
        for name, label, colour, tip in (
            ("log_prob", "log p", palette.truth, "No bound can be higher"),
            ("best_elbo", "best q", palette.warning, APPROXIMATED),
            ("elbo", "encoder's q", palette.model, AMORTISED),
        ):
            value = figure(v, name)
            if value is not None:
                stroke = Stroke(label, colour, 1.6, dashed=True, tooltip=tip)
                self.ascent.set_floor(name, value, stroke)
        self.ascent.fit()

    def _on_moved(self, _: int = 0) -> None:
        place = self.clock.place
        answer = self._answer
        if answer is None or "walk_elbo" not in answer.arrays:
            self.plot.show_place(None)
            self.transport.show_clock()
            return
        walked = answer.arrays["walk_elbo"]
        place = min(place, len(walked) - 1)
        self.plot.show_place(place)
        box = self.ascent.frame.box
        mark = Stroke("", self.look.palette.accent, 1.0, dashed=True, scaled=False)
        ends = np.array([box.low[1], box.high[1]])
        self.ascent.set_curve("here", np.full(2, float(place)), ends, mark)
        self.transport.show_clock(f"{place} / {len(walked) - 1}: {plain(float(walked[place]))}")

    def _show_picture(self, on: bool) -> None:
        """Many latents have curves alone."""
        if on != self._has_picture:
            self._has_picture = on
            self.plot.setVisible(on)
            self.arrange(self.shape)

    def _say_no(self, words: str) -> None:
        self.empty.say("The true posterior is drawn for one or two real latents", words)
        self.pages.setCurrentIndex(1)
        if self._answer is not None:
            self._answer = None
            self.chips_changed.emit()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "start":
            self.start = str(value)
        elif name == "length" and isinstance(value, float):
            self.learning_rate = value
        elif name == "count" and isinstance(value, int):
            self.n_steps = value
        self._done_at = 0.0
        self.asks_changed.emit()
