"""Very many dots as squares of a binned picture: 60,000 of them take some milliseconds."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QImage, QTransform

from widgets.plots.colours import rgb
from widgets.plots.layers import DotsLayer
from widgets.plots.splat import Dots

Floats: TypeAlias = npt.NDArray[Any]

#: From so many visible dots on they are binned; fewer are drawn as discs.
MOST_DISCS = 4000
#: Side of a bin in device pixels, and how much one dot covers of it.
SIDE, COVER = 2, 0.6


class CloudLayer(DotsLayer):
    """Dots that are binned at the view's own resolution while very many of them are seen."""

    def _render(self, transform: QTransform, area: QRectF, ratio: float, dots: Dots) -> QImage:
        where = self._on_pixels(transform, area, ratio)
        width, height = (max(1, round(side * ratio)) for side in (area.width(), area.height()))
        with np.errstate(invalid="ignore"):
            seen = ((where > -dots.diameter) & (where < [width, height])).all(1)
        if int(seen.sum()) <= MOST_DISCS:
            return super()._render(transform, area, ratio, dots)
        colours = None if dots.colours is None else dots.colours[seen]
        pixels = bins(where[seen], width, height, dots.colour, colours)
        rows, columns = pixels.shape[:2]
        form = QImage.Format.Format_ARGB32_Premultiplied
        small = QImage(pixels.data, columns, rows, 4 * columns, form)
        picture = small.scaled(columns * SIDE, rows * SIDE)
        picture.setDevicePixelRatio(ratio)
        return picture

    def _on_pixels(self, transform: QTransform, area: QRectF, ratio: float) -> Floats:
        origin = QPointF(transform.dx(), transform.dy()) - area.topLeft()
        scale = np.array([transform.m11(), transform.m22()])
        return np.asarray(ratio * (self._points * scale + np.array([origin.x(), origin.y()])))


def bins(
    where: Floats, width: int, height: int, colour: str, colours: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8]:
    """Dots at pixels (N, 2) as bins (⌈height/2⌉, ⌈width/2⌉, 4), premultiplied BGRA.

    A bin has the mean colour of its dots and is the more opaque the more there are; those outside
    are left out.
    """
    columns, rows = -(-width // SIDE), -(-height // SIDE)
    cells = np.floor(where / SIDE).astype(np.int64)
    inside = ((cells >= 0) & (cells < [columns, rows])).all(1)
    flat = cells[inside, 1] * columns + cells[inside, 0]
    counts = np.bincount(flat, minlength=rows * columns)
    touched = np.flatnonzero(counts)
    opaque = 1.0 - (1.0 - COVER) ** counts[touched]
    picture = np.zeros((rows * columns, 4), np.uint8)
    picture[touched, 3] = np.rint(255.0 * opaque)
    for channel, shade in enumerate(rgb(colour)[::-1]):
        mean: Any = float(shade)
        if colours is not None:
            weights = colours[inside, 2 - channel].astype(np.float64)
            mean = np.bincount(flat, weights, rows * columns)[touched] / counts[touched]
        picture[touched, channel] = np.rint(mean * opaque)
    return picture.reshape(rows, columns, 4)
