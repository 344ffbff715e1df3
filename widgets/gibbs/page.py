"""The base of the Gibbs panel's modes, and of those that show chains with a time of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.gibbs.desk import START_TIP, STARTS, Desk
from widgets.gibbs.film import WalkFilm, WalkReel
from widgets.look import Look
from widgets.mode_panel import PanelMode
from widgets.panel import Question
from widgets.pixels.clock import Clock
from widgets.pixels.transport import PixelTransport
from widgets.pixels.words import spaced

#: Arguments and arrays of the probe that walks.
ChainArguments: TypeAlias = tuple[dict[str, Value], dict[str, npt.NDArray[Any]]]

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


class Page(PanelMode):
    """One way of looking at a Boltzmann machine."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look)
        self.desk, self.shape = desk, "even"
        self.column.addLayout(self.grid, 1)

    def save(self) -> dict[str, Value]:
        """Settings of the page's own, for the layout file."""
        return {}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""

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
        if "start" in self.tools.values:
            self.tools.set_choices("start", self.desk.starts)
        self._show_start()

    def chain_arguments(self) -> ChainArguments | None:
        """Arguments and arrays of ``gibbs_walk``, or None while something lacks."""
        raise NotImplementedError

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The chains; while a run trains they are asked for anew every few seconds."""
        wanted = self.chain_arguments()
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
        self.begin(is_whole=film.is_whole)

    def begin(self, *, is_whole: bool) -> None:
        """Play what is new; on paper, where nothing moves, its end is shown."""
        paper = self.window().testAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        if paper and self._fresh and is_whole:
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
        chips = [self.step_chip(film.step)]
        if film.chains_of is not None:
            words = f"training's chains of step {spaced(film.chains_of)}"
            chips.append(Chip(words, "Those of the newest keyframe", framed=True))
        return [*chips, Chip(f"noise {self.desk.seed}", tip, framed=True)]

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
