"""The pixels panel: films, the local time, masks, what is asked and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QKeyEvent
from pytestqt.qtbot import QtBot

from engine.wire.event import Event
from engine.wire.fields import Field, FieldSpec, Value
from engine.wire.messages import Answer, RunInfo, Slot
from tests.widgets import pixel_fakes
from tests.widgets.fakes import FakeEngine, resize, run_info, shown
from widgets.controls.mask_painter import HALVES, MaskPainter, part_of
from widgets.controls.segments import Segments
from widgets.look import LIGHT, Look
from widgets.panel import Panel, Pointed
from widgets.panels.pixels import MODES, PixelsPanel
from widgets.pixels.canvas import PixelCanvas, overlay
from widgets.pixels.cells import Cells, packed_colour
from widgets.pixels.clock import Clock
from widgets.pixels.film import Film, Reel
from widgets.pixels.level_bars import LevelBars
from widgets.pixels.picker import read_own

Show = Callable[[type[Panel]], Any]
DIGITS = Event((1, 8, 8), ("channel", "row", "column"), "integer", 17)
EVENTS = {
    "digits": DIGITS,
    "binary": Event((1, 6, 5), ("channel", "row", "column"), "binary", 2),
    "colour": Event((3, 4, 5), ("channel", "row", "column"), "integer", 256),
    "real": Event((1, 5, 5), ("channel", "row", "column")),
    "vector": Event((2,), ("x", "y")),
    "symbols": Event((40,), ("place",), "integer", 3, "abc"),
}
LABELS = tuple("0123456789")


def info_of(event: Event = DIGITS, model: str = "gated_pixelcnn", **config: Any) -> RunInfo:
    """A run on these events; ``config`` are settings of the model's."""
    info = run_info(model, event.shape, labels=LABELS)  # type: ignore[arg-type]
    fields = tuple(FieldSpec(name, "bool", False, Field()) for name in config)
    return msgspec.structs.replace(
        info,
        data=msgspec.structs.replace(info.data, event=event),
        card=msgspec.structs.replace(info.card, fields=fields),
        spec=msgspec.structs.replace(info.spec, model_config=config),
    )


def answer(info: RunInfo, found: Any, *, step: int = 100, final: bool = True) -> Answer:
    arrays, values = found
    return Answer(Slot("pixels", info.run, "samples"), 1, step, arrays, values, final)


def wanted(n: int = 3, seed: int = 0) -> dict[str, Any]:
    return {"n": n, "seed": seed, "temperature": 1.0, "top_p": 1.0}


def pieces(info: RunInfo, size: int, *, step: int = 100, seed: int = 0) -> list[Answer]:
    total = info.data.event.size
    cuts = [(start, min(start + size, total)) for start in range(0, total, size)]
    return [
        answer(info, pixel_fakes.piece(info, wanted(seed=seed), *cut), step=step,
               final=cut[1] == total)
        for cut in cuts
    ]  # fmt: skip


