"""The panel of Boltzmann machines on a real engine: half-steps, a painted part, undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.wire import messages as m
from tests.end_to_end.panel_driver import PanelDriver, opened
from widgets.gibbs.complete_page import CompletePage
from widgets.gibbs.units_page import UnitsPage

SPEC = m.RunSpec("rbm", "digits", {"hidden_units": 12}, {"n_samples": 100, "levels": 2})


class Driver(PanelDriver):
    """The window with the panel of Boltzmann machines in front."""

    name = "gibbs"

    @property
    def units(self) -> UnitsPage:
        """The first mode."""
        page = self.panel.modes["units"]
        assert isinstance(page, UnitsPage)
        return page


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    with opened(Driver, qtbot, tmp_path, (1500, 900)) as made:
        made.start(SPEC)
        made.until(lambda: (film := made.units.film) and film.is_whole)
        yield made


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
