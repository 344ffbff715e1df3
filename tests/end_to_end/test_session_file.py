"""Sessions saved, opened, damaged and recovered in the real window on a real engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from app.session_file import RUNS, new_folder
from engine.wire import messages as m
from engine.wire.painting import encode_dabs
from tests.end_to_end.test_window import Driver
from widgets.look import Look

FLOW = m.RunSpec(
    "realnvp", "two_moons", {"n_layers": 2, "hidden_features": [16]}, {"n_samples": 300}, 3
)
MIXTURE = m.RunSpec("gaussian_mixture", "eight_gaussians", {"n_components": 4}, {"n_samples": 300})
BOX = {"low": [-3.0, -3.0], "high": [3.0, 3.0], "size": 64}
DABS = np.array([[0, 0, 0.5, 1], [2, 1, 0.3, 2], [-2, 1, 0.4, 1]], np.float32)


class Windows:
    """Makes windows, each on an engine and a session folder of its own."""

    def __init__(self, qtbot: Any, root: Path) -> None:
        self.qtbot, self.root = qtbot, root
        self.open: list[MainWindow] = []
        self.said: list[Any] = []

    def make(self, folder: Path | None = None) -> Driver:
        home = folder or new_folder(self.root)
        link = EnginePool(lambda: start_engine(home / RUNS))
        notices = Notices()
        notices.posted.connect(self.said.append)
        window = MainWindow(link, notices, Look(), settings_file.Settings())
        window.sessions.keep_in(home)
        self.qtbot.addWidget(window)
        self.open.append(window)
        driver = Driver(window, self.qtbot)
        window.show()
        driver.until(lambda: window.session.hello)
        return driver

    def close(self, driver: Driver) -> None:
        driver.window.close()
        self.open.remove(driver.window)


@pytest.fixture
def windows(qtbot: Any, tmp_path: Path) -> Iterator[Windows]:
    made = Windows(qtbot, tmp_path / "sessions")
    yield made
    for window in [*made.open]:
        window.close()


def train(driver: Driver, spec: m.RunSpec, steps: int) -> Any:
    session = driver.window.session
    view = session.start(spec, playing=False)
    driver.until(lambda: view.info is not None and view.state is not None)
    session.step(view, steps)
    driver.until(lambda: view.step == steps and view.state.state == "paused")
    driver.until(lambda: len(view.metrics.steps) and view.metrics.steps[-1] == steps)
    return view


def ask(driver: Driver, run: str, step: int) -> m.Answer:
    """The density picture of a stored step of a run."""
    answers: list[m.Answer] = []
    slot = m.Slot("test", run, "density")
    driver.window.link.answered.connect(answers.append)
    driver.window.link.send(m.Ask(slot, 1, "density", BOX, cursor=step))
    driver.until(lambda: any(a.slot == slot and a.final for a in answers))
    driver.window.link.answered.disconnect(answers.append)
    answer = [a for a in answers if a.slot == slot and a.final][-1]
    assert answer.step == step
    return answer


def save(driver: Driver, path: Path) -> None:
    driver.window.files.save_session_path(str(path))
    driver.until(lambda: not driver.window.sessions.is_busy)
    assert path.is_file(), driver.window.banner.text


def reopen(driver: Driver, path: Path) -> list[str]:
    lost: list[list[str]] = []
    driver.window.sessions.opened.connect(lost.append)
    driver.window.files.open_path(str(path))
    driver.until(lambda: lost or not driver.window.sessions.is_busy)
    return lost[0] if lost else ["refused"]


def test_session_comes_back_whole(windows: Windows, tmp_path: Path) -> None:
    first = windows.make()
    mixture = train(first, MIXTURE, 6)
    parent = train(first, FLOW, 60)
    child = first.window.session.fork(parent, 20, {"learning_rate": 1e-4}, playing=False)
    first.until(lambda: child.step == 20 and child.state.state == "paused")
    painted = m.RunSpec("gaussian_mixture", "painted", {}, {"dabs": encode_dabs(DABS)})
    brushed = train(first, painted, 3)
    first.window.session.select(parent.run)
    first.window.session.set_pace(parent, 40.0)
    first.window.workspace.show_panel("training", False)
    stored = parent.state.stored
    before = ask(first, parent.run, 37).arrays
    first.window.session.set_cursor(37)
    path = tmp_path / "four.genscope"
    save(first, path)
    assert not first.window.isWindowModified()
    assert "four" in first.window.windowTitle()
    steps = [mixture.step, parent.step, child.step, brushed.step]
    curves = [view.metrics.as_metrics("") for view in (mixture, parent, child, brushed)]
    windows.close(first)

    second = windows.make()
    assert reopen(second, path) == []
    views = second.window.session.runs
    assert [view.step for view in views] == steps
    for view, curve in zip(views, curves, strict=True):
        again = view.metrics.as_metrics("")
        assert again.columns == curve.columns
        assert np.array_equal(again.steps, curve.steps)
        assert np.array_equal(again.table, curve.table, equal_nan=True)
    assert second.window.session.cursor == 37
    assert second.run is views[1]
    second.until(lambda: second.run.state is not None)
    assert second.run.state.stored == stored
    assert second.run.pace == 40.0
    assert views[2].info.parent == views[1].run
    assert views[2].info.forked_at == 20
    assert views[3].spec.dataset_config["dabs"] == encode_dabs(DABS)
    assert not second.window.workspace.dock("training").isVisible()
    after = ask(second, second.run.run, 37).arrays
    for name, array in before.items():
        assert np.array_equal(array, after[name], equal_nan=True), name


@pytest.mark.slow
def test_reopened_run_goes_on_bit_for_bit(windows: Windows, tmp_path: Path) -> None:
    first = windows.make()
    view = train(first, FLOW, 30)
    path = tmp_path / "one.genscope"
    save(first, path)
    first.window.session.step(view, 15)
    first.until(lambda: view.step == 45 and view.state.state == "paused")
    wanted = ask(first, view.run, 45).arrays
    windows.close(first)
    second = windows.make()
    assert reopen(second, path) == []
    run = second.run
    assert run.step == 30
    second.window.session.step(run, 15)
    second.until(lambda: run.step == 45 and run.state.state == "paused")
    for name, array in ask(second, run.run, 45).arrays.items():
        assert np.array_equal(array, wanted[name], equal_nan=True), name


@pytest.mark.slow
def test_opening_puts_aside_what_was_open(windows: Windows, tmp_path: Path) -> None:
    driver = windows.make()
    train(driver, MIXTURE, 4)
    path = tmp_path / "one.genscope"
    save(driver, path)
    train(driver, FLOW, 9)
    assert reopen(driver, path) == []
    assert [view.spec.model for view in driver.window.session.runs] == ["gaussian_mixture"]
    assert not driver.window.undo_stack.canUndo()
    back: list[object] = []
    driver.window.sessions.opened.connect(back.append)
    driver.press_banner("Bring back")
    driver.until(lambda: back)
    views = driver.window.session.runs
    assert [(v.spec.model, v.step) for v in views] == [("gaussian_mixture", 4), ("realnvp", 9)]
    assert driver.window.sessions.path == str(path)
    assert driver.window.isWindowModified()


def test_damaged_session_opens_as_far_as_it_can(windows: Windows, tmp_path: Path) -> None:
    driver = windows.make()
    train(driver, MIXTURE, 5)
    train(driver, FLOW, 30)
    path = tmp_path / "two.genscope"
    save(driver, path)
    data = bytearray(path.read_bytes())
    for name in (b"runs/run-1.safetensors", b"runs/run-2.history/s-000000000007.safetensors"):
        at = data.index(name) + len(name) + 200
        data[at] ^= 1
    path.write_bytes(bytes(data))
    lost = reopen(driver, path)
    assert len(driver.window.session.runs) == 1
    assert driver.run.step == 30
    text = driver.window.banner.text
    assert "Opened 1 of 2 runs of two.genscope" in text
    assert "could not be read" in lost[0]
    assert "1 stored step lost" in lost[1]
    driver.until(lambda: driver.run.state is not None)
    assert 7 not in driver.run.state.stored
    assert 6 in driver.run.state.stored


def test_refused_file_leaves_what_is_open(windows: Windows, tmp_path: Path) -> None:
    driver = windows.make()
    view = train(driver, MIXTURE, 3)
    path = tmp_path / "bad.genscope"
    path.write_bytes(b"\x80\x04junk")
    driver.window.files.open_path(str(path))
    driver.until(lambda: "is a pickle" in driver.window.banner.text)
    assert driver.run is view
    assert not driver.window.sessions.is_busy


@pytest.mark.slow
def test_engine_that_died_loses_nothing_of_an_opened_session(
    windows: Windows, tmp_path: Path
) -> None:
    driver = windows.make()
    train(driver, FLOW, 30)
    path = tmp_path / "one.genscope"
    save(driver, path)
    assert reopen(driver, path) == []
    view = driver.run
    stored = view.state.stored
    os.kill(driver.window.link.pid() or 0, signal.SIGKILL)
    driver.until(lambda: "signal 9" in driver.window.banner.text)
    driver.press_banner("Restart")
    driver.until(lambda: view.state.state != "stopped" and view.info.step == 30)
    driver.until(lambda: view.state.stored == stored)
    assert int(view.metrics.steps[-1]) == 30


@pytest.mark.slow
def test_session_of_a_dead_engine_is_saved_from_the_disk(windows: Windows, tmp_path: Path) -> None:
    driver = windows.make()
    view = train(driver, FLOW, 30)
    driver.window.session.pause(view)
    driver.until(lambda: view.state.keyframe_step == 30)
    os.kill(driver.window.link.pid() or 0, signal.SIGKILL)
    driver.until(lambda: view.state.state == "stopped")
    path = tmp_path / "one.genscope"
    save(driver, path)
    windows.close(driver)
    second = windows.make()
    reopen(second, path)
    assert second.run.step == 30