class Engine(FakeEngine):
    """Data of the run's own shape."""

    def _data_examples(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        n, shape = int(wanted["n"]), self.info.data.event.shape
        drawn = pixel_fakes.draws(self.info, n, 7).astype(np.float32)
        return {
            "examples": drawn.reshape(n, *shape),
            "labels": np.arange(n, dtype=np.int32) % 10,
        }, {}


def serve(panel: PixelsPanel, info: RunInfo, rounds: int = 3) -> dict[str, Any]:
    """Answer until nothing new is asked, as the asker would."""
    asked: dict[str, Any] = {}
    for _ in range(rounds):
        asked = Engine(info).serve(panel)
    return asked


@pytest.fixture
def panel(show_panel: Show) -> PixelsPanel:
    made: PixelsPanel = show_panel(PixelsPanel)
    return made


def press(widget: Any, key: Qt.Key) -> bool:
    """Whether a key was wanted, and press it."""
    override = QKeyEvent(QEvent.Type.ShortcutOverride, key, Qt.KeyboardModifier.NoModifier)
    override.ignore()
    widget.event(override)
    widget.keyPressEvent(QKeyEvent(QEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier))
    return override.isAccepted()


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


def spot(canvas: PixelCanvas, row: int, column: int) -> QPoint:
    return canvas.rect_of(row, column).center().toPoint()


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


# --- the panel -------------------------------------------------------------------------------


def test_it_refuses_what_has_no_order() -> None:
    from tests.widgets.fakes import model_card

    assert "conditionals in an order" in PixelsPanel.refusal(model_card("gan"))
    assert PixelsPanel.refusal(model_card("nade")) == ""


def test_before_a_run_it_says_what_to_do(panel: PixelsPanel) -> None:
    assert "Gated PixelCNN" in panel.empty.text
    assert panel.asks(rest=True) == {}
    assert not panel.chips.chips


@pytest.mark.parametrize("mode", [name for name, _, _ in MODES])
@pytest.mark.parametrize("event", EVENTS)
def test_every_mode_draws_every_kind_of_event(
    event: str, mode: str, panel: PixelsPanel, qtbot: QtBot
) -> None:
    info = info_of(EVENTS[event])
    panel.open_run(info)
    panel.set_mode(mode)
    serve(panel, info)
    for size in ((360, 560), (720, 330), (1300, 800)):
        resize(panel, *size)
        assert not panel.grab().isNull()
    panel.look.set(palette=LIGHT, scale=1.5)
    assert panel.banner.text == ""
    assert panel.chips.chips
    panel.open_run(None)
    assert panel.asks(rest=True) == {}


def test_a_film_is_asked_as_a_stream_and_the_window_animates_it(panel: PixelsPanel) -> None:
    info = info_of()
    panel.open_run(info)
    question = panel.asks(rest=True)["samples"]
    assert question.probe == "pixel_stream"
    assert question.stream
    parts = pieces(info, 16)
    for part in parts[:2]:
        panel.show_answer("samples", part)
    grow: Any = panel.modes["grow"]
    assert grow.clock.is_playing
    grow.clock.advance(1000.0)
    assert grow.clock.place == 32
    for part in parts[2:]:
        panel.show_answer("samples", part)
    grow.clock.go(64)
    values = pixel_fakes.draws(info, 3, 0)
    shades = grow.wall.pixels[:, :, :] & 0xFF
    np.testing.assert_array_equal(shades.reshape(3, 64), (values / 16.0 * 255).astype(np.uint8))


def test_the_conditional_of_what_was_drawn_is_shown_and_stepping_back_undraws(
    panel: PixelsPanel,
) -> None:
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    grow: Any = panel.modes["grow"]
    grow.clock.pause()
    grow.clock.go(20)
    np.testing.assert_array_equal(grow.bars.heights, pixel_fakes.conditional(info, 19))
    film = panel.desk.film
    assert film is not None
    assert grow.bars.value == film.values[0, 19]
    before = grow.wall.pixels.copy()
    grow.clock.step(1)
    grow.clock.step(-1)
    np.testing.assert_array_equal(grow.wall.pixels, before)
    assert "log p of its 20 values −5.00 nats, exact" in panel.chips.accessibleName()
    grow.clock.go(0)
    assert grow.bars.value is None


def test_keys_of_the_local_time_only_with_a_run(panel: PixelsPanel) -> None:
    assert not press(panel, Qt.Key.Key_Space)
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    clock = panel.modes["grow"].clock  # type: ignore[attr-defined]
    clock.pause()
    clock.go(10)
    for key, place in (
        (Qt.Key.Key_Right, 11), (Qt.Key.Key_Left, 10), (Qt.Key.Key_PageDown, 18),
        (Qt.Key.Key_PageUp, 10), (Qt.Key.Key_End, 64), (Qt.Key.Key_Home, 0),
    ):  # fmt: skip
        assert press(panel, key)
        assert clock.place == place
    press(panel, Qt.Key.Key_Space)
    assert clock.is_playing
    press(panel, Qt.Key.Key_Space)
    assert not clock.is_playing
    pace = clock.pace
    press(panel, Qt.Key.Key_BracketRight)
    assert clock.pace > pace
    press(panel, Qt.Key.Key_S)
    assert clock.pace == 2.0
    assert not press(panel, Qt.Key.Key_F5)


def test_settings_go_into_the_question(panel: PixelsPanel) -> None:
    panel.open_run(info_of(class_conditional=True))
    panel.desk.set(temperature=0.7, top_p=0.9, n=64, seed=5, label=3)
    given = panel.asks(rest=True)["samples"].arguments
    assert (given["temperature"], given["top_p"], given["n"]) == (0.7, 0.9, 64)
    assert (given["seed"], given["label"], given["order"]) == (5, 3, "")
    state = panel.save_state()
    panel.open_run(info_of(EVENTS["binary"]))
    assert panel.asks(rest=True)["samples"].arguments["label"] == -1
    panel.open_run(info_of(model="nade", order_agnostic=True))
    panel.restore_state(state | {"order": "spiral", "mode": "errors", "n": "many"})
    assert panel.switch.current == "errors"
    assert panel.desk.n == 64
    panel.set_mode("grow")
    assert panel.asks(rest=True)["samples"].arguments["order"] == "spiral"


def test_while_a_run_trains_samples_are_drawn_anew_only_now_and_then(panel: PixelsPanel) -> None:
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    assert not panel.asks(rest=False)["samples"].live
    assert panel.asks(rest=True)["samples"].live
    panel.show_cursor(40)
    assert panel.asks(rest=False)["samples"].live


def test_what_is_not_seen_is_counted_and_told_of(panel: PixelsPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("sees")
    sees: Any = panel.modes["sees"]
    told: list[Pointed | None] = []
    panel.pointed.connect(told.append)
    serve(panel, info)
    sees.canvas.chosen.emit(20)
    serve(panel, info)
    words = panel.chips.accessibleName()
    assert "sees 10 of 20 earlier values, exact" in words
    assert "blind to 10" in words
    sees.canvas.hovered.emit(3)
    assert told[-1] is not None
    assert ("influence", "exactly 0") in told[-1].rows
    sees.canvas.hovered.emit(30)
    assert ("in the order", "later: not allowed to count") in told[-1].rows


def test_attention_is_asked_of_a_transformer_alone(panel: PixelsPanel) -> None:
    info = info_of(model="transformer")
    panel.open_run(info)
    panel.set_mode("sees")
    asked = serve(panel, info)
    assert "attention" in asked
    assert panel.modes["sees"].heads.count == 6  # type: ignore[attr-defined]
    other = info_of()
    panel.open_run(other)
    assert "attention" not in serve(panel, other)


def test_completions_keep_what_is_known_and_the_sentence_is_honest(
    panel: PixelsPanel, qtbot: QtBot
) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("inpaint")
    asked = serve(panel, info)
    mask = asked["completions"].arrays["mask"]
    assert mask.reshape(8, 8)[:4].all()
    assert not mask.reshape(8, 8)[4:].any()
    inpaint: Any = panel.modes["inpaint"]
    assert "exact conditional draws" in panel.chips.accessibleName()
    kept = inpaint.wall.pixels[:, :4]
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[0], kept.shape))
    inpaint.painter.occlude("upper")
    serve(panel, info)
    assert "32 kept, not conditioned on" in panel.chips.accessibleName()
    assert "NADE or MADE" in inpaint.words.text()
    inpaint.painter.occlude("")
    assert "completions" not in panel.asks(rest=True)
    assert inpaint.wall.count == 0


