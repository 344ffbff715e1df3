"""Walk: chains on the energy, one step at a time, each step with its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.messages import Answer
from widgets.chains.desk import Desk
from widgets.chains.mode import Mode
from widgets.chains.relief import Relief
from widgets.chains.stage import Stage
from widgets.chains.step_side import StepSide
from widgets.chains.surface import read
from widgets.chains.words import counted, kernel_words
from widgets.controls.chips import Chip
from widgets.controls.segments import Segments
from widgets.controls.tool_row import Toggle
from widgets.figures import fixed, number, with_error
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.clock import Clock
from widgets.pixels.transport import PixelTransport
from widgets.pixels.words import spaced
from widgets.plots.cloud import has_opengl
from widgets.plots.layers import Box

Floats: TypeAlias = npt.NDArray[Any]

TOGGLES = (
    Toggle("chains", "chains", "Where every chain is", "model", True),
    Toggle("arrows", "parts of the step",
           "The step that leaves from here: drift down the energy, then noise (yellow); its end "
           "is green where it is accepted, red where it is refused. HMC: its trajectory; "
           "tempering: the hot replicas", "warning", True),
    Toggle("trail", "trail", "The last 20 steps of the watched chain; click another one", "text",
           True),
    Toggle("contours", "contours", "Lines of equal energy, 0.5 … 12 nats above the lowest",
           "muted", True),
    Toggle("forces", "force", "−∇E on a lattice; lengths grow with its square root", "text"),
    Toggle("data", "data", "Observations", "data"),
)  # fmt: skip
VIEWS = (
    ("flat", "2-D", "From above: the energy as colours and contours"),
    ("relief", "3-D", "As a landscape: drag to turn, wheel to come nearer"),
)
#: What lies flat on the plane.
FLAT_ONLY = ("forces", "data")
ARROWS = (("steps of 1 chain", 1), ("steps of 16", 16), ("steps of 64", 64))
TIPS = {
    "reset": "Back to the start (Home)",
    "back": "One step back (Left)",
    "play": "Walk (Space)",
    "step": "One step on (Right)",
    "slow": "Slow motion: two steps a second (S)",
}
NO_OPENGL = (
    "This machine has no OpenGL, which the view in 3-D needs; the view in 2-D shows the same"
)
ON_THE_WAY = "the chains are on their way …"
#: From this share of chains on it is said that they are out of view.
OUTSIDE = 0.2
#: Pixels at scale 1: the side stands beside the stage, or below it, or nowhere.
BESIDE_FROM, SIDE_FROM_HEIGHT = 760, 560


class WalkMode(Mode):
    """The stage and its clock; beside it one step in words, and the energy of the chains."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.clock = Clock(self)
        self.stage = Stage(look)
        self.relief: Relief | None = None
        self.views = QStackedWidget()
        self.switch = Segments(look, VIEWS)
        self.transport = PixelTransport(look, self.clock, tips=TIPS, things="Steps")
        self.side = StepSide(look, desk)
        self._fresh = True
        self._build()
        if not has_opengl():
            self.switch.set_usable("relief", usable=False, reason=NO_OPENGL)

    def _build(self) -> None:
        self.tools.addWidget(self.switch)
        for toggle in TOGGLES:
            self.tools.add_toggle(toggle)
        self.tools.add_choice("n_arrows", "Of how many chains the parts of the step are drawn")
        self.tools.set_choices("n_arrows", ARROWS)
        self.tools.set_choice("n_arrows", self.stage.n_arrows)
        self.tools.add_button("reset", "reset view", "Show the whole energy; or double-click")
        left = QWidget()
        self._right = self.side
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.views.addWidget(self.stage)
        column.addWidget(self.views, 1)
        column.addWidget(self.transport)
        for half in (left, self._right):
            half.setMinimumSize(1, 1)
        self._split = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._split.setSpacing(18)
        self._split.addWidget(left, 3)
        self._split.addWidget(self._right, 2)
        self.column.addLayout(self._split, 1)
        self.switch.chosen.connect(self.set_view)
        self.tools.toggled.connect(self.set_shown)
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(lambda _: self._go_home())
        self.clock.moved.connect(lambda _: self.follow())
        self.clock.playing_changed.connect(lambda _: self.transport.show_clock())
        self.stage.clicked.connect(self._on_clicked)
        self.stage.hovered.connect(self._on_hovered)
        self.stage.view_changed.connect(self._on_view_changed)
        self.side.pointed.connect(self.pointed)
        self.desk.restarted.connect(self._on_restarted)

    # --- what is shown ------------------------------------------------------------------------

    @property
    def is_relief(self) -> bool:
        """Whether the landscape is in front."""
        return self.relief is not None and self.views.currentWidget() is self.relief

    def set_view(self, name: str) -> None:
        """From above, or as a landscape."""
        if name == "relief" and not has_opengl():
            name = "flat"
        played = self.clock.is_playing
        self.switch.set_current(name)
        if name == "relief" and self.relief is None:
            self.relief = Relief(self.look)
            self.views.addWidget(self.relief)
        if name == "relief" and self.relief is not None:
            self.views.setCurrentWidget(self.relief)
            self.relief.set_surface(self.desk.surface)
        else:
            self.views.setCurrentWidget(self.stage)
        for toggle in FLAT_ONLY:
            self.tools.set_usable(toggle, not self.is_relief, "drawn in 2-D only")
        if played:  # with its first canvas Qt makes the window anew, which hides it for a moment
            self.clock.play()
        self.follow()

    def set_shown(self, name: str, on: bool) -> None:
        """Switch what is drawn."""
        self.tools.set_on(name, on)
        self.stage.set_shown(name, on)
        self.follow()
        if name in ("forces", "data"):
            self.asks_changed.emit()

    def set_arrows(self, n: int) -> None:
        """Draw the parts of the step of so many chains."""
        self.tools.set_choice("n_arrows", n)
        self.stage.n_arrows = n
        self.follow()

    def watch(self, chain: int) -> None:
        """Watch another chain."""
        self.desk.watch = chain
        self.follow()
        self.side.draw()

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: nothing walks yet."""
        self.stage.set_surface(None)
        self.stage.show_film(None, 0)
        self.stage.set_data(np.zeros((0, 2)))
        if self.relief is not None:
            self.relief.set_surface(None)
        self.side.clear()
        self.clock.open(0)
        self.transport.show_clock()
        self._fresh = True
        if self.desk.window is not None:
            self.stage.set_home(Box(*self.desk.window))
        self.stage.forget()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The energy in view, the walk, and observations where they are drawn."""
        asked: dict[str, Question] = {}
        surface = self.desk.surface_question(
            rest=rest, forces=self.tools.is_checked("forces") and not self.is_relief
        )
        if surface is not None:
            asked["surface"] = surface
            asked["walk"] = self.desk.walk_question(rest=rest)
        if not self.desk.has_target and (
            self.desk.window is None or self.tools.is_checked("data")
        ):
            asked["data"] = self.desk.points_question()
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """An energy, a piece of a walk, or observations."""
        if part == "surface":
            self._take_surface(answer)
        elif part == "data":
            self._take_data(answer)
        elif part == "walk":
            self._take_walk(answer)

    def _take_surface(self, answer: Answer) -> None:
        surface = read(answer)
        self.desk.surface = surface
        self.stage.set_surface(surface)
        if self.is_relief and self.relief is not None:
            self.relief.set_surface(surface)
        self.follow()
        self.side.draw()

    def _take_data(self, answer: Answer) -> None:
        points = np.asarray(answer.arrays.get("points", np.zeros((0, 2))), np.float64)
        if points.ndim == 2 and points.shape[1] == 2:
            self.stage.set_data(points)
        low, high = answer.values.get("low"), answer.values.get("high")
        if self.desk.window is None and isinstance(low, list) and isinstance(high, list):
            ends = np.array([low, high], np.float64)
            if ends.shape == (2, 2) and np.isfinite(ends).all():
                (x0, y0), (x1, y1) = ends.tolist()
                box = Box((x0, y0), (x1, y1))
                self.desk.window = box.low, box.high
                self.stage.set_home(box)
                self.asks_changed.emit()

    def _take_walk(self, answer: Answer) -> None:
        self.desk.show_walk(answer, self.clock.place)
        film = self.desk.film
        if film is None:
            return
        if self.clock.size != film.total:
            place = self.clock.place
            playing = self.clock.is_playing
            pace = self.clock.pace
            self.clock.open(film.total)
            self.clock.pace = pace if place or playing else max(self.clock.pace, 20.0)
            self.clock.go(min(place, film.total))
            if playing:
                self.clock.play()
        self.clock.set_ready(max(film.n - 1, 0))
        if self._fresh:
            self._fresh = False
            self._begin()
        if answer.final or not self.clock.is_playing:
            self.follow()
        self.side.draw(calm=not answer.final)

    def _begin(self) -> None:
        """The chains walk; on paper, where nothing moves, they have arrived."""
        if self.window().testAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen):
            self._fresh = True
            self.clock.go(self.clock.ready)
        elif self.isVisible():
            self.clock.play()

    def _on_restarted(self) -> None:
        """Another chain set walks from its start, as soon as it is there."""
        self.clock.pause()
        self.clock.go(0)
        self._fresh = True

    @property
    def own_frames(self) -> int:
        """Frames of a film of the whole walk."""
        return self.clock.size + 1 if self.clock.size else 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.clock.pause()
        self.clock.go(index)

    def leave(self) -> None:
        """Time stands still while another mode is in front."""
        self.clock.pause()

    # --- drawing ------------------------------------------------------------------------------

    def follow(self) -> None:
        """Everything goes where the clock is."""
        film, place = self.desk.film, self.clock.place
        self.transport.show_clock()
        self.stage.watch = self.desk.watch
        words = ""
        if film is not None and film.rows:
            watch = min(self.desk.watch, film.n_chains - 1)
            energy = float(film.row(place)["energy"][watch])
            words = f"chain {watch + 1}: E {fixed(energy, 2)} nats"
        if self.is_relief and self.relief is not None:
            self.relief.show_film(
                film, place, self.desk.watch, self.stage.shown, self.stage.n_arrows
            )
        else:
            self.stage.show_film(film, place, words)
        self.side.follow(place)
        self.chips_changed.emit()

    def chips(self) -> tuple[Chip, ...]:
        """The walk in numbers, and what its law is."""
        film, palette = self.desk.film, self.look.palette
        if film is None or not film.rows:
            return (Chip(ON_THE_WAY, "The first steps come soon", framed=True),)
        place = self.clock.place
        words = f"{counted(film.n_chains, 'chain')}, step {spaced(place)}"
        tip = "Each its own noise; the same seed and step are the same state"
        chips = [*self._click_hint(), Chip(words, tip, palette.model, "dot", framed=True)]
        lost = film.n_lost(place)
        if lost:
            chips.append(Chip(f"{spaced(lost)} diverged", "Their energy rose by more than 1000 "
                              "nats in one step, or is no number any more: λ is too large",
                              palette.error, alarm=True, framed=True))  # fmt: skip
        out = self._n_outside(film.row(place)["points"])
        if out > OUTSIDE * film.n_chains:
            chips.append(Chip(f"{spaced(out)} out of view", "λ is too large for an unadjusted "
                              "chain, or the view too narrow", palette.warning, alarm=True,
                              framed=True))  # fmt: skip
        k = min(place, film.n - 1)
        chips.append(Chip(f"mean E {fixed(film.mean_energy[k], 2)} nats",
                          "Over all chains at this step", framed=True))  # fmt: skip
        if film.acceptance[k] < 1.0:
            chips.append(Chip(f"accepted {film.acceptance[k]:.0%}",
                              "Mean probability to accept the step that leaves from here",
                              framed=True))  # fmt: skip
        swaps = film.row(k).get("swapped")
        if swaps is not None and swaps.size:
            chips.append(Chip(f"{float(swaps.mean()):.0%} of swaps taken", "Of the offers of "
                              "neighbouring temperatures to change places at this step, over the "
                              "chains whose parts are told", framed=True))  # fmt: skip
        heat = film.temperature_at(k)
        if heat != 1.0:
            chips.append(Chip(f"T = {number(heat, 3)}: not p(x)",
                              "At a temperature other than 1 the law is exp(−E/T), not the "
                              "model's", palette.warning, "dot", framed=True))  # fmt: skip
        kernel = kernel_words(film.kernel_at(k))
        note = Chip(kernel.note, kernel.title, framed=True)
        return (*chips, *self._about_surface(), note)

    def _click_hint(self) -> tuple[Chip, ...]:
        """What to do where chains begin at a click."""
        if self.desk.start != "click":
            return ()
        words = "in 2-D: " if self.is_relief else ""
        return (Chip(f"{words}click into the picture: all chains begin there", "Start: from a "
                     "click", self.look.palette.accent, "dot", framed=True),)  # fmt: skip

    def _n_outside(self, points: Floats) -> int:
        """Chains that are not over the energy that is drawn."""
        surface = self.desk.surface
        if surface is None:
            return 0
        low, high = np.array(surface.box.low), np.array(surface.box.high)
        inside = ((points >= low) & (points <= high)).all(1)
        return len(points) - int(inside.sum())

    def _about_surface(self) -> list[Chip]:
        surface = self.desk.surface
        if surface is None:
            return []
        chips = [Chip(surface.label, "What E is", framed=True)]
        if surface.log_z is not None and surface.kind != "log_prob":
            value, error = with_error(surface.log_z, surface.log_z_error)
            words = " ".join(part for part in ("log Z", value, error) if part)
            chips.append(Chip(f"{words} nats, by quadrature",
                              "p(x) = exp(−E(x)) / Z", framed=True))  # fmt: skip
        if surface.is_slice:
            chips.append(Chip("slice and shadow", "The energy is that on the plane through the "
                              "mean; chains, which are elsewhere, are projected onto it",
                              self.look.palette.warning, "dot", framed=True))  # fmt: skip
        chips.append(Chip(f"step {spaced(surface.step)}", "Training step of these weights",
                          framed=True))  # fmt: skip
        return chips

    # --- by hand ------------------------------------------------------------------------------

    def _go_home(self) -> None:
        self.stage.go_home()
        if self.relief is not None:
            self.relief.go_home()

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "n_arrows" and isinstance(value, int):
            self.set_arrows(value)

    def _on_clicked(self, place: tuple[float, float]) -> None:
        film = self.desk.film
        if self.desk.start == "click":
            self.desk.set(self.clock.place, at=place)
        elif film is not None and film.rows:
            self.watch(film.nearest(self.clock.place, place))

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        surface = self.desk.surface
        if place is None or surface is None:
            self.pointed.emit(None)
            return
        energy = surface.energy_at(place)
        rows = [("energy E", f"{fixed(energy, 3)} nats")] if np.isfinite(energy) else []
        if rows and surface.log_z is not None:
            rows.append(("log p = −E − log Z", f"{fixed(-energy - surface.log_z, 3)} nats"))
        x, y = surface.names
        heading = f"{x} = {number(place[0], 3)}, {y} = {number(place[1], 3)}"
        self.pointed.emit(Pointed(heading, tuple(rows)))

    def _on_view_changed(self, box: Box) -> None:
        """The energy is asked for over what is in view."""
        if self.desk.window is None or not box.is_proper or not self.stage.isVisible():
            return
        if (box.low, box.high) != self.desk.window:
            self.desk.window = box.low, box.high
            self.asks_changed.emit()

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """The keys of the transport."""
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        acts: dict[Qt.Key, Callable[[], object]] = {
            Qt.Key.Key_Space: self.clock.toggle,
            Qt.Key.Key_Left: lambda: self.clock.step(-1),
            Qt.Key.Key_Right: lambda: self.clock.step(1),
            Qt.Key.Key_Home: lambda: self.clock.go(0),
            Qt.Key.Key_End: lambda: self.clock.go(self.clock.ready),
            Qt.Key.Key_S: self.transport.toggle_slow,
            Qt.Key.Key_BracketLeft: lambda: self.transport.nudge(-1),
            Qt.Key.Key_BracketRight: lambda: self.transport.nudge(1),
        }
        act = acts.get(Qt.Key(event.key()))
        if act is None or plain != Qt.KeyboardModifier.NoModifier:
            return False
        if not only_ask:
            act()
        return True

    # --- Qt -----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Numbers beside the stage, below it, or nowhere where there is no room."""
        super().resizeEvent(event)
        px, way = self.look.px, QBoxLayout.Direction
        beside = self.width() >= px(BESIDE_FROM)
        self._split.setDirection(way.LeftToRight if beside else way.TopToBottom)
        self._right.setVisible(beside or self.height() >= px(SIDE_FROM_HEIGHT))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.stage.restyle()
        if self.relief is not None:
            self.relief.restyle()
        self.side.restyle()
        self.follow()
