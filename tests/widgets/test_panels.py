"""Every panel survives what an engine may send it, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QObject
from pytestqt.qtbot import QtBot

from app.panel_manager import panel_kinds
from engine.wire.messages import Failed, RunState, Slot
from tests.skeletons.skeleton_panel import SkeletonPanel
from tests.widgets.fakes import FakeEngine, metrics, model_card, run_info, training_curves
from widgets.look import LIGHT, Look
from widgets.panel import Panel

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


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("name", KINDS)
def test_answers(name: str, spoil: str, show_panel: Show, qtbot: QtBot) -> None:
    panel = show_panel(KINDS[name])
    info = run_info()
    panel.open_run(info)
    FakeEngine(info, SPOILS[spoil]).serve(panel)
    assert not panel.grab().isNull()


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 8, 8)], ids=str)
@pytest.mark.parametrize("model", ["realnvp", "vae", "ebm", "gan", "wgan_gp", "gaussian_mixture"])
@pytest.mark.parametrize("name", panel_kinds())
def test_models_and_events(
    name: str, model: str, shape: tuple[int, ...], show_panel: Show, qtbot: QtBot
) -> None:
    panel = show_panel(KINDS[name])
    info = run_info(model, shape)
    panel.open_run(info)
    engine = FakeEngine(info)
    engine.serve(panel, rest=False)
    panel.show_metrics(training_curves(model, 200))
    assert not panel.grab().isNull()


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
        ("realnvp", {"nll", "held_out_nll", "entropy"}, "nats per event"),
        ("ebm", {"positive", "negative"}, "energy"),
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
    assert dict(caught.args[0].rows)["entropy of the truth"] == "1.698"
