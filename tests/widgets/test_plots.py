"""Ranges, colours, dots and curves, each against what it must be."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtGui import QFont, QFontMetricsF
from pytestqt.qtbot import QtBot

from tests.widgets.fakes import training_curves
from widgets.controls.chips import Chip, ChipRow
from widgets.look import DARK, LIGHT, Look
from widgets.plots.axis import Axis, written
from widgets.plots.bars import BarPlot, bar_outline
from widgets.plots.colours import STOPS, rgb, table, to_bytes
from widgets.plots.curves import CurvePlot, Stroke, smooth, thin
from widgets.plots.heatmap import HeatMap, Scale, ellipse_lines, nearest
from widgets.plots.image_grid import ImageGrid
from widgets.plots.layers import Box, ImageLayer
from widgets.plots.points import PointPlot
from widgets.plots.ranges import (
    StickyCeiling,
    StickySpan,
    mass_ceiling,
    nice_ceiling,
    robust_ends,
    settled_ends,
)
from widgets.plots.splat import Dots, splat


@given(st.floats(1e-20, 1e20))
def test_nice_ceiling_is_on_the_grid_and_not_below(value: float) -> None:
    nice = nice_ceiling(value)
    assert value <= nice * (1 + 1e-6) <= 2.5001 * value * (1 + 1e-6)
    digits = nice / 10 ** math.floor(math.log10(nice) + 1e-9)
    assert min(abs(digits - d) for d in (1, 2, 5, 10)) < 1e-6


def test_ceiling_rises_at_once_and_falls_late() -> None:
    ceiling = StickyCeiling()
    assert [ceiling.update(v) for v in (0.3, 0.6, 0.45, 0.36, 0.34, math.nan)] == [
        0.5, 1.0, 1.0, 1.0, 0.5, 0.5,
    ]  # fmt: skip


def test_span_moves_only_when_data_leave_or_shrink() -> None:
    span = StickySpan()
    first = span.update(1.0, 2.0)
    assert first[0] < 1.0
    assert first[1] > 2.0
    assert span.update(1.2, 1.9) == first
    assert span.update(math.nan, math.nan) == first
    grown = span.update(0.0, 2.0)
    assert grown[0] <= 0.0
    assert span.update(1.0, 1.1)[1] < grown[1]


def test_robust_ends_leave_out_a_spike() -> None:
    values = np.concatenate([[5000.0], np.linspace(1, 2, 999)])
    assert robust_ends(values) == (1.0, 2.0)
    assert all(map(math.isnan, robust_ends(np.array([np.nan, np.inf]))))


def test_mass_ceiling_ignores_a_spike_without_mass() -> None:
    density = np.ones((100, 100))
    density[0, 0] = 300.0
    assert mass_ceiling(density) == 1.0
    assert mass_ceiling(np.full((3, 3), np.nan)) == 0.0


@pytest.mark.parametrize("name", STOPS)
def test_our_maps_have_even_lightness(name: str) -> None:
    colours = table(name)
    channels = np.stack([(colours >> shift) & 255 for shift in (16, 8, 0)], 1) / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    lightness = np.cbrt(linear @ np.array([0.2126, 0.7152, 0.0722]))
    halves = [lightness] if name.startswith("density") else [lightness[:128], lightness[128:]]
    for half in halves:
        steps = np.diff(half) * np.sign(half[-1] - half[0])
        assert (steps > -0.004).all()
        assert steps.max() < 6 * abs(half[-1] - half[0]) / len(half)


def test_bytes_of_a_fixed_scale() -> None:
    values = np.array([-1.0, 0.0, 0.5, 1.0, 9.0, np.nan, np.inf, -np.inf], np.float32)
    assert to_bytes(values, 0.0, 1.0).tolist() == [0, 0, 127, 255, 255, 0, 255, 0]


def test_dots_are_drawn_where_they_are() -> None:
    picture = splat(np.array([[10.5, 20.5], [1e9, 3.0], [np.nan, 1.0]]), 40, 30,
                    Dots("#ff0000", 3.0, 1.0))  # fmt: skip
    rows, columns = np.nonzero(picture[..., 3] > 128)
    assert (rows.mean(), columns.mean()) == (20.0, 10.0)
    assert tuple(picture[20, 10]) == (0, 0, 254, 254)


def test_crowded_dots_let_through_what_lies_below() -> None:
    random = np.random.default_rng(0)
    crowd, loner = random.normal(60, 8, (4000, 2)), np.array([[150.5, 60.5]])
    where = np.concatenate([crowd, loner])
    open_, full = (
        splat(where, 200, 120, Dots("#ff8000", 4.0, 0.8, crowding=crowding))[..., 3] / 255
        for crowding in (0.3, 0.0)
    )
    middle = np.s_[50:70, 50:70]
    assert full[middle].mean() > 0.95
    assert 0.2 < open_[middle].mean() < 0.5
    assert open_[60, 150] == pytest.approx(0.8, abs=0.01)


def test_each_dot_may_have_its_colour() -> None:
    colours = np.array([[0, 255, 0], [0, 0, 255]], np.uint8)
    picture = splat(np.array([[5.5, 5.5], [20.5, 5.5]]), 30, 12,
                    Dots("#000000", 3.0, 1.0, colours))  # fmt: skip
    assert tuple(picture[5, 5, :3]) == (0, 254, 0)
    assert tuple(picture[5, 20, :3]) == (254, 0, 0)


@given(st.integers(3, 5000), st.integers(10, 300))
def test_thinning_keeps_extremes(n: int, most: int) -> None:
    x, y = np.arange(n, dtype=float), np.sin(np.arange(n) * 1.7) * np.arange(n)
    few_x, few_y = thin(x, y, most)
    assert len(few_x) <= most + 2 or n <= most
    assert (few_y.min(), few_y.max()) == (y.min(), y.max())


def test_smoothing_is_a_running_mean() -> None:
    y = np.array([1.0, 2.0, 6.0, np.nan, 4.0])
    assert smooth(y, 3).tolist() == [1.5, 3.0, 4.0, 5.0, 4.0]


def test_bars_stand_on_zero() -> None:
    outline = bar_outline(np.array([2.0, 3.0]), 0.0, 4.0)
    assert outline.tolist()[:4] == [[0, 0], [0, 2], [2, 2], [2, 0]]


def test_nearest_cell() -> None:
    box = Box((0.0, 0.0), (4.0, 2.0))
    assert nearest((2, 4), box, 3.9, 0.1) == (0, 3)
    assert nearest((2, 4), box, 0.1, 2.0) == (1, 0)
    assert nearest((2, 4), box, 4.1, 1.0) is None


def test_ellipses_have_the_right_radius() -> None:
    covariance = np.array([[[2.0, 0.6], [0.6, 0.5]], [[np.nan, 0.0], [0.0, 1.0]]])
    points, starts = ellipse_lines(np.array([[1.0, -1.0], [0.0, 0.0]]), covariance)
    assert len(points) == starts[-1] == 96
    shifted = points - np.array([1.0, -1.0])
    squared = np.einsum("pi,ij,pj->p", shifted, np.linalg.inv(covariance[0]), shifted)
    np.testing.assert_allclose(np.sqrt(squared), np.repeat([1.0, 2.0], 48), rtol=1e-9)


def shown(widget: Any, qtbot: QtBot) -> Any:
    qtbot.addWidget(widget)
    widget.resize(600, 500)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def test_heat_map_paints_high_density_at_its_place(qtbot: QtBot, look: Look) -> None:
    heat = shown(HeatMap(look), qtbot)
    heat.set_shown("marginals", False)
    heat.frame.set_box(Box((-1.0, -1.0), (1.0, 1.0)))
    values = np.zeros((64, 64), np.float32)
    values[48:, :16] = 1.0
    heat.set_values(values, Box((-1.0, -1.0), (1.0, 1.0)), Scale(0, 1, "p", DARK.sequential))
    picture = heat.frame.grab().toImage()
    spots = {}
    for name, (x, y) in {"upper left": (-0.8, 0.8), "lower right": (0.8, -0.8)}.items():
        scene = heat.frame.view.mapViewToScene(heat.frame.view.viewRect().center())
        spot = heat.frame.view.mapViewToScene(type(scene)(x, y))
        spots[name] = picture.pixelColor(int(spot.x()), int(spot.y())).name()
    ends = [f"#{colour & 0xFFFFFF:06x}" for colour in table(DARK.sequential)[[255, 0]]]
    assert list(spots.values()) == ends


def test_dots_lie_on_the_axes_after_a_move(qtbot: QtBot, look: Look) -> None:
    plot = shown(PointPlot(look, equal=False), qtbot)
    plot.set_points("data", np.array([[0.5, 0.25]]), Dots("#ff0000", 9.0, 1.0))
    for box in (Box((0.0, 0.0), (1.0, 1.0)), Box((0.2, 0.0), (0.9, 0.5))):
        plot.set_box(box)
        picture = plot.grab().toImage()
        view = plot.frame.view
        spot = view.mapViewToScene(type(view.viewRect().center())(0.5, 0.25))
        assert rgb(picture.pixelColor(int(spot.x()), int(spot.y())).name())[0] > 200


def test_heat_map_legend_states_the_scale(qtbot: QtBot, look: Look) -> None:
    heat = shown(HeatMap(look), qtbot)
    heat.set_values(np.ones((8, 8), np.float32), Box((0, 0), (1, 1)),
                    Scale(0.0, 0.5, "p(x)", DARK.sequential))  # fmt: skip
    assert heat.bar.isVisible()
    assert heat.bar.ends == (0.0, 0.5)


def test_axes_stay_until_data_leave(qtbot: QtBot, look: Look) -> None:
    plot = shown(CurvePlot(look), qtbot)
    plot.set_pinned(x=0.0)
    stroke = Stroke("train", look.palette.model)
    plot.set_curve("nll", np.arange(100.0), np.linspace(3, 2, 100), stroke)
    plot.fit()
    before = plot.frame.box
    plot.set_curve("nll", np.arange(103.0), np.linspace(3, 2, 103), stroke)
    plot.fit()
    assert plot.frame.box == before
    plot.set_curve("nll", np.arange(300.0), np.linspace(3, 2, 300), stroke)
    plot.fit()
    assert plot.frame.box.high[0] >= 299


def test_a_moved_view_is_left_alone(qtbot: QtBot, look: Look) -> None:
    plot = shown(CurvePlot(look), qtbot)
    stroke = Stroke("train", look.palette.model)
    plot.set_curve("nll", np.arange(100.0), np.ones(100), stroke)
    plot.fit()
    plot.frame.user_moved = True
    before = plot.frame.box
    plot.set_curve("nll", np.arange(1000.0), np.ones(1000) * 9, stroke)
    plot.fit()
    assert plot.frame.box == before
    plot.reset_view()
    assert plot.frame.box.high[0] >= 999


def test_log_steps(qtbot: QtBot, look: Look) -> None:
    plot = shown(CurvePlot(look), qtbot)
    plot.set_curve("nll", np.arange(1.0, 1001.0), np.ones(1000), Stroke("a", "#ffffff"))
    plot.set_log_x(True)
    assert plot.frame.box.high[0] == pytest.approx(3.0, abs=0.6)
    with qtbot.waitSignal(plot.hovered) as caught:
        plot.frame.hovered.emit((2.0, 1.0))
    assert caught.args[0] == (100.0, 1.0)


def test_floor_is_named_in_the_legend(qtbot: QtBot, look: Look) -> None:
    plot = shown(CurvePlot(look), qtbot)
    plot.set_floor("entropy", 1.698, Stroke("H = 1.698 nats", "#00ff00", dashed=True))
    assert plot.legend.chips[0].text == "H = 1.698 nats"
    assert plot.legend.chips[0].swatch == "dash"
    assert plot.value_at("entropy", 7.0) == 1.698


def test_grid_of_pictures(qtbot: QtBot, look: Look) -> None:
    grid = shown(ImageGrid(look), qtbot)
    grid.set_pictures(np.stack([np.zeros((4, 4)), np.ones((4, 4)), np.full((4, 4), np.nan)]))
    picture = grid.grab().toImage()
    middles = [grid._cell(i).center().toPoint() for i in range(3)]
    assert [picture.pixelColor(m).red() for m in middles] == [0, 255, 0]


def test_bar_plot_scale_is_on_the_grid(qtbot: QtBot, look: Look) -> None:
    bars = shown(BarPlot(look), qtbot)
    bars.set_bars(np.array([0.1, 0.33, np.nan]))
    assert bars.frame.box.high == (3.0, 0.5)


def test_image_layer_keeps_its_pixels() -> None:
    layer = ImageLayer()
    layer.set_image(np.array([[0, 255]], np.uint8), table(LIGHT.sequential), Box((0, 0), (1, 1)))
    assert layer.pixels is not None
    assert layer.pixels.tolist() == [[0xFFFFFFFF, 0xFF08224D]]


def test_training_table_is_complete() -> None:
    table_of = training_curves("realnvp", 100)
    assert len(table_of.column("held_out_nll")[0]) == 4


@pytest.mark.parametrize("side", ["left", "bottom"])
@given(
    st.floats(-1e6, 1e6), st.floats(-4, 5).map(lambda p: 10.0**p), st.integers(20, 1500)
)  # fmt: skip
def test_numbers_at_ticks_never_touch(side: str, low: float, spread: float, size: int) -> None:
    axis = Axis(side)
    metrics = QFontMetricsF(QFont())
    ((_, ticks),) = axis.tickValues(low, low + spread, size)
    spacing = axis.tickSpacing(low, low + spread, size)[0][0]
    texts = axis.tickStrings(ticks, 1.0, spacing)
    places = [(tick - low) / spread * size for tick in ticks]
    for (a, text_a), (b, text_b) in itertools.pairwise(zip(places, texts, strict=True)):
        if side == "left":
            assert b - a >= metrics.height()
        else:
            halves = (metrics.horizontalAdvance(t) / 2 for t in (text_a, text_b))
            assert b - a > sum(halves)
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("value", "spacing", "text"),
    [(0.25, 0.05, "0.25"), (-3.0, 1.0, "−3"), (1e-17, 0.5, "0"), (250000.0, 50000.0, "250000"),
     (3e-7, 1e-7, "3e−07"), (2e6, 1e6, "2e+06")],
)  # fmt: skip
def test_numbers_at_ticks(value: float, spacing: float, text: str) -> None:
    assert written(value, spacing) == text


def test_log_axes_are_numbered_by_powers(qapp: object) -> None:
    axis = Axis("bottom")
    axis.setLogMode(True, True)
    for low, high, wanted in (
        (0.0, 3.3, ["1", "10", "100", "1000"]),
        (2.1, 2.9, ["200", "500"]),
        (-5.2, -1.9, ["10⁻⁵", "10⁻⁴", "0.001", "0.01"]),
    ):
        ((_, ticks),) = axis.tickValues(low, high, 600)
        assert axis.tickStrings(ticks, 1.0, 1.0) == wanted


def test_settled_ends_leave_the_first_steps_out() -> None:
    x = np.arange(1000.0)
    y = np.where(x < 100, 5000.0, 2.0 + 0.5 * np.sin(x))
    low, high = settled_ends(x, y, 200.0)
    assert (low, high) == (pytest.approx(y.min()), pytest.approx(2.5 + 1 / 3, abs=0.01))
    assert all(map(math.isnan, settled_ends(x, y, 2000.0)))


def test_chips_are_cut_short_before_they_hide(look: Look, qapp: object) -> None:
    row = ChipRow(look)
    row.set_chips((Chip("train"), Chip("entropy of the truth, H = 1.698 nats"), Chip("last")))
    whole, _ = row.place(2000)
    assert [chip.text for _, chip in whole][-1] == "last"
    for width in range(30, 400, 7):
        placed, _ = row.place(width)
        assert placed[-1][0].right() <= max(width, 30)
        assert placed[0][1].text == "train"
    cut, _ = row.place(whole[0][0].width() + 140)
    assert [chip.text for _, chip in cut] == ["train", whole[1][1].text, "…"]
    assert cut[1][0].width() < whole[1][0].width()
    assert cut[2][1].tooltip == "last"
