"""Flow: how layer after layer turns the data into the base, and the base into data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.flow.clock import FlowClock
from widgets.flow.flow_tools import FlowTools
from widgets.flow.jacobian_side import JacobianSide
from widgets.flow.layers_side import LayersSide
from widgets.flow.passes_side import PassesSide
from widgets.flow.point_side import PointSide
from widgets.flow.side import Side
from widgets.flow.stack import Stack
from widgets.flow.stage import VOLUME, Stage
from widgets.flow.transport import FlowTransport
from widgets.flow.walk import Walk, blend, read
from widgets.look import Look
from widgets.panel import Panel, Point, Question
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
#: Pixels at scale 1: from this width on the numbers stand beside the stage, below it under it.
BESIDE_FROM = 580
#: From this width on the stage gets more than half of it.
ROOMY_FROM = 1000
#: Below these sizes there is room for the stage alone.
SIDE_FROM, SIDE_FROM_HEIGHT = 420, 480
ROW_FROM = 860
HINT = (
    "Choose 2-D data and a flow on the left, then press play (space): how its layers turn the "
    "data into the base appears here."
)


Floats: TypeAlias = npt.NDArray[Any]


class FlowPanel(Panel):
    """Grid and cloud pass through the layers; beside them what each layer does."""

    name = "flow"
    title = "Flow"
    summary = "A grid and a cloud pass through a flow's layers, with every layer's numbers."
    needs = (frozenset({Capability.FLOW_PATH}),)
    shortcut = "Ctrl+Alt+F"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.clock = FlowClock(self)
        self.way = Segments(look, WAYS, self)
        self.switch = Segments(look, SIDES, self)
        self.tools = FlowTools(look, self)
        self.stage = Stage(look)
        self.stack: Stack | None = None
        self.stages = QStackedWidget()
        self.transport = FlowTransport(look, self.clock)
        self._sum, self._layers = PointSide(look, self.clock), LayersSide(look, self.clock)
        self.sides: dict[str, Side] = {
            "point": self._sum,
            "layers": self._layers,
            "jacobian": JacobianSide(look, self.clock),
            "passes": PassesSide(look, self.clock),
        }
        self.side_pages = QStackedWidget()
        self.chips = ChipRow(look, parent=self)
        self.empty = EmptyState(look)
        self.outer = QStackedWidget()
        self.point: Point | None = None
        self._answers: dict[str, Answer] = {}
        self._build()
        self.clear()

    # --- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.stages.addWidget(self.stage)
        column.addWidget(self.stages, 1)
        column.addWidget(self.transport)
        self._right = QWidget()
        beside = QVBoxLayout(self._right)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(4)
        beside.addWidget(self.switch)
        beside.addWidget(self.side_pages, 1)
        for side in self.sides.values():
            self.side_pages.addWidget(side)
            side.wanted_layer.connect(self._go_to_layer)
        for half in (left, self._right):
            half.setMinimumSize(1, 1)  # the panel may be small: parts give way by its size
        self._split = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._split.setSpacing(10)
        self._split.addWidget(left, 3)
        self._split.addWidget(self._right, 2)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.way)
        self._top.addWidget(self.tools, 1)
        content = QWidget()
        whole = QVBoxLayout(content)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(4)
        whole.addLayout(self._top)
        whole.addLayout(self._split, 1)
        whole.addWidget(self.chips)
        self._content = content
        self.outer.addWidget(self.empty)
        self.outer.addWidget(content)
        self.body.addWidget(self.outer, 1)
        self.switch.set_current("layers")  # no point is chosen yet
        self.side_pages.setCurrentWidget(self._layers)
        self._connect()

    def _connect(self) -> None:
        self.way.chosen.connect(self.set_way)
        self.switch.chosen.connect(self.set_side)
        self.tools.toggled.connect(self._on_toggled)
        self.tools.chosen.connect(self._on_chosen)
        self.clock.moved.connect(lambda _: self._follow())
        self.stage.clicked.connect(self._on_clicked)

    @property
    def side(self) -> Side:
        """What stands beside the stage."""
        return self.sides[self.switch.current]

    def set_side(self, name: str) -> None:
        """Show other numbers beside the stage."""
        before = self.side_pages.currentWidget()
        self.switch.set_current(name)
        if isinstance(before, Side) and before is not self.side:
            before.leave()
        self.side_pages.setCurrentWidget(self.side)
        self.side.follow()
        self.asks_changed.emit()

    def set_way(self, name: str) -> None:
        """Go from the data to the base, or from the base to the data."""
        self.way.set_current(name)
        self.clock.turn(inverse=name == "base")
        self._sum.turned()
        self._follow()
        self.asks_changed.emit()

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
        self._follow()

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

    def _follow(self) -> None:
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
        text = f"{n} observations" if data else f"{n} draws of the base"
        colour = palette.data if data else palette.model
        chips = [Chip(text, "Of the training data" if data else "", colour, "dot", framed=True)]
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

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the panel's own time come before the window's while it has the focus."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and self._act(event) is not None:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space plays, the arrows step, Home goes to the start, S is slow motion."""
        act = self._act(event) if self.run is not None else None
        if act is None:
            super().keyPressEvent(event)
        else:
            act()

    def _act(self, event: QKeyEvent) -> Callable[[], object] | None:
        if event.modifiers() != Qt.KeyboardModifier.NoModifier:
            return None
        return {
            Qt.Key.Key_Space: self.clock.toggle,
            Qt.Key.Key_Left: lambda: self.clock.step(-1),
            Qt.Key.Key_Right: lambda: self.clock.step(1),
            Qt.Key.Key_Home: lambda: self.clock.go(self.clock.start),
            Qt.Key.Key_S: self.transport.toggle_slow,
        }.get(Qt.Key(event.key()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Numbers beside the stage, below it, or nowhere where there is no room."""
        super().resizeEvent(event)
        px, way = self.look.px, QBoxLayout.Direction
        beside = self.width() >= px(BESIDE_FROM)
        self._split.setDirection(way.LeftToRight if beside else way.TopToBottom)
        roomy = self.width() >= px(ROOMY_FROM)
        for index, share in enumerate((3, 2) if roomy else (1, 1)):
            self._split.setStretch(index, share)
        self._right.setVisible(beside or self.height() >= px(SIDE_FROM_HEIGHT))
        apart = self.width() < px(ROW_FROM) and self.height() >= px(SIDE_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.clock.pause()
        self.side.leave()
        super().hideEvent(event)
