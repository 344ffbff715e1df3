"""Choosing a point, and the panels that speak of it: why, slices; capacity, difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engine.wire.fields import Field, FieldSpec
from engine.wire.messages import Answer, Failed, Slot
from tests.widgets.fakes import FakeEngine, nodes, pdf, resize, run_info, shown
from widgets.density.difference import Difference, log_difference, total_variation
from widgets.look import DARK, LIGHT, Look
from widgets.panel import Panel, Point
from widgets.panels.capacity import CapacityPanel
from widgets.panels.density import DensityPanel
from widgets.panels.slices import SlicesPanel
from widgets.panels.why import WhyPanel
from widgets.plots.colours import rgb, table
from widgets.plots.heatmap import HeatMap
from widgets.plots.layers import Box
from widgets.plots.mark import Mark
from widgets.why.components import ComponentTable
from widgets.why.waterfall import Bar, Waterfall, signed

Show = Callable[[type[Panel]], Any]
POINT = Point((1.0, -0.5), ("x", "y"))


def answer(part: str, values: dict[str, Any], arrays: Any = None, **more: Any) -> Answer:
    return Answer(Slot("panel", "run-1", part), 1, 40, arrays or {}, values, **more)


def why_values(kind: str = "exact", **changes: Any) -> dict[str, Any]:
    values = {
        "kind": kind, "log_prob": -1.5, "error": 0.0, "unit": "nats", "residual": 0.0,
        "terms": ["base", "layer 1", "layer 2"], "term_values": [-2.0, 0.3, 0.2],
        "term_errors": [0.0, 0.0, 0.0], "term_words": ["a", "b", "c"],
    }  # fmt: skip
    return values | changes


# --- the mark ----------------------------------------------------------------------------------


@pytest.fixture
def marked(qtbot: QtBot, look: Look) -> tuple[HeatMap, Mark, list[Any]]:
    heat = shown(HeatMap(look), qtbot, 420, 420)
    heat.frame.set_box(Box((-2.0, -2.0), (2.0, 2.0)))
    mark, moves = Mark(look, heat.frame), list[Any]()
    mark.moved.connect(moves.append)
    return heat, mark, moves


def pixel(heat: HeatMap, x: float, y: float) -> QPoint:
    return heat.frame.to_canvas((x, y)).toPoint()


def click(heat: HeatMap, x: float, y: float) -> None:
    QTest.mouseClick(
        heat.frame.canvas.viewport(), Qt.MouseButton.LeftButton, pos=pixel(heat, x, y)
    )


def test_a_click_chooses_a_place(marked: Any) -> None:
    heat, mark, moves = marked
    click(heat, 0.5, -1.0)
    assert mark.place == pytest.approx((0.5, -1.0), abs=0.03)
    assert moves == [mark.place]


def test_a_line_is_dragged_along_its_own_coordinate(marked: Any) -> None:
    heat, mark, _ = marked
    mark.set_place((0.5, -1.0))
    viewport, button = heat.frame.canvas.viewport(), Qt.MouseButton.LeftButton
    QTest.mousePress(viewport, button, pos=pixel(heat, 0.5, 1.2))
    QTest.mouseMove(viewport, pixel(heat, 0.9, 1.6))
    QTest.mouseMove(viewport, pixel(heat, 1.3, 1.7))
    QTest.mouseRelease(viewport, button, pos=pixel(heat, 1.3, 1.7))
    assert mark.place == pytest.approx((1.3, -1.0), abs=0.03)


def test_the_cross_is_dragged_both_ways_and_the_view_stays(marked: Any) -> None:
    heat, mark, _ = marked
    mark.set_place((0.5, -1.0))
    before = heat.frame.box
    viewport, button = heat.frame.canvas.viewport(), Qt.MouseButton.LeftButton
    QTest.mousePress(viewport, button, pos=pixel(heat, 0.5, -1.0))
    QTest.mouseMove(viewport, pixel(heat, -0.5, 0.2))
    QTest.mouseRelease(viewport, button, pos=pixel(heat, -0.5, 0.2))
    assert mark.place == pytest.approx((-0.5, 0.2), abs=0.03)
    assert heat.frame.box == before


def test_arrows_nudge_and_escape_takes_it_away(marked: Any) -> None:
    heat, mark, moves = marked
    click(heat, 0.0, 0.0)
    x, y = mark.place
    box = heat.frame.box
    QTest.keyClick(heat.frame.canvas, Qt.Key.Key_Right)
    QTest.keyClick(heat.frame.canvas, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    wide, high = box.high[0] - box.low[0], box.high[1] - box.low[1]
    assert mark.place == pytest.approx((x + 0.01 * wide, y + 0.001 * high), abs=1e-9)
    QTest.keyClick(heat.frame.canvas, Qt.Key.Key_Escape)
    assert mark.place is None
    assert moves[-1] is None


def test_the_density_panel_says_what_was_clicked_and_marks_it(show_panel: Show) -> None:
    panel = show_panel(DensityPanel)
    info = run_info()
    panel.open_run(info)
    FakeEngine(info).serve(panel)
    told: list[Any] = []
    panel.point_chosen.connect(told.append)
    panel.faces["map"].map.frame.clicked.emit((1.0, 0.5))
    assert told == [Point((1.0, 0.5), ("x", "y"))]
    panel.choose_point(POINT)
    assert panel.faces["map"].mark.place == POINT.at
    panel.open_run(run_info("vae"))
    assert panel.faces["map"].mark.place == POINT.at
    panel.choose_point(Point((0.0, 0.0), ("a", "b"), {"plane": "pca", "axes": [0, 1]}))
    assert panel.faces["map"].mark.place is None


def test_a_line_is_marked_at_its_place(show_panel: Show) -> None:
    panel = show_panel(DensityPanel)
    panel.open_run(run_info(shape=(1,)))
    told: list[Any] = []
    panel.point_chosen.connect(told.append)
    panel.faces["line"].plot.frame.clicked.emit((0.25, 3.0))
    assert told[0].at == (0.25,)


def test_a_picture_is_chosen_by_a_click(show_panel: Show) -> None:
    panel = show_panel(DensityPanel)
    info = run_info(shape=(1, 8, 8))
    panel.open_run(info)
    FakeEngine(info).serve(panel)
    told: list[Any] = []
    panel.point_chosen.connect(told.append)
    face = panel.faces["pictures"]
    middle = face.grids["samples"]._cell(3).center().toPoint()
    QTest.mouseClick(face.grids["samples"], Qt.MouseButton.LeftButton, pos=middle)
    assert told[0].at == pytest.approx(face._pictures["samples"][3].ravel())


# --- why ---------------------------------------------------------------------------------------


def test_why_waits_for_a_point_and_keeps_it_over_runs(show_panel: Show) -> None:
    panel = show_panel(WhyPanel)
    panel.open_run(run_info())
    assert panel.asks(rest=True) == {}
    panel.choose_point(POINT)
    question = panel.asks(rest=True)["why"]
    assert question.arguments["point"] == [1.0, -0.5]
    panel.open_run(run_info("vae"))
    assert panel.asks(rest=True)["why"] == question
    panel.open_run(run_info(shape=(1,)))
    assert panel.asks(rest=True) == {}
    panel.choose_point(None)
    assert panel.asks(rest=True) == {}


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=["dark", "light"])
def test_why_shows_the_sum_and_that_it_adds_up(show_panel: Show, look: Look, palette: Any) -> None:
    look.set(palette=palette)
    panel = show_panel(WhyPanel)
    panel.open_run(run_info())
    panel.choose_point(POINT)
    panel.show_answer("why", answer("why", why_values()))
    assert panel.heading.text() == "log p(x) = −1.50000 nats"
    words = [chip.text for chip in panel.chips.chips]
    assert words[:2] == ["exact", "sum of 3 terms −1.50000, differs by 0"]
    assert [bar.value for bar in panel.waterfall.bars] == [-2.0, 0.3, 0.2]
    low, high = panel.waterfall.ends
    assert low <= -2.0
    assert high >= 0.0
    assert not panel.grab().isNull()


def test_why_says_a_bound_and_its_error_and_asks_for_other_draws(show_panel: Show) -> None:
    panel = show_panel(WhyPanel)
    panel.open_run(run_info("vae"))
    panel.choose_point(POINT)
    panel.show_answer("why", answer("why", why_values("bound", error=0.031)))
    assert panel.heading.text() == "log p(x) ≥ −1.50000 ± 0.031 nats"
    assert "standard error 0.031 nats" in [chip.text for chip in panel.chips.chips]
    panel.tools.chosen.emit("draws", 4096)
    assert panel.asks(rest=True)["why"].arguments["n_draws"] == 4096


def test_components_give_as_many_decimals_as_fit(look: Look, qtbot: QtBot) -> None:
    made = ComponentTable(look)
    qtbot.addWidget(made)
    made.set_components(np.log([0.3, 0.7]), np.array([-12.34567, -3.5]), np.array([0.0, 1.0]))
    found = []
    for width in (600, 300, 210, 120):
        made.resize(width, 200)
        found.append(made._digits())
    assert found[0] == 4
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0
    wide = made.fontMetrics().horizontalAdvance
    made.resize(210, 200)
    assert wide(signed(-12.34567, made._digits())) <= 0.2 * 210


def test_why_shows_a_mixtures_components(show_panel: Show) -> None:
    panel = show_panel(WhyPanel)
    panel.open_run(run_info("gaussian_mixture"))
    panel.choose_point(POINT)
    weights, densities = np.log([0.25, 0.75]), np.array([-1.0, -4.0])
    joint = weights + densities
    total = float(np.logaddexp.reduce(joint))
    arrays = {"log_weights": weights, "log_densities": densities,
              "responsibilities": np.exp(joint - total)}  # fmt: skip
    panel.show_answer("why", answer("why", why_values(log_prob=total), arrays))
    assert panel.components.isVisible()
    assert panel.components.total == pytest.approx(total)
    assert not panel.conditionals.isVisible()


def test_why_draws_conditionals(show_panel: Show) -> None:
    panel = show_panel(WhyPanel)
    panel.open_run(run_info())
    panel.choose_point(POINT)
    grid = np.stack([nodes(-3, 3, 65)] * 2)
    arrays = {"nodes": grid, "conditionals": np.exp(-(grid**2)), "at": np.array([1.0, -0.5])}
    panel.show_answer("why", answer("why", why_values(names=["x", "y"]), arrays))
    assert [plot.label_of("conditional") for plot in panel.conditionals.plots] == [
        "p(x)", "p(y | x = 1)"
    ]  # fmt: skip


def test_coordinates_can_be_typed_and_taken_away(show_panel: Show) -> None:
    panel = show_panel(WhyPanel)
    panel.open_run(run_info())
    told: list[Any] = []
    panel.point_chosen.connect(told.append)
    panel.coordinates.boxes[0].setValue(0.7)
    assert told[-1] == Point((0.7, 0.0), ("x1", "x2"))
    QTest.keyClick(panel.coordinates.boxes[0], Qt.Key.Key_Escape)
    assert told[-1] is None


@pytest.mark.parametrize("value", [-math.inf, math.nan, -1e9, 0.0])
def test_a_waterfall_survives_any_sum(value: float, qtbot: QtBot, look: Look) -> None:
    plot = shown(Waterfall(look), qtbot)
    plot.set_bars([Bar("a", value), Bar("b", 1.0, "", 0.5)], Bar("total", value + 1), "nats")
    assert not plot.grab().isNull()


def test_a_waterfalls_axis_stays_until_a_bar_leaves_it(qtbot: QtBot, look: Look) -> None:
    plot = shown(Waterfall(look), qtbot)
    plot.set_bars([Bar("a", -4.0)], Bar("total", -4.0), "nats")
    ends = plot.ends
    plot.set_bars([Bar("a", -3.5)], Bar("total", -3.5), "nats")
    assert plot.ends == ends
    plot.set_bars([Bar("a", -400.0)], Bar("total", -400.0), "nats")
    assert plot.ends[0] <= -400.0


def test_signs_are_written_out() -> None:
    assert [signed(v) for v in (-0.0, -1.25, 3e-7, -2e7, math.inf)] == [
        "+0.0000", "−1.2500", "+3.0e−07", "−2.00000e+07", "+∞"
    ]  # fmt: skip


# --- slices ------------------------------------------------------------------------------------


def slice_answer(**changes: Any) -> Answer:
    x = nodes(-3, 3, 64)
    curve = np.exp(-(x**2))
    arrays = {"x": x, "y": x, "model_x": curve, "model_y": curve, "truth_x": curve,
              "truth_y": curve}  # fmt: skip
    values = {"kind": "exact", "curves": "conditional", "kl_x": 0.012, "kl_x_error": 1e-6,
              "kl_y": math.inf, "kl_y_error": math.inf}  # fmt: skip
    return answer("curves", values | changes, arrays)


def test_slices_go_through_the_point(show_panel: Show) -> None:
    panel = show_panel(SlicesPanel)
    panel.open_run(run_info())
    assert panel.asks(rest=True) == {}
    panel.choose_point(POINT)
    asked = panel.asks(rest=True)["curves"].arguments
    assert asked["point"] == [1.0, -0.5]
    panel.show_answer("curves", slice_answer())
    assert panel.chips["x"].chips[0].text == "KL 0.012 ± 1e−06 nats"
    assert panel.chips["y"].chips[0].text == "KL ∞ nats"
    assert set(panel.plots["x"].names) == {"model", "truth"}
    resize(panel, 900, 300)
    assert not panel.grab().isNull()


def test_marginals_need_no_point(show_panel: Show) -> None:
    panel = show_panel(SlicesPanel)
    panel.open_run(run_info())
    panel.tools.chosen.emit("kind", "marginal")
    assert panel.asks(rest=False)["curves"].arguments["kind"] == "marginal"
    panel.show_answer("curves", slice_answer())
    assert panel.plots["x"].names == ()
    panel.show_answer("curves", slice_answer(curves="marginal"))
    assert panel.plots["x"].names


def test_a_line_without_truth_says_so(show_panel: Show) -> None:
    panel = show_panel(SlicesPanel)
    panel.open_run(run_info())
    panel.choose_point(POINT)
    given = slice_answer(kl_y=math.nan, kl_y_error=math.inf)
    given.arrays["truth_y"][:] = np.nan
    panel.show_answer("curves", given)
    assert panel.chips["y"].chips[0].text == "the truth never comes here"


# --- capacity ----------------------------------------------------------------------------------


def sized_run() -> Any:
    info = run_info("gaussian_mixture")
    fields = (FieldSpec("n_components", "int", 8, Field(1, 512)),)
    return msgspec.structs.replace(info, card=msgspec.structs.replace(info.card, fields=fields))


def training(capacity: int, seed: int, train: float, held: float, **more: Any) -> Answer:
    values = {
        "setting": "n_components", "capacity": capacity, "seed": seed, "train_nll": train,
        "held_out_nll": held, "held_out_error": 0.02, "n_parameters": 6 * capacity, "n_train": 200,
        "n_test": 4000, "entropy": 1.7, "progress": 0.5, "kind": "exact",
    }  # fmt: skip
    return answer("sweep", values, final=more.pop("final", False))


def test_capacity_sweeps_on_demand_and_stops(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(CapacityPanel)
    panel.open_run(sized_run())
    assert panel.asks(rest=True) == {}
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    question = panel.asks(rest=True)["sweep"]
    assert question.stream
    assert not question.live
    assert question.arguments["setting"] == "n_components"
    panel.show_answer("sweep", training(1, 0, 3.5, 3.6))
    assert panel.button.text() == "Stop"
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    assert panel.asks(rest=True) == {}
    assert len(panel.sweep.rows) == 1


def test_capacity_draws_means_bands_and_the_best_size(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(CapacityPanel)
    panel.open_run(sized_run())
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    rows = [(1, 0, 3.5, 3.6), (8, 0, 1.5, 1.9), (64, 0, -1, 30.0), (1, 1, 3.4, 3.6),
            (8, 1, 1.4, 1.8), (64, 1, math.nan, math.nan)]  # fmt: skip
    for place, row in enumerate(rows):
        panel.show_answer("sweep", training(*row, final=place == len(rows) - 1))
    assert panel.button.text() == "Start"
    assert panel.plot.value_at("held out", 8.0) == pytest.approx(1.85)
    words = [chip.text for chip in panel.chips.chips]
    assert words[0] == "lowest held out 1.85 ± 0.02 nats at 8"
    assert "1 diverged" in words
    assert panel.plot.frame.box.high[1] < 10.0
    panel.tools.set_on("whole", True)
    panel.tools.toggled.emit("whole", True)
    assert panel.plot.frame.box.high[1] >= 30.0


def test_capacity_keeps_the_sweep_of_each_run(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(CapacityPanel)
    panel.open_run(sized_run())
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    panel.show_answer("sweep", training(1, 0, 3.5, 3.6))
    panel.open_run(None)
    panel.open_run(sized_run())
    assert panel.plot.names
    assert panel.asks(rest=True) == {}
    panel.show_failed("sweep", Failed("capacity_sweep", "ValueError", "too much"))
    assert panel.banner.text == "too much"


# --- the difference ----------------------------------------------------------------------------


def surfaces(shift: float, size: int = 128) -> tuple[Answer, Answer]:
    x = nodes(-4, 4, size)
    found = []
    for moved, kind in ((shift, "exact"), (0.0, "truth")):
        with np.errstate(divide="ignore"):
            surface = np.log(pdf(*np.meshgrid(x - moved, x)))
        found.append(answer("d", {"kind": kind}, {"x": x, "y": x, "log_density": surface}))
    return found[0], found[1]


def test_total_variation_of_equal_and_of_disjoint_densities() -> None:
    same, truth = surfaces(0.0)
    assert total_variation(same, truth).value == 0.0
    x = nodes(-4, 4, 256)
    flat = [np.where(side, -np.log(32.0), -np.inf)[None].repeat(256, 0) for side in (x < 0, x > 0)]
    first, second = (answer("d", {}, {"x": x, "y": x, "log_density": s}) for s in flat)
    found = total_variation(first, second)
    assert found.value == pytest.approx(1.0, abs=1e-9)
    assert found.error == pytest.approx(0.0, abs=1e-9)


def test_total_variation_is_that_of_a_fine_sum() -> None:
    found, fine = total_variation(*surfaces(0.1)), total_variation(*surfaces(0.1, 1024))
    assert abs(found.value - fine.value) <= max(found.error, 1e-6)
    assert 0.05 < fine.value < 0.5


def test_the_difference_has_zero_in_the_middle_of_a_fixed_scale() -> None:
    model, truth = surfaces(0.1)
    difference = Difference()
    difference.take(model=model)
    assert difference.picture(DARK, log=False) is None
    difference.take(truth=truth)
    picture = difference.picture(DARK, log=False)
    assert picture is not None
    values, scale = picture
    assert scale.low == -scale.high
    difference.take(model=surfaces(1.0)[0])
    assert difference.picture(DARK, log=False)[1] == scale  # type: ignore[index]
    assert values.sum() == pytest.approx(0.0, abs=1.0)
    for palette in (DARK, LIGHT):
        colours = table(palette.signed)
        middle = [(int(colours[127]) >> s) & 255 for s in (16, 8, 0)]
        assert np.ptp(middle) < 12
        assert np.abs(np.array(middle) - rgb(palette.panel)).max() < 40
    difference.take(truth=surfaces(0.0, 64)[1])
    assert difference.pair is None


def test_a_log_difference_is_blank_where_neither_matters() -> None:
    truth = np.array([[0.0, -50.0, -math.inf, -1.0]])
    model = np.array([[-1.0, -60.0, -math.inf, -math.inf]])
    x = np.arange(4.0)
    given = [answer("d", {}, {"x": x, "y": x, "log_density": s}) for s in (model, truth)]
    assert log_difference(*given).tolist() == [[-1.0, 0.0, 0.0, -math.inf]]


def test_the_density_panel_asks_both_on_the_same_cells(show_panel: Show) -> None:
    panel = show_panel(DensityPanel)
    info = run_info()
    panel.open_run(info)
    panel.restore_state({"difference": True})
    engine = FakeEngine(info)
    for rest in (False, True):
        asked = engine.serve(panel, rest=rest)
        assert asked["density"].arguments["size"] == asked["truth"].arguments["size"]
        assert panel.faces["map"].map.bar.ends[0] == -panel.faces["map"].map.bar.ends[1]
    words = [chip.text for chip in panel.chips.chips]
    assert any(text.startswith("½∫|model − truth| = 0.") for text in words)
