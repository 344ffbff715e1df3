"""Paints which cells of a picture are occluded: brush, rectangle, eraser, and whole halves."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from widgets.look import Look
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.cells import Cells, Pixels
from widgets.plots.colours import with_alpha
from widgets.recall import Recalled

Mask: TypeAlias = npt.NDArray[np.bool_]

TOOLS = ("brush", "rectangle", "eraser")
#: Radii of the brush, in cells.
RADII = (0, 1, 2, 3, 5)
HALVES = ("lower", "upper", "left", "right", "centre")
NOTCH = 120


class MaskPainter(PixelCanvas, Recalled):
    """A picture on which the occluded cells are painted; true in ``known`` is what stays.

    The brush's disc and the rectangle occlude, the eraser reveals; the right button does the
    opposite. The arrow keys move a cell cursor and Enter occludes or reveals there.

    Signals:
        painted: The mask changed, while a stroke goes on.
        finished: A stroke is over: (the mask before, the mask now).
    """

    painted = Signal()
    finished = Signal(object, object)

    def __init__(self, look: Look, *, parent: QWidget | None = None) -> None:
        super().__init__(look, parent=parent)
        self.tool = "brush"
        self.radius = 1
        self.known: Mask = np.ones((0, 0), dtype=bool)
        self._before: Mask | None = None
        self._hides = True
        self._last: tuple[int, int] | None = None
        self._corner: tuple[int, int] | None = None
        self._spot: QPointF | None = None
        self._turned = 0
        self.setToolTip("Paint over what is to be occluded; the right button reveals again")

    # --- the mask -----------------------------------------------------------------------------

    def set_cells(self, cells: Cells | None, pixels: Pixels | None) -> None:
        """Show a picture; the mask stays where it fits."""
        super().set_cells(cells, pixels)
        if cells is not None and self.known.shape != (cells.rows, cells.columns):
            self.known = np.ones((cells.rows, cells.columns), dtype=bool)
            self._corner = self._last = self._before = None

    @property
    def is_occluded(self) -> bool:
        """Whether anything is occluded."""
        return bool((~self.known).any())

    def set_known(self, known: Mask) -> None:
        """Take a mask (H, W), true where the picture is known; emits ``painted``."""
        if self.cells is None or known.shape != self.known.shape:
            raise ValueError(f"mask: given shape {known.shape}, wanted {self.known.shape}")
        self.known = known.astype(bool)
        self.update()
        self.painted.emit()

    def kept(self) -> tuple[Mask, int]:
        """The mask and the brush, for undo."""
        return self.known.copy(), self.radius

    def keep(self, value: tuple[Mask, int]) -> None:
        """Take them back; a mask of pictures of another size is ignored."""
        known, self.radius = value
        if known.shape == self.known.shape:
            self.known = known.copy()
            self.painted.emit()
        self.update()

    def what_changed(self, before: tuple[Mask, int], after: tuple[Mask, int]) -> str:
        """What the hand did."""
        more = int(before[0].sum()) - int(after[0].sum())
        if before[0].shape == after[0].shape and (before[0] == after[0]).all():
            return "size of the brush"
        return "occlude" if more >= 0 else "reveal"

    def occlude(self, part: str) -> None:
        """Occlude ``"lower"``, ``"upper"``, ``"left"``, ``"right"`` or ``"centre"``, or ""."""
        before = self.known.copy()
        self.set_known(part_of(self.known.shape, part))
        self.finished.emit(before, self.known.copy())

    # --- the user -----------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A stroke begins."""
        self.setFocus()
        cell = self.cell_at(event.position())
        left = event.button() == Qt.MouseButton.LeftButton
        if cell is None or not (left or event.button() == Qt.MouseButton.RightButton):
            return
        self._hides = (self.tool != "eraser") == left
        self._before = self.known.copy()
        self._last = self._corner = cell
        self._move_to(cell)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """A stroke goes on."""
        super().mouseMoveEvent(event)
        self._spot = event.position()
        cell = self._nearest(event.position())
        if self._before is not None and cell is not None:
            self._move_to(cell)
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A stroke ends."""
        before, self._before = self._before, None
        self._corner = self._last = None
        if before is not None and (before != self.known).any():
            self.finished.emit(before, self.known.copy())
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The wheel changes the brush."""
        self._turned += event.angleDelta().y()
        notches = int(self._turned / NOTCH)
        self._turned -= notches * NOTCH
        place = RADII.index(min(RADII, key=lambda r: abs(r - self.radius))) + notches
        self.radius = RADII[min(max(place, 0), len(RADII) - 1)]
        self.update()
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter occludes or reveals at the cell cursor."""
        if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter) or self.cells is None:
            super().keyPressEvent(event)
            return
        row, column = self.cells.cell_of(self.at or 0)
        self._hides = self.tool != "eraser" and bool(self.known[row, column])
        before, self._last = self.known.copy(), (row, column)
        self._stroke((row, column))
        self._last = None
        self.painted.emit()
        self.finished.emit(before, self.known.copy())

    # --- painting -----------------------------------------------------------------------------

    def _move_to(self, cell: tuple[int, int]) -> None:
        if self.tool == "rectangle" and self._corner is not None and self._before is not None:
            self.known = self._before.copy()
            rows, columns = (sorted(pair) for pair in zip(self._corner, cell, strict=True))
            self.known[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = not self._hides
        else:
            self._stroke(cell)
        self._last = cell
        self.update()
        self.painted.emit()

    def _stroke(self, to: tuple[int, int]) -> None:
        """A disc at every cell on the way."""
        start = self._last or to
        n = max(abs(to[0] - start[0]), abs(to[1] - start[1]), 1)
        rows, columns = np.indices(self.known.shape)
        for share in np.linspace(0.0, 1.0, n + 1):
            row, column = (a + share * (b - a) for a, b in zip(start, to, strict=True))
            near = (rows - row) ** 2 + (columns - column) ** 2 <= (self.radius + 0.4) ** 2
            self.known[near] = not self._hides

    def _nearest(self, spot: QPointF) -> tuple[int, int] | None:
        """The cell under a place, or the nearest one while a stroke leaves the picture."""
        area = self.area()
        if self._before is None or area.isEmpty():
            return self.cell_at(spot)
        x = min(max(spot.x(), area.left()), area.right() - 0.01)
        y = min(max(spot.y(), area.top()), area.bottom() - 0.01)
        return self.cell_at(QPointF(x, y))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The picture, what is occluded, and the brush."""
        super().paintEvent(event)
        if self.cells is None or self.area().isEmpty():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_occluded(painter)
        cell = self.cell_at(self._spot) if self._spot is not None else None
        if cell is None or self.tool == "rectangle":
            return
        side = self.rect_of(0, 0).width()
        reach = (self.radius + 0.5) * side
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(self._look.palette.accent), 1.5))
        painter.drawEllipse(self.rect_of(*cell).center(), reach, reach)

    def _draw_occluded(self, painter: QPainter) -> None:
        palette = self._look.palette
        lines = QBrush(with_alpha(palette.muted, 0.6), Qt.BrushStyle.BDiagPattern)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
        for row, column in np.argwhere(~self.known).tolist():
            box: QRectF = self.rect_of(row, column)
            painter.fillRect(box, QColor(palette.raised))
            painter.fillRect(box, lines)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_at(painter)


def part_of(shape: tuple[int, ...], part: str) -> Mask:
    """A mask (H, W), true where known, with one of :data:`HALVES` occluded; "" occludes nothing.

    The halves of a single row are its first and its last.

    Raises:
        ValueError: There is no such part.
    """
    rows, columns = shape
    known = np.ones((rows, columns), dtype=bool)
    if not part:
        return known
    every = slice(None)
    later, first = slice((columns + 1) // 2, None), slice(None, columns // 2)
    below, above = slice((rows + 1) // 2, None), slice(None, rows // 2)
    row = rows == 1
    parts = {
        "lower": (every, later) if row else (below, every),
        "upper": (every, first) if row else (above, every),
        "left": (every, first),
        "right": (every, later),
        "centre": (
            every if row else slice(rows // 4, rows - rows // 4),
            slice(columns // 4, columns - columns // 4),
        ),
    }
    if part not in parts:
        raise ValueError(f"part: given '{part}', wanted one of {', '.join(HALVES)}")
    known[parts[part]] = False
    return known
