"""The pixels panel on a real engine: growing, stepping back, what if, inpainting, scrubbing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.main_window import MainWindow
from engine.wire import messages as m
from tests.end_to_end.panel_driver import PATIENCE_MS, PanelDriver, opened

SPEC = m.RunSpec(
    "gated_pixelcnn",
    "digits",
    {"n_layers": 2, "n_channels": 8},
    {"levels": 17, "n_samples": 100},
)


class Driver(PanelDriver):
    """The window with the pixels panel in front, and all its answers in order."""

    name = "pixels"

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        super().__init__(window, qtbot)
        self.every: list[tuple[str, m.Answer]] = []

    def note(self, panel: str, part: str, answer: m.Answer) -> None:
        """An answer came."""
        super().note(panel, part, answer)
        if panel == self.name:
            self.every.append((part, answer))

    def grown(self, *, step: int = 0) -> Any:
        """The film of these weights, when all of it is there."""
        self.until(lambda: (f := self.panel.desk.film) and f.is_whole and f.step == step)
        return self.panel.desk.film

    def last(self, part: str) -> m.Answer | None:
        return next((a for p, a in reversed(self.every) if p == part and a.final), None)


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    with opened(Driver, qtbot, tmp_path) as made:
        made.start(SPEC)
        yield made


def test_a_digit_grows_and_can_be_stepped_back(driver: Driver) -> None:
    grow = driver.mode("grow")
    driver.until(lambda: grow.clock.place > 3)
    film = driver.grown()
    numbers = [a.number for part, a in driver.every if part == "samples"]
    assert numbers == list(range(len(numbers)))
    assert set(np.unique(film.values)) <= set(range(17))
    grow.clock.pause()
    grow.clock.go(30)
    before = grow.wall.pixels.copy()
    at = film.probabilities[film.index_at(29)]
    np.testing.assert_array_equal(grow.bars.heights, at)
    grow.clock.step(-1)
    assert (grow.wall.pixels != before).any()
    np.testing.assert_allclose(at.sum(), 1.0, atol=1e-5)
    taken = np.log(film.probabilities[film.order, film.values[0, film.order].astype(int)])
    np.testing.assert_allclose(taken.sum(), film.log_prob(0, 64), atol=1e-3)


def test_keys_move_the_panels_own_time_while_it_has_the_focus(driver: Driver) -> None:
    grow = driver.mode("grow")
    driver.grown()
    grow.clock.pause()
    grow.clock.go(10)
    driver.window.activateWindow()
    driver.window.windowHandle().requestActivate()
    assert QTest.qWaitForWindowActive(driver.window, PATIENCE_MS)
    grow.canvas.setFocus()
    driver.qtbot.keyClick(grow.canvas, Qt.Key.Key_Left)
    assert grow.clock.place == 9
    driver.qtbot.keyClick(grow.canvas, Qt.Key.Key_Space)
    assert grow.clock.is_playing
    assert not driver.run.is_training
    grow.clock.pause()
    driver.window.transport.timeline.setFocus()
    driver.qtbot.keyClick(driver.window.transport.timeline, Qt.Key.Key_Space)
    driver.until(lambda: driver.run.is_training)
    assert not grow.clock.is_playing


def test_what_if_leaves_what_came_before_as_it_was(driver: Driver) -> None:
    mode = driver.mode("what_if")
    film = driver.grown()
    mode.canvas.chosen.emit(28)
    mode.bars.picked.emit(16.0 if film.values[0, 28] != 16.0 else 0.0)
    driver.until(lambda: driver.last("futures"))
    found = driver.last("futures")
    assert found is not None
    changed = found.arrays["changed"].reshape(-1, 64)
    np.testing.assert_array_equal(changed[:, :28], np.tile(film.values[0, :28], (len(changed), 1)))
    unchanged = found.arrays["unchanged"].reshape(-1, 64)
    np.testing.assert_array_equal(unchanged, np.tile(film.values[0], (len(changed), 1)))
    assert (changed[:, 28] == mode.value).all()


def test_inpainting_keeps_what_is_known(driver: Driver) -> None:
    mode = driver.mode("inpaint")
    driver.until(lambda: driver.last("completions"))
    mode.painter.occlude("left")
    driver.until(lambda: (a := driver.last("completions")) and a.values["n_unseen"])
    found = driver.last("completions")
    assert found is not None
    original = mode.picker.values.reshape(8, 8)
    drawn = found.arrays["completions"].reshape(-1, 8, 8)
    np.testing.assert_array_equal(drawn[:, :, 4:], np.tile(original[:, 4:], (len(drawn), 1, 1)))
    assert len(np.unique(drawn[:, :, :4], axis=0)) > 1
    driver.until(lambda: "kept, not conditioned on" in driver.panel.chips.accessibleName())


def test_the_field_is_exact_and_the_losses_come(driver: Driver) -> None:
    mode = driver.mode("sees")
    mode.canvas.chosen.emit(42)
    driver.until(lambda: (a := driver.last("field")) and a.values["n_earlier"] == 42)
    found = driver.last("field")
    assert found is not None
    assert found.values["n_leaks"] == 0
    assert not found.arrays["influence"].reshape(-1)[42:].any()
    driver.mode("errors")
    driver.until(lambda: "own samples, free running" in driver.panel.chips.accessibleName())


def test_the_films_follow_the_cursor_under_the_same_noise(driver: Driver) -> None:
    driver.mode("grow")
    first = driver.grown().values.copy()
    for step in range(3):
        driver.window.step(1)
        driver.until(lambda step=step: driver.run.step == step + 1 and not driver.run.is_training)
    later = driver.grown(step=3).values.copy()
    assert (first != later).any()
    driver.window.actions_table.trigger("run.first")
    np.testing.assert_array_equal(driver.grown(step=0).values, first)
    driver.window.actions_table.trigger("run.live")
    np.testing.assert_array_equal(driver.grown(step=3).values, later)


def test_samples_improve_while_a_run_trains(driver: Driver) -> None:
    driver.mode("grow")
    driver.grown()
    driver.window.set_playing(True)
    driver.until(lambda: (f := driver.panel.desk.film) and f.step > 3)
    driver.window.set_playing(False)
    driver.until(lambda: not driver.run.is_training)
    driver.grown(step=driver.run.step)


def test_a_model_without_an_order_is_refused_with_a_reason(driver: Driver) -> None:
    driver.window.session.start(m.RunSpec("gan", "eight_gaussians"), playing=False)
    driver.until(lambda: driver.run.spec.model == "gan")
    driver.until(lambda: "conditionals in an order" in driver.panel.banner.text)
    assert driver.panel.asks(rest=True) == {}


def test_an_example_opens_and_moves(driver: Driver) -> None:
    driver.window.actions_table.trigger("file.example_digits")
    driver.until(lambda: driver.run.info and driver.run.info.step > 0)
    film = driver.grown(step=driver.run.info.step)
    assert film.labels == tuple(k % 10 for k in range(16))
    grow = driver.panel.modes["grow"]
    driver.until(lambda: grow.clock.place > 3)  # by itself
    driver.window.undo_stack.undo()
    driver.until(lambda: driver.run.info.step == 0)