def test_what_if_marks_what_changed_and_the_bars_choose(panel: PixelsPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("what_if")
    serve(panel, info)
    mode: Any = panel.modes["what_if"]
    mode.canvas.chosen.emit(30)
    mode.bars.picked.emit(5.0)
    question = serve(panel, info)["futures"]
    assert (question.arguments["index"], question.arguments["value"]) == (30, 5.0)
    assert question.arguments["common"]
    assert "30 earlier values stay" in panel.chips.accessibleName()
    marks = mode.wall._marks.reshape(-1, 64)
    assert marks[:, 30].any()
    assert not marks[:, :30].any()
    mode.slider.setValue(7)
    assert panel.asks(rest=True)["futures"].arguments["value"] == 7.0


def test_losses_carry_their_errors_and_the_way_of_training(panel: PixelsPanel) -> None:
    info = info_of(scheduled_sampling="linear")
    panel.open_run(info)
    panel.set_mode("errors")
    serve(panel, info)
    words = panel.chips.accessibleName()
    assert "data, teacher forcing: 19.20 ± 0.50 nats" in words
    assert "own samples, free running: 12.80 ± 0.50 nats" in words
    assert "trained by scheduled sampling, linear" in words


def test_a_density_is_not_called_the_best_family(panel: PixelsPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("errors")
    mode: Any = panel.modes["errors"]
    mode.switch.buttons["families"].click()
    serve(panel, info)
    table = mode.families.table
    assert table.item(0, 0).foreground().color().name() == panel.look.palette.good
    assert table.item(2, 2).text() == "−0.400 (density)"
    assert "least possible 1.000 nats, exact" in panel.chips.accessibleName()


def test_an_own_picture_can_be_completed(panel: PixelsPanel, tmp_path: Path) -> None:
    info = info_of()
    panel.open_run(info)
    image = QImage(16, 16, QImage.Format.Format_Grayscale8)
    image.fill(255)
    path = str(tmp_path / "own.png")
    assert image.save(path)
    panel.open_picture(path)
    assert panel.switch.current == "inpaint"
    known = serve(panel, info)["completions"].arrays["known"]
    assert set(np.asarray(known)) == {16.0}
    panel.open_picture(str(tmp_path / "no.png"))
    assert "could not be read" in panel.banner.text


def test_events_that_are_too_large_are_refused_with_a_sentence(panel: PixelsPanel) -> None:
    panel.open_run(info_of(Event((3, 64, 64), ("channel", "row", "column"), "integer", 256)))
    assert "12,288 values" in panel.empty.text
    assert panel.asks(rest=True) == {}


def test_pointing_at_a_value_not_drawn_yet(panel: PixelsPanel) -> None:
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    grow: Any = panel.modes["grow"]
    told: list[Pointed] = []
    panel.pointed.connect(told.append)
    grow.clock.pause()
    grow.clock.go(5)
    canvas = grow.canvas
    canvas.hovered.emit(canvas.index_at(QPointF(spot(canvas, 7, 7))))
    assert told[-1].heading == "Not drawn yet"
    canvas.hovered.emit(2)
    assert ("surprise −ln p", "0.25 nats") in told[-1].rows
