"""Flow: how layer after layer turns the data into the base, and the base into data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.flow.clock import FlowClock
from widgets.flow.jacobian_side import JacobianSide
from widgets.flow.layers_side import LayersSide
from widgets.flow.passes_side import PassesSide
from widgets.flow.point_side import PointSide
from widgets.flow.side import Side
from widgets.flow.stage import DENSITY, LABEL, NONE, VOLUME, Stage
from widgets.flow.transport import FlowTransport
from widgets.flow.walk import Walk, blend, read
from widgets.look import Look
from widgets.panel import Panel, Point, Question

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
COLOURINGS = (("volume change", VOLUME), ("label", LABEL), ("log-density", DENSITY),
              ("one colour", NONE))  # fmt: skip
POINTS, LINES = (500, 2000, 5000), (12, 24, 64)
#: Nodes of each line: enough to look round, and as many as lines where these are many.
NODES = 64
#: Pictures of a film from one layer to the next.
FRAMES_A_LAYER = 24
#: So many points at most while the model trains.
N_LIVE = 2000
#: Principal components are offered from so many values on; two coordinates up to so many.
PLANES_FROM, MOST_AXES = 3, 64
#: Pixels at scale 1: from this width on the numbers stand beside the stage, below it under it.
BESIDE_FROM = 680
#: Below these sizes there is room for the stage alone.
SIDE_FROM, SIDE_FROM_HEIGHT = 420, 480
ROW_FROM = 860
HINT = (
    "Choose 2-D data and a flow on the left, then press play (space): how its layers turn the "
    "data into the base appears here."
)


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
        self.tools = ToolRow(look, self)
        self.stage = Stage(look)
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
        self._add_tools()
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.stage, 1)
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
        self._connect()

    def _add_tools(self) -> None:
        tools = self.tools
        tools.add_toggle(Toggle("grid", "grid", "A grid that is even where the way starts",
                                "model", on=True))  # fmt: skip
        tools.add_toggle(Toggle("points", "points", "Observations, or draws of the base", "data",
                                on=True))  # fmt: skip
        tools.add_choice("colour", "What points and grid are coloured by")
        tools.set_choices("colour", COLOURINGS)
        tools.add_choice("n", "How many points")
        tools.set_choices("n", tuple((f"{n} points", n) for n in POINTS))
        tools.set_choice("n", POINTS[1])
        tools.add_choice("lines", "Lines of the grid each way")
        tools.set_choices("lines", tuple((f"{n} × {n} lines", n) for n in LINES))
        tools.set_choice("lines", LINES[1])
        tools.add_choice("plane", "Which two of the values are drawn")
        tools.set_choices("plane", (("values 1, 2", "0,1"),))
        tools.show_choice("plane", False)

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
            self._offer_planes(info)

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self.stage.forget()
        self._offer_planes(info)

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
        n, lines = self._number("n"), self._number("lines")
        wanted: dict[str, Value] = {
            "n": n if rest else min(n, N_LIVE), "lines": lines, "nodes": NODES,
            "start": self.way.current, **self._plane(),
        }  # fmt: skip
        coarse: dict[str, Value] = {"n": min(n, 500), "lines": min(lines, 12), "nodes": 24}
        asked = {"path": Question("flow_path", wanted, coarse=coarse)}
        point = self._fitting
        if point is not None:
            about: dict[str, Value] = {"point": list(point.at), **self._plane()}
            if point.plane:
                about |= {"on": point.plane.get("plane", "axes")}
                about |= {k: v for k, v in point.plane.items() if k == "axes"}
            asked["point"] = Question("flow_jacobian", about)
        if self.switch.current == "layers":
            size = {"n": 256 if rest else 128, "size": 32 if rest else 20}
            asked["layers"] = Question("flow_layers", size | self._plane(), coarse=None)
        elif self.switch.current == "passes":
            asked["passes"] = Question("flow_passes", {"n": 1000}, live=False)
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
        self._show_chips(walk)

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
        for side in self.sides.values():
            side.restyle()
        if self.stage.walk is not None:
            self._show_chips(self.stage.walk)

    def save_state(self) -> dict[str, Value]:
        """What is drawn and how, and which way it goes."""
        tools = self.tools
        return {
            "way": self.way.current, "side": self.switch.current,
            "colour": self.stage.colour_by, "n": self._number("n"),
            "lines": self._number("lines"), "map": self._layers.map_name,
            "grid": tools.is_checked("grid"), "points": tools.is_checked("points"),
        }  # fmt: skip

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""
        tools = self.tools
        for name, known in (
            ("n", POINTS),
            ("lines", LINES),
            ("colour", dict(COLOURINGS).values()),
        ):
            if state.get(name) in known:
                tools.set_choice(name, state[name])
        for name in ("grid", "points"):
            if isinstance(state.get(name), bool):
                tools.set_on(name, bool(state[name]))
                self.stage.set_shown(name, tools.is_checked(name))
        self.stage.set_colour_by(str(tools.values["colour"]))
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
        self.side.follow()

    def _draw_trail(self) -> None:
        answer = self._answers.get("point")
        places = None if answer is None else np.asarray(answer.arrays["places"])
        if places is None or len(places) != self.clock.size + 1:
            self.stage.trail.clear()
            return
        if places.shape[1] == 1:
            places = np.concatenate([places, np.zeros_like(places)], 1)
        at, now = self.clock.at, blend(places, self.clock.at)
        behind = places[: int(np.floor(at)) + 1]
        if self.clock.inverse:
            behind = places[int(np.ceil(at)) :][::-1]
        found = self._sum.sum
        words = found.words(at, self.clock.size) if found is not None else ""
        self.stage.trail.set_trail(np.concatenate([behind, now[None]]), words)

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
        if walk.is_slice:
            words = "The grid lies in the plane through the mean; points are projected onto it"
            chips.append(Chip("grid is a slice, points a projection", words, framed=True))
        chips.append(Chip(f"step {walk.step}", "The training step of these weights", framed=True))
        self.chips.set_chips(tuple(chips))

    def _go_to_layer(self, layer: int) -> None:
        self.clock.pause()
        self.clock.go(float(layer if self.clock.inverse else layer + 1))

    # --- settings -----------------------------------------------------------------------------

    def _number(self, name: str) -> int:
        value = self.tools.values[name]
        return value if isinstance(value, int) else 0

    def _plane(self) -> dict[str, Value]:
        """The drawn plane, for runs of more than two values."""
        if self.run is None or self.run.data.event.size < PLANES_FROM:
            return {}
        value = str(self.tools.values["plane"])
        if value == "pca":
            return {"plane": "pca"}
        return {"plane": "axes", "axes": [int(axis) for axis in value.split(",")]}

    def _offer_planes(self, info: RunInfo) -> None:
        size, names = info.data.event.size, info.data.event.axes
        self.tools.show_choice("plane", size >= PLANES_FROM)
        titles = names if len(names) == size else tuple(f"value {i + 1}" for i in range(size))
        pairs = [(f"{titles[i]}, {titles[i + 1]}", f"{i},{i + 1}")
                 for i in range(min(size, MOST_AXES) - 1)]  # fmt: skip
        pca = ("2 principal components", "pca")
        entries = (pca, *pairs) if info.data.event.kind == "picture" else (*pairs, pca)
        self.tools.set_choices("plane", entries if size >= PLANES_FROM else (("", "0,1"),))

    def _on_toggled(self, name: str, on: bool) -> None:
        if name in ("grid", "points"):
            self.stage.set_shown(name, on)

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "colour":
            self.stage.set_colour_by(str(value))
            if self.stage.walk is not None:
                self._show_chips(self.stage.walk)
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
        self._right.setVisible(beside or self.height() >= px(SIDE_FROM_HEIGHT))
        apart = self.width() < px(ROW_FROM) and self.height() >= px(SIDE_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)
        self.transport.fit(self.stage.width())

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.clock.pause()
        self.side.leave()
        super().hideEvent(event)
