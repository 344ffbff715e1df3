"""A mixture's components at one point: log π + log N of each, and who is responsible."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look
from widgets.plots.colours import part_colour
from widgets.why.waterfall import signed

Floats: TypeAlias = npt.NDArray[Any]

#: Pixels at scale 1 of a row; so many components are shown, the likeliest first.
ROW, MOST = 21, 24
#: Decimals where there is room.
MOST_DIGITS = 4
#: Shares of the width: number, log π, log p(x|k), their sum; the rest is the bar.
COLUMNS = (0.08, 0.18, 0.20, 0.20)
HEADS = ("k", "log π", "log p(x|k)", "sum", "responsibility")


class ComponentTable(QWidget):
    """One row per component; the sum line says log Σ exp of the column of sums."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._rows: list[tuple[int, float, float, float]] = []
        self._n = 0
        self._total = 0.0
        #: The place of the first component's colour among those of parts.
        self.first_colour = 0
        self.setToolTip(
            "log p(x) = log Σ exp(log π + log p(x | k)) over all components k, in nats; the "
            "responsibility r is a component's share of that sum"
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.restyle()

    @property
    def total(self) -> float:
        """log Σ exp of the sums, nats."""
        return self._total

    def set_components(self, log_weights: Floats, log_densities: Floats, shares: Floats) -> None:
        """Show the components, (K,) each, the likeliest first."""
        joint = log_weights + log_densities
        self._total = float(np.logaddexp.reduce(joint))
        self._n = len(joint)
        order = np.argsort(-joint, kind="stable")[:MOST]
        self._rows = [
            (int(k), float(log_weights[k]), float(log_densities[k]), float(shares[k]))
            for k in order
        ]
        self.updateGeometry()
        self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.9))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """All rows."""
        return QSize(self._look.px(320), self._look.px(ROW) * (len(self._rows) + 2))

    def minimumSizeHint(self) -> QSize:
        """All rows; a scroll area holds what is too high."""
        return QSize(1, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Heads, rows, the sum."""
        if not self._rows:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(self._look.palette.muted))
        for column, head in enumerate(HEADS):
            self._write(painter, 0, column, head)
        digits = self._digits()
        for place, row in enumerate(self._rows, 1):
            self._draw_row(painter, place, row, digits)
        painter.setPen(QColor(self._look.palette.text))
        painter.setFont(self._look.font(0.9, bold=True))
        line = self._look.px(ROW)
        hidden = self._n - len(self._rows)
        more = f" (and {hidden} more)" if hidden else ""
        area = QRectF(0, line * (len(self._rows) + 1), self.width(), line)
        words = f"log Σ exp of the sums{more} = {signed(self._total)} nats"
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, words)

    def _digits(self) -> int:
        """Decimals of all numbers: as many as the columns have room for."""
        wide = self.fontMetrics().horizontalAdvance
        numbers = [(row[1], row[2], row[1] + row[2]) for row in self._rows]
        rooms = [share * self.width() - 4 for share in COLUMNS[1:]]
        for digits in range(MOST_DIGITS, 0, -1):
            texts = ([signed(value, digits) for value in row] for row in numbers)
            if all(wide(t) <= r for row in texts for t, r in zip(row, rooms, strict=True)):
                return digits
        return 0

    def _draw_row(
        self, painter: QPainter, place: int, row: tuple[int, float, float, float], digits: int
    ) -> None:
        palette = self._look.palette
        k, weight, density, share = row
        colour = part_colour(k + self.first_colour, dark=palette.name == "dark")
        painter.setPen(QColor(palette.text))
        for column, text in enumerate(
            (str(k + 1), *(signed(x, digits) for x in (weight, density, weight + density)))
        ):
            self._write(painter, place, column, text)
        line, left = self._look.px(ROW), sum(COLUMNS) * self.width()
        wide = self.fontMetrics().horizontalAdvance("100.0 %") + self._look.px(6)
        room = max(self.width() - left - wide, 4.0)
        bar = QRectF(left, place * line + line * 0.22, max(share * room, 1.0), line * 0.56)
        painter.setPen(QPen(QColor(colour), 1.0))
        painter.setBrush(QColor(colour))
        painter.drawRect(bar)
        painter.setPen(QColor(palette.text))
        area = QRectF(bar.right() + self._look.px(4), place * line, wide, line)
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, _percent(share))

    def _write(self, painter: QPainter, place: int, column: int, text: str) -> None:
        line = self._look.px(ROW)
        left = sum(COLUMNS[:column]) * self.width()
        share = COLUMNS[column] if column < len(COLUMNS) else 1.0 - sum(COLUMNS)
        area = QRectF(left, place * line, share * self.width() - 4, line)
        text = self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, text)


def _percent(share: float) -> str:
    if 0.0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"
