"""The panel of sweeps: what it asks, what it says, how it is moved through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from engine.wire.messages import Answer, RunInfo, Slot
from tests.widgets.fakes import run_info
from widgets.panel import Panel
from widgets.panels.sweeps import SweepsPanel


def gaussianization(size: int = 2) -> RunInfo:
    info = run_info("realnvp", (size,))
    card = msgspec.structs.replace(info.card, features=("sweeps",))
    return msgspec.structs.replace(info, card=card)


def answer(sweep: int, n: int = 5) -> Answer:
    grid = np.linspace(-3.0, 3.0, 61)
    edges = np.linspace(-2.0, 2.0, 5)
    bell = np.exp(-0.5 * grid**2)
    left = np.linspace(1.0, 0.0, n + 1)
    two: Callable[[Any], Any] = lambda a: np.stack([a, a])  # noqa: E731
    arrays: dict[str, Any] = {
        "left_train": left, "left_test": left + 0.1,
        "error_train": np.full(n + 1, 0.01), "error_test": np.full(n + 1, 0.02),
        "turn": np.eye(2), "before": np.zeros((9, 2)), "turned": np.zeros((9, 2)),
        "bent": np.zeros((9, 2)), "u": two(grid), "y": two(grid), "u_density": two(bell),
        "y_density": two(bell), "u_edges": two(edges), "y_edges": two(edges),
        "normal_mass": two(np.full(4, 0.2)), "mass": two(np.full(4, 0.21)),
    }  # fmt: skip
    values = {"n_sweeps": n, "sweep": min(sweep, n), "axes": [0, 1], "absolute": 1,
              "angle": 30.0, "is_orthogonal": 1, "mirrors": 0}  # fmt: skip
    return Answer(Slot("sweeps", "run-1", "sweeps"), 1, 5, arrays, values)


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> SweepsPanel:
    made = show_panel(SweepsPanel)
    assert isinstance(made, SweepsPanel)
    made.resize(1000, 600)
    made.open_run(gaussianization())
    return made


def wanted(panel: SweepsPanel) -> Any:
    return panel.asks(rest=True)["sweeps"].arguments["sweep"]


def test_other_models_are_refused_in_words() -> None:
    assert SweepsPanel.refusal(gaussianization().card) == ""
    assert "has none" in SweepsPanel.refusal(run_info("realnvp", (2,)).card)


def test_the_last_sweep_is_followed_until_another_is_chosen(panel: SweepsPanel) -> None:
    assert wanted(panel) >= 1000
    panel.show_answer("sweeps", answer(10**6))
    assert (panel.clock.place, panel.clock.size) == (5, 5)
    panel.show_answer("sweeps", answer(10**6, n=6))
    assert panel.clock.place == 6
    QTest.keyClick(panel, Qt.Key.Key_Left)
    assert wanted(panel) == 5
    panel.show_answer("sweeps", answer(5, n=7))
    assert (panel.clock.place, panel.clock.size) == (5, 7)
    QTest.keyClick(panel, Qt.Key.Key_Home)
    assert wanted(panel) == 1
    for _ in range(8):
        QTest.keyClick(panel, Qt.Key.Key_Right)
    assert wanted(panel) >= 1000


def test_it_says_how_much_is_left_and_was_taken(panel: SweepsPanel) -> None:
    panel.show_answer("sweeps", answer(5))
    texts = [chip.text for chip in panel.chips.chips]
    assert "negentropy left, held out: 0.100 ± 0.020 nats" in texts
    assert "this sweep took 0.2000 nats" in texts
    assert "turned by 30.0°" in texts
    words = [view.words_at(view.width() / 2 + 60, view.height() - 60)
             for view in panel.page.areas.values()]  # fmt: skip
    assert all("mass in u" in text for text in words)
    assert "mass in u₂" in words[1]


def test_a_click_on_the_curve_goes_to_its_sweep(panel: SweepsPanel) -> None:
    panel.show_answer("sweeps", answer(5))
    panel.page.curves.frame.clicked.emit((2.2, 0.5))
    assert wanted(panel) == 2
    assert panel.save_state() == {"sweep": 2}
    panel.restore_state({"sweep": 4})
    assert wanted(panel) == 4
    panel.restore_state({"sweep": 0})
    assert wanted(panel) >= 1000


def test_of_many_axes_two_are_chosen(panel: SweepsPanel) -> None:
    assert "axes" not in panel.asks(rest=True)["sweeps"].arguments
    panel.open_run(gaussianization(6))
    assert panel.asks(rest=True)["sweeps"].arguments["axes"] == [0, 1]
    panel.restore_state({"sweep": 0, "axes": [3, 3]})
    assert panel.asks(rest=True)["sweeps"].arguments["axes"] == [3, 4]


def test_without_sweeps_it_says_so(panel: SweepsPanel) -> None:
    panel.open_run(run_info("realnvp", (2,)))
    assert panel.asks(rest=True) == {}
    assert "takes no sweeps" in panel._empty.text
