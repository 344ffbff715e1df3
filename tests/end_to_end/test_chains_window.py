"""The panel of chains on a real engine: the walk, a slider in its middle, the buffer, undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.wire import messages as m
from tests.end_to_end.panel_driver import PanelDriver, opened

SPEC = m.RunSpec(
    "ebm", "two_moons", {"hidden_features": [8], "buffer_size": 64, "batch_size": 32},
    {"n_samples": 300},
)  # fmt: skip


class Driver(PanelDriver):
    """The window with the panel of chains in front."""

    name = "chains"

    def is_whole(self) -> bool:
        """Whether the walk is there."""
        film = self.panel.desk.film
        return film is not None and film.n == 101


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    with opened(Driver, qtbot, tmp_path, (1500, 900)) as made:
        made.start(SPEC)
        made.panel.desk.n, made.panel.desk.length = 100, 100
        made.until(made.is_whole)
        yield made


def test_a_walk_is_bent_and_the_trainings_chains_are_shown(driver: Driver) -> None:
    bend(driver.panel, driver)
    show_the_trainings_chains(driver.panel, driver)


def bend(panel: Any, driver: Driver) -> None:
    """A slider moved in the middle of a walk changes only what comes after."""
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


def show_the_trainings_chains(panel: Any, driver: Driver) -> None:
    """The buffer is empty before training and filled after; choices are taken back."""
    session = driver.window.session
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
