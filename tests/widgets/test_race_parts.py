"""Standings, turns and tiles of a race, each by itself."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from tests.widgets.fakes import model_card, shown
from widgets.look import Look
from widgets.plots.layers import Box
from widgets.race.lineup import Entry, Rule, Wish, rule_of
from widgets.race.picker import RacePicker
from widgets.race.rounds import LEAST_GAP, PATIENCE, SHARE, Rounds, Want
from widgets.race.standings import Score, rank, verdict
from widgets.race.tiles import Head, TileGrid, binned, binned_1d, mosaic

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


def test_an_answer_of_older_weights_is_asked_again() -> None:
    """The state of the finish line may be known before its weights can be asked."""
    rounds = Rounds(Ticks())
    wants = [msgspec_replace(want, full=True) for want in live(7)]
    first = rounds.choose(wants, paced=False)
    assert first is not None
    rounds.answered(first.part, 0.1, version=6)
    assert rounds.choose(wants, paced=False) == first
    rounds.answered(first.part, 0.1, version=7)
    after = rounds.choose(wants, paced=False)
    assert after is not None
    assert after.part != first.part


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


# --- the picker --------------------------------------------------------------------------------


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
