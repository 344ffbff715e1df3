"""The density over one axis: curves of model, truth and components, data as bars and a rug."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip
from widgets.density.face import N_DRAWS, Face, can_draw, has_number
from widgets.density.words import density_chips, exact_reading, quick_reading
from widgets.look import Look
from widgets.panel import Point, Question
from widgets.plots.bars import bar_outline
from widgets.plots.colours import FIRST_ON_A_LINE, part_colour
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.mark import Mark
from widgets.plots.strips import centres

Floats: TypeAlias = npt.NDArray[Any]

SIZE = {False: 256, True: 1024}
N_BINS = 60
N_RUG = 300
#: Curves of components by this name and a number; of more than so many none is in the legend.
COMPONENT = "component "
N_NAMED = 4


class LineFace(Face):
    """Curves of one-dimensional densities."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.plot = CurvePlot(look, parent=self)
        self.plot.set_pinned(y=0.0)
        self._home = (0.0, 1.0)
        self._name = "x"
        self._answers: dict[str, Answer] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.mark = Mark(look, self.plot.frame, flat=True)
        self.mark.moved.connect(self._on_point_moved)
        self.plot.hovered.connect(self._on_hovered)
        self.plot.view_changed.connect(lambda _: self.asks_changed.emit())

    def open(self, info: RunInfo) -> None:
        """Another run is shown: start from the data's box."""
        super().open(info)
        names = info.data.columns or info.data.event.axes
        self._name = names[0] if names else "x"
        if info.data.low and info.data.high:
            self._home = (float(info.data.low[0]), float(info.data.high[0]))
        self.plot.set_names(self._name, "")
        self.plot.set_x_range(self._home)

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The density in view, and what is switched on."""
        if self.info is None:
            return {}
        box = self.plot.frame.box
        window: dict[str, Value] = {"low": [box.low[0]], "high": [box.high[0]], "size": SIZE[rest]}
        asked = {"data": Question("data_points", {"n": 5000, "split": "train"}, live=False)}
        if has_number(self.info.card):
            asked["density"] = Question(
                "density", {**window, "n_draws": N_DRAWS[rest], "contours": False}
            )
        if "samples" in self.shown and can_draw(self.info.card):
            asked["samples"] = Question("samples", {"n": 2000})
        if "truth" in self.shown and self.info.data.has_density:
            asked["truth"] = Question(
                "truth", {**window, "size": SIZE[True], "contours": False}, live=False
            )
        if "components" in self.shown:
            asked["components"] = Question("responsibilities", {"n": 1, **window})
        return asked | self.at_question()

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "at":
            if self.exact_at is not None:
                self.pointed.emit(exact_reading((self._name,), self.exact_at, answer.values))
            return
        self._answers[part] = answer
        self._draw(part)
        self.plot.fit()
        self.chips_changed.emit()

    def set_shown(self, names: frozenset[str]) -> None:
        """Switch layers."""
        super().set_shown(names)
        for part in ("data", "samples", "truth", "density", "components"):
            self._draw(part)
        self.plot.fit()

    def chips(self) -> tuple[Chip, ...]:
        """Kind of density, mass, log Z."""
        answer = self._answers.get("density")
        return density_chips(answer.values, self.look.palette) if answer is not None else ()

    def mark_point(self, point: Point | None) -> None:
        """Mark a place on the axis."""
        fits = point is not None and len(point.at) == 1
        self.mark.set_place((point.at[0], 0.0) if fits and point is not None else None)

    def reset_view(self) -> None:
        """Back to the box of the data."""
        self.plot.set_x_range(self._home)
        self.plot.reset_view()

    def clear(self) -> None:
        """No curves."""
        super().clear()
        self._answers = {}
        self.plot.clear()

    def restyle(self) -> None:
        """Take colours from the look."""
        self.plot.restyle()
        for part in tuple(self._answers):
            self._draw(part)

    def _draw(self, part: str) -> None:
        answer = self._answers.get(part)
        if answer is None:
            return
        if part == "density":
            self._draw_density(answer)
        elif part == "truth":
            self._draw_truth(answer)
        elif part == "components":
            self._draw_components(answer)
        else:
            self._draw_histogram(part, answer)

    def _draw_density(self, answer: Answer) -> None:
        surface = answer.arrays["log_density"]
        if surface.ndim != 1:
            return
        critic = answer.values.get("kind") == "critic"
        palette = self.look.palette
        self.plot.set_names(self._name, _y_name(answer, log="log" in self.shown))
        stroke = Stroke(
            "critic" if critic else "model", palette.model, 1.8, filled=0.0 if critic else 0.18
        )
        values = surface if critic or "log" in self.shown else _density(answer)
        self.plot.set_pinned(y=0.0 if not (critic or "log" in self.shown) else None)
        self.plot.set_curve("density", self._nodes(answer), values, stroke)

    def _draw_truth(self, answer: Answer) -> None:
        density = self._answers.get("density")
        critic = density is not None and density.values.get("kind") == "critic"
        if "truth" not in self.shown or critic or answer.arrays["log_density"].ndim != 1:
            self.plot.remove("truth")
            return
        stroke = Stroke("truth", self.look.palette.truth, 1.8, dashed=True)
        log = "log" in self.shown
        values = answer.arrays["log_density"] if log else _density(answer)
        self.plot.set_curve("truth", self._nodes(answer), values, stroke)

    def _draw_components(self, answer: Answer) -> None:
        """π_k p(x given k) of each component: they add up to the model's curve."""
        for name in [name for name in self.plot.names if name.startswith(COMPONENT)]:
            self.plot.remove(name)
        curves = answer.arrays.get("log_curves")
        if "components" not in self.shown or curves is None:
            return
        dark = self.look.palette.name == "dark"
        for k, curve in enumerate(np.asarray(curves, np.float64)):
            label = f"component {k + 1}" if len(curves) <= N_NAMED else ""
            words = f"Component {k + 1} times its weight; all of them add up to the model's curve"
            colour = part_colour(k + FIRST_ON_A_LINE, dark=dark)
            stroke = Stroke(label, colour, 1.6, tooltip=words)
            values = curve if "log" in self.shown else np.exp(curve)
            self.plot.set_curve(f"{COMPONENT}{k + 1}", answer.arrays["nodes"], values, stroke)

    def _draw_histogram(self, part: str, answer: Answer) -> None:
        points = answer.arrays["points"]
        if part not in self.shown or "log" in self.shown or points.ndim != 2:
            self.plot.remove(part)
            self.plot.remove("rug")
            return
        palette = self.look.palette
        low, high = self._home
        finite = points[:, 0][np.isfinite(points[:, 0])].astype(np.float64)
        heights, _ = np.histogram(finite, N_BINS, (low, high))
        bars = bar_outline(heights * N_BINS / max((high - low) * len(finite), 1e-30), low, high)
        colour = palette.data if part == "data" else palette.model
        stroke = Stroke(part, colour, 1.0, opacity=0.55, filled=0.2, scaled=True)
        self.plot.set_curve(part, bars[:, 0], bars[:, 1], stroke)
        if part == "data":
            self._draw_rug(finite[:: max(1, len(finite) // N_RUG)], float(bars[:, 1].max()))

    def _draw_rug(self, points: Floats, top: float) -> None:
        x = np.repeat(points, 3)
        y = np.tile([0.0, 0.04 * top, np.nan], len(points))
        stroke = Stroke("", self.look.palette.data, 1.0, opacity=0.8, scaled=False, thinned=False)
        self.plot.set_curve("rug", x, y, stroke)

    def _nodes(self, answer: Answer) -> Floats:
        nodes = answer.arrays.get("x")
        if nodes is not None:
            return nodes
        box = self.plot.frame.box
        return centres(box.low[0], box.high[0], len(answer.arrays["log_density"]))

    def _on_point_moved(self, place: tuple[float, float] | None) -> None:
        self.point_chosen.emit(None if place is None else Point(place[:1], (self._name,)))

    def _on_hovered(self, point: tuple[float, float] | None) -> None:
        if point is None or self.info is None:
            self.watch(None)
            self.pointed.emit(None)
            return
        self.watch(point[:1])
        answer = self._answers.get("density")
        value = None
        if answer is not None and answer.arrays["log_density"].ndim == 1:
            index = int(np.argmin(np.abs(self._nodes(answer) - point[0])))
            value = float(answer.arrays["log_density"][index])
        kind = str(answer.values.get("kind", "")) if answer is not None else ""
        self.pointed.emit(quick_reading((self._name,), point[:1], kind, value))


def _density(answer: Answer) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(np.asarray(answer.arrays["log_density"], np.float64))


def _y_name(answer: Answer, *, log: bool) -> str:
    if answer.values.get("kind") == "critic":
        return "critic"
    return "log p(x), nats" if log else "p(x), per unit"
