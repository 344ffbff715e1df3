"""Data that are being fetched or read: one line over the panels, with progress and a way out."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from app.session import Session
from engine.wire.messages import Ack, CancelFetch, Failed, Progress
from widgets.look import Look

#: Parts of the progress bar: the numbers of bytes are too large for it.
PARTS = 1000


class FetchBar(QWidget):
    """Hidden until the engine says that a command waits for its data; the oldest one is shown."""

    def __init__(self, session: Session, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._look = look
        self._open: dict[int, Progress] = {}
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.label = QLabel(self)
        self.bar = QProgressBar(self)
        self.bar.setRange(0, PARTS)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel = QPushButton("Cancel", self)
        self.cancel.setToolTip("Give this up; what has come so far is kept for the next time")
        self.cancel.clicked.connect(self._on_cancel)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 4, 4)
        row.addWidget(self.label)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        link = session.link
        link.progressed.connect(self._on_progress)
        link.acknowledged.connect(self._on_done)
        link.failed.connect(self._on_done)
        link.died.connect(self._on_died)
        look.changed.connect(self._restyle)
        self._restyle()
        self.hide()

    @property
    def text(self) -> str:
        """What is said now; "" when hidden."""
        return self.label.text() if self._open else ""

    def _on_progress(self, progress: Progress) -> None:
        self._open[progress.id] = progress
        self._show()

    def _on_done(self, record: Ack | Failed) -> None:
        if record.id is not None and self._open.pop(record.id, None) is not None:
            self._show()

    def _on_died(self, engine: str, _: str) -> None:
        pool = self._session.link
        self._open = {n: p for n, p in self._open.items() if pool.engine_of(p.run) != engine}
        self._show()

    def _show(self) -> None:
        shown = next(iter(self._open.values()), None)
        if shown is not None:
            self.label.setText(words_for(shown))
            self.bar.setValue(round(PARTS * shown.done / max(shown.total, 1)))
        self.setVisible(shown is not None)

    def _on_cancel(self) -> None:
        shown = next(iter(self._open.values()), None)
        if shown is not None:
            session = self._session
            session.command(CancelFetch(session.link.next_id(), shown.run, shown.id))

    def _restyle(self) -> None:
        palette = self._look.palette
        self.bar.setFixedHeight(self._look.px(8))
        self.setStyleSheet(
            f"FetchBar {{ background: {palette.raised};"
            f" border-left: 4px solid {palette.accent}; }}"
            f"QLabel {{ color: {palette.text}; }}"
        )


def words_for(progress: Progress) -> str:
    """Such as "Fetching MNIST: 3.2 of 11.6 MB"."""
    if progress.unit == "bytes":
        return f"{progress.what}: {progress.done / 1e6:.1f} of {progress.total / 1e6:.1f} MB"
    return f"{progress.what}: {progress.done:,} of {progress.total:,}".replace(",", " ")
