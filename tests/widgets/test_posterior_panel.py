"""The posterior panel: what is asked and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from pytestqt.qtbot import QtBot

from engine.wire.capability import Capability
from engine.wire.event import Event
from engine.wire.fields import Field, FieldSpec, Value
from engine.wire.messages import Answer, Failed, RunInfo, Slot
from tests.widgets import pixel_fakes, posterior_fakes
from tests.widgets.fakes import FakeEngine, model_card, resize, run_info
from widgets.look import LIGHT
from widgets.panel import Panel, Point
from widgets.panels.posterior import MODES, PosteriorPanel
from widgets.posterior.score_plot import SeedScore
from widgets.posterior.score_plot import _words as score_words

Show = Callable[[type[Panel]], Any]
POINTS = Event((2,), ("x", "y"))
EVENTS = {
    "points": POINTS,
    "line": Event((1,), ("x",)),
    "vector": Event((5,), tuple("abcde")),
    "pictures": Event((1, 8, 8), ("channel", "row", "column"), "integer", 17),
}
ALL = (Capability.SAMPLING, Capability.BOUND, Capability.ENCODING, Capability.DECODING)


def info_of(
    event: Event = POINTS, model: str = "vae", fields: tuple[str, ...] = (), **facts: Any
) -> RunInfo:
    info = run_info(model, event.shape, **facts)  # type: ignore[arg-type]
    specs = tuple(FieldSpec(name, "float", 1.0, Field()) for name in fields)
    features = ("half_steps",) if model == "gaussian_mixture" else ()
    card = msgspec.structs.replace(info.card, fields=specs, capabilities=ALL, features=features)
    data = msgspec.structs.replace(info.data, event=event)
    return msgspec.structs.replace(info, data=data, card=card)


class Engine(FakeEngine):
    """Data of the run's own shape."""

    def _data_examples(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        n, shape = int(wanted["n"]), self.info.data.event.shape
        drawn = pixel_fakes.draws(self.info, n, 7).astype(np.float32)
        return {
            "examples": drawn.reshape(n, *shape),
            "labels": np.arange(n, dtype=np.int32) % 10,
        }, {}


def serve(panel: PosteriorPanel, info: RunInfo, rounds: int = 3, **wanted: Any) -> dict[str, Any]:
    """Answer until nothing new is asked, as the asker would."""
    asked: dict[str, Any] = {}
    for _ in range(rounds):
        asked = Engine(info, **wanted).serve(panel)
    return asked


def piece(part: str, found: Any, *, final: bool = False, step: int = 100) -> Answer:
    arrays, values = found
    return Answer(Slot("posterior", "run-1", part), 1, step, arrays, values, final)


def press(widget: Any, key: Qt.Key, text: str = "") -> bool:
    """Whether a key was wanted, and press it."""
    none = Qt.KeyboardModifier.NoModifier
    override = QKeyEvent(QEvent.Type.ShortcutOverride, key, none, text)
    override.ignore()
    widget.event(override)
    widget.keyPressEvent(QKeyEvent(QEvent.Type.KeyPress, key, none, text))
    return override.isAccepted()


@pytest.fixture
def panel(show_panel: Show) -> PosteriorPanel:
    made: PosteriorPanel = show_panel(PosteriorPanel)
    return made


# --- the panel -------------------------------------------------------------------------------


def test_it_refuses_what_has_no_bound() -> None:
    assert "needs a bound" in PosteriorPanel.refusal(model_card("gan"))
    assert PosteriorPanel.refusal(model_card("vae")) == ""


def test_before_a_run_it_says_what_to_do(panel: PosteriorPanel) -> None:
    assert "press play" in panel.empty.text
    assert panel.asks(rest=True) == {}
    assert not panel.chips.chips


@pytest.mark.parametrize("mode", [name for name, _, _ in MODES])
@pytest.mark.parametrize("event", EVENTS)
def test_every_mode_draws_every_kind_of_event(
    event: str, mode: str, panel: PosteriorPanel, qtbot: QtBot
) -> None:
    info = info_of(EVENTS[event], labels=("a",) * 10, factors=("x", "y"))
    panel.open_run(info)
    panel.set_mode(mode)
    if mode == "factors":
        panel.modes["factors"].tools.pressed.emit("start")
    serve(panel, info)
    for size in ((360, 560), (720, 330), (1300, 800)):
        resize(panel, *size)
        assert not panel.grab().isNull()
    panel.look.set(palette=LIGHT, scale=1.5)
    assert panel.banner.text == ""
    assert panel.chips.chips
    panel.open_run(None)
    assert panel.asks(rest=True) == {}


@pytest.mark.parametrize("mode", [name for name, _, _ in MODES])
def test_nasty_answers_are_survived(mode: str, panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode(mode)
    serve(panel, info)
    serve(panel, info, spoil=lambda name, a: np.full_like(a, np.nan) if a.dtype.kind == "f" else a)
    resize(panel, 700, 500)
    assert not panel.grab().isNull()


def test_a_model_with_a_bound_alone_has_bars_and_rate(panel: PosteriorPanel) -> None:
    info = info_of()
    card = msgspec.structs.replace(info.card, capabilities=(Capability.BOUND,))
    panel.set_mode("truth")
    panel.open_run(msgspec.structs.replace(info, card=card))
    assert panel.mode is panel.modes["bars"]
    usable = {name: button.isEnabled() for name, button in panel.switch.buttons.items()}
    assert usable == {
        "bars": True, "truth": False, "units": False, "rate": True, "factors": False,
    }  # fmt: skip
    assert "encoder" in panel.switch.buttons["truth"].toolTip()
    assert "units" not in panel.asks(rest=True)


def test_the_chosen_event_is_asked_about_and_can_be_stepped_through(
    panel: PosteriorPanel,
) -> None:
    info = info_of()
    panel.open_run(info)
    asked = serve(panel, info)
    events = panel.desk.events
    np.testing.assert_array_equal(asked["bars"].arrays["event"], events[0])
    assert press(panel, Qt.Key.Key_BracketRight, "]")
    np.testing.assert_array_equal(panel.asks(rest=True)["bars"].arrays["event"], events[1])
    assert "2 / " in panel.modes["bars"].picker.heading.text()  # type: ignore[attr-defined]
    panel.choose_point(Point((0.5, -0.25), ("x", "y")))
    np.testing.assert_allclose(panel.asks(rest=True)["bars"].arrays["event"], [0.5, -0.25])
    panel.choose_point(None)
    np.testing.assert_array_equal(panel.asks(rest=True)["bars"].arrays["event"], events[1])


# --- bars --------------------------------------------------------------------------------------


def test_the_bars_stand_where_the_numbers_are(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    bars: Any = panel.modes["bars"]
    rows = {level.name: level for level in bars.one.levels}
    assert rows["log p(x), quadrature"].low == -2.4
    assert (rows["KL(q‖posterior)"].low, rows["KL(q‖posterior)"].high) == (-2.6, -2.4)
    assert (rows["KL(z)"].low, rows["KL(z)"].high) == pytest.approx((-2.6, 0.3))
    assert rows["reconstruction"].low == pytest.approx(0.3)
    names = [level.name for level in bars.set.levels]
    assert names[0] == "log p(x), estimate"
    assert "KL(q‖posterior) 0.20 ± 0.02 nats" in panel.chips.accessibleName()


def test_many_latents_have_a_piece_each(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    serve(panel, info)
    values = {**posterior_fakes.ONE, "one_latents": ["z2", "z1"], "one_kl": [1.9, 1.0],
              "one_kl_error": [0.1, 0.1]}  # fmt: skip
    panel.show_answer("bars", piece("bars", ({}, values)))
    rows = [level for level in panel.modes["bars"].one.levels if level.faint]  # type: ignore[attr-defined]
    assert [row.name for row in rows] == ["KL(z2)", "KL(z1)"]
    assert rows[0].high == pytest.approx(rows[1].low)
    assert rows[1].high == pytest.approx(0.3)


def test_em_alternates_and_the_gap_closes_after_each_e_step(panel: PosteriorPanel) -> None:
    info = info_of(model="gaussian_mixture")
    panel.open_run(info)
    bars: Any = panel.modes["bars"]
    bars.tools.switch("view", "em")
    asked = serve(panel, info)
    assert asked["em"].probe == "em_bars"
    view = bars.em
    view.clock.go(0)
    assert "after an E-step" in panel.chips.accessibleName()
    gap = next(level for level in view.bars.levels if level.name == "KL(q‖posterior)")
    assert gap.low == gap.high
    assert press(panel, Qt.Key.Key_Right)
    assert "after an M-step" in panel.chips.accessibleName()
    gap = next(level for level in view.bars.levels if level.name == "KL(q‖posterior)")
    assert gap.high > gap.low
    assert press(panel, Qt.Key.Key_Space)
    assert view.clock.is_playing
    view.clock.advance(100.0)
    assert view.clock.place == view.clock.size


def test_only_models_fitted_by_em_have_its_bars(panel: PosteriorPanel) -> None:
    info = info_of(model="gaussian_mixture")
    panel.open_run(info)
    panel.modes["bars"].tools.switch("view", "em")
    panel.open_run(info_of())
    assert "bars" in panel.modes["bars"].questions(rest=True) or not len(panel.desk.events)
    assert panel.modes["bars"].view == "bound"  # type: ignore[attr-defined]


# --- truth -------------------------------------------------------------------------------------


def test_while_the_truth_is_found_no_empty_axes_are_shown(panel: PosteriorPanel) -> None:
    panel.open_run(info_of())
    panel.set_mode("truth")
    truth: Any = panel.modes["truth"]
    assert truth.pages.currentWidget() is truth.empty
    assert "is being found" in truth.empty.text
    serve(panel, info_of())
    assert truth.pages.currentWidget() is not truth.empty


def test_q_walks_over_the_true_posterior(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("truth")
    serve(panel, info)
    truth: Any = panel.modes["truth"]
    assert truth.clock.size == 120
    chips = panel.chips.accessibleName()
    assert "amortisation gap 0.120 nats" in chips
    assert "approximation gap 0.080 nats" in chips
    truth.clock.go(0)
    first = truth.plot.lines["now"]._points.copy()
    assert press(panel, Qt.Key.Key_End)
    assert truth.clock.place == 120
    last = truth.plot.lines["now"]._points
    np.testing.assert_allclose(first.mean(0) - last.mean(0), 0.3, atol=0.02)
    assert "120 / 120: −2.480" in truth.transport.label.text()


def test_a_single_latent_has_curves(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("truth")
    serve(panel, info)
    found = posterior_fakes.truth_of_one(info, {"n_steps": 40, "start": "prior"}, {})
    panel.show_answer("truth", piece("truth", found, final=True))
    truth: Any = panel.modes["truth"]
    names = truth.plot.curves.names
    assert names == ("true p(z|x)", "q(z|x)", "best q", "q on its way")
    assert not panel.grab().isNull()


def test_many_latents_have_gaps_and_the_ascent_but_no_picture(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("truth")
    serve(panel, info)
    truth: Any = panel.modes["truth"]
    assert truth.plot.isVisible()
    found = posterior_fakes.truth_of_many(info, {"n_steps": 40, "start": "prior"}, {})
    panel.show_answer("truth", piece("truth", found, final=True))
    assert not truth.plot.isVisible()
    assert "amortisation gap 0.12 ± 0.01 nats" in panel.chips.accessibleName()
    assert "12 latents: no picture, from draws" in panel.chips.accessibleName()
    assert not panel.grab().isNull()
    serve(panel, info)
    panel.show_answer("truth", piece("truth", posterior_fakes.posterior_truth(
        info, {"n_steps": 40, "start": "prior"}, {})))  # fmt: skip
    assert truth.plot.isVisible()


def test_discrete_latents_are_asked_nothing(panel: PosteriorPanel) -> None:
    info = info_of(model="gaussian_mixture")
    panel.open_run(info)
    panel.set_mode("truth")
    assert "truth" not in serve(panel, info)
    assert "latents of this model are discrete" in panel.modes["truth"].empty.text  # type: ignore[attr-defined]


def test_latents_without_a_grid_are_said_in_words(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("truth")
    words = "the posterior on a grid: given 900 latents, wanted 1 to 512"
    slot = Slot("posterior", "run-1", "truth")
    panel.show_failed("truth", Failed("probe posterior_truth", "ValueError", words, slot=slot))
    assert panel.banner.text == ""
    assert "given 900 latents, wanted 1 to 512" in panel.modes["truth"].empty.text  # type: ignore[attr-defined]


# --- units -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["bars", "truth", "units", "rate", "factors"])
def test_a_dead_unit_raises_an_alarm_in_every_mode(mode: str, panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode(mode)
    serve(panel, info)
    first = panel.chips.chips[0]
    assert first.alarm
    assert first.text == "z₁ is dead: activity 0.001"


def test_units_are_sorted_and_dead_ones_named(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("units")
    serve(panel, info)
    units: Any = panel.modes["units"]
    assert units.kl.values.tolist() == [1.5, 0.02]
    assert "1 of 2 units is dead (z₁): the posterior mean does not move" in units.words.text()
    units.tools.switch("by", "order")
    assert units.kl.values.tolist() == [0.02, 1.5]
    assert "z: 1 of 2 units active" in panel.chips.accessibleName()


def units_of(panel: PosteriorPanel, arrays: dict[str, Any], **values: Value) -> Any:
    """The panel with this answer about its units."""
    info = info_of()
    panel.open_run(info)
    panel.set_mode("units")
    serve(panel, info)
    found, told = posterior_fakes.latent_units(info, {}, {})
    panel.show_answer("units", piece("units", (found | arrays, told | values), final=True))
    return panel.modes["units"]


def test_the_sentence_says_why_a_unit_is_dead(panel: PosteriorPanel) -> None:
    moved, dead = np.array([0.5, 0.8]), np.array([False, True])
    units = units_of(panel, {"unit_activity": moved, "unit_dead": dead})
    assert "(z₂): the decoder ignores" in units.words.text()
    assert "activity" not in units.words.text()
    units = units_of(
        panel,
        {"unit_activity": np.array([0.001, 0.8]), "unit_dead": np.array([True, True])},
    )
    assert "is below 0.01 (dashed line), or the decoder ignores" in units.words.text()
    one = {name: np.ones(1) for name in ("unit_kl", "unit_activity", "unit_use")}
    one |= {"unit_latent": np.zeros(1, int), "unit_index": np.zeros(1, int)}
    units = units_of(panel, one | {"unit_dead": np.array([False])}, n_units=[1])
    assert "The only unit is active: it moves" in units.words.text()


def test_a_kl_that_is_a_least_one_says_so(panel: PosteriorPanel) -> None:
    units = units_of(panel, {}, kl_is_least=True)
    assert "at least" in units.kl._name
    told: list[Any] = []
    panel.pointed.connect(told.append)
    units.kl.hovered.emit(0)
    assert told[-1].rows[0] == ("KL(q‖prior), at least", "1.500 nats")
    units = units_of(panel, {})
    assert "at least" not in units.kl._name


def test_a_share_below_zero_is_seen(panel: PosteriorPanel) -> None:
    units = units_of(panel, {"unit_kl": np.array([-0.4, 1.5])})
    assert units.kl.frame.box.low[1] < -0.4


def test_codes_side_by_side_are_told_apart(panel: PosteriorPanel) -> None:
    arrays = {
        "unit_latent": np.zeros(6, int), "unit_index": np.arange(6),
        "unit_kl": np.full(6, np.nan), "unit_use": np.full(6, np.nan),
        "unit_activity": np.array([0.5, 0.4, 0.1, 0.7, 0.3, 0.0]),
        "unit_dead": np.array([False] * 5 + [True]),
    }  # fmt: skip
    units = units_of(panel, arrays, kinds=["category"], n_units=[6], levels=[3])
    units.tools.switch("by", "order")
    assert units._shown.names == ("z₁ = 1", "z₁ = 2", "z₁ = 3", "z₂ = 1", "z₂ = 2", "z₂ = 3")
    assert panel.chips.chips[0].text == "z₂ = 3 is unused"


def test_codes_show_how_they_are_used(panel: PosteriorPanel) -> None:
    info = info_of(model="gaussian_mixture")
    panel.open_run(info)
    panel.set_mode("units")
    serve(panel, info)
    units: Any = panel.modes["units"]
    assert units.share.values.tolist() == [0.5, 0.3, 0.2, 0.0]
    assert not units.activity.isVisible()
    assert "component: perplexity 2.8 of 4" in panel.chips.accessibleName()
    assert panel.chips.chips[0].text == "component 4 is unused"


# --- rate–distortion ---------------------------------------------------------------------------


def test_the_sweep_is_a_stream_that_can_be_stopped(panel: PosteriorPanel) -> None:
    info = info_of(fields=("beta",))
    panel.open_run(info)
    panel.set_mode("rate")
    rate: Any = panel.modes["rate"]
    assert set(panel.asks(rest=True)) == {"events", "units", "rate"}
    rate.tools.pressed.emit("start")
    question = panel.asks(rest=True)["sweep"]
    assert question.stream
    assert question.arguments["betas"] == [0.1, 0.3, 1.0, 3.0, 10.0]
    for beta in (0.1, 1.0):
        panel.show_answer("sweep", piece("sweep", posterior_fakes.swept(beta)))
    assert [p.text for p in rate.plot.points] == ["β = 0.1", "β = 1"]
    assert "training β = 1: 50 %" in panel.chips.accessibleName()
    rate.tools.pressed.emit("stop")
    assert "sweep" not in panel.asks(rest=True)
    assert len(rate.plot.points) == 2


def test_a_model_without_beta_has_its_place_and_the_reason(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("rate")
    serve(panel, info)
    rate: Any = panel.modes["rate"]
    assert [p.text for p in rate.plot.points] == ["this run"]
    assert "no sweep: this model has no β" in panel.chips.accessibleName()
    assert "R + D = −ELBO to 1e−07 nats" in panel.chips.accessibleName()


def test_the_run_leaves_a_trail(panel: PosteriorPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("rate")
    found = posterior_fakes.rate_distortion(info, {"n": 64}, {})
    for step in (10, 20, 30):
        panel.show_answer("rate", piece("rate", found, final=True, step=step))
    assert len(panel.modes["rate"].plot._trail) == 3  # type: ignore[attr-defined]
    panel.open_run(info)
    assert len(panel.modes["rate"].plot._trail) == 0  # type: ignore[attr-defined]


# --- factors -----------------------------------------------------------------------------------


def test_what_is_measured_is_what_the_data_allow(panel: PosteriorPanel) -> None:
    panel.open_run(info_of())
    panel.set_mode("factors")
    factors: Any = panel.modes["factors"]
    assert factors.parts == ()
    assert "neither known factors nor labels" in factors.note.text
    info = info_of(labels=("a",) * 10, factors=("x", "y"))
    panel.open_run(info)
    assert factors.parts == ("scores", "labels")
    factors.tools.pressed.emit("start")
    asked = panel.asks(rest=True)
    assert asked["scores"].stream
    assert asked["labels"].stream
    serve(panel, info)
    assert [score.name for score in factors.scores.scores] == [
        "β-VAE metric", "FactorVAE metric", "MIG, histograms",
    ]  # fmt: skip
    assert factors.scores.scores[0].mean == pytest.approx(0.64)
    assert factors.scores.scores[0].spread == pytest.approx(0.0283, abs=1e-3)
    narrow = SeedScore("MIG", (0.0401, 0.0409), 0.0, "")
    assert score_words(narrow) == "0.0405 ± 0.0006"  # never ± 0.00
    np.testing.assert_allclose(factors.curves.value_at("latents", 100), 0.79)
    np.testing.assert_allclose(factors.curves.value_at("raw", 10), 0.35)
    assert set(panel.asks(rest=True)) == {"events", "units"}


def test_the_mode_is_kept_in_the_layout(panel: PosteriorPanel) -> None:
    panel.restore_state({"mode": "rate", "unknown": 1})
    assert panel.save_state() == {"mode": "rate"}
