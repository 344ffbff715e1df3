"""All states of a small machine: E(v, h) in a table, F(v) summed from it and by its formula."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.figures import fixed
from widgets.gibbs.desk import Desk
from widgets.look import Look
from widgets.plots.colours import table, to_bytes

Floats: TypeAlias = npt.NDArray[Any]

#: Columns of hidden states that are drawn at most; rows are as many as fit, the likeliest first.
MOST_COLUMNS = 8
#: Columns behind the energies.
ENDS = ("F, by Σ", "F, formula", "p(v)")


class StatesTable(QWidget):
    """Rows are states of v, columns states of h; shades tell how low the energy is."""

    def __init__(self, look: Look, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._desk = look, desk
        self.energies: Floats = np.zeros((0, 0))
        self.free, self.formula = np.zeros(0), np.zeros(0)
        self.visible: Floats = np.zeros((0, 0))
        self._all_hidden = 0
        self.hidden: Floats = np.zeros((0, 0))
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(40, 40)
        self.setToolTip(
            "E(v, h) of every state, in nats: the stronger the shade, the lower and the likelier. "
            "F(v) is −log Σ exp(−E) over the row; its formula gives the same number"
        )
        self.restyle()

    def set_states(self, arrays: dict[str, Floats]) -> None:
        """Take ``table``, ``free``, ``formula``, ``states_v`` and ``states_h``."""
        order = np.argsort(arrays["free"], kind="stable")
        weights = np.exp(-(arrays["table"] - arrays["table"].min())).sum(0)
        columns = np.argsort(-weights, kind="stable")[:MOST_COLUMNS]
        self.energies = arrays["table"][order][:, columns]
        self.free, self.formula = arrays["free"][order], arrays["formula"][order]
        self.visible = arrays["states_v"][order]
        self.hidden = arrays["states_h"][columns]
        self._all_hidden = len(arrays["states_h"])
        worst = float(np.abs(self.free - self.formula).max(initial=0.0))
        self.setAccessibleName(
            f"E(v, h) of {arrays['table'].size} states; F agrees to {worst:.1g}"
        )
        self.update()

    def clear(self) -> None:
        """Show none."""
        self.energies = np.zeros((0, 0))
        self.update()

    @property
    def chances(self) -> Floats:
        """p(v) of each row, from F."""
        least = self.free.min(initial=np.inf)
        weights: Floats = np.exp(-(self.free - least))
        chances: Floats = weights / weights.sum()
        return chances

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.88))
        self.update()

    # --- drawing ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title, heads of the columns, then row by row."""
        if not self.energies.size or not np.isfinite(self.energies).all():
            return
        painter = QPainter(self)
        line = self.fontMetrics().height()
        painter.setPen(QColor(self._look.palette.text))
        n_rows, n_columns = self._shown()
        words = f"E(v, h), nats: the {n_rows} likeliest of {len(self.free)} states of v"
        if n_columns < self._all_hidden:
            words += f", {n_columns} of {self._all_hidden} states of h"
        words = self.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(0, 0, self.width(), line), words)
        self._draw_heads(painter, n_columns)
        low, high = float(self.energies.min()), float(self.energies.max())
        shades = table(self._look.palette.sequential)[
            to_bytes(-self.energies.astype(np.float32), -high, -low)
        ]
        chances = self.chances
        for row in range(n_rows):
            self._draw_row(painter, row, shades[row], float(chances[row]))

    def _side(self) -> float:
        """Height of a row."""
        return 1.75 * self.fontMetrics().height()

    def _top(self) -> float:
        return 2.6 * self.fontMetrics().height()

    def _shown(self) -> tuple[int, int]:
        """Rows and columns of h that there is room for."""
        rows = int((self.height() - self._top()) // self._side())
        wide = self._column_width()
        columns = int((self.width() - self._side() * 1.3) // wide) - len(ENDS)
        return max(0, min(rows, len(self.free))), max(1, min(columns, self.energies.shape[1]))

    def _column_width(self) -> float:
        """As wide as there is room, up to half as much again as the words need."""
        least = float(self.fontMetrics().horizontalAdvance("F, formula")) + self._look.px(8)
        room = self.width() - 1.3 * self._side()
        wanted = room / (self.energies.shape[1] + len(ENDS))
        return float(min(max(wanted, least), 1.5 * least))

    def _box(self, row: int, column: int) -> QRectF:
        wide, side = self._column_width(), self._side()
        return QRectF(1.3 * side + column * wide, self._top() + row * side, wide, side)

    def _draw_heads(self, painter: QPainter, n_columns: int) -> None:
        line = self.fontMetrics().height()
        painter.setPen(QColor(self._look.palette.muted))
        names = ["h = " + "".join(str(int(on)) for on in state) for state in self.hidden]
        for column, name in enumerate([*names[:n_columns], *ENDS]):
            box = self._box(0, column)
            area = QRectF(box.left(), box.top() - 1.2 * line, box.width(), line)
            short = self.fontMetrics().elidedText(
                name, Qt.TextElideMode.ElideRight, int(box.width())
            )
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, short)
        area = QRectF(0, self._top() - 1.2 * line, 1.2 * self._side(), line)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "v")

    def _draw_row(
        self, painter: QPainter, row: int, shades: npt.NDArray[np.uint32], chance: float
    ) -> None:
        palette = self._look.palette
        n_columns = self._shown()[1]
        self._draw_visible(painter, row)
        for column in range(n_columns):
            box = self._box(row, column).adjusted(0, 0, -1, -1)
            shade = QColor(int(shades[column]) & 0xFFFFFF)
            painter.fillRect(box, shade)
            painter.setPen(QColor("#101216" if shade.lightnessF() > 0.5 else "#f4f6fa"))
            words = fixed(float(self.energies[row, column]), 2)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)
        painter.setPen(QColor(palette.text))
        ends = (
            fixed(float(self.free[row]), 4), fixed(float(self.formula[row]), 4), fixed(chance, 4)
        )  # fmt: skip
        for place, words in enumerate(ends):
            painter.drawText(
                self._box(row, n_columns + place), Qt.AlignmentFlag.AlignCenter, words
            )

    def _draw_visible(self, painter: QPainter, row: int) -> None:
        """The state as its picture, or as a row of cells."""
        cells = self._desk.cells
        if cells is None or cells.size != self.visible.shape[1]:
            return
        palette, height = self._look.palette, self._side() - 4
        side = min(height / cells.rows, 1.2 * self._side() / cells.columns)
        top = self._top() + row * self._side() + (self._side() - side * cells.rows) / 2
        left = (1.2 * self._side() - side * cells.columns) / 2
        painter.setPen(QPen(QColor(palette.muted), 1))
        for index, on in enumerate(self.visible[row]):
            at_row, column = cells.cell_of(index)
            box = QRectF(left + column * side, top + at_row * side, side, side)
            painter.setBrush(QColor("#ffffff" if on else "#000000"))
            painter.drawRect(box)
        painter.setBrush(Qt.BrushStyle.NoBrush)
