"""Forms made from settings, used as a person would: typed into, slid, narrowed, enlarged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from engine.wire.fields import Field, field_specs
from tests.widgets.fakes import shown
from widgets.controls.editors import SPIN_LEAST, NumberEditor, OptionalEditor, PathEditor
from widgets.controls.form import AT_ONCE, RESTARTS, ConfigForm, plain_symbol
from widgets.look import LIGHT, Look


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


@pytest.fixture
def form(qtbot: QtBot, look: Look) -> Any:
    form = ConfigForm(look)
    form.set_fields(field_specs(Config))
    return shown(form, qtbot)


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


def test_a_setting_that_does_nothing_is_hidden(qtbot: QtBot, look: Look) -> None:
    @dataclass(frozen=True)
    class Pictures:
        levels: Annotated[int | None, Field(2, 256, help="Grey levels.")] = 2
        cut: Annotated[str, Field(choices=("a", "b"), when=("levels", 2), help="How.")] = "a"

    form = ConfigForm(look)
    form.set_fields(field_specs(Pictures))
    shown(form, qtbot)
    cut = form.editor("cut")
    assert cut.isVisible()
    form.set_values({"levels": 17})
    assert not cut.isVisible()
    form.set_values({"levels": 2})
    assert cut.isVisible()
    qtbot.mouseClick(form.editor("levels").box, Qt.MouseButton.LeftButton)  # none: real values
    assert not cut.isVisible()
    look.set(scale=2.0)
    assert not form.editor("cut").isVisible()
    form.set_fields(field_specs(Pictures))
    assert form.editor("cut").isVisible()


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


@dataclass(frozen=True)
class LongNames:
    scheduled_sampling: Annotated[str, Field(choices=("none", "linear"), help="A.")] = "none"
    output: Annotated[str, Field(choices=("categorical", "gaussian"), help="B.")] = "categorical"


def test_a_long_name_takes_two_lines_and_leaves_choices_readable(qtbot: QtBot, look: Look) -> None:
    form: Any = ConfigForm(look)
    form.set_fields(field_specs(LongNames))
    shown(form, qtbot)
    form.setFixedWidth(look.px(248))  # the set-up dock of a window of 1280 pixels, scrolled
    qtbot.wait(20)
    name, box = form._rows["scheduled_sampling"][0], form.editor("output")
    assert name.height() > 1.5 * name.fontMetrics().height()
    assert name.width() <= look.px(110)
    needed = box.fontMetrics().horizontalAdvance("categorical") + look.px(34)  # and the arrow
    assert box.width() >= needed
    look.set(scale=1.6)  # names stand above their editors: one line again
    assert not form._rows["scheduled_sampling"][0].wordWrap()
