"""Between: from one held-out picture to the next through the flow's base."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QSizePolicy

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.segments import Segments
from widgets.flow_pictures.desk import MOST_KEYS, PicturesDesk
from widgets.flow_pictures.film import Film
from widgets.flow_pictures.page import Page
from widgets.latent.picture_table import Spot
from widgets.latent.words import number
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.clock import Clock
from widgets.pixels.transport import PixelTransport

KINDS = (
    ("linear", "linear", "Straight in the base: (1 − t) a + t b"),
    ("spherical", "spherical", "Along a great circle, as far from the middle as the draws of a "
     "normal base lie"),
)  # fmt: skip
TIPS = {
    "reset": "Back to the first picture (Home)",
    "back": "One frame back (Left)",
    "play": "Play (Space)",
    "step": "One frame on (Right)",
    "slow": "Slow motion: two frames a second (S)",
}
#: Frames from one picture to the next, and those of them that stand in the table.
N_FRAMES, SHOWN = 24, 9


class BetweenPage(Page):
    """An interpolation in z with a time of its own."""

    picks = "keys"

    def __init__(self, look: Look, desk: PicturesDesk) -> None:
        super().__init__(look, desk)
        self.kind = Segments(look, KINDS)
        self.film = Film(look)
        self.clock = Clock(self)
        self.transport = PixelTransport(look, self.clock, tips=TIPS, things="Frames")
        self.transport.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._answer: Answer | None = None
        self.tools.addWidget(self.kind)
        self.column.addWidget(self.film, 1)
        self.column.addWidget(self.transport)
        self.kind.chosen.connect(lambda _: self.asks_changed.emit())
        self.clock.moved.connect(lambda _: self._show_frame())
        self.clock.playing_changed.connect(lambda _: self._show_frame())
        self.film.chosen.connect(self._on_spot)

    def open(self) -> None:
        """Another run."""
        self._answer = None
        self.clock.open(0)
        self.film.clear("The pictures between are coming …")

    def question(self, *, rest: bool) -> Question | None:
        """All frames."""
        keys = [key for key in self.desk.keys if key < len(self.desk.events)]
        if len(keys) < 2:
            return None
        wanted: dict[str, Value] = {"kind": self.kind.current, "frames": N_FRAMES}
        return Question("flow_between", wanted, {"events": self.desk.events[keys]})

    def take(self, answer: Answer) -> None:
        """Another path; the scrubber stays at its share of the time."""
        frames = answer.arrays.get("frames")
        cells = self.desk.cells
        if frames is None or len(frames) < 2 or cells is None or frames[0].size != cells.size:
            return
        first, size = self._answer is None, len(frames) - 1
        share = self.clock.place / self.clock.size if self.clock.size else 0.5
        self._answer = answer
        if first or size != self.clock.size:
            playing = self.clock.is_playing
            self.clock.open(size)
            self.clock.set_ready(size)
            self.clock.go(round(share * size))
            if playing:
                self.clock.play()
        self._draw_table()
        self._show_frame()
        self.chips_changed.emit()

    def _table_frames(self) -> np.ndarray:
        """(K − 1, S) numbers of the frames in the table."""
        starts = np.arange(0, self.clock.size, N_FRAMES)[:, None]
        return np.asarray(starts + np.linspace(0, N_FRAMES, SHOWN).round().astype(int))

    def _draw_table(self) -> None:
        if self._answer is None:
            return
        which = np.minimum(self._table_frames(), self.clock.size)
        frames = self._answer.arrays["frames"]
        flat = frames.reshape(len(frames), -1)[which]
        pixels = self.desk.pixels(flat, self.look.palette.raised)
        if pixels is not None:
            rows = tuple(f"{k + 1} to {k + 2}" for k in range(len(which)))
            columns = tuple(f"t = {t:g}" for t in np.linspace(0, 1, SHOWN).round(3))
            self.film.set_pictures(pixels, rows, columns)

    def _show_frame(self) -> None:
        self.transport.show_clock(self._place_words())
        if self._answer is None:
            return
        frames = self._answer.arrays["frames"]
        place = min(self.clock.place, len(frames) - 1)
        pixels = self.desk.pixels(frames[place].reshape(-1), self.look.palette.raised)
        if pixels is None:
            return
        segment = min(place // N_FRAMES, max((self.clock.size - 1) // N_FRAMES, 0))
        t = place / N_FRAMES - segment
        column = int(np.argmin(np.abs(np.linspace(0, 1, SHOWN) - t)))
        title = f"x = f⁻¹(z), t = {t:.2f} from picture {segment + 1} to {segment + 2}"
        self.film.show_one(pixels, title, self.look.palette.model, (segment, column))
        self.chips_changed.emit()

    def _place_words(self) -> str:
        return "" if self.clock.place % N_FRAMES else f"picture {self.clock.place // N_FRAMES + 1}"

    def chips(self) -> tuple[Chip, ...]:
        """How far from the middle of the base the frame lies, and the error of the way back."""
        accent = self.look.palette.accent
        tip = f"Framed among the data, in the order in which they were clicked; up to {MOST_KEYS}"
        keys = Chip(f"{len(self.desk.keys)} pictures", tip, accent, "dot", framed=True)
        if self._answer is None:
            return (keys,)
        norms, values = self._answer.arrays.get("norms", np.zeros(0)), self._answer.values
        chips = [keys]
        if self.clock.place < len(norms):
            usual = number(float(values.get("usual_norm", 0.0)))  # type: ignore[arg-type]
            chips.append(Chip(
                f"|z| = {number(float(norms[self.clock.place]))}, usual {usual}",
                "Length of the frame's base point, and the mean of 256 draws of the base. A "
                "straight way passes nearer to the middle", framed=True,
            ))  # fmt: skip
        error = float(values.get("round_trip", np.nan))  # type: ignore[arg-type]
        tip = "Largest difference between a given picture and f⁻¹(f(x)), in the data's units"
        return (*chips, Chip(f"round trip {error:.1e}".replace("-", "−"), tip, framed=True))

    # --- the user -----------------------------------------------------------------------------

    def leave(self) -> None:
        """Stop the play."""
        self.clock.pause()

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """Space plays, the arrows step, Home goes to the start, S is slow motion."""
        acts = {
            Qt.Key.Key_Space: self.clock.toggle,
            Qt.Key.Key_Left: lambda: self.clock.step(-1),
            Qt.Key.Key_Right: lambda: self.clock.step(1),
            Qt.Key.Key_Home: lambda: self.clock.go(0),
            Qt.Key.Key_S: self.transport.toggle_slow,
        }
        act = acts.get(Qt.Key(event.key()))
        if act is None or event.modifiers() != Qt.KeyboardModifier.NoModifier:
            return False
        if not only_ask:
            act()
        return True

    @property
    def own_frames(self) -> int:
        """How many frames the interpolation has."""
        return self.clock.size + 1 if self._answer is not None else 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.clock.pause()
        self.clock.go(index)

    def save(self) -> dict[str, Value]:
        """Which way."""
        return {"way": self.kind.current}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take it back."""
        if isinstance(state.get("way"), str):
            self.kind.set_current(str(state["way"]))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.film.restyle()
        self._draw_table()
        self._show_frame()

    def _on_spot(self, spot: Spot) -> None:
        self.clock.pause()
        self.clock.go(int(self._table_frames()[spot]))
