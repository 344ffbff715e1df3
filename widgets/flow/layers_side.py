"""Layers: what each does to volume and shape, what rounding costs, and where on the plane."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea

from engine.wire.messages import Answer
from widgets.controls.tool_row import ToolRow
from widgets.flow.clock import FlowClock
from widgets.flow.layer_table import Column, LayerTable, linear_spans, log_spans, short
from widgets.flow.side import Side
from widgets.look import Look
from widgets.plots.heatmap import HeatMap, Scale
from widgets.plots.layers import Box
from widgets.plots.ranges import nice_ceiling

Floats: TypeAlias = npt.NDArray[Any]

MAPS = (
    ("log-det of the layer", "log_det"),
    ("log-det of all layers", "total"),
    ("condition of the layer", "condition"),
    ("round trip, float32", "float32"),
    ("round trip, float64", "float64"),
)
#: Below this height (pixels at scale 1) the map gives way to the rows.
MAP_FROM = 300
#: Powers of ten between which errors are drawn.
FINEST, COARSEST = -17.0, 1.0
#: Errors of 0 are drawn as this one.
LEAST_ERROR = 1e-18


class LayersSide(Side):
    """A table of the layers over a map of the window."""

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__(look, clock)
        self._answer: Answer | None = None
        self.table = LayerTable(look)
        self.area = QScrollArea()
        self.area.setWidget(self.table)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.viewport().setAutoFillBackground(False)
        self.table.setAutoFillBackground(False)
        self.tools = ToolRow(look, self)
        self.tools.add_choice("map", "What the map below shows")
        self.tools.set_choices("map", MAPS)
        self.map = HeatMap(look)
        self.map.set_shown("marginals", on=False)
        self._drawn: object = None
        self._entries: tuple[tuple[str, str], ...] = MAPS
        self.column.addWidget(self.area, 5)
        self.column.addWidget(self.tools)
        self.column.addWidget(self.map, 4)
        self.table.chosen.connect(self.wanted_layer)
        self.tools.chosen.connect(lambda *_: self._draw_map())
        self.map.reset_requested.connect(self._go_home)

    @property
    def map_name(self) -> str:
        """What the map shows."""
        return str(self.tools.values["map"])

    def set_map(self, name: str) -> None:
        """Show another map."""
        self.tools.set_choice("map", name)
        self._draw_map()

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Take the layers' numbers in, or forget them."""
        if part != "layers":
            return
        before = self._answer
        if answer is not None and before is not None and not _is_whole(answer):
            return  # what stands there is older but complete; the rest follows soon
        self._answer, self._drawn = answer, None
        if answer is None:
            self.table.set_layers((), ())
            self.map.clear()
            return
        names = answer.values.get("names")
        titles = tuple(map(str, names)) if isinstance(names, list) else ()
        self.table.set_layers(titles, _columns(answer))
        self._offer(answer)
        if before is None:
            self._go_home()
        self.follow()

    def _offer(self, answer: Answer) -> None:
        """The maps that there are, the chosen one still if it is among them."""
        chosen, arrays = self.map_name, answer.arrays
        lacks = "map_log_dets" in arrays and "map_condition" not in arrays
        entries = tuple(entry for entry in MAPS if not (lacks and entry[1] == "condition"))
        if entries != self._entries:
            self._entries = entries
            self.tools.set_choices("map", entries)
            self.tools.set_choice("map", chosen)

    def follow(self) -> None:
        """The row of the layer that is on its way, and its map."""
        self.table.set_current(self.clock.layer)
        self._draw_map()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The map needs room."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        mapped = self._answer is not None and "map_log_dets" in self._answer.arrays
        room = mapped and self.height() >= self.look.px(MAP_FROM)
        for widget in (self.tools, self.map):
            widget.setVisible(room)
        self.area.setMaximumHeight(self.table.sizeHint().height() + 4 if room else 16_777_215)

    def _go_home(self) -> None:
        box = self._box()
        if box is not None:
            self.map.frame.user_moved = False
            self.map.frame.set_box(box)

    def _box(self) -> Box | None:
        values = self._answer.values if self._answer is not None else {}
        low, high = values.get("low"), values.get("high")
        if not isinstance(low, list) or not isinstance(high, list) or not low:
            return None
        (x0, *y0), (x1, *y1) = (list(map(float, ends)) for ends in (low, high))
        return Box((x0, y0[0] if y0 else -1.0), (x1, y1[0] if y1 else 1.0))

    def _draw_map(self) -> None:
        self._share_room()
        answer, box = self._answer, self._box()
        key = (self.map_name, self.clock.layer)
        if answer is None or box is None or "map_log_dets" not in answer.arrays:
            return
        if key == self._drawn:
            return
        self._drawn = key
        values, scale = self._map(answer)
        self.map.set_values(values, box, scale)
        x, y = (str(answer.values.get(name) or "") for name in ("x_name", "y_name"))
        self.map.frame.set_names(f"{x} [data units]", f"{y} [data units]" if y else "")

    def _map(self, answer: Answer) -> tuple[Floats, Scale]:
        arrays, palette = answer.arrays, self.look.palette
        name = self.map_name
        if name in ("log_det", "total"):
            every = np.asarray(arrays["map_log_dets"])
            shown = (
                every.sum(0) if name == "total" else every[min(self.clock.layer, len(every) - 1)]
            )
            # One scale for all layers, so that they can be compared.
            sizes = np.abs(every.sum(0) if name == "total" else every)
            end = nice_ceiling(_most(sizes))
            label = "log|det|, data → base  [nats]"
            return shown, Scale(-end, end, label, palette.signed, open_top=True, open_bottom=True)
        if name == "condition":
            every = np.log10(np.asarray(arrays["map_condition"], np.float64))
            shown = every[min(self.clock.layer, len(every) - 1)]
            end = nice_ceiling(_most(every))
            label = "log₁₀ condition number"
            return shown.astype(np.float32), Scale(
                0.0, end, label, palette.sequential, open_top=True
            )
        row = int(name == "float64")
        errors = np.log10(np.maximum(np.asarray(arrays["map_round_trip"])[row], LEAST_ERROR))
        finite = errors[np.isfinite(errors)]
        high = float(np.ceil(finite.max())) if len(finite) else COARSEST
        label = "log₁₀ round-trip error  [data units]"
        scale = Scale(high - 4.0, high, label, palette.sequential, open_bottom=True)
        return errors.astype(np.float32), scale

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.table.restyle()
        self.map.restyle()
        self._drawn = None
        self._draw_map()


