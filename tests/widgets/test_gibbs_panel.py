"""The panel of Boltzmann machines: chains half-step by half-step, rows, filters, completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from engine.wire.fields import Field, FieldSpec
from engine.wire.messages import Answer, RunInfo, Slot
from tests.widgets.fakes import resize, run_info
from tests.widgets.gibbs_fakes import N_EXAMPLES, gibbs_walk, machine, serve
from widgets.gibbs.complete_page import CompletePage
from widgets.gibbs.film import WalkFilm, WalkReel
from widgets.gibbs.filters_page import FiltersPage
from widgets.gibbs.layers_page import LayersPage
from widgets.gibbs.log_z_page import LogZPage
from widgets.gibbs.rows_page import RowsPage, forgetting
from widgets.gibbs.units_page import UnitsPage
from widgets.look import LIGHT, Look
from widgets.panel import Panel
from widgets.panels.gibbs import MODES, GibbsPanel

MODE_NAMES = [name for name, *_ in MODES]


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> GibbsPanel:
    made = show_panel(GibbsPanel)
    assert isinstance(made, GibbsPanel)
    resize(made, 900, 560)
    return made


def opened(panel: GibbsPanel, info: RunInfo, mode: str) -> Any:
    panel.open_run(info)
    panel.set_mode(mode)
    serve(panel, info)
    return panel.mode


def film(n: int = 2, frames: int = 9, **wanted: Any) -> WalkFilm:
    arrays, values = gibbs_walk(machine(), {"n": n, "n_frames": frames, **wanted}, {})
    return WalkFilm(Answer(Slot("gibbs", "run-1", "walk"), 1, 7, arrays, values))


def piece(frames: int, start: int, stop: int, step: int) -> Answer:
    arrays, values = gibbs_walk(machine(), {"n": 1, "n_frames": frames}, {})
    cut = {name: array[start:stop] for name, array in arrays.items()}
    return Answer(Slot("gibbs", "r", "walk"), 1, step, cut, {**values, "frame": start})


# --- which runs --------------------------------------------------------------------------------


def test_only_machines_with_units_are_asked(panel: GibbsPanel) -> None:
    panel.open_run(run_info("ebm"))
    assert panel.asks(rest=True) == {}
    assert "no units that are drawn in turn" in panel.empty.text
    panel.open_run(machine())
    assert panel.asks(rest=True)["walk"].probe == "gibbs_walk"
    assert panel.asks(rest=True)["walk"].stream


KINDS = {
    "pictures": machine(),
    "plane": machine((2,), None),
    "vector": machine((5,)),
    "settling": machine(hidden=[6, 4], features=("mean_field",)),
    "directed": machine(hidden=[6, 4], features=("directed",)),
}
NASTY: dict[str, Callable[[str, Any], Any]] = {
    "NaN": lambda name, a: np.full_like(a, np.nan) if a.dtype.kind == "f" else a,
    "infinite": lambda name, a: np.full_like(a, np.inf) if "energy" in name else a,
}


@pytest.mark.parametrize("mode", MODE_NAMES)
def test_every_mode_draws_every_kind_of_event(panel: GibbsPanel, mode: str, look: Look) -> None:
    for words, info in KINDS.items():
        opened(panel, info, mode)
        resize(panel, *((420, 700) if words == "plane" else (1200, 300)))
        assert not panel.grab().isNull(), words
    info = KINDS["settling" if mode == "layers" else "pictures"]
    for words, spoil in NASTY.items():
        panel.open_run(info)
        panel.set_mode(mode)
        serve(panel, info, spoil)
        assert not panel.grab().isNull(), words
    resize(panel, 120, 90)
    look.set(palette=LIGHT, scale=2.0)
    assert panel.grab().width() == panel.width()


# --- a chain's film ----------------------------------------------------------------------------


def test_a_new_film_takes_over_where_the_clock_is() -> None:
    reel = WalkReel()
    assert reel.take(piece(8, 0, 8, step=1), 5)
    assert not reel.take(piece(8, 0, 4, step=2), 5)
    assert reel.shown is not None
    assert reel.shown.step == 1
    assert reel.take(piece(8, 4, 8, step=2), 5)
    assert reel.shown.step == 2
    assert reel.shown.is_whole
    assert not WalkReel().take(piece(8, 4, 8, step=3), 0), "a piece without its beginning"


def test_forgetting_counts_units_that_differ() -> None:
    """One of 16 units is on, another one in each frame and in each chain: two differ."""
    lags, apart, between = forgetting(film(n=3, frames=9, sweeps=4))
    assert lags == pytest.approx(4.0 * np.arange(9))
    assert apart[0] == 0
    assert apart[1:] == pytest.approx(np.full(8, 100 * 2 / 16))
    assert between == pytest.approx(100 * 2 / 16)
    assert np.isnan(forgetting(film(n=1))[2])


# --- units -------------------------------------------------------------------------------------


def test_each_half_step_is_a_frame_and_going_back_is_exact(panel: GibbsPanel) -> None:
    page = opened(panel, machine(), "units")
    assert isinstance(page, UnitsPage)
    page.clock.pause()
    page.clock.go(3)
    seen = {}
    for place in (3, 4, 5, 4, 3):
        page.clock.go(place)
        units = page.layers[0]
        assert int(np.flatnonzero(units.states)[0]) == place % 6
        picture = page.states._image
        key = [picture.pixel(x, y) for y in range(4) for x in range(4)]
        assert seen.setdefault(place, key) == key
        assert key[place % 16] & 0xFFFFFF == 0xFFFFFF
    assert page.layers[0]._title.startswith("hidden h given v")
    assert page.layers[0]._is_new
    page.clock.go(4)
    assert not page.layers[0]._is_new
    words = [chip.text for chip in panel.chips.chips]
    assert "E(v, h) = −3.1 nats" in words
    assert "F(v) = −5.1 nats" in words
    assert "1 of 6 hidden h on" in words


def test_chains_of_the_training_are_offered_where_there_are_some(panel: GibbsPanel) -> None:
    opened(panel, machine(), "units")
    starts = panel.mode.tools._choices["start"][0]
    assert [starts.itemData(i) for i in range(starts.count())] == ["noise", "data"]
    own = machine()
    kept = (
        *own.card.fields,
        FieldSpec("n_chains", "int", 100, Field(1, 1000)),
        FieldSpec("algorithm", "str", "pcd", Field(choices=("cd", "pcd"))),
    )
    own = msgspec.structs.replace(own, card=msgspec.structs.replace(own.card, fields=kept))
    opened(panel, own, "units")
    panel.mode.tools.switch("start", "training")
    assert panel.asks(rest=True)["walk"].arguments["start"] == "training"
    panel.open_run(machine())
    assert panel.asks(rest=True)["walk"].arguments["start"] == "noise"


def test_keys_move_the_chain(panel: GibbsPanel) -> None:
    page = opened(panel, machine(), "units")
    page.clock.pause()
    page.clock.go(10)
    for key, place in (
        (Qt.Key.Key_Right, 11), (Qt.Key.Key_Left, 10), (Qt.Key.Key_Home, 0),
        (Qt.Key.Key_End, 200), (Qt.Key.Key_PageUp, 190),
    ):  # fmt: skip
        QTest.keyClick(panel, key)
        assert page.clock.place == place
    QTest.keyClick(panel, Qt.Key.Key_Space)
    assert page.clock.is_playing
    QTest.keyClick(panel, Qt.Key.Key_S)
    assert page.clock.pace == 2.0
    panel.set_mode("rows")
    assert not page.clock.is_playing


def test_a_hidden_units_weights_are_shown_where_the_pointer_is(panel: GibbsPanel) -> None:
    page = opened(panel, machine(), "units")
    grid = page.layers[0]
    assert page.filter.canvas._title == "W of hidden unit 1"
    QTest.mouseMove(grid, grid.rect_of(4).center().toPoint())
    grid.hovered.emit(grid.unit_at(grid.rect_of(4).center()))
    assert page.filter.canvas._title == "W of hidden unit 5"
    assert grid.words(4).startswith("unit 5: p(on) = 0.")
    QTest.mouseClick(grid, Qt.MouseButton.LeftButton, pos=grid.rect_of(2).center().toPoint())
    grid.hovered.emit(None)
    assert page.filter.canvas._title == "W of hidden unit 3"
    assert panel.save_state()["unit"] == 2
    assert grid.unit_at(grid.rect_of(5).bottomRight() * 3) is None


def test_a_deep_machine_shows_each_layer(panel: GibbsPanel) -> None:
    page = opened(panel, machine(hidden=[6, 4]), "units")
    page.clock.go(5)
    titles = [grid._title for grid in page.layers if grid.isVisible()]
    assert titles == ["hidden h¹ given v, h²", "hidden h² given h¹"]
    assert [len(grid.states) for grid in page.layers[:2]] == [6, 4]


def test_points_walk_in_the_plane(panel: GibbsPanel) -> None:
    page = opened(panel, machine((2,), None), "units")
    page.clock.pause()
    page.clock.go(6)
    assert page.plane.isVisible()
    assert not page.states.isVisible()
    assert page.plane.data.count == 200
    assert page.plane.dots.count == 7
    assert page.plane.now.count == 1


# --- rows --------------------------------------------------------------------------------------


def test_rows_ask_for_what_is_chosen_and_grow_column_by_column(panel: GibbsPanel) -> None:
    page = opened(panel, machine(), "rows")
    assert isinstance(page, RowsPage)
    page.tools.switch("chains", 3)
    page.tools.switch("columns", 8)
    page.tools.switch("every", 100)
    asked = panel.asks(rest=True)["walk"].arguments
    assert (asked["n"], asked["n_frames"], asked["sweeps"]) == (3, 8, 100)
    serve(panel, machine())
    page.clock.pause()
    page.clock.go(2)
    assert page.wall.count == 24
    assert page.wall._heads == ("0", "100", "200", "300", "400", "500", "600", "700")
    shown = page.wall.pixels.reshape(3, 8, 16)
    empty = shown[0, 3, 0]
    assert (shown[:, 3:] == empty).all()
    assert (shown[:, :3] != empty).all()
    page.tools.switch("shown", "states")
    assert (page.wall.pixels.reshape(3, 8, 16)[1, 2] == 0xFFFFFFFF).nonzero()[0].tolist() == [3]
    words = [chip.text for chip in panel.chips.chips]
    assert words[:2] == [
        "from column to column (100 sweeps) 12.5 % change", "two chains differ by 12.5 %"
    ]  # fmt: skip


# --- filters -----------------------------------------------------------------------------------


def test_filters_are_sorted_and_dead_units_flagged(panel: GibbsPanel) -> None:
    page = opened(panel, machine(), "filters")
    assert isinstance(page, FiltersPage)
    assert page._order.tolist() == [5, 4, 3, 2, 1, 0]
    assert page.wall._framed == (0,), "the dead unit is the strongest"
    assert panel.chips.chips[0].text == "1 of 6 units dead"
    page.tools.switch("by", "activity")
    assert page._order.tolist() == [0, 1, 2, 3, 4, 5]
    assert page.wall._framed == (5,)
    page.wall.chosen.emit(4)
    assert page.filter.canvas._title.startswith("unit 5: on 1.7 %, c −0.40, norm 1.60")
    page._on_clicked((5.2, 0.0))
    assert page.filter.canvas._title.endswith("dead")
    # One scale for all, symmetric about 0, the strongest colour at its end.
    assert page.filter.bar.ends == (-page.scale.end, page.scale.end)
    assert page.scale.end >= 0.49


def test_layers_of_a_deep_machine_can_be_chosen(panel: GibbsPanel) -> None:
    page = opened(panel, machine(hidden=[6, 4]), "filters")
    assert page.wall.count == 6
    page.tools.switch("layer", 2)
    assert panel.asks(rest=True)["filters"].arguments["layer"] == 2
    serve(panel, machine(hidden=[6, 4]))
    assert page.wall.count == 4


# --- completions -------------------------------------------------------------------------------


def test_painted_parts_are_completed_and_the_rest_is_held(panel: GibbsPanel) -> None:
    page = opened(panel, machine(), "complete")
    assert isinstance(page, CompletePage)
    question = panel.asks(rest=True)["walk"]
    assert question.arrays["mask"].tolist() == [True] * 8 + [False] * 8
    assert question.arrays["known"].tolist() == [1.0] + [0.0] * 15
    page.clock.pause()
    page.clock.go(3)
    assert page.wall.count == 12
    page.strip.chosen.emit(N_EXAMPLES - 1)
    known = panel.asks(rest=True)["walk"].arrays["known"]
    assert int(known.sum()) == N_EXAMPLES
    page.painter.tool = "eraser"
    area = page.painter.area()
    QTest.mouseClick(page.painter, Qt.MouseButton.LeftButton,
                     pos=QPoint(int(area.center().x()), int(area.bottom()) - 3))  # fmt: skip
    assert panel.asks(rest=True)["walk"].arrays["mask"].sum() > 8
    assert any("held" in chip.text for chip in panel.chips.chips)
    page.painter.occlude("")
    assert "walk" not in panel.asks(rest=True)
    assert page.wall.count == 0
    assert not panel.chips.chips
    assert page.wall.accessibleName() == ""


def test_completions_need_pictures(panel: GibbsPanel) -> None:
    panel.open_run(machine())
    panel.set_mode("complete")
    panel.open_run(machine((2,), None))
    assert panel.switch.current == "units"
    assert not panel.switch.buttons["complete"].isEnabled()
    assert "pictures" in panel.switch.buttons["complete"].toolTip()


# --- layers ------------------------------------------------------------------------------------


def test_layers_settle_sweep_by_sweep(panel: GibbsPanel) -> None:
    info = machine(hidden=[6, 4], features=("mean_field",))
    page = opened(panel, info, "layers")
    assert isinstance(page, LayersPage)
    asked = panel.asks(rest=True)["field"]
    assert asked.arrays["picture"].tolist() == [1.0] + [0.0] * 15
    page.clock.pause()
    page.clock.go(4)
    assert [len(grid.means) for grid in page.layers[:2]] == [6, 4]
    assert page.layers[1].means == pytest.approx(np.full(4, 1 - 0.5**5))
    words = [chip.text for chip in panel.chips.chips]
    assert words[:2] == ["bound −2.06 nats", "0.06 below the exact value"]
    assert {"bound", "exact", "mean"} <= set(page.curves.names)
    page.tools.pressed.emit("next")
    assert panel.asks(rest=True)["field"].arrays["picture"].sum() == 2
    assert "layers_chain" in panel.save_state()


def test_pictures_come_with_the_pass_down(panel: GibbsPanel) -> None:
    info = machine(hidden=[6, 4], features=("directed",))
    page = opened(panel, info, "layers")
    page.tools.switch("sweeps", 5)
    asked = panel.asks(rest=True)["walk"].arguments
    assert (asked["pass_after"], asked["n_frames"], asked["n"]) == (5, 7, 12)
    serve(panel, info)
    page.clock.pause()
    page.clock.go(3)
    assert page.wall.count == 0
    page.clock.go(6)
    assert page.wall.count == 12
    page.wall.chosen.emit(4)
    assert int(np.flatnonzero(page.layers[0].states)[0]) == (6 + 4) % 6
    assert not panel.switch.buttons["complete"].isEnabled()
    assert "directed" in panel.switch.buttons["complete"].toolTip()
    panel.open_run(machine())
    assert panel.switch.current == "units"
    assert not panel.switch.buttons["layers"].isEnabled()


# --- log Z -------------------------------------------------------------------------------------


def test_numbers_say_what_they_are(panel: GibbsPanel) -> None:
    page = opened(panel, machine(hidden=30), "log_z")
    assert isinstance(page, LogZPage)
    text = page.figures.text()
    assert "more than 20 units on each side" in text
    assert "<b>10.100</b>" in text
    assert "95 %: 9.850 … 10.350; K = 1 000" in text
    assert "held out, log p =" in text
    assert "± 0.11 over observations; log Z: −8.30 … −7.70" in text
    assert "not a likelihood" in text
    assert "exact" not in page.curves.names
    assert not page.states.isVisible()
    assert panel.chips.chips[0].text == "scores use AIS"
    page.tools.switch("rungs", 300)
    page.tools.switch("chains", 20)
    asked = panel.asks(rest=True)["log_z"]
    assert asked.arguments == {"rungs": [9, 30, 90, 300], "n_chains": 20}
    assert asked.stream


def test_all_states_of_a_small_machine_are_written_down(panel: GibbsPanel) -> None:
    info = machine((1, 2, 2), hidden=2)
    page = opened(panel, info, "log_z")
    states = page.states
    assert states.isVisible()
    assert states.energies.shape == (16, 4)
    assert states.energies[0].tolist() == [0.0, 1.0, 1.0, 2.0], "likeliest rows and columns first"
    assert states.visible[0].tolist() == [0, 0, 0, 0]
    assert states.chances.sum() == pytest.approx(1.0)
    assert states.chances[0] == pytest.approx((1 + np.exp(-2.0)) ** -4)
    assert "exact" in page.curves.names
    assert "log Z:" not in page.figures.text()
    panel.open_run(machine(hidden=30))
    serve(panel, machine(hidden=30))
    assert not states.isVisible()
    assert "46 units: no table of all states" in [chip.text for chip in panel.chips.chips]


# --- choices -----------------------------------------------------------------------------------


def test_state_comes_back(panel: GibbsPanel) -> None:
    panel.open_run(machine())
    given = {
        "mode": "rows", "start": "data", "seed": 4, "picture": 2, "unit": 3, "length": 300,
        "rows_chains": 8, "rows_columns": 16, "rows_every": 50, "rows_shown": "states",
        "filters_by": "unit", "filters_layer": 1, "filters_unit": 2, "complete_n": 20,
        "complete_length": 100, "complete_shown": "states",
        "layers_sweeps": 20, "layers_chain": 3,
        "log_z_rungs": 3000, "log_z_chains": 500,
    }  # fmt: skip
    panel.restore_state(given)
    assert panel.save_state() == given
    panel.restore_state({"mode": "none", "start": "elsewhere", "seed": -1, "rows_every": 3})
    assert panel.save_state() == given
    asked = panel.asks(rest=True)["walk"].arguments
    assert (asked["start"], asked["seed"], asked["n"]) == ("data", 4, 8)


def test_every_control_has_a_tooltip(panel: GibbsPanel) -> None:
    panel.open_run(machine())
    for page in panel.modes.values():
        for action in page.tools.actions():
            widget = page.tools.widgetForAction(action)
            tips = (action.toolTip(), widget.toolTip() if widget is not None else "")
            named = [tip for tip in tips if len(tip) > 8]
            assert named or widget is getattr(page, "hand", None), action.text()
