"""The strip of open runs: colour, title, step and headline number; click brings one into view."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QTabBar, QToolButton, QWidget

from app.run_view import RunView
from engine.wire.capability import Capability
from widgets.controls.timeline import spaced
from widgets.look import Look

#: Okabe and Ito's colours, which colour-blind eyes tell apart.
COLOURS = (
    "#56b4e9",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#f0e442",
    "#d55e00",
    "#0072b2",
    "#999999",
)
#: With more runs than this, tabs leave out what all share and what their tips say.
SPACIOUS = 2
_MARKS = {"training": "▶", "diverged": "⚠", "failed": "⚠"}


class RunsStrip(QWidget):
    """Tabs, one a run, and a button for a new one.

    Signals:
        selected: Id of the run that the user clicked.
        close_requested: Id of the run to close.
        new_requested: The user wants another run beside the others.
    """

    selected = Signal(str)
    close_requested = Signal(str)
    new_requested = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._ids: list[str] = []
        self._titles: dict[str, str] = {}
        self._tabs = QTabBar(self)
        self._tabs.setDrawBase(False)
        self._tabs.setExpanding(False)
        self._tabs.setUsesScrollButtons(True)
        self._tabs.setAccessibleName("Open runs")
        self._new = QToolButton(self)
        self._new.setText("+ new run")
        self._new.setToolTip("Start another run beside the others (Ctrl+T)")
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        row.addWidget(self._tabs)
        row.addWidget(self._new)
        row.addStretch(1)
        self._tabs.currentChanged.connect(self._on_tab_changed)
        self._new.clicked.connect(self.new_requested)

    def show_runs(self, runs: tuple[RunView, ...], current: str | None) -> None:
        """Show these runs, with one of them in view."""
        ids = [view.run for view in runs]
        self._tabs.blockSignals(True)
        if ids != self._ids:
            self._rebuild(runs)
        self._ids = ids
        crowded = len(runs) > SPACIOUS
        self._titles = {view.run: view.title for view in runs}
        for index, view in enumerate(runs):
            self._write(index, view, crowded)
        if current in ids:
            self._tabs.setCurrentIndex(ids.index(current))
        self._tabs.blockSignals(False)
        self._tabs.setVisible(bool(runs))

    def _rebuild(self, runs: tuple[RunView, ...]) -> None:
        while self._tabs.count():
            self._tabs.removeTab(0)
        for view in runs:
            index = self._tabs.addTab(self._dot(view.place), "")
            side = QTabBar.ButtonPosition.RightSide
            self._tabs.setTabButton(index, side, self._close_button(view.run))

    def _close_button(self, run: str) -> QToolButton:
        button = QToolButton(self._tabs)
        button.setText("✕")
        button.setAutoRaise(True)
        button.setToolTip("Close this run (Ctrl+W)")
        button.setAccessibleName("Close this run")
        button.clicked.connect(lambda: self.close_requested.emit(run))
        return button

    def _write(self, index: int, view: RunView, crowded: bool) -> None:
        text = headline(view, crowded=crowded)
        if text != self._tabs.tabText(index):
            self._tabs.setTabText(index, text)
        number = score(view)
        tip = f"{view.title}, seed {view.spec.seed}" + (f", {number}" if number else "")
        tip += f", {view.path}" if view.path else ""
        if view.info is not None and view.info.parent:
            parent = self._titles.get(view.info.parent, "a run that is closed")
            tip += f"\nforked at step {spaced(view.info.forked_at)} of {parent}"
        self._tabs.setTabToolTip(index, tip)

    def _dot(self, place: int) -> QIcon:
        side = self._look.px(12)
        pixmap = QPixmap(side, side)
        pixmap.fill(QColor(0, 0, 0, 0))
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(COLOURS[place % len(COLOURS)]))
        painter.setPen(QColor(0, 0, 0, 0))
        painter.drawEllipse(1, 1, side - 2, side - 2)
        painter.end()
        return QIcon(pixmap)

    def _on_tab_changed(self, index: int) -> None:
        if 0 <= index < len(self._ids):
            self.selected.emit(self._ids[index])


def headline(view: RunView, *, crowded: bool = False) -> str:
    """Title, step and the one number that says how well the run does; less where many share."""
    mark = _MARKS.get(view.state.state if view.state else "", "")
    short = crowded and view.info is not None
    title = view.info.card.title if short and view.info is not None else view.title
    parts = [part for part in (mark, title) if part]
    if view.info is None:
        return " ".join([*parts, "  starting …"])
    if view.info.parent:
        parts.append(f"⑂ {short_count(view.info.forked_at)}")
    if view.state is not None and view.state.repeating and view.info.parent:
        return " ".join(parts) + f"   repeating up to step {spaced(view.state.repeating[2])}"
    number = score(view).split(" ± ")[0] if crowded else score(view)
    return " ".join(parts) + f"   {short_count(view.step)}   {number}".rstrip()


def short_count(number: int) -> str:
    """12 345 as "12.3k"."""
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 1_000_000 else f"{number / 1e6:.2f}M"


def score(view: RunView) -> str:
    """KL to the truth where it is known, else the held-out score with its kind, or ""."""
    if view.info is None:
        return ""
    if view.headline:
        return view.headline
    value = view.metrics.latest("held_out_nll")
    if value is None:
        return ""
    exact = Capability.LOG_PROB in view.info.card.capabilities
    told = f"{value:.3f}".replace("-", "−")
    return f"held-out NLL {'' if exact else '≤ '}{told} nats"
