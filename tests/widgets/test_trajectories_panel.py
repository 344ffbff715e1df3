"""The panel of continuous flows: trajectories, field, steps, tolerance and trace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QBoxLayout

from tests.widgets.continuous_fakes import N_EVALUATIONS, RATE, STEPS
from tests.widgets.fakes import FakeEngine, run_info
from tests.widgets.test_panels import SPOILS
from widgets.panel import Panel, Pointed
from widgets.panels.trajectories import MOMENTS, SWEEP, TrajectoriesPanel
from widgets.trajectories.stage import AHEAD, HEAD, LONGEST, arrows
from widgets.trajectories.steps_side import StepsSide, spans
from widgets.trajectories.tolerance_side import ToleranceSide
from widgets.trajectories.trace_side import TraceSide


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> TrajectoriesPanel:
    made = show_panel(TrajectoriesPanel)
    assert isinstance(made, TrajectoriesPanel)
    made.resize(1100, 640)
    return made


def opened(panel: TrajectoriesPanel, shape: tuple[int, ...] = (2,)) -> FakeEngine:
    info = run_info("cnf", shape)
    panel.open_run(info)
    engine = FakeEngine(info)
    engine.serve(panel)
    return engine


def test_layers_are_no_continuous_path(panel: TrajectoriesPanel) -> None:
    panel.open_run(run_info("realnvp"))
    assert panel.asks(rest=True) == {}
    assert "RealNVP has no continuous path" in panel.empty.text
    assert panel.outer.currentWidget() is panel.empty
    opened(panel)
    assert panel.outer.currentWidget() is not panel.empty


@pytest.mark.parametrize("side", ["steps", "tolerance", "trace"])
def test_answers(panel: TrajectoriesPanel, side: str) -> None:
    engine = opened(panel)
    panel.set_side(side)
    for way in ("data", "base"):
        panel.set_way(way)
        for words, spoil in SPOILS.items():
            FakeEngine(engine.info, spoil).serve(panel)
            assert not panel.grab().isNull(), words


@pytest.mark.parametrize("way", ["data", "base"])
def test_points_move_with_the_clock(panel: TrajectoriesPanel, way: str) -> None:
    engine = opened(panel)
    panel.set_way(way)
    engine.serve(panel)
    path = panel.stage.path
    assert path is not None
    assert path.from_base is (way == "base")
    start = path.at(1.0 if path.from_base else 0.0)
    panel.clock.go(3.0)
    QTest.keyClick(panel, Qt.Key.Key_Right)
    passed = 0.4 - path.from_base
    assert panel.stage.t == pytest.approx(0.2 if path.from_base else 0.4)
    np.testing.assert_allclose(path.at(0.4), start * np.exp(RATE * passed), atol=2e-3)


def test_the_field_follows_the_clock(panel: TrajectoriesPanel) -> None:
    opened(panel)
    asked: list[object] = []

    def note() -> None:
        question = panel.asks(rest=True).get("field")
        asked.append(None if question is None else question.arguments["time"])

    panel.asks_changed.connect(note)
    panel.clock.go(2.0)
    panel.clock.go(2.0 + 1.0 / MOMENTS)
    panel.clock.go(7.0)
    assert asked == [0.2, 0.7], "not asked anew for a time that is nearly the same"
    panel.tools._toggles["field"][1].trigger()
    assert asked == [0.2, 0.7, None], "what is not drawn is not asked for"


def test_arrows_point_along_the_velocity() -> None:
    line = np.linspace(-1.0, 1.0, 5)
    places = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    velocity = np.stack([2.0 + places[:, 0], np.zeros(len(places))], 1)
    drawn = arrows(places, velocity, 0.5)
    tails, tips = drawn[:, 0], drawn[:, 1]
    np.testing.assert_allclose((tails + tips) / 2, places, atol=1e-12)
    lengths = np.linalg.norm(tips - tails, axis=1)
    np.testing.assert_allclose(lengths, LONGEST * 0.5 * velocity[:, 0] / 3.0)
    np.testing.assert_allclose((drawn[:, 2] + drawn[:, 4]) / 2, tips - HEAD * (tips - tails))
    one = arrows(np.array([[2.0]]), np.array([[3.0]]), 0.25)
    np.testing.assert_allclose(one, [[[0.25, 2.0], [0.25 + AHEAD, 2.0 + 3.0 * AHEAD]]])


def test_steps_tell_what_was_taken_back(panel: TrajectoriesPanel) -> None:
    opened(panel)
    side = panel.sides["steps"]
    assert isinstance(side, StepsSide)
    texts = [chip.text for chip in side.chips.chips]
    assert texts[:3] == [f"{N_EVALUATIONS} evaluations", "3 accepted", "1 rejected"]
    t, size, error, _ = STEPS[1]
    assert side.sizes.value_at("rejected", t) == size
    assert side.errors.value_at("rejected", t) == error
    assert side.errors.value_at("limit", 0.0) == 1.0
    x, y = spans(np.array([1.0]), np.array([-0.25]), np.array([0.25]))
    np.testing.assert_array_equal(x, [1.0, 0.75, 0.75])
    np.testing.assert_array_equal(y, [0.25, 0.25, np.nan])


def test_the_sweep_is_asked_where_it_is_seen(panel: TrajectoriesPanel) -> None:
    engine = opened(panel)
    assert "sweep" not in panel.asks(rest=True)
    panel.set_side("tolerance")
    engine.serve(panel)
    side = panel.sides["tolerance"]
    assert isinstance(side, ToleranceSide)
    for tolerance in SWEEP:
        x = float(np.log10(tolerance))
        assert side.errors.value_at("round_trip", x) == pytest.approx(2 * tolerance)
        assert side.errors.value_at("log_det_error", x) == pytest.approx(0.5 * tolerance)
    assert side.rules[0].at == pytest.approx(-3.0)
    assert "22 evaluations at 0.1, 557 at 10⁻⁸" in side.words.text()


def test_the_trace_has_its_spread(panel: TrajectoriesPanel) -> None:
    engine = opened(panel)
    panel.set_side("trace")
    question = engine.serve(panel)["path"]
    assert question.arguments["n_noises"] == 256
    side = panel.sides["trace"]
    assert isinstance(side, TraceSide)
    assert side.over_time.value_at("exact", 0.5) == pytest.approx(2 * RATE)
    assert side.over_time.value_at("spread +1", 0.5) == pytest.approx(2 * RATE + 0.3)
    assert side.exact.at == pytest.approx(2 * RATE)
    side.kind.keep("gaussian")
    assert panel.asks(rest=True)["path"].arguments["noise"] == "gaussian"


def test_a_click_rings_the_nearest_point(panel: TrajectoriesPanel) -> None:
    engine = opened(panel)
    panel.set_side("trace")
    path = panel.stage.path
    assert path is not None
    spot = path.at(panel.stage.t)[7]
    panel.stage.frame.clicked.emit((float(spot[0]) + 1e-4, float(spot[1])))
    assert panel.stage.ringed == 7
    assert panel.stage.ring.at == pytest.approx(tuple(spot))
    assert engine.serve(panel)["path"].arguments["along"] == 7
    panel.restore_state({"ringed": 10_000})
    assert panel.stage.ringed == 7, "there are not so many"


def test_estimates_that_are_all_exact_are_one_bar(panel: TrajectoriesPanel) -> None:
    """As of one value with Rademacher noise: ε² = 1."""
    engine = opened(panel, (1,))
    panel.set_side("trace")
    FakeEngine(
        engine.info, lambda name, a: np.full_like(a, RATE) if "log_det_" in name else a
    ).serve(panel)
    curve = panel.trace.totals._curves["estimates"]
    heights = curve.y
    assert np.count_nonzero(heights) == 2, "one bin"
    assert heights.max() == 1.0
    assert curve.x[heights > 0].mean() == pytest.approx(RATE)


def test_pointing_tells_numbers(panel: TrajectoriesPanel) -> None:
    engine = opened(panel)
    told: list[Pointed | None] = []
    panel.pointed.connect(told.append)
    steps, tolerance, trace = panel.sides["steps"], panel.sides["tolerance"], panel.trace
    assert isinstance(steps, StepsSide)
    assert isinstance(tolerance, ToleranceSide)
    steps.sizes.hovered.emit((0.3, 0.1))
    assert told[-1] == Pointed("t = 0.30", (
        ("rejected", "size 0.5, error ÷ tolerance 3"),
        ("accepted", "size 0.3, error ÷ tolerance 0.7"),
    ))  # fmt: skip
    panel.set_side("tolerance")
    engine.serve(panel)
    tolerance.errors.hovered.emit((-3.1, 0.1))
    assert told[-1] is not None
    assert told[-1].heading == "Tolerance 10⁻³"
    assert dict(told[-1].rows)["round trip, flow units"] == "0.002"
    trace.over_time.hovered.emit((0.5, 0.0))
    assert told[-1] is not None
    assert dict(told[-1].rows)["σ of one estimate"] == "0.300 nats per unit of time"
    trace.over_time.hovered.emit(None)
    assert told[-1] is None


def test_one_value_is_drawn_over_time(panel: TrajectoriesPanel) -> None:
    opened(panel, (1,))
    path = panel.stage.path
    assert path is not None
    np.testing.assert_allclose(path.at(0.3)[:, 0], 0.3)
    spots, starts = path.lines()
    assert len(spots) == starts[-1] == path.size * len(path.times)
    np.testing.assert_allclose(spots[: len(path.times), 0], path.times)


def test_choices_come_back(panel: TrajectoriesPanel) -> None:
    opened(panel)
    state = {
        "way": "base",
        "side": "trace",
        "noise": "gaussian",
        "field": True,
        "paths": False,
        "stops": False,
        "ringed": 3,
    }
    panel.restore_state({**state, "other": 1})
    assert panel.save_state() == state
    assert panel.stage.shown == {"field"}
    assert panel.side is panel.sides["trace"]


def test_curves_stand_beside_the_stage_in_the_smallest_usual_window(
    panel: TrajectoriesPanel,
) -> None:
    opened(panel)
    panel.resize(700, 560)  # 1280×720 with both docks
    assert panel._split.direction() == QBoxLayout.Direction.LeftToRight
