"""Trajectories: a continuous flow, its velocity, its solver's steps, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QSignalBlocker

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.figures import number
from widgets.flow.side import Side
from widgets.flow.stage_panel import StagePanel
from widgets.look import Look
from widgets.panel import Question
from widgets.trajectories.path import Path, read
from widgets.trajectories.stage import Stage
from widgets.trajectories.steps_side import StepsSide
from widgets.trajectories.tolerance_side import ToleranceSide
from widgets.trajectories.trace_side import TraceSide
from widgets.trajectories.transport import TENTHS, TimeTransport

WAYS = (
    ("data", "data → base", "Observations on their way to the base"),
    ("base", "base → data", "Draws of the base on their way to the data"),
)
SIDES = (
    ("steps", "Steps", "Size and error of the solver's steps, accepted and rejected"),
    ("tolerance", "Tolerance", "Evaluations and round-trip error against the tolerance"),
    ("trace", "Trace", "The exact trace and Hutchinson's estimates with their spread"),
)
#: Switches of what is drawn: name, text, tooltip, colour.
TOGGLES = (
    ("field", "velocity", "The velocity at time t, coloured by how it grows or shrinks volume",
     "model"),
    ("paths", "trajectories", "The whole way of each point", "text"),
    ("stops", "solver's stops", "Where the accepted steps of the model's own solver end", "text"),
)  # fmt: skip
#: Points that are followed, and those of the sweep; rows of the field; equal steps of the paths.
N_POINTS, N_SWEPT, ROWS, FINE_STEPS = 48, 16, 17, 48
#: While the model trains.
LIVE_ROWS, LIVE_STEPS = 13, 16
#: Noises for the page *Trace*, at rest and while the model trains; the probe takes at least two.
NOISES, LIVE_NOISES, FEWEST = 256, 64, 2
#: Steps that serve for the window of the field, and moments a unit of time at which it is asked.
FIELD_STEPS, MOMENTS = 8, 20
#: Tolerances of the sweep, and those while the model trains.
SWEEP = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
LIVE_SWEEP = SWEEP[:4]
#: Pictures of a film of the whole way.
FRAMES = 96
#: Where the clock stands at first, in tenths: in the middle something flows.
FIRST, PACE = 5.0, 2.0
HINT = "Choose 2-D data and CNF or FFJORD on the left, then press play (space)."


class TrajectoriesPanel(StagePanel):
    """Points follow a velocity; beside them what the solver does."""

    name = "trajectories"
    title = "Trajectories"
    summary = "A continuous flow: its velocity at any time, its solver's steps, and its trace."
    needs = (frozenset({Capability.FLOW_PATH}),)
    shortcut = "Ctrl+Alt+T"
    BESIDE_FROM = 640

    WAYS = WAYS
    SIDES = SIDES

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = ToolRow(look, self)
        for name, text, tooltip, colour in TOGGLES:
            self.tools.add_toggle(Toggle(name, text, tooltip, colour, on=True))
        self.stage = Stage(look)
        self.transport = TimeTransport(look, self.clock)
        self.trace = TraceSide(look, self.clock)
        steps, tolerance = StepsSide(look, self.clock), ToleranceSide(look, self.clock)
        for part in (steps, tolerance, self.trace):
            part.pointed.connect(self.pointed)
        self._asked_moment = -1
        sides: dict[str, Side] = {"steps": steps, "tolerance": tolerance, "trace": self.trace}
        self.set_up(self.tools, self.stage, self.transport, sides)
        self.tools.toggled.connect(self._on_toggled)
        self.stage.point_clicked.connect(self.ring)
        self.trace.noise_chosen.connect(lambda _: self.asks_changed.emit())
        self.clock.moved.connect(self._on_moved)
        self.clear()

    def ring(self, point: int) -> None:
        """Ring another point, along which traces are told."""
        self.stage.set_ringed(point)
        self.asks_changed.emit()

    # --- run ----------------------------------------------------------------------------------

    @property
    def _is_continuous(self) -> bool:
        return self.run is not None and "continuous" in self.run.card.features

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: its field is asked for where the clock will stand."""
        super().open_run(info)
        if self._is_continuous:
            self._wind_clock()

    def _wind_clock(self) -> None:
        if self.clock.size:
            return
        with QSignalBlocker(self.clock):
            self.clock.open(TENTHS)
            self.clock.pace = PACE
            self.clock.go(FIRST)
        self._asked_moment = self._moment
        self.follow()

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self.stage.forget()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """Fine trajectories, the field at the clock's time, the solver's own steps, the sweep."""
        if not self._is_continuous:
            return {}
        about: dict[str, Value] = {
            "n": N_POINTS, "start": self.way.current, "tolerances": [], "n_noises": FEWEST,
            "side": 1,
        }  # fmt: skip
        if self.run is not None and self.run.data.event.kind == "picture":
            about |= {"plane": "pca"}
        page = self.switch.current
        equal: dict[str, Value] = {"solver": "rk4", "n_steps": FINE_STEPS if rest else LIVE_STEPS}
        if page == "trace":
            equal |= {
                "along": self.stage.ringed,
                "n_noises": NOISES if rest else LIVE_NOISES,
                "noise": self.trace.kind.current,
            }
        field: dict[str, Value] = {
            "solver": "rk4", "n_steps": FIELD_STEPS, "side": ROWS if rest else LIVE_ROWS,
            "time": self._moment / MOMENTS,
        }  # fmt: skip
        asked = {"path": Question("ode_trace", about | equal)}
        if self.tools.is_checked("field"):
            asked["field"] = Question("ode_trace", about | field)
        asked["steps"] = Question("ode_trace", dict(about))
        if page == "tolerance":
            sweep: dict[str, Value] = {
                "n": N_SWEPT,
                "tolerances": list(SWEEP if rest else LIVE_SWEEP),
            }
            asked["sweep"] = Question("ode_trace", about | sweep, coarse=None)
        return asked

    @property
    def _moment(self) -> int:
        """The time at which the field is asked: whole ones a unit of time, so that it keeps up."""
        return round(self.clock.at / TENTHS * MOMENTS)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the answer to one part."""
        if not self._is_continuous:
            return
        path = read(answer)
        if path is None:
            return
        self.banner.clear()
        if part == "path":
            self._take(path)
        elif part == "steps":
            self.stage.set_stops(path)
        elif part == "field":
            self.stage.set_field(answer)
        for side in self.sides.values():
            side.show_answer(part, answer)
        self._show_chips()

    def _take(self, path: Path) -> None:
        self._wind_clock()
        self.stage.set_path(path)
        self.outer.setCurrentWidget(self._content)
        self.follow()

    def clear(self) -> None:
        """Say what to do."""
        self.clock.open(0)
        self.stage.set_path(None)
        for side in self.sides.values():
            for part in ("path", "steps", "sweep"):
                side.show_answer(part, None)
        self.chips.set_chips(())
        if self.run is None:
            self.empty.say("No continuous flow is open", HINT)
        elif self._is_continuous:
            self.empty.say("Waiting for the engine", HINT)
        else:
            title = self.run.card.title
            self.empty.say(
                f"{title} has no continuous path",
                f"{title} moves points by layers, one after the other, which the panel Flow "
                "shows; a solver that takes steps in time belongs to CNF and FFJORD.",
            )
        self.outer.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.stage.restyle()
        for side in self.sides.values():
            side.restyle()
        self._show_chips()

    def save_state(self) -> dict[str, Value]:
        """What is drawn, and which way it goes."""
        switches: dict[str, Value] = {name: self.tools.is_checked(name) for name, *_ in TOGGLES}
        return {
            "way": self.way.current, "side": self.switch.current,
            "noise": self.trace.kind.current, "ringed": self.stage.ringed, **switches,
        }  # fmt: skip

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take it back where it is sensible."""
        for name, *_ in TOGGLES:
            if isinstance(state.get(name), bool):
                self.tools.set_on(name, bool(state[name]))
                self.stage.set_shown(name, bool(state[name]))
        self.trace.kind.set_current(str(state.get("noise", "")))
        ringed = state.get("ringed")
        if isinstance(ringed, int) and 0 <= ringed < N_POINTS:
            self.stage.set_ringed(ringed)
        if state.get("way") in dict.fromkeys(name for name, *_ in WAYS):
            self.set_way(str(state["way"]))
        if state.get("side") in self.sides:
            self.set_side(str(state["side"]))
        self.asks_changed.emit()

    @property
    def own_frames(self) -> int:
        """Frames of a film of the whole way."""
        return FRAMES + 1 if self.clock.size else 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.clock.pause()
        way = -1 if self.clock.inverse else 1
        self.clock.go(self.clock.start + way * index * TENTHS / FRAMES)

    # --- drawing ------------------------------------------------------------------------------

    def _on_moved(self, _at: float) -> None:
        self.follow()
        if self._moment != self._asked_moment:
            self._asked_moment = self._moment
            self.asks_changed.emit()

    def follow(self) -> None:
        """Everything goes where the clock is."""
        self.transport.show_clock()
        self.stage.show_at(self.clock.at / TENTHS)
        self.side.follow()

    def _on_toggled(self, name: str, on: bool) -> None:
        self.stage.set_shown(name, on)
        self.asks_changed.emit()

    def _show_chips(self) -> None:
        path, palette = self.stage.path, self.look.palette
        if path is None:
            return
        there = self.run is not None and self.run.data.n_train > 0
        things = "observations" if there else "draws of the target"
        text = f"{path.size} {'draws of the base' if path.from_base else things}"
        colour = palette.model if path.from_base else palette.data
        chips = [Chip(text, "", colour, "dot", framed=True)]
        if self.stage.field is not None and self.tools.is_checked("field"):
            speed = number(self.stage.fastest, 3)
            words = "In the flow's own units, in which data have mean 0 and variance 1"
            chips.append(Chip(f"longest arrow: {speed} per unit of time", words, framed=True))
        if path.is_slice:
            words = "Points are projected; the velocity is that in the plane through the mean"
            chips.append(Chip("a plane of more values", words, framed=True))
        chips.append(Chip(f"step {path.step}", "The training step of these weights", framed=True))
        self.chips.set_chips(tuple(chips))
