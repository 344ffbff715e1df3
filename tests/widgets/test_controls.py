"""Transport, pickers, palette, equation and inspector, used as a person would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QMainWindow
from pytestqt.qtbot import QtBot

from engine.wire.capability import Capability
from engine.wire.cards import DatasetCard
from engine.wire.messages import RunState
from tests.widgets.fakes import EQUATION, MODELS, model_card, run_info, shown
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.command_palette import CommandPalette, match
from widgets.controls.equation import EquationView
from widgets.controls.icons import ICONS, pixmap
from widgets.controls.pickers import DatasetPicker, ModelPicker, preview
from widgets.controls.status import StatusLine
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.controls.transport import PACES, SLOW_PACE, TransportBar
from widgets.controls.typesetting import (
    SHORT_EM,
    WIDEST_EM,
    Job,
    Typesetter,
    set_lines,
    split_parts,
    split_pieces,
)
from widgets.inspector import NO_POINTER, Inspector, capability_chips, facts_of
from widgets.look import Look
from widgets.panel import Pointed

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
    assert texts[:3] == ["FLOWS", "Neural ODE / CNF  ·  2017", "RealNVP  ·  2017"]
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


@pytest.mark.parametrize(
    "latex",
    [
        r"y=\tanh(W_f*x+V_f^{\top}h)\odot\sigma(W_g*x+V_g^{\top}h)",
        r"p(x)=\prod_{i=1}^{n^2}p(x_{i,R}\mid x_{<i})\,p(x_{i,G}\mid x_{<i},x_{i,R})\,"
        r"p(x_{i,B}\mid x_{<i},x_{i,R},x_{i,G})",
        r"p(x)=\prod_{i=1}^{s^2}p(x^{s}_i\mid x^{s}_{<i})\prod_{j\notin s}p(x_j\mid x_{<j},x^{s})",
    ],
)
def test_no_line_is_a_lone_letter_and_products_are_broken_last(latex: str) -> None:
    job = Job(latex, "#ffffff", 15.0)
    lines = set_lines(job)
    assert len(lines) > 1
    for line in lines:
        assert SHORT_EM * 15.0 < line.width <= WIDEST_EM * 15.0
    sum_of_two = r"\log p(x)\ge\mathbb{E}\left[\log p(x|z)\right]-\beta\,\mathrm{KL}(q(z|x)\|p(z))"
    assert len(set_lines(Job(sum_of_two, "#ffffff", 15.0))) == 2


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
