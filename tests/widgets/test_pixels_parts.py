"""Parts of the pixels panel: cells, films, the local time, masks, bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from tests.widgets import pixel_fakes
from tests.widgets.fakes import shown
from tests.widgets.pixel_runs import EVENTS, answer, info_of, pieces, spot, wanted
from widgets.controls.mask_painter import HALVES, MaskPainter, part_of
from widgets.controls.segments import Segments
from widgets.look import Look
from widgets.panels.pixels import MODES
from widgets.pixels.canvas import overlay
from widgets.pixels.cells import Cells, packed_colour
from widgets.pixels.clock import Clock
from widgets.pixels.film import Film, Reel
from widgets.pixels.level_bars import LevelBars
from widgets.pixels.picker import read_own

# --- cells -----------------------------------------------------------------------------------


def test_flat_indices_and_cells_agree() -> None:
    cells = Cells.of(info_of(EVENTS["colour"]))
    assert (cells.channels, cells.rows, cells.columns) == (3, 4, 5)
    for index in range(cells.size):
        assert cells.index_at(*cells.cell_of(index), cells.channel_of(index)) == index
    assert cells.index_at(4, 0) is None
    assert cells.words(23) == "row 1, column 4, green"


def test_symbols_wrap_and_the_last_row_may_end_early() -> None:
    cells = Cells.of(info_of(EVENTS["symbols"]))
    assert (cells.rows, cells.columns, cells.size) == (2, 32, 40)
    assert cells.index_at(1, 7) == 39
    assert cells.index_at(1, 8) is None
    pixels = cells.pixels(np.full(40, 2.0), np.ones(40, bool), "#102030")
    assert pixels[1, 7] == 0xFFFFFFFF
    assert pixels[1, 8] == packed_colour("#102030")
    assert cells.value_words(1.0) == "‘b’"


def test_black_white_and_what_is_not_there_yet() -> None:
    cells = Cells.of(info_of())
    values, drawn = np.zeros(64), np.zeros(64, bool)
    values[1], values[2], drawn[:3] = 16, 8, True
    pixels = cells.pixels(values, drawn, "#abcdef")[0]
    assert [hex(p) for p in pixels[:4]] == ["0xff000000", "0xffffffff", "0xff7f7f7f", "0xffabcdef"]


def test_an_overlay_of_full_strength_is_its_colour() -> None:
    base = np.full((1, 2), 0xFF000000, np.uint32)
    assert overlay(base, np.array([[1.0, 0.0]]), "#ff8000").tolist() == [[0xFFFF8000, 0xFF000000]]


# --- film ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_film_from_pieces_is_the_film_from_one(size: int) -> None:
    info = info_of()
    whole = Film(answer(info, pixel_fakes.pixel_stream(info, wanted(), {})))
    parts = pieces(info, size)
    film = Film(parts[0])
    for part in parts[1:]:
        film.take(part)
    assert film.is_whole
    for name in ("values", "entropies", "log_probs", "probabilities"):
        np.testing.assert_array_equal(getattr(film, name), getattr(whole, name))
    assert film.log_prob(0, 10) == pytest.approx(-2.5)
    assert film.drawn(10).sum() == 10
    assert film.place_of(film.index_at(17)) == 17


def test_a_newer_film_takes_over_only_where_it_has_come_to() -> None:
    info = info_of()
    reel = Reel()
    for part in pieces(info, 16):
        reel.take(part, 64)
    newer = pieces(info, 16, step=200)
    for part in newer[:2]:
        assert not reel.take(part, 40)
        assert reel.shown is not None
        assert reel.shown.step == 100
    assert reel.take(newer[2], 40)
    assert reel.shown is not None
    assert reel.shown.step == 200


# --- the clock -------------------------------------------------------------------------------


def test_the_clock_steps_jumps_and_waits_for_what_has_not_come(qtbot: QtBot) -> None:
    clock = Clock()
    clock.open(64)
    places: list[int] = []
    clock.moved.connect(places.append)
    clock.pace = 10.0
    clock.set_ready(5)
    clock.advance(0.35)
    assert clock.place == 3
    clock.advance(10.0)
    assert clock.place == 5
    clock.step(-1)
    clock.step(-1)
    assert clock.place == 3
    clock.go(1000)
    assert clock.place == 64
    clock.step(1)
    assert clock.place == 64
    assert places == [3, 5, 4, 3, 64]


def test_playing_at_the_end_begins_again(qtbot: QtBot) -> None:
    clock = Clock()
    clock.open(8)
    clock.set_ready(8)
    clock.go(8)
    clock.play()
    assert clock.is_playing
    assert clock.place == 0
    clock.advance(100.0)
    assert clock.place == 8
    assert not clock.is_playing


# --- mask painter ----------------------------------------------------------------------------


@pytest.fixture
def painter(qtbot: QtBot, look: Look) -> MaskPainter:
    made: MaskPainter = shown(MaskPainter(look), qtbot, 240, 240)
    cells = Cells.of(info_of())
    made.set_cells(cells, cells.pixels(np.zeros(64), np.ones(64, bool), "#000000"))
    return made


@pytest.mark.parametrize("part", HALVES)
def test_parts_of_a_picture(part: str) -> None:
    known = part_of((8, 8), part)
    hidden = 16 if part == "centre" else 32
    assert (~known).sum() == hidden
    assert (~part_of((1, 7), part)).any()
    assert not (~part_of((1, 7), part)).all()


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="given 'middle', wanted one of lower"):
        part_of((8, 8), "middle")


def test_brush_rectangle_eraser_and_the_right_button(painter: MaskPainter, qtbot: QtBot) -> None:
    painter.radius = 0
    left, right = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
    qtbot.mousePress(painter, left, pos=spot(painter, 2, 1))
    qtbot.mouseMove(painter, spot(painter, 2, 5))
    qtbot.mouseRelease(painter, left, pos=spot(painter, 2, 5))
    assert np.argwhere(~painter.known).tolist() == [[2, c] for c in range(1, 6)]
    qtbot.mouseClick(painter, right, pos=spot(painter, 2, 3))
    assert painter.known[2, 3]
    painter.tool = "eraser"
    qtbot.mouseClick(painter, left, pos=spot(painter, 2, 4))
    assert painter.known[2, 4]
    painter.tool = "rectangle"
    before = painter.known.copy()
    told: list[tuple[Any, Any]] = []
    painter.finished.connect(lambda *masks: told.append(masks))
    qtbot.mousePress(painter, left, pos=spot(painter, 4, 6))
    qtbot.mouseMove(painter, spot(painter, 7, 7))
    qtbot.mouseMove(painter, spot(painter, 5, 4))
    qtbot.mouseRelease(painter, left, pos=spot(painter, 5, 4))
    assert (~painter.known[4:6, 4:7]).all()
    assert painter.known[6:].all()
    np.testing.assert_array_equal(told[0][0], before)
    np.testing.assert_array_equal(told[0][1], painter.known)


def test_a_mask_by_keyboard(painter: MaskPainter, qtbot: QtBot) -> None:
    painter.radius = 0
    painter.set_at(0)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Return):
        qtbot.keyClick(painter, key)
    assert np.argwhere(~painter.known).tolist() == [[1, 1]]
    qtbot.keyClick(painter, Qt.Key.Key_Return)
    assert painter.known.all()


def test_a_mask_of_another_shape_is_refused(painter: MaskPainter) -> None:
    with pytest.raises(ValueError, match="wanted"):
        painter.set_known(np.ones((3, 3), bool))


# --- small parts -----------------------------------------------------------------------------


def test_a_click_on_a_bar_is_its_level(qtbot: QtBot, look: Look) -> None:
    bars = shown(LevelBars(look), qtbot, 400, 300)
    bars.set_levels(np.full(17, 1 / 17), 3.0)
    picked: list[float] = []
    bars.picked.connect(picked.append)
    bars.frame.clicked.emit((4.4, 0.01))
    bars.frame.clicked.emit((-0.4, 0.01))
    bars.frame.clicked.emit((16.6, 0.01))
    assert picked == [4.0, 0.0]
    bars.set_curve(np.linspace(0, 1, 9), np.ones(9), 0.5)
    bars.frame.clicked.emit((0.25, 0.5))
    assert picked[-1] == 0.25


def test_segments_tell_what_the_user_chose(qtbot: QtBot, look: Look) -> None:
    switch = shown(Segments(look, MODES), qtbot, 500, 40)
    told: list[str] = []
    switch.chosen.connect(told.append)
    qtbot.mouseClick(switch.buttons["inpaint"], Qt.MouseButton.LeftButton)
    switch.set_current("sees")
    assert told == ["inpaint"]
    assert switch.current == "sees"


def test_segments_that_come_and_go_squeeze_no_word(qtbot: QtBot, look: Look) -> None:
    switch = shown(Segments(look, MODES), qtbot, 500, 40)
    wide = {name: button.width() for name, button in switch.buttons.items()}
    for _ in range(2):
        for on in (False, True):
            switch.set_shown("inpaint", on)
            qtbot.wait(1)
    assert {name: button.width() for name, button in switch.buttons.items()} == wide


def test_a_picture_file_becomes_an_event(tmp_path: Path) -> None:
    image = QImage(40, 20, QImage.Format.Format_RGB888)
    image.fill(0xFFFFFF)
    path = str(tmp_path / "white.png")
    assert image.save(path)
    for name, high in (("digits", 16), ("binary", 1), ("colour", 255), ("real", 1)):
        cells = Cells.of(info_of(EVENTS[name]))
        event = read_own(path, cells)
        assert event.shape == (cells.size,)
        assert set(event) == {high}
    with pytest.raises(ValueError, match="could not be read"):
        read_own(str(tmp_path / "no.png"), cells)
    with pytest.raises(ValueError, match="no pictures"):
        read_own(path, Cells.of(info_of(EVENTS["symbols"])))
