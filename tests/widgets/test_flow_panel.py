"""The flow panel on a flow in numpy: exact states, fractional places, the sum, the sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, Qt
from pytestqt.qtbot import QtBot

from engine.wire.capability import Capability
from engine.wire.messages import RunInfo
from tests.widgets import flow_fakes
from tests.widgets.fakes import MODELS, FakeEngine, model_card, run_info
from widgets.flow.clock import SLOW_PACE
from widgets.flow.passes_view import Row
from widgets.flow.stack import HALF_HEIGHT, HALF_WIDTH, Stack
from widgets.flow.stage import DENSITY, LABEL, NONE, VOLUME
from widgets.flow.walk import blend
from widgets.look import LIGHT
from widgets.panel import Panel, Point
from widgets.panels.flow import FRAMES_A_LAYER, FlowPanel
from widgets.plots.cloud import has_opengl

Show = Callable[[type[Panel]], Any]
N_LAYERS = len(flow_fakes.NAMES)


@pytest.fixture
def panel(show_panel: Show) -> Any:
    shown = show_panel(FlowPanel)
    shown.resize(1100, 700)
    return shown


def serve(panel: Any, info: RunInfo) -> dict[str, Any]:
    return FakeEngine(info).serve(panel)


def opened(panel: Any, shape: tuple[int, ...] = (2,), **changes: Any) -> RunInfo:
    info = run_info("realnvp", shape, **changes)
    panel.point_chosen.connect(panel.choose_point)
    panel.open_run(info)
    serve(panel, info)
    return info


def test_the_manifest_refuses_models_without_a_path() -> None:
    assert FlowPanel.needs == (frozenset({Capability.FLOW_PATH}),)
    for name in MODELS:
        refusal = FlowPanel.refusal(model_card(name))
        assert (refusal == "") == (name in ("realnvp", "cnf"))
    assert FlowPanel.refusal(model_card("gan")).startswith("needs ")


def test_whole_places_are_the_layers_own_states(panel: Any) -> None:
    info = opened(panel)
    found, _ = flow_fakes.flow_path(info, panel.asks(rest=True)["path"].arguments, {})
    assert panel.clock.size == N_LAYERS
    for at in range(N_LAYERS + 1):
        panel.clock.go(at)
        np.testing.assert_array_equal(panel.stage.dots._points, found["points"][at])
        shown = panel.stage.web._segments.reshape(*found["grid"].shape[1:2], -1, 4)
        np.testing.assert_array_equal(shown[..., :2], found["grid"][at][:, :-1])
        np.testing.assert_array_equal(shown[..., 2:], found["grid"][at][:, 1:])


def test_between_layers_points_move_on_straight_lines(panel: Any) -> None:
    info = opened(panel)
    found, _ = flow_fakes.flow_path(info, panel.asks(rest=True)["path"].arguments, {})
    panel.clock.go(1.25)
    first, second = found["points"][1], found["points"][2]
    np.testing.assert_allclose(panel.stage.dots._points, 0.75 * first + 0.25 * second, atol=1e-6)
    assert panel.clock.layer == 1
    assert panel.transport.label.text() == "1.25 / 4"


def test_volume_is_counted_from_where_the_way_starts(panel: Any) -> None:
    info = opened(panel)
    walk = panel.stage.walk
    found, _ = flow_fakes.flow_path(info, panel.asks(rest=True)["path"].arguments, {})
    dets = found["point_log_dets"]
    np.testing.assert_allclose(walk.point_volumes(0.0), 0.0)
    np.testing.assert_allclose(walk.point_volumes(3.0), dets[:3].sum(0), atol=1e-6)
    np.testing.assert_allclose(walk.point_volumes(0.5), 0.5 * dets[0], atol=1e-6)
    panel.set_way("base")
    serve(panel, info)
    walk = panel.stage.walk
    np.testing.assert_allclose(walk.point_volumes(4.0), 0.0, atol=1e-6)
    np.testing.assert_allclose(walk.point_volumes(0.0), -dets.sum(0), atol=1e-6)
    np.testing.assert_allclose(walk.densities(0.0), found["log_base"] + dets.sum(0), atol=1e-5)
    np.testing.assert_allclose(walk.densities(4.0), found["log_base"], atol=1e-5)


def test_the_clock_plays_steps_and_turns(panel: Any, qtbot: QtBot) -> None:
    opened(panel)
    clock = panel.clock
    assert clock.at == N_LAYERS  # the base, which live training changes
    clock.play()
    assert clock.at == 0
    clock.pause()
    clock.advance(0.5)
    assert clock.at == pytest.approx(0.5 * clock.pace)
    panel.setFocus()
    for key, at in ((Qt.Key.Key_Right, 1), (Qt.Key.Key_Right, 2), (Qt.Key.Key_Left, 1),
                    (Qt.Key.Key_Home, 0)):  # fmt: skip
        qtbot.keyClick(panel, key)
        assert clock.at == at
    panel.set_way("base")
    assert clock.at == N_LAYERS
    clock.go(2.5)
    clock.step(1)
    assert clock.at == 2
    clock.step(-1)
    assert clock.at == 3
    clock.advance(100.0)
    assert clock.at == 0
    qtbot.keyClick(panel, Qt.Key.Key_S)
    assert clock.pace == SLOW_PACE
    qtbot.keyClick(panel, Qt.Key.Key_S)
    assert clock.pace != SLOW_PACE


def test_playing_moves_the_stage_and_stops_at_the_end(panel: Any, qtbot: QtBot) -> None:
    opened(panel)
    panel.clock.pace = 8.0
    places: list[float] = []
    panel.clock.moved.connect(places.append)
    panel.transport.buttons["play"].click()
    qtbot.waitUntil(lambda: not panel.clock.is_playing, timeout=5000)
    assert places[-1] == N_LAYERS == panel.stage.at
    assert places == sorted(places)
    assert any(at != round(at) for at in places)


def test_scrubbing_goes_to_fractional_places(panel: Any) -> None:
    opened(panel)
    panel.transport.slider.setValue(130)
    assert panel.clock.at == pytest.approx(1.3)
    panel.transport.slider.setValue(200)
    assert panel.clock.at == 2.0


def test_a_click_on_a_point_follows_it(panel: Any, qtbot: QtBot) -> None:
    info = opened(panel)
    chosen: list[Point] = []
    panel.point_chosen.connect(chosen.append)
    panel.clock.go(3)
    walk = panel.stage.walk
    place = tuple(walk.points[3][7] + 1e-4)
    viewport = panel.stage.frame.canvas.viewport()
    qtbot.mouseClick(
        viewport, Qt.MouseButton.LeftButton, pos=panel.stage.frame.to_canvas(place).toPoint()
    )
    qtbot.waitUntil(lambda: bool(chosen), timeout=3000)
    distances = np.abs(walk.events - np.array(chosen[-1].at)).max(1)
    assert distances.min() == 0
    asked = serve(panel, info)["point"]
    assert asked.arguments["point"] == list(chosen[-1].at)
    states, log_dets = flow_fakes.walk(np.array(chosen[-1].at))
    np.testing.assert_allclose(panel.stage.trail.at, states[3], atol=1e-9)
    assert f"{log_dets[:3].sum():.3f}".replace("-", "−") in panel.stage.trail.words


def test_a_click_at_the_data_chooses_the_very_place(panel: Any) -> None:
    opened(panel)
    panel.clock.go(0)
    panel.stage.clicked.emit((0.25, -1.5))
    assert panel.point.at == (0.25, -1.5)


def test_the_sum_grows_layer_by_layer_until_it_is_log_p(panel: Any) -> None:
    info = opened(panel)
    panel.set_side("point")
    panel.choose_point(Point((0.9, -0.4), ("x", "y")))
    serve(panel, info)
    states, log_dets = flow_fakes.walk(np.array([0.9, -0.4]))
    base = float(flow_fakes.log_base(states[-1]))
    side = panel.sides["point"]
    for at, expected in ((0.0, 0.0), (1.9, log_dets[0]), (3.0, log_dets[:3].sum()),
                         (4.0, log_dets.sum() + base)):  # fmt: skip
        panel.clock.go(at)
        total = side.waterfall._total
        assert total.value == pytest.approx(expected, abs=1e-12)
        assert (total.name == "log p(x)") == (at == 4.0)
    panel.set_way("base")
    for at, expected in ((4.0, base), (1.5, base + log_dets[2:].sum()),
                         (0.0, log_dets.sum() + base)):  # fmt: skip
        panel.clock.go(at)
        assert side.waterfall._total.value == pytest.approx(expected, abs=1e-12)
    ends = side.waterfall.ends
    panel.clock.go(4.0)
    assert side.waterfall.ends == ends


def test_layers_are_listed_and_a_click_goes_there(panel: Any) -> None:
    info = opened(panel)
    panel.set_side("layers")
    assert serve(panel, info)["layers"].arguments["size"] == 32
    side = panel.sides["layers"]
    assert side.table.names == flow_fakes.NAMES
    found, _ = flow_fakes.flow_layers(info, {"n": 256, "size": 32}, {})
    by_title = {column.title: column for column in side.table.columns}
    assert by_title["|log-det|"].texts[0] == ("1.4",)  # 2 log 2
    assert by_title["|log-det|"].texts[1] == ("0",)  # a shear keeps volume
    assert by_title["round trip"].texts[0] == ("6e−7", "6e−16")
    side.table.chosen.emit(2)
    assert panel.clock.at == 3.0
    assert side.table.current == 2
    np.testing.assert_array_equal(side.map._values, found["map_log_dets"][2])
    side.set_map("total")
    np.testing.assert_allclose(side.map._values, found["map_log_dets"].sum(0))
    side.set_map("float32")
    np.testing.assert_allclose(side.map._values, np.log10(found["map_round_trip"][0]), rtol=1e-5)


def test_the_volumes_come_first_and_never_replace_the_whole(panel: Any) -> None:
    info = opened(panel)
    panel.set_side("layers")
    serve(panel, info)
    side = panel.sides["layers"]
    whole = side._answer
    assert len(side.table.columns) == 4
    few = np.array([[1e-320, 2.0, 0.0, 1.0], [0.5, np.inf, 0.0, 1e301]])
    wide = msgspec.structs.replace(whole, arrays={**whole.arrays, "area_change": few})
    side.show_answer("layers", wide)
    assert side.table.columns[1].texts == (
        ("< 1e−300", "0.5"), ("2", "> 1e300"), ("< 1e−300", "< 1e−300"), ("1", "> 1e300")
    )  # fmt: skip
    side.show_answer("layers", whole)
    late = {n: a for n, a in whole.arrays.items() if n in ("mean_abs_log_det", "area_change")}
    part = msgspec.structs.replace(whole, arrays=late)
    panel.show_answer("layers", part)
    assert side._answer is whole
    side.show_answer("layers", None)
    panel.show_answer("layers", part)
    assert [column.title for column in side.table.columns] == ["|log-det|", "volume ×"]


def test_the_jacobian_is_shown_in_the_layers_order(panel: Any) -> None:
    info = opened(panel)
    panel.choose_point(Point((0.9, -0.4), ("x", "y")))
    panel.set_side("jacobian")
    serve(panel, info)
    side = panel.sides["jacobian"]
    panel.clock.go(4.0)  # shear 3: x is shifted by y
    states, _ = flow_fakes.walk(np.array([0.9, -0.4]))
    layer = flow_fakes.jacobian(3, states[3])
    np.testing.assert_allclose(side.layer.values, layer[::-1, ::-1])
    assert side.layer.diagonal
    side.order.keep("natural")
    np.testing.assert_allclose(side.layer.values, layer)
    assert not side.layer.diagonal
    assert "differ by" in side.layer_words.text()
    whole = np.linalg.multi_dot([flow_fakes.jacobian(k, states[k]) for k in (3, 2, 1, 0)])
    np.testing.assert_allclose(side.stack.values, whole, rtol=1e-6, atol=1e-9)


def test_passes_are_counted_and_turned_round(panel: Any) -> None:
    info = opened(panel, (2,))
    panel.set_side("passes")
    serve(panel, info)
    side = panel.sides["passes"]
    rows = [row for _, row in side.view.rows if row is not None]
    assert [row.total for row in rows] == [3, 6, 6, 3]
    assert [row.backwards for row in rows] == [False, True, False, True]
    side.passes.go(3)
    assert rows[0].done(side.view.place) == (0, 1, 1, 1)
    assert rows[1].done(side.view.place) == (0, 0, 1, 2)
    assert Row("", (2, 2)).done(3) == (2, 1)


def test_a_flow_without_networks_or_by_a_solver_is_not_turned_round(panel: Any) -> None:
    info = opened(panel, (2,))
    panel.set_side("passes")
    serve(panel, info)
    side, whole = panel.sides["passes"], panel._answers["passes"]
    none = {name: np.zeros(4, np.int32) for name in ("density", "sampling")}
    side.show_answer("passes", msgspec.structs.replace(whole, arrays=none))
    assert side.view.rows == ()
    assert side.words.text().startswith("No layer of this flow has a network")
    assert side.transport.isHidden()
    solved = {"density": np.array([0, 14, 14, 20]), "sampling": np.array([0, 14, 20, 20])}
    values = {**whole.values, "solved": True}
    side.show_answer("passes", msgspec.structs.replace(whole, arrays=solved, values=values))
    assert [row.total for _, row in side.view.rows if row is not None] == [48, 54]
    assert side.words.text().startswith("A solver asks the network as often")
    assert not side.transport.isHidden()


def test_what_is_not_added_yet_has_no_number(panel: Any) -> None:
    info = opened(panel)
    panel.choose_point(Point((0.9, -0.4), ("x", "y")))
    panel.set_side("point")
    serve(panel, info)
    panel.clock.go(2.0)
    bars = panel.sides["point"].waterfall.bars
    assert [bar.number == "" for bar in bars] == [False, False, True, True, True]
    assert "log p(z) not added yet" in panel.sides["point"].waterfall.accessibleName()
    panel.clock.go(4.0)
    assert all(bar.number for bar in panel.sides["point"].waterfall.bars)


def test_draws_of_a_target_are_called_so(panel: Any) -> None:
    info = run_info("realnvp", (2,))
    data = msgspec.structs.replace(info.data, n_train=0)
    panel.open_run(msgspec.structs.replace(info, data=data))
    serve(panel, info)
    assert any(chip.text.endswith("draws of the target") for chip in panel.chips.chips)


def test_colours_by_label_density_or_none(panel: Any) -> None:
    info = run_info("realnvp", (2,), labels=("left", "right"))
    panel.open_run(info)
    serve(panel, info)
    for name in (VOLUME, LABEL, DENSITY, NONE):
        panel.stage.set_colour_by(name)
        colours = panel.stage.point_colours()
        assert (colours is None) == (name == NONE)
        if name == LABEL:
            assert len(np.unique(colours, axis=0)) == 2
    unlabelled = run_info("realnvp")
    panel.open_run(unlabelled)
    serve(panel, unlabelled)
    panel.stage.set_colour_by(LABEL)
    assert panel.stage.colouring == NONE


@pytest.mark.parametrize("shape", [(1,), (3,)])
def test_other_dimensions_are_drawn(panel: Any, shape: tuple[int, ...]) -> None:
    info = opened(panel, shape)
    panel.stage.clicked.emit((0.1, 0.2))
    for side in panel.sides:
        panel.set_side(side)
        asked = serve(panel, info)
        panel.grab()
    assert len(panel.point.at) == shape[0]
    assert ("axes" in asked["path"].arguments) == (shape == (3,))
    assert "slice" in " ".join(c.text for c in panel.chips.chips) or shape == (1,)
    assert panel.stage.trail.at is not None


def test_a_point_of_another_size_is_not_asked(panel: Any) -> None:
    opened(panel)
    panel.choose_point(Point((1.0, 2.0, 3.0)))
    assert "point" not in panel.asks(rest=True)


def test_choices_are_saved_and_come_back(panel: Any, show_panel: Show) -> None:
    opened(panel)
    panel.set_way("base")
    panel.set_side("layers")
    panel.tools.switch("colour", DENSITY)
    panel.tools.switch("n", 500)
    panel.tools.switch("grid", False)
    saved = panel.save_state()
    other = show_panel(FlowPanel)
    other.restore_state(saved)
    assert other.save_state() == saved
    assert other.clock.inverse
    assert other.stage.colour_by == DENSITY
    before = other.save_state()
    other.restore_state({"way": "nowhere", "n": 3, "side": 7, "colour": None})
    assert other.save_state() == before
    assert msgspec.json.decode(msgspec.json.encode(saved)) == saved


def test_fewer_points_while_it_trains_and_coarse_while_it_scrubs(panel: Any) -> None:
    opened(panel)
    panel.tools.switch("n", 5000)
    assert panel.asks(rest=True)["path"].arguments["n"] == 5000
    question = panel.asks(rest=False)["path"]
    assert question.arguments["n"] == 2000
    assert question.coarse["n"] == 500


def test_it_has_a_film_of_its_own(panel: Any) -> None:
    opened(panel)
    assert panel.own_frames == N_LAYERS * FRAMES_A_LAYER + 1
    panel.show_own_frame(FRAMES_A_LAYER)
    assert panel.clock.at == 1.0
    panel.show_own_frame(panel.own_frames - 1)
    assert panel.clock.at == N_LAYERS


def test_nasty_numbers_are_survived(panel: Any) -> None:
    info = opened(panel)

    def spoil(name: str, array: Any) -> Any:
        if not np.issubdtype(array.dtype, np.floating):
            return array
        spoilt = np.array(array)
        spoilt.reshape(-1)[::3] = np.nan
        spoilt.reshape(-1)[1::5] = np.inf
        return spoilt

    panel.choose_point(Point((0.9, -0.4), ("x", "y")))
    for side in panel.sides:
        panel.set_side(side)
        FakeEngine(info, spoil).serve(panel)
        for at in (0.0, 1.5, 4.0):
            panel.clock.go(at)
            panel.grab()
    panel.look.set(palette=LIGHT, scale=1.6)
    panel.grab()


def test_without_a_run_it_says_what_to_do(panel: Any) -> None:
    assert "flow" in panel.empty.text
    assert panel.asks(rest=True) == {}
    opened(panel)
    assert panel.outer.currentWidget() is not panel.empty
    panel.open_run(None)
    assert panel.outer.currentWidget() is panel.empty


def test_without_opengl_the_stage_serves_alone(
    panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("widgets.panels.flow.has_opengl", lambda: False)
    opened(panel)
    panel.tools.switch("stack", True)
    assert panel.stages.currentWidget() is panel.stage
    assert "no OpenGL" in panel.chips.chips[0].text


def test_layers_stand_one_above_the_other_where_there_is_opengl(panel: Any) -> None:
    if not has_opengl():
        pytest.skip("this display has no OpenGL")
    opened(panel)
    panel.tools.switch("stack", True)
    stack = panel.stages.currentWidget()
    assert isinstance(stack, Stack)
    walk = panel.stage.walk
    # All of it is in sight: the corners of data and base, as far as lines go.
    stack.resize(350, 430)
    QCoreApplication.processEvents()
    corners = np.array([
        (x, y, z) for x in (-HALF_WIDTH, HALF_WIDTH) for y in (-HALF_WIDTH, HALF_WIDTH)
        for z in (-HALF_HEIGHT, HALF_HEIGHT)
    ])  # fmt: skip
    found = stack._points.get_transform("visual", "canvas").map(corners)
    spots = found[:, :2] / found[:, 3:]
    assert (spots >= 0).all()
    assert (spots <= stack._canvas.size).all()
    for at in (0.0, 2.5, 4.0):
        panel.clock.go(at)
        places = stack._points._data["a_position"]
        heights = HALF_HEIGHT * (2 * at / N_LAYERS - 1)
        np.testing.assert_allclose(places[:, 2], heights, atol=1e-6)
        expected = HALF_WIDTH * (blend(walk.points, at) - stack._middle) / stack._reach
        np.testing.assert_allclose(places[:, :2], expected, atol=1e-5)
    panel.choose_point(Point((0.9, -0.4), ("x", "y")))
    serve(panel, panel.run)
    assert stack._way.visible
    panel.tools.switch("stack", False)
    assert panel.stages.currentWidget() is panel.stage


@pytest.mark.parametrize("side", ["point", "layers", "jacobian", "passes"])
def test_the_panel_may_be_small(panel: Any, side: str) -> None:
    info = opened(panel)
    panel.choose_point(Point((0.9, -0.4), ("x", "y")))
    panel.set_side(side)
    serve(panel, info)
    assert panel.minimumSizeHint().width() <= 320
    panel.resize(430, 320)
    QCoreApplication.processEvents()
    assert panel.width() == 430
    assert not panel.side.isVisible()  # the stage needs the room
    panel.resize(480, 640)
    QCoreApplication.processEvents()
    assert panel.side.isVisible()
    assert panel.side.mapTo(panel, panel.side.rect().topLeft()).y() > panel.stage.height()
    panel.resize(900, 500)
    QCoreApplication.processEvents()
    assert panel.side.mapTo(panel, panel.side.rect().topLeft()).x() > panel.stage.width()
