"""Figures over training steps: losses against the entropy floor, and the gradient norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QTimer
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QStackedWidget, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import RunInfo, RunState
from widgets.controls.empty import EmptyState
from widgets.controls.timeline import spaced
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.density.words import number
from widgets.look import Look
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Pointed
from widgets.plots.colours import mix
from widgets.plots.curves import CurvePlot, Stroke, smooth
from widgets.plots.rule import Reading, RuleLayer

#: Milliseconds between two repaints: about twelve a second.
REPAINT_MS = 200
#: A smoothed line averages over this share of the recorded steps.
WINDOW_SHARE = 1 / 25
#: Below this height (pixels at scale 1) the gradient norm stands beside the losses, if the panel
#: is wide enough, and else goes.
GRADIENT_FROM = 340
BESIDE_FROM_WIDTH = 560
LEGEND_FROM = 200
#: Below this width there is no room for a legend beside the switches.
LEGEND_FROM_WIDTH = 420
#: Beside the switches the legend takes at most this share of the width.
LEGEND_SHARE = 0.46
SWITCHES = ("raw", "gradient", "log", "whole")
#: Figures that begin after this step are those of an opened run.
LATE = 50


@dataclass(frozen=True)
class Figure:
    """How one column is called and drawn; ``role`` is a palette entry."""

    column: str
    label: str
    role: str
    tooltip: str
    smoothed: bool = True


@dataclass(frozen=True)
class Group:
    """Columns that share an axis."""

    name: str
    title: str
    axis: str
    figures: tuple[Figure, ...]


GROUPS = (
    Group("energies", "energies", "energy, nats", (
        Figure("positive", "positive phase, E(data)", "data", "Mean energy of the data"),
        Figure("negative", "negative phase, E(samples)", "model",
               "Mean energy of the chain's samples; training pulls it towards the data's"),
    )),
    Group("classification", "classification", "−log p(y given x), nats", (
        Figure("classification", "cross-entropy", "model",
               "Mean −log p(y given x) of the training batches; ln K for K classes is guessing"),
    )),
    Group("accuracy", "accuracy", "share of right answers", (
        Figure("accuracy", "accuracy, train", "model",
               "Share of a training batch whose likeliest class is the right one"),
    )),
    Group("free energy", "free energy", "free energy, nats", (
        Figure("free_energy", "F = KL(q‖p) − log Z", "model",
               "Mean of log q + E over the model's samples; its least value is −log Z"),
        Figure("mean_energy", "mean energy E", "data", "Mean energy of the model's samples"),
        Figure("negative_entropy", "negative entropy, log q", "muted",
               "Mean log q of the model's samples"),
    )),
    Group("losses", "losses", "loss", (
        Figure("generator", "generator", "model", "The generator's loss"),
        Figure("critic", "critic", "text", "The critic's loss"),
        Figure("wasserstein", "Wasserstein estimate", "warning",
               "Critic's mean on data minus its mean on samples"),
        Figure("penalty", "gradient penalty", "muted", "What a steep critic pays"),
    )),
    Group("leak", "leak", "no likelihood, nats", (
        Figure("leaking", "−Σ log p(xᵢ | x₁ … xᵢ): no NLL", "warning",
               "Each value is read off itself (mask B in the first layer): the sum falls towards "
               "0, is no −log p(x), and must not be compared with one"),
    )),
    Group("likelihood", "likelihood", "NLL, nats", (
        Figure("nll", "train", "model", "−log p(x) of the training batches"),
        Figure("held_out_nll", "held out", "text",
               "−log p(x) of data never trained on; rising while train falls: over-fitting",
               False),
    )),
    Group("half_steps", "half-steps of EM", "nats per event", (
        Figure("log_prob_after_m", "log p after M", "model",
               "Mean log p(x) of the training data, exact; L lies below it by the gap", False),
        Figure("elbo_after_e", "L after E", "text",
               "The bound once q is improved: it touches log p where q may be the posterior",
               False),
        Figure("elbo_after_m", "L after M", "data",
               "The bound once the parameters are improved, q being the same", False),
    )),
    Group("gap", "gap of EM", "KL(q‖posterior), nats", (
        Figure("kl_after_e", "gap after E", "model",
               "What q still misses after the E-step, exact; 0 where EM is exact", False),
        Figure("kl_after_m", "gap after M", "data",
               "The gap once the parameters have moved away from under q", False),
    )),
    Group("solver", "solver", "evaluations of the velocity", (
        Figure("evaluations", "evaluations", "model",
               "How often the network was asked from data to base; more as motions grow rougher"),
    )),
    Group("loss", "loss", "loss", (Figure("total", "loss", "model", "What training minimises"),)),
)  # fmt: skip
GRADIENT = Figure("gradient_norm", "gradient norm", "muted", "‖∇loss‖ over all weights")
#: Columns that repeat another one.
HIDDEN = {"total", "gradient_norm"}
EMPTY = np.empty(0)
HINT = "Press play (space) to start training."


class TrainingPanel(Panel):
    """Curves of training: likelihoods with the entropy floor, energies, or two losses."""

    name = "training"
    title = "Training"
    summary = "Train and held-out curves, the entropy floor and the gradient norm."
    shortcut = "Ctrl+2"
    compares = True

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = ToolRow(look, self)
        self._add_tools()
        self.losses = CurvePlot(look)
        self.gradient = CurvePlot(look)
        self._plots = QWidget()
        self._row = QBoxLayout(QBoxLayout.Direction.TopToBottom, self._plots)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.addWidget(self.losses, 3)
        self._row.addWidget(self.gradient, 1)
        self._empty = EmptyState(look)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self._plots)
        self._top = QHBoxLayout()
        self._top.addWidget(self.tools)
        self._is_low = False
        self.body.addLayout(self._top)
        self.body.addWidget(self._pages, 1)
        self._table: MetricsTable | None = None
        self._others: dict[str, MetricsTable] = {}
        self._cursor: int | None = None
        self._group = ""
        self._wish = ""
        self._starts_late: bool | None = None
        self._is_late = False
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(REPAINT_MS)
        self._wait.timeout.connect(self._on_late)
        for plot in (self.losses, self.gradient):
            plot.set_fit("settled")
            plot.hovered.connect(self._on_hovered)
        self._rules = [(plot, RuleLayer(look)) for plot in (self.losses, self.gradient)]
        for plot, rule in self._rules:
            plot.frame.add(rule)
        self.clear()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: its curves come with the next figures."""
        super().open_run(info)
        if info is not None and info.step:
            words = "Its curves begin with the next training step. " + HINT
            self._empty.say(f"{info.card.title}, opened at step {info.step}", words)
        elif info is not None:
            self._empty.say(f"{info.card.title} has not trained yet", HINT)

    def show_metrics(self, table: MetricsTable) -> None:
        """New figures: draw them at once, but at most twelve times a second."""
        self._table = table
        if self._wait.isActive():
            self._is_late = True
        else:
            self._on_waited()

    def open_runs(self, runs: tuple[RunInfo, ...]) -> None:
        """Which runs there are: a fork is drawn over its parent."""
        known = {info.run for info in runs}
        self._others = {run: table for run, table in self._others.items() if run in known}

    def show_run_metrics(self, run: str, table: MetricsTable) -> None:
        """Figures of any run; the parent's are drawn behind those of its fork."""
        self._others[run] = table

    def show_cursor(self, step: int | None) -> None:
        """A line at the step in view, with the curves' values there."""
        self._cursor = step
        self._draw_cursor()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while the panel was hidden."""
        super().showEvent(event)
        self._redraw()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low panel everything gives way to the curves."""
        super().resizeEvent(event)
        self._fit_height()

    def show_state(self, state: RunState) -> None:
        """A reset empties the curves."""
        if state.step == 0 and self._table is not None and not len(self._table.steps):
            self._redraw()

    def renew(self, info: RunInfo) -> None:
        """Other data have another entropy."""
        super().renew(info)
        self._redraw()

    def clear(self) -> None:
        """Say what to do."""
        self._wait.stop()
        self._table = None
        self._group = ""
        for plot, rule in self._rules:
            plot.clear()
            rule.clear()
        self._empty.say("No run is open", "Choose data and a model on the left. " + HINT)
        self._pages.setCurrentWidget(self._empty)
        self.tools.hide()

    def restyle(self) -> None:
        """Take colours from the look."""
        for plot in (self.losses, self.gradient):
            plot.restyle()
        self._fit_height()
        self._redraw()

    def save_state(self) -> dict[str, Value]:
        """Switches and the chosen group."""
        return {name: self.tools.is_checked(name) for name in SWITCHES}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Set the switches again."""
        for name in SWITCHES:
            if isinstance(state.get(name), bool):
                self.tools.set_on(name, bool(state[name]))
        self._apply_switches()

    # --- drawing ------------------------------------------------------------------------------

    def _add_tools(self) -> None:
        for toggle in (
            Toggle("raw", "every step", "The unsmoothed figures, faint", "muted", True),
            Toggle("gradient", "gradient", f"Gradient norm {GRADIENT.tooltip}", "muted", True),
            Toggle("log", "log steps", "Space training steps by powers of ten", "muted"),
            Toggle("whole", "whole range", "Every value, the wild first steps too", "muted"),
        ):
            self.tools.add_toggle(toggle)
        self.tools.add_choice("group", "Which figures are drawn")
        self.tools.add_button(
            "reset", "reset view", "All steps, at the height of the settled ones", "Home"
        )
        self.tools.toggled.connect(lambda *_: self._apply_switches())
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(self._on_reset_pressed)

    def _on_late(self) -> None:
        if self._is_late:
            self._on_waited()

    def _on_waited(self) -> None:
        self._is_late = False
        self._redraw()
        self._wait.start()

    def _redraw(self) -> None:
        table = self._table
        if table is None or self.run is None or not self.isVisible():
            return
        groups = [g for g in GROUPS if _present(g, table)]
        empty = not groups or not len(table.steps)
        self._pages.setCurrentWidget(self._empty if empty else self._plots)
        self.tools.setVisible(not empty)
        if empty:
            return
        group = next((g for g in groups if g.name == self._wish), groups[0])
        self._switch_group(group, groups)
        self._pin(table)
        self._draw_group(group, table)
        self._draw_gradient(table)
        self._draw_cursor()

    def _draw_cursor(self) -> None:
        """Values are those of the recorded step nearest to the cursor's."""
        table, step = self._table, self._cursor
        for plot, rule in self._rules:
            if step is None or table is None or not len(table.steps):
                rule.clear()
                continue
            shown = math.log10(max(step, 1)) if self.tools.is_checked("log") else float(step)
            rule.show_at(shown, f"step {spaced(step)}", self._readings(plot, step))

    def _readings(self, plot: CurvePlot, step: int) -> list[Reading]:
        readings = []
        for name in plot.names:
            value, stroke = plot.value_at(name, step), plot.stroke_of(name)
            if value is not None and math.isfinite(value) and stroke.label and not stroke.dashed:
                recorded = round(plot.nearest_x(name, step))
                where = f" (step {spaced(recorded)})" if recorded != step else ""
                text = f"{stroke.label} {number(value)}{where}"
                readings.append(Reading(value, text, stroke.colour))
        return readings

    def _draw_parent(self, figure: Figure) -> None:
        """The way that the run was forked from took, thin behind it, from the fork on."""
        name, info = f"{figure.column}, parent", self.run
        parent = self._others.get(info.parent) if info is not None and info.parent else None
        steps, values = parent.column(figure.column) if parent is not None else (EMPTY, EMPTY)
        keep = steps >= (info.forked_at if info is not None else 0)
        if not keep.any():
            self.losses.remove(name)
            return
        window = int(len(values) * WINDOW_SHARE) if figure.smoothed else 0
        colour = mix(self.look.palette.panel, getattr(self.look.palette, figure.role), 0.55)
        label = f"parent, {figure.label}"
        words = "What the run that this one was forked from did from there on"
        line = Stroke(label, colour, 1.0, tooltip=words)
        self.losses.set_curve(name, steps[keep], smooth(values, window)[keep], line)

    def _switch_group(self, group: Group, groups: list[Group]) -> None:
        choices = [g for g in groups if g.name != "loss" or len(groups) == 1]
        self.tools.show_choice("group", len(choices) > 1)
        if group.name == self._group:
            return
        self._group = group.name
        self.losses.clear()
        self._starts_late = None
        self.losses.set_names("training step", self._axis(group))
        self.gradient.set_names("", "")
        self.tools.set_choices("group", tuple((g.title, g.name) for g in choices))
        self.tools.set_choice("group", group.name)

    def _draw_group(self, group: Group, table: MetricsTable) -> None:
        for figure in group.figures:
            self._draw_parent(figure)
            self._draw_figure(self.losses, figure, table)
        entropy = self.run.data.entropy if self.run is not None else None
        if group.name == "likelihood" and entropy is not None:
            label = f"true entropy H = {number(entropy)} nats"
            words = "No model can have a lower expected −log p(x) than the entropy of the data"
            floor = Stroke(label, self.look.palette.truth, 1.6, dashed=True, tooltip=words)
            self.losses.set_floor("entropy", entropy, floor)
        self.losses.fit()
        self._share_row()

    def _draw_gradient(self, table: MetricsTable) -> None:
        self.gradient.setVisible(self._wants_gradient(table))
        self._draw_figure(self.gradient, GRADIENT, table)
        self.gradient.fit()

    def _draw_figure(self, plot: CurvePlot, figure: Figure, table: MetricsTable) -> None:
        steps, values = table.column(figure.column)
        raw = f"{figure.column}, every step"
        if not len(steps):
            plot.remove(figure.column)
            plot.remove(raw)
            return
        colour = getattr(self.look.palette, figure.role)
        window = int(len(values) * WINDOW_SHARE) if figure.smoothed else 0
        if window > 1 and self.tools.is_checked("raw"):
            faint = Stroke("", mix(self.look.palette.panel, colour, 0.4), 1.0)
            plot.set_curve(raw, steps, values, faint)
        else:
            plot.remove(raw)
        line = Stroke(self._label(figure), colour, 1.8, tooltip=figure.tooltip)
        plot.set_curve(figure.column, steps, smooth(values, window), line)

    @property
    def _is_exact(self) -> bool:
        return self.run is None or Capability.LOG_PROB in self.run.card.capabilities

    def _label(self, figure: Figure) -> str:
        if self._is_exact or figure.column not in ("nll", "held_out_nll"):
            return figure.label
        return f"{figure.label}, −ELBO"

    def _axis(self, group: Group) -> str:
        return "−ELBO, nats" if group.name == "likelihood" and not self._is_exact else group.axis

    def _wants_gradient(self, table: MetricsTable) -> bool:
        return self.tools.is_on("gradient") and table.latest("gradient_norm") is not None

    def _fit_height(self) -> None:
        """The gradient norm below or beside the losses; the legend's row only in a high panel."""
        px = self.look.px
        beside = self.height() < px(GRADIENT_FROM)
        fits = not beside or self.width() >= px(BESIDE_FROM_WIDTH)
        self.tools.set_usable("gradient", fits)
        way = QBoxLayout.Direction
        self._row.setDirection(way.LeftToRight if beside else way.TopToBottom)
        low = self.height() < px(LEGEND_FROM)
        self.losses.legend.setVisible(not low or self.width() >= px(LEGEND_FROM_WIDTH))
        if low != self._is_low:
            self._is_low = low
            self.tools.set_fixed(low)
            self.losses.move_legend(self._top if low else None)
            margin = 2 if low else 6
            self.body.setContentsMargins(6, margin, 6, margin)
            self.body.setSpacing(margin)
        self._share_row()
        if self._table is not None and self.isVisible():
            self._draw_gradient(self._table)

    def _share_row(self) -> None:
        """Beside the switches the legend gets what it needs, up to a share of the width."""
        legend = self.losses.legend
        least = min(legend.full_width, int(LEGEND_SHARE * self.width())) if self._is_low else 1
        legend.setMinimumWidth(max(1, least))

    def _apply_switches(self) -> None:
        for plot in (self.losses, self.gradient):
            plot.set_log_x(self.tools.is_checked("log"))
            plot.set_fit("whole" if self.tools.is_checked("whole") else "settled")
        self._redraw()

    def _pin(self, table: MetricsTable) -> None:
        """Begin the axes at step 0, unless the figures are those of a run that was opened late."""
        if self._starts_late is None:
            self._starts_late = float(table.steps[0]) > LATE
        free = self._starts_late or self.tools.is_checked("log")
        least = 0.0 if self._group == "gap" else None  # a KL is never below 0
        self.losses.set_pinned(x=None if free else 0.0, y=least)
        self.gradient.set_pinned(x=None if free else 0.0, y=0.0)

    def _on_chosen(self, _: str, value: object) -> None:
        self._wish = str(value)
        self._redraw()

    def _on_reset_pressed(self, _: str) -> None:
        self.losses.reset_view()
        self.gradient.reset_view()

    def _on_hovered(self, point: tuple[float, float] | None) -> None:
        if point is None or self._table is None or not len(self._table.steps):
            self.pointed.emit(None)
            return
        steps = self._table.steps
        step = float(steps[int(np.argmin(np.abs(steps - point[0])))])
        rows = []
        for plot in (self.losses, self.gradient):
            for name in plot.names:
                value = plot.value_at(name, step)
                if value is not None and plot.label_of(name):
                    rows.append((plot.label_of(name).split(" = ")[0], number(value)))
        self.pointed.emit(Pointed(f"Step {step:,.0f}".replace(",", " "), tuple(rows)))


def _present(group: Group, table: MetricsTable) -> bool:
    return any(figure.column in table.names for figure in group.figures)
