"""How true the model is: divergences with errors, the mass, curves over steps, sample scores."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo, RunState
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.density.face import has_density, is_costly
from widgets.figures import as_float
from widgets.look import Look
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Pointed, Question
from widgets.truth.curves import Record, TruthCurves
from widgets.truth.score_bars import ScoreBars
from widgets.truth.series import most_missing
from widgets.truth.tiles import Tiles
from widgets.truth.words import divergence_readings, mass_reading, score_summary, scores_of

#: Nodes a side while training and at rest, for cheap and for costly (bound) densities.
SIZES = {"cheap": {False: 128, True: 512}, "costly": {False: 48, True: 128}}
N_DRAWS = {False: 16, True: 64}
#: Both while something is scrubbed.
COARSE: dict[str, Value] = {"size": 48, "n_draws": 8}
#: While training a part is asked for again no sooner than so many seconds after its answer.
PACE = {"divergences": 0.2, "scores": 0.8}
#: Milliseconds after which points of the past that came in are drawn.
REDRAW_MS = 150
#: Points a side of the sample scores, as offered.
POINTS = (250, 500, 1000, 2000)
N_POINTS = 500
#: Work of the null band that one answer may take, as points squared times repetitions.
WORK = 500**2 * 20
#: From this height on (pixels at scale 1) there is room for curves, for a note, and for scores.
CURVES_FROM, NOTE_FROM, SCORES_FROM = 220, 330, 430
VIEWS = (
    ("NLL − KL = H", "identity"),
    ("divergences", "divergences"),
    ("scores", "scores"),
)
VIEW_TIP = (
    "Which curves: held-out NLL and KL, whose difference is the entropy H of the truth; the four "
    "divergences; or the sample scores"
)
N_TIP = "n, the points a side of the sample scores: more of them tell smaller differences"
#: Samples of larger events take a while and are drawn for a score only when the user wishes.
MOST_VALUES = 100
SWITCHES = ("log_steps", "log_nats", "scores")
HINT = "Choose data and a model on the left, then press play (space) to start training."


class TruthPanel(Panel):
    """Every number with its error, its unit and what kind it is."""

    name = "truth"
    title = "Truth"
    summary = "Distance from the known truth, mass, and samples beside a perfect sampler."
    shortcut = "Ctrl+4"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = ToolRow(look, self)
        self._add_tools()
        self.tiles = Tiles(look)
        self.note = _text_line()
        self.curves = TruthCurves(look)
        self.verdict = _text_line()
        self.bars = ScoreBars(look)
        self._content = self._stacked()
        self._empty = EmptyState(look)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self._content)
        self.body.addWidget(self.tools)
        self.body.addWidget(self._pages, 1)
        self._records: dict[str, Record] = {}
        self._values: dict[str, dict[str, Value]] = {}
        self._landed: dict[str, float] = {}
        self._n, self._repetitions, self._step = N_POINTS, 0, -1
        self._wish = "identity"
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MS)
        self._redraw.timeout.connect(self._draw_curves)
        self._table: MetricsTable | None = None
        self.curves.plot.hovered.connect(self._on_hovered)
        self.restyle()
        self.clear()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: its own curves come back, its numbers are asked for."""
        super().open_run(info)
        if info is None:
            return
        self._pages.setCurrentWidget(self._content)
        self.tools.show()
        self._offer_views(info)
        self.curves.open(info, self._own)
        self.note.setText(_what_is_missing(info))
        scored = _can_draw(info.card)
        self.tools.set_usable("scores", scored, f"{info.card.title} has no sampler")
        if info.data.event.size > MOST_VALUES:
            self.tools.set_on("scores", False)
        self._fit()
        self._draw_curves()

    def renew(self, info: RunInfo) -> None:
        """Other data: their entropy and whether their density is known may be other too."""
        super().renew(info)
        self.curves.renew(info)
        self.note.setText(_what_is_missing(info))

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """Divergences and sample scores; coarse and paced while training."""
        info = self.run
        if info is None:
            return {}
        asked = {}
        if has_density(info.card) and info.data.event.size <= 2:
            cost = "costly" if is_costly(info.card) else "cheap"
            wanted: dict[str, Value] = {"size": SIZES[cost][rest], "n_draws": N_DRAWS[rest]}
            asked["divergences"] = Question("divergences", wanted, coarse=COARSE)
        if self._wants_scores:
            reps = {"n": self._n, "repetitions": self._wanted_repetitions()}
            asked["scores"] = Question("sample_scores", reps, coarse=None)
        now = time.monotonic()
        return {
            part: question
            for part, question in asked.items()
            if rest or now - self._landed.get(part, -math.inf) >= PACE[part]
        }

    def show_answer(self, part: str, answer: Answer) -> None:
        """Write the numbers; they become points of the curves too."""
        if part == "divergences" and self._is_coarser(answer):
            return
        self._values[part] = dict(answer.values)
        if answer.final:
            self._landed[part] = time.monotonic()
        if part == "divergences":
            self._own.divergences.add(answer.step, answer.values)
            self._draw_numbers()
            self._draw_curves()
        elif part == "scores":
            self._repetitions = int(as_float(answer.values.get("repetitions")) or 0)
            self._own.add_scores(answer.step, scores_of(answer.values))
            self._draw_scores()
            self._draw_curves()

    def missing_past(self, stored: tuple[int, ...]) -> tuple[str, Question, int] | None:
        """The divergences at the stored step that the curves lack most."""
        info = self.run
        if info is None or not self.curves.isVisible() or self.curves.view == "scores":
            return None
        question = self.asks(rest=True).get("divergences")
        step = most_missing(stored, self._own.divergences.steps)
        if question is None or step is None or self._has_none:
            return None
        cost = "costly" if is_costly(info.card) else "cheap"
        wanted: dict[str, Value] = {"size": SIZES[cost][False], "n_draws": N_DRAWS[False]}
        return "divergences", Question("divergences", wanted), step

    def show_past(self, part: str, answer: Answer) -> None:
        """One point more of the curves; the numbers are those of the step in view."""
        series = self._own.divergences
        if answer.step not in series.steps:
            series.add(answer.step, answer.values)
            self._redraw.start()

    @property
    def _has_none(self) -> bool:
        """Whether the answer in view says that there are no divergences to be had."""
        values = self._values.get("divergences")
        return values is not None and as_float(values.get("kl")) is None

    def _is_coarser(self, answer: Answer) -> bool:
        """Whether a first, coarse answer comes after a finer one of the same step."""
        shown = as_float(self._values.get("divergences", {}).get("size")) or 0.0
        size = as_float(answer.values.get("size")) or 0.0
        known, self._step = answer.step == self._step, answer.step
        return known and not answer.final and size < shown

    def show_metrics(self, table: MetricsTable) -> None:
        """Held-out scores for the curves."""
        self._table = table
        self._draw_curves()

    def show_state(self, state: RunState) -> None:
        """A reset empties the curves."""
        own = self._records.get(state.run)
        past = own is not None and bool(own.steps[-1:].sum())
        if own is not None and past and state.step == 0 and state.state == "ready":
            own.clear()
            self._draw_curves()

    def clear(self) -> None:
        """Say what to do."""
        self._values, self._landed, self._repetitions, self._table = {}, {}, 0, None
        self.tiles.show_readings(())
        self.bars.clear()
        self.curves.clear()
        self.note.setText("")
        self.verdict.setText("")
        self._empty.say("No run is open", HINT)
        self._pages.setCurrentWidget(self._empty)
        self.tools.hide()

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for label in (self.note, self.verdict):
            label.setFont(self.look.font(0.9))
            label.setStyleSheet(f"color: {self.look.palette.muted}; background: transparent")
        self.tiles.restyle()
        self.bars.restyle()
        self.curves.restyle()
        self._fit()
        self._draw_curves()

    def save_state(self) -> dict[str, Value]:
        """Switches, the view of the curves and the number of points."""
        switches: dict[str, Value] = {name: self.tools.is_checked(name) for name in SWITCHES}
        return switches | {"view": self._wish, "n": self._n}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Set them again."""
        for name in SWITCHES:
            if isinstance(state.get(name), bool):
                self.tools.set_on(name, bool(state[name]))
        if state.get("n") in POINTS:
            self._choose_n(int(as_float(state["n"]) or N_POINTS))
        if state.get("view") in dict(VIEWS).values():
            self._on_chosen("view", state["view"])
        self._apply()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while the panel was hidden."""
        super().showEvent(event)
        self._draw_curves()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low panel the numbers stay and the rest gives way."""
        super().resizeEvent(event)
        self._fit()

    # --- parts --------------------------------------------------------------------------------

    def _add_tools(self) -> None:
        self.tools.add_choice("view", VIEW_TIP)
        self.tools.add_choice("n", N_TIP)
        self.tools.set_choices("n", tuple((f"n = {n}", n) for n in POINTS))
        self.tools.set_choice("n", N_POINTS)
        for toggle in (
            Toggle("log_steps", "log steps", "Space training steps by powers of ten", "muted"),
            Toggle("log_nats", "log nats", "Space the numbers by powers of ten", "muted"),
            Toggle("scores", "sample scores", "Scores between samples of the model and of the "
                   "truth, beside what a perfect sampler would get", "model", True),
        ):  # fmt: skip
            self.tools.add_toggle(toggle)
        self.tools.add_button("reset", "reset view", "Show all steps again", "Home")
        self.tools.toggled.connect(lambda *_: self._apply())
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(lambda _: self.curves.plot.reset_view())

    def _stacked(self) -> QWidget:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.tiles)
        layout.addWidget(self.note)
        layout.addWidget(self.curves, 1)
        layout.addWidget(self.verdict)
        layout.addWidget(self.bars)
        layout.addStretch(0)
        return content

    @property
    def _own(self) -> Record:
        """The open run's curves, which outlive a look at another run."""
        run = self.run.run if self.run is not None else ""
        return self._records.setdefault(run, Record())

    @property
    def _wants_scores(self) -> bool:
        info = self.run
        return info is not None and _can_draw(info.card) and self.tools.is_checked("scores")

    def _wanted_repetitions(self) -> int:
        """A few more of the null at a time, until there are enough."""
        enough = int(as_float(self._values.get("scores", {}).get("enough")) or 400)
        piece = max(2, WORK // self._n**2)
        return min(enough, self._repetitions + piece) if self._repetitions < enough else enough

    def _fit(self) -> None:
        """What has room: numbers first, then curves, then scores."""
        if self.run is None:
            return
        px = self.look.px
        high = self.height() >= px(SCORES_FROM)
        curved = has_density(self.run.card)
        self.curves.setVisible(high or (curved and self.height() >= px(CURVES_FROM)))
        scores = self._wants_scores and (high or not curved)
        self.bars.setVisible(scores)
        self.verdict.setVisible(scores)
        self.note.setVisible(bool(self.note.text()) and self.height() >= px(NOTE_FROM))

    def _draw_numbers(self) -> None:
        values = self._values.get("divergences", {})
        known = as_float(values.get("kl")) is not None
        readings = divergence_readings(values) if known else ()
        mass = mass_reading(values)
        self.tiles.show_readings(readings + (() if mass is None else (mass,)))
        bound = values.get("kind") == "bound"
        self.note.setText(str(values.get("reason") or (values.get("note") if bound else "") or ""))
        self._fit()

    def _draw_curves(self) -> None:
        if self.run is not None and self.isVisible():
            self.curves.draw(self._table)

    def _draw_scores(self) -> None:
        values = self._values.get("scores", {})
        self.bars.show_scores(scores_of(values))
        against, draws = values.get("against"), str(values.get("draws") or "")
        chain = "" if draws == "samples of the model" else f"; {draws}"
        self.verdict.setText(f"{score_summary(values)} Estimates against {against}{chain}.")
        self._fit()

    # --- what the user does -------------------------------------------------------------------

    def _apply(self) -> None:
        self.curves.log_steps = self.tools.is_checked("log_steps")
        self.curves.plot.set_log_x(self.curves.log_steps)
        self.curves.plot.set_log_y(self.tools.is_checked("log_nats"))
        self._fit()
        self._draw_curves()

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "n" and isinstance(value, int):
            self._choose_n(value)
            self.asks_changed.emit()
        elif name == "view":
            self._wish = str(value)
            self.tools.set_on("log_nats", value == "divergences")
            if self.run is not None:
                self._offer_views(self.run)
            self._apply()

    def _offer_views(self, info: RunInfo) -> None:
        """The curves that this run can have, and the one that was chosen among them."""
        comparable = has_density(info.card) and info.data.event.size <= 2
        known = comparable and info.data.has_density
        usable = {
            "identity": has_density(info.card),
            "divergences": known,
            "scores": _can_draw(info.card),
        }
        views = tuple(entry for entry in VIEWS if usable[entry[1]])
        names = [name for _, name in views]
        self.tools.set_choices("view", views)
        self.tools.show_choice("view", len(views) > 1)
        view = self._wish if self._wish in names or not names else names[0]
        self.tools.set_choice("view", view)
        if view != self.curves.view:
            self.curves.set_view(view)

    def _choose_n(self, n: int) -> None:
        self._n, self._repetitions = n, 0
        self.tools.set_choice("n", n)

    def _on_hovered(self, point: tuple[float, float] | None) -> None:
        rows = () if point is None else self.curves.reading(point[0])
        if not rows:
            self.pointed.emit(None)
            return
        (_, step), *numbers = rows
        self.pointed.emit(Pointed(f"Step {step}", tuple(numbers)))


def _text_line() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def _can_draw(card: ModelCard) -> bool:
    return bool({Capability.SAMPLING, Capability.CHAIN} & set(card.capabilities))


def _what_is_missing(info: RunInfo) -> str:
    """Why there is no KL, before any answer."""
    card = info.card
    if not has_density(card):
        why = card.lacks.get(Capability.LOG_PROB, "its samples come from a map of noise")
        return f"No KL: {card.title} has no density. {why[:1].upper()}{why[1:].rstrip('.')}."
    if info.data.event.size > 2:
        return (f"No KL: quadrature reaches two dimensions, and these data have "
                f"{info.data.event.size}. Samples can be compared all the same.")  # fmt: skip
    if not info.data.has_density:
        return f"No KL: the true density of {info.dataset.title} is unknown."
    return ""
