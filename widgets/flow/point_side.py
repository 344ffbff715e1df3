"""Sum: what the chosen point collects on its way, until it is log p(x)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QStackedWidget

from engine.wire.messages import Answer
from widgets.controls.empty import EmptyState
from widgets.figures import as_float, fixed, number
from widgets.flow.clock import FlowClock
from widgets.flow.side import Side
from widgets.look import Look
from widgets.why.waterfall import Bar, Waterfall

HINT = "Click a point on the stage: it carries its running sum through the layers."


@dataclass(frozen=True)
class Sum:
    """An answer of ``flow_jacobian`` as a sum in the order in which it is collected.

    Towards the base the log-determinants come first and log p_Z last; from the base it is log p_Z
    that comes first, and the layers follow from the last to the first.
    """

    bars: tuple[Bar, ...]
    log_prob: float
    residual: float
    inverse: bool
    step: int

    def collected(self, at: float, size: int) -> int:
        """How many summands are there at a place: those of whole layers that lie behind."""
        if self.inverse:
            return 1 + math.floor(size - at + 1e-9)
        passed = math.floor(at + 1e-9)
        return passed + (passed == size)

    def words(self, at: float, size: int) -> str:
        """The sum so far, for the stage."""
        n = self.collected(at, size)
        total = fixed(math.fsum(bar.value for bar in self.bars[:n]), 3)
        if n == len(self.bars):
            return f"log p(x) = {total} nats"
        if self.inverse:
            layers = "log p(z)" if n == 1 else f"log p(z) + {n - 1} log-dets"
            return f"{layers} = {total} nats"
        return f"Σ of {n} log-dets = {total} nats" if n else "at the data: sum 0"


def read_sum(answer: Answer, *, inverse: bool) -> Sum:
    """Take an answer of ``flow_jacobian`` in."""
    values, log_dets = answer.values, answer.arrays["log_dets"]
    names = values.get("names")
    titles = [str(name) for name in names] if isinstance(names, list) else []
    bars = [
        Bar(name, float(value), _stretch(float(value)))
        for name, value in zip(titles, log_dets, strict=True)
    ]
    base = Bar("log p(z)", as_float(values.get("log_base")) or 0.0,
               "Log-density of the base where the point ends")  # fmt: skip
    ordered = (base, *bars[::-1]) if inverse else (*bars, base)
    log_prob = as_float(values.get("log_prob"))
    residual = as_float(values.get("residual"))
    return Sum(ordered, math.nan if log_prob is None else log_prob,
               math.nan if residual is None else residual, inverse, answer.step)  # fmt: skip


def _stretch(log_det: float) -> str:
    factor = math.exp(min(abs(log_det), 700.0))
    way = "stretches" if log_det >= 0 else "squeezes"
    return f"log|det|: towards the base this layer {way} space here by a factor {factor:.4g}"


class PointSide(Side):
    """Bars that grow while the point moves."""

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__(look, clock)
        self.sum: Sum | None = None
        self._answer: Answer | None = None
        self._drawn: tuple[Sum, int] | None = None
        self.heading, self.words = QLabel(), QLabel()
        for label in (self.heading, self.words):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setWordWrap(True)
        self.waterfall = Waterfall(look)
        self.area = QScrollArea()
        self.area.setWidget(self.waterfall)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.viewport().setAutoFillBackground(False)
        self.waterfall.setAutoFillBackground(False)
        self.empty = EmptyState(look)
        self.empty.say("No point is chosen", HINT)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.empty)
        self.pages.addWidget(self.area)
        self.column.addWidget(self.heading)
        self.column.addWidget(self.words)
        self.column.addWidget(self.pages, 1)
        self.restyle()
        self.show_answer("point", None)

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Take the sum of a point in, or forget it."""
        if part != "point":
            return
        self._answer = answer
        if answer is None:
            self.sum = None
            self.waterfall.forget_axis()
        else:
            self._read()
        self.pages.setCurrentWidget(self.empty if self.sum is None else self.area)
        for label in (self.heading, self.words):
            label.setVisible(self.sum is not None)
        self.follow()

    def turned(self) -> None:
        """The way goes in the other direction."""
        if self._answer is not None:
            self._read()
            self.follow()

    def _read(self) -> None:
        if self._answer is not None:
            self.sum = read_sum(self._answer, inverse=self.clock.inverse)

    def follow(self) -> None:
        """As many bars as have been collected."""
        found = self.sum
        if found is None:
            return
        n = found.collected(self.clock.at, self.clock.size)
        if self._drawn is not None and self._drawn[0] is found and self._drawn[1] == n:
            return
        self._drawn = (found, n)
        whole = n == len(found.bars)
        so_far = math.fsum(bar.value for bar in found.bars[:n])
        rest = tuple(Bar(bar.name, 0.0, "Not reached yet", pending=True) for bar in found.bars[n:])
        total = Bar("log p(x)" if whole else "so far", so_far)
        ends = tuple(accumulate(bar.value for bar in found.bars))
        self.waterfall.set_bars((*found.bars[:n], *rest), total, "nats", ends)
        self.heading.setText(f"log p(x) = {fixed(found.log_prob, 5)} nats")
        self.words.setText(
            f"log p(z) + Σ log-dets, summed in double precision, differs from the model's own "
            f"number by {number(abs(found.residual), 1)} nats · step {found.step}"
        )

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.heading.setFont(self.look.font(1.2, bold=True))
        self.heading.setStyleSheet(f"color: {self.look.palette.text}; background: transparent")
        self.words.setFont(self.look.font(0.85))
        self.words.setStyleSheet(f"color: {self.look.palette.muted}; background: transparent")
        self.waterfall.restyle()
