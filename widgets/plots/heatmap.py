"""A density over the plane: picture with a stated scale, contours, points, marginals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from widgets.look import Look
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, ImageLayer, Layer, LinesLayer
from widgets.plots.splat import Dots
from widgets.plots.strips import Strips

Floats: TypeAlias = npt.NDArray[Any]

#: Below these sizes (pixels at scale 1) colour bar and marginals give their room to the picture.
BAR_FROM, BAR_FROM_HEIGHT = 260, 90
BAR_TEXT_FROM, BAR_TEXT_FROM_HEIGHT = 420, 130
STRIPS_FROM, STRIPS_FROM_HEIGHT = 380, 290
#: Diameter of a dot, in pictures of at least this height.
DOT = 3.0
DOTS_FULL_FROM = 560
#: At most this share of a crowded place is covered by dots, so that the density is seen below.
CROWDING = 0.45


@dataclass(frozen=True)
class Scale:
    """What colours mean: ends, wording and colour map."""

    low: float
    high: float
    label: str
    colours: str
    open_top: bool = False
    open_bottom: bool = False


class HeatMap(QWidget):
    """Equal axes by default; layers are named and switched on and off one by one.

    Layers of points: ``data``, ``samples``. Layers of lines: ``contours``, ``truth``, ``grid``,
    ``ellipses``.

    Signals:
        hovered: ``(x, y)`` or None.
        view_changed: The visible :class:`Box`.
        reset_requested: The user double-clicked.
    """

    hovered = Signal(object)
    view_changed = Signal(object)
    reset_requested = Signal()

    def __init__(self, look: Look, *, equal: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.frame = Frame(look, equal=equal, parent=self)
        self.bar = ColourBar(look, self)
        self.strips = Strips(look, self.frame)
        self._wants_strips = True
        self._image = ImageLayer(0)
        self._values: Floats | None = None
        self._box: Box | None = None
        names = ("truth", "contours", "grid", "ellipses")
        self._lines = {name: LinesLayer(2 + i) for i, name in enumerate(names)}
        self._points = {"data": DotsLayer(10), "samples": DotsLayer(11)}
        for layer in (self._image, *self._lines.values(), *self._points.values()):
            self.frame.add(layer)
        self._colours: dict[str, Any] = {}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(look.px(4))
        layout.addWidget(self.frame, 1)
        layout.addWidget(self.bar)
        self.frame.hovered.connect(self.hovered)
        self.frame.view_changed.connect(self.view_changed)
        self.frame.reset_requested.connect(self.reset_requested)
        self.restyle()

    def set_values(self, values: Floats, box: Box, scale: Scale) -> None:
        """Show a grid (H, W), rows from low to high y, over a box; NaN counts as the low end."""
        self._values, self._box = values, box
        colours = table(scale.colours)
        self._image.set_image(to_bytes(values, scale.low, scale.high), colours, box)
        self.bar.set_scale(
            colours, scale.low, scale.high, scale.label,
            open_top=scale.open_top, open_bottom=scale.open_bottom,
        )  # fmt: skip
        self.bar.setVisible(self._has_room(BAR_FROM, BAR_FROM_HEIGHT))

    def value_at(self, x: float, y: float) -> float | None:
        """The nearest grid value, or None outside the grid."""
        if self._values is None or self._box is None:
            return None
        index = nearest(self._values.shape, self._box, x, y)
        return float(self._values[index]) if index is not None else None

    def set_lines(self, name: str, points: Floats, starts: npt.NDArray[Any] | None = None) -> None:
        """Polylines (P, 2) of a named layer; ``starts`` as in a density's answer."""
        self._lines[name].set_lines(points, starts)

    def set_points(self, name: str, points: Floats, colours: Any = None) -> None:
        """Dots (N, 2) of a named layer, one colour each where ``colours`` (N, 3) is given."""
        self._colours[name] = colours
        layer = self._points[name]
        layer.set_dots(self._dots(name, colours))
        layer.set_points(points)

    def set_shown(self, name: str, on: bool) -> None:
        """Switch a layer, ``"image"`` or ``"marginals"``."""
        if name == "marginals":
            self._wants_strips = on
            self._lay_out()
        else:
            self._layer(name).setVisible(on)

    def clear_layer(self, name: str) -> None:
        """Empty one layer."""
        self._colours.pop(name, None)
        self._layer(name).clear()

    def clear(self) -> None:
        """Show empty axes."""
        self._values, self._box = None, None
        for layer in (self._image, *self._lines.values(), *self._points.values()):
            layer.clear()
        self._colours = {}
        self.strips.clear()
        self.bar.hide()

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        palette, px = self._look.palette, self._look.px
        dark = palette.name == "dark"
        self._lines["contours"].set_pen(with_alpha("#ffffff" if dark else palette.text, 0.75), 1.0)
        self._lines["truth"].set_pen(with_alpha(palette.truth, 1.0), px(1) * 1.0, dashed=True)
        self._lines["grid"].set_pen(with_alpha(palette.model, 0.8), 1.0)
        self._lines["ellipses"].set_pen(with_alpha(palette.text, 0.9), 1.0)
        self.frame.restyle()
        self.strips.restyle()
        self.bar.restyle()
        self._lay_out()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Legends and marginals go before the picture gets too small."""
        super().resizeEvent(event)
        self._lay_out()

    def _layer(self, name: str) -> Layer:
        if name == "image":
            return self._image
        return self._lines[name] if name in self._lines else self._points[name]

    def _dots(self, name: str, colours: Any) -> Dots:
        """Small where the picture is small, so that dots never hide the density."""
        palette = self._look.palette
        share = min(self.width(), self.height()) / self._look.px(DOTS_FULL_FROM)
        size = DOT * self._look.scale * min(max(share, 0.35), 1.0) * self.devicePixelRatioF()
        if name == "samples":
            return Dots(palette.model, size, 0.95, colours, palette.panel, CROWDING)
        return Dots(palette.data, size, 0.8, colours, crowding=CROWDING)

    def _has_room(self, width: float, height: float) -> bool:
        return self.width() >= self._look.px(width) and self.height() >= self._look.px(height)

    def _lay_out(self) -> None:
        for name, layer in self._points.items():
            layer.set_dots(self._dots(name, self._colours.get(name)))
        self.strips.set_shown(
            self._wants_strips and self._has_room(STRIPS_FROM, STRIPS_FROM_HEIGHT)
        )
        self.bar.set_bare(not self._has_room(BAR_TEXT_FROM, BAR_TEXT_FROM_HEIGHT))
        room = self._has_room(BAR_FROM, BAR_FROM_HEIGHT)
        self.bar.setVisible(self._values is not None and room)


def nearest(shape: tuple[int, ...], box: Box, x: float, y: float) -> tuple[int, int] | None:
    """(row, column) of the cell of a grid over ``box`` that holds a point, or None outside."""
    share_x = (x - box.low[0]) / (box.high[0] - box.low[0])
    share_y = (y - box.low[1]) / (box.high[1] - box.low[1])
    if not (0 <= share_x <= 1 and 0 <= share_y <= 1):
        return None
    rows, columns = shape[0], shape[1]
    return min(int(share_y * rows), rows - 1), min(int(share_x * columns), columns - 1)


def ellipse_lines(
    means: Floats, covariances: Floats, radii: tuple[float, ...] = (1.0, 2.0), count: int = 48
) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Outlines of Gaussians: means (K, 2), covariances (K, 2, 2) → points (P, 2), starts.

    Each ellipse holds x with (x − μ)ᵀ Σ⁻¹ (x − μ) = r² for every r of ``radii``. Components whose
    covariance is not finite are left out.
    """
    usable = np.isfinite(means).all(1) & np.isfinite(covariances).all((1, 2))
    angle = np.linspace(0.0, 2.0 * np.pi, count)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    values, vectors = np.linalg.eigh(covariances[usable].astype(np.float64))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    outlines = [
        means[usable][:, None] + radius * np.einsum("kij,pj->kpi", roots, circle)
        for radius in radii
    ]
    points = np.concatenate(outlines).reshape(-1, 2) if outlines else np.empty((0, 2))
    return points, np.arange(0, len(points) + 1, count, dtype=np.int32)
