"""Passes: how often networks run one after the other, for a density and for a sample."""

from __future__ import annotations

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea

from engine.wire.messages import Answer
from widgets.figures import as_float, number
from widgets.flow.clock import FlowClock
from widgets.flow.passes_view import PassesView, Row
from widgets.flow.side import Side
from widgets.look import Look
from widgets.pixels.clock import Clock
from widgets.pixels.transport import PixelTransport

TIPS = {
    "reset": "Back to the first pass",
    "back": "One pass back",
    "play": "Count the passes",
    "step": "One pass on",
    "slow": "Slow motion: two passes a second",
}
DENSITY, SAMPLE = "density: data → base", "a sample: base → data"
#: Pixels at scale 1 from which the pace is shown beside the counter.
PACE_FROM = 400


class PassesSide(Side):
    """Rows that fill at one tempo: this flow's, and those of its layers turned round."""

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__(look, clock)
        self.passes = Clock(self)
        self.view = PassesView(look)
        self.area = QScrollArea()
        self.area.setWidget(self.view)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.viewport().setAutoFillBackground(False)
        self.view.setAutoFillBackground(False)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.transport = PixelTransport(look, self.passes, tips=TIPS, things="Passes")
        self.column.addWidget(self.area, 1)
        self.column.addWidget(self.words)
        self.column.addWidget(self.transport)
        self.passes.moved.connect(lambda _: self._show())
        self.restyle()

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Take the passes of each layer in, or forget them."""
        if part != "passes":
            return
        if answer is None:
            self.view.set_rows((), ())
            self.words.clear()
            self.passes.open(0)
            self._show()
            return
        density = tuple(int(n) for n in answer.arrays["density"])
        sampling = tuple(int(n) for n in answer.arrays["sampling"])
        names = answer.values.get("names")
        titles = tuple(map(str, names)) if isinstance(names, list) else ()
        solved = bool(answer.values.get("solved"))
        self.view.set_rows(titles, rows_of(density, sampling, solved=solved))
        size = max(sum(density), sum(sampling))
        if size != self.passes.size:
            self.passes.open(size)
            self.passes.set_ready(size)
            self.passes.go(size)
        self.transport.setVisible(size > 0)
        self.words.setText(_words(answer, density, sampling))
        self._show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The pace is shown where there is room."""
        super().resizeEvent(event)
        for widget in (self.transport.speed, self.transport.speed_label):
            widget.setVisible(self.width() >= self.look.px(PACE_FROM))

    def leave(self) -> None:
        """Stop counting."""
        self.passes.pause()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.words.setFont(self.look.font(0.88))
        self.words.setStyleSheet(f"color: {self.look.palette.muted}; background: transparent")
        self.view.restyle()

    def _show(self) -> None:
        self.view.set_place(self.passes.place)
        self.transport.show_clock()


def rows_of(
    density: tuple[int, ...], sampling: tuple[int, ...], *, solved: bool = False
) -> tuple[tuple[str, Row | None], ...]:
    """This flow both ways, and where the ways differ the flow of the same layers turned round.

    Of a flow that a solver makes nothing is turned round: its own error sets how often it asks.
    """
    own: list[tuple[str, Row | None]] = [
        ("This flow", None),
        ("", Row(DENSITY, density)),
        ("", Row(SAMPLE, sampling, backwards=True)),
    ]
    if solved or density == sampling:
        return tuple(own) if sum(density) else ()
    autoregressive = sum(sampling) > sum(density)
    title = "The same layers turned round: an IAF's way" if autoregressive else (
        "The same layers turned round: a MAF's way"
    )  # fmt: skip
    return (*own, (title, None), ("", Row(DENSITY, sampling)),
            ("", Row(SAMPLE, density, backwards=True)))  # fmt: skip


def _words(answer: Answer, density: tuple[int, ...], sampling: tuple[int, ...]) -> str:
    size, n = answer.values.get("event_size"), answer.values.get("n")
    if not sum(density) + sum(sampling):
        reason = "No layer of this flow has a network, so no pass waits for another."
    elif answer.values.get("solved"):
        reason = (
            "A solver asks the network as often as the error that it allows itself makes it, and "
            "each time waits for the answer; there and back need not take as many."
        )
    elif density == sampling:
        reason = "Each layer takes as many passes either way."
    elif sum(sampling) > sum(density):
        reason = (
            f"All {size} values of a given x enter a network at once; of a sample each value "
            "waits for those before it. An IAF's networks read the noise instead, so it is the "
            "other way about."
        )
    else:
        reason = (
            f"The networks read the noise: a sample takes one pass, while the {size} values of a "
            "given x are found one after the other. In a MAF it is the other way about."
        )
    times = [as_float(answer.values.get(f"{name}_seconds")) for name in ("density", "sampling")]
    there, back = (f"{number(1000 * t, 2)} ms" if t is not None else "–" for t in times)
    return f"{reason} Just now {n} points took {there} to the base and {back} to the data."
