"""The panel of continuous flows on a real engine: steps, a clicked point, the sweep, undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt

from engine.wire import messages as m
from tests.end_to_end.panel_driver import PanelDriver, opened

SPEC = m.RunSpec("cnf", "two_moons", {"hidden_features": [12]}, {"n_samples": 300})


class Driver(PanelDriver):
    """The window with the panel in front."""

    name = "trajectories"


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    with opened(Driver, qtbot, tmp_path, (1500, 900)) as made:
        made.start(SPEC)
        made.until(lambda: "path" in made.answers and made.panel.stage.path is not None)
        yield made


def test_steps_are_the_models_own_and_the_field_follows_the_clock(driver: Driver) -> None:
    driver.until(lambda: "steps" in driver.answers)
    answer = driver.answers["steps"]
    n_steps = len(answer.arrays["step_times"])
    # Two evaluations before the first step, six in every step that is tried.
    assert answer.values["n_evaluations"] == 2 + 6 * n_steps
    assert answer.values["rtol"] == 1e-3
    assert len(driver.answers["path"].arrays["times"]) > len(answer.arrays["times"])
    panel = driver.panel
    driver.until(lambda: "field" in driver.answers)
    assert driver.answers["field"].values["time"] == 0.5
    panel.clock.go(8.0)
    driver.until(lambda: driver.answers["field"].values["time"] == 0.8)


def test_pages_are_answered_choices_taken_back_and_a_clicked_point_followed(
    driver: Driver,
) -> None:
    panel = driver.panel
    driver.click(panel.switch.buttons["tolerance"])
    driver.until(lambda: (a := driver.answers.get("sweep")) and "evaluations" in a.arrays)
    evaluations = driver.answers["sweep"].arrays["evaluations"]
    assert (np.diff(evaluations) >= 0).all()
    driver.click(panel.switch.buttons["trace"])
    driver.until(lambda: driver.answers["path"].arrays["trace_estimates"].shape[1] > 2)
    undo: Any = driver.window.panel_undo
    undo.undo()
    assert panel.switch.current == "tolerance"
    undo.undo()
    assert panel.switch.current == "steps"
    undo.redo()
    undo.redo()
    assert panel.switch.current == "trace"
    path = panel.stage.path
    assert path is not None
    spot = path.at(panel.stage.t)[5]
    driver.until(lambda: driver.answers["path"].arrays["trace_estimates"].shape[1] > 2)
    view = panel.stage.frame.canvas.viewport()
    at = panel.stage.frame.to_canvas((float(spot[0]), float(spot[1]))).toPoint()
    driver.qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=at)
    driver.until(lambda: panel.stage.ringed == 5)
    driver.until(
        lambda: (
            driver.answers["path"].values["log_det"]
            == driver.answers["path"].arrays["log_dets"][-1, 5]
        )
    )
