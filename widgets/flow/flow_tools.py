"""The tool row of the flow panel: what is drawn, how many, in which colours and on which plane."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtWidgets import QWidget

from engine.wire.fields import Value
from engine.wire.messages import RunInfo
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.flow.stage import DENSITY, LABEL, NONE, VOLUME
from widgets.look import Look

COLOURINGS = (("volume change", VOLUME), ("label", LABEL), ("log-density", DENSITY),
              ("one colour", NONE))  # fmt: skip
POINTS, LINES = (500, 2000, 5000), (12, 24, 64)
#: Nodes of each line: enough to look round.
NODES = 64
#: So many points at most while the model trains.
N_LIVE = 2000
#: Of events with more values than few, such as pictures, so many points and lines at most.
FEW, MANY = 16, (500, 12)
#: Principal components are offered from so many values on; two coordinates up to so many.
PLANES_FROM, MOST_AXES = 3, 64
TOGGLES = ("grid", "points", "stack")


class FlowTools(ToolRow):
    """Switches and lists; the panel hears of them by the row's own signals."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.n_values = 2
        self.add_toggle(Toggle("grid", "grid", "A grid that is even where the way starts",
                               "model", on=True))  # fmt: skip
        self.add_toggle(Toggle("points", "points", "Observations, or draws of the base", "data",
                               on=True))  # fmt: skip
        self.add_toggle(Toggle("stack", "3-D", "All layers one above the other, data at the "
                               "bottom; drag to turn", "accent"))  # fmt: skip
        self.add_choice("colour", "What points and grid are coloured by")
        self.set_choices("colour", COLOURINGS)
        self.add_choice("n", "How many points")
        self.set_choices("n", tuple((f"{n} points", n) for n in POINTS))
        self.set_choice("n", POINTS[1])
        self.add_choice("lines", "Lines of the grid each way")
        self.set_choices("lines", tuple((f"{n} × {n} lines", n) for n in LINES))
        self.set_choice("lines", LINES[1])
        self.add_choice("plane", "Which two of the values are drawn")
        self.set_choices("plane", (("", "0,1"),))
        self.show_choice("plane", False)

    def number(self, name: str) -> int:
        """What a list of numbers stands at."""
        value = self.values[name]
        return value if isinstance(value, int) else 0

    @property
    def colour_by(self) -> str:
        """By what is coloured."""
        return str(self.values["colour"])

    @property
    def is_large(self) -> bool:
        """Whether events have so many values that little of them is asked."""
        return self.n_values > FEW

    def wanted(self, *, rest: bool) -> dict[str, Value]:
        """Numbers of points, lines and nodes, and the plane, as ``flow_path`` takes them."""
        n, lines, nodes = self.number("n"), self.number("lines"), NODES
        if self.is_large:
            n, lines, nodes = min(n, MANY[0]), min(lines, MANY[1]), NODES // 2
        n = n if rest else min(n, N_LIVE)
        return {"n": n, "lines": lines, "nodes": nodes, **self.plane()}

    def coarse(self) -> dict[str, Value]:
        """What serves while something is scrubbed."""
        n, lines = min(self.number("n"), 500), min(self.number("lines"), 12)
        return {"n": n, "lines": lines, "nodes": 24}

    def plane(self) -> dict[str, Value]:
        """The drawn plane, for events of more than two values."""
        if self.n_values < PLANES_FROM:
            return {}
        value = str(self.values["plane"])
        if value == "pca":
            return {"plane": "pca"}
        return {"plane": "axes", "axes": [int(axis) for axis in value.split(",")]}

    def offer_planes(self, info: RunInfo) -> None:
        """The planes of a run's events; pictures begin with principal components."""
        self.n_values, names = info.data.event.size, info.data.event.axes
        size = self.n_values
        self.show_choice("plane", size >= PLANES_FROM)
        titles = names if len(names) == size else tuple(f"value {i + 1}" for i in range(size))
        pairs = [(f"{titles[i]}, {titles[i + 1]}", f"{i},{i + 1}")
                 for i in range(min(size, MOST_AXES) - 1)]  # fmt: skip
        pca = ("2 principal components", "pca")
        entries = (pca, *pairs) if info.data.event.kind == "picture" else (*pairs, pca)
        self.set_choices("plane", entries if size >= PLANES_FROM else (("", "0,1"),))

    def save(self) -> dict[str, Value]:
        """What everything but the plane stands at."""
        numbers: dict[str, Value] = {name: self.number(name) for name in ("n", "lines")}
        switches: dict[str, Value] = {name: self.is_checked(name) for name in TOGGLES}
        return {"colour": self.colour_by, **numbers, **switches}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take it back where it is sensible, without a signal."""
        known = {"n": POINTS, "lines": LINES, "colour": tuple(name for _, name in COLOURINGS)}
        for name, entries in known.items():
            if state.get(name) in entries:
                self.set_choice(name, state[name])
        for name in TOGGLES:
            if isinstance(state.get(name), bool):
                self.set_on(name, bool(state[name]))
