"""The base of the Gibbs panel's modes, and of those that show chains with a time of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.tool_row import ToolRow
from widgets.gibbs.desk import START_TIP, STARTS, Desk
from widgets.gibbs.film import WalkFilm, WalkReel
from widgets.look import Look
from widgets.mode_panel import LOW, TALL
from widgets.panel import Question
from widgets.pixels.clock import Clock
from widgets.pixels.transport import PixelTransport
from widgets.pixels.words import spaced

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]

WALK = "walk"
TIPS = {
    "reset": "Back to the start of the chains (Home)",
    "back": "The frame before, exactly as it was (Left)",
    "play": "Let the chains walk (Space)",
    "step": "The next frame (Right)",
    "slow": "Slow motion: two frames a second (S)",
}
#: The pause between two askings while a run trains.
REDRAW_SECONDS = 2.0


class Page(QWidget):
    """One way of looking at a Boltzmann machine, with a tool row of its own.

    Signals:
        asks_changed: The page wants other answers than before.
        pointed: A ``Pointed``, or None.
        chips_changed: :meth:`chips` are others.
    """

    asks_changed = Signal()
    pointed = Signal(object)
    chips_changed = Signal()

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__()
        self.look, self.desk = look, desk
        self.shape = "even"
        self.tools = ToolRow(look, self)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(4)
        self.grid = QGridLayout()
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(8)
        self.column.addLayout(self.grid, 1)

    def arrange(self, shape: str) -> None:
        """Place the parts for a room that is ``"low"``, ``"even"`` or ``"tall"``."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another shape of room may want another arrangement."""
        super().resizeEvent(event)
        ratio = self.width() / max(self.height(), 1)
        shape = "low" if ratio > LOW else "tall" if ratio < TALL else "even"
        if shape != self.shape:
            self.shape = shape
            self.arrange(shape)

    def refusal(self) -> str:
        """Why the run cannot be looked at so, as a sentence; "" when it can."""
        return ""

    def open(self) -> None:
        """The desk shows another run."""

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """What is asked while this page is in front."""
        return {}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the answer to one part."""

    def chips(self) -> tuple[Chip, ...]:
        """What is said below the page, numbers with their kind and unit."""
        return ()

    def save(self) -> dict[str, Value]:
        """Settings of the page's own, for the layout file."""
        return {}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""

    def leave(self) -> None:
        """Another page comes to the front."""

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """Act on a key that nothing else wanted; ``only_ask`` says whether it would."""
        return False

    def restyle(self) -> None:
        """Take colours and fonts from the look."""

    @property
    def own_frames(self) -> int:
        """Frames of a film of the page's own time."""
        return 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""

    def step_chip(self, step: int) -> Chip:
        """The training step of the weights that answered."""
        return Chip(f"step {spaced(step)}", "Training step of these weights", framed=True)


