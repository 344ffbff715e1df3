"""Standings, turns, tiles and the race panel, on answers made by numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo, RunState, Slot
from tests.widgets.fakes import FakeEngine, metrics, model_card, resize, run_info, shown
from widgets.look import LIGHT, Look
from widgets.panel import Panel
from widgets.panels.race import RacePanel
from widgets.plots.colours import table
from widgets.plots.layers import Box
from widgets.race.lineup import Entry, Lineup, Racer, Rule, Wish, rule_of
from widgets.race.picker import RacePicker
from widgets.race.questions import NODES, TRUTH
from widgets.race.rounds import LEAST_GAP, PATIENCE, SHARE, Rounds, Want
from widgets.race.standings import Score, rank, verdict
from widgets.race.tiles import Head, TileGrid, binned, binned_1d, mosaic

MODELS = ("realnvp", "vae", "gan", "ebm")
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")


# --- standings ----------------------------------------------------------------------------------


def labels(*scores: Score) -> list[tuple[str, str]]:
    return [(standing.score.run, standing.label) for standing in rank(list(scores))]


def test_exact_numbers_are_sorted_and_ties_within_errors_marked() -> None:
    found = labels(
        Score("c", 0.5, 0.01, "exact"),
        Score("a", 0.10, 0.02, "exact"),
        Score("b", 0.13, 0.02, "quadrature"),
    )
    assert found == [("a", "1 ="), ("b", "1 ="), ("c", "3")]


def test_a_chain_of_near_ones_does_not_tie_its_ends() -> None:
    chain = [Score(str(i), 0.1 * i, 0.06, "exact") for i in range(4)]
    assert labels(*chain) == [("0", "1 ="), ("1", "1 ="), ("2", "3 ="), ("3", "3 =")]


@pytest.mark.parametrize(
    ("bound", "error", "order"),
    [(0.50, 0.0, "abv"), (0.25, 0.0, "avb"), (0.25, 0.1, "abv"), (0.05, 0.0, "vab"),
     (0.10, 0.0, "avb"), (0.29, 0.0, "abv")],
)  # fmt: skip
def test_a_bound_stands_before_an_exact_number_only_where_it_is_below(
    bound: float, error: float, order: str
) -> None:
    """Exact numbers 0.10 and 0.30, each ± 0.02."""
    found = labels(
        Score("v", bound, error, "bound"),
        Score("a", 0.10, 0.02, "exact"),
        Score("b", 0.30, 0.02, "exact"),
    )
    assert "".join(run for run, _ in found) == order
    assert dict(found)["v"] == f"({order.index('v') + 1})"


def test_every_order_of_giving_scores_ranks_the_same() -> None:
    random = np.random.default_rng(0)
    scores = [
        Score(str(i), float(value), 0.03, "bound" if i % 3 == 0 else "exact")
        for i, value in enumerate(random.uniform(0, 0.5, 8))
    ]
    first = labels(*scores)
    for _ in range(20):
        assert labels(*random.permutation(np.array(scores, object)).tolist()) == first


def test_infinite_and_missing_numbers() -> None:
    found = labels(
        Score("inf", math.inf, math.nan, "exact"),
        Score("none", None),
        Score("nan", math.nan, 0.0, "exact"),
        Score("a", 1.0, 0.1, "exact"),
    )
    assert found == [("a", "1"), ("inf", "2")]


def test_the_verdict_names_winner_ties_and_bounds() -> None:
    names = {"a": "MADE", "b": "MAF", "v": "VAE"}
    exact, near = Score("a", 0.1, 0.01, "exact"), Score("b", 0.105, 0.01, "exact")
    bound = Score("v", 0.4, 0.01, "bound")
    assert verdict(rank([exact, bound]), names, "KL") == (
        "MADE wins: KL 0.100 ± 0.010 nats. VAE: a bound only, may be better than it looks."
    )
    assert verdict(rank([exact, near]), names, "KL").startswith("A tie: MADE and MAF, equal")
    low = Score("v", 0.01, 0.001, "bound")
    assert "even its upper bound, KL ≤ 0.0100" in verdict(rank([low, exact]), names, "KL")
    assert "No racer" in verdict([], names, "KL")


# --- turns --------------------------------------------------------------------------------------


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def live(step: int, n: int = 3) -> list[Want]:
    pictures = [Want(f"picture:{i}", step) for i in range(n)]
    return [*pictures, *(Want(f"score:{i}", step) for i in range(n))]


def test_turns_go_round_fairly_and_leave_training_its_time() -> None:
    ticks = Ticks()
    rounds = Rounds(ticks)
    asked: list[str] = []
    busy = 0.0
    for step in range(1, 181):
        want = rounds.choose(live(step), paced=True)
        assert want is not None
        asked.append(want.part)
        ticks.now += 0.1
        busy += 0.1
        rounds.answered(want.part, 0.1)
        assert rounds.choose(live(step), paced=True) is None
        ticks.now += 0.1 * (1 - SHARE) / SHARE + 1e-9
    assert busy / ticks.now == pytest.approx(SHARE, rel=0.01)
    counts = {part: asked.count(part) for part in set(asked)}
    assert {counts[f"picture:{i}"] for i in range(3)} == {40}
    assert {counts[f"score:{i}"] for i in range(3)} == {20}


def test_only_one_question_is_on_its_way_and_an_unanswered_one_is_given_up() -> None:
    ticks = Ticks()
    rounds = Rounds(ticks)
    first = rounds.choose(live(5), paced=True)
    assert first is not None
    assert rounds.choose(live(9), paced=True) == first
    assert rounds.resting() == first
    ticks.now += PATIENCE[False] + 0.1
    after = rounds.choose(live(9), paced=True)
    assert after is not None
    assert after.part != first.part
    rounds.answered(first.part, 0.1)  # too late to count
    assert rounds.resting() == after
    rounds.answered(after.part, 0.0)
    assert rounds.resting() is None
    ticks.now += LEAST_GAP
    assert rounds.resting() is False


def test_at_rest_everything_comes_once_in_full_pictures_first() -> None:
    rounds = Rounds(Ticks())
    wants = [msgspec_replace(want, full=True) for want in live(7)]
    asked = []
    while (want := rounds.choose(wants, paced=False)) is not None:
        asked.append(want.part)
        rounds.answered(want.part, 1.0)
    assert asked == [want.part for want in wants]
    rounds.forget("1")
    again = rounds.choose(wants, paced=False)
    assert again is not None
    assert again.part == "picture:1"


def test_what_was_asked_in_full_is_asked_small_when_training_begins() -> None:
    rounds = Rounds(Ticks())
    full = rounds.choose([Want("score:1", 5, True)], paced=False)
    assert full is not None
    small = rounds.choose([Want("score:1", 5, False)], paced=True)
    assert small == Want("score:1", 5, False)


def msgspec_replace(want: Want, **changes: Any) -> Want:
    return Want(**{"part": want.part, "version": want.version, "full": want.full} | changes)


# --- tiles --------------------------------------------------------------------------------------


def test_binned_points_are_a_density() -> None:
    random = np.random.default_rng(1)
    points = random.normal(size=(50_000, 2)) * np.array([0.5, 1.0])
    box = Box((-2.0, -4.0), (2.0, 4.0))
    density = binned(points, box, 40)
    inside = (np.abs(points) < np.array([2.0, 4.0])).all(1).mean()
    assert density.sum() * (4.0 * 8.0 / 40**2) == pytest.approx(inside, rel=1e-6)
    x = -2.0 + (np.arange(40) + 0.5) * 0.1
    marginal = density.sum(0) * 0.2
    exact = np.exp(-(x**2) / 0.5) / math.sqrt(0.5 * math.pi)
    assert np.abs(marginal - exact).max() < 0.05
    assert binned(np.array([[np.nan, 0.0], [0.0, 0.0]]), box, 4).sum() * 2 == pytest.approx(0.5)


def test_a_histogram_has_the_mass_of_its_points() -> None:
    values = np.array([0.1, 0.1, 0.9, 5.0])
    outline = binned_1d(values, 0.0, 1.0, 2)
    assert outline[:, 0].tolist() == [0.0, 0.5, 0.5, 1.0]
    assert outline[:, 1].tolist() == [1.0, 1.0, 0.5, 0.5]


def test_a_mosaic_has_its_first_picture_at_the_upper_left() -> None:
    pictures = np.arange(4)[:, None, None] * np.ones((4, 2, 3))
    sheet = mosaic(pictures)[::-1]
    assert sheet.shape == (4, 6)
    assert sheet[0, 0] == 0
    assert sheet[0, 5] == 1
    assert sheet[3, 0] == 2


@pytest.mark.parametrize("n", [2, 5, 8])
@pytest.mark.parametrize("size", [(700, 180), (420, 420), (900, 600)])
def test_tiles_lie_apart_and_inside(
    look: Look, qtbot: QtBot, n: int, size: tuple[int, int]
) -> None:
    grid = shown(TileGrid(look), qtbot, *size)
    grid.set_axes(Box((-3.0, -3.0), (3.0, 3.0)), ("x", "y"))
    grid.set_tiles({str(i): Head(f"model {i}", "#ff0000", ("step 1", "2 s")) for i in range(n)})
    places = [whole for whole, _ in grid.place().values()]
    for index, place in enumerate(places):
        assert place.left() >= 0
        assert place.right() <= grid.width()
        assert place.bottom() <= grid.height()
        assert not any(place.intersects(other) for other in places[index + 1 :])
        assert grid.at(place.center()) == str(index)


# --- the panel ----------------------------------------------------------------------------------


def racer_info(model: str, run: str, **changes: Any) -> RunInfo:
    return msgspec.structs.replace(run_info(model, **changes), run=run, step=0)


class Board:
    """A panel with a race, and answers for it."""

    def __init__(self, panel: RacePanel, models: tuple[str, ...] = MODELS, **event: Any) -> None:
        self.panel = panel
        self.infos = {f"run-{i}": racer_info(m, f"run-{i}", **event) for i, m in enumerate(models)}
        racers = tuple(
            Racer(run, model_card(info.card.name).title, COLOURS[i % 4])
            for i, (run, info) in enumerate(self.infos.items())
        )
        self.lineup = Lineup(Rule("steps", 100), racers, "8 Gaussians")
        panel.open_runs(tuple(self.infos.values()))
        panel.show_lineup(self.lineup)

    def tell(self, step: int, state: str = "training", **changes: Any) -> None:
        for run in self.infos:
            self.panel.show_run_state(RunState(run, state, step, seconds=step / 10, **changes))
        self.panel._show_standings()

    def answer_all(self, kls: dict[str, tuple[float, float, str]]) -> list[str]:
        """Answer whatever is asked at rest until nothing is."""
        asked: list[str] = []
        while questions := self.panel.asks(rest=True):
            ((part, question),) = questions.items()
            assert part not in asked, asked
            asked.append(part)
            run = question.run
            answer = self.answer(part, run, question, kls)
            self.panel.show_answer(part, answer)
        self.panel._show_standings()
        return asked

    def answer(
        self, part: str, run: str, question: Any, kls: dict[str, tuple[float, float, str]]
    ) -> Answer:
        step = self.panel._runners[run].step
        if part.startswith("score:"):
            return Answer(Slot("race", run, part), 1, step, {}, scores(question, kls.get(run)))
        made = FakeEngine(self.infos[run]).answer("race", part, question)
        return msgspec.structs.replace(made, step=step)


def scores(question: Any, kl: tuple[float, float, str] | None) -> dict[str, Value]:
    if question.probe == "sample_scores":
        repetitions = question.arguments["repetitions"]
        return {"energy_distance": 0.12, "energy_distance_low": 0.05, "n": 500,
                "energy_distance_high": 0.1, "repetitions": repetitions}  # fmt: skip
    value, error, kind = kl or (0.5, 0.01, "exact")
    size = question.arguments.get("size", 0)
    return {"kl": value, "kl_error": error, "kl_kind": kind, "size": size}


KLS = {
    "run-0": (0.20, 0.001, "exact"),
    "run-1": (0.15, 0.01, "bound"),
    "run-3": (0.08, 0.002, "quadrature"),
}


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> RacePanel:
    made = show_panel(RacePanel)
    assert isinstance(made, RacePanel)
    made.resize(900, 620)
    return made


def test_at_rest_each_part_is_asked_once_and_the_race_is_decided(panel: RacePanel) -> None:
    board, said = Board(panel), []
    panel.decided.connect(said.append)
    board.tell(100, "paused", finished=True)
    assert panel.verdict.text().startswith("All at the finish")
    asked = board.answer_all(KLS)
    assert asked[0] == TRUTH
    assert len(asked) == 1 + 2 * len(MODELS)
    ranked, apart = panel.ranking.groups
    assert [(row.label, row.title) for row in ranked.rows] == [
        ("1", "EBM"), ("(2)", "VAE"), ("3", "RealNVP")
    ]  # fmt: skip
    assert "KL(truth‖model), nats" in ranked.heading
    assert ranked.rows[1].bound
    assert ranked.rows[1].text.startswith("≤ 0.15")
    assert [(row.title, row.band) for row in apart.rows] == [("GAN", (0.05, 0.1))]
    assert said == [panel.verdict.text()]
    assert said[0].startswith("EBM wins: KL 0.0800 ± 0.0020 nats.")
    board.tell(100, "paused", finished=True)
    assert len(said) == 1


def test_while_they_race_questions_are_small_and_one_at_a_time(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(10)
    questions = panel.asks(rest=False)
    assert len(questions) == 1
    ticks = Ticks()
    panel._rounds.clock = ticks
    seen: dict[str, Any] = {}
    for step in range(11, 60):
        board.tell(step)
        ticks.now += 1.0
        for part, question in panel.asks(rest=False).items():
            seen[part] = question
            panel.show_answer(part, board.answer(part, question.run, question, KLS))
    assert {part for part in seen if part.startswith("picture:")} == {
        f"picture:run-{i}" for i in range(4)
    }
    assert seen["score:run-0"].arguments["size"] == NODES["cheap"][False]
    assert seen["picture:run-0"].arguments["size"] < 100
    assert seen["picture:run-2"].probe == "samples"
    assert panel.verdict.text() == "0 of 4 at the finish"


def test_a_number_of_coarse_nodes_does_not_decide(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(100, "paused", finished=True)
    coarse = {"kl": 0.1, "kl_error": 0.01, "kl_kind": "exact", "size": 64}
    for run in board.infos:
        answer = Answer(Slot("race", run, f"score:{run}"), 1, 100, {}, coarse)
        panel.show_answer(f"score:{run}", answer)
    panel._show_standings()
    assert panel.verdict.text().startswith("All at the finish")


def test_all_tiles_share_one_scale(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(5, "paused")
    board.answer_all(KLS)
    tiles, top = panel.pictures.tiles, panel.pictures.ceiling
    assert tiles.keys == (TRUTH, *board.infos)
    assert panel.pictures.bar.ends == (0.0, top)
    colours = table(panel.look.palette.sequential)
    for key in tiles.keys:
        pixels = tiles.pixels(key)
        assert pixels is not None
        assert np.isin(pixels, colours).all()
    assert tiles.words("run-1") == "exp(bound)"
    assert tiles.words("run-2") == "samples only"
    assert tiles.words("run-3") == "quadrature"
    full = np.full((8, 8), math.log(top), np.float32)
    for run in ("run-0", "run-1"):
        values: dict[str, Value] = {"kind": "exact"}
        panel.show_answer(f"picture:{run}", Answer(Slot("race", run, f"picture:{run}"), 1, 5,
                                                   {"log_density": full}, values))  # fmt: skip
    first, second = tiles.pixels("run-0"), tiles.pixels("run-1")
    assert first is not None
    assert second is not None
    assert (first >= colours[254]).all() or (first == colours[255]).all()
    assert np.array_equal(first, second)
    assert panel.pictures.ceiling == top


def test_heads_tell_step_time_and_size(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(50)
    head = panel.pictures.tiles.head("run-0")
    assert head.title == "RealNVP"
    assert head.lines == ("step 50 · 5.0 s", "12.3k parameters")
    assert head.share == 0.5
    panel.show_run_state(RunState("run-0", "diverged", 40))
    panel._show_standings()
    assert panel.pictures.tiles.head("run-0").mark == "diverged"


def test_one_that_dies_is_out_and_the_others_are_ranked(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(100, "paused", finished=True)
    panel.show_run_state(RunState("run-3", "stopped", 60))
    asked = board.answer_all(KLS)
    assert not [part for part in asked if part.endswith("run-3")]
    assert panel.pictures.tiles.head("run-3").mark == "engine gone"
    assert panel.verdict.text().startswith("RealNVP wins") or "VAE wins" in panel.verdict.text()
    titles = [row.title for group in panel.ranking.groups for row in group.rows]
    assert sorted(titles) == sorted(["RealNVP", "VAE", "GAN", "EBM"])


def test_one_that_is_closed_stays_on_the_board(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(20)
    panel.open_runs(tuple(board.infos.values())[1:])
    panel._show_standings()
    assert panel.pictures.tiles.head("run-0").mark == "closed"
    assert "out: RealNVP" in panel.verdict.text()


def test_a_failed_question_speaks_on_its_own_tile(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(5, "paused")
    panel.asks(rest=True)
    panel.show_failed("picture:run-1", Failed("density", "ValueError", "no number there"))
    panel.show_failed("score:run-1", Failed("divergences", "ValueError", "no number there"))
    panel._show_standings()
    assert panel.pictures.tiles.words("run-1") == "no number there"
    silent = panel.ranking.groups[-1]
    assert silent.heading == "not ranked"
    assert "no number there" in [row.text for row in silent.rows]
    assert not panel.banner.text


def test_curves_of_all_racers_over_steps_or_seconds(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(50)
    for index, run in enumerate(board.infos):
        steps = np.arange(1, 201)
        columns = {"held_out_nll": 2 + 1 / steps, "seconds": steps * (index + 1) / 100.0}
        panel.show_run_metrics(run, metrics(columns, steps))
    panel._draw_curves()
    assert set(panel.curves.names) == {*board.infos, "entropy"}
    panel.restore_state({"over": "seconds", "figure": "nll"})
    x, _ = panel._runners["run-1"].curve("nll", "seconds")
    steps, _ = panel._runners["run-1"].curve("nll", "steps")
    assert np.allclose(x, steps * 2 / 100.0)
    panel.restore_state({"figure": "kl"})
    panel._runners["run-0"].trail = {30: 0.2, 10: 0.4}
    panel._draw_curves()
    assert panel.curves.names == ("run-0",)
    assert panel.save_state() == {"figure": "kl", "over": "seconds", "whole": False}


def test_other_events_and_the_light_theme_are_drawn(panel: RacePanel, look: Look) -> None:
    for models, shape in ((("realnvp", "gan"), (1,)), (("realnvp", "vae"), (1, 8, 8)),
                          (("realnvp", "gan"), (4,))):  # fmt: skip
        panel.show_lineup(None)
        board = Board(panel, models, shape=shape)
        board.tell(3, "paused")
        asked = board.answer_all({})
        assert "picture:run-1" in asked
        resize(panel, 700, 340)
        look.set(palette=LIGHT)
        assert not panel.grab().isNull()


def test_another_race_begins_afresh_and_a_reset_forgets(panel: RacePanel) -> None:
    board = Board(panel)
    board.tell(100, "paused", finished=True)
    board.answer_all(KLS)
    panel.show_run_state(RunState("run-0", "ready", 0))
    panel._show_standings()
    assert "RealNVP" not in [row.title for row in panel.ranking.groups[0].rows]
    assert "3 of 4" in panel.verdict.text()
    panel.show_lineup(None)
    assert panel.asks(rest=True) == {}
    assert panel.pictures.tiles.keys == ()


def test_the_picker_offers_what_fits_and_counts(look: Look, qtbot: QtBot) -> None:
    picker = shown(RacePicker(look), qtbot, 640, 400)
    cards = [model_card(name) for name in ("realnvp", "vae", "gaussian_mixture", "gan", "ebm")]
    entries = [Entry(card.name, card.title, card) for card in cards]
    picker.offer(entries, "8 Gaussians")
    assert {entry.key for entry in picker.wish.entries} == {"realnvp", "vae", "gan", "ebm"}
    started: list[Wish] = []
    picker.started.connect(started.append)
    picker.set_rule(Rule("parameters", steps=500, parameters=9000), seed=3, apart=True)
    assert picker._parameters.isVisible()
    assert not picker._seconds.isVisible()
    picker._start.click()
    assert started[0].rule == Rule("parameters", 500, 30.0, 9000)
    assert (started[0].seed, started[0].apart) == (3, True)
    picker.choose({"realnvp"})
    assert not picker._start.isEnabled()
    assert "1 chosen" in picker._note.text()


@pytest.mark.parametrize("rule", [Rule(), Rule("seconds", seconds=2.5), Rule("parameters")])
def test_a_rule_comes_back_from_plain_values(rule: Rule) -> None:
    saved = msgspec.json.decode(msgspec.json.encode(rule.save()))
    assert rule_of(saved) == rule
    for spoilt in ({"kind": "luck"}, {"steps": 0}, {"seconds": "soon"}, {"parameters": True}):
        with pytest.raises(ValueError, match="given the rule"):
            rule_of(saved | spoilt)
