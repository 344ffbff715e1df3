"""Capacity against train and held-out NLL: where a model is too small, where it over-fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QStackedWidget

from engine.wire.capability import Capability
from engine.wire.fields import CAPACITY_FIELDS, Value
from engine.wire.messages import Answer, Failed, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.density.words import as_float, number
from widgets.look import Look
from widgets.panel import Panel, Pointed, Question
from widgets.plots.curves import CurvePlot, Stroke

SAMPLE_SIZES = (50, 100, 200, 500, 2000)
SEEDS = (1, 3, 5, 10)
STEPS = (300, 1000, 3000)
#: The choices at first.
FIRST = {"n_train": 200, "n_seeds": 3, "steps": 1000}
N_TEST = 4000
#: The axis ends so many times the rise of the smallest model above the best one, in nats at least.
HEADROOM, LEAST_HEADROOM = 2.0, 0.5
#: Figures of so many runs are kept to come back to.
RUNS_KEPT = 16
HINT = (
    "Choose which setting grows, how many observations there are to learn from, and press "
    "Start. The model is then trained afresh in each size; the run in view goes on."
)

NOTHING = "Choose data and a model with a density on the left, then press play."


@dataclass
class Sweep:
    """What one sweep has found so far: rows of (capacity, seed, train, held out, error, P)."""

    arguments: dict[str, Value]
    rows: list[tuple[float, ...]] = field(default_factory=list)
    facts: dict[str, Value] = field(default_factory=dict)
    running: bool = True

    def table(self) -> npt.NDArray[np.float64]:
        """The rows, (trainings, 6)."""
        return np.array(self.rows, np.float64).reshape(-1, 6)


class CapacityPanel(Panel):
    """Mean and min–max band over seeds of train and held-out NLL, against the entropy floor."""

    name = "capacity"
    title = "Capacity"
    summary = "Bias and variance: train and held-out NLL over the model's size."
    needs = (
        frozenset({Capability.LOG_PROB}),
        frozenset({Capability.BOUND}),
        frozenset({Capability.ENERGY}),
    )
    shortcut = "Ctrl+5"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = ToolRow(look, self)
        self.button = QPushButton("Start", self)
        self.progress = QProgressBar(self)
        self.plot = CurvePlot(look)
        self.chips = ChipRow(look, wrap=True, parent=self)
        self._empty = EmptyState(look)
        self._pages = QStackedWidget()
        self._wishes: dict[str, int] = dict(FIRST)
        self._setting = ""
        self._sweeps: dict[str, Sweep] = {}
        self._build()
        self.clear()

    # --- run ----------------------------------------------------------------------------------

    @property
    def sweep(self) -> Sweep | None:
        """The sweep of the run in view, if there was one."""
        return self._sweeps.get(self.run.run) if self.run is not None else None

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: its own sweep comes back; one that was going on ends."""
        for sweep in self._sweeps.values():
            sweep.running = False
        super().open_run(info)
        if info is None:
            return
        names = {spec.name for spec in info.card.fields}
        settings = tuple(name for name in CAPACITY_FIELDS if name in names)
        self._setting = settings[0] if settings else ""
        self.tools.set_choices("setting", tuple((s.replace("_", " "), s) for s in settings))
        self._empty.say("No sweep has been made for this run", HINT)
        self._set_usable(bool(settings))
        if not settings:
            self._empty.say(f"{info.card.title} has no setting that is its capacity")
        self._redraw()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The sweep, while it is wanted."""
        sweep = self.sweep
        if sweep is None or not sweep.running:
            return {}
        return {"sweep": Question("capacity_sweep", sweep.arguments, live=False, stream=True)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """One training is done, or some of one."""
        sweep = self.sweep
        if sweep is None or not sweep.running:
            return
        values = answer.values
        sweep.facts |= values
        if "held_out_nll" in values:
            names = ("capacity", "seed", "train_nll", "held_out_nll", "held_out_error")
            figures = [as_float(values.get(name)) for name in (*names, "n_parameters")]
            sweep.rows.append(tuple(np.nan if f is None else f for f in figures))
        sweep.running = not answer.final
        self._redraw()
        if answer.final:
            self.asks_changed.emit()

    def show_failed(self, part: str, failed: Failed) -> None:
        """The sweep ends with what it has found."""
        if self.sweep is not None:
            self.sweep.running = False
        super().show_failed(part, failed)
        self._redraw()

    def clear(self) -> None:
        """Say what to do."""
        self.plot.clear()
        self.chips.set_chips(())
        self._set_usable(False)
        self._empty.say("There is no density to compare", NOTHING)
        self._pages.setCurrentWidget(self._empty)

    def restyle(self) -> None:
        """Take colours from the look."""
        self.plot.restyle()
        palette, px = self.look.palette, self.look.px
        self.progress.setFixedHeight(px(5))
        self.progress.setStyleSheet(
            f"QProgressBar {{ background: {palette.raised}; border: none; }}"
            f"QProgressBar::chunk {{ background: {palette.accent}; }}"
        )
        self._redraw()

    def save_state(self) -> dict[str, Value]:
        """The choices."""
        return dict(self._wishes)

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        for name, allowed in _CHOICES.items():
            value = state.get(name)
            if isinstance(value, int) and value in allowed:
                self._wishes[name] = value
                self.tools.set_choice(name, value)

    # --- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self.tools.add_choice("setting", "The setting of the model that grows: its capacity")
        for name, allowed in _CHOICES.items():
            self.tools.add_choice(name, _TOOLTIPS[name])
            self.tools.set_choices(name, tuple((f"{_LABELS[name]} {v}", v) for v in allowed))
            self.tools.set_choice(name, self._wishes[name])
        self.tools.add_toggle(
            Toggle("whole", "whole range", "Every value, also those of models that learn by heart",
                   "muted")
        )  # fmt: skip
        self.tools.toggled.connect(lambda *_: self._on_whole_toggled())
        self.tools.chosen.connect(self._on_chosen)
        self.button.clicked.connect(self._on_pressed)
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.plot.set_names("capacity", "NLL, nats per event")
        self.plot.set_log_x(True)
        self.plot.set_fit("whole")
        self.plot.hovered.connect(self._on_hovered)
        top = QHBoxLayout()
        top.addWidget(self.tools, 1)
        top.addWidget(self.button)
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self.plot)
        self.body.addLayout(top)
        self.body.addWidget(self.progress)
        self.body.addWidget(self._pages, 1)
        self.body.addWidget(self.chips)
        self.restyle()

    def _set_usable(self, on: bool) -> None:
        self.tools.setVisible(on)
        self.button.setVisible(on)
        self.progress.setVisible(on)

    def _on_whole_toggled(self) -> None:
        self._redraw()
        self.plot.reset_view()

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "setting":
            self._setting = str(value)
        elif isinstance(value, int):
            self._wishes[name] = value

    def _on_pressed(self) -> None:
        sweep = self.sweep
        if sweep is not None and sweep.running:
            sweep.running = False
        elif self.run is not None:
            self.banner.clear()
            wanted: dict[str, Value] = {"setting": self._setting, "n_test": N_TEST, **self._wishes}
            while len(self._sweeps) >= RUNS_KEPT:
                del self._sweeps[next(iter(self._sweeps))]
            self._sweeps[self.run.run] = Sweep(wanted)
            self.plot.clear()
        self._redraw()
        self.asks_changed.emit()

    # --- drawing ------------------------------------------------------------------------------

    def _redraw(self) -> None:
        sweep = self.sweep
        running = sweep is not None and sweep.running
        self.button.setText("Stop" if running else "Start")
        self.button.setToolTip(
            "End the sweep; what it has found stays" if running
            else "Train the model in every size with every seed, in the background"
        )  # fmt: skip
        share = as_float(sweep.facts.get("progress")) if sweep is not None else 0.0
        self.progress.setValue(round(1000 * (share or 0.0)))
        if sweep is None:
            self._pages.setCurrentWidget(self._empty)
            self.chips.set_chips(())
            return
        self._pages.setCurrentWidget(self.plot)
        self._draw(sweep)
        self.chips.set_chips(self._chips(sweep))

    def _draw(self, sweep: Sweep) -> None:
        palette = self.look.palette
        setting = str(sweep.facts.get("setting") or sweep.arguments["setting"])
        self.plot.set_names(_axis_name(setting), "NLL, nats per event")
        table = sweep.table()
        for name, column, colour in (("train", 2, palette.model), ("held out", 3, palette.text)):
            self._draw_curve(name, table, column, colour)
        entropy = as_float(sweep.facts.get("entropy"))
        if entropy is not None and len(table):
            label = f"true entropy H = {number(entropy)} nats"
            words = "No model can have a lower expected −log p(x) than the entropy of the data"
            floor = Stroke(label, palette.truth, 1.6, dashed=True, tooltip=words)
            self.plot.set_floor("entropy", entropy, floor)
        self._make_room(table)

    def _make_room(self, table: npt.NDArray[np.float64]) -> None:
        """Large models that learn by heart run off the top, unless the whole range is wanted."""
        whole = table[:, 2:4].ravel()
        whole = whole[np.isfinite(whole)]
        if not len(whole):
            return
        top = float(whole.max())
        if not self.tools.is_checked("whole"):
            _, _, mean, _ = _summary(table, 3)
            least = float(mean.min(initial=top))
            top = min(top, least + max(HEADROOM * (float(mean[0]) - least), LEAST_HEADROOM))
        ends = np.array([float(whole.min()), top])
        sizes = table[:, 0]
        room = Stroke("", self.look.palette.panel, 1.0, opacity=0.0)
        self.plot.set_curve("room", np.array([sizes.min(), sizes.max()]), ends, room)
        self.plot.fit()

    def _draw_curve(
        self, name: str, table: npt.NDArray[np.float64], column: int, colour: str
    ) -> None:
        sizes, low, mean, high = _summary(table, column)
        if not len(sizes):
            return
        band = Stroke("", colour, 1.0, opacity=0.35, filled=0.16, scaled=False, thinned=False)
        loop = np.concatenate([sizes, sizes[::-1], sizes[:1]])
        edge = np.concatenate([high, low[::-1], high[:1]])
        self.plot.set_curve(f"{name}, band", loop, edge, band)
        words = f"Mean over the seeds; the band holds all of them, lowest to highest ({name})"
        self.plot.set_curve(
            name, sizes, mean, Stroke(name, colour, 2.0, tooltip=words, scaled=False)
        )

    def _chips(self, sweep: Sweep) -> tuple[Chip, ...]:
        facts, table = sweep.facts, sweep.table()
        chips: list[Chip] = []
        if sweep.running:
            where = f"size {facts.get('capacity', '…')}, seed {facts.get('seed', '…')}"
            share = 100 * (as_float(facts.get("progress")) or 0.0)
            chips.append(Chip(f"training {where}: {share:.0f} %", "The sweep goes on beside "
                              "everything else; Stop ends it", framed=True))  # fmt: skip
        best = _best(table)
        if best is not None:
            size, value, error = best
            text = f"lowest held out {number(value)} ± {number(error, 2)} nats at {size:g}"
            words = "Mean over the seeds; ± is one standard error over the test points"
            chips.append(Chip(text, words, self.look.palette.text, "dot", framed=True))
        if "n_test" in facts:
            kind = {"bound": "upper bound on the NLL, "}.get(str(facts.get("kind", "")), "")
            text = f"{kind}estimate ({facts['n_test']} test points)"
            words = "Held-out figures are means over points that no training has seen"
            chips.append(Chip(text, words, framed=True))
            text = f"learnt from {facts['n_train']} points"
            words = "Every seed has a sample of its own, of this size, and its own initial weights"
            chips.append(Chip(text, words, framed=True))
        n_lost = int(np.isnan(table[:, 3]).sum())
        if n_lost:
            chips.append(Chip(f"{n_lost} diverged", "Trainings whose weights are no numbers any "
                              "more are left out", framed=True))  # fmt: skip
        return tuple(chips)

    def _on_hovered(self, point: tuple[float, float] | None) -> None:
        sweep = self.sweep
        table = sweep.table() if sweep is not None else np.empty((0, 6))
        if point is None or not len(table) or sweep is None:
            self.pointed.emit(None)
            return
        size = table[int(np.argmin(np.abs(np.log(table[:, 0]) - np.log(max(point[0], 1e-9))))), 0]
        rows = [("parameters", f"{table[table[:, 0] == size][0, 5]:,.0f}".replace(",", " "))]
        for name, column in (("train", 2), ("held out", 3)):
            found = table[table[:, 0] == size][:, column]
            low, mean, high = (number(float(v)) for v in (found.min(), found.mean(), found.max()))
            rows.append((f"{name} NLL, nats", f"{mean} ({low} … {high})"))
        setting = str(sweep.facts.get("setting", "capacity")).replace("_", " ")
        self.pointed.emit(Pointed(f"{setting} = {size:g}", tuple(rows)))


_CHOICES = {"n_train": SAMPLE_SIZES, "n_seeds": SEEDS, "steps": STEPS}
_LABELS = {"n_train": "N =", "n_seeds": "seeds:", "steps": "steps:"}
_TOOLTIPS = {
    "n_train": "N, the number of observations to learn from; with few, large models over-fit",
    "n_seeds": "How often each size is trained, each time with another sample and other weights",
    "steps": "Training steps of each model (an EM model takes at most 200 sweeps)",
}


def _axis_name(setting: str) -> str:
    words = setting.replace("_", " ")
    return f"{words} (width of every layer)" if setting == "hidden_features" else words


def _summary(table: npt.NDArray[np.float64], column: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Per size in rising order: the size, and lowest, mean and highest figure over the seeds."""
    good = table[np.isfinite(table[:, column])]
    sizes = np.unique(good[:, 0])
    groups = [good[good[:, 0] == size][:, column] for size in sizes]
    spread = [np.array([f(group) for group in groups]) for f in (np.min, np.mean, np.max)]
    return sizes, *spread


def _best(table: npt.NDArray[np.float64]) -> tuple[float, float, float] | None:
    """The size with the lowest mean held-out NLL, that mean, and its standard error."""
    sizes, _, mean, _ = _summary(table, 3)
    if not len(sizes):
        return None
    place = int(np.argmin(mean))
    _, _, error, _ = _summary(table, 4)
    return float(sizes[place]), float(mean[place]), float(error[place])
