"""The real window on a real engine, used as its users would."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from widgets.look import Look

PATIENCE_MS = 60_000
SPEC = m.RunSpec("realnvp", "two_moons", {"n_layers": 2, "hidden_features": [16]})


class Driver:
    """A window, and waiting for what the user would see."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window = window
        self.qtbot = qtbot
        self.pictures: list[tuple[str, str, m.Answer]] = []
        window.asker.pictured.connect(lambda *args: self.pictures.append(args))

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    @property
    def run(self) -> Any:
        assert self.window.session.current is not None
        return self.window.session.current

    def start(self, spec: m.RunSpec = SPEC, playing: bool = False) -> None:
        self.window.session.start(spec, playing=playing)
        self.until(lambda: self.window.session.current and self.run.spec.model == spec.model)

    def do(self, action: str) -> None:
        self.window.actions_table.trigger(action)

    def pictured(self, part: str = "density") -> list[m.Answer]:
        return [answer for _, name, answer in self.pictures if name == part]

    def shown(self) -> m.Answer | None:
        """The density picture on screen, if there is one yet."""
        pictures = self.pictured()
        return pictures[-1] if pictures else None

    def shows(self, *, step: int | None = None, run: str = "") -> bool:
        """Whether the picture on screen is of that step, or of that run."""
        answer = self.shown()
        if answer is None:
            return False
        return (step is None or answer.step == step) and run in ("", answer.slot.run)

    def press_banner(self, words: str) -> None:
        buttons = self.window.banner.findChildren(QPushButton)
        chosen = [b for b in buttons if b.text().lower().startswith(words.lower())]
        assert chosen, [b.text() for b in buttons]
        self.qtbot.mouseClick(chosen[0], Qt.MouseButton.LeftButton)


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    folder = tmp_path / "keyframes"
    link = EnginePool(lambda: start_engine(folder))
    window = MainWindow(link, Notices(), Look(), settings_file.Settings())
    qtbot.addWidget(window)
    made = Driver(window, qtbot)
    window.show()
    made.until(lambda: window.session.hello)
    yield made
    window.close()


def test_learning_is_watched_paused_stepped_and_looked_back_at(driver: Driver) -> None:
    driver.start()
    driver.until(lambda: driver.pictured())
    driver.do("run.play")
    driver.until(lambda: driver.run.step > 30)
    driver.until(lambda: (answer := driver.shown()) and answer.step > 10)
    driver.do("run.play")
    driver.until(lambda: driver.run.state.state == "paused")
    at = driver.run.step
    driver.do("run.step")
    driver.until(lambda: driver.run.step == at + 1)
    driver.do("run.back")
    cursor = driver.window.session.cursor
    assert cursor is not None
    assert cursor <= at
    driver.until(lambda: driver.shows(step=cursor))
    driver.do("run.first")
    driver.until(lambda: driver.shows(step=0))
    driver.do("run.live")
    driver.until(lambda: driver.shows(step=at + 1))
    driver.do("run.reset")
    driver.until(lambda: driver.run.step == 0 and driver.shows(step=0))


def test_space_plays_whatever_has_the_focus(driver: Driver) -> None:
    driver.start()
    driver.window.activateWindow()
    driver.window.windowHandle().requestActivate()
    assert QTest.qWaitForWindowActive(driver.window, PATIENCE_MS)
    driver.qtbot.keyClick(driver.window, Qt.Key.Key_Space)
    driver.until(lambda: driver.run.is_training)
    driver.qtbot.keyClick(driver.window, Qt.Key.Key_Space)
    driver.until(lambda: not driver.run.is_training)


def test_change_of_model_restarts_and_undo_brings_the_trained_run_back(driver: Driver) -> None:
    driver.start(playing=True)
    driver.until(lambda: driver.run.step > 20)
    driver.window.setup._on_model_picked("gaussian_mixture")
    driver.until(lambda: driver.run.spec.model == "gaussian_mixture")
    assert len(driver.window.session.runs) == 1
    driver.until(lambda: driver.shows(run=driver.run.run))
    driver.do("edit.undo")
    driver.until(lambda: driver.run.spec.model == "realnvp")
    assert driver.run.step > 20


def test_live_setting_changes_without_a_restart(driver: Driver) -> None:
    driver.start(playing=True)
    driver.until(lambda: driver.run.step > 5)
    name = driver.run.run
    driver.window.setup._on_model_edited({"learning_rate": 0.0123})
    driver.until(lambda: driver.run.state.live.get("learning_rate") == 0.0123)
    assert driver.run.run == name
    driver.do("edit.undo")
    driver.until(lambda: driver.run.state.live.get("learning_rate") != 0.0123)


def test_killed_engine_is_restarted_from_the_banner_with_its_run(driver: Driver) -> None:
    driver.start(playing=True)
    driver.until(lambda: driver.run.state and driver.run.state.keyframe_step > 0)
    kept = driver.run.state.keyframe_step
    os.kill(driver.window.link.pid() or 0, signal.SIGKILL)
    driver.until(lambda: "stopped (signal 9)" in driver.window.banner.text)
    assert driver.window.isVisible()
    driver.pictures.clear()
    driver.press_banner("Restart")
    driver.until(lambda: driver.run.info.step >= kept)
    driver.until(lambda: (answer := driver.shown()) and answer.step >= kept)


