"""The flow panel where there is little room: names, numbers and parts give way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication

from tests.widgets.fakes import FakeEngine, run_info
from widgets.flow.layer_table import Column
from widgets.panel import Panel
from widgets.panels.flow import FlowPanel


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> Any:
    shown = show_panel(FlowPanel)
    shown.resize(1100, 700)
    return shown


def test_long_names_of_layers_take_two_lines(panel: Any) -> None:
    table = panel.sides["layers"].table
    column = Column("c", ("low", "high"), (("1.25e-12", "1.25e+12"),) * 2, np.zeros((2, 2)), "")
    table.set_layers(("scale 1, step 2: actnorm", "scale 1, step 3: actnorm"), (column,) * 4)
    table.resize(300, 200)
    assert table.is_stacked
    room = table.fontMetrics().horizontalAdvance("scale 1, step 2") + 2
    assert table.name_lines(table.names[0], room) == ("scale 1, step 2", "actnorm")
    assert table.name_lines("planar 1", room) == ("planar 1",)


def test_a_matrix_says_as_much_as_there_is_room_for(panel: Any) -> None:
    view = panel.sides["jacobian"].layer
    names = ("microphone 3", "microphone 2", "microphone 1")
    values = np.array([[0.333, 0.0, 0.0], [-0.4561, 1.0, 0.0], [0.1, -0.6217, 2.0]])
    view.set_matrix(values, names, "layer", diagonal=True)
    view.resize(600, 600)
    assert view.digits == 3
    wide = view.scale_words
    line = view.fontMetrics().height()
    view.resize(600, round(3 * 41 + 3.9 * line) + 1)  # cells of 41 pixels
    assert view.digits == 2
    assert view.column_names == ("3", "2", "1")
    view.resize(600, 110)
    assert view.digits == 0
    view.resize(110, 300)
    assert len(view.scale_words) < len(wide)


def test_a_low_panel_gives_its_height_to_the_stage(panel: Any) -> None:
    info = run_info("realnvp", (2,))
    panel.open_run(info)
    FakeEngine(info).serve(panel)
    panel.resize(900, 180)
    QCoreApplication.processEvents()
    assert panel._right.isHidden()
    assert panel.chips.isHidden()
    assert panel.stage.height() > 60
    panel.resize(900, 600)
    assert not panel._right.isHidden()
    assert not panel.chips.isHidden()
