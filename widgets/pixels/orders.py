"""Orders: one joint factored in every order, and the likelihoods of one network under several."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.figures import as_float
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.cells import setting
from widgets.pixels.desk import Desk
from widgets.pixels.mode import Mode, lay_out, style_table
from widgets.pixels.words import fixed, spaced
from widgets.plots.curves import CurvePlot, Stroke
from widgets.recall import Recalled

Floats: TypeAlias = npt.NDArray[Any]

N_ORDERS, N_PICTURES, N_COARSE = 8, 128, 16
COLUMNS = ("order", "terms, nats", "log p", "network")
COLUMN_TIPS = (
    "The numbered values of the picture, in the order of the chain rule",
    "log p(xᵢ | earlier) of this table, along the order: other terms in each",
    "Their sum, which is the same in every order, exact",
    "log p of the same picture by the network under this order: each order of an order-agnostic "
    "network is a density of its own, which training alone brings together",
)
NO_ORDERS = (
    "This network has one order. A NADE or MADE with order_agnostic, or a MADE with n_orders or "
    "n_masks above 1, has several: their likelihoods, and that of their mixture, would be here."
)
MIX_TIP = (
    "log of the mean probability over the orders: a likelihood, never below the mean of theirs. "
    "The mean of their logits is refused, for it is none"
)


class OrdersMode(Mode, Recalled):
    """A picture, its log p as a sum in every order, and what several orders are worth."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.canvas, self.table = PixelCanvas(look, parent=self), QTableWidget(0, len(COLUMNS))
        self.curves = CurvePlot(look, parent=self)
        self.state: int | None = None
        self._answer: Answer | None = None
        self._several: Answer | None = None
        self._build()

    def _build(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(list(COLUMNS))
        for column, tip in enumerate(COLUMN_TIPS):
            heading = table.horizontalHeaderItem(column)
            if heading is not None:
                heading.setToolTip(tip)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        table.verticalHeader().hide()
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setAccessibleName("The chain rule in every order")
        self.curves.set_fit("whole")
        self.tools.add_button("likeliest", "likeliest", "The picture of the greatest p", "")
        self.column.addLayout(self.grid, 1)
        self.arrange(self.shape)
        self.canvas.chosen.connect(self._on_cell)
        self.tools.pressed.connect(self._on_pressed)

    def arrange(self, shape: str) -> None:
        """The picture beside its sums; the orders' likelihoods below."""
        canvas, table, curves = self.canvas, self.table, self.curves
        if self.curves.isHidden():
            lay_out(self.grid, ((canvas, table),), (1,), (2, 3))
        elif shape == "low":
            lay_out(self.grid, ((canvas, table, curves),), (1,), (2, 4, 3))
        else:
            lay_out(self.grid, ((canvas, table), (curves, curves)), (5, 4), (2, 3))

    # --- run ----------------------------------------------------------------------------------

    def refusal(self) -> str:
        """Real values of a network with one order have nothing to show here."""
        cells = self.desk.cells
        if cells is not None and cells.levels is None and not self.has_several:
            return "a joint that can be written down needs values in levels"
        return super().refusal()

    @property
    def has_several(self) -> bool:
        """Whether the network was trained under several orders or masks."""
        info = self.desk.info
        if info is None:
            return False
        counts = (setting(info, name) for name in ("n_orders", "n_masks"))
        return self.desk.has_orders or any(isinstance(n, int) and n > 1 for n in counts)

    @property
    def _members(self) -> str:
        n = setting(self.desk.info, "n_masks") if self.desk.info is not None else None
        return "orders and masks" if isinstance(n, int) and n > 1 else "orders"

    def open(self) -> None:
        """Another run: its likeliest picture, once it is known."""
        self.state = self._answer = self._several = None
        self.canvas.clear()
        self.table.setRowCount(0)
        self.curves.clear()
        self.curves.setVisible(self.has_several)
        self.curves.set_names(self._members, "mean −log p, nats")
        self.arrange(self.shape)
        self.canvas.set_hint(self.desk.absence or "The joint is being written down …")

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The joint in every order, and the likelihoods of several."""
        cells, asked = self.desk.cells, {}
        if cells is None or self.desk.absence:
            return {}
        if cells.levels is not None:
            wanted: dict[str, Value] = {"state": self.state or 0}
            asked["joint"] = Question("chain_rule_orders", wanted, live=rest)
        if self.has_several:
            few: dict[str, Value] = {"n_orders": N_ORDERS, "n": N_PICTURES if rest else N_COARSE}
            asked["several"] = Question("order_ensemble", few, live=rest)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one part."""
        if part == "several":
            self._several = answer
            self._draw_several()
        elif part == "joint":
            self._answer = answer
            if self.state is None:
                self._on_pressed("likeliest")
            self._draw()
        self.chips_changed.emit()

    def kept(self) -> int | None:
        """The state that is factored, for undo."""
        return self.state

    def keep(self, value: int | None) -> None:
        """Factor it again."""
        self._set_state(value)

    def what_changed(self, before: int | None, after: int | None) -> str:
        """What was chosen."""
        return "another picture"

    def chips(self) -> tuple[Chip, ...]:
        """How far the orders agree, of what, and what their mixture is worth."""
        palette, chips = self.look.palette, []
        if self._answer is not None:
            v = self._answer.values
            n, states = (int(v.get(f"n_{k}") or 0) for k in ("orders", "states"))  # type: ignore[arg-type]
            worst = float(v.get("worst") or 0.0)  # type: ignore[arg-type]
            tip = "Largest |product − joint| over all states and orders compared"
            chips += [
                Chip(f"{n} orders, {spaced(states)} states: products differ by at most "
                     f"{worst:.1g}", tip, palette.good if worst < 1e-12 else palette.error, "dot",
                     framed=True),
                Chip(f"{v.get('of')}", "The table whose conditionals are multiplied", framed=True),
            ]  # fmt: skip
        if self._several is not None:
            v = self._several.values
            mixed, error, mean = (as_float(v.get(k)) or 0.0 for k in ("nll", "error", "mean_nll"))
            words = f"mixture of {v.get('n_orders')} {self._members}"
            figures = f"{fixed(mixed)} ± {fixed(error)} nats, n = {v.get('n')}"
            chips += [
                Chip(f"{words} {figures}", MIX_TIP, palette.model, "dot", framed=True),
                Chip(f"mean of each {fixed(mean)} nats", MIX_TIP, framed=True),
            ]  # fmt: skip
        elif not self.has_several:
            chips.append(Chip("one order", NO_ORDERS, framed=True))
        shown = self._answer or self._several
        if shown is not None:
            chips.append(Chip(f"step {spaced(shown.step)}", "Training step of these weights",
                              framed=True))  # fmt: skip
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.canvas.restyle()
        self.curves.restyle()
        style_table(self.table, self.look)
        self._draw()
        self._draw_several()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        cells, answer = self.desk.cells, self._answer
        if cells is None or answer is None:
            return
        indices = self._indices()
        flat, there = np.zeros(cells.size, np.float32), np.zeros(cells.size, dtype=bool)
        flat[indices], there[indices] = self._state_values(), True
        numbers = np.full(cells.size, "", dtype=object)
        numbers[indices] = [str(i + 1) for i in range(len(indices))]
        self.canvas.set_title("click a value to change it", self.look.palette.model)
        self.canvas.set_cells(cells, cells.pixels(flat, there, self.look.palette.raised))
        self.canvas.set_words(tuple(numbers))
        some = cells.any_channel(there) if not there.all() else np.zeros((1, 1), dtype=bool)
        self.canvas.set_marks((some, self.look.palette.accent, "ring"))
        self._fill_table(answer)

    def _fill_table(self, answer: Answer) -> None:
        orders, terms = answer.arrays["orders"], answer.arrays["log_factors"]
        sums, each = answer.arrays["log_probs"], answer.arrays.get("model_log_probs")
        self.table.setRowCount(len(orders))
        self.table.setColumnHidden(3, each is None)
        for row, order in enumerate(orders):
            words = [" ".join(str(i + 1) for i in order), _sum(terms[row]), fixed(sums[row], 5)]
            words += [] if each is None else [fixed(each[row], 3)]
            for column, text in enumerate(words):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if column > 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(row, column, item)

    def _draw_several(self) -> None:
        answer, palette = self._several, self.look.palette
        if answer is None or "nlls" not in answer.arrays:
            return
        nlls, errors = answer.arrays["nlls"], answer.arrays["errors"]
        x = np.arange(1, len(nlls) + 1, dtype=float)
        tip = "Mean −log p over test pictures under each order, ± standard error; the first is own"
        stroke = Stroke("each of them", palette.data, tooltip=tip)
        self.curves.set_curve("nlls", x, nlls, stroke)
        for name, side in (("low", -1.0), ("high", 1.0)):
            faint = Stroke("", palette.data, 1.0, dashed=True)
            self.curves.set_curve(name, x, nlls + side * errors, faint)
        mixed = answer.values.get("nll")
        if isinstance(mixed, float):
            stroke = Stroke("mixture of their probabilities", palette.model, tooltip=MIX_TIP)
            self.curves.set_floor("mixture", mixed, stroke)
        self.curves.fit()

    # --- the state ----------------------------------------------------------------------------

    def _indices(self) -> list[int]:
        found = self._answer.values.get("indices") if self._answer is not None else None
        return [int(i) for i in found] if isinstance(found, list) else []

    def _levels(self) -> int:
        levels = self._answer.values.get("levels") if self._answer is not None else None
        return levels if isinstance(levels, int) else 2

    def _state_values(self) -> list[int]:
        """The levels of the state, one per index; the last one counts fastest."""
        levels, left, found = self._levels(), self.state or 0, []
        for _ in self._indices():
            left, level = divmod(left, levels)
            found.append(level)
        return found[::-1]

    def _set_state(self, state: int | None) -> None:
        if state != self.state:
            self.state = state
            self._draw()
            self.asks_changed.emit()

    def _on_cell(self, index: int) -> None:
        """The next level of the value that was clicked."""
        indices, cells = self._indices(), self.desk.cells
        if cells is not None and index not in indices:  # another colour of the pixel, perhaps
            index = next((i for i in indices if cells.cell_of(i) == cells.cell_of(index)), -1)
        if index in indices:
            values, place, levels = self._state_values(), indices.index(index), self._levels()
            values[place] = (values[place] + 1) % levels
            self._set_state(int(sum(v * levels**i for i, v in enumerate(values[::-1]))))

    def _on_pressed(self, name: str) -> None:
        likeliest = self._answer.values.get("likeliest") if self._answer is not None else None
        if name == "likeliest" and isinstance(likeliest, int):
            self._set_state(likeliest)


def _sum(terms: Floats) -> str:
    """Such as ``−0.69 − 1.20 − 0.33``; terms that round to 0 are shown as such."""
    words = [fixed(float(term)) for term in terms]
    return " ".join(
        [words[0], *(f"− {w[1:]}" if w.startswith("−") else f"+ {w}" for w in words[1:])]
    )