def _is_whole(answer: Answer) -> bool:
    """Whether it has more than the volumes, which come first."""
    return "round_trip" in answer.arrays


def _most(values: Floats) -> float:
    """What nearly all finite values stay below."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, 0.99)) if len(finite) else 1.0


def _columns(answer: Answer) -> tuple[Column, ...]:
    arrays = answer.arrays
    sizes = np.asarray(arrays["mean_abs_log_det"])
    change = np.asarray(arrays["area_change"])
    n = answer.values.get("n")
    of = f"over {n} {answer.values.get('of') or 'observations'}"
    reach = nice_ceiling(float(np.abs(np.log10(np.clip(change, 1e-12, 1e12))).max(initial=1e-3)))
    columns = [
        Column("|log-det|", ("mean, nats",), tuple((short(float(v)),) for v in sizes),
               linear_spans(sizes, 0.0, nice_ceiling(float(sizes.max(initial=0.0)))),
               f"How much the layer changes volume, {of}"),
        Column("volume ×", ("25 %", "75 %"), _factors(change), log_spans(change, -reach, reach),
               f"Factor by which a small volume changes, data → base: the middle half {of}"),
    ]  # fmt: skip
    if "condition" in arrays:
        worst = np.asarray(arrays["condition"])
        finite = worst[np.isfinite(worst)]
        end = max(1.0, float(np.ceil(np.log10(finite.max(initial=10.0)))))
        few = answer.values.get("n_condition", n)
        columns.append(Column("condition", ("median", "largest"), _pairs(worst),
                              log_spans(worst, 0.0, end),
                              "Longest over shortest axis of what a small circle becomes: of the "
                              f"layer's Jacobian by autograd, over {few} of them"))  # fmt: skip
    if not _is_whole(answer):
        return tuple(columns)
    errors = np.asarray(arrays["round_trip"])[:, :-1]
    columns.append(Column("round trip", ("float32", "float64"), _pairs(errors),
                          log_spans(errors, FINEST, COARSEST),
                          "To the base and back to the input of this layer: largest error of any "
                          f"value, in the units there, {of}"))  # fmt: skip
    return tuple(columns)


def _factors(values: Floats) -> tuple[tuple[str, ...], ...]:
    """Factors that no number type holds are told by where those end, not as 0 or ∞."""
    small, large = "< 1e−300", "> 1e300"
    return tuple(
        tuple(small if v < 1e-300 else large if v > 1e300 else short(v) for v in column)
        for column in values.T.tolist()
    )


def _pairs(values: Floats) -> tuple[tuple[str, ...], ...]:
    return tuple((short(float(first)), short(float(second))) for first, second in values.T)
