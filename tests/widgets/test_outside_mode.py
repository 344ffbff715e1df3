"""Outside: both scores as histograms, the areas as chips, the events beside them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.widgets.fakes import FakeEngine, run_info
from widgets.chains.outside_mode import BINS, HELD_OUT, TIPS
from widgets.panel import Panel, Pointed
from widgets.panels.chains import ChainsPanel


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> ChainsPanel:
    made = show_panel(ChainsPanel)
    assert isinstance(made, ChainsPanel)
    made.resize(1100, 700)
    made.open_run(run_info("ebm", (2,)))
    made.set_mode("outside")
    return made


def test_scores_and_areas_are_those_of_the_answer(panel: ChainsPanel) -> None:
    told: list[Pointed | None] = []
    panel.outside.pointed.connect(told.append)
    FakeEngine(run_info("ebm", (2,))).serve(panel)
    mode = panel.outside
    assert mode.energy.names == (HELD_OUT, *TIPS)
    assert not mode.unsure.isVisible()
    assert not mode.side.isVisible()
    assert mode.energy.label_of("noise") == "noise, AUROC 1.000"
    assert mode.energy.stroke_of("two at once").tooltip.startswith("AUROC 0.528 ± 0.058")
    assert any("50 events of the validation split" in chip.text for chip in panel.chips.chips)
    mode.energy.hovered.emit((5.0, 0.1))
    assert told[-1] is not None
    assert (HELD_OUT, "0.0% above") in told[-1].rows
    assert ("noise", "100.0% above") in told[-1].rows


def test_settings_of_walks_are_hidden_where_nothing_walks(panel: ChainsPanel) -> None:
    assert not panel.bar.isVisible()
    panel.set_mode("walk")
    assert panel.bar.isVisible()


@pytest.mark.parametrize("far", [np.inf, np.nan, 1e30])
def test_scores_that_are_lost_leave_the_others_in_sight(panel: ChainsPanel, far: float) -> None:
    rows = np.tile(np.linspace(0.0, 1.0, 50), (4, 1))
    rows[0, -1] = rows[2, 0] = far
    FakeEngine(run_info("ebm", (2,))).serve(panel)
    panel.outside._draw_scores(panel.outside.energy, rows, "auroc")
    assert np.isfinite(panel.outside.energy._curves[HELD_OUT].x).all()
    assert not panel.grab().isNull()


def test_every_event_is_counted_though_the_far_ones_are_beyond_the_end(panel: ChainsPanel) -> None:
    FakeEngine(run_info("ebm", (2,))).serve(panel)
    for name in (HELD_OUT, *TIPS):
        curve = panel.outside.energy._curves[name]
        assert len(curve.y) == 2 * BINS + 2
        assert float(np.sum(curve.y[1:-1:2])) == pytest.approx(1.0)


def test_pictures_come_with_a_classifiers_doubt(panel: ChainsPanel) -> None:
    info = run_info("ebm", (1, 8, 8))
    panel.open_run(info)
    panel.set_mode("outside")
    assert panel.asks(rest=False)["outside"].arguments["n_pictures"] > 0
    FakeEngine(info).serve(panel)
    mode = panel.outside
    assert mode.unsure.isVisible()
    assert mode.side.isVisible()
    assert [grid.count for grid in mode.grids.values()] == [16] * 5
    assert mode.unsure.label_of("noise") == "noise, AUROC 0.600"
    panel.open_run(run_info("ebm", (2,)))
    assert not mode.side.isVisible()
    assert mode.energy.names == ()
