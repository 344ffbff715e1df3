"""The density over a plane: the data's own when D = 2, a slice of the space when D > 2."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip
from widgets.density.difference import Difference
from widgets.density.face import (
    COARSE,
    N_DRAWS,
    Face,
    can_draw,
    grid_size,
    has_number,
    is_costly,
)
from widgets.density.scale import ColourScale, answer_box
from widgets.density.words import density_chips, exact_reading, number, quick_reading
from widgets.look import Look
from widgets.panel import Point, Pointed, Question
from widgets.plots.colours import part_colour, rgb
from widgets.plots.heatmap import HeatMap, ellipse_lines, nearest
from widgets.plots.layers import Box
from widgets.plots.mark import Mark

TRUTH_SIZE = 256
N_SAMPLES = 1000


class MapFace(Face):
    """Heat map, contours, data, samples, marginals, warped grid, components."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.map = HeatMap(look, parent=self)
        self._scale = ColourScale()
        self._difference = Difference()
        self._plane: dict[str, Value] = {"plane": "axes", "axes": [0, 1]}
        self._names = ("x", "y")
        self._home: Box | None = None
        self._values: dict[str, Value] = {}
        self._answer: Answer | None = None
        self._sample_words = ""
        self._data: Answer | None = None
        self._parts: Answer | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.map)
        self.mark = Mark(look, self.map.frame)
        self.mark.moved.connect(self._on_point_moved)
        self.map.hovered.connect(self._on_hovered)
        self.map.view_changed.connect(lambda _: self.asks_changed.emit())
        self.map.reset_requested.connect(self.reset_view)

    # --- asking -------------------------------------------------------------------------------

    def open(self, info: RunInfo) -> None:
        """Another run is shown: start from the data's box."""
        super().open(info)
        self._names = _axis_names(info)
        self.map.frame.set_names(*self._names)
        self._go_home(Box(info.data.low[:2], info.data.high[:2]))  # type: ignore[arg-type]

    def renew(self, info: RunInfo) -> None:
        """Other data: the scale of differences is that of another truth."""
        super().renew(info)
        self._difference.reset()

    def set_plane(self, plane: str, axes: tuple[int, int]) -> None:
        """Draw another plane of a space with more than two dimensions."""
        self._plane = {"plane": plane, "axes": list(axes)}
        self._home = self._answer = self._data = self._parts = None
        self._scale.reset()
        self._difference.reset()
        self.map.clear()
        self.asks_changed.emit()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Density, data, samples and whatever is switched on."""
        if self.info is None:
            return {}
        card, asked = self.info.card, {"data": self._data_question()}
        if self._home is None:
            return asked
        if has_number(card):
            asked["density"] = self._density_question(card, rest=rest)
        if "samples" in self.shown and can_draw(card):
            asked["samples"] = Question("samples", {"n": N_SAMPLES, **self._plane})
        if self._wants_truth():
            compared = "difference" in self.shown
            size = grid_size(card, rest=rest) if compared else TRUTH_SIZE
            window = {**self._window(), "size": size, "contours": True}
            asked["truth"] = Question("truth", window, live=False)
        if "grid" in self.shown and Capability.DECODING in card.capabilities:
            asked["grid"] = Question("warped_grid", {})
        if "components" in self.shown:
            asked["responsibilities"] = Question("responsibilities", dict(self._plane))
        return asked | self.at_question()

    def at_plane(self) -> dict[str, Value]:
        """The chosen plane, where the space has more dimensions."""
        flat = self.info is None or self.info.data.event.size == 2
        return {} if flat else dict(self._plane)

    def _wants_truth(self) -> bool:
        known = self.info is not None and self.info.data.has_density
        flat = self.info is not None and self.info.data.event.size == 2
        return known and flat and bool({"truth", "marginals", "difference"} & self.shown)

    def _window(self) -> dict[str, Value]:
        box = self.map.frame.box
        return {"low": list(box.low), "high": list(box.high), **self._plane}

    def _density_question(self, card: ModelCard, *, rest: bool) -> Question:
        wanted: dict[str, Value] = {
            "size": grid_size(card, rest=rest),
            "n_draws": N_DRAWS[rest],
            "contours": "contours" in self.shown,
        }
        coarse = COARSE["costly" if is_costly(card) else "cheap"]
        return Question("density", {**self._window(), **wanted}, coarse=coarse)

    def _data_question(self) -> Question:
        return Question("data_points", {"n": 2000, "split": "train", **self._plane}, live=False)

    # --- drawing ------------------------------------------------------------------------------

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        show = {
            "density": self._show_density,
            "data": self._show_data,
            "samples": self._show_samples,
            "truth": self._show_truth,
            "grid": self._show_grid,
            "responsibilities": self._show_components,
            "at": self._show_exact,
        }.get(part)
        if show is not None:
            show(answer)

    def set_shown(self, names: frozenset[str]) -> None:
        """Switch layers; what is newly on is asked for."""
        super().set_shown(names)
        for layer in ("data", "samples", "contours", "truth", "grid"):
            self.map.set_shown(layer, layer in names)
        self.map.set_shown("ellipses", "components" in names)
        self.map.set_shown("marginals", "marginals" in names)
        self._paint_all()

    def chips(self) -> tuple[Chip, ...]:
        """Kind of density, mass, log Z; how samples came about where that is not exact."""
        chips = density_chips(self._values, self.look.palette)
        if "difference" in self.shown:
            chips = chips[:1] + self._difference.chips(log="log" in self.shown) + chips[1:]
        if self._sample_words and "samples" in self.shown:
            chips += (Chip(self._sample_words, "How the samples were drawn", framed=True),)
        return chips

    def mark_point(self, point: Point | None) -> None:
        """Mark a place of this plane; one of another plane is not to be seen here."""
        fits = point is not None and len(point.at) == 2 and dict(point.plane) == self.at_plane()
        self.mark.set_place((point.at[0], point.at[1]) if fits and point is not None else None)

    def reset_view(self) -> None:
        """Back to the box of the data."""
        if self._home is not None:
            self.map.frame.user_moved = False
            self.map.frame.set_box(self._home)

    def clear(self) -> None:
        """Empty axes, forgotten scale."""
        super().clear()
        self._values, self._home, self._sample_words = {}, None, ""
        self._answer = self._data = self._parts = None
        self._plane = {"plane": "axes", "axes": [0, 1]}
        self._scale.reset()
        self._difference.reset()
        self.map.clear()

    def restyle(self) -> None:
        """Take colours from the look."""
        self.map.restyle()
        self._paint_all()

    def _show_density(self, answer: Answer) -> None:
        if answer.arrays["log_density"].ndim != 2:
            return
        self._values, self._answer = dict(answer.values), answer
        self._difference.take(model=answer)
        self._paint_density(answer)
        box = answer_box(answer, self.map.frame.box)
        self.map.set_lines(
            "contours", _contour_points(answer), answer.arrays.get("contour_starts")
        )
        x, y = (answer.arrays.get(f"marginal_{axis}", np.zeros(0)) for axis in "xy")
        self.map.strips.set_marginals("model", x, y, box)
        self.chips_changed.emit()

    def _paint_density(self, answer: Answer) -> None:
        log = "log" in self.shown
        if "difference" in self.shown:
            self._paint_difference(answer, log=log)
            return
        values, scale = self._scale.apply(answer, self.look.palette, log=log)
        self.map.set_values(values, answer_box(answer, self.map.frame.box), scale)

    def _paint_difference(self, answer: Answer, *, log: bool) -> None:
        """Until both are there on the same cells what was drawn before stays."""
        picture = self._difference.picture(self.look.palette, log=log)
        if picture is not None:
            self.map.set_values(picture[0], answer_box(answer, self.map.frame.box), picture[1])

    def _show_data(self, answer: Answer) -> None:
        points = answer.arrays["points"]
        if points.ndim != 2 or points.shape[1] != 2:
            return
        names = str(answer.values.get("x_name") or "x"), str(answer.values.get("y_name") or "y")
        self._names = names
        self.map.frame.set_names(*names)
        self._data = answer
        self._paint_points()
        if self._home is None:
            self._go_home(_values_box(answer.values))
            self.asks_changed.emit()

    def _show_samples(self, answer: Answer) -> None:
        points = answer.arrays["points"]
        if points.ndim == 2 and points.shape[1] == 2:
            self.map.set_points("samples", points)
            chain = answer.values.get("kind") != "exact"
            self._sample_words = str(answer.values.get("label", "")) if chain else ""
            self.chips_changed.emit()

    def _show_truth(self, answer: Answer) -> None:
        box = answer_box(answer, self.map.frame.box)
        self.map.set_lines("truth", _contour_points(answer), answer.arrays.get("contour_starts"))
        x, y = (answer.arrays.get(f"marginal_{axis}", np.zeros(0)) for axis in "xy")
        self.map.strips.set_marginals("truth", x, y, box)
        self._difference.take(truth=answer)
        if "difference" in self.shown and self._answer is not None:
            self._paint_density(self._answer)
            self.chips_changed.emit()

    def _show_grid(self, answer: Answer) -> None:
        lines = answer.arrays["lines"]
        if lines.ndim == 3 and lines.shape[2] == 2:
            starts = np.arange(0, lines.shape[0] * lines.shape[1] + 1, lines.shape[1])
            self.map.set_lines("grid", lines.reshape(-1, 2), starts)

    def _show_components(self, answer: Answer) -> None:
        self._parts = answer
        self._paint_points()
        self.map.set_lines(
            "ellipses", *ellipse_lines(answer.arrays["means"], answer.arrays["covariances"])
        )

    def _paint_all(self) -> None:
        self._paint_points()
        if self._answer is not None:
            self._paint_density(self._answer)

    def _paint_points(self) -> None:
        """Data in their colour, or mixed from their components' colours."""
        if "components" in self.shown and self._parts is not None:
            shares = np.nan_to_num(self._parts.arrays["responsibilities"])
            dark = self.look.palette.name == "dark"
            colours = [rgb(part_colour(k, dark=dark)) for k in range(shares.shape[1])]
            mixed = np.clip(shares @ np.array(colours), 0, 255).astype(np.uint8)
            self.map.set_points("data", self._parts.arrays["points"], mixed)
        elif self._data is not None:
            self.map.set_points("data", self._data.arrays["points"])

    def _show_exact(self, answer: Answer) -> None:
        if self.exact_at is not None:
            reading = exact_reading(self._names, self.exact_at, answer.values)
            self.pointed.emit(self._with_difference(reading, self.exact_at))

    def _on_hovered(self, point: tuple[float, float] | None) -> None:
        self.watch(point)
        if point is None or self.info is None:
            self.pointed.emit(None)
            return
        kind = str(self._values.get("kind", ""))
        value = self._log_value_at(*point)
        unit = "" if kind == "critic" else "nats"
        reading = quick_reading(self._names, point, kind, value, unit)
        self.pointed.emit(self._with_difference(reading, point))

    def _with_difference(self, reading: Pointed, point: tuple[float, ...]) -> Pointed:
        value = self.map.value_at(point[0], point[1]) if "difference" in self.shown else None
        if value is None:
            return reading
        name = "log model − log truth" if "log" in self.shown else "model − truth"
        return Pointed(reading.heading, (*reading.rows, (name, number(value))))

    def _on_point_moved(self, place: tuple[float, float] | None) -> None:
        chosen = None if place is None else Point(place, self._names, self.at_plane())
        self.point_chosen.emit(chosen)

    def _log_value_at(self, x: float, y: float) -> float | None:
        if self._answer is None:
            return None
        surface = self._answer.arrays["log_density"]
        index = nearest(surface.shape, answer_box(self._answer, self.map.frame.box), x, y)
        return None if index is None else float(surface[index])

    def _go_home(self, box: Box | None) -> None:
        if box is not None and box.is_proper:
            self._home = box
            self.map.frame.user_moved = False
            self.map.frame.set_box(box)


def _axis_names(info: RunInfo) -> tuple[str, str]:
    names = info.data.columns or info.data.event.axes
    return (names[0], names[1]) if len(names) >= 2 else ("x", "y")


def _values_box(values: dict[str, Value]) -> Box | None:
    low, high = values.get("low"), values.get("high")
    if not (isinstance(low, list) and isinstance(high, list) and len(low) == len(high) == 2):
        return None
    (x0, y0), (x1, y1) = map(float, low), map(float, high)
    return Box((x0, y0), (x1, y1))


def _contour_points(answer: Answer) -> npt.NDArray[Any]:
    return answer.arrays.get("contour_points", np.empty((0, 2)))
