"""Long work of a run that a panel asks for: what has come of it, whether it still goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from PySide6.QtWidgets import QProgressBar

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.figures import as_float
from widgets.look import Look
from widgets.panel import Question

#: Results of so many runs are kept to come back to.
RUNS_KEPT = 16


@dataclass
class Work:
    """A stream's arguments, the answers that hold something, and the newest progress."""

    probe: str
    arguments: dict[str, Value]
    answers: list[Answer] = field(default_factory=list)
    note: dict[str, Value] = field(default_factory=dict)
    running: bool = True

    @property
    def question(self) -> Question:
        """The stream."""
        return Question(self.probe, self.arguments, live=False, stream=True)

    @property
    def progress(self) -> float:
        """0 … 1."""
        return as_float(self.note.get("progress")) or 0.0

    def take(self, answer: Answer, holds: str) -> None:
        """Take in a piece; it is kept where it has a value or array named ``holds``."""
        self.note |= answer.values
        if holds in answer.values or holds in answer.arrays:
            self.answers.append(answer)
        self.running = self.running and not answer.final


def keep(works: dict[str, Work], run: str, work: Work) -> None:
    """Begin a work for a run; the oldest ones are forgotten."""
    works.pop(run, None)
    while len(works) >= RUNS_KEPT:
        del works[next(iter(works))]
    works[run] = work


class ProgressLine(QProgressBar):
    """A thin line of progress."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self.setRange(0, 1000)
        self.setTextVisible(False)
        self.setAccessibleName("Progress")
        self.restyle()

    def show_share(self, share: float) -> None:
        """0 … 1."""
        self.setValue(round(1000 * share))

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        palette = self._look.palette
        self.setFixedHeight(self._look.px(4))
        self.setStyleSheet(
            f"QProgressBar {{ background: {palette.raised}; border: none; }}"
            f"QProgressBar::chunk {{ background: {palette.accent}; }}"
        )
