"""Panels drawn without a window: one question after the other, in one thread, into a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PySide6.QtCore import (
    QCoreApplication,
    QEvent,
    QMessageLogContext,
    QSize,
    Qt,
    QtMsgType,
    qInstallMessageHandler,
)
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from app import theme
from app.export_arrays import Shown, Taken, draws_metrics, take
from app.filming import ask_of
from app.panel_manager import panel_kinds
from app.shell_engine import PANEL, ShellEngine, ShellError
from engine.wire.cards import ModelCard
from engine.wire.messages import (
    Answer,
    Metrics,
    OpenRun,
    RunInfo,
    RunSpec,
    RunState,
    Slot,
    StartRun,
)
from widgets.look import Look
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Question

#: A panel may ask anew after an answer (it then knows the data's box); this ends the exchange.
ROUNDS = 6


def find_panel(name: str) -> type[Panel]:
    """The panel class of that name; raises ``ShellError`` with the names there are."""
    kinds = panel_kinds()
    if name not in kinds:
        raise ShellError(f"there is no panel '{name}'; there are: {', '.join(sorted(kinds))}")
    return kinds[name]


def _pass_on(_kind: QtMsgType, _context: QMessageLogContext, text: str) -> None:
    """Qt's messages to stderr, but for one."""
    if "propagateSizeHints" not in text:
        sys.stderr.write(f"{text}\n")


@contextmanager
def easel(look: Look) -> Iterator[Look]:
    """A Qt application that needs no display, wearing the given look."""
    if QApplication.instance() is None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application = QApplication.instance() or QApplication([])
    if not isinstance(application, QApplication):
        raise RuntimeError("a Qt application without widgets is already there")
    theme.apply(application, look)
    with quiet_qt():
        yield look


@contextmanager
def quiet_qt() -> Iterator[None]:
    """Without the complaint that the off-screen platform has for each window."""
    before = qInstallMessageHandler(_pass_on)
    try:
        yield
    finally:
        qInstallMessageHandler(before)


def save(image: QImage, out: Path) -> None:
    """Write a picture; raises ``ShellError`` where that cannot be done."""
    if not image.save(str(out)):
        raise ShellError(f"{out} cannot be written")


class Sitting:
    """One run after another in the engine, and pictures of it.

    Args:
        engine: A running engine.
        look: Theme and UI scale.
    """

    def __init__(self, engine: ShellEngine, look: Look) -> None:
        self._engine = engine
        self._look = look
        self.cursor: int | None = None
        self.taken: dict[str, Taken] = {}
        self.info: RunInfo | None = None
        self.state: RunState | None = None
        self.metrics = MetricsTable()

    def start(self, spec: RunSpec) -> RunInfo:
        """Begin a fresh run."""
        name = self._next_run()
        ack = self._engine.command(StartRun(self._engine.next_id(), name, spec))
        return self._admit(ack.info)

    def open(self, path: str) -> RunInfo:
        """Open a saved run."""
        name = self._next_run()
        ack = self._engine.command(OpenRun(self._engine.next_id(), name, path))
        return self._admit(ack.info)

    def train(self, until: int) -> None:
        """Train up to so many steps in all."""
        for event in self._engine.play(self.run.run, until):
            if isinstance(event, Metrics):
                self.metrics.append(event)
            else:
                self.state = event

    def card(self, model: str) -> ModelCard:
        """What the engine says of a model."""
        return next(card for card in self._engine.hello.models if card.name == model)

    @property
    def run(self) -> RunInfo:
        """The run in hand."""
        if self.info is None:
            raise RuntimeError("no run was started")
        return self.info

    def panel(self, name: str, size: tuple[int, int]) -> Panel:
        """A panel that shows the run; :meth:`refresh` brings it up to date.

        Raises:
            ShellError: The panel cannot serve the model.
        """
        kind = find_panel(name)
        refusal = kind.refusal(self.run.card)
        if refusal:
            raise ShellError(f"{kind.title} {refusal}")
        panel = kind(self._look)
        panel.resize(QSize(*size))
        panel.open_run(self.run)
        panel.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        panel.show()
        return panel

    def refresh(self, panel: Panel) -> None:
        """Let a panel show the run as it is now, every question answered in full."""
        if self.state is not None:
            panel.show_state(self.state)
        panel.show_metrics(self.metrics)
        asked: dict[str, str] = {}
        for _ in range(ROUNDS):
            QCoreApplication.processEvents()
            open_questions = {
                part: question
                for part, question in panel.asks(rest=True).items()
                if asked.get(part) != repr(question)
            }
            if not open_questions:
                return
            for part, question in open_questions.items():
                asked[part] = repr(question)
                self._answer(panel, part, question)

    def picture(self, name: str, size: tuple[int, int]) -> QImage:
        """One panel as it looks with all its questions answered."""
        panel = self.panel(name, size)
        try:
            self.refresh(panel)
            return grab(panel)
        finally:
            dispose(panel)

    def shown(self, panel: Panel) -> Shown:
        """What a panel that was brought up to date shows, as numbers."""
        parts = {part: self.taken[part] for part in panel.asks(rest=True) if part in self.taken}
        metrics = self.metrics if draws_metrics(panel) else None
        return Shown(panel.name, self.run.run, parts, metrics, {self.run.run: self.run.spec})

    def ask(self, part: str, question: Question, cursor: int | None) -> list[Answer]:
        """Ask a panel's question of the run in hand at a stored step, or at the newest."""
        slot = Slot(PANEL, question.run or self.run.run, part)
        return self._engine.answers(ask_of(slot, self._engine.next_id(), question, cursor))

    def _answer(self, panel: Panel, part: str, question: Question) -> None:
        for answer in self.ask(part, question, self.cursor if question.live else None):
            self.taken[part] = take(question, answer, self.taken.get(part))
            panel.show_answer(part, answer)

    def _next_run(self) -> str:
        """A name that no other sitting at this engine has: late news of theirs are not for us."""
        return f"sitting-{self._engine.next_id()}"

    def _admit(self, info: RunInfo | None) -> RunInfo:
        if info is None:
            raise RuntimeError("the engine began a run without telling of it")
        self.info, self.state, self.metrics = info, None, MetricsTable()
        self.cursor, self.taken = None, {}
        return info


def settle() -> None:
    """Let Qt lay out and paint what waits."""
    for _ in range(3):
        QCoreApplication.processEvents()


def grab(panel: Panel) -> QImage:
    """A panel as a picture, after all pending events."""
    settle()
    return panel.grab().toImage()


def dispose(panel: Panel) -> None:
    """Take a panel down at once."""
    panel.close()
    panel.deleteLater()
    QCoreApplication.sendPostedEvents(panel, QEvent.Type.DeferredDelete.value)
