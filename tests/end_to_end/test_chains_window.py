"""The panel of chains on a real engine: the walk, a slider in its middle, the buffer, undo."""

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
from widgets.panels.chains import ChainsPanel

PATIENCE_MS = 60_000
SPEC = m.RunSpec(
    "ebm", "two_moons", {"hidden_features": [8], "buffer_size": 64, "batch_size": 32},
    {"n_samples": 300},
)  # fmt: skip


class Driver:
    """The window with the panel in front."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window, self.qtbot = window, qtbot
        self.answers: dict[str, m.Answer] = {}
        window.asker.pictured.connect(self._note)

    def _note(self, panel: str, part: str, answer: m.Answer) -> None:
        if panel == "chains":
            self.answers[part] = answer

    def until(self, condition: Callable[..., object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    def start(self) -> None:
        self.window.session.start(SPEC, playing=False)
        self.until(lambda: self.window.session.current and self.window.session.current.info)
        self.window.workspace.show_panel("chains")
        self.panel.desk.n, self.panel.desk.length = 100, 100
        self.until(lambda: self.is_whole())

    def is_whole(self) -> bool:
        film = self.panel.desk.film
        return film is not None and film.n == 101

    def click(self, widget: QWidget) -> None:
        """As a hand does: on the window, which undo listens to."""
        at = widget.mapTo(self.window, widget.rect().center())
        QTest.mouseClick(self.window.windowHandle(), Qt.MouseButton.LeftButton, pos=at)  # type: ignore[call-overload]
        self.window.panel_undo.gestures.settle()

    @property
    def panel(self) -> ChainsPanel:
        panel = self.window.workspace.panels["chains"]
        assert isinstance(panel, ChainsPanel)
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


def test_a_walk_is_bent_in_its_middle(driver: Driver) -> None:
    panel = driver.panel
    film, clock = panel.desk.film, panel.walk.clock
    assert film is not None
    clock.pause()
    clock.go(60)
    past = [row["points"].copy() for row in film.rows]
    panel.bar.sliders["step_size"].slider.setValue(20)
    driver.until(lambda: np.any(film.row(62)["points"] != past[62]) and film.n == 101)
    assert clock.place == 60
    for step in (0, 59, 60):
        np.testing.assert_allclose(film.row(step)["points"], past[step], atol=1e-5)
    small = np.linalg.norm(film.row(61)["points"] - film.row(60)["points"], axis=1)
    assert small.mean() < 0.5 * np.linalg.norm(past[61] - past[60], axis=1).mean()


def test_the_trainings_chains_are_shown_and_choices_taken_back(driver: Driver) -> None:
    panel, session = driver.panel, driver.window.session
    driver.click(panel.switch.buttons["buffer"])
    assert panel.switch.current == "buffer"
    driver.until(lambda: "none yet" in panel.buffer.map.title.text())
    view = session.current
    assert view is not None
    session.play(view)
    driver.until(lambda: view.step > 30)
    session.pause(view)
    driver.until(lambda: "buffer" in driver.answers)
    assert driver.answers["buffer"].values["n_all"] == 64
    driver.until(lambda: driver.answers["buffer"].arrays["ages"].max() > 0)
    undo: Any = driver.window.panel_undo
    driver.click(panel.switch.buttons["truth"])
    driver.until(lambda: "law" in driver.answers)
    assert len(driver.answers["law"].values["r_hat"]) == 3  # type: ignore[arg-type]
    undo.undo()
    assert panel.switch.current == "buffer"
