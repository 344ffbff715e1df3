"""Small multiples: one picture per racer and one of the truth, on shared axes and one scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QRegion,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.figures import number
from widgets.look import Look
from widgets.plots.colours import Table, to_bytes
from widgets.plots.layers import Box

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1: gap between tiles, room for y's and x's numbers, height of the progress bar.
GAP, LEFT, BOTTOM, TRACK = 8, 29, 15, 3
TITLE, SMALL = 0.86, 0.76


@dataclass(frozen=True)
class Head:
    """What stands over a picture.

    Attributes:
        title: The racer's name.
        colour: Its colour.
        lines: Two short lines of facts.
        brief: The same where there is less room.
        share: How much of the way is done, 0 … 1; below 0 draws no track.
        mark: A sign on the right of the title, such as "✓".
        tooltip: Everything in full.
    """

    title: str
    colour: str
    lines: tuple[str, str] = ("", "")
    brief: tuple[str, str] = ("", "")
    share: float = -1.0
    mark: str = ""
    tooltip: str = ""


@dataclass
class _Tile:
    head: Head
    image: QImage
    scaled: QImage | None = None
    pixels: Floats | None = None
    curve: Floats | None = None
    words: str = ""


class TileGrid(QWidget):
    """Draws all tiles itself, so that a new picture costs one small repaint.

    Signals:
        chosen: Key of the tile that was clicked.
    """

    chosen = Signal(str)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._tiles: dict[str, _Tile] = {}
        self._box = Box((0.0, 0.0), (1.0, 1.0))
        self._names = ("x", "y")
        self._bare = False
        self._current = ""
        self._places: dict[str, tuple[QRectF, QRectF]] = {}
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(look.px(120), look.px(90))
        self.setMouseTracking(True)

    @property
    def keys(self) -> tuple[str, ...]:
        """The tiles in order."""
        return tuple(self._tiles)

    def head(self, key: str) -> Head:
        """What stands over a tile."""
        return self._tiles[key].head

    def pixels(self, key: str) -> Floats | None:
        """A tile's picture as colours 0xffRRGGBB (H, W), top row first, or None."""
        return self._tiles[key].pixels

    def words(self, key: str) -> str:
        """What stands in a tile instead of a picture, or below it."""
        return self._tiles[key].words

    def set_tiles(self, heads: dict[str, Head]) -> None:
        """Show these tiles in this order; pictures of those that stay are kept."""
        old = self._tiles
        self._tiles = {
            key: old[key] if key in old else _Tile(head, QImage()) for key, head in heads.items()
        }
        for key, head in heads.items():
            self._tiles[key].head = head
        self._places = {}
        self.update()

    def set_head(self, key: str, head: Head) -> None:
        """New facts over a tile."""
        tile = self._tiles.get(key)
        if tile is not None and tile.head != head:
            tile.head = head
            self._update(key, picture=False)

    def set_axes(self, box: Box, names: tuple[str, str], *, bare: bool = False) -> None:
        """What all tiles show; ``bare`` draws no numbers (pictures have no axes)."""
        self._box, self._names, self._bare = box, names, bare
        self._places = {}
        self.update()

    def set_current(self, key: str) -> None:
        """Which tile's run is in view."""
        if key != self._current:
            self._current = key
            self.update()

    def set_picture(self, key: str, values: Floats, colours: Table, ends: tuple[float, float],
                    words: str = "") -> None:  # fmt: skip
        """A grid (H, W), rows from low to high y, through a colour table over fixed ends."""
        tile = self._tiles.get(key)
        if tile is None:
            return
        levels = to_bytes(np.asarray(values, np.float32), *ends)[::-1]
        pixels = np.ascontiguousarray(colours[levels])
        height, width = pixels.shape
        tile.pixels, tile.curve, tile.words = pixels, None, words
        tile.image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
        tile.scaled = None
        self._update(key)

    def set_curve(self, key: str, points: Floats, words: str = "") -> None:
        """A curve (N, 2) in the units of the axes, for one-dimensional events."""
        tile = self._tiles.get(key)
        if tile is not None:
            tile.curve, tile.pixels, tile.image, tile.words = points, None, QImage(), words
            self._update(key)

    def set_words(self, key: str, words: str) -> None:
        """Why there is no picture, or what kind of picture it is."""
        tile = self._tiles.get(key)
        if tile is not None and tile.words != words:
            tile.words = words
            self._update(key)

    def clear(self) -> None:
        """No tiles."""
        self._tiles, self._places, self._current = {}, {}, ""
        self.update()

    def restyle(self) -> None:
        """Take fonts from the look."""
        self._places = {}
        self.update()

    # --- layout -------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """Room for two rows."""
        return QSize(self._look.px(520), self._look.px(320))

    def place(self) -> dict[str, tuple[QRectF, QRectF]]:
        """Per tile its whole place and the place of its picture."""
        if not self._places and self._tiles:
            self._places = self._arranged()
        return self._places

    def _arranged(self) -> dict[str, tuple[QRectF, QRectF]]:
        columns, side = self._best_columns(self.width(), self.height())
        px, head = self._look.px, self._head_height()
        width, height = side, side * self._ratio()
        left = 0 if self._bare else px(LEFT)
        pitch_x = (self.width() - left) / columns
        pitch_y = head + height + px(GAP) + (0 if self._bare else px(BOTTOM))
        places = {}
        for index, key in enumerate(self._tiles):
            row, column = divmod(index, columns)
            x = left + column * pitch_x
            y = row * pitch_y
            places[key] = (
                QRectF(x, y, width, head + height),
                QRectF(x, y + head, width, height),
            )
        return places

    def side_in(self, width: float, height: float) -> float:
        """How wide the pictures would be in an area of this size."""
        return self._best_columns(width, height)[1]

    def height_in(self, width: float, height: float) -> float:
        """How much of such an area's height the tiles would take."""
        columns, side = self._best_columns(width, height)
        rows = -(-len(self._tiles) // columns)
        below = self._look.px(GAP) + (0 if self._bare else self._look.px(BOTTOM))
        return rows * (self._head_height() + side * self._ratio() + below)

    def _ratio(self) -> float:
        """Height of a picture over its width."""
        (x0, y0), (x1, y1) = self._box.low, self._box.high
        ratio = (y1 - y0) / (x1 - x0) if self._box.is_proper and self._is_map else 0.8
        return min(max(ratio, 0.4), 1.6)

    def _best_columns(self, full_width: float, full_height: float) -> tuple[int, float]:
        """Columns for which pictures are largest, and their width."""
        px, n, ratio = self._look.px, len(self._tiles), self._ratio()
        left, bottom = (0, 0) if self._bare else (px(LEFT), px(BOTTOM))
        best = (1, 1.0)
        for columns in range(1, n + 1):
            rows = -(-n // columns)
            width = (full_width - left) / columns - px(GAP)
            height = full_height / rows - self._head_height() - px(GAP) - bottom
            side = min(width, height / ratio)
            if side > best[1] + 0.5:
                best = (columns, side)
        return best

    @property
    def _is_map(self) -> bool:
        return self._names[1] != "p(x)"

    def _head_height(self) -> float:
        title = QFontMetricsF(self._look.font(TITLE, bold=True)).height()
        small = QFontMetricsF(self._look.font(SMALL)).height()
        return title + 2 * small + self._look.px(TRACK) + 4

    def resizeEvent(self, event: Any) -> None:
        """Another size, another arrangement."""
        super().resizeEvent(event)
        self._places = {}

    def _update(self, key: str, *, picture: bool = True) -> None:
        """Repaint a tile, or only what stands over its picture."""
        if key not in self.place():
            return
        whole, below = self.place()[key]
        area = QRectF(whole)
        if not picture:
            area.setBottom(below.top() - 1)
        self.update(area.toAlignedRect().adjusted(-1, -1, 1, 1 if picture else 0))

    # --- painting -----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """The tiles that the region touches."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        region = event.region()
        for key, (whole, picture) in self.place().items():
            if region.intersects(picture.toAlignedRect()):
                self._draw_picture(painter, key, picture)
            if region.intersects(whole.toAlignedRect()):
                self._draw_head(painter, self._tiles[key].head, whole)
        if not self._bare and self._tiles:
            self._draw_axes(painter, event.region())

    def _draw_head(self, painter: QPainter, head: Head, whole: QRectF) -> None:
        palette, px = self._look.palette, self._look.px
        font = self._look.font(TITLE, bold=True)
        metrics = QFontMetricsF(font)
        line = metrics.height()
        dot = 0.62 * line
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(head.colour))
        painter.drawEllipse(QRectF(whole.left() + 1, whole.top() + (line - dot) / 2, dot, dot))
        painter.setFont(font)
        painter.setPen(QColor(palette.text))
        left = whole.left() + dot + px(5)
        mark_width = QFontMetricsF(self._look.font(SMALL)).horizontalAdvance(head.mark)
        room = whole.right() - left - (mark_width + px(4) if head.mark else 0)
        text = metrics.elidedText(head.title, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRectF(left, whole.top(), room, line), _LEFT, text)
        small = self._look.font(SMALL)
        painter.setFont(small)
        painter.setPen(QColor(palette.muted))
        area = QRectF(whole.right() - mark_width, whole.top(), mark_width + 1, line)
        painter.drawText(area, _LEFT, head.mark)
        self._draw_facts(painter, head, QRectF(whole.left(), whole.top() + line, whole.width(), 0))

    def _draw_facts(self, painter: QPainter, head: Head, top: QRectF) -> None:
        metrics = QFontMetricsF(self._look.font(SMALL))
        y = top.top()
        for text, brief in zip(head.lines, head.brief, strict=True):
            if brief and metrics.horizontalAdvance(text) > top.width():
                text = brief
            elided = metrics.elidedText(text, Qt.TextElideMode.ElideRight, top.width())
            painter.drawText(QRectF(top.left(), y, top.width(), metrics.height()), _LEFT, elided)
            y += metrics.height()
        if head.share >= 0:
            track = QRectF(top.left(), y + 1, top.width(), self._look.px(TRACK))
            painter.fillRect(track, QColor(self._look.palette.raised))
            track.setWidth(track.width() * head.share)
            painter.fillRect(track, QColor(head.colour))

    def _draw_picture(self, painter: QPainter, key: str, place: QRectF) -> None:
        tile, palette = self._tiles[key], self._look.palette
        if not tile.image.isNull():
            painter.drawImage(place.topLeft(), self._scaled(tile, place))
        elif tile.curve is not None:
            self._draw_curve(painter, tile, place)
        current = key == self._current
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(palette.accent if current else palette.border), 1.0))
        painter.drawRect(place)
        if tile.words:
            self._draw_words(painter, tile, place)

    def _scaled(self, tile: _Tile, place: QRectF) -> QImage:
        """The picture in the pixels of the screen, made once."""
        ratio = self.devicePixelRatioF()
        size = (place.size() * ratio).toSize()
        if tile.scaled is None or tile.scaled.size() != size:
            keep, smooth = Qt.AspectRatioMode.IgnoreAspectRatio, _SMOOTH
            tile.scaled = tile.image.scaled(size, keep, smooth)
            tile.scaled.setDevicePixelRatio(ratio)
        return tile.scaled

    def _draw_words(self, painter: QPainter, tile: _Tile, place: QRectF) -> None:
        """In the middle where there is no picture, else on a strip along its lower edge."""
        palette = self._look.palette
        font = self._look.font(SMALL)
        painter.setFont(font)
        if tile.image.isNull() and tile.curve is None:
            painter.setPen(QColor(palette.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(place.adjusted(4, 4, -4, -4), flags, tile.words)
            return
        metrics = QFontMetricsF(font)
        text = metrics.elidedText(tile.words, Qt.TextElideMode.ElideRight, place.width() - 6)
        strip = QRectF(place.left() + 1, place.bottom() - metrics.height(),
                       metrics.horizontalAdvance(text) + 6, metrics.height())  # fmt: skip
        ground = QColor(palette.panel)
        ground.setAlphaF(0.72)
        painter.fillRect(strip, ground)
        painter.setPen(QColor(palette.text))
        painter.drawText(strip.adjusted(3, 0, 0, 0), _LEFT, text)

    def _draw_curve(self, painter: QPainter, tile: _Tile, place: QRectF) -> None:
        (x0, y0), (x1, y1) = self._box.low, self._box.high
        if tile.curve is None or not self._box.is_proper:
            return
        x = place.left() + (tile.curve[:, 0] - x0) / (x1 - x0) * place.width()
        share = np.clip((tile.curve[:, 1] - y0) / (y1 - y0), 0.0, 1.0)
        y = place.bottom() - np.nan_to_num(share) * place.height()
        line = QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)])
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(tile.head.colour), max(1.2, 1.4 * self._look.scale)))
        painter.drawPolyline(line)

    def _draw_axes(self, painter: QPainter, region: QRegion) -> None:
        """Names and ends, below the lowest tile of a column and left of the first column."""
        places = list(self.place().values())
        lowest = {round(picture.left()): picture for _, picture in places}
        first = min(lowest)
        painter.setFont(self._look.font(SMALL))
        painter.setPen(QColor(self._look.palette.muted))
        line = QFontMetricsF(painter.font()).height()
        (x0, y0), (x1, y1) = self._box.low, self._box.high
        for picture in lowest.values():
            area = QRectF(picture.left(), picture.bottom() + 1, picture.width(), line)
            if not region.intersects(area.toAlignedRect()):
                continue
            self._draw_lower_axis(painter, area, (number(x0, 2), number(x1, 2)))
        for _, picture in places:
            beside = picture.adjusted(-picture.left(), 0, -picture.width(), 0)
            if round(picture.left()) == first and region.intersects(beside.toAlignedRect()):
                self._draw_left_axis(painter, picture, (y0, y1), line)

    def _draw_lower_axis(self, painter: QPainter, area: QRectF, ends: tuple[str, str]) -> None:
        """Both ends, and the name between them where it fits."""
        metrics = QFontMetricsF(painter.font())
        painter.drawText(area, _LEFT, ends[0])
        painter.drawText(area, _RIGHT, ends[1])
        taken = sum(metrics.horizontalAdvance(text + "  ") for text in (*ends, self._names[0]))
        if taken <= area.width():
            painter.drawText(area, _MIDDLE, self._names[0])

    def _draw_left_axis(
        self, painter: QPainter, picture: QRectF, ends: tuple[float, float], line: float
    ) -> None:
        width = self._look.px(LEFT) - 3
        for y, value in ((picture.bottom() - line, ends[0]), (picture.top(), ends[1])):
            area = QRectF(picture.left() - width - 3, y, width, line)
            painter.drawText(area, _RIGHT, number(value, 2))
        middle = picture.center().y() - line / 2
        area = QRectF(picture.left() - width - 3, middle, width, line)
        painter.drawText(area, _RIGHT, self._names[1])

    # --- pointer ------------------------------------------------------------------------------

    def at(self, position: QPointF) -> str:
        """Key of the tile under a point, or ""."""
        places = self.place().items()
        return next((key for key, (whole, _) in places if whole.contains(position)), "")

    def event(self, event: QEvent) -> bool:
        """Each tile has a tooltip with everything in full."""
        if isinstance(event, QHelpEvent):
            key = self.at(QPointF(event.pos()))
            if key:
                QToolTip.showText(event.globalPos(), self._tiles[key].head.tooltip, self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click brings that run into view."""
        key = self.at(event.position())
        if key and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(key)
        super().mouseReleaseEvent(event)


_SMOOTH = Qt.TransformationMode.SmoothTransformation
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_MIDDLE = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter


def binned(points: Floats, box: Box, bins: int) -> Floats:
    """Points (N, 2) counted in ``bins`` × ``bins`` cells: (H, W), a density per unit².

    Its sum times the area of a cell is the share of points that lie in the box; cells are not
    smoothed. Points that are not finite are left out.
    """
    good = points[np.isfinite(points).all(1)]
    (x0, y0), (x1, y1) = box.low, box.high
    counts, _, _ = np.histogram2d(good[:, 1], good[:, 0], bins, [(y0, y1), (x0, x1)])
    area = (x1 - x0) * (y1 - y0) / bins**2
    return (counts / max(len(points), 1) / area).astype(np.float32)


def binned_1d(values: Floats, low: float, high: float, bins: int) -> Floats:
    """A histogram's outline (N, 2) as a density per unit."""
    good = values[np.isfinite(values)]
    counts, edges = np.histogram(good, bins, (low, high))
    heights = counts / max(len(values), 1) / ((high - low) / bins)
    return np.stack([np.repeat(edges, 2)[1:-1], np.repeat(heights, 2)], 1)


def mosaic(pictures: Floats) -> Floats:
    """Grey pictures (N, H, W) as one, row 0 at the bottom: as square as possible, 0 … 1."""
    n, height, width = pictures.shape
    columns = max(1, math.floor(math.sqrt(n)))
    rows = n // columns
    grid = pictures[: rows * columns].reshape(rows, columns, height, width)
    sheet: Floats = grid.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    return sheet[::-1]
