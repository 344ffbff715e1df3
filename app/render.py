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
from app.panel_manager import panel_kinds
from app.shell_engine import ShellEngine, ShellError
from engine.wire.messages import Metrics, OpenRun, RunInfo, RunSpec, RunState, StartRun
from widgets.look import PALETTES, Look
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Question

#: A panel may ask anew after an answer (it then knows the data's box); this ends the exchange.
ROUNDS = 6


def render_panel(
    panel: str,
    path: str,
    out: Path,
    *,
    size: tuple[int, int] = (1280, 720),
    theme_name: str = "dark",
    scale: float = 1.0,
) -> None:
    """Draw one panel of a saved run into a PNG.

    Args:
        panel: A panel's name.
        path: A saved run.
        out: The picture's file.
        size: Width and height in pixels.
        theme_name: ``"dark"`` or ``"light"``.
        scale: UI scale, 1.0 to 2.5.

    Raises:
        ShellError: There is no such panel, it cannot serve the model, or a probe failed.
    """
    find_panel(panel)
    with ShellEngine() as engine, easel(Look(PALETTES[theme_name], scale)) as look:
        sitting = Sitting(engine, look)
        sitting.open(path)
        save(sitting.picture(panel, size), out)


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
        self._count = 0
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

    def _answer(self, panel: Panel, part: str, question: Question) -> None:
        answer = self._engine.ask(
            self.run.run,
            question.probe,
            question.arguments,
            panel=panel.name,
            part=part,
            arrays=question.arrays,
        )
        panel.show_answer(part, answer)

    def _next_run(self) -> str:
        self._count += 1
        return f"sitting-{self._count}"

    def _admit(self, info: RunInfo | None) -> RunInfo:
        if info is None:
            raise RuntimeError("the engine began a run without telling of it")
        self.info, self.state, self.metrics = info, None, MetricsTable()
        return info


def grab(panel: Panel) -> QImage:
    """A panel as a picture, after all pending events."""
    for _ in range(3):
        QCoreApplication.processEvents()
    return panel.grab().toImage()


def dispose(panel: Panel) -> None:
    """Take a panel down at once."""
    panel.close()
    panel.deleteLater()
    QCoreApplication.sendPostedEvents(panel, QEvent.Type.DeferredDelete.value)
