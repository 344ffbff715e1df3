"""Errors: what is paid per value on data and on own samples; output distributions compared."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QGridLayout, QStackedWidget, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.segments import Segments
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.cells import Cells, setting
from widgets.pixels.desk import Desk
from widgets.pixels.families import SOURCE_TIP, SOURCES, FamiliesView
from widgets.pixels.map_view import MapView
from widgets.pixels.mode import Mode
from widgets.pixels.words import fixed, spaced
from widgets.plots.curves import CurvePlot, Stroke

Floats: TypeAlias = npt.NDArray[Any]

N_PICTURES, N_COARSE = 128, 16
#: Fewer for pictures of more values than this; the pause while a run trains, in seconds.
LARGE, FEWER, REDRAW_SECONDS = 256, 32, 4.0
#: Shares of the picture that are taken from data before the model goes on alone.
PREFIXES = (("free from the first value", 0.0), ("free after 1/4 of data", 0.25),
            ("free after 1/2 of data", 0.5), ("free after 3/4 of data", 0.75))  # fmt: skip
VIEWS = (("each value", "each"), ("running total", "total"))
PAGES = (
    ("own", "own samples", "NLL per value: teacher forcing on data, free running on own samples"),
    ("families", "output families", "One histogram fitted by every output distribution"),
)
GAP_TIP = (
    "Both are means of −ln p(xᵢ | earlier) over pictures, with standard errors. On its own "
    "samples a model pays its own entropy; on data it pays what it has not learnt on top"
)


class ErrorsMode(Mode):
    """Curves along the order and two maps; or the families of output distributions."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.switch = Segments(look, PAGES)
        self.curves = CurvePlot(look)
        self.maps = {name: MapView(look) for name in ("data", "own")}
        self.families = FamiliesView(look, desk)
        self.prefix, self.view = 0.0, "each"
        self._answer: Answer | None = None
        self._done_at = 0.0
        self._build()

    def _build(self) -> None:
        self.tools.addWidget(self.switch)
        self.tools.add_choice("prefix", "How many values are taken from data before the model "
                              "goes on alone")  # fmt: skip
        self.tools.set_choices("prefix", PREFIXES)
        self.tools.add_choice("view", "Each value by itself, or summed up along the order")
        self.tools.set_choices("view", VIEWS)
        self.tools.add_choice("source", SOURCE_TIP)
        self.tools.set_choices("source", SOURCES)
        page = QWidget()
        grid = QGridLayout(page)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.curves, 0, 0, 1, 2)
        grid.addWidget(self.maps["data"], 1, 0)
        grid.addWidget(self.maps["own"], 1, 1)
        for row in (0, 1):
            grid.setRowStretch(row, 1)
            grid.setColumnStretch(row, 1)
        self.pages = QStackedWidget()
        self.pages.addWidget(page)
        self.pages.addWidget(self.families)
        self.column.addWidget(self.pages, 1)
        self.curves.set_fit("whole")
        self.switch.chosen.connect(self._on_page)
        self.tools.chosen.connect(self._on_chosen)
        self.families.asks_changed.connect(self.asks_changed)
        self.families.chips_changed.connect(self.chips_changed)
        self.families.source_changed.connect(lambda: self.tools.set_choice("source", "data"))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._answer = None
        self.curves.clear()
        for view in self.maps.values():
            view.clear()
            view.canvas.set_hint(self.desk.absence or "The pictures are being scored …")
        self.families.open()
        self._show_choices()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The losses, or the families."""
        cells = self.desk.cells
        if cells is None or self.desk.absence:
            return {}
        if self.switch.current == "families":
            return self.desk.data_questions() | self.families.questions()
        due = time.monotonic() - self._done_at > REDRAW_SECONDS
        most = N_PICTURES if cells.size <= LARGE else FEWER
        arguments: dict[str, Value] = {
            "n": most if rest else N_COARSE,
            "prefix": min(round(self.prefix * cells.size), cells.size - 1),
            "entropies": False,
            **self.desk.ordering(),
        }
        live = rest or due or self.desk.is_scrubbing
        return {
            "losses": Question("own_samples_nll", arguments, live=live, stream=True, coarse=None)
        }

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one part."""
        if part == "losses":
            whole = self._answer is not None and "own_nll" in self._answer.arrays
            if not answer.arrays or (whole and not answer.final):
                return  # what is shown is whole, of the data and of own samples
            self._done_at = time.monotonic() if answer.final else self._done_at
            self._answer = answer
            self._draw()
            self.chips_changed.emit()
        else:
            self.families.show_answer(part, answer)

    def chips(self) -> tuple[Chip, ...]:
        """The totals, with their errors, and how the run was trained."""
        if self.switch.current == "families":
            return self.families.chips()
        if self._answer is None:
            return ()
        v, palette = self._answer.values, self.look.palette
        chips = []
        for name, words, colour in (
            ("data", "data, teacher forcing", palette.data),
            ("own", "own samples, free running", palette.model),
        ):
            total, error = v.get(f"{name}_total"), v.get(f"{name}_total_error")
            if isinstance(total, float) and isinstance(error, float):
                text = f"{words}: {fixed(total)} ± {fixed(error)} nats, n = {v.get(f'n_{name}')}"
                chips.append(Chip(text, GAP_TIP, colour, "dot", framed=True))
        training = self._training_words()
        chips.append(Chip(training[0], training[1], framed=True))
        chips.append(Chip(f"step {spaced(self._answer.step)}", "Training step of these weights",
                          framed=True))  # fmt: skip
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        self.curves.restyle()
        for view in self.maps.values():
            view.restyle()
        self.families.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _training_words(self) -> tuple[str, str]:
        info = self.desk.info
        schedule = setting(info, "scheduled_sampling") if info is not None else None
        if schedule in (None, "none"):
            tip = "Training conditions on the data: each value is predicted from true earlier ones"
            return "trained by teacher forcing", tip
        tip = (
            "Training conditions on the model's own draws with a growing probability 1 − ε. It is "
            "not a consistent estimator: its optimum is not the data's distribution"
        )
        return f"trained by scheduled sampling, {schedule}", tip

    def _draw(self) -> None:
        answer, cells = self._answer, self.desk.cells
        if answer is None or cells is None or "order" not in answer.arrays:
            return
        order = answer.arrays["order"].astype(np.int64)
        palette = self.look.palette
        unit = "−ln p(xᵢ | earlier), nats" if self.view == "each" else "sum so far, nats"
        self.curves.set_names("place in the order", unit)
        self.curves.set_pinned(x=0.0, y=None if cells.levels is None else 0.0)
        ends = _common_ends(answer, cells, order)
        for name, words, colour in (
            ("data", "data (teacher forcing)", palette.data),
            ("own", "own samples (free running)", palette.model),
        ):
            losses = answer.arrays.get(f"{name}_nll")
            if losses is None:
                self.curves.remove(name)
                continue
            y = losses if self.view == "each" else np.cumsum(losses)
            stroke = Stroke(words, colour, 1.6, tooltip=GAP_TIP)
            self.curves.set_curve(name, np.arange(1, len(y) + 1, dtype=float), y, stroke)
            flat = np.empty(len(order))
            flat[order] = losses
            view = self.maps[name]
            view.canvas.set_title(f"mean on {words}", colour)
            everything = np.ones(cells.size, dtype=bool)
            view.set_map(cells, flat, everything, "nats, estimate", ends)
        self.curves.fit()

    def _show_choices(self) -> None:
        own = self.switch.current != "families"
        for name in ("prefix", "view"):
            self.tools.show_choice(name, own)
        self.tools.show_choice("source", not own)

    # --- the user -----------------------------------------------------------------------------

    def _on_page(self, name: str) -> None:
        self.pages.setCurrentIndex(0 if name == "own" else 1)
        self._show_choices()
        self.chips_changed.emit()
        self.asks_changed.emit()

    def _on_chosen(self, name: str, value: Any) -> None:
        if name == "prefix":
            self.prefix = float(value)
        elif name == "source":
            self.families.set_source(str(value))
        else:
            self.view = str(value)
            self.curves.clear()
            self._draw()
        self.asks_changed.emit()


def _common_ends(answer: Answer, cells: Cells, order: Floats) -> tuple[float, float] | None:
    """One scale for both maps, which draw a cell's channels as their sum."""
    every = [answer.arrays[k] for k in ("data_nll", "own_nll") if k in answer.arrays]
    flat = np.empty((len(every), len(order)))
    flat[:, order] = every
    finite = cells.spread(flat).sum(-3)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return None
    low, high = min(0.0, float(finite.min())), float(finite.max())
    return (low, high) if high > low else None
