"""Jacobian: the matrix of the layer on its way beside that of the whole flow, at one point."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QLabel, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.messages import Answer
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.figures import as_float, fixed
from widgets.flow.clock import FlowClock
from widgets.flow.layer_table import short
from widgets.flow.matrix import MatrixView
from widgets.flow.side import Side
from widgets.look import Look

Floats: TypeAlias = npt.NDArray[Any]

ORDERS = (
    ("own", "the layer's order", "Rows and columns in the order in which the layer works them "
     "out: there the matrix is triangular where the layer has such an order"),
    ("natural", "number order", "Rows and columns as the data have them"),
)  # fmt: skip
HINT = "Click a point on the stage: the derivatives of every layer there, by autograd."
#: Matrices stand side by side from this shape on.
WIDE = 1.05


class JacobianSide(Side):
    """Two matrices, and below each what its determinant is by which way."""

    def __init__(self, look: Look, clock: FlowClock) -> None:
        super().__init__(look, clock)
        self._answer: Answer | None = None
        self._drawn: tuple[Answer, int, str] | None = None
        self.order = Segments(look, ORDERS)
        self.layer, self.stack = MatrixView(look), MatrixView(look)
        self.layer_words, self.stack_words = QLabel(), QLabel()
        for label in (self.layer_words, self.stack_words):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.empty = EmptyState(look)
        self.pages, self._content = QStackedWidget(), QWidget()
        self._build()
        self.restyle()
        self.show_answer("point", None)

    def _build(self) -> None:
        self._pair = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._pair.setSpacing(10)
        for view, words in ((self.layer, self.layer_words), (self.stack, self.stack_words)):
            column = QVBoxLayout()
            column.setSpacing(2)
            column.addWidget(view, 1)
            column.addWidget(words)
            self._pair.addLayout(column, 1)
        whole = QVBoxLayout(self._content)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.order)
        whole.addLayout(self._pair, 1)
        self.pages.addWidget(self.empty)
        self.pages.addWidget(self._content)
        self.column.addWidget(self.pages, 1)
        self.order.chosen.connect(lambda _: self.follow())

    def show_answer(self, part: str, answer: Answer | None) -> None:
        """Take the Jacobians of a point in, or forget them."""
        if part != "point":
            return
        self._answer = answer
        found = answer is not None and "layers" in answer.arrays
        if not found:
            note = str(answer.values.get("note") or "") if answer is not None else ""
            self.empty.say(note or "No point is chosen", "" if note else HINT)
            self.layer.clear()
            self.stack.clear()
        self.pages.setCurrentWidget(self._content if found else self.empty)
        self.follow()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Side by side where there is width."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        wide = self.width() >= WIDE * self.height()
        self._pair.setDirection(way.LeftToRight if wide else way.TopToBottom)

    def follow(self) -> None:
        """The matrix of the layer that is on its way."""
        answer = self._answer
        if answer is None or "layers" not in answer.arrays:
            return
        layers = np.asarray(answer.arrays["layers"])
        index = min(self.clock.layer, len(layers) - 1)
        key = (answer, index, self.order.current)
        if self._drawn is not None and self._drawn[0] is answer and self._drawn[1:] == key[1:]:
            return
        self._drawn = key
        names = answer.values.get("names")
        title = str(names[index]) if isinstance(names, list) else ""
        triangular = answer.values.get("triangular")
        in_order = isinstance(triangular, list) and bool(triangular[index])
        natural = np.arange(layers.shape[-1])
        own = self.order.current == "own" and in_order
        order = np.asarray(answer.arrays["orders"])[index] if own else natural
        turned = layers[index][np.ix_(order, order)]
        values = answer.values.get("values")
        titles = [str(v) for v in values] if isinstance(values, list) else []
        named = tuple(titles[i] for i in order) if len(titles) == len(order) else ()
        lower = bool((np.triu(turned, 1) == 0).all()) if own else False
        kind = "lower triangular" if own and (lower or not answer.values.get("direct")) else (
            "no order makes it triangular" if not in_order else "number order"
        )  # fmt: skip
        self.layer.set_matrix(turned, named, f"{title}: {kind}", diagonal=own)
        self.stack.set_matrix(np.asarray(answer.arrays["stack"]), tuple(titles),
                              f"all {len(layers)} layers together", diagonal=False)  # fmt: skip
        self._tell(answer, index, np.diag(turned) if own else None)

    def _tell(self, answer: Answer, index: int, diagonal: Floats | None) -> None:
        """Each determinant, by the ways that there are."""
        log_dets = np.asarray(answer.arrays["log_dets"])
        slogdet, told = float(answer.arrays["slogdets"][index]), float(log_dets[index])
        lines = [f"log|det| by autograd and LU {fixed(slogdet, 6)}"]
        if diagonal is not None:
            with np.errstate(divide="ignore"):
                product = float(np.log(np.abs(diagonal)).sum())
            lines.append(f"log of the diagonal's product {fixed(product, 6)}")
        lines.append(f"the layer's own log-det {fixed(told, 6)}")
        lines.append(f"they differ by {short(abs(told - slogdet))} nats")
        self.layer_words.setText(" · ".join(lines))
        whole = as_float(answer.values.get("stack_slogdet"))
        whole = math.nan if whole is None else whole
        total = math.fsum(log_dets.tolist())
        self.stack_words.setText(
            f"log|det| by autograd and LU {fixed(whole, 6)} · sum of the layers' log-dets "
            f"{fixed(total, 6)} · they differ by {short(abs(whole - total))} nats"
        )

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for label in (self.layer_words, self.stack_words):
            label.setFont(self.look.font(0.85))
            label.setStyleSheet(f"color: {self.look.palette.muted}; background: transparent")
        self.layer.restyle()
        self.stack.restyle()
