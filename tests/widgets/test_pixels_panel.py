"""The pixels panel: what is asked and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QImage, QKeyEvent
from pytestqt.qtbot import QtBot

from engine.wire.event import Event
from tests.widgets import pixel_fakes
from tests.widgets.fakes import resize
from tests.widgets.pixel_runs import EVENTS, info_of, pieces, serve, spot
from widgets.look import LIGHT, Look
from widgets.panel import Panel, Pointed
from widgets.panels.pixels import MODES, PixelsPanel

Show = Callable[[type[Panel]], Any]


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


# --- the panel -------------------------------------------------------------------------------


def test_it_refuses_what_has_no_order() -> None:
    from tests.widgets.fakes import model_card

    assert "conditionals in an order" in PixelsPanel.refusal(model_card("gan"))
    assert PixelsPanel.refusal(model_card("nade")) == ""


def test_modes_are_in_the_looks_colours_from_the_start(panel: PixelsPanel) -> None:
    muted = panel.look.palette.muted
    errors, inpaint, orders = (panel.modes[name] for name in ("errors", "inpaint", "orders"))
    for part in (errors.families.table, inpaint.words, orders.table):  # type: ignore[attr-defined]
        assert muted in part.styleSheet()


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
    assert inpaint.words.text() == ""
    assert "completions" not in panel.asks(rest=True)
    assert inpaint.wall.count == 0


def test_on_paper_the_whole_picture_is_there(qtbot: QtBot, look: Look) -> None:
    panel = PixelsPanel(look)
    qtbot.addWidget(panel)
    panel.resize(700, 500)
    panel.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    panel.show()
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    grow: Any = panel.modes["grow"]
    assert not grow.clock.is_playing
    assert grow.clock.place == 64
    assert grow.transport.label.text().startswith("64 / 64")


def test_an_order_agnostic_model_shows_what_conditioning_on_all_is_worth(
    panel: PixelsPanel,
) -> None:
    info = info_of(model="nade", order_agnostic=True)
    card = msgspec.structs.replace(info.card, features=("any_order",))
    info = msgspec.structs.replace(info, card=card)
    panel.open_run(info)
    panel.set_mode("inpaint")
    inpaint: Any = panel.modes["inpaint"]
    asked = serve(panel, info)
    assert "Occlude the upper half to see a difference" in inpaint.words.text()
    inpaint.painter.occlude("upper")
    asked = serve(panel, info)
    assert (asked["completions"].arguments["own_order"], asked["kept"].arguments["own_order"]) == (
        False,
        True,
    )
    assert inpaint.wall.count == inpaint.beside.count == 10
    assert not inpaint.beside.isHidden()
    words = inpaint.words.text()
    assert "given all 32 known values" in words
    assert "32 known values come later, are kept, and were not conditioned on" in words
    assert "−2.0 ± 0.2 nats and −5.0 ± 0.2 nats" in words
    inpaint._on_part("given", "earlier")
    asked = serve(panel, info)
    assert "kept" not in asked
    assert asked["completions"].arguments["own_order"] is True
    assert inpaint.beside.isHidden()
    assert "Choose “given all” to condition on them" in inpaint.words.text()
    panel.open_run(info_of())
    serve(panel, info_of())
    assert inpaint.beside.isHidden()


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
