"""Models racing on the same data: small multiples, their curves in one plot, a ranking."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QBoxLayout, QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo, RunState
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.look import Look
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Question
from widgets.plots.curves import CurvePlot, Stroke
from widgets.race.board import Runner, groups_of, head_of, standings_of
from widgets.race.lineup import Entry, Lineup, Wish
from widgets.race.picker import RacePicker
from widgets.race.pictures import RacePictures
from widgets.race.questions import TRUTH, all_questions, is_settled, is_whole
from widgets.race.ranking import RankingView
from widgets.race.rounds import Rounds, Want
from widgets.race.standings import verdict

#: Milliseconds between two repaints of heads and ranking, and of the curves.
REPAINT_MS, CURVES_MS = 250, 500
#: Percent for pictures and for figures beside each other, and at most and at least above them.
BESIDE, ABOVE = (58, 42), 58
LEAST_ABOVE = 34
#: Heights at scale 1 below which the curves go without a legend, and the panel without its rule.
LEGEND_FROM, LOW = 170, 300
FIGURES = (("held-out NLL", "nll"), ("KL(truth‖model)", "kl"))
FIGURE_NAMES = {value: text for text, value in FIGURES}
AXES = (("over steps", "steps"), ("over seconds", "seconds"))
AXIS_NAMES = {"steps": "training step", "seconds": "seconds of own training"}
BUTTONS = (
    ("new", "new race …", "Choose models and a rule for another race"),
    ("play", "▶ all", "Train all racers, each up to the finish line"),
    ("pause", "❚❚ all", "Stop all racers after the step in hand"),
    ("reset", "reset all", "All racers back to step 0 with the same initial weights"),
    ("lap", "another lap", "Move the finish line to twice the way, for all"),
)
#: A question in full is asked although something else trains once racers rest for so long.
REST_SECONDS = 1.0


class RacePanel(Panel):
    """Pictures on one colour scale, curves of all racers, and who is ahead by how much.

    Signals:
        race_wished: The user wants this race (a :class:`~widgets.race.lineup.Wish`).
        command_wished: ``"play"``, ``"pause"``, ``"reset"`` or ``"lap"``, for all racers.
        run_chosen: A racer that is to come into view.
        decided: All have finished and every number is in full; the text says who has won.
    """

    name = "race"
    title = "Race"
    summary = "Two to eight models on the same data: pictures, curves and a ranking by KL."
    shortcut = "Ctrl+8"
    compares = True

    race_wished = Signal(object)
    command_wished = Signal(str)
    run_chosen = Signal(str)
    decided = Signal(str)

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = ToolRow(look, self)
        self.rule = QLabel()
        self.picker = RacePicker(look)
        self.pictures = RacePictures(look)
        self.curves = CurvePlot(look)
        self.verdict = QLabel()
        self.ranking = RankingView(look)
        self.lineup: Lineup | None = None
        self._runners: dict[str, Runner] = {}
        self._infos: dict[str, RunInfo] = {}
        self._rounds = Rounds()
        self._asked: dict[str, Question] = {}
        self._truth_version = 0
        self._cursor: int | None = None
        self._unrest: float | None = None
        self._announced = False
        self._figure, self._over = "nll", "steps"
        self._heads = self._timer(REPAINT_MS, self._show_standings)
        self._lines = self._timer(CURVES_MS, self._draw_curves)
        self._build()
        self._show_page()

    def _timer(self, milliseconds: int, call: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(call)
        return timer

    # --- the window tells ---------------------------------------------------------------------

    def offer(self, entries: Sequence[Entry], data: str) -> None:
        """Who may race, on which data."""
        self.picker.offer(entries, data)

    def show_picker(self) -> None:
        """Let the user choose a new race."""
        self._pages.setCurrentWidget(self.picker)
        self.picker.set_can_cancel(self.lineup is not None)

    def show_lineup(self, lineup: Lineup | None) -> None:
        """Another race, or other runs in it."""
        self.lineup = lineup
        old, self._runners = self._runners, {}
        for racer in lineup.racers if lineup is not None else ():
            runner = old.get(racer.run, Runner(racer))
            runner.racer, runner.info = racer, self._infos.get(racer.run, runner.info)
            self._runners[racer.run] = runner
        self._announced = False
        self._refresh_tiles()
        self._show_page()
        self.asks_changed.emit()

    def open_run(self, info: RunInfo | None) -> None:
        """Another run is in view: its tile is marked; the race stays."""
        self.run = info
        self.banner.clear()
        self.pictures.tiles.set_current(info.run if info is not None else "")

    def open_runs(self, runs: tuple[RunInfo, ...]) -> None:
        """Which runs there are: a racer that is gone stays on the board and says so."""
        self._infos = {info.run: info for info in runs}
        for run, runner in self._runners.items():
            runner.closed = runner.info is not None and run not in self._infos
            info = self._infos.get(run, runner.info)
            if runner.info is not None and info is not None and _other_data(runner.info, info):
                self._truth_version += 1
                self._rounds.forget(run)
                runner.settled = False
            runner.info = info
        self._refresh_tiles()
        self._soon()

    def show_run_state(self, state: RunState) -> None:
        """A racer moved on."""
        runner = self._runners.get(state.run)
        if runner is None:
            return
        if state.step < runner.step:
            runner.forget()
            self._rounds.forget(state.run)
        if state.state == "training":
            self._announced = False
        runner.state = state
        self._soon()

    def show_run_metrics(self, run: str, table: MetricsTable) -> None:
        """New figures of a racer."""
        runner = self._runners.get(run)
        if runner is not None:
            runner.table = table
            if self.isVisible() and not self._lines.isActive():
                self._lines.start()

    def show_cursor(self, step: int | None) -> None:
        """All racers are looked at where they were at this step, or as they are now."""
        self._cursor = step

    # --- asking -------------------------------------------------------------------------------

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """All in full at rest; one after the other, small and paced, while they train."""
        alive = [r for r in self._runners.values() if r.info is not None and not r.closed]
        infos = [r.info for r in alive if r.info is not None and r.status != "stopped"]
        if not infos or self._pages.currentWidget() is not self._race:
            return {}
        racing = self._cursor is None and any(r.status == "training" for r in alive)
        if racing and (resting := self._rounds.resting()) is not False:
            return {resting.part: self._asked[resting.part]} if resting is not None else {}
        full = not racing and (rest or self._rests_long())
        if rest or racing:
            self._unrest = None
        asked = all_questions(infos, rest=full)
        want = self._rounds.choose(self._wants(asked, full), paced=racing)
        if want is None:
            return {}
        self._asked[want.part] = asked[want.part]
        return {want.part: asked[want.part]}

    def _wants(self, parts: Iterable[str], full: bool) -> list[Want]:
        """What can be asked: the truth, pictures, then numbers of those that have begun."""
        wants = []
        for part in sorted(parts, key=lambda part: part.startswith("score:")):
            kind, _, run = part.partition(":")
            if kind == TRUTH:
                wants.append(Want(part, self._truth_version, True))
                continue
            step = self._runners[run].step if self._cursor is None else self._cursor
            if kind == "picture" or step > 0:
                wants.append(Want(part, step, full))
        return wants

    def _rests_long(self) -> bool:
        """Whether no racer has moved for a while, whatever else trains."""
        now = time.monotonic()
        self._unrest = now if self._unrest is None else self._unrest
        return now - self._unrest > REST_SECONDS

    def show_answer(self, part: str, answer: Answer) -> None:
        """A picture for a tile, or a number for the ranking."""
        kind, _, run = part.partition(":")
        runner, asked = self._runners.get(run or answer.slot.run), self._asked.get(part)
        settled = False
        if kind == "score" and runner is not None and runner.info is not None:
            settled = answer.final and is_settled(runner.info, asked, answer.values)
        if answer.final:
            live = self._cursor is None and kind != TRUTH
            full = settled if kind == "score" else is_whole(asked, answer)
            step = answer.step if live else None
            self._rounds.answered(part, answer.elapsed, step, full=full)
        if runner is None or runner.info is None:
            return
        if kind == "score":
            runner.take_score(answer, settled=settled)
            self._soon()
            return
        self.pictures.show_answer(TRUTH if kind == TRUTH else run, runner.info, answer)

    def show_failed(self, part: str, failed: Failed) -> None:
        """One racer's question failed: its tile says so, the others go on."""
        self._rounds.answered(part, 0.0)
        kind, _, run = part.partition(":")
        runner = self._runners.get(run)
        if runner is not None and kind == "picture":
            self.pictures.tiles.set_words(run, failed.message)
        elif runner is None:
            super().show_failed(part, failed)
        else:
            runner.scores, runner.scored_at = {"reason": failed.message}, runner.step
            runner.settled = True  # the race is decided without it
            self._soon()

    # --- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        for name, text, tip in BUTTONS:
            self.tools.add_button(name, text, tip)
        self.tools.add_choice("figure", "What the curves show")
        self.tools.set_choices("figure", FIGURES)
        self.tools.add_choice("over", "Over what: steps, or seconds of a racer's own training")
        self.tools.set_choices("over", AXES)
        self.tools.add_toggle(
            Toggle("whole", "whole range", "Every value, the wild first steps too", "muted")
        )
        self.rule.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.verdict.setWordWrap(True)
        self.verdict.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.curves.set_fit("settled")
        side = QWidget()
        self._column = QBoxLayout(QBoxLayout.Direction.TopToBottom, side)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.ranking, 5)
        self._column.addWidget(self.curves, 5)
        parts = QWidget()
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, parts)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.addWidget(self.pictures, BESIDE[0])
        self._row.addWidget(side, BESIDE[1])
        self._race = QWidget()
        whole = QVBoxLayout(self._race)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(3)
        whole.addWidget(self.verdict)
        whole.addWidget(parts, 1)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.picker)
        self._pages.addWidget(self._race)
        self.body.addWidget(self.tools)
        self.body.addWidget(self.rule)
        self.body.addWidget(self._pages, 1)
        self._connect()
        self._name_axes()
        self.restyle()

    def _connect(self) -> None:
        self.tools.pressed.connect(self._on_pressed)
        self.tools.chosen.connect(self._on_chosen)
        self.tools.toggled.connect(lambda *_: self._on_whole_toggled())
        self.picker.started.connect(self._on_started)
        self.picker.dismissed.connect(self._show_page)
        self.pictures.chosen.connect(self._on_run_chosen)
        self.ranking.chosen.connect(self._on_run_chosen)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        palette = self.look.palette
        self.verdict.setFont(self.look.font(1.0, bold=True))
        self.rule.setFont(self.look.font(0.86))
        self.rule.setStyleSheet(f"color: {palette.muted}")
        for part in (self.picker, self.pictures, self.curves, self.ranking):
            part.restyle()
        self._draw_curves()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Pictures beside the figures, or above them."""
        super().resizeEvent(event)
        self._arrange()

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while the panel was hidden."""
        super().showEvent(event)
        self._show_standings()
        self._draw_curves()

    def save_state(self) -> dict[str, Value]:
        """The choices."""
        whole = self.tools.is_checked("whole")
        return {"figure": self._figure, "over": self._over, "whole": whole}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        for name, allowed in (("figure", FIGURES), ("over", AXES)):
            if state.get(name) in [value for _, value in allowed]:
                self.tools.set_choice(name, state[name])
                self._on_chosen(name, state[name])
        if isinstance(state.get("whole"), bool):
            self.tools.set_on("whole", bool(state["whole"]))
            self._on_whole_toggled()

    # --- drawing ------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Whichever way gives the larger pictures; the figures then lie the other way."""
        px, way = self.look.px, QBoxLayout.Direction
        width, height = self._race.width(), self._race.height() - px(18)
        bar = self.pictures.bar.sizeHint().width()
        beside = self.pictures.tiles.side_in(BESIDE[0] / 100 * width - bar, height)
        above = self.pictures.tiles.side_in(width - bar, ABOVE / 100 * height)
        wide = beside >= above
        shares = BESIDE
        if not wide:
            taken = self.pictures.tiles.height_in(width - bar, ABOVE / 100 * height)
            upper = min(ABOVE, max(LEAST_ABOVE, round(100 * taken / max(height, 1)) + 1))
            shares = (upper, 100 - upper)
        self._row.setDirection(way.LeftToRight if wide else way.TopToBottom)
        self._column.setDirection(way.TopToBottom if wide else way.LeftToRight)
        for index, share in enumerate(shares):
            self._row.setStretch(index, share)
        room = height / 2 if wide else height * shares[1] / 100
        self.curves.legend.setVisible(room >= px(LEGEND_FROM))
        self.rule.setVisible(self.lineup is not None and self.height() >= px(LOW))

    def _soon(self) -> None:
        if self.isVisible() and not self._heads.isActive():
            self._heads.start()

    def _show_page(self) -> None:
        has_race = self.lineup is not None
        self._pages.setCurrentWidget(self._race if has_race else self.picker)
        self.picker.set_can_cancel(has_race)
        self.tools.setVisible(has_race)
        if self.lineup is not None:
            apart = ", each in a process of its own" if self.lineup.apart else ""
            words = f"{self.lineup.data}: {self.lineup.rule.words()}, seed {self.lineup.seed}"
            self.rule.setText(words + apart)
            self.verdict.setToolTip(words + apart)
        self._arrange()
        self._show_standings()
        self._draw_curves()

    def _refresh_tiles(self) -> None:
        lineup = self.lineup
        if lineup is None:
            self.pictures.clear()
            self._rounds.forget()
            return
        before = self.pictures.tiles.keys
        self.pictures.open({run: head_of(r, lineup) for run, r in self._runners.items()})
        if not set(before) & set(self._runners):
            self._truth_version += 1
        first = next((r.info for r in self._runners.values() if r.info is not None), None)
        if first is not None:
            self.pictures.set_info(first)
        self.pictures.tiles.set_current(self.run.run if self.run is not None else "")
        self._arrange()

    def _show_standings(self) -> None:
        if self.lineup is None or not self.isVisible():
            return
        runners = [*self._runners.values()]
        for runner in runners:
            self.pictures.tiles.set_head(runner.racer.run, head_of(runner, self.lineup))
        standings = standings_of(runners)
        self.ranking.show_groups(groups_of(runners, standings))
        done = sum(runner.is_done for runner in runners)
        if done < len(runners):
            self.verdict.setText(_progress(runners, done))
            return
        if not all(r.is_lost or (r.settled and r.scored_at == r.step) for r in runners):
            self.verdict.setText("All at the finish: computing the final numbers …")
            return
        titles = {runner.racer.run: runner.racer.title for runner in runners}
        text = verdict(standings, titles, "KL" if "KL" in self._measure() else "test NLL")
        self.verdict.setText(text)
        if not self._announced:
            self._announced = True
            self.decided.emit(text)

    def _measure(self) -> str:
        return self.ranking.groups[0].heading if self.ranking.groups else ""

    def _draw_curves(self) -> None:
        if self.lineup is None or not self.isVisible():
            return
        for run, runner in self._runners.items():
            x, values = runner.curve(self._figure, self._over)
            if not len(x):
                self.curves.remove(run)
                continue
            tip = f"{runner.racer.title}: {FIGURE_NAMES[self._figure]}"
            line = Stroke(runner.racer.title, runner.racer.colour, 1.8, tooltip=tip)
            self.curves.set_curve(run, x, values, line)
        self._draw_floor()
        self.curves.set_pinned(x=0.0, y=0.0 if self._figure == "kl" else None)
        self.curves.fit()

    def _draw_floor(self) -> None:
        info = next((r.info for r in self._runners.values() if r.info is not None), None)
        entropy = info.data.entropy if info is not None else None
        if entropy is None or self._figure != "nll":
            self.curves.remove("entropy")
            return
        words = "No model can have a lower expected −log p(x) than the entropy of the data"
        floor = Stroke("true entropy", self.look.palette.truth, 1.4, dashed=True, tooltip=words)
        self.curves.set_floor("entropy", entropy, floor)

    def _name_axes(self) -> None:
        names = {"nll": "held-out NLL or −ELBO, nats", "kl": "KL(truth‖model), nats"}
        self.curves.set_names(AXIS_NAMES[self._over], names[self._figure])

    # --- the user -----------------------------------------------------------------------------

    def _on_pressed(self, name: str) -> None:
        if name == "new":
            self.show_picker()
        else:
            self.command_wished.emit(name)

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "figure":
            self._figure = str(value)
        else:
            self._over = str(value)
        self.curves.clear()
        self._name_axes()
        self._draw_curves()

    def _on_whole_toggled(self) -> None:
        self.curves.set_fit("whole" if self.tools.is_checked("whole") else "settled")
        self._draw_curves()

    def _on_started(self, wish: Wish) -> None:
        self.race_wished.emit(wish)

    def _on_run_chosen(self, run: str) -> None:
        if run in self._runners:
            self.run_chosen.emit(run)


def _other_data(before: RunInfo, now: RunInfo) -> bool:
    mine, theirs = before.spec, now.spec
    return (mine.dataset, mine.dataset_config) != (theirs.dataset, theirs.dataset_config)


def _progress(runners: list[Runner], done: int) -> str:
    lost = [runner.racer.title for runner in runners if runner.is_lost]
    text = f"{done - len(lost)} of {len(runners)} at the finish"
    return text + (f"; out: {', '.join(lost)}" if lost else "")