class WalkPage(Page):
    """Chains that are asked for as a film, and a clock that goes through it."""

    #: Frames a second at first.
    PACE = 5.0

    def __init__(self, look: Look, desk: Desk, things: str) -> None:
        super().__init__(look, desk)
        self.clock = Clock(self)
        self.transport = PixelTransport(look, self.clock, tips=TIPS, things=things)
        self.reel = WalkReel()
        self._fresh = True
        self._whole_at = 0.0
        self.clock.moved.connect(lambda _: self.draw())
        self.clock.playing_changed.connect(lambda _: self.asks_changed.emit())
        desk.changed.connect(self._on_changed)
        desk.arrived.connect(self.draw)

    def add_start(self) -> None:
        """The choice where the chains begin, and other noise."""
        self.tools.add_choice("start", START_TIP)
        self.tools.set_choices("start", STARTS)
        self.tools.chosen.connect(self._on_start)

    def add_noise(self) -> None:
        """The button for other noise."""
        tip = "Other chance for all draws of the chains"
        self.tools.add_button("noise", "new noise", tip, "N")
        self.tools.pressed.connect(self._on_noise)

    @property
    def film(self) -> WalkFilm | None:
        """The chains that are shown."""
        return self.reel.shown

    @property
    def place(self) -> int:
        """The frame in view, of those that are there."""
        film = self.film
        return 0 if film is None else min(self.clock.place, max(film.n - 1, 0))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: its chains are yet to come."""
        self.reel.clear()
        self.clock.open(0)
        self.transport.show_clock()
        self._fresh = True
        self._whole_at = 0.0
        self._show_start()

    def wanted(self) -> tuple[dict[str, Value], dict[str, npt.NDArray[Any]]] | None:
        """Arguments and arrays of ``gibbs_walk``, or None while something lacks."""
        raise NotImplementedError

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The chains; while a run trains they are asked for anew every few seconds."""
        wanted = self.wanted()
        if wanted is None:
            return {}
        arguments, arrays = wanted
        due = time.monotonic() - self._whole_at > REDRAW_SECONDS
        live = rest or self.desk.is_scrubbing or due
        about: dict[str, Value] = {"start": self.desk.start, "seed": self.desk.seed}
        return {WALK: Question("gibbs_walk", about | arguments, arrays, live=live, stream=True)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """A piece of the film."""
        if part != WALK:
            return
        if answer.final:
            self._whole_at = time.monotonic()
        if not self.reel.take(answer, self.clock.place) or self.film is None:
            return
        self._wind(self.film)
        if not self.clock.is_playing or self.place <= 0:
            self.draw()

    def _wind(self, film: WalkFilm) -> None:
        """The clock is as long as the film; a first one plays, where anything moves."""
        if self.clock.size != film.n_frames - 1:
            pace, at = self.clock.pace, self.clock.place
            self.clock.open(film.n_frames - 1)
            self.clock.pace = self.PACE if self._fresh else pace
            self.clock.set_ready(film.n - 1)
            self.clock.go(at)
        self.clock.set_ready(film.n - 1)
        paper = self.window().testAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        if paper and self._fresh and film.is_whole:
            self._fresh = False
            self.clock.go(self.clock.size)
        elif not paper and self._fresh and self.isVisible():
            self._fresh = False
            self.clock.play()

    def draw(self) -> None:
        """Show the frame that the clock is at."""

    def leave(self) -> None:
        """Time stands still while another page is in front."""
        self.clock.pause()

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """The keys of the transport."""
        acts: dict[Qt.Key, Callable[[], object]] = {
            Qt.Key.Key_Space: self.clock.toggle,
            Qt.Key.Key_Left: lambda: self.clock.step(-1),
            Qt.Key.Key_Right: lambda: self.clock.step(1),
            Qt.Key.Key_PageUp: lambda: self.clock.step(-10),
            Qt.Key.Key_PageDown: lambda: self.clock.step(10),
            Qt.Key.Key_Home: lambda: self.clock.go(0),
            Qt.Key.Key_End: lambda: self.clock.go(self.clock.size),
            Qt.Key.Key_S: self.transport.toggle_slow,
            Qt.Key.Key_BracketLeft: lambda: self.transport.nudge(-1),
            Qt.Key.Key_BracketRight: lambda: self.transport.nudge(1),
        }
        act = acts.get(Qt.Key(event.key()))
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if act is None or plain != Qt.KeyboardModifier.NoModifier:
            return False
        if not only_ask:
            act()
        return True

    @property
    def own_frames(self) -> int:
        """Every frame of the chains."""
        return self.clock.size + 1 if self.clock.size else 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.clock.pause()
        self.clock.go(index)

    def common_chips(self, film: WalkFilm) -> list[Chip]:
        """What names the chains: step and noise."""
        tip = "The same chance at every training step: a chain is named by start, noise and step"
        return [self.step_chip(film.step), Chip(f"noise {self.desk.seed}", tip, framed=True)]

    # --- the user -----------------------------------------------------------------------------

    def _on_start(self, name: str, value: object) -> None:
        if name == "start":
            self.desk.set(start=str(value))

    def _on_noise(self, name: str) -> None:
        if name == "noise":
            self.desk.set(seed=self.desk.seed + 1)

    def _on_changed(self) -> None:
        self._show_start()
        self.asks_changed.emit()

    def _show_start(self) -> None:
        if "start" in self.tools.values:
            self.tools.set_choice("start", self.desk.start)