def test_runs_train_beside_each_other(driver: Driver) -> None:
    driver.start(playing=True)
    driver.do("run.new")
    driver.until(lambda: len(driver.window.session.runs) == 2)
    second = driver.window.session.runs[1]
    driver.until(lambda: driver.run is second and second.info)
    driver.do("run.play")
    driver.until(lambda: all(view.step > 10 for view in driver.window.session.runs))
    driver.do("run.next")
    driver.do("run.close")
    driver.until(lambda: len(driver.window.session.runs) == 1)


def test_saved_run_opens_and_goes_on(driver: Driver, tmp_path: Path) -> None:
    driver.start()
    driver.do("run.step")
    driver.until(lambda: driver.run.step == 1)
    path = tmp_path / "run.safetensors"
    driver.window.files.save_path(str(path))
    driver.until(path.is_file)
    driver.window.files.open_path(str(path))
    driver.until(lambda: len(driver.window.session.runs) == 2)
    second = driver.window.session.runs[1]
    driver.until(lambda: driver.run is second and second.info)
    assert driver.run.step == 1
    driver.do("run.step")
    driver.until(lambda: driver.run.step == 2)


def test_damaged_files_are_refused_with_a_sentence(driver: Driver, tmp_path: Path) -> None:
    driver.start()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"\x80\x04not a run")
    driver.window.files.open_path(str(path))
    driver.until(lambda: "bad.safetensors" in driver.window.banner.text)
    assert driver.run.spec.model == "realnvp"
    assert len(driver.window.session.runs) == 1


def test_dropped_table_becomes_the_data(driver: Driver, tmp_path: Path) -> None:
    driver.start()
    path = tmp_path / "mine.csv"
    rows = np.random.default_rng(0).normal(size=(200, 3))
    text = "\n".join(",".join(f"{v:.4f}" for v in row) for row in rows)
    path.write_text(f"a,b,c\n{text}\n,1,2\n")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(10, 10),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    driver.window.dropEvent(event)
    driver.until(lambda: driver.run.spec.dataset == "points" and driver.run.info)
    assert driver.run.info.data.columns == ("a", "b", "c")
    assert "1 of 201" in " ".join(driver.run.info.data.notes)
    driver.until(lambda: driver.shows(run=driver.run.run))
    driver.window.setup._columns.edited.emit({"columns": ["a", "c"]})
    driver.until(lambda: driver.run.info and driver.run.info.data.columns == ("a", "c"))


def test_theme_and_scale_change_while_running(driver: Driver) -> None:
    driver.start(playing=True)
    before = QApplication.instance().font().pointSizeF()  # type: ignore[union-attr]
    driver.do("view.theme")
    assert driver.window.look.palette.name == "light"
    driver.do("view.larger")
    assert driver.window.look.scale > 1.0
    driver.until(lambda: driver.run.step > 5)
    assert before > 0


def test_palette_lists_every_action_and_does_what_is_chosen(driver: Driver) -> None:
    driver.start()
    driver.do("edit.palette")
    box = driver.window.palette_box
    assert len(box.shown_ids()) == len(driver.window.actions_table.entries)
    driver.qtbot.keyClicks(box.line, "dark or light")
    driver.qtbot.keyClick(box.line, Qt.Key.Key_Return)
    assert driver.window.look.palette.name == "light"


def test_layout_is_remembered(driver: Driver) -> None:
    driver.window.workspace.show_panel("training", False)
    driver.window.remember_layout()
    stored = driver.window.settings.layout
    assert stored.docks
    assert "density" in stored.panels
    driver.window.reset_layout()
    assert driver.window.workspace.dock("training").isVisible()
    assert driver.window.workspace.restore(stored.docks, stored.panels)
    assert not driver.window.workspace.dock("training").isVisible()


def test_play_without_a_run_starts_what_is_set_up(driver: Driver) -> None:
    driver.do("run.play")
    driver.until(lambda: driver.window.session.current and driver.run.step > 0)
    driver.do("run.close")
    driver.until(lambda: driver.window.session.current is None)
    driver.window.files.open_path("/nowhere/mine.csv")
    driver.until(lambda: "mine.csv" in driver.window.banner.text)
    # Until the refused run is gone its data are what is set up.
    driver.until(lambda: not driver.window.session.runs)
    driver.do("run.new")
    driver.until(lambda: driver.window.session.current and driver.run.step > 0)


def test_a_panel_behind_another_tab_asks_nothing(driver: Driver) -> None:
    driver.start(playing=True)
    driver.until(lambda: driver.shown())
    workspace = driver.window.workspace
    density, training = workspace.dock("density"), workspace.dock("training")
    workspace.tabifyDockWidget(density, training)
    training.raise_()
    panel = workspace.panels["density"]
    driver.until(lambda: panel.visibleRegion().isEmpty())
    driver.qtbot.wait(1000)  # what was on its way arrives
    count, at = len(driver.pictured()), driver.run.step
    driver.until(lambda: driver.run.step > at + 100)
    assert len(driver.pictured()) == count
    density.raise_()
    driver.until(lambda: len(driver.pictured()) > count)
