"""Flow: how layer after layer turns the data into the base, and the base into data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QStackedWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip
from widgets.flow.flow_tools import FlowTools
from widgets.flow.jacobian_side import JacobianSide
from widgets.flow.layers_side import LayersSide
from widgets.flow.passes_side import PassesSide
from widgets.flow.point_side import PointSide
from widgets.flow.side import Side
from widgets.flow.stack import Stack
from widgets.flow.stage import VOLUME, Stage
from widgets.flow.stage_panel import StagePanel
from widgets.flow.transport import FlowTransport
from widgets.flow.walk import Walk, blend, read
from widgets.look import Look
from widgets.panel import Point, Question
from widgets.plots.cloud import has_opengl

WAYS = (
    ("data", "data → base", "An even grid and the data on their way to the base"),
    ("base", "base → data", "An even grid of the base and draws of it on their way to the data"),
)
SIDES = (
    ("point", "Sum", "What the chosen point collects: log p(z) + Σ log-dets = log p(x)"),
    ("layers", "Layers", "Volume change, condition and round-trip error of every layer"),
    ("jacobian", "Jacobian", "The derivatives of layer and flow at the chosen point"),
    ("passes", "Passes", "Network passes that wait for one another, for density and sample"),
)  # fmt: skip
#: Pictures of a film from one layer to the next.
FRAMES_A_LAYER = 24
HINT = (
    "Choose 2-D data and a flow on the left, then press play (space): how its layers turn the "
    "data into the base appears here."
)


Floats: TypeAlias = npt.NDArray[Any]


class FlowPanel(StagePanel):
    """Grid and cloud pass through the layers; beside them what each layer does."""

    name = "flow"
    title = "Flow"
    summary = "A grid and a cloud pass through a flow's layers, with every layer's numbers."
    needs = (frozenset({Capability.FLOW_PATH}),)
    shortcut = "Ctrl+Alt+F"

    WAYS = WAYS
    SIDES = SIDES
    BESIDE_FROM, ROOMY_FROM = 580, 1000
    ROW_FROM, ROWS_FROM_HEIGHT = 860, 420

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = FlowTools(look, self)
        self.stage = Stage(look)
        self.stack: Stack | None = None
        self.stages = QStackedWidget()
        self.stages.addWidget(self.stage)
        self.transport = FlowTransport(look, self.clock)
        self._sum, self._layers = PointSide(look, self.clock), LayersSide(look, self.clock)
        sides: dict[str, Side] = {
            "point": self._sum,
            "layers": self._layers,
            "jacobian": JacobianSide(look, self.clock),
            "passes": PassesSide(look, self.clock),
        }
        self.point: Point | None = None
        self._answers: dict[str, Answer] = {}
        self.set_up(self.tools, self.stages, self.transport, sides)
        for side in sides.values():
            side.wanted_layer.connect(self._go_to_layer)
        self.switch.set_current("layers")  # no point is chosen yet
        self.side_pages.setCurrentWidget(self._layers)
        self.tools.toggled.connect(self._on_toggled)
        self.tools.chosen.connect(self._on_chosen)
        self.clock.moved.connect(lambda _: self.follow())
        self.stage.clicked.connect(self._on_clicked)
        self.clear()

    def turned(self) -> None:
        """The sum is collected from the other end."""
        self._sum.turned()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run."""
        super().open_run(info)
        if info is not None:
            self.tools.offer_planes(info)

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self.stage.forget()
        self.tools.offer_planes(info)

    def choose_point(self, point: Point | None) -> None:
        """Follow this point from now on."""
        self.point = point
        if self._fitting is None:
            self._forget("point")
        self.asks_changed.emit()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The way of grid and cloud, that of the chosen point, and what the side shows."""
        if self.run is None:
            return {}
        tools = self.tools
        wanted = tools.wanted(rest=rest) | {"start": self.way.current}
        asked = {"path": Question("flow_path", wanted, coarse=tools.coarse())}
        point = self._fitting
        if point is not None:
            about: dict[str, Value] = {"point": list(point.at), **tools.plane()}
            if point.plane:
                about |= {"on": point.plane.get("plane", "axes")}
                about |= {k: v for k, v in point.plane.items() if k == "axes"}
            asked["point"] = Question("flow_jacobian", about)
        if self.switch.current == "layers":
            size: dict[str, Value] = {"n": 256 if rest else 128, "size": 32 if rest else 20}
            asked["layers"] = Question("flow_layers", size | tools.plane(), coarse=None)
        elif self.switch.current == "passes":
            asked["passes"] = Question(
                "flow_passes", {"n": 100 if tools.is_large else 1000}, live=False
            )
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the answer to one part."""
        if self.run is None or (part == "point" and self._fitting is None):
            return
        self.banner.clear()
        self._answers[part] = answer
        if part == "path":
            self._take(answer)
        for side in self.sides.values():
            side.show_answer(part, answer)
        self.follow()

    def _take(self, answer: Answer) -> None:
        walk = read(answer)
        if walk.size != self.clock.size:
            self.clock.open(walk.size)
        self.stage.set_walk(walk)
        self.outer.setCurrentWidget(self._content)
        self._draw_stack()

    def clear(self) -> None:
        """Say what to do."""
        self._answers = {}
        self.clock.open(0)
        self.stage.set_walk(None)
        for part in ("path", "point", "layers", "passes"):
            self._forget(part)
        self.chips.set_chips(())
        self.empty.say("No flow is open", HINT)
        self.outer.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.stage.restyle()
        if self.stack is not None:
            self.stack.restyle()
        for side in self.sides.values():
            side.restyle()
        self._draw_stack()

    def save_state(self) -> dict[str, Value]:
        """What is drawn and how, and which way it goes."""
        return {
            "way": self.way.current, "side": self.switch.current, "map": self._layers.map_name,
            **self.tools.save(),
        }  # fmt: skip

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""
        tools = self.tools
        tools.restore(state)
        for name in ("grid", "points"):
            self.stage.set_shown(name, tools.is_checked(name))
        self.stage.set_colour_by(tools.colour_by)
        self._draw_stack()
        if isinstance(state.get("map"), str):
            self._layers.set_map(str(state["map"]))
        if state.get("way") in dict.fromkeys(name for name, *_ in WAYS):
            self.set_way(str(state["way"]))
        if state.get("side") in self.sides:
            self.set_side(str(state["side"]))
        self.asks_changed.emit()

    @property
    def own_frames(self) -> int:
        """Frames of a film of the whole way, a few from one layer to the next."""
        return self.clock.size * FRAMES_A_LAYER + 1 if self.clock.size else 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.clock.pause()
        way = -1 if self.clock.inverse else 1
        self.clock.go(self.clock.start + way * index / FRAMES_A_LAYER)

    # --- the chosen point ---------------------------------------------------------------------

    @property
    def _fitting(self) -> Point | None:
        """The chosen point, where it is one of the open run's events or planes."""
        point, info = self.point, self.run
        if point is None or info is None:
            return None
        size = info.data.event.size
        fits = len(point.at) == size if not point.plane else len(point.at) == 2 < size
        return point if fits else None

    def _on_clicked(self, place: tuple[float, float]) -> None:
        """At data of two values the very place; elsewhere the nearest point of the cloud."""
        if self.switch.current == "layers":
            self.set_side("point")  # what the point collects is what one wants to see
        walk, info = self.stage.walk, self.run
        if walk is None or info is None:
            return
        if self.clock.at == 0 and walk.events.shape[1] == 2 and info.data.event.size == 2:
            self.point_chosen.emit(Point(tuple(map(float, place)), walk.axes))
            return
        nearest = walk.nearest(self.clock.at, place)
        if nearest is not None:
            event = walk.events[nearest]
            names = walk.axes if len(event) == 2 else walk.axes[:1] if len(event) == 1 else ()
            self.point_chosen.emit(Point(tuple(map(float, event)), names))

    def _forget(self, part: str) -> None:
        self._answers.pop(part, None)
        for side in self.sides.values():
            side.show_answer(part, None)
        if part == "point":
            self.stage.trail.clear()

    # --- drawing ------------------------------------------------------------------------------

    def follow(self) -> None:
        """Everything goes where the clock is."""
        self.transport.show_clock()
        self.stage.show_at(self.clock.at)
        self._draw_trail()
        if self._stacked is not None:
            self._stacked.show_at(self.stage, self._way_of_point())
        self.side.follow()

    def _way_of_point(self) -> Floats:
        """(L + 1, 2), or none."""
        answer = self._answers.get("point")
        places = np.zeros((0, 2)) if answer is None else np.asarray(answer.arrays["places"])
        if len(places) != self.clock.size + 1:
            return np.zeros((0, 2))
        if places.shape[1] == 1:
            return np.concatenate([places, np.zeros_like(places)], 1)
        return places

    def _draw_trail(self) -> None:
        places, at = self._way_of_point(), self.clock.at
        if not len(places):
            self.stage.trail.clear()
            return
        behind = places[: int(np.floor(at)) + 1]
        if self.clock.inverse:
            behind = places[int(np.ceil(at)) :][::-1]
        found = self._sum.sum
        words = found.words(at, self.clock.size) if found is not None else ""
        self.stage.trail.set_trail(np.concatenate([behind, blend(places, at)[None]]), words)

    @property
    def _stacked(self) -> Stack | None:
        """The view of all layers, where it is in front."""
        front = self.stages.currentWidget()
        return front if isinstance(front, Stack) else None

    def _draw_stack(self) -> None:
        """All layers one above the other in the place of the stage, where that can be drawn."""
        walk = self.stage.walk
        if walk is not None:
            self._show_chips(walk)
        if walk is None or not self.tools.is_checked("stack") or not has_opengl():
            self.stages.setCurrentWidget(self.stage)
            return
        if self.stack is None:
            self.stack = Stack(self.look)
            self.stages.addWidget(self.stack)
        self.stages.setCurrentWidget(self.stack)
        self.stack.set_walk(walk)
        self.stack.show_at(self.stage, self._way_of_point())

    def _show_chips(self, walk: Walk) -> None:
        palette, by = self.look.palette, self.stage.colouring
        n = walk.points.shape[1]
        data = walk.start == "data"
        there = self.run is not None and self.run.data.n_train > 0
        things = "observations" if there else "draws of the target"
        words = "Of the training data" if there else "It has no observations to be shown"
        text, colour = (f"{n} {things}", palette.data) if data else (
            f"{n} draws of the base", palette.model
        )  # fmt: skip
        chips = [Chip(text, words if data else "", colour, "dot", framed=True)]
        chips.append(Chip(f"{walk.size} layers, standardisation included",
                          ", ".join(walk.names), framed=True))  # fmt: skip
        if by == VOLUME:
            words = "Exact at whole layers; between two the colours of both are mixed"
            chips.append(Chip("colours exact at whole layers", words, framed=True))
        if self.tools.is_checked("stack") and not has_opengl():
            words = "The layers one above the other need OpenGL"
            chips.insert(0, Chip("no OpenGL on this machine: the layers one by one", words))
        if walk.is_slice:
            words = "The grid lies in the plane through the mean; points are projected onto it"
            chips.append(Chip("grid is a slice, points a projection", words, framed=True))
        chips.append(Chip(f"step {walk.step}", "The training step of these weights", framed=True))
        self.chips.set_chips(tuple(chips))

    def _go_to_layer(self, layer: int) -> None:
        self.clock.pause()
        self.clock.go(float(layer if self.clock.inverse else layer + 1))

    # --- settings -----------------------------------------------------------------------------

    def _on_toggled(self, name: str, on: bool) -> None:
        if name in ("grid", "points"):
            self.stage.set_shown(name, on)
        self._draw_stack()

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "colour":
            self.stage.set_colour_by(str(value))
            self._draw_stack()
            return
        if name == "plane":
            self.stage.forget()
        self.asks_changed.emit()
