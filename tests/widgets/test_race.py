"""The race panel, on answers made by numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo, RunState, Slot
from tests.widgets.fakes import FakeEngine, metrics, model_card, resize, run_info
from widgets.look import LIGHT, Look
from widgets.panel import Panel
from widgets.panels.race import RacePanel
from widgets.plots.colours import table
from widgets.race.lineup import Lineup, Racer, Rule
from widgets.race.questions import NODES, TRUTH, all_questions

MODELS = ("realnvp", "vae", "gan", "ebm")
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


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


def test_a_small_answer_that_was_still_on_its_way_is_not_taken_for_the_full_one(
    panel: RacePanel,
) -> None:
    board, said = Board(panel), []
    panel.decided.connect(said.append)
    board.tell(99)
    small = [*all_questions([*board.infos.values()], rest=False).items()]
    board.tell(100, "paused", finished=True)
    for _ in range(60):
        questions = panel.asks(rest=True)
        if not questions:
            break
        ((part, question),) = questions.items()
        late = dict(small).pop(part, question)
        small = [entry for entry in small if entry[0] != part]
        panel.show_answer(part, board.answer(part, question.run, late, KLS))
    assert not panel.asks(rest=True)
    panel._show_standings()
    assert len(said) == 1


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
