"""The stage: grid and cloud at any place between data and base, in one of four colourings."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from widgets.flow.trail import TrailLayer
from widgets.flow.walk import Walk, blend
from widgets.flow.web import WebLayer
from widgets.look import Look
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import Table, part_colour, rgb, table, to_bytes
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer
from widgets.plots.ranges import StickyCeiling, StickySpan
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

#: What dots and lines can be coloured by.
VOLUME, LABEL, DENSITY, NONE = "volume", "label", "density", "none"
#: Share of the values that the ends of a colour scale hold.
MIDDLE = 0.98
#: The ends of a map that would vanish on a dark and on a light ground are left out.
SEEN = {"dark": (60, 255), "light": (0, 200)}
#: Pixels at scale 1 below which the colour bar gives its room to the picture.
BAR_FROM, BAR_TEXT_FROM = 300, 400
#: Diameters of a dot in pixels at scale 1: of few points, and of many.
LARGE, SMALL, FEW, MANY = 5.0, 3.0, 500, 3000
VOLUME_WORDS = "log volume change since the start  [nats]"
DENSITY_WORDS = "log-density where the point is  [nats]"


class Stage(QWidget):
    """Draws a :class:`Walk` at a place.

    Signals:
        clicked: ``(x, y)`` on the stage.
        hovered: ``(x, y)`` or None.
    """

    clicked = Signal(object)
    hovered = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.walk: Walk | None = None
        self.at = 0.0
        self.colour_by = VOLUME
        self.shown = {"grid", "points"}
        self.frame = Frame(look, equal=True, parent=self)
        self.web, self.dots, self.trail = WebLayer(1), DotsLayer(10), TrailLayer(look)
        for layer in (self.web, self.dots, self.trail):
            self.frame.add(layer)
        self.bar = ColourBar(look, self)
        self._volume_end, self._density_ends = StickyCeiling(), StickySpan()
        self._spans: list[tuple[StickySpan, StickySpan]] = []
        self._limit = 1.0
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.px(4))
        row.addWidget(self.frame, 1)
        row.addWidget(self.bar)
        self.frame.clicked.connect(self.clicked)
        self.frame.hovered.connect(self.hovered)
        self.frame.reset_requested.connect(self.go_home)
        self.restyle()

    # --- what is shown ------------------------------------------------------------------------

    def set_walk(self, walk: Walk | None) -> None:
        """Another answer, or none."""
        if walk is None or self.walk is None or walk.size != self.walk.size or (
            walk.axes != self.walk.axes
        ):  # fmt: skip
            self.forget()
        self.walk = walk
        if walk is None:
            for layer in (self.web, self.dots, self.trail):
                layer.clear()
            self.bar.hide()
            return
        boxes = walk.boxes()
        if len(self._spans) != len(boxes):
            self._spans = [(StickySpan(), StickySpan()) for _ in boxes]
        for spans, box in zip(self._spans, boxes, strict=True):
            for axis, span in enumerate(spans):
                span.update(box.low[axis], box.high[axis])
        self._measure(walk)
        self._recolour()

    def forget(self) -> None:
        """The next answer decides window and scales alone; the user's view is given up."""
        self._spans, self.frame.user_moved = [], False
        self._volume_end.reset()
        self._density_ends.reset()

    def set_colour_by(self, name: str) -> None:
        """Colour by another quantity."""
        self.colour_by = name
        self._recolour()

    def set_shown(self, name: str, on: bool) -> None:
        """Switch ``"grid"`` or ``"points"``."""
        self.shown = self.shown | {name} if on else self.shown - {name}
        self.show_at(self.at)

    @property
    def colouring(self) -> str:
        """What is coloured by in fact: labels only where there are some."""
        walk = self.walk
        labelled = walk is not None and bool((walk.labels >= 0).any())
        return NONE if self.colour_by == LABEL and not labelled else self.colour_by

    def go_home(self) -> None:
        """The window that holds the points again."""
        self.frame.user_moved = False
        self._follow()

    # --- drawing ------------------------------------------------------------------------------

    def show_at(self, at: float) -> None:
        """Move all to a place from 0 to L."""
        self.at = at
        walk = self.walk
        if walk is None:
            return
        self._follow()
        self._name_axes(walk)
        by_volume = self.colouring == VOLUME
        if "grid" in self.shown:
            levels = self._volume_levels(walk.grid_volumes(at)) if by_volume else None
            self.web.set_lines(blend(walk.grid, at), levels)
        self.web.setVisible("grid" in self.shown)
        self.dots.setVisible("points" in self.shown)
        if "points" in self.shown:
            self.dots.set_dots(self._dots(walk))
            self.dots.set_points(blend(walk.points, at))

    def point_colours(self) -> Floats | None:
        """(N, 3) bytes of the points now, or None for one colour."""
        walk, by = self.walk, self.colouring
        if walk is None or by == NONE:
            return None
        if by == LABEL:
            dark = self._look.palette.name == "dark"
            parts = np.array([rgb(part_colour(k, dark=dark)) for k in range(12)], np.uint8)
            return np.asarray(parts[np.maximum(walk.labels, 0) % 12])
        if by == VOLUME:
            return _bytes(self._volume_table[self._volume_levels(walk.point_volumes(self.at))])
        ends = self._density_ends
        levels = to_bytes(walk.densities(self.at), ends.low, ends.high)
        return _bytes(self._density_table[levels])

    @property
    def _volume_table(self) -> Table:
        return table(f"volume-{self._look.palette.name}")

    @property
    def _density_table(self) -> Table:
        low, high = SEEN[self._look.palette.name]
        return table("viridis")[np.linspace(low, high, 256).astype(np.int64)]

    def _volume_levels(self, volumes: Floats) -> npt.NDArray[np.uint8]:
        return to_bytes(volumes, -self._limit, self._limit)

    def _measure(self, walk: Walk) -> None:
        """Scales that hold nearly all values at all layers, so that they stay while it plays."""
        sums = walk.point_sums - walk.point_sums[0 if walk.start == "data" else -1]
        sizes = np.abs(sums[np.isfinite(sums)])
        self._limit = self._volume_end.update(
            float(np.quantile(sizes, MIDDLE)) if len(sizes) else 0
        )
        densities = np.concatenate([walk.densities(0.0), walk.log_base])
        finite = densities[np.isfinite(densities)]
        if len(finite):
            low, high = np.quantile(finite, [1 - MIDDLE, 1.0])
            self._density_ends.update(float(low), float(high))

    def _recolour(self) -> None:
        palette, scale = self._look.palette, self._look.scale
        by = self.colouring
        tinted = self._volume_table if by == VOLUME else None
        self.web.set_colours(tinted, palette.model, 0.75 if by == VOLUME else 0.6, scale)
        if by == VOLUME:
            self.bar.set_scale(self._volume_table, -self._limit, self._limit, VOLUME_WORDS,
                               open_top=True, open_bottom=True)  # fmt: skip
        elif by == DENSITY:
            ends = self._density_ends
            self.bar.set_scale(self._density_table, ends.low, ends.high, DENSITY_WORDS,
                               open_bottom=True)  # fmt: skip
        self._fit_bar()
        self.show_at(self.at)

    def _dots(self, walk: Walk) -> Dots:
        palette = self._look.palette
        n = walk.points.shape[1]
        share = np.clip((n - FEW) / (MANY - FEW), 0.0, 1.0)
        size = (LARGE + (SMALL - LARGE) * float(share)) * self._look.scale
        size *= self.devicePixelRatioF()
        single = palette.data if walk.start == "data" else palette.model
        return Dots(single, size, 0.85, self.point_colours())

    def _follow(self) -> None:
        """Windows of whole layers blend where each has its own; a view of the user's stays."""
        if self.frame.user_moved or not self._spans:
            return
        ends = np.array([[(s.low, s.high) for s in spans] for spans in self._spans])
        now = blend(ends, self.at)
        box = Box((float(now[0, 0]), float(now[1, 0])), (float(now[0, 1]), float(now[1, 1])))
        if box != self._box:
            self._box = box
            self.frame.set_box(box)

    _box: Box | None = None

    def _name_axes(self, walk: Walk) -> None:
        x, y = walk.axes
        if self.at == 0:
            words = "{} [data units]"
        elif self.at == walk.size:
            words = "{} in the base [base units]"
        else:
            words = "{} on its way [units of the layer]"
        upwards = words.format(y) if y else "spread to tell points apart"
        if (names := (words.format(x), upwards)) != self._names:
            self._names = names
            self.frame.set_names(*names)

    _names = ("", "")

    # --- Qt -----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The legend goes before the picture gets too small."""
        super().resizeEvent(event)
        self._box = None
        self._follow()
        self._fit_bar()

    def _fit_bar(self) -> None:
        coded = self.walk is not None and self.colouring in (VOLUME, DENSITY)
        self.bar.setVisible(coded and self.width() >= self._look.px(BAR_FROM))
        self.bar.set_bare(self.width() < self._look.px(BAR_TEXT_FROM))

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        self.frame.restyle()
        self.bar.restyle()
        self._recolour()


def _bytes(packed: npt.NDArray[np.uint32]) -> Floats:
    shades: Floats = np.stack([(packed >> shift) & 0xFF for shift in (16, 8, 0)], 1)
    return shades.astype(np.uint8)
