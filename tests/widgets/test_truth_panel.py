"""The truth panel: what it asks, what it says beside each number, and its curves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from engine.wire.fields import Value
from engine.wire.messages import Answer, RunState, Slot
from tests.widgets.fakes import FakeEngine, metrics, resize, run_info, shown, training_curves
from widgets.density.words import density_chips
from widgets.figures import with_error
from widgets.look import DARK, Look
from widgets.panel import Panel
from widgets.panels.truth import TruthPanel
from widgets.truth.score_bars import ScoreBars
from widgets.truth.series import CAPACITY, Series, at_steps, most_missing
from widgets.truth.tiles import Tiles
from widgets.truth.words import (
    Reading,
    divergence_readings,
    headline,
    mass_reading,
    score_summary,
    scores_of,
)

Show = Callable[[type[Panel]], Any]


def opened(show_panel: Show, model: str = "realnvp", **facts: Any) -> Any:
    panel = show_panel(TruthPanel)
    info = run_info(model, **facts)
    panel.open_run(info)
    return panel, FakeEngine(info)


def reply(part: str, values: dict[str, Value], step: int = 100, final: bool = True) -> Answer:
    return Answer(Slot("truth", "run-1", part), 1, step, {}, values, final)


def figures(**changes: Value) -> dict[str, Value]:
    engine = FakeEngine(run_info())
    return engine._divergences({})[1] | changes


# --- asking --------------------------------------------------------------------------------------


def test_coarse_while_training_and_full_at_rest(show_panel: Show) -> None:
    panel, _ = opened(show_panel)
    assert panel.asks(rest=False)["divergences"].arguments["size"] == 128
    assert panel.asks(rest=True)["divergences"].arguments["size"] == 512
    panel.open_run(run_info("vae"))
    assert panel.asks(rest=True)["divergences"].arguments["size"] == 128


def test_while_training_an_answered_part_rests_a_moment(show_panel: Show) -> None:
    panel, engine = opened(show_panel)
    engine.serve(panel, rest=False)
    assert panel.asks(rest=False) == {}
    assert set(panel.asks(rest=True)) == {"divergences", "scores"}


def test_the_band_is_asked_for_piece_by_piece(show_panel: Show) -> None:
    panel, engine = opened(show_panel, "gan")
    assert set(panel.asks(rest=True)) == {"scores"}
    wanted = []
    while len(wanted) < 2 or wanted[-1] != wanted[-2]:
        wanted.append(engine.serve(panel)["scores"].arguments["repetitions"])
        assert len(wanted) < 100
    assert wanted[0] < 50
    assert wanted[-1] == 400
    panel._on_chosen("n", 1000)
    arguments = panel.asks(rest=True)["scores"].arguments
    assert arguments["n"] == 1000
    assert arguments["repetitions"] < wanted[0]


def test_what_cannot_be_had_is_not_asked(show_panel: Show) -> None:
    panel, _ = opened(show_panel, shape=(5,))
    assert set(panel.asks(rest=True)) == {"scores"}
    assert "two dimensions" in panel.note.text()
    panel.open_run(run_info("gan"))
    assert "no density" in panel.note.text()
    panel.open_run(run_info(has_density=False, entropy=None))
    assert "unknown" in panel.note.text()
    assert "divergences" in panel.asks(rest=True)


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.0312, 0.0021, ("0.031", "± 0.002")),
        (0.1975, 2.5e-6, ("0.1975", "± 3·10⁻⁶")),
        (-1e-9, 1e-8, ("0.0000", "± 1·10⁻⁸")),
        (30.0, 29.0, ("30", "± 29")),
        (-1.25, 0.5, ("−1.2", "± 0.5")),
        (0.5, None, ("0.5000", "")),
        (math.inf, 0.0, ("∞", "")),
    ],
)
def test_digits_follow_the_error(value: float, error: float | None, text: tuple[str, str]) -> None:
    assert with_error(value, error, 1) == text


def test_each_number_has_error_unit_and_kind() -> None:
    for reading in divergence_readings(figures()):
        assert reading.error == "± 0.002"
        assert reading.kind == "exact (quadrature)"
        assert ("nats" in reading.title) != (reading.title == "total variation")
    bound = divergence_readings(figures(kl_kind="bound", js_kind="estimate"))
    assert (bound[0].value, bound[0].kind) == ("≤ 0.031", "upper bound")
    assert bound[2].kind == "estimate"


def test_infinity_gives_the_mass_concerned() -> None:
    readings = divergence_readings(
        figures(reverse_kl=math.inf, outside=0.2371, kl=math.inf, missed=0.75)
    )
    assert (readings[1].value, readings[1].kind) == ("∞", "23.7 % outside its support")
    assert readings[0].kind == "75 % of the truth missed"
    assert {readings[0].role, readings[1].role} == {"error"}


@pytest.mark.parametrize(
    ("state", "total", "role", "word"),
    [
        ("whole", 0.9995, "good", "is 1"),
        ("off", 0.33, "error", "must be 1"),
        ("unsure", 1.2, "warning", "too uncertain"),
        ("below", 0.93, "muted", "of the bound"),
    ],
)
def test_mass_badge(state: str, total: float, role: str, word: str) -> None:
    values = figures(mass_state=state, total=total)
    reading = mass_reading(values)
    assert reading is not None
    assert (reading.role, word in reading.kind) == (role, True)
    chips = density_chips({"kind": "exact", **values}, DARK)
    (badge,) = (chip for chip in chips if chip.text.startswith("mass"))
    assert badge.alarm == (state == "off")
    assert badge.colour == getattr(DARK, role)
    assert mass_reading({"mass": 0.5}) is None


def test_headlines() -> None:
    assert headline(figures()) == "KL 0.031 ± 0.002 nats"
    assert headline(figures(kl_kind="bound")) == "KL ≤ 0.031 ± 0.002 nats"
    assert headline(figures(kl=math.inf)) == "KL ∞ nats"
    assert headline(figures(mass_state="off", total=0.33)).startswith("mass 0.33")
    scores = FakeEngine(run_info("gan"))._sample_scores({"n": 500, "repetitions": 100})[1]
    assert headline(scores) == "energy distance inside the band"
    assert headline({**scores, "energy_distance": 0.45}) == "energy distance 2.5× the band"
    assert headline({}) == ""


def test_scores_in_words() -> None:
    engine = FakeEngine(run_info("gan"))
    values = engine._sample_scores({"n": 500, "repetitions": 100})[1]
    verdicts = [score.verdict for score in scores_of(values)]
    assert verdicts == ["inside the band", "2.5× the band", "inside the band"]
    assert score_summary(values) == "Told apart from the truth at n = 500: MMD²."
    assert "cannot tell" in score_summary({**values, "mmd": 0.001})
    assert scores_of({**values, "mmd": -0.1})[1].verdict == "below the band"
    assert scores_of({**values, "mmd": None})[1].verdict == "not a number"
    young = engine._sample_scores({"n": 500, "repetitions": 10})[1]
    assert "Simulating" in score_summary(young)


# --- curves --------------------------------------------------------------------------------------


def test_series_keeps_one_row_a_step_and_stays_small() -> None:
    series = Series()
    for step in (10, 30, 20, 30):
        series.add(step, figures(kl=step / 10, reverse_kl=math.inf))
    assert series.column("kl")[0].tolist() == [10, 20, 30]
    assert np.isnan(series.column("reverse_kl")[1]).all()
    series.add(40, figures(kl=None))
    assert series.last_step == 30
    for step in range(CAPACITY + 50):
        series.add(step, figures(kl=1.0))
    assert len(series) <= CAPACITY
    assert series.last_step == CAPACITY + 49


def test_what_a_curve_lacks_most_lies_in_the_middle_of_its_longest_gap() -> None:
    stored = tuple(range(0, 1000, 10))
    assert most_missing((), ()) is None
    assert most_missing((7,), ()) == 7
    assert most_missing((7,), (7,)) is None
    known: list[int] = []
    for _ in range(8):
        step = most_missing(stored, sorted(known))
        assert step is not None
        known.append(step)
    assert max(np.diff([0, *sorted(known), 1000])) <= 260  # the outline comes first
    while (step := most_missing(stored, sorted(known))) is not None:
        assert step not in known
        known.append(step)
    assert sorted(known) == list(stored)
    live = [step + 2 for step in stored]
    assert most_missing(stored, live) is None  # near enough
    assert most_missing(stored, live[:50]) == 740


def test_values_at_other_steps() -> None:
    x, y = np.array([0.0, 10.0]), np.array([1.0, 3.0])
    assert at_steps(np.array([5.0, 11.0]), x, y)[0] == 2.0
    assert np.isnan(at_steps(np.array([5.0, 11.0]), x, y)[1])
    assert np.isnan(at_steps(np.array([5.0]), np.empty(0), np.empty(0))).all()


def test_the_past_is_filled_in_without_touching_the_numbers(
    show_panel: Show, qtbot: QtBot
) -> None:
    panel, _ = opened(show_panel)
    panel.show_answer("divergences", reply("divergences", figures(kl=0.01), 400))
    stored = (0, 100, 200, 300, 400)
    asked = []
    while (lack := panel.missing_past(stored)) is not None:
        part, question, step = lack
        assert part == "divergences"
        assert question.arguments["size"] == 128
        asked.append(step)
        panel.show_past(part, reply(part, figures(kl=1.0 / (1 + step)), step))
    assert sorted(asked) == [0, 100, 200, 300]
    steps, kl = panel._own.divergences.column("kl")
    assert steps.tolist() == list(stored)
    assert kl[-1] == 0.01
    assert panel._values["divergences"]["kl"] == 0.01
    qtbot.waitUntil(lambda: panel.curves.plot.value_at("kl", 0) == 1.0)


def test_no_past_is_wanted_where_there_is_no_kl_or_no_curve(show_panel: Show) -> None:
    panel, _ = opened(show_panel)
    panel.show_answer("divergences", reply("divergences", figures(kl=None), 10))
    assert panel.missing_past((0, 10)) is None
    panel, _ = opened(show_panel, "gan")
    assert panel.missing_past((0, 10)) is None
    panel, _ = opened(show_panel)
    panel._on_chosen("view", "scores")
    assert panel.missing_past((0, 10)) is None
    resize(panel, 400, 150)
    assert panel.missing_past((0, 10)) is None


def test_the_difference_of_nll_and_kl_is_drawn_beside_the_entropy(show_panel: Show) -> None:
    panel, _ = opened(show_panel)
    steps = np.arange(1, 101)
    panel.show_metrics(metrics({"held_out_nll": 1.698 + 5.0 / steps}, steps))
    for step in (10, 50, 100):
        panel.show_answer("divergences", reply("divergences", figures(kl=5.0 / step), step))
    plot = panel.curves.plot
    assert plot.value_at("entropy", 50) == 1.698
    for step in (10, 50, 100):
        assert plot.value_at("gap", step) == pytest.approx(1.698, abs=1e-6)
    assert plot.label_of("gap") == "NLL − KL = 1.698"
    assert "KL" in dict(panel.curves.reading(50.0))


def test_views(show_panel: Show, qtbot: QtBot) -> None:
    panel, engine = opened(show_panel)
    engine.serve(panel)
    panel._on_chosen("view", "divergences")
    assert {"kl", "reverse_kl", "js", "tv"} <= set(panel.curves.plot.names)
    assert panel.tools.is_checked("log_nats")
    top = panel.curves.plot.frame.box.high[1]
    assert top < 0.5  # a decimal logarithm of numbers below 1
    panel._on_chosen("view", "scores")
    assert "band" in panel.curves.plot.names
    state = panel.save_state()
    panel._on_chosen("view", "identity")
    panel.restore_state(state)
    assert panel.curves.view == "scores"
    panel.open_run(run_info("gan"))
    assert panel.curves.view == "scores"


def test_a_run_keeps_its_curves_and_a_reset_empties_them(show_panel: Show) -> None:
    panel, engine = opened(show_panel)
    engine.serve(panel)
    panel.open_run(None)
    panel.open_run(engine.info)
    assert len(panel._own.divergences) == 1
    panel.show_state(RunState("run-1", "ready", 0))
    assert len(panel._own.divergences) == 0


def test_a_coarse_first_answer_does_not_replace_a_finer_one(show_panel: Show) -> None:
    panel, _ = opened(show_panel)
    panel.show_answer("divergences", reply("divergences", figures(kl=0.2, size=128)))
    panel.show_answer("divergences", reply("divergences", figures(kl=0.3, size=64), final=False))
    assert panel.tiles.readings[0].value.startswith("0.2")
    later = reply("divergences", figures(kl=0.3, size=64), 200, final=False)
    panel.show_answer("divergences", later)
    assert panel.tiles.readings[0].value.startswith("0.3")


def test_unknown_truth_shows_the_mass_alone(show_panel: Show) -> None:
    panel, _ = opened(show_panel, has_density=False, entropy=None)
    values = figures(kl=None, reason="The true density of Digits is unknown.")
    panel.show_answer("divergences", reply("divergences", values))
    assert [r.title for r in panel.tiles.readings] == ["mass of the model"]
    assert "unknown" in panel.note.text()
    panel.show_metrics(training_curves("realnvp", 200))
    assert "entropy" not in panel.curves.plot.names


# --- layout --------------------------------------------------------------------------------------


def test_low_panels_keep_the_numbers(show_panel: Show) -> None:
    panel, engine = opened(show_panel)
    engine.serve(panel)
    resize(panel, 600, 700)
    assert panel.bars.isVisible()
    assert panel.curves.isVisible()
    resize(panel, 600, 260)
    assert panel.tiles.isVisible()
    assert not panel.bars.isVisible()


def test_tiles_fill_their_rows(look: Look, qtbot: QtBot) -> None:
    tiles = shown(Tiles(look), qtbot, 340, 200)
    tiles.show_readings(tuple(Reading(str(i), "1", "", "", "") for i in range(5)))
    areas = [area for area, _ in tiles.areas()]
    assert tiles.n_columns(340) == 2
    assert areas[-1].right() == pytest.approx(340)
    assert tiles.heightForWidth(2000) < tiles.heightForWidth(340)
    assert max(area.bottom() for area in areas) <= tiles.heightForWidth(340) + 1


def test_bars_share_a_sticky_axis(look: Look, qtbot: QtBot) -> None:
    bars = shown(ScoreBars(look), qtbot, 340, 200)
    engine = FakeEngine(run_info("gan"))
    values = engine._sample_scores({"n": 500, "repetitions": 100})[1]
    bars.show_scores(scores_of(values))
    assert bars._top == 5.0
    bars.show_scores(scores_of({**values, "mmd": 0.006}))
    assert bars._top == 5.0
    bars.show_scores(scores_of({**values, "mmd": 0.0001}))
    assert bars._top == 2.0
    assert not bars.grab().isNull()
