"""The base of every panel: the class body is its manifest.

A panel never talks to the engine. It says in :meth:`Panel.asks` which probes it wants answered,
emits :attr:`Panel.asks_changed` when that changes (a drag, a zoom, a slider), and draws what
arrives in :meth:`Panel.show_answer`. Session and link do the rest: stamping, newest-wins, dropping
what is stale. While a run trains, live questions are asked again for each new snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.capability import WORDING, Capability
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo, RunState
from widgets.controls.banner import Banner
from widgets.look import Look
from widgets.metrics_table import MetricsTable


@dataclass(frozen=True)
class Question:
    """One part of what a panel asks.

    Attributes:
        probe: Name of a probe of ``engine.probes``.
        arguments: Plain values for it.
        arrays: Arrays for it.
        live: Asked again for every new snapshot; otherwise only when something in it changes.
        run: Id of the run that is asked; "" is the run in view.
        stream: Answered by numbered pieces that all arrive, in order, until the panel asks this
            part no more; for long work and whole trajectories.
        coarse: Arguments that replace others while something is dragged or scrubbed, so that the
            answer is there at once; None lets all other questions go first meanwhile.
    """

    probe: str
    arguments: Mapping[str, Value] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    live: bool = True
    run: str = ""
    stream: bool = False
    coarse: Mapping[str, Value] | None = field(default_factory=dict)


@dataclass(frozen=True)
class Pointed:
    """What the pointer is on, for the inspector: a heading and rows of (name, value)."""

    heading: str
    rows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Point:
    """A place that the user chose, for every panel that has something to say about it.

    Attributes:
        at: The flat event in data units; or, where ``plane`` is given, its place on that plane.
        names: One name per number of ``at``.
        plane: ``plane`` and ``axes`` as probes take them; empty where ``at`` is the event itself.
    """

    at: tuple[float, ...]
    names: tuple[str, ...] = ()
    plane: Mapping[str, Value] = field(default_factory=dict)


class Panel(QWidget):
    """One dock's content.

    Subclasses set the class attributes and override what they need of the methods below; all
    content goes into ``self.body`` (a ``QVBoxLayout``). The constructor takes only a
    :class:`~widgets.look.Look`; panels must draw themselves sensibly with no run open.

    Attributes:
        name: File name of the module.
        title: What is seen, as shown on the dock.
        summary: One sentence for the menu and the tooltip.
        needs: Alternatives: the panel works if the model has all capabilities of *one* entry.
        shortcut: Key sequence that shows the panel, or "".
        compares: Whether it asks several runs at once (see :meth:`open_runs`).

    Signals:
        asks_changed: The panel wants other answers than before.
        pointed: Emitted with a :class:`Pointed`, or None when the pointer leaves.
        point_chosen: Emitted with a :class:`Point`, or None to take the choice back; the window
            tells every panel, this one too, through :meth:`choose_point`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[tuple[frozenset[Capability], ...]] = (frozenset(),)
    shortcut: ClassVar[str] = ""
    compares: ClassVar[bool] = False

    asks_changed = Signal()
    pointed = Signal(object)
    point_chosen = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look = look
        self.run: RunInfo | None = None
        self.banner = Banner(look, self)
        #: The part whose failure the banner tells, or "".
        self.failed_part = ""
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.banner)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(6, 6, 6, 6)
        outer.addLayout(self.body, 1)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAutoFillBackground(True)
        self._fill_background()
        look.changed.connect(self._fill_background)
        look.changed.connect(self.restyle)

    def _fill_background(self) -> None:
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Window, QColor(self.look.palette.panel))
        self.setPalette(palette)

    @classmethod
    def refusal(cls, card: ModelCard) -> str:
        """Why the panel cannot serve a model, as a sentence that teaches; "" when it can."""
        have = set(card.capabilities)
        if any(need <= have for need in cls.needs):
            return ""
        lacking = [c for c in Capability if c in cls.needs[0] and c not in have]
        reason = next((card.lacks[c] for c in lacking if c in card.lacks), "")
        wording = " and ".join(WORDING[c] for c in lacking)
        return f"needs {wording}; {card.title} has none" + (f": {reason}" if reason else "")

    # --- to override --------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Another run (or none) is shown from now on; overrides call this first."""
        self.run = info
        self.banner.clear()
        self.clear()

    def renew(self, info: RunInfo) -> None:
        """The open run goes on on other data; overrides call this first."""
        self.run = info

    def open_runs(self, runs: tuple[RunInfo, ...]) -> None:
        """All runs of the strip, in its order; for panels that compare."""

    def show_run_state(self, state: RunState) -> None:
        """Any run moved on; for panels that compare."""

    def show_run_metrics(self, run: str, table: MetricsTable) -> None:
        """New training figures of any run; for panels that compare."""

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The questions by part; ``rest`` is True when nothing trains and detail is affordable."""
        return {}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the answer to one part."""

    def missing_past(self, stored: tuple[int, ...]) -> tuple[str, Question, int] | None:
        """A part, its question and the stored step that this panel's curves lack most, or None.

        Asked by and by while the panel is on screen, in moments in which nothing else is asked.
        """
        return None

    def show_past(self, part: str, answer: Answer) -> None:
        """Take note of what :meth:`missing_past` wanted; nothing else on screen changes."""

    def show_failed(self, part: str, failed: Failed) -> None:
        """Say on the panel what went wrong."""
        self.banner.show_error(failed.message)
        self.failed_part = part

    def show_mended(self, part: str) -> None:
        """A part is answered: what was said of its failure is over, and of no other part's."""
        if part == self.failed_part:
            self.banner.clear()
            self.failed_part = ""

    def show_metrics(self, table: MetricsTable) -> None:
        """New training figures of the open run have arrived."""

    def show_state(self, state: RunState) -> None:
        """The open run moved on, paused or failed."""

    def show_cursor(self, step: int | None) -> None:
        """The window looks at a stored step, or at the newest; questions follow by themselves."""

    def choose_point(self, point: Point | None) -> None:
        """The user chose a place in some panel, or took the choice back."""

    def clear(self) -> None:
        """Show the empty state, which says what to do."""

    def restyle(self) -> None:
        """Theme or UI scale changed: take colours and fonts from ``self.look`` again."""

    @property
    def own_frames(self) -> int:
        """Frames of a time of the panel's own, such as an interpolation's; 0 without one."""
        return 0

    def show_own_frame(self, index: int) -> None:
        """Show one of them, for a film."""

    def save_state(self) -> dict[str, Value]:
        """What the user chose in this panel, for the layout file."""
        return {}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take back what :meth:`save_state` gave; unknown entries are ignored."""
