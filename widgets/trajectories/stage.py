"""The stage: trajectories, the velocity at time t as arrows, and the points on their way."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engine.wire.messages import Answer
from widgets.figures import fixed
from widgets.flow.trail import TrailLayer
from widgets.flow.web import WebLayer
from widgets.look import Look
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, LinesLayer
from widgets.plots.ranges import StickyCeiling, StickySpan
from widgets.plots.splat import Dots
from widgets.trajectories.path import Path

Floats: TypeAlias = npt.NDArray[Any]

#: Share of the traces that the ends of the colour scale hold.
MIDDLE = 0.98
#: The longest arrow in distances of the lattice, the head's share of an arrow, half its opening.
LONGEST, HEAD, OPENING = 0.9, 0.35, 0.45
#: Of data of one value an arrow spans so much of the time at most.
AHEAD = 0.06
#: Diameters in pixels at scale 1: of points, and of where the solver stood.
POINT, STOP = 6.0, 2.4
#: Pixels at scale 1 below which the colour bar gives its room to the picture.
BAR_FROM, BAR_TEXT_FROM = 300, 400
TRACE_WORDS = "tr ∂f/∂z at time t  [nats per unit of time]"


class Stage(QWidget):
    """Draws a :class:`Path` at a time, with the field there and one point ringed.

    Signals:
        point_clicked: Number of the point that was clicked, or is nearest.
    """

    point_clicked = Signal(int)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.path: Path | None = None
        self.t = 0.5
        self.ringed = 0
        self.field: tuple[Floats, Floats, Floats] | None = None
        self.fastest = float("nan")
        self._stops: Path | None = None
        self.shown = {"field", "paths", "stops"}
        self.frame = Frame(look, equal=True, parent=self)
        self.arrows, self.lines = WebLayer(1), LinesLayer(5)
        self.stops, self.dots, self.ring = DotsLayer(8), DotsLayer(10), TrailLayer(look)
        for layer in (self.arrows, self.lines, self.stops, self.dots, self.ring):
            self.frame.add(layer)
        self.bar = ColourBar(look, self)
        self._spans = StickySpan(), StickySpan()
        self._limit = StickyCeiling()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.px(4))
        row.addWidget(self.frame, 1)
        row.addWidget(self.bar)
        self.frame.reset_requested.connect(self._go_home)
        self.frame.clicked.connect(self._on_clicked)
        self.restyle()

    # --- what is shown ------------------------------------------------------------------------

    def set_path(self, path: Path | None) -> None:
        """Another answer, or none."""
        before, self.path = self.path, path
        if path is None or before is None or path.dims != before.dims:
            self.forget()
        if path is None:
            self.field = self._stops = None
            for layer in (self.arrows, self.lines, self.stops, self.dots, self.ring):
                layer.clear()
            self.bar.hide()
            return
        self.frame.view.setAspectLocked(path.dims == 2)
        x, y = path.names
        names = f"{x}, standardised", f"{y}, standardised"
        self.frame.set_names(*(names if path.dims == 2 else ("time t", names[0])))
        self._measure(path)
        self._draw_lines()
        self.show_at(self.t)

    def set_stops(self, path: Path | None) -> None:
        """Where the solver itself stood."""
        self._stops = path
        self._draw_stops()

    def set_field(self, answer: Answer) -> None:
        """Velocity and divergence on a lattice."""
        names = ("field_places", "field", "field_trace")
        found = [np.asarray(answer.arrays[name], np.float64) for name in names]
        self.field = found[0], found[1], found[2]
        traces = np.abs(found[2][np.isfinite(found[2])])
        self._limit.update(float(np.quantile(traces, MIDDLE)) if len(traces) else 0.0)
        self._draw_field()

    def set_shown(self, name: str, on: bool) -> None:
        """Switch ``"field"``, ``"paths"`` or ``"stops"``."""
        self.shown = self.shown | {name} if on else self.shown - {name}
        self._draw_lines()
        self._draw_stops()
        self._draw_field()

    def forget(self) -> None:
        """The next answer decides window and scale alone; the user's view is given up."""
        self.frame.user_moved = False
        self._limit.reset()
        for span in self._spans:
            span.reset()

    def set_ringed(self, point: int) -> None:
        """Ring another point."""
        self.ringed = point
        self.show_at(self.t)

    # --- drawing ------------------------------------------------------------------------------

    def show_at(self, t: float) -> None:
        """Move the points to a time from 0 to 1."""
        self.t = t
        path = self.path
        if path is None:
            return
        palette = self._look.palette
        size = POINT * self._look.scale * self.devicePixelRatioF()
        colour = palette.model if path.from_base else palette.data
        spots = path.at(t)
        self.dots.set_dots(Dots(colour, size, 0.95, rim=palette.panel))
        self.dots.set_points(spots)
        own = min(self.ringed, path.size - 1)
        words = f"log-det so far {fixed(path.log_det_at(t, own), 2)} nats"
        self.ring.set_trail(spots[own : own + 1], words)

    def _on_clicked(self, place: tuple[float, float]) -> None:
        if self.path is not None:
            self.point_clicked.emit(self.path.nearest(self.t, place))

    def _measure(self, path: Path) -> None:
        spots = path.lines()[0]
        for axis, span in enumerate(self._spans):
            values = spots[:, axis][np.isfinite(spots[:, axis])]
            if not len(values):
                continue
            span.update(float(values.min()), float(values.max()))
        if not self.frame.user_moved:
            self._go_home()

    def _go_home(self) -> None:
        self.frame.user_moved = False
        x, y = self._spans
        if x.is_set and y.is_set:
            self.frame.set_box(Box((x.low, y.low), (x.high, y.high)))

    def _draw_lines(self) -> None:
        path = self.path
        if path is None or "paths" not in self.shown:
            self.lines.clear()
            return
        self.lines.set_pen(with_alpha(self._look.palette.text, 0.4), 1.0)
        self.lines.set_lines(*path.lines())

    def _draw_stops(self) -> None:
        path = self._stops
        if path is None or "stops" not in self.shown:
            self.stops.clear()
            return
        size = STOP * self._look.scale * self.devicePixelRatioF()
        self.stops.set_dots(Dots(self._look.palette.text, size, 0.75))
        self.stops.set_points(path.lines()[0])

    def _draw_field(self) -> None:
        shown = self.field is not None and self.path is not None and "field" in self.shown
        if not shown or self.field is None:
            self.arrows.clear()
            self._fit_bar()
            return
        places, velocity, traces = self.field
        speeds = np.linalg.norm(velocity, axis=1)
        finite = speeds[np.isfinite(speeds)]
        self.fastest = float(finite.max()) if len(finite) else float("nan")
        lines = arrows(places, velocity, self.t)
        limit = self._limit.update(0.0) or 1.0
        levels = np.repeat(to_bytes(traces, -limit, limit)[:, None], lines.shape[1], 1)
        colours = table(f"volume-{self._look.palette.name}")
        self.arrows.set_colours(colours, self._look.palette.model, 0.9, 1.2 * self._look.scale)
        self.arrows.set_lines(lines, levels)
        self.bar.set_scale(colours, -limit, limit, TRACE_WORDS, open_top=True, open_bottom=True)
        self._fit_bar()

    # --- Qt -----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The legend goes before the picture gets too small."""
        super().resizeEvent(event)
        if not self.frame.user_moved:
            self._go_home()
        self._fit_bar()

    def _fit_bar(self) -> None:
        coded = self.path is not None and self.field is not None and "field" in self.shown
        self.bar.setVisible(coded and self.width() >= self._look.px(BAR_FROM))
        self.bar.set_bare(self.width() < self._look.px(BAR_TEXT_FROM))

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        self.frame.restyle()
        self.bar.restyle()
        self._draw_lines()
        self._draw_stops()
        self._draw_field()
        self.show_at(self.t)


def arrows(places: Floats, velocity: Floats, t: float) -> Floats:
    """(G, 5, 2): each from its tail to its tip, to both ends of its head and back to the tip.

    Lengths are shares of the greatest speed; an arrow's middle lies on its place. One value is
    drawn over time: an arrow then is where a point at (t, z) goes next, and has no head.
    """
    if places.shape[1] == 1:
        tails = np.stack([np.full(len(places), t), places[:, 0]], 1)
        ahead = np.stack([np.full(len(places), AHEAD), AHEAD * velocity[:, 0]], 1)
        return np.stack([tails, tails + ahead], 1)
    side = max(round(np.sqrt(len(places))) - 1, 1)
    extent = places.max(0) - places.min(0)
    speed = np.linalg.norm(velocity, axis=1)
    top = speed[np.isfinite(speed)].max(initial=0.0)
    ways = velocity * (LONGEST * float(extent.min()) / side / top if top > 0 else 0.0)
    tails, tips = places - ways / 2, places + ways / 2
    across = np.stack([-ways[:, 1], ways[:, 0]], 1) * OPENING
    left, right = (tips - HEAD * (ways + sign * across) for sign in (1.0, -1.0))
    return np.stack([tails, tips, left, tips, right], 1)
