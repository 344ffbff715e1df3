"""Every panel survives what an engine may send it, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QPoint
from pytestqt.qtbot import QtBot

from app.panel_manager import panel_kinds
from engine.wire.messages import Failed, RunState, Slot
from tests.skeletons.skeleton_panel import SkeletonPanel
from tests.widgets.fakes import FakeEngine, metrics, model_card, resize, run_info, training_curves
from widgets.look import LIGHT, Look
from widgets.panel import Panel
from widgets.plots.layers import Box

Show = Callable[[type[Panel]], Any]
KINDS = {**panel_kinds(), "skeleton": SkeletonPanel}


SPOILS: dict[str, Callable[[str, Any], Any]] = {
    "typical": lambda name, array: array,
    "empty": lambda name, a: a[:0] if name in ("points", "samples", "examples", "lines") else a,
    "one sample": lambda name, a: a[:1] if name in ("points", "responsibilities") else a,
    "NaN": lambda name, a: np.full_like(a, np.nan) if a.dtype.kind == "f" else a,
    "infinite": lambda name, a: np.full_like(a, np.inf) if name == "log_density" else a,
    "minus infinite": lambda name, a: np.full_like(a, -np.inf) if name == "log_density" else a,
    "huge": lambda name, a: a * np.asarray(1e30, a.dtype) if name == "points" else a,
    "huge density": lambda name, a: a + np.float32(3e4) if name == "log_density" else a,
    "constant": lambda name, a: np.zeros_like(a) if name == "log_density" else a,
    "one-dimensional": lambda name, a: a.reshape(-1)[: len(a)] if name == "log_density" else a,
    "one column": lambda name, a: a[:, :1] if name == "points" else a,
}


@pytest.mark.parametrize("name", KINDS)
def test_answers(name: str, show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS[name])
    info = run_info()
    panel.open_run(info)
    for words, spoil in SPOILS.items():
        FakeEngine(info, spoil).serve(panel)
        assert not panel.grab().isNull(), words


MODELS = ("realnvp", "cnf", "vae", "ebm", "gan", "wgan_gp", "gaussian_mixture")
SHAPES: tuple[tuple[int, ...], ...] = ((1,), (2,), (5,), (1, 8, 8))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", panel_kinds())
def test_models_and_events(name: str, model: str, show_panel: Show, qtbot: QtBot) -> None:
    """One panel shows one run after the other, as it does in the window."""
    panel = show_panel(KINDS[name])
    for shape in SHAPES:
        info = run_info(model, shape)
        panel.open_run(info)
        FakeEngine(info).serve(panel, rest=False)
        panel.show_metrics(training_curves(model, 200))
        assert not panel.grab().isNull(), shape


@pytest.mark.parametrize("name", KINDS)
def test_life(name: str, show_panel: Show, look: Look, qtbot: QtBot) -> None:
    panel = show_panel(KINDS[name])
    assert panel.asks(rest=True) == {}
    info = run_info()
    panel.open_run(info)
    FakeEngine(info).serve(panel)
    for width, height in ((60, 40), (1400, 300), (500, 900)):
        panel.resize(width, height)
        assert panel.grab().width() >= width
    look.set(palette=LIGHT, scale=2.0)
    panel.hide()
    FakeEngine(info).serve(panel)
    panel.show()
    state = panel.save_state()
    panel.restore_state({**state, "unknown": 3})
    assert panel.save_state() == state
    panel.clear()
    panel.open_run(None)
    assert panel.asks(rest=False) == {}


@pytest.mark.parametrize("name", KINDS)
def test_all_parts_die_with_the_panel(name: str, show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS[name])
    info = run_info()
    panel.open_run(info)
    FakeEngine(info).serve(panel)
    panel.show_metrics(training_curves("realnvp", 50))
    parts = panel.findChildren(QObject)
    assert len(parts) > 10
    panel.close()
    panel.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert not any(map(shiboken6.isValid, [panel, *parts]))


@pytest.mark.parametrize("name", KINDS)
def test_failure_is_shown(name: str, show_panel: Show) -> None:
    panel = show_panel(KINDS[name])
    panel.open_run(run_info())
    slot = Slot(name, "run-1", "density")
    panel.show_failed(
        "density", Failed("probe density", "ValueError", "the window is empty", slot=slot)
    )
    assert "the window is empty" in panel.banner.text
    panel.open_run(run_info())
    assert panel.banner.text == ""


def test_refusal_names_what_is_missing() -> None:
    assert SkeletonPanel.refusal(model_card("realnvp")) == ""
    assert "needs exact samples; EBM has none" in SkeletonPanel.refusal(model_card("ebm"))


def test_reset_empties_the_training_panel(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info())
    panel.show_metrics(training_curves("realnvp", 50))
    qtbot.waitUntil(lambda: "nll" in panel.losses.names)
    table = metrics({"nll": []}, [])
    panel.show_metrics(table)
    panel.show_state(RunState("run-1", "ready", 0))
    assert not panel._plots.isVisible()


def test_figures_are_drawn_at_once_and_then_at_a_steady_pace(
    show_panel: Show, qtbot: QtBot
) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info())
    panel.show_metrics(training_curves("realnvp", 50))
    assert "entropy" in panel.losses.names
    assert panel.losses.value_at("held_out_nll", 50) is not None
    longer = training_curves("realnvp", 400)
    panel.show_metrics(longer)
    assert panel.losses.frame.box.high[0] < 400
    qtbot.waitUntil(lambda: panel.losses.frame.box.high[0] >= 400)


@pytest.mark.parametrize(
    ("model", "curves", "axis"),
    [
        ("realnvp", {"nll", "held_out_nll", "entropy"}, "NLL, nats"),
        ("ebm", {"positive", "negative"}, "energy, nats"),
        ("gan", {"generator", "critic"}, "loss"),
    ],
)
def test_figures_by_kind_of_model(
    model: str, curves: set[str], axis: str, show_panel: Show
) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info(model))
    panel.show_metrics(training_curves(model))
    assert curves <= set(panel.losses.names)
    assert panel.losses.frame._y_name == axis
    assert panel.gradient.names


def test_a_classifier_by_energy_shows_energies_classes_and_accuracy(show_panel: Show) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info("ebm"))
    steps = np.arange(1, 50)
    names = ("positive", "negative", "classification", "accuracy")
    panel.show_metrics(metrics({name: np.full(49, 0.5) for name in names}, steps))
    assert panel.losses.frame._y_name == "energy, nats"
    for group, axis in (
        ("classification", "−log p(y given x), nats"),
        ("accuracy", "share of right answers"),
    ):
        panel.tools.chosen.emit("group", group)
        assert tuple(panel.losses.names) == (group,)
        assert panel.losses.frame._y_name == axis
        assert panel.losses.value_at(group, 20) == pytest.approx(0.5)


def test_a_bound_is_not_called_a_likelihood(show_panel: Show) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info("vae"))
    panel.show_metrics(training_curves("vae"))
    assert panel.losses.label_of("nll") == "train, −ELBO"


def test_pointing_reads_the_curves(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info())
    panel.show_metrics(training_curves("realnvp"))
    with qtbot.waitSignal(panel.pointed) as caught:
        panel.losses.hovered.emit((1200.2, 2.0))
    assert caught.args[0].heading == "Step 1 200"
    assert dict(caught.args[0].rows)["true entropy H"] == "1.698"


STEPS = np.arange(1, 401)
#: As a VAE on small data: thousands at first, then a slow fall to 2.6.
FALL = 2.6 + 0.5 * np.exp(-STEPS / 150) + 3000 * np.exp(-STEPS / 3)


def test_the_first_steps_do_not_flatten_the_curve(show_panel: Show) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info("vae"))
    panel.show_metrics(metrics({"nll": FALL}, STEPS))
    box = panel.losses.frame.box
    assert box.low[1] <= 1.698
    assert FALL[-1] < box.high[1] < 6.0


def test_the_whole_range_is_one_switch_away(show_panel: Show) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info("vae"))
    panel.show_metrics(metrics({"nll": FALL}, STEPS))
    settled = panel.losses.frame.box
    panel.tools._toggles["whole"][1].trigger()
    assert panel.losses.frame.box.high[1] >= FALL.max()
    panel.tools._toggles["whole"][1].trigger()
    assert panel.losses.frame.box == settled
    panel.losses.frame.set_box(Box((0.0, 0.0), (10.0, 9000.0)))
    panel.tools.pressed.emit("reset")
    assert panel.losses.frame.box == settled


def test_the_newest_values_are_always_in_view(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info())
    panel.show_metrics(metrics({"nll": FALL}, STEPS))
    before = panel.losses.frame.box
    longer = np.arange(1, 421)
    risen = np.concatenate([FALL, np.linspace(2.7, 9.0, 20)])
    panel.show_metrics(metrics({"nll": risen}, longer))
    qtbot.waitUntil(lambda: panel.losses.frame.box != before)
    assert panel.losses.frame.box.high[1] >= panel.losses.value_at("nll", 420)


def test_the_settled_range_stays_while_training_goes_on(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info())
    ends = set()
    for n in range(200, 401, 20):
        panel.show_metrics(metrics({"nll": FALL[:n]}, STEPS[:n]))
        panel._on_waited()
        ends.add((panel.losses.frame.box.low[1], panel.losses.frame.box.high[1]))
    assert len(ends) <= 2


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("height", [130, 166, 260, 480])
def test_curves_keep_their_axis_name_and_their_room(
    height: int, scale: float, show_panel: Show, look: Look, qtbot: QtBot
) -> None:
    look.set(scale=scale)
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info("vae"))
    panel.show_metrics(metrics({"nll": FALL}, STEPS))
    resize(panel, int(640 * scale), int(height * scale))
    plot = panel.losses.frame.view.height()
    assert plot >= 0.5 * panel.height()
    if plot >= look.px(90):
        assert panel.losses.frame.names_shown[1] == "−ELBO, nats"


def test_a_low_panel_has_its_legend_beside_the_switches(show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info())
    panel.show_metrics(training_curves("realnvp", 400))
    for height, beside in ((480, False), (166, True), (480, False)):
        resize(panel, 720, height)
        legend, tools = panel.losses.legend, panel.tools
        assert legend.isVisible()
        top = legend.mapTo(panel, QPoint(0, 0)).y()
        assert (top < tools.geometry().bottom()) is beside
        right = (
            panel.gradient.mapTo(panel, QPoint(0, 0)).x() > panel.losses.geometry().center().x()
        )
        assert panel.gradient.isVisible()
        assert right is beside
    resize(panel, 420, 166)
    assert not panel.gradient.isVisible()


def test_a_legend_beside_the_switches_keeps_its_font_and_some_width(
    show_panel: Show, look: Look
) -> None:
    look.set(scale=2.0)
    panel = show_panel(KINDS["training"])
    panel.open_run(run_info())
    panel.show_metrics(training_curves("realnvp", 400))
    resize(panel, 880, 360)
    legend = panel.losses.legend
    assert legend.font().pointSizeF() == pytest.approx(look.font(0.88).pointSizeF())
    assert [chip.text for _, chip in legend.place(legend.width())[0]][:2] == ["train", "held out"]
    assert legend.geometry().right() <= panel.width()
