"""The panel of Boltzmann machines on a real engine: half-steps, a painted part, undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from widgets.gibbs.complete_page import CompletePage
from widgets.gibbs.units_page import UnitsPage
from widgets.look import Look
from widgets.panels.gibbs import GibbsPanel

PATIENCE_MS = 60_000
SPEC = m.RunSpec("rbm", "digits", {"hidden_units": 12}, {"n_samples": 100, "levels": 2})


class Driver:
    """The window with the panel in front."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window, self.qtbot = window, qtbot

    def until(self, condition: Callable[..., object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    def start(self) -> None:
        self.window.session.start(SPEC, playing=False)
        self.until(lambda: self.window.session.current and self.window.session.current.info)
        self.window.workspace.show_panel("gibbs")
        self.until(lambda: (film := self.units.film) and film.is_whole)

    def click(self, widget: QWidget, spot: QPoint | None = None) -> None:
        """As a hand does: on the window, which undo listens to."""
        at = widget.mapTo(self.window, widget.rect().center() if spot is None else spot)
        QTest.mouseClick(self.window.windowHandle(), Qt.MouseButton.LeftButton, pos=at)  # type: ignore[call-overload]
        self.window.panel_undo.gestures.settle()

    @property
    def panel(self) -> GibbsPanel:
        panel = self.window.workspace.panels["gibbs"]
        assert isinstance(panel, GibbsPanel)
        return panel

    @property
    def units(self) -> UnitsPage:
        page = self.panel.modes["units"]
        assert isinstance(page, UnitsPage)
        return page


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


def test_a_chain_is_stepped_painted_over_and_taken_back(driver: Driver) -> None:
    page, panel = driver.units, driver.panel
    film = page.film
    assert film is not None
    assert (film.n_frames, film.kernels) == (201, ("hidden", "visible"))
    page.clock.pause()
    page.clock.go(5)
    driver.click(page.transport.buttons["step"])
    assert page.clock.place == 6
    assert (page.layers[0].states == film.states["h"][6, 0]).all()
    driver.click(page.transport.buttons["back"])
    assert (page.layers[0].states == film.states["h"][5, 0]).all()
    driver.click(panel.switch.buttons["complete"])
    complete = panel.mode
    assert isinstance(complete, CompletePage)
    driver.until(lambda: (film := complete.film) and film.is_whole)
    assert complete.film is not None
    picture, known = panel.desk.picture, complete.painter.known.reshape(-1)
    assert picture is not None
    assert (complete.film.states["v"][..., known] == picture[known]).all()
    # The upper half is known; the lower one goes its own way in every chain.
    lower = complete.film.states["v"][-1][:, ~known]
    assert len(np.unique(lower, axis=0)) > 1
    driver.click(complete.strip, complete.strip.rect_of(3).center().toPoint())
    undo: Any = driver.window.panel_undo
    assert panel.desk.index == 3
    undo.undo()
    assert panel.desk.index == 0
    undo.undo()
    assert panel.switch.current == "units"
    undo.redo()
    undo.redo()
    assert (panel.switch.current, panel.desk.index) == ("complete", 3)
