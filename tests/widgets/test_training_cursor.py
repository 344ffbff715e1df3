"""The window's cursor and a fork's parent in the training curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.widgets.fakes import run_info, training_curves
from widgets.panel import Panel
from widgets.panels.training import TrainingPanel

Show = Callable[[type[Panel]], Any]


@pytest.fixture
def panel(show_panel: Show) -> Any:
    panel = show_panel(TrainingPanel)
    panel.open_run(run_info())
    panel.show_metrics(training_curves("realnvp", 400))
    return panel


def test_values_at_the_cursor_are_those_of_the_curves(panel: Any) -> None:
    panel.show_cursor(250)
    (_, rule), (_, below) = panel._rules
    assert rule.at == 250.0
    assert rule.heading == "step 250"
    table = training_curves("realnvp", 400)
    steps, held = table.column("held_out_nll")
    place = np.argmin(np.abs(steps - 250))
    texts = [reading.text for reading in rule.readings]
    assert texts[1] == f"held out {held[place]:.4g} (step {steps[place]:.0f})"
    assert "step" not in texts[0], "the training curve has a value at every step"
    assert len(texts) == 2, "the entropy is no curve over steps"
    assert len(below.readings) == 1


def test_cursor_is_seen_and_goes(panel: Any) -> None:
    before = panel.losses.grab().toImage()
    panel.show_cursor(250)
    assert panel.losses.grab().toImage() != before
    panel.show_cursor(None)
    assert panel.losses.grab().toImage() == before
    assert all(rule.at is None for _, rule in panel._rules)


def test_cursor_follows_the_logarithm(panel: Any) -> None:
    panel.show_cursor(100)
    panel.tools.switch("log", True)
    assert panel._rules[0][1].at == pytest.approx(2.0)


def test_new_figures_leave_the_cursor_where_it_is(panel: Any) -> None:
    panel.show_cursor(100)
    panel.show_metrics(training_curves("realnvp", 900))
    assert panel._rules[0][1].at == 100.0


def test_parent_is_drawn_from_the_fork_on(panel: Any) -> None:
    assert not any("parent" in name for name in panel.losses.names)
    child = msgspec.structs.replace(run_info(), run="child", parent="run-1", forked_at=150)
    panel.open_runs((run_info(), child))
    panel.show_run_metrics("run-1", training_curves("realnvp", 400))
    panel.open_run(child)
    panel.show_metrics(training_curves("realnvp", 170))
    curve = panel.losses._curves["nll, parent"]
    assert curve.x.min() == 150
    assert curve.x.max() == 400
    assert panel.losses._curves["nll"].x.max() == 170
    assert panel.losses.label_of("nll, parent") == "parent, train"
    panel.open_run(run_info())
    panel.show_metrics(training_curves("realnvp", 400))
    assert not any("parent" in name for name in panel.losses.names)


def test_closed_parent_is_no_longer_drawn(panel: Any) -> None:
    child = msgspec.structs.replace(run_info(), run="child", parent="run-1", forked_at=150)
    panel.show_run_metrics("run-1", training_curves("realnvp", 400))
    panel.open_runs((child,))
    panel.open_run(child)
    panel.show_metrics(training_curves("realnvp", 170))
    assert not any("parent" in name for name in panel.losses.names)
