"""What is known of each racer, and its words: heads of tiles, rows of the ranking."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo, RunState
from widgets.density.face import has_density
from widgets.figures import as_float, number, with_error
from widgets.metrics_table import MetricsTable
from widgets.race.lineup import LOST, Lineup, Racer, spaced
from widgets.race.questions import ranks_by_divergence
from widgets.race.ranking import Group, Row, axis_words
from widgets.race.standings import Score, Standing, rank
from widgets.race.tiles import Head

KINDS = {"exact": "exact", "quadrature": "exact", "bound": "upper bound", "estimate": "estimate"}
MARKS = {"diverged": "diverged", "failed": "failed", "stopped": "engine gone", "closed": "closed"}
#: Newest divergences kept for the curves; when full, every second older one is dropped.
KEPT = 600
SAMPLE_SCORE = "energy_distance"


@dataclass
class Runner:
    """One racer as far as it is known."""

    racer: Racer
    info: RunInfo | None = None
    state: RunState | None = None
    table: MetricsTable | None = None
    closed: bool = False
    scores: dict[str, Value] = field(default_factory=dict)
    scored_at: int = -1
    settled: bool = False
    trail: dict[int, float] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Training steps taken."""
        return self.state.step if self.state else (self.info.step if self.info else 0)

    @property
    def seconds(self) -> float:
        """Seconds of its own training."""
        return self.state.seconds if self.state else 0.0

    @property
    def status(self) -> str:
        """As in ``RunState``, or "finished" or "closed"."""
        if self.closed:
            return "closed"
        if self.state is None:
            return "ready"
        lost = self.state.state in LOST
        return "finished" if self.state.finished and not lost else self.state.state

    @property
    def is_lost(self) -> bool:
        """Whether it takes no further step by itself."""
        return self.status in LOST

    @property
    def is_done(self) -> bool:
        """Whether it has reached the finish, or never will."""
        return self.status == "finished" or self.is_lost

    def take_score(self, answer: Answer, *, settled: bool) -> None:
        """Keep what the ranking is made from."""
        self.scores, self.scored_at, self.settled = dict(answer.values), answer.step, settled
        kl = as_float(answer.values.get("kl"))
        if kl is None or not math.isfinite(kl):
            return
        self.trail[answer.step] = kl
        if len(self.trail) > KEPT:
            steps = sorted(self.trail)
            for step in steps[1 : KEPT // 2 : 2]:
                del self.trail[step]

    def forget(self) -> None:
        """Back at the start: nothing that was found holds any more."""
        self.scores, self.scored_at, self.settled = {}, -1, False
        self.trail = {}

    def score(self) -> Score:
        """The number by which it is ranked."""
        run, values = self.racer.run, self.scores
        if self.info is not None and not has_density(self.info.card):
            return Score(run, None, why="no density")
        name = "kl" if self.info is None or ranks_by_divergence(self.info) else "nll"
        value, error = as_float(values.get(name)), as_float(values.get(f"{name}_error")) or 0.0
        kind = str(values.get("kl_kind" if name == "kl" else "kind", "none"))
        if value is None:
            return Score(run, None, why=str(values.get("reason") or values.get("label") or ""))
        if name == "nll" and kind != "bound":
            kind = "estimate"
        return Score(run, value, error, kind)

    def curve(self, figure: str, over: str) -> tuple[npt.NDArray[np.float64], ...]:
        """Steps or seconds, and ``"nll"`` (held out) or ``"kl"``."""
        if figure == "kl":
            points = np.array(sorted(self.trail.items()), np.float64).reshape(-1, 2)
            steps, values = points[:, 0], points[:, 1]
        elif self.table is not None:
            steps, values = self.table.column("held_out_nll")
        else:
            steps = values = np.empty(0)
        if over == "steps" or self.table is None:
            return steps, values
        known, seconds = self.table.column("seconds")
        if not len(known):
            return np.empty(0), np.empty(0)
        return np.interp(steps, known, seconds), values


def head_of(runner: Runner, lineup: Lineup) -> Head:
    """What stands over a racer's picture."""
    racer, info = runner.racer, runner.info
    if info is None:
        return Head(racer.title, racer.colour, ("starting …", ""), share=0.0)
    size = f"{short(info.n_parameters)} parameters"
    took = f"{runner.seconds:.1f} s"
    lines = (f"step {spaced(runner.step)} · {took}", size)
    brief = (f"{short(runner.step)} · {took}", size.removesuffix("ameters") + ".")
    status = runner.status
    mark = MARKS.get(status, "✓" if status == "finished" else "")
    tooltip = (
        f"{racer.title}: {spaced(info.n_parameters)} parameters{racer.note}.\n"
        f"Step {spaced(runner.step)} after {runner.seconds:.2f} s of its own training steps.\n"
        f"{lineup.rule.words().capitalize()}. A click brings this run into view."
    )
    share = lineup.rule.share(runner.step, runner.seconds)
    return Head(racer.title, racer.colour, lines, brief, share, mark, tooltip)


def short(count: int) -> str:
    """20096 as "20.1k"."""
    return str(count) if count < 10_000 else f"{count / 1000:.1f}k"


def groups_of(runners: list[Runner], standings: list[Standing]) -> tuple[Group, ...]:
    """The ranking: those with a number, then those that are ranked apart."""
    by_run = {runner.racer.run: runner for runner in runners}
    groups = []
    if standings:
        rows = tuple(_row(by_run[s.score.run], s) for s in standings)
        name, tip = _measure(by_run[standings[0].score.run])
        groups.append(Group(f"{name} · {axis_words(rows)}", rows, tip))
    groups += _apart(runners)
    silent = [r for r in runners if _is_silent(r, by_run, standings)]
    if silent:
        rows = tuple(_silent_row(runner) for runner in silent)
        groups.append(
            Group("not ranked", rows, "There is no number for these yet, or none at all")
        )
    return tuple(groups)


def standings_of(runners: list[Runner]) -> list[Standing]:
    """Places of those that have a number."""
    return rank([runner.score() for runner in runners])


def _measure(runner: Runner) -> tuple[str, str]:
    if runner.info is None or ranks_by_divergence(runner.info):
        return "KL(truth‖model), nats", (
            "∫ p log(p/q) by quadrature; the whisker is the difference to half as many nodes a "
            "side. A bound is dashed: the true number is lower, by how much is unknown, so its "
            "place stands in brackets."
        )
    return "test NLL, nats", (
        "The true density is unknown, so racers are ranked by −log q(x) of the test points; the "
        "whisker is the standard error of the mean. A bound is dashed: the true number is lower."
    )


def _row(runner: Runner, standing: Standing) -> Row:
    score = standing.score
    value = score.value if score.value is not None else math.nan
    figure, error = with_error(value, score.error)
    sign = "≤ " if score.is_bound else ""
    kind = KINDS.get(score.kind, score.kind)
    amount = f"{sign}{figure} {error}".rstrip()
    text = f"{amount} {kind.removeprefix('upper ')}"
    tooltip = f"{runner.racer.title}: {amount} nats, {kind}, at step {spaced(runner.scored_at)}."
    if score.is_bound:
        tooltip += (
            "\nPlaced by its upper bound: it stands before an exact number only where the bound "
            "is below that; the true place may be better."
        )
    if math.isinf(value):
        missed = as_float(runner.scores.get("missed"))
        if missed:
            tooltip += f"\nThe model gives no density to {number(100 * missed, 3)} % of the data."
    return Row(runner.racer.run, standing.label, runner.racer.title, runner.racer.colour,
               value, score.error, text, tooltip, score.is_bound)  # fmt: skip


def _apart(runners: list[Runner]) -> list[Group]:
    """Racers without a density, by a score of their samples beside the null band."""
    scored = [r for r in runners if as_float(r.scores.get(SAMPLE_SCORE)) is not None]
    if not scored:
        return []
    scored.sort(key=lambda r: as_float(r.scores.get(SAMPLE_SCORE)) or 0.0)
    rows = tuple(_sample_row(runner) for runner in scored)
    n = scored[0].scores.get("n", "")
    heading = f"no density: energy distance, data units · {axis_words(rows)}"
    tip = (
        f"√(2E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖) between {n} samples of the model and of the truth: an "
        "estimate. The band holds 5 … 95 % of what a perfect sampler would get, so a bar that "
        "ends in it is as good as can be told. It cannot be compared with KL."
    )
    return [Group(heading, rows, tip)]


def _sample_row(runner: Runner) -> Row:
    values = runner.scores
    value = as_float(values.get(SAMPLE_SCORE)) or 0.0
    ends = [as_float(values.get(f"{SAMPLE_SCORE}_{end}")) for end in ("low", "high")]
    low, high = ends
    band = (low, high) if low is not None and high is not None else None
    inside = band is not None and value <= band[1]
    text = f"{number(value, 3)} estimate"
    if band is not None:
        words = "in" if inside else "above"
        text += f", {words} band {number(band[0], 2)} … {number(band[1], 2)}"
    tooltip = f"{runner.racer.title}: {text}, at step {spaced(runner.scored_at)}."
    return Row(runner.racer.run, "–", runner.racer.title, runner.racer.colour, value, 0.0, text,
               tooltip, band=band)  # fmt: skip


def _is_silent(runner: Runner, ranked: dict[str, Runner], standings: list[Standing]) -> bool:
    placed = {s.score.run for s in standings}
    if runner.racer.run in placed:
        return False
    return as_float(runner.scores.get(SAMPLE_SCORE)) is None


def _silent_row(runner: Runner) -> Row:
    why = runner.score().why or ("no number yet" if not runner.is_lost else runner.status)
    return Row(runner.racer.run, "–", runner.racer.title, runner.racer.colour, None, 0.0,
               why if len(why) < 40 else "no number", why)  # fmt: skip
