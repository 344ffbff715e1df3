"""Path: from one z to the next, straight, on a sphere or along the decoder's own metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QSizePolicy

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.segments import Segments
from widgets.controls.tool_row import Toggle
from widgets.latent.decoded_view import DecodedView
from widgets.latent.desk import Desk
from widgets.latent.mode import Mode
from widgets.latent.picture_table import PictureTable, Spot
from widgets.latent.plane_tools import PlaneTools
from widgets.latent.plane_view import PlaneView
from widgets.latent.words import no_plane, number
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.clock import Clock
from widgets.pixels.transport import PixelTransport
from widgets.recall import Recalled

Floats: TypeAlias = npt.NDArray[Any]

KINDS = (
    ("linear", "linear", "Straight in z: (1 − t) a + t b"),
    ("spherical", "spherical", "Along a great circle (Shoemake's slerp), as far from the middle "
     "of a normal prior as its draws lie"),
    ("geodesic", "geodesic", "Along the decoder's metric JᵀJ: the curve of least energy "
     "Σ |g(z_i+1) − g(z_i)|² in the data space, found from the straight one"),
)  # fmt: skip
NO_METRIC = "this decoder gives draws, which have no derivative"
FRAMES = (8, 16, 32, 64, 120)
TIPS = {
    "reset": "Back to the first keyframe (Home)",
    "back": "One frame back (Left)",
    "play": "Play (Space)",
    "step": "One frame on (Right)",
    "slow": "Slow motion: two frames a second (S)",
}
#: Pictures of the strip, its height at scale 1, and most keyframes.
STRIP, STRIP_HEIGHT, MOST_KEYS = 16, 62, 32


@dataclass(frozen=True)
class Key:
    """A keyframe: z, and the observation whose z it is."""

    z: tuple[float, ...]
    index: int | None = None


class PathMode(Mode, Recalled):
    """An interpolation with keyframes and a time of its own."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.keys: list[Key] = []
        self.n_frames = 32
        self.kind = Segments(look, KINDS)
        self.plane, self.decoded = PlaneView(look, desk), DecodedView(look, desk)
        self.strip = PictureTable(look)
        self.clock = Clock(self)
        self.transport = PixelTransport(look, self.clock, tips=TIPS, things="Frames")
        self._answer: Answer | None = None
        self._size, self._share = 0, 0.0
        self._build()

    def _build(self) -> None:
        self.tools.addWidget(self.kind)
        self.picks = PlaneTools(self.tools, self.desk)
        self.tools.add_choice("frames", "Frames from one keyframe to the next")
        self.tools.set_choices("frames", tuple((f"{n} frames", n) for n in FRAMES))
        self.tools.set_choice("frames", self.n_frames)
        self.tools.add_toggle(Toggle("loop", "loop", "Go on from the last keyframe to the first, "
                                     "and play without end", "accent"))  # fmt: skip
        self.tools.add_button("add", "add z", "The z that was chosen in the plane becomes a "
                              "keyframe; a click here adds one too", "A")  # fmt: skip
        self.tools.add_button("remove", "remove", "Take the last keyframe away", "Backspace")
        self.tools.add_button("clear", "clear", "Take all keyframes away")
        self.strip.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.transport.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self.row.setSpacing(8)
        self.row.addWidget(self.plane, 3)
        self.row.addWidget(self.decoded, 3)
        self.column.addLayout(self.row, 1)
        self.column.addWidget(self.strip)
        self.column.addWidget(self.transport)
        self._connect()
        self.restyle()

    def _connect(self) -> None:
        self.kind.chosen.connect(lambda _: self.asks_changed.emit())
        self.tools.chosen.connect(self._on_chosen)
        self.tools.toggled.connect(lambda *_: self.asks_changed.emit())
        self.tools.pressed.connect(self._on_pressed)
        self.plane.asks_changed.connect(self.asks_changed)
        self.plane.moved.connect(self._on_moved)
        self.plane.reset_requested.connect(self.plane.go_home)
        self.clock.moved.connect(lambda _: self._show_frame())
        self.clock.playing_changed.connect(self._on_playing)
        self.strip.chosen.connect(self._on_strip)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The strip gives way where there is little height."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        px = self.look.px
        self.strip.setFixedHeight(px(STRIP_HEIGHT))
        self.strip.setVisible(not self.decoded.is_plane and self.height() >= px(300))
        tall = self.height() > 1.15 * self.width()
        way = QBoxLayout.Direction
        self.row.setDirection(way.TopToBottom if tall else way.LeftToRight)

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: its keyframes are yet to be chosen."""
        self.keys, self._answer, self._size, self._share = [], None, 0, 0.0
        self.clock.open(0)
        self.plane.open()
        self.plane.shown = {"points", "prior", "shading"}
        self.decoded.open()
        self.decoded.canvas.set_hint("Click two points of the plane.")
        self.strip.clear()
        self.transport.show_clock()
        self.picks.show()
        self._offer()
        self._lay_out()

    def _offer(self) -> None:
        """A geodesic needs a decoder with a derivative."""
        draws = self.desk.decodes_to_draws
        tip = {name: words for name, _, words in KINDS}["geodesic"]
        self.kind.set_usable("geodesic", not draws, f"{tip}: {NO_METRIC}" if draws else tip)
        if draws and self.kind.current == "geodesic":
            self.kind.set_current("linear")

    def refusal(self) -> str:
        """A path needs a real latent."""
        return no_plane(self.desk.kind, "nothing lies between")

    def refresh(self) -> None:
        """Keyframes that are observations move with their encodings."""
        desk = self.desk
        if desk.size and any(len(key.z) != desk.size for key in self.keys):
            self.keys = []
        self.keys = [self._moved_key(key) for key in self.keys]
        if not self.keys and desk.is_real and len(desk.means) > 1:
            self.keys = [self._key_of(row) for row in _two_rows(desk)]
        self.picks.show()
        self.plane.refresh()
        self._draw_path()

    def follow(self) -> None:
        """The chosen z is none of the path's until it is added."""

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The path, and the plane behind it."""
        asked = dict(self.decoded.data_question())
        density = self.plane.question(rest=rest)
        if density is not None:
            asked["density"] = density
        if len(self.keys) >= 2 and self.desk.is_real:
            wanted: dict[str, Any] = {
                "kind": self.kind.current, "frames": self.n_frames,
                "loop": self.tools.is_on("loop"), "latent": self.desk.latent,
            }  # fmt: skip
            keys = np.array([key.z for key in self.keys])
            asked["path"] = Question("latent_path", wanted, {"keys": keys}, coarse={"frames": 8})
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "density":
            self.plane.show_density(answer)
        elif part == "data":
            self.decoded.show_data(answer)
        elif part == "path":
            self._take(answer)
        self.chips_changed.emit()

    def _take(self, answer: Answer) -> None:
        """Another path; the scrubber stays at its share of the time."""
        share = self.clock.place / self.clock.size if self.clock.size else self._share
        playing = self.clock.is_playing
        self._answer = answer
        size = len(answer.arrays["frames"]) - 1
        if size != self._size:
            self._size = size
            pace = self.clock.pace
            self.clock.open(size)
            self.clock.set_ready(size)
            self.clock.pace = pace if share else self.clock.pace
            self.clock.go(round(share * size))
            if playing:
                self.clock.play()
        self._draw_strip()
        self._draw_path()
        self._show_frame()

    def enter(self) -> None:
        """Nothing plays until it is asked for."""
        self._show_frame()

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

    # --- undo ---------------------------------------------------------------------------------

    def kept(self) -> tuple[tuple[Key, ...], float]:
        """Keyframes and the share of the way, for undo and for a film's twin."""
        return tuple(self.keys), self.clock.place / max(self.clock.size, 1)

    def keep(self, value: tuple[tuple[Key, ...], float]) -> None:
        """Take them back."""
        self.keys, self._share = list(value[0]), value[1]
        self.clock.go(round(self._share * self.clock.size))
        self._keys_changed()

    def is_same(self, before: Any, after: Any) -> bool:
        """Keyframes that are observations move by themselves; so does the time."""
        names = ([key.index if key.index is not None else key.z for key in one[0]]
                 for one in (before, after))  # fmt: skip
        return bool(next(names) == next(names))

    def what_changed(self, before: Any, after: Any) -> str:
        """What the user did to the keyframes."""
        more = len(after[0]) - len(before[0])
        return (
            "add a keyframe" if more > 0 else "take keyframes away" if more else "move a keyframe"
        )

    # --- the panel's own film -----------------------------------------------------------------

    @property
    def own_frames(self) -> int:
        """How many frames the interpolation has."""
        return self._size + 1 if self._answer is not None else 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.clock.pause()
        self.clock.go(index)

    # --- drawing ------------------------------------------------------------------------------

    def _show_frame(self) -> None:
        self.transport.show_clock(self._place_words())
        frames = self._answer.arrays["frames"] if self._answer is not None else None
        if frames is None or not len(frames):
            return
        place = min(self.clock.place, len(frames) - 1)
        self.decoded.show_event(
            frames[place], f"frame {place + 1} of {len(frames)}: {self.desk.decoded_words}"
        )
        z = self._answer.arrays["z"][place] if self._answer is not None else None
        if z is not None and len(z) == self.desk.size and self.desk.dims == 2:
            self.plane.ring.set_points(self.desk.project(z)[None])
        count = self.strip.shape[1]
        if count > 1:
            self.strip.set_current((0, round(place * (count - 1) / max(len(frames) - 1, 1))))

    def _place_words(self) -> str:
        at = self._answer.arrays["keys_at"] if self._answer is not None else np.zeros(0)
        found = np.flatnonzero(at == self.clock.place)
        return f"keyframe {int(found[0]) + 1}" if len(found) else ""

    def _draw_path(self) -> None:
        size = self.desk.size
        keys = np.array([key.z for key in self.keys]).reshape(-1, max(size, 1))
        if not size:
            return
        z = self._answer.arrays["z"] if self._answer is not None else np.zeros((0, size))
        z = z if z.ndim == 2 and z.shape[1] == size else np.zeros((0, size))
        self.plane.set_path(self.desk.project(z), self.desk.project(keys))
        self.plane.mark_z(keys[-1] if len(keys) else None)
        if self.decoded.is_plane and self._answer is not None:
            frames = self._answer.arrays["frames"]
            self.decoded.set_curves(frames.reshape(1, len(frames), -1))

    def _draw_strip(self) -> None:
        cells = self.desk.cells
        frames = self._answer.arrays["frames"] if self._answer is not None else np.zeros(0)
        if cells is None or not len(frames) or frames[0].size != cells.size:
            return
        which = np.unique(np.linspace(0, len(frames) - 1, STRIP).round().astype(int))
        flat = frames[which].reshape(1, len(which), -1).astype(np.float32)
        everything = np.ones(cells.size, dtype=bool)
        self.strip.set_pictures(cells.pixels(flat, everything, self.look.palette.raised))

    def chips(self) -> tuple[Chip, ...]:
        """Energy and length of the decoded curve, and how they compare with the straight one."""
        palette = self.look.palette
        keys = Chip(f"{len(self.keys)} keyframes", "z's that the path goes through; a click in "
                    "the plane adds one", palette.accent, "dot", framed=True)  # fmt: skip
        if self._answer is None:
            return (keys,)
        v = self._answer.values
        energy, length = float(v["energy"]), float(v["length"])  # type: ignore[arg-type]
        plain = float(v["linear_energy"])  # type: ignore[arg-type]
        chips = [keys, Chip(f"energy {number(energy)}", "Σ |g(z_i+1) − g(z_i)|² of the decoded "
                            "means, in squared units of the data", framed=True),
                 Chip(f"length {number(length)}", "Σ |g(z_i+1) − g(z_i)|, in units of the data",
                      framed=True)]  # fmt: skip
        if v.get("kind") != "linear" and plain > 0:
            more = 100 * (energy / plain - 1)
            colour = palette.good if more <= 0 else palette.warning
            words = f"{abs(more):.1f} % {'less' if more <= 0 else 'more'} energy than straight"
            tip = f"The straight path with as many frames has energy {number(plain)}, length "
            tip += number(float(v["linear_length"]))  # type: ignore[arg-type]
            chips.append(Chip(words, tip, colour, "dot", framed=True))
        if not self._answer.final:
            chips.append(Chip("shortening …", "The geodesic is being found", framed=True))
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.plane, self.decoded, self.strip, self.picks):
            part.restyle()
        self._lay_out()
        self._draw_strip()
        self._show_frame()

    # --- the user -----------------------------------------------------------------------------

    def add_key(self, key: Key) -> None:
        """One more keyframe at the end."""
        if len(self.keys) < MOST_KEYS:
            self.keys.append(key)
            self._keys_changed()

    def _keys_changed(self) -> None:
        self._draw_path()
        self.chips_changed.emit()
        self.asks_changed.emit()

    def _key_of(self, row: int) -> Key:
        desk = self.desk
        index = int(desk.indices[row]) if row < len(desk.indices) else None
        return Key(tuple(map(float, desk.means[row])), index)

    def _moved_key(self, key: Key) -> Key:
        row = None if key.index is None else self.desk.place_of(key.index)
        return key if row is None else self._key_of(row)

    def _on_moved(self, place: tuple[float, float] | None) -> None:
        """A click adds a keyframe, a drag of the cross moves the last one."""
        if place is None or not self.desk.is_real:
            return
        held = self.plane.mark.is_held and self.keys
        row = None if held else self.plane.nearest(place)
        z = tuple(map(float, self.desk.lift(np.array(place))))
        key = Key(z) if row is None else self._key_of(row)
        if held:
            self.desk.hold()
            self.keys[-1] = key
            self._keys_changed()
        else:
            self.add_key(key)

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "frames" and isinstance(value, int):
            self.n_frames = value
            self.asks_changed.emit()

    def _on_pressed(self, name: str) -> None:
        if name == "add" and self.desk.z is not None and self.desk.is_real:
            self.add_key(Key(tuple(map(float, self.desk.z)), self.desk.index))
        elif name == "remove" and self.keys:
            self.keys.pop()
            self._keys_changed()
        elif name == "clear":
            self.keys = []
            self._answer, self._size = None, 0
            self.clock.open(0)
            self._keys_changed()

    def _on_playing(self, playing: bool) -> None:
        """A loop begins again at its end."""
        ended = not playing and self.clock.size and self.clock.place >= self.clock.size
        if ended and self.tools.is_on("loop") and self.isVisible():
            self.clock.play()

    def _on_strip(self, spot: Spot) -> None:
        count = max(self.strip.shape[1] - 1, 1)
        self.clock.pause()
        self.clock.go(round(spot[1] * self._size / count))


def _two_rows(desk: Desk) -> tuple[int, int]:
    """Two points to begin with: of two labels where there are labels, else far apart."""
    labels = desk.labels
    if labels is not None and (labels != labels[0]).any():
        return 0, int(np.argmax(labels != labels[0]))
    away = np.square(desk.means[:500] - desk.means[0]).sum(1)
    return 0, int(np.argmax(away))
