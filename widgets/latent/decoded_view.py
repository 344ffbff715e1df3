"""What one z decodes to: a picture, a row of values, or a distribution in the data's own space."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from engine.wire.messages import Answer, RunInfo
from widgets.latent.desk import Desk
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.plots.bins import CloudLayer
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.heatmap import ellipse_lines
from widgets.plots.layers import Box, DotsLayer, LinesLayer
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

#: Data shown behind, and draws of p(x given z).
N_DATA, N_DRAWS = 2000, 300
DOT, MEAN_DOT = 3.0, 9.0


class DecodedView(QWidget):
    """A picture where events are pictures, axes where they have one or two values."""

    def __init__(self, look: Look, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look, self.desk = look, desk
        self.canvas, self.frame = PixelCanvas(look), Frame(look, equal=True)
        self.canvas.takes_arrows = False
        self.data, self.draws, self.dot = CloudLayer(1), DotsLayer(5), DotsLayer(9)
        self.lines = {"curves": LinesLayer(3), "ellipse": LinesLayer(7)}
        for layer in (self.data, self.draws, self.dot, *self.lines.values()):
            self.frame.add(layer)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.canvas)
        self.pages.addWidget(self.frame)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pages)
        self.frame.reset_requested.connect(self.go_home)
        self.restyle()

    @property
    def is_plane(self) -> bool:
        """Whether events have one or two values, and are drawn on axes."""
        info = self.desk.info
        return info is not None and _is_plane(info)

    def open(self) -> None:
        """Another run."""
        info = self.desk.info
        self.canvas.clear()
        self.canvas.set_title("")
        self.canvas.set_hint("Choose a z in the plane: drag the cross, or click.")
        for layer in (self.data, self.draws, self.dot, *self.lines.values()):
            layer.clear()
        if info is None:
            return
        self.pages.setCurrentWidget(self.frame if self.is_plane else self.canvas)
        names = info.data.columns or info.data.event.axes
        size = info.data.event.size
        self.frame.set_line(size == 1)
        self.frame.set_names(names[0] if names else "x",
                             "" if size == 1 else names[1] if len(names) > 1 else "y")  # fmt: skip
        self.go_home()

    def go_home(self) -> None:
        """The data's box."""
        info = self.desk.info
        if info is None or not self.is_plane or not info.data.low:
            return
        low, high = info.data.low, info.data.high
        box = Box((low[0], -1.0), (high[0], 1.0))
        if len(low) > 1:
            box = Box((low[0], low[1]), (high[0], high[1]))
        self.frame.user_moved = False
        self.frame.view.setAspectLocked(len(low) > 1)
        self.frame.set_box(box)

    def question(self, z: Floats | None) -> Question | None:
        """What a z decodes to."""
        if z is None or not self.desk.is_real or len(z) != self.desk.size:
            return None
        wanted: dict[str, Any] = {"latent": self.desk.latent}
        if self.is_plane:
            wanted["n_draws"] = N_DRAWS
        return Question("latent_decode", wanted, {"z": np.asarray(z, np.float64)[None]})

    def data_question(self) -> dict[str, Question]:
        """The data behind, where they are drawn on axes."""
        wanted: dict[str, Any] = {"n": N_DATA, "split": "train"}
        return {"data": Question("data_points", wanted, live=False)} if self.is_plane else {}

    def show_data(self, answer: Answer) -> None:
        """Draw the data."""
        points = answer.arrays.get("points")
        if points is not None and points.ndim == 2 and self.is_plane:
            self.data.set_points(_two(points))

    def show_answer(self, answer: Answer) -> None:
        """Draw what a z decodes to."""
        means, deviations = answer.arrays.get("means"), answer.arrays.get("deviations")
        if means is None or not len(means):
            return
        if not self.is_plane:
            self.show_event(means[0], f"decoded: {self.desk.decoded_words}")
            return
        draws = answer.arrays.get("draws")
        point = answer.values.get("family") == "PointMass"
        self.draws.set_points(np.empty((0, 2)) if draws is None or point else _two(draws[0]))
        mean = _two(means[:1].reshape(1, -1))
        self.dot.set_points(mean)
        spread = None if deviations is None else deviations[0].reshape(-1)
        if spread is None or point or not np.isfinite(spread).all() or len(spread) != 2:
            self.lines["ellipse"].clear()
        else:
            self.lines["ellipse"].set_lines(*ellipse_lines(mean, np.diag(spread**2)[None]))

    def show_event(self, event: Floats, title: str, colour: str = "") -> None:
        """Draw one event with a title."""
        cells, flat = self.desk.cells, np.asarray(event, np.float32).reshape(-1)
        if self.is_plane:
            self.dot.set_points(_two(flat[None]))
            self.lines["ellipse"].clear()
            self.draws.clear()
            return
        if cells is None or cells.size != len(flat):
            return
        everything = np.ones(cells.size, dtype=bool)
        self.canvas.set_title(title, colour or self.look.palette.model)
        self.canvas.set_cells(cells, cells.pixels(flat, everything, self.look.palette.raised))
        if not cells.is_picture:
            self.canvas.set_words(tuple(f"{value:.2g}".replace("-", "−") for value in flat))

    def set_curves(self, curves: Floats) -> None:
        """Lines (L, P, D) in the data's space."""
        if not self.is_plane or curves.ndim != 3:
            self.lines["curves"].clear()
            return
        points = _two(curves.reshape(-1, curves.shape[2]))
        starts = np.arange(0, len(points) + 1, curves.shape[1])
        self.lines["curves"].set_lines(points, starts)

    def restyle(self) -> None:
        """Take colours from the look."""
        palette, ratio = self.look.palette, self.devicePixelRatioF() * self.look.scale
        self.data.set_dots(Dots(palette.data, DOT * ratio, 0.55, crowding=0.45))
        self.draws.set_dots(Dots(palette.model, DOT * ratio, 0.9))
        self.dot.set_dots(Dots(palette.accent, MEAN_DOT * ratio, 1.0, rim=palette.panel))
        self.lines["curves"].set_pen(with_alpha(palette.model, 0.85), 1.0)
        strong = "#ffffff" if palette.name == "dark" else palette.text
        self.lines["ellipse"].set_pen(with_alpha(strong, 1.0), self.look.px(1.4) * 1.0)
        self.frame.restyle()
        self.canvas.restyle()


def _is_plane(info: RunInfo) -> bool:
    event = info.data.event
    return event.kind not in ("picture", "sequence") and event.size <= 2


def _two(points: Floats) -> Floats:
    points = np.asarray(points, np.float64)
    if not points.size:
        return np.empty((0, 2))
    points = points.reshape(len(points), -1)
    if points.shape[1] == 1:
        return np.concatenate([points, np.zeros_like(points)], 1)
    return points[:, :2]
