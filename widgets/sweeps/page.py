"""Three clouds around one sweep, the curve of each drawn axis, and what is left after each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.wire.messages import Answer
from widgets.areas.view import AreasView, AreasWords
from widgets.flow.matrix import MatrixView
from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.points import PointPlot
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

#: Every cloud is drawn on this square: four standard deviations of the base.
SIDE = 4.0
DOT = 2.6
CLOUDS = (
    ("before", "before the sweep"),
    ("turned", "turned"),
    ("bent", "each axis bent to normal"),
)
AXES = ("first", "second")
ROWS = (("before", "turned", "bent", "matrix"), ("first", "second", "curves"))
#: Pixels at scale 1: below this height only the curves are shown, below this width fewer of them.
CLOUDS_FROM, SECOND_FROM, THREE_FROM = 330, 520, 300


class SweepsPage(QWidget):
    """Clouds above; below them each axis' densities and curve, and the negentropy left.

    Signals:
        wanted_sweep: Number of a sweep that was clicked in the curve.
    """

    wanted_sweep = Signal(int)

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._answer: Answer | None = None
        self.clouds = {name: PointPlot(look) for name, _ in CLOUDS}
        self.rings = {name: LinesLayer(-1) for name, _ in CLOUDS}
        self.areas = {name: AreasView(look, _axis_words(place)) for place, name in enumerate(AXES)}
        self.matrix = MatrixView(look)
        self.curves = CurvePlot(look)
        self._titles: dict[str, QLabel] = {}
        self._boxes: dict[str, QWidget] = {}
        self._rows = tuple(QWidget() for _ in ROWS)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self._build()
        self.restyle()

    def _build(self) -> None:
        for name, title in CLOUDS:
            self.clouds[name].frame.add(self.rings[name])
            self.clouds[name].set_box(Box((-SIDE, -SIDE), (SIDE, SIDE)))
            self._put(name, title, self.clouds[name])
        self._put("matrix", "", self.matrix)
        for place, name in enumerate(AXES):
            self._put(name, f"marginal {place + 1}", self.areas[name])
        self._put("curves", "left after each sweep", self.curves)
        for row, names in zip(self._rows, ROWS, strict=True):
            line = QHBoxLayout(row)
            line.setContentsMargins(0, 0, 0, 0)
            line.setSpacing(6)
            for name in names:
                line.addWidget(self._boxes[name], 1)
            self._column.addWidget(row, 1)
        self.curves.set_pinned(x=0.0)
        self.curves.frame.clicked.connect(self._on_clicked)

    def _put(self, name: str, title: str, widget: QWidget) -> None:
        box, label = QWidget(), QLabel(title)
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(label)
        column.addWidget(widget, 1)
        box.setMinimumSize(1, 1)
        label.setMinimumWidth(1)
        label.setVisible(bool(title))
        self._titles[name], self._boxes[name] = label, box

    # --- content ------------------------------------------------------------------------------

    def show_answer(self, answer: Answer) -> None:
        """Draw an answer of the probe ``sweeps``."""
        self._answer = answer
        self._draw()
        self._lay_out()

    def clear(self) -> None:
        """Show nothing."""
        self._answer = None
        for cloud in self.clouds.values():
            cloud.set_points("points", np.zeros((0, 2)), Dots(self._look.palette.data, DOT))
        for view in self.areas.values():
            view.set_arrays({})
        self.matrix.clear()
        self.curves.clear()

    def mark(self, sweep: int) -> None:
        """Stand at this sweep in the curve."""
        answer = self._answer
        if answer is None or "left_train" not in answer.arrays:
            return
        left = answer.arrays["left_test"]
        place = min(max(sweep, 0), len(left) - 1)
        span = np.array([np.nanmin(left), left[place]])
        stroke = Stroke("", self._look.palette.text, 1.4, dashed=True, scaled=False)
        self.curves.set_curve("now", np.array([place, place], np.float64), span, stroke)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        palette = self._look.palette
        for label in self._titles.values():
            label.setFont(self._look.font(0.88))
            label.setStyleSheet(f"color: {palette.muted}; background: transparent")
        angles = np.linspace(0.0, 2.0 * np.pi, 73)
        circle = np.stack([np.cos(angles), np.sin(angles)], 1)
        starts = np.array([0, len(circle), 2 * len(circle)])
        for layer in self.rings.values():
            layer.set_lines(np.concatenate([circle, 2.0 * circle]), starts)
            layer.set_pen(with_alpha(palette.truth, 0.8), 1.0, dashed=True)
        for cloud in self.clouds.values():
            cloud.restyle()
        for view in self.areas.values():
            view.restyle()
        self.matrix.restyle()
        self.curves.restyle()
        if self._answer is not None:
            self._draw()

    def _draw(self) -> None:
        answer = self._answer
        if answer is None:
            return
        axes = answer.values.get("axes")
        names = [int(a) + 1 for a in axes] if isinstance(axes, list) else [1, 2]
        self._draw_clouds(answer.arrays, names)
        self._draw_areas(answer.arrays, names)
        matrix = answer.arrays.get("turn", np.zeros((0, 0)))
        if len(matrix) > 2:
            title = f"turn R: {len(matrix)} × {len(matrix)}"
            self.matrix.set_matrix(matrix, (), title, diagonal=False)
        self._draw_left(answer)

    def _draw_clouds(self, arrays: Mapping[str, Floats], names: list[int]) -> None:
        palette, size = self._look.palette, DOT * self._look.scale * self.devicePixelRatioF()
        for name, _ in CLOUDS:
            points = np.asarray(arrays.get(name, np.zeros((0, 2))))
            if points.shape[1] != 2:
                points = np.zeros((0, 2))
            colour = palette.model if name == "bent" else palette.data
            cloud = self.clouds[name]
            cloud.set_points("points", points, Dots(colour, size, 0.8))
            letter = {"before": "z", "turned": "u", "bent": "y"}[name]
            cloud.frame.set_names(*(f"{letter}{_subscript(n)}" for n in (*names, 0)[:2]))

    def _draw_areas(self, arrays: Mapping[str, Floats], names: list[int]) -> None:
        wanted = {"z": "u", "x": "y", "base_density": "u_density", "density": "y_density",
                  "z_edges": "u_edges", "x_edges": "y_edges", "mass": "normal_mass",
                  "base_mass": "mass"}  # fmt: skip
        for place, name in enumerate(AXES):
            there = "u" in arrays and len(arrays["u"]) > place
            found = {own: arrays[its][place] for own, its in wanted.items()} if there else {}
            self.areas[name].set_arrays(found)
            if place < len(names):
                number = names[place]
                self.areas[name].set_words(_axis_words(number - 1))
                words = f"marginal {number}: u{_subscript(number)} → y{_subscript(number)}"
                self._titles[name].setText(words)

    def _draw_left(self, answer: Answer) -> None:
        palette, arrays = self._look.palette, answer.arrays
        absolute = bool(answer.values.get("absolute"))
        self.curves.set_names("sweeps", "negentropy left, nats" if absolute else "−log p, nats")
        self.curves.set_pinned(x=0.0, y=0.0 if absolute else None)
        x = np.arange(len(arrays["left_train"]), dtype=np.float64)
        for name, words, colour in (
            ("train", "training", palette.data),
            ("test", "held out", palette.model),
        ):
            left, error = arrays[f"left_{name}"], arrays[f"error_{name}"]
            self.curves.set_curve(name, x, left, Stroke(words, colour, 2.0))
            if name == "test":
                for side, sign in (("low", -1.0), ("high", 1.0)):
                    thin = Stroke("", colour, 1.0, opacity=0.5, tooltip="one standard error")
                    self.curves.set_curve(f"{name}_{side}", x, left + sign * error, thin)
        self.curves.fit()
        sweep = answer.values.get("sweep")
        self.mark(sweep if isinstance(sweep, int) else 0)

    # --- room ---------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room the curves matter most."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        px, answer = self._look.px, self._answer
        arrays = answer.arrays if answer is not None else {}
        size = len(arrays["turn"]) if "turn" in arrays else 2
        n_drawn = len(arrays["u"]) if "u" in arrays else 2
        high, wide = self.height() >= px(CLOUDS_FROM), self.width() >= px(SECOND_FROM)
        clouds = high and size > 1
        self._rows[0].setVisible(clouds)
        self._boxes["matrix"].setVisible(clouds and size > 2 and wide)
        self._boxes["second"].setVisible(n_drawn > 1 and wide)
        self._boxes["first"].setVisible(self.width() >= px(THREE_FROM))

    def _on_clicked(self, place: tuple[float, float]) -> None:
        if self._answer is not None:
            self.wanted_sweep.emit(round(place[0]))


def _axis_words(place: int) -> AreasWords:
    u, y = f"u{_subscript(place + 1)}", f"y{_subscript(place + 1)}"
    return AreasWords(f"turned {u}", f"bent {y}", u, y)


def _subscript(number: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(number)) if number else ""
