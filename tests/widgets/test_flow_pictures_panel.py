"""The panel of pictures through a flow: growing, between, an attribute, the sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engine.wire.messages import RunInfo
from tests.widgets.fakes import run_info
from tests.widgets.pixel_runs import DIGITS, EVENTS, Engine, info_of
from widgets.flow_pictures.attribute_page import MULTIPLES, AttributePage
from widgets.flow_pictures.between_page import N_FRAMES, BetweenPage
from widgets.flow_pictures.desk import MOST_KEYS
from widgets.flow_pictures.grow_page import GrowPage
from widgets.flow_pictures.sum_page import SumPage
from widgets.look import LIGHT, Look
from widgets.panel import Panel
from widgets.panels.flow_pictures import FlowPicturesPanel


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> FlowPicturesPanel:
    made = show_panel(FlowPicturesPanel)
    assert isinstance(made, FlowPicturesPanel)
    made.resize(900, 560)
    return made


def serve(panel: FlowPicturesPanel, info: RunInfo, rounds: int = 2) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    for _ in range(rounds):
        asked = Engine(info).serve(panel)
    return asked


def opened(panel: FlowPicturesPanel, mode: str, info: RunInfo | None = None) -> dict[str, Any]:
    info = info or info_of(DIGITS, "realnvp")
    panel.open_run(info)
    panel.set_mode(mode)
    return serve(panel, info)


def click(panel: FlowPicturesPanel, index: int) -> None:
    wall = panel.picker.wall
    spot = wall.rect_of(index).center().toPoint()
    QTest.mouseClick(wall, Qt.MouseButton.LeftButton, pos=QPoint(spot))


def chips(panel: FlowPicturesPanel) -> str:
    return ", ".join(chip.text for chip in panel.chips.chips)


def test_events_that_are_no_pictures_are_refused(panel: FlowPicturesPanel) -> None:
    assert "No flow is open" in panel.empty.text
    panel.open_run(run_info("realnvp", (2,)))
    assert panel.asks(rest=True) == {}
    assert "no pictures" in panel.empty.text
    panel.open_run(info_of(DIGITS, "realnvp"))
    assert set(panel.asks(rest=True)) == {"grow"}
    assert not panel.empty.isVisible()


@pytest.mark.parametrize("event", ["digits", "binary", "colour", "real"])
@pytest.mark.parametrize("mode", ["grow", "between", "attribute", "sum"])
def test_every_page_draws_every_kind_of_picture(
    panel: FlowPicturesPanel, mode: str, event: str
) -> None:
    asked = opened(panel, mode, info_of(EVENTS[event], "realnvp"))
    assert mode in asked
    assert ("examples" in asked) == (mode != "grow")
    assert chips(panel)
    for width, height in ((60, 40), (1200, 640), (420, 800)):
        panel.resize(width, height)
        assert not panel.grab().isNull()


# --- grow -------------------------------------------------------------------------------------


def test_temperature_rows_and_noise_ask_anew(panel: FlowPicturesPanel) -> None:
    info = info_of(DIGITS, "realnvp")
    asked = opened(panel, "grow", info)["grow"].arguments
    assert asked == {"n": 6, "temperature": 1.0, "seed": 0}
    page = panel.pages["grow"]
    assert isinstance(page, GrowPage)
    assert page.table.shape == (6, 3)
    assert "2 scales, 32 + 32 of 64 values" in chips(panel)
    told: list[None] = []
    panel.asks_changed.connect(lambda: told.append(None))
    page.temperature.slider.setValue(14)
    page.tools.pressed.emit("noise")
    page.tools.switch("rows", 3)
    assert len(told) == 3
    asked = serve(panel, info)["grow"].arguments
    assert asked == {"n": 3, "temperature": 0.7, "seed": 1}
    assert page.table.shape == (3, 3)
    assert page.temperature.label.text() == "T = 0.70"


# --- between ----------------------------------------------------------------------------------


def test_clicks_choose_two_to_four_keyframes(panel: FlowPicturesPanel) -> None:
    info = info_of(DIGITS, "realnvp")
    asked = opened(panel, "between", info)
    assert panel.desk.keys == (0, 1), "two of different classes"
    np.testing.assert_array_equal(asked["between"].arrays["events"], panel.desk.events[[0, 1]])
    click(panel, 5)
    assert panel.desk.keys == (0, 1, 5)
    click(panel, 1)
    click(panel, 0)
    assert panel.desk.keys == (0, 5), "two are left at least"
    for index in (7, 8, 9):
        click(panel, index)
    assert len(panel.desk.keys) == MOST_KEYS
    page = panel.pages["between"]
    assert isinstance(page, BetweenPage)
    serve(panel, info)
    assert page.film.table.shape == (MOST_KEYS - 1, 9)
    assert page.own_frames == (MOST_KEYS - 1) * N_FRAMES + 1


def test_scrubbing_shows_frames_and_keys_play(panel: FlowPicturesPanel, qtbot: QtBot) -> None:
    opened(panel, "between")
    page = panel.pages["between"]
    assert isinstance(page, BetweenPage)
    assert page.clock.place == N_FRAMES // 2, "the middle is shown first"
    panel.show_own_frame(0)
    assert page.film.table.current == (0, 0)
    assert "|z| = " in chips(panel)
    assert "round trip 2.0e−07" in chips(panel)
    spot = page.film.table.rect_of(0, 8).center().toPoint()
    QTest.mouseClick(page.film.table, Qt.MouseButton.LeftButton, pos=spot)
    assert page.clock.place == N_FRAMES
    panel.setFocus()
    QTest.keyClick(panel, Qt.Key.Key_Home)
    QTest.keyClick(panel, Qt.Key.Key_Right)
    assert page.clock.place == 1
    QTest.keyClick(panel, Qt.Key.Key_Space)
    assert page.clock.is_playing
    panel.set_mode("grow")
    assert not page.clock.is_playing


def test_the_way_is_asked_for(panel: FlowPicturesPanel) -> None:
    opened(panel, "between")
    page = panel.pages["between"]
    assert isinstance(page, BetweenPage)
    page.kind.keep("spherical")
    assert panel.asks(rest=True)["between"].arguments["kind"] == "spherical"


# --- attribute --------------------------------------------------------------------------------


def test_the_slider_moves_the_picture_and_asks_nothing(panel: FlowPicturesPanel) -> None:
    asked = opened(panel, "attribute")["attribute"]
    assert asked.arguments["positive"] == 1
    assert asked.arguments["negative"] == 0
    assert list(asked.arguments["multiples"]) == MULTIPLES.tolist()
    page = panel.pages["attribute"]
    assert isinstance(page, AttributePage)
    told: list[None] = []
    panel.asks_changed.connect(lambda: told.append(None))
    page.multiple.slider.setValue(0)
    assert page.film.table.current == (0, 0)
    assert page.multiple.label.text() == "a = −2.00"
    assert "moved to −1.8" in chips(panel)
    spot = page.film.table.rect_of(0, 4).center().toPoint()
    QTest.mouseClick(page.film.table, Qt.MouseButton.LeftButton, pos=spot)
    assert page.multiple.value == 0.0
    assert told == []
    page.tools.switch("negative", -1)
    click(panel, 3)
    assert len(told) == 2
    wanted = panel.asks(rest=True)["attribute"]
    assert wanted.arguments["negative"] == -1
    np.testing.assert_array_equal(wanted.arrays["event"], panel.desk.events[3])


def test_without_labels_there_is_no_attribute(panel: FlowPicturesPanel) -> None:
    opened(panel, "attribute")
    info = run_info("realnvp", (1, 8, 8))
    panel.open_run(info)
    assert not panel.switch.buttons["attribute"].isEnabled()
    assert "no labels" in panel.switch.buttons["attribute"].toolTip()
    assert panel.switch.current == "grow"


# --- sum --------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["digits", "real"])
def test_bars_add_up_in_both_units(panel: FlowPicturesPanel, event: str) -> None:
    info = info_of(EVENTS[event], "realnvp")
    opened(panel, "sum", info)
    page = panel.pages["sum"]
    assert isinstance(page, SumPage)
    nats = sum(bar.value for bar in page.waterfall.bars)
    assert nats == pytest.approx(page.waterfall._total.value)
    assert ("≥" in chips(panel)) == (event == "digits")
    page.unit.keep("bits")
    bits = sum(bar.value for bar in page.waterfall.bars)
    assert bits == pytest.approx(page.waterfall._total.value)
    offset = 0.0 if event == "digits" else math.log2(17)
    size = info.data.event.size
    assert bits == pytest.approx(-nats / (size * math.log(2.0)) + offset)
    assert f"{bits:.3f} bits/dim" in chips(panel)
    names = [bar.name for bar in page.waterfall.bars]
    assert ("dequantise" in names) == (event == "digits")


# --- all --------------------------------------------------------------------------------------


def test_choices_come_back(panel: FlowPicturesPanel, look: Look) -> None:
    state = {
        "mode": "sum", "rows": 8, "temperature": 0.5, "noise": 3, "way": "spherical",
        "positive": 4, "negative": -1, "a": -0.5, "unit": "bits", "draws": 64,
    }  # fmt: skip
    panel.restore_state(state)  # type: ignore[arg-type]
    assert panel.save_state() == state
    opened(panel, "sum")
    assert panel.save_state() == state
    look.set(palette=LIGHT, scale=1.5)
    assert not panel.grab().isNull()
    panel.restore_state({"rows": "x", "temperature": 9.0, "noise": -1, "positive": -5, "a": 9})
    assert panel.save_state() == state


def test_answers_that_do_not_fit_are_ignored(panel: FlowPicturesPanel) -> None:
    small = info_of(EVENTS["binary"], "realnvp")
    question = opened(panel, "grow")["grow"]
    panel.show_answer("grow", Engine(small).answer("flow_pictures", "grow", question))
    page = panel.pages["grow"]
    assert isinstance(page, GrowPage)
    assert page.table._sides == (8, 8)


def test_a_choice_of_pictures_can_be_taken_back(panel: FlowPicturesPanel) -> None:
    opened(panel, "sum")
    before = panel.picker.kept()
    click(panel, 2)
    assert panel.desk.index == 2
    panel.picker.keep(before)
    assert panel.desk.index == before[0] == 0
    panel.picker.keep((99, (0, 1)))
    assert panel.desk.index == 0, "what fits no longer is ignored"
