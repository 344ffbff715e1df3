"""The panel of continuous flows on a real engine: steps, a clicked point, the sweep, undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from widgets.look import Look
from widgets.panels.trajectories import TrajectoriesPanel

PATIENCE_MS = 60_000
SPEC = m.RunSpec("cnf", "two_moons", {"hidden_features": [12]}, {"n_samples": 300})


class Driver:
    """The window with the panel in front."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window, self.qtbot = window, qtbot
        self.answers: dict[str, m.Answer] = {}
        window.asker.pictured.connect(self._note)

    def _note(self, panel: str, part: str, answer: m.Answer) -> None:
        if panel == "trajectories":
            self.answers[part] = answer

    def until(self, condition: Callable[..., object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    def start(self) -> None:
        self.window.session.start(SPEC, playing=False)
        self.until(lambda: self.window.session.current and self.window.session.current.info)
        self.window.workspace.show_panel("trajectories")
        self.until(lambda: "path" in self.answers and self.panel.stage.path is not None)

    def click(self, widget: QWidget) -> None:
        """As a hand does: on the window, which undo listens to."""
        at = widget.mapTo(self.window, widget.rect().center())
        QTest.mouseClick(self.window.windowHandle(), Qt.MouseButton.LeftButton, pos=at)  # type: ignore[call-overload]
        self.window.panel_undo.gestures.settle()

    @property
    def panel(self) -> TrajectoriesPanel:
        panel = self.window.workspace.panels["trajectories"]
        assert isinstance(panel, TrajectoriesPanel)
        return panel


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    folder = tmp_path / "keyframes"
    link = EnginePool(lambda: start_engine(folder))
    window = MainWindow(link, Notices(), Look(), settings_file.Settings())
    qtbot.addWidget(window)
    made = Driver(window, qtbot)
    window.resize(1500, 900)
    window.show()
    made.until(lambda: window.session.hello)
    made.start()
    yield made
    window.close()


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
