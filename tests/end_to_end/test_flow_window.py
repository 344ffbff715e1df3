"""The flow panel on a real engine: MAF's path, a point's sum, triangular Jacobians, undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt

from engine.wire import messages as m
from tests.end_to_end.panel_driver import PanelDriver, opened

N_LAYERS = 3
SPEC = m.RunSpec(
    "maf", "two_moons", {"n_layers": N_LAYERS, "hidden_features": [16]}, {"n_samples": 300}
)


class Driver(PanelDriver):
    """The window with the flow panel in front."""

    name = "flow"


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    with opened(Driver, qtbot, tmp_path, (1500, 900)) as made:
        made.start(SPEC)
        made.until(lambda: "path" in made.answers and made.panel.stage.walk is not None)
        yield made


def test_a_point_goes_through_the_layers_and_its_sum_is_log_p(driver: Driver) -> None:
    panel = driver.panel
    assert panel.clock.size == N_LAYERS + 1  # and standardisation
    panel.clock.go(2)
    places = driver.answers["path"].arrays["points"]
    np.testing.assert_array_equal(panel.stage.dots._points, places[2])
    view = panel.stage.frame.canvas.viewport()
    spot = panel.stage.frame.to_canvas(tuple(places[2][5].tolist())).toPoint()
    driver.qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=spot)
    driver.until(lambda: "point" in driver.answers and panel._sum.sum is not None)
    answer = driver.answers["point"]
    log_p = float(answer.values["log_prob"])  # type: ignore[arg-type]
    total = float(answer.values["log_base"]) + float(answer.arrays["log_dets"].sum())  # type: ignore[arg-type]
    assert log_p == pytest.approx(total, abs=1e-9)
    for at, name in ((0, "so far"), (N_LAYERS + 1, "log p(x)")):
        panel.clock.go(at)
        assert panel._sum.waterfall._total.name == name
    assert panel._sum.waterfall._total.value == pytest.approx(log_p, abs=1e-9)
    orders, layers = answer.arrays["orders"], answer.arrays["layers"]
    assert orders[1:].tolist() == [[0, 1], [1, 0], [0, 1]]
    for layer, order in zip(layers, orders, strict=True):
        assert layer[np.ix_(order, order)][0, 1] == 0


def test_every_side_is_answered_and_choices_are_taken_back(driver: Driver) -> None:
    panel = driver.panel
    panel.set_side("layers")
    driver.until(lambda: (a := driver.answers.get("layers")) and a.final)
    errors = driver.answers["layers"].arrays["round_trip"]
    assert errors.shape == (2, N_LAYERS + 2)
    assert 0 < errors[1, 0] < errors[0, 0] < 1e-3
    driver.until(lambda: panel._layers.map._values is not None)
    assert panel.switch.isVisible(), (panel.width(), panel.height())
    driver.click(panel.switch.buttons["passes"])
    driver.until(lambda: "passes" in driver.answers)
    assert driver.answers["passes"].arrays["sampling"].tolist() == [0, *[2] * N_LAYERS]
    driver.click(panel.way.buttons["base"])
    driver.until(lambda: panel.stage.walk is not None and panel.stage.walk.start == "base")
    undo: Any = driver.window.panel_undo
    undo.undo()
    assert panel.way.current == "data"
    assert not panel.clock.inverse
    undo.undo()
    assert panel.switch.current == "layers"
    undo.redo()
    assert panel.switch.current == "passes"
