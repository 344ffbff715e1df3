"""The line that shows what is fetched, and the kind of a path of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QObject, Signal

from app.fetch_bar import FetchBar, words_for
from app.own_data import own_dataset
from engine.wire import messages as m
from widgets.look import Look


class Link(QObject):
    progressed = Signal(object)
    acknowledged = Signal(object)
    failed = Signal(object)
    died = Signal(str, str)

    def next_id(self) -> int:
        return 99

    def engine_of(self, run: str) -> str:
        return "second" if run == "b" else "main"


class Sitting:
    """As much of a session as the line needs."""

    def __init__(self) -> None:
        self.link = Link()
        self.sent: list[Any] = []

    def command(self, command: Any) -> None:
        self.sent.append(command)


@pytest.fixture
def sitting() -> Sitting:
    return Sitting()


@pytest.fixture
def bar(qtbot: Any, sitting: Sitting) -> FetchBar:
    made = FetchBar(sitting, Look())  # type: ignore[arg-type]
    qtbot.addWidget(made)
    return made


def progress(name: int, run: str = "a", done: int = 3_200_000) -> m.Progress:
    return m.Progress(name, run, "Fetching MNIST", done, 11_600_000)


def test_it_shows_how_far_it_is_and_hides_at_the_end(bar: FetchBar, sitting: Sitting) -> None:
    assert bar.isHidden()
    sitting.link.progressed.emit(progress(7))
    assert not bar.isHidden()
    assert bar.text == "Fetching MNIST: 3.2 of 11.6 MB"
    assert bar.bar.value() == round(1000 * 3.2 / 11.6)
    sitting.link.acknowledged.emit(m.Ack(6))
    sitting.link.failed.emit(m.Failed("", "", ""))
    assert not bar.isHidden()
    sitting.link.acknowledged.emit(m.Ack(7))
    assert bar.isHidden()
    assert bar.text == ""


def test_cancel_gives_up_what_is_shown(bar: FetchBar, sitting: Sitting) -> None:
    sitting.link.progressed.emit(progress(7))
    sitting.link.progressed.emit(progress(8, "b", 1_000_000))
    assert "3.2" in bar.text
    bar.cancel.click()
    assert sitting.sent == [m.CancelFetch(99, "a", 7)]
    sitting.link.failed.emit(m.Failed("StartRun", "cancelled", "", run="a", id=7))
    assert bar.text == "Fetching MNIST: 1.0 of 11.6 MB"
    bar.cancel.click()
    assert sitting.sent[1:] == [m.CancelFetch(99, "b", 8)]
    sitting.link.died.emit("main", "")
    assert not bar.isHidden()
    sitting.link.died.emit("second", "")
    assert bar.isHidden()


def test_files_are_counted() -> None:
    reading = m.Progress(1, "a", "Reading Your own pictures", 1234, 20_000, "pictures")
    assert words_for(reading) == "Reading Your own pictures: 1 234 of 20 000"


@pytest.mark.parametrize(
    ("name", "arrays", "wanted"),
    [
        ("a.npy", (np.zeros((4, 2)),), "points"),
        ("a.npy", (np.zeros((4, 8, 8)),), "pictures"),
        ("a.npy", (np.zeros((4, 8, 8, 3)),), "pictures"),
        ("a.npz", (np.zeros(4), np.zeros((4, 8, 8))), "pictures"),
        ("a.npz", (np.zeros((4, 2)), np.zeros((4, 8, 8))), "points"),
        ("a.npz", (), "points"),
        ("a.npy", (), "points"),
        ("a.csv", (), "points"),
    ],
)
def test_arrays_of_pictures_are_told_from_tables(
    tmp_path: Path, name: str, arrays: tuple[Any, ...], wanted: str
) -> None:
    path = tmp_path / name
    if not arrays:
        path.write_bytes(b"1,2\n")
    elif name.endswith(".npy"):
        np.save(path, arrays[0])
    else:
        np.savez(path, *arrays)
    assert own_dataset(path) == wanted
    assert own_dataset(tmp_path) == "pictures"
