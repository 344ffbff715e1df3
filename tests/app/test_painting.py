"""From the canvas to the runs, on a link without an engine: who follows, how fast, and undo."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shiboken6
from PySide6.QtGui import QUndoStack

from app.painting import PaintingDesk
from app.session import Session
from app.workspace import Workspace
from engine.wire import messages as m
from engine.wire.painting import decode_dabs, encode_dabs, first_painting
from tests.app.conftest import FakeLink, make_info
from widgets.look import Look
from widgets.painting.state import as_png
from widgets.panels.paint import PaintPanel

OTHER = m.RunSpec("toy", "two_moons")
PAINTED = m.RunSpec("toy", "painted", dataset_config={"n_samples": 700})


class Desk:
    """The parts that the window joins."""

    def __init__(self, session: Session, link: FakeLink) -> None:
        self.session, self.link = session, link
        self.workspace = Workspace(Look())
        self.undo = QUndoStack()
        self.desk = PaintingDesk(session, self.undo, self.workspace)
        self.workspace.dock("paint")
        panel = self.workspace.panels["paint"]
        assert isinstance(panel, PaintPanel)
        self.panel = panel

    def start(self, spec: m.RunSpec) -> str:
        view = self.session.start(spec, playing=True)
        self.link.admit()
        return view.run

    def stroke(self, y: float) -> None:
        self.panel.canvas.press((-1.0, y))
        self.panel.canvas.drag((1.0, y))
        self.panel.canvas.release()

    def sent(self) -> list[Any]:
        return [record for record in self.link.sent if isinstance(record, m.SetData)]

    def take(self) -> None:
        """The engine has carried out the newest SetData."""
        command = self.sent()[-1]
        spec = m.RunSpec("toy", command.dataset, {}, command.dataset_config)
        self.link.acknowledged.emit(m.Ack(command.id, make_info(command.run, spec)))


@pytest.fixture
def desk(session: Session, link: FakeLink) -> Iterator[Desk]:
    made = Desk(session, link)
    yield made
    made.workspace.close()
    shiboken6.delete(made.workspace)


def test_runs_on_a_painting_follow_and_others_do_not(desk: Desk) -> None:
    first, _, third = desk.start(PAINTED), desk.start(OTHER), desk.start(PAINTED)
    desk.stroke(0.0)
    assert [command.run for command in desk.sent()] == [first, third]
    config = desk.sent()[0].dataset_config
    assert config["n_samples"] == 700
    assert len(decode_dabs(config["dabs"])) > len(first_painting())


def test_a_run_is_sent_the_newest_painting_once_it_has_taken_the_one_before(desk: Desk) -> None:
    desk.start(PAINTED)
    for y in (0.0, 1.0, 2.0):
        desk.stroke(y)
    assert len(desk.sent()) == 1
    desk.take()
    assert len(desk.sent()) == 2
    newest = decode_dabs(desk.sent()[1].dataset_config["dabs"])
    np.testing.assert_array_equal(newest, desk.panel.painting.dabs)
    desk.take()
    assert len(desk.sent()) == 2


def test_undo_and_redo_are_one_step_a_stroke_and_reach_the_run(desk: Desk) -> None:
    desk.start(PAINTED)
    desk.stroke(0.0)
    desk.take()
    desk.take()
    assert desk.undo.count() == 1
    desk.undo.undo()
    np.testing.assert_array_equal(desk.panel.painting.dabs, first_painting())
    desk.take()
    assert desk.sent()[-1].dataset_config["dabs"] == encode_dabs(first_painting())
    desk.undo.redo()
    assert len(desk.panel.painting.dabs) > len(first_painting())


def test_train_on_this_replaces_the_data_of_the_run_in_view(desk: Desk) -> None:
    old = desk.start(OTHER)
    desk.stroke(0.0)
    assert not desk.sent()
    desk.panel.train.click()
    started = desk.link.last(m.StartRun)
    assert started.run != old
    assert started.spec.model == "toy"
    assert started.spec.dataset == "painted"
    np.testing.assert_array_equal(
        decode_dabs(started.spec.dataset_config["dabs"]), desk.panel.painting.dabs
    )
    desk.link.admit()
    desk.stroke(1.0)
    assert desk.sent()[-1].run == started.run
    desk.undo.undo()
    desk.undo.undo()
    assert desk.session.current is not None
    assert desk.session.current.run == old


def test_a_picture_takes_the_place_of_a_painting(desk: Desk, tmp_path: Path) -> None:
    desk.start(PAINTED)
    grey = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (20, 1))
    (tmp_path / "own.png").write_bytes(base64.b64decode(as_png(grey)))
    desk.desk.open_picture(str(tmp_path / "own.png"))
    assert desk.sent()[-1].dataset == "picture"
    assert desk.sent()[-1].dataset_config["n_samples"] == 700
    assert "dabs" not in desk.sent()[-1].dataset_config
    desk.undo.undo()
    desk.take()
    assert desk.sent()[-1].dataset == "painted"


def test_the_panel_says_the_entropy_of_what_the_run_has_taken(desk: Desk) -> None:
    desk.start(PAINTED)
    desk.panel.open_run(desk.session.current.info if desk.session.current else None)
    desk.stroke(0.0)
    desk.take()
    assert any("H = 1.500 nats" in chip.text for chip in desk.panel.chips.chips)
