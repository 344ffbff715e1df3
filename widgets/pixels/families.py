"""One histogram of the data, and what each family of output distributions makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.desk import Desk
from widgets.pixels.mode import style_table
from widgets.pixels.words import fixed, spaced
from widgets.plots.colours import part_colour
from widgets.plots.curves import CurvePlot, Stroke

COLUMNS = ("family", "parameters", "NLL, nats")
#: What is fitted: the data, or an example in which one curve cannot be two.
SOURCES = (("training data", "data"), ("two peaks", "peaks"))
SOURCE_TIP = (
    "Whose histogram is fitted: that of a value over the training data, or an example of 64 "
    "levels with two peaks, of which a Gaussian makes one broad hill"
)
N_PEAK_LEVELS = 64
COLUMN_TIPS = (
    "The output distribution",
    "Numbers that a network has to give out for it",
    "Cross-entropy of the histogram under the best fit: exact, nats a value",
)


class FamiliesView(QWidget):
    """A value of the picture, its histogram over the training data, and the fits.

    Signals:
        asks_changed: Another value or another family is looked at.
        chips_changed: :meth:`chips` are others.
        source_changed: The data are fitted again, for a value of theirs was clicked.
    """

    asks_changed = Signal()
    chips_changed = Signal()
    source_changed = Signal()

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__()
        self.look, self.desk = look, desk
        self.index, self.source = 0, "data"
        self._answer: Answer | None = None
        self._shown = ""
        self.canvas, self.curves = PixelCanvas(look), CurvePlot(look)
        self.table = QTableWidget(0, len(COLUMNS))
        self._build()

    def _build(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(list(COLUMNS))
        for column, tip in enumerate(COLUMN_TIPS):
            heading = table.horizontalHeaderItem(column)
            if heading is not None:
                heading.setToolTip(tip)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        table.verticalHeader().hide()
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.canvas, 0, 0)
        grid.addWidget(self.curves, 0, 1)
        grid.addWidget(self.table, 1, 0, 1, 2)
        for index, (height, width) in enumerate(((6, 2), (4, 3))):
            grid.setRowStretch(index, height)
            grid.setColumnStretch(index, width)
        self.curves.set_fit("whole")
        self.canvas.chosen.connect(self._on_chosen)
        table.itemSelectionChanged.connect(self._on_selected)
        self.desk.arrived.connect(self._draw_picture)

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: the value in the middle."""
        cells = self.desk.cells
        self._answer, self._shown = None, ""
        self.curves.clear()
        self.table.setRowCount(0)
        self.canvas.clear()
        self.canvas.set_hint(self.desk.absence)
        if cells is not None:
            self.index = cells.index_at(cells.rows // 2, cells.columns // 2) or 0

    def questions(self) -> dict[str, Question]:
        """The fits to the histogram of the chosen value, or to the example's."""
        arrays = {"counts": two_peaks()} if self.source == "peaks" else {}
        wanted: dict[str, Value] = {"index": self.index}
        return {"families": Question("output_families", wanted, arrays, live=False)}

    def set_source(self, source: str) -> None:
        """Fit the data or the example."""
        self.source = source
        self._draw_picture()
        self.asks_changed.emit()

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the fits."""
        if part == "families":
            self._answer = answer
            self._fill_table()
            self._draw_curves()
            self._draw_picture()
            self.chips_changed.emit()

    def chips(self) -> tuple[Chip, ...]:
        """What can be reached at best, and on how many values."""
        if self._answer is None:
            return ()
        v = self._answer.values
        least, n = v.get("least"), v.get("n_observed")
        chips = []
        if isinstance(least, float):
            tip = "Entropy of the histogram: no probability of levels can have a lower NLL"
            chips.append(Chip(f"least possible {fixed(least, 3)} nats, exact", tip,
                              self.look.palette.data, "dot", framed=True))  # fmt: skip
        if isinstance(n, float):
            what = "values of an example" if self.source == "peaks" else "training values"
            chips.append(Chip(f"{spaced(int(n))} {what}", "What the families are fitted to by "
                              "maximum likelihood", framed=True))  # fmt: skip
        kinds = v.get("kinds")
        if isinstance(kinds, list) and "density" in kinds:
            tip = "Its NLL can be below 0 and must not be compared with the others"
            chips.append(Chip("a density is no probability of levels", tip, framed=True))
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.canvas.restyle()
        self.curves.restyle()
        style_table(self.table, self.look)
        self._draw_curves()
        self._draw_picture()

    # --- drawing ------------------------------------------------------------------------------

    def _column(self, name: str) -> list[Any]:
        found = self._answer.values.get(name) if self._answer is not None else None
        return found if isinstance(found, list) else []

    def _fill_table(self) -> None:
        names, params = self._column("names"), self._column("n_params")
        nlls, kinds = self._column("nlls"), self._column("kinds")
        comparable = [v for v, k in zip(nlls, kinds, strict=True) if k != "density"]
        best = min(comparable, default=None)
        self.table.blockSignals(True)
        self.table.setRowCount(len(names))
        for row, (name, n, loss, kind) in enumerate(zip(names, params, nlls, kinds, strict=True)):
            density = kind == "density"
            words = fixed(float(loss), 3) + (" (density)" if density else "")
            for column, text in enumerate((str(name), str(n), words)):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                if density:
                    item.setForeground(QColor(self.look.palette.muted))
                    item.setToolTip("A density at the levels: not comparable with probabilities")
                elif loss == best:
                    item.setForeground(QColor(self.look.palette.good))
                self.table.setItem(row, column, item)
        self.table.blockSignals(False)

    def _draw_curves(self) -> None:
        answer = self._answer
        if answer is None:
            return
        palette, counts = self.look.palette, answer.arrays["counts"].astype(np.float64)
        share = counts / max(counts.sum(), 1.0)
        self.curves.clear()
        self.curves.set_names("level x", "probability")
        self.curves.set_pinned(y=0.0)
        x, y = _stairs(share)
        self.curves.set_curve("data", x, y, Stroke("histogram", palette.data, 1.6))
        names = self._column("names")
        shown = [self._shown] if self._shown in names else names[:4]
        for name in shown:
            probs = answer.arrays["probs"][names.index(name)]
            colour = part_colour(names.index(name) + 1, dark=palette.name == "dark")
            x, y = _stairs(probs)
            self.curves.set_curve(str(name), x, y, Stroke(str(name), colour, 1.4))
        self.curves.fit()

    def _draw_picture(self) -> None:
        cells, examples = self.desk.cells, self.desk.examples
        if cells is None or not len(examples):
            return
        everything = np.ones(cells.size, dtype=bool)
        title = f"histogram of {cells.words(self.index)}"
        if self.source == "peaks":
            title = "an example; click a value for the data's"
        self.canvas.set_title(title, self.look.palette.data)
        mean = examples.mean(0)
        self.canvas.set_cells(cells, cells.pixels(mean, everything, self.look.palette.raised))
        self.canvas.set_at(self.index if self.source == "data" else None)

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, index: int) -> None:
        self.index = index
        if self.source != "data":
            self.source = "data"
            self.source_changed.emit()
        self.asks_changed.emit()

    def _on_selected(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        names = self._column("names")
        self._shown = str(names[rows[0].row()]) if rows and rows[0].row() < len(names) else ""
        self._draw_curves()


def two_peaks() -> np.ndarray[Any, Any]:
    """A histogram of two bells, at a quarter and three quarters of 64 levels."""
    places = (np.arange(N_PEAK_LEVELS) + 0.5) / N_PEAK_LEVELS
    bells = sum(np.exp(-0.5 * ((places - centre) / 0.05) ** 2) for centre in (0.25, 0.75))
    return np.asarray(np.round(60.0 * bells))


def _stairs(values: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Steps over −½ … k − ½."""
    edges = np.arange(len(values) + 1) - 0.5
    return np.repeat(edges, 2)[1:-1], np.repeat(values, 2)
