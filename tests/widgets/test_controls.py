"""Forms, transport, pickers, palette, equation and inspector, used as a person would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QMainWindow
from pytestqt.qtbot import QtBot

from engine.wire.capability import Capability
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field, field_specs
from engine.wire.messages import RunState
from tests.widgets.fakes import EQUATION, MODELS, model_card, run_info
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.command_palette import CommandPalette, match
from widgets.controls.editors import SPIN_LEAST, NumberEditor, OptionalEditor, PathEditor
from widgets.controls.equation import EquationView
from widgets.controls.form import AT_ONCE, RESTARTS, ConfigForm, plain_symbol
from widgets.controls.icons import ICONS, pixmap
from widgets.controls.pickers import DatasetPicker, ModelPicker, preview
from widgets.controls.status import StatusLine
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.controls.transport import PACES, SLOW_PACE, TransportBar
from widgets.controls.typesetting import (
    WIDEST_EM,
    Job,
    Typesetter,
    set_lines,
    split_parts,
    split_pieces,
)
from widgets.inspector import NO_POINTER, Inspector, capability_chips, facts_of
from widgets.look import LIGHT, Look
from widgets.panel import Pointed


@dataclass(frozen=True)
class Config:
    n_layers: Annotated[int, Field(1, 16, help="Coupling layers.", symbol="L")] = 8
    hidden_features: Annotated[tuple[int, ...], Field(1, 512, help="Widths.")] = (64, 64)
    learning_rate: Annotated[
        float, Field(1e-6, 0.1, scale="log", help="Step size.", symbol=r"\eta", live=True)
    ] = 1e-3
    activation: Annotated[str, Field(choices=("relu", "silu"), help="Nonlinearity.")] = "silu"
    batch_norm: Annotated[bool, Field(help="Normalise.")] = False
    levels: Annotated[int | None, Field(2, 256, help="Grey levels.")] = None
    path: Annotated[str, "path", Field(help="A file.")] = ""
    n: Annotated[int, Field(1, None, help="Sample size.")] = 2000


def shown(widget: Any, qtbot: QtBot, width: int = 320, height: int = 480) -> Any:
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


@pytest.fixture
def form(qtbot: QtBot, look: Look) -> Any:
    form = ConfigForm(look)
    form.set_fields(field_specs(Config))
    return shown(form, qtbot)


# --- form -------------------------------------------------------------------------------------


def test_form_starts_with_the_defaults(form: Any) -> None:
    assert form.values() == {spec.name: spec.default for spec in field_specs(Config)}


def test_typing_widths(form: Any, qtbot: QtBot) -> None:
    line = form.editor("hidden_features").line
    line.clear()
    qtbot.keyClicks(line, "128, 32")
    with qtbot.waitSignal(form.edited) as caught:
        qtbot.keyClick(line, Qt.Key.Key_Return)
    assert caught.args == [{"hidden_features": [128, 32]}]


@pytest.mark.parametrize("text", ["64, x", "0", "64, 1000", ""])
def test_invalid_text_is_explained_and_not_used(form: Any, qtbot: QtBot, text: str) -> None:
    line = form.editor("hidden_features").line
    with qtbot.assertNotEmitted(form.edited):
        line.selectAll()
        qtbot.keyClick(line, Qt.Key.Key_Delete)
        qtbot.keyClicks(line, text)
        qtbot.keyClick(line, Qt.Key.Key_Return)
    assert "hidden_features: given" in form.problems["hidden_features"]
    assert "wanted" in form.problems["hidden_features"]
    assert form.values()["hidden_features"] == [64, 64]


def test_spin_box_takes_powers(form: Any, qtbot: QtBot) -> None:
    spin = form.editor("learning_rate").spin
    spin.selectAll()
    qtbot.keyClicks(spin, "3e-4")
    with qtbot.waitSignal(form.edited) as caught:
        qtbot.keyClick(spin, Qt.Key.Key_Return)
    assert caught.args == [{"learning_rate": 3e-4}]


def test_log_slider_and_spin_agree(form: Any, qtbot: QtBot) -> None:
    editor = form.editor("learning_rate")
    with qtbot.waitSignal(form.edited):
        editor.slider.setValue(500)
    assert editor.value == pytest.approx(np.sqrt(1e-6 * 0.1), rel=0.05)
    editor.set_value(0.1)
    assert editor.slider.value() == editor.slider.maximum()


def test_switch_and_choice(form: Any, qtbot: QtBot) -> None:
    with qtbot.waitSignal(form.edited) as caught:
        qtbot.mouseClick(form.editor("batch_norm").box, Qt.MouseButton.LeftButton)
    assert caught.args == [{"batch_norm": True}]
    form.set_values({"activation": "relu"})
    assert form.values()["activation"] == "relu"


def test_optional_number(form: Any, qtbot: QtBot) -> None:
    editor = form.editor("levels")
    assert isinstance(editor, OptionalEditor)
    with qtbot.waitSignal(form.edited) as caught:
        qtbot.mouseClick(editor.box, Qt.MouseButton.LeftButton)
    assert caught.args == [{"levels": 2}]


def test_path_is_taken(form: Any, qtbot: QtBot) -> None:
    editor = form.editor("path")
    assert isinstance(editor, PathEditor)
    with qtbot.waitSignal(form.edited) as caught:
        editor.take("points.csv")
    assert caught.args == [{"path": "points.csv"}]


def test_values_set_from_outside_are_no_edit(form: Any, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(form.edited):
        form.set_values({"n_layers": 3, "learning_rate": 0.01, "batch_norm": True, "levels": 17,
                         "hidden_features": [8], "n": 7, "unknown": 1})  # fmt: skip
    assert form.values()["n_layers"] == 3
    assert form.values()["levels"] == 17


def test_labels_lead_to_their_editors(form: Any) -> None:
    labels = [w for w in form._widgets if hasattr(w, "buddy") and w.buddy()]
    assert len(labels) == len(field_specs(Config))
    tips = {label.text(): label.toolTip() for label in labels}
    assert AT_ONCE in tips["learning rate"]
    assert "(η)" in tips["learning rate"]
    assert RESTARTS in tips["n layers"]
    assert "from 1 to 16" in tips["n layers"]


def test_a_new_look_keeps_the_values(form: Any, look: Look) -> None:
    form.set_values({"n_layers": 5})
    look.set(palette=LIGHT, scale=1.5)
    assert form.values()["n_layers"] == 5


def test_other_fields_replace_the_rows(form: Any) -> None:
    form.set_fields(field_specs(Config)[:2])
    assert list(form.values()) == ["n_layers", "hidden_features"]


@given(st.floats(0, 1))
def test_slider_places_and_values_are_inverse(share: float) -> None:
    editor = NumberEditor.__new__(NumberEditor)
    editor._low, editor._high, editor._log, editor.whole = 1e-5, 10.0, True, False
    assert editor._share(editor._at(share)) == pytest.approx(share, abs=0.005)


def test_symbols_in_tooltips() -> None:
    assert plain_symbol(r"\lambda_{\mathrm{GP}}") == "λ_GP"


@pytest.mark.parametrize(("scale", "most"), [(1.0, 250), (1.3, 300), (1.5, 210), (2.0, 210)])
def test_the_form_fits_a_narrow_column(scale: float, most: int, qtbot: QtBot, look: Look) -> None:
    look.set(scale=scale)
    form = ConfigForm(look)
    form.set_fields(field_specs(Config))
    shown(form, qtbot)
    assert form.minimumSizeHint().width() <= most * scale
    form.resize(form.minimumSizeHint().width(), 700)
    spin = form.editor("levels").inner.spin
    assert spin.width() >= look.px(SPIN_LEAST)


def test_names_stand_above_their_editors_at_large_scales(
    form: Any, look: Look, qtbot: QtBot
) -> None:
    def places() -> tuple[Any, Any]:
        label = next(w for w in form._widgets if getattr(w, "text", str)() == "n layers")
        return label.geometry(), form.editor("n_layers").geometry()

    label, editor = places()
    assert editor.left() >= label.right()
    look.set(scale=2.0)
    qtbot.waitUntil(lambda: places()[1].top() >= places()[0].bottom())
    label, editor = places()
    assert editor.left() == label.left() == 0
    assert editor.width() == form.width()


def test_a_slider_too_short_to_aim_at_is_hidden(form: Any, qtbot: QtBot) -> None:
    editor = form.editor("n_layers")
    editor.resize(SPIN_LEAST, 24)
    assert editor.slider.isHidden()
    editor.resize(220, 24)
    assert not editor.slider.isHidden()


# --- transport --------------------------------------------------------------------------------


@pytest.fixture
def bar(qtbot: QtBot, look: Look) -> Any:
    bar = TransportBar(look)
    bar.set_state(RunState("r", "paused", 1000, stored=(0, 100, 300, 1000)))
    return shown(bar, qtbot, 900, 40)


@pytest.mark.parametrize(("button", "signal", "arguments"), [
    ("play", "play_toggled", [True]),
    ("step", "step_requested", [1]),
    ("back", "step_requested", [-1]),
    ("reset", "reset_requested", []),
    ("slow", "pace_changed", [SLOW_PACE]),
])  # fmt: skip
def test_buttons(bar: Any, qtbot: QtBot, button: str, signal: str, arguments: list[Any]) -> None:
    with qtbot.waitSignal(getattr(bar, signal)) as caught:
        qtbot.mouseClick(bar.buttons[button], Qt.MouseButton.LeftButton)
    assert caught.args == arguments


def test_play_becomes_pause(bar: Any, qtbot: QtBot) -> None:
    bar.set_state(RunState("r", "training", 1001))
    assert bar.buttons["play"].accessibleName() == "Pause"
    with qtbot.waitSignal(bar.play_toggled) as caught:
        bar.buttons["play"].click()
    assert caught.args == [False]


def test_speed_and_slow_motion(bar: Any, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bar.pace_changed) as caught:
        bar.nudge_pace(-1)
    assert caught.args == [PACES[-2]]
    bar.toggle_slow()
    assert bar.speed_label.text() == "4 steps/s"
    with qtbot.waitSignal(bar.pace_changed) as caught:
        bar.nudge_pace(1)
    assert caught.args == [None]
    assert not bar.buttons["slow"].isChecked()


def test_dragging_picks_stored_steps(bar: Any, qtbot: QtBot) -> None:
    line = bar.timeline
    place = line.rect().center()
    place.setX(round(line.place_of(290)))
    with qtbot.waitSignal(bar.cursor_changed) as caught:
        qtbot.mouseClick(line, Qt.MouseButton.LeftButton, pos=place)
    assert caught.args == [300]
    assert not bar.live.isChecked()
    assert bar.step_label.text() == "step 300"
    with qtbot.waitSignal(bar.cursor_changed) as caught:
        qtbot.mouseClick(bar.live, Qt.MouseButton.LeftButton)
    assert caught.args == [None]


def test_timeline_by_keyboard(bar: Any, qtbot: QtBot) -> None:
    bar.timeline.setFocus()
    with qtbot.waitSignal(bar.cursor_changed) as caught:
        qtbot.keyClick(bar.timeline, Qt.Key.Key_PageDown)
    assert caught.args == [1000]
    with qtbot.waitSignal(bar.cursor_changed) as caught:
        qtbot.keyClick(bar.timeline, Qt.Key.Key_PageDown)
    assert caught.args == [300]


def test_cursor_from_outside_is_shown_silently(bar: Any, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(bar.cursor_changed):
        bar.set_cursor(100)
    assert bar.step_label.text() == "step 100"


def test_no_stored_steps(qtbot: QtBot, look: Look) -> None:
    bar = shown(TransportBar(look), qtbot, 900, 40)
    assert not bar.isEnabled()
    assert bar.timeline.step_at(50.0) is None


@pytest.mark.parametrize("name", ICONS)
def test_icons_have_ink(name: str, qapp: object) -> None:
    picture = pixmap(name, "#ff0000", 24).toImage().convertToFormat(QImage.Format.Format_ARGB32)
    pixels = np.frombuffer(picture.constBits(), np.uint8).reshape(48, 48, 4)
    assert 0.02 < (pixels[..., 3] > 0).mean() < 0.7


# --- palette ----------------------------------------------------------------------------------

COMMANDS = [
    ("run.play", "Play or pause", "Space", True, ""),
    ("run.reset", "Reset", "Ctrl+R", True, ""),
    ("view.panel_path", "Panel: Flow path", "", False, "needs invertible layers"),
    ("file.save", "Save the run", "Ctrl+S", True, ""),
]


@pytest.fixture
def palette(qtbot: QtBot, look: Look) -> Any:
    window = QMainWindow()
    shown(window, qtbot, 700, 500)
    palette = CommandPalette(look, window)
    palette.open(COMMANDS)
    yield palette
    window.close()


def test_palette_finds_by_letters(palette: Any, qtbot: QtBot) -> None:
    assert len(palette.shown_ids()) == 4
    qtbot.keyClicks(palette.line, "rst")
    assert palette.shown_ids() == ("run.reset",)
    with qtbot.waitSignal(palette.chosen) as caught:
        qtbot.keyClick(palette.line, Qt.Key.Key_Return)
    assert caught.args == ["run.reset"]
    assert not palette.isVisible()


def test_palette_moves_with_arrows(palette: Any, qtbot: QtBot) -> None:
    second = palette.shown_ids()[1]
    qtbot.keyClick(palette.line, Qt.Key.Key_Down)
    with qtbot.waitSignal(palette.chosen) as caught:
        qtbot.keyClick(palette.line, Qt.Key.Key_Return)
    assert caught.args == [second]


def test_palette_refuses_what_cannot_be_done(palette: Any, qtbot: QtBot) -> None:
    qtbot.keyClicks(palette.line, "flow")
    assert palette.shown_ids() == ("view.panel_path",)
    with qtbot.assertNotEmitted(palette.chosen):
        qtbot.keyClick(palette.line, Qt.Key.Key_Return)
    assert palette.list.item(0).toolTip() == "needs invertible layers"


def test_palette_closes_with_escape(palette: Any, qtbot: QtBot) -> None:
    qtbot.keyClick(palette.line, Qt.Key.Key_Escape)
    assert not palette.isVisible()


def test_matching_prefers_runs_of_letters() -> None:
    good, poor = match("pa", "Panel"), match("pa", "Step back")
    assert good is not None
    assert poor is not None
    assert good > poor
    assert match("xyz", "Panel") is None
    assert match("", "Panel") is not None


# --- pickers ----------------------------------------------------------------------------------


def test_models_by_family_with_year(qtbot: QtBot, look: Look) -> None:
    picker = shown(ModelPicker(look), qtbot)
    picker.set_cards([model_card(name) for name in MODELS])
    texts = [picker.itemText(row) for row in range(picker.count())]
    assert texts[:2] == ["FLOWS", "RealNVP  ·  2017"]
    picker.set_refused({"gan": "needs continuous data"})
    row = picker.findData("gan", Qt.ItemDataRole.UserRole)
    assert not picker.model().item(row).isEnabled()
    assert picker.itemData(row, Qt.ItemDataRole.ToolTipRole) == "needs continuous data"
    picker.set_current("vae")
    assert picker.current == "vae"
    with qtbot.waitSignal(picker.picked) as caught:
        picker.activated.emit(picker.findData("ebm", Qt.ItemDataRole.UserRole))
    assert caught.args == ["ebm"]


def test_datasets_with_previews(qtbot: QtBot, look: Look) -> None:
    picker = shown(DatasetPicker(look), qtbot)
    cards = [DatasetCard("a", "A", "first", "1-D"), DatasetCard("b", "B", "second", "pictures")]
    picker.set_cards(cards)
    picker.set_preview("a", np.random.default_rng(0).normal(size=(50, 1)))
    assert picker.current == "a"
    row = picker.findData("b", Qt.ItemDataRole.UserRole)
    assert not picker.itemIcon(row).isNull()


@pytest.mark.parametrize("sample", [
    np.zeros((0, 2)), np.full((3, 2), np.nan), np.ones((1, 1)), np.eye(8), np.zeros((5, 2)),
], ids=["none", "NaN", "one", "picture", "constant"])  # fmt: skip
def test_previews_of_anything(sample: Any, look: Look) -> None:
    assert preview(sample, look, 20).width() == 20


# --- equation, chips, inspector ---------------------------------------------------------------


def test_equation_is_typeset(qtbot: QtBot, look: Look) -> None:
    view = shown(EquationView(look), qtbot, 400, 60)
    view.set_equation(EQUATION)
    qtbot.waitUntil(lambda: view.is_typeset)
    picture = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), -1)
    assert 0.005 < (pixels != pixels[0, 0]).mean() < 0.5
    assert view.heightForWidth(40) < view.heightForWidth(400)


def test_a_broken_equation_is_shown_as_text(
    qtbot: QtBot, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ziamath

    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such command")

    monkeypatch.setattr(ziamath, "Latex", fail)
    view = shown(EquationView(look), qtbot, 400, 60)
    view.set_equation(r"\nonsense{x}")
    qtbot.waitUntil(lambda: view._is_text)
    assert not view.is_typeset
    assert not view.grab().isNull()


def test_equations_are_typeset_once(qtbot: QtBot) -> None:
    setter, job = Typesetter(), Job("x^2", "#ffffff", 15.0)
    assert setter.find(job) is None
    qtbot.waitUntil(lambda: setter.find(job) is not None)
    assert setter.find(job) is setter.find(job)


def test_long_equations_are_broken() -> None:
    tail = r" + \sum_i \log \sigma_i(x_{a}) - \frac{1}{2}(a+b)"
    job = Job(r"y_a = x_a, \quad " + EQUATION + tail, "#ffffff", 15.0)
    lines = set_lines(job)
    assert len(lines) > 2
    assert max(line.width for line in lines) <= 1.1 * WIDEST_EM * 15.0


def test_breaks_only_outside_brackets() -> None:
    assert split_pieces(r"a = -b + \frac{c - d}{2} - \left(e + f\right)") == [
        "a", "= -b", r"+ \frac{c - d}{2}", r"- \left(e + f\right)",
    ]  # fmt: skip
    assert split_parts(r"a = b,\quad c = d") == ["a = b", "c = d"]


def test_chips_wrap_or_hide(look: Look, qapp: object) -> None:
    chips = tuple(Chip(f"capability {i}", framed=True) for i in range(6))
    wrapping, single = ChipRow(look, wrap=True), ChipRow(look)
    for row in (wrapping, single):
        row.set_chips(chips)
    assert len(wrapping.place(200)[0]) == 6
    assert wrapping.heightForWidth(200) > wrapping.heightForWidth(900)
    placed, _ = single.place(200)
    assert placed[-1][1].text == "…"
    assert "capability 5" in placed[-1][1].tooltip


def test_capabilities_grey_out_with_reason() -> None:
    chips = {chip.text: chip for chip in capability_chips(model_card("gan"))}
    assert len(chips) == len(Capability)
    assert not chips["critic"].dim
    assert chips["log prob"].dim
    assert "deterministic map of noise" in chips["log prob"].tooltip


def test_inspector_describes_the_run(qtbot: QtBot, look: Look) -> None:
    inspector = shown(Inspector(look), qtbot)
    assert "No run is open" in inspector.title.text()
    inspector.show_run(run_info(notes=("3 rows were dropped",)))
    assert "RealNVP" in inspector.title.text()
    assert "Dinh" in inspector.origin.text()
    for text in ("12 345", "1.698 nats", "3 rows were dropped"):
        assert text in inspector.facts.text()
    assert NO_POINTER in inspector.rows.text()
    inspector.show_pointed(Pointed("log p(x) = −1.5 nats", (("base", "−2"),)))
    assert "−1.5 nats" in inspector.heading.text()
    inspector.show_pointed(None)
    assert "base" in inspector.rows.text()
    inspector.show_run(None)
    assert not inspector.equation.isVisible()


def test_facts_without_entropy() -> None:
    names = [name for name, _ in facts_of(run_info(shape=(1, 8, 8)))]
    assert "entropy of the truth" not in names


def test_status_line(qtbot: QtBot, look: Look) -> None:
    status = shown(StatusLine(look), qtbot, 400, 30)
    status.set_device("cpu")
    status.set_rate(1234.4)
    status.set_frames(11.7, 8.4)
    assert status.rate.text() == "1 234 steps/s"
    assert status.frames.text() == "12 pictures/s · 8 ms"
    status.set_rate(0.0)
    assert status.rate.text() == ""


def test_tool_row_says_why_a_switch_is_grey(qtbot: QtBot, look: Look) -> None:
    row = shown(ToolRow(look), qtbot, 400, 40)
    row.add_toggle(Toggle("truth", "truth", "The truth", "truth", on=True))
    assert row.is_on("truth")
    row.set_usable("truth", False, "unknown for these data")
    assert not row.is_on("truth")
    assert row.is_checked("truth")
    assert "unknown for these data" in row._toggles["truth"][1].toolTip()
