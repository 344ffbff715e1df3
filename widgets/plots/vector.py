"""What is drawn otherwise in a file than on screen: dots as circles, pens as wide as they look.

A file of lines knows neither clipping nor pens whose width ignores the zoom (most programs that
read SVG do not), so lines are cut off at the view's edge and written in the panel's own units.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPaintEngine, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QWidget

from widgets.plots.splat import MOST_OPAQUE, Dots, strengths

Floats: TypeAlias = npt.NDArray[Any]

#: Engines that write lines and letters to a file instead of setting pixels.
LINE_ENGINES = (QPaintEngine.Type.SVG, QPaintEngine.Type.Pdf)
#: More dots than this go into a file as one picture, since each circle costs some 100 bytes.
MOST_DISCS = 20_000


def draws_lines(painter: QPainter) -> bool:
    """Whether what is painted becomes lines in a file."""
    return painter.paintEngine().type() in LINE_ENGINES


def pixel_ratio(painter: QPainter) -> float:
    """Pixels of the device for each of the painter's units.

    The device itself does not say: while a widget is painted into a picture, Qt calls the widget
    the device.
    """
    inner, outer = painter.worldTransform(), painter.deviceTransform()
    if draws_lines(painter) or not inner.m11():
        return 1.0
    return abs(outer.m11() / inner.m11())


def enlargement(painter: QPainter, widget: QWidget | None) -> float:
    """Pixels of the device for each pixel of the screen: above 1 in a picture at a larger scale.

    On every screen, whatever its density, this is 1.
    """
    own = widget.devicePixelRatioF() if widget is not None else 1.0
    return 1.0 if draws_lines(painter) else pixel_ratio(painter) / own


def enlarged_pen(pen: QPen, factor: float) -> QPen:
    """A cosmetic pen that looks as wide in a picture at a larger scale as it does on screen."""
    if factor == 1.0:
        return pen
    wider = QPen(pen)
    wider.setWidthF(max(pen.widthF(), 1.0) * factor)
    return wider


def enlarged_dots(dots: Dots, factor: float) -> Dots:
    """Dots that look as large in a picture at a larger scale as they do on screen."""
    return dots if factor == 1.0 else replace(dots, diameter=dots.diameter * factor)


def draw_discs(painter: QPainter, where: Floats, dots: Dots) -> None:
    """Draw dots at ``where`` (N, 2), in the painter's own units, one circle each."""
    painter.setPen(Qt.PenStyle.NoPen)
    for layer in (dots.as_rim, dots) if dots.rim else (dots,):
        alphas = min(layer.opacity, MOST_OPAQUE) * (
            strengths(where, layer) if layer.crowding else np.ones(len(where))
        )
        for index, (x, y) in enumerate(where.tolist()):
            painter.setBrush(_colour(layer, index, float(alphas[index])))
            painter.drawEllipse(QPointF(x, y), layer.diameter / 2, layer.diameter / 2)


def draw_lines(
    painter: QPainter, points: Floats, connect: npt.NDArray[np.bool_], pen: QPen, view: QRectF
) -> None:
    """Draw polylines (P, 2) in data units; ``connect[i]`` says whether i and i + 1 are joined."""
    firm = QPen(pen)
    firm.setCosmetic(False)
    transform = painter.worldTransform()
    painter.save()
    painter.resetTransform()
    painter.setPen(firm)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    path = transform.map(clipped_path(points, connect, view))
    if not path.isEmpty():
        painter.drawPath(path)
    painter.restore()


def clipped_path(points: Floats, connect: npt.NDArray[np.bool_], view: QRectF) -> QPainterPath:
    """The parts of polylines (P, 2) that lie in a rectangle, as one path."""
    joined = np.flatnonzero(connect[:-1])
    starts, ends, kept = clip_segments(points[joined], points[joined + 1], view)
    path = QPainterPath()
    last = (np.nan, np.nan)
    for keep, start, end in zip(kept.tolist(), starts.tolist(), ends.tolist(), strict=True):
        if not keep:
            continue
        if tuple(start) != last:
            path.moveTo(*start)
        path.lineTo(*end)
        last = tuple(end)
    return path


def clip_segments(
    starts: Floats, ends: Floats, view: QRectF
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Cut segments (S, 2) → (S, 2) at a rectangle's edges; the last says which are inside at all.

    Each is start + t·(end − start); the edges bound t to an interval (Liang and Barsky, 1984).
    """
    way = ends - starts
    low = np.array([view.left(), view.top()])
    high = np.array([view.right(), view.bottom()])
    with np.errstate(divide="ignore", invalid="ignore"):
        bounds = np.stack([(low - starts) / way, (high - starts) / way])
    inside = ((starts >= low) & (starts <= high))[None]
    still = (way == 0.0)[None]
    enters = np.where(still[0], np.where(inside[0], 0.0, np.inf), bounds.min(0)).max(1)
    leaves = np.where(still[0], np.where(inside[0], 1.0, -np.inf), bounds.max(0)).min(1)
    first, last = np.maximum(enters, 0.0), np.minimum(leaves, 1.0)
    kept = first <= last
    first, last = (np.where(kept, t, 0.0)[:, None] for t in (first, last))
    cut = np.where(first > 0.0, starts + first * way, starts)
    return cut, np.where(last < 1.0, starts + last * way, ends), kept


def draw_image(painter: QPainter, box: QRectF, image: QImage, view: QRectF) -> None:
    """Draw the part of a picture over ``box`` that lies in the view; row 0 is at the low y."""
    seen = box.intersected(view)
    if seen.isEmpty():
        return
    across, up = image.width() / box.width(), image.height() / box.height()
    source = QRectF(
        (seen.left() - box.left()) * across,
        (seen.top() - box.top()) * up,
        seen.width() * across,
        seen.height() * up,
    )
    painter.drawImage(seen, image, source)


def _colour(dots: Dots, index: int, alpha: float) -> QColor:
    colour = QColor(dots.colour)
    if dots.colours is not None:
        colour = QColor(*(int(part) for part in dots.colours[index]))
    colour.setAlphaF(round(alpha, 2))
    return colour
