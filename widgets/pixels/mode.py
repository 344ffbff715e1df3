"""The base of the panel's modes: one way of looking at a model of pixels."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtWidgets import QGridLayout, QTableWidget, QWidget

from widgets.look import Look
from widgets.mode_panel import PanelMode
from widgets.pixels.desk import Desk

LEAKS = "with mask B in the first layer each value is predicted from itself, so none can be drawn"


class Mode(PanelMode):
    """A page of the panel, with a tool row of its own."""

    #: Whether the mode is about values that are drawn.
    draws: ClassVar[bool] = True

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look)
        self.desk, self.shape = desk, "even"

    def refusal(self) -> str:
        """Nothing can be drawn from a network that looks at what it predicts."""
        return LEAKS if self.draws and self.desk.leaks else ""


def lay_out(grid: QGridLayout, rows: tuple[tuple[QWidget, ...], ...], heights: tuple[int, ...],
            widths: tuple[int, ...]) -> None:  # fmt: skip
    """Put widgets into a grid anew, with shares of height and width; repeated ones span."""
    while grid.count():
        grid.takeAt(0)
    for index in range(max(grid.rowCount(), grid.columnCount())):
        grid.setRowStretch(index, 0)
        grid.setColumnStretch(index, 0)
    for widget in dict.fromkeys(widget for row in rows for widget in row):
        places = [(r, c) for r, row in enumerate(rows) for c, w in enumerate(row) if w is widget]
        (top, left), (bottom, right) = places[0], places[-1]
        grid.addWidget(widget, top, left, bottom - top + 1, right - left + 1)
    for row, share in enumerate(heights):
        grid.setRowStretch(row, share)
    for column, share in enumerate(widths):
        grid.setColumnStretch(column, share)


def style_table(table: QTableWidget, look: Look) -> None:
    """Give a table the fonts and colours of the look."""
    palette = look.palette
    table.setFont(look.font(0.9))
    table.horizontalHeader().setFont(look.font(0.85))
    table.setStyleSheet(
        f"QTableWidget {{ background: {palette.panel}; color: {palette.text}; border: none; }}"
        f"QHeaderView::section {{ background: {palette.panel}; color: {palette.muted};"
        f" border: none; border-bottom: 1px solid {palette.border}; }}"
        f"QTableWidget::item:selected {{ background: {palette.raised}; color: {palette.text}; }}"
    )
