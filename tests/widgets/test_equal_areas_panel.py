"""The panel of equal areas: what it asks, what it says of each strip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.wire.messages import Answer, Slot
from tests.widgets.fakes import run_info
from widgets.areas.view import HEAD, ticks
from widgets.panel import Panel
from widgets.panels.equal_areas import EqualAreasPanel


def answer(n: int = 4, slope: float = 2.0) -> Answer:
    z, edges = np.linspace(0, 1, 41), np.linspace(0, 1, n + 1)
    arrays: dict[str, Any] = {
        "z": z,
        "x": slope * z + 1,
        "base_density": np.ones(41),
        "density": np.full(41, 1 / abs(slope)),
        "z_edges": edges,
        "x_edges": slope * edges + 1,
        "base_mass": np.full(n, 1 / n),
        "mass": np.full(n, 1 / n),
    }
    values = {"tail": 0.0, "falls": slope < 0}
    return Answer(Slot("equal_areas", "run-1", "areas"), 1, 5, arrays, values)


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> EqualAreasPanel:
    made = show_panel(EqualAreasPanel)
    assert isinstance(made, EqualAreasPanel)
    made.open_run(run_info("realnvp", (1,)))
    return made


def test_only_lines_are_asked_for(panel: EqualAreasPanel) -> None:
    assert panel.asks(rest=True)["areas"].arguments == {"n_strips": 10}
    panel.restore_state({"strips": 20})
    assert panel.asks(rest=True)["areas"].arguments == {"n_strips": 20}
    assert panel.save_state() == {"strips": 20}
    panel.open_run(run_info("realnvp", (2,)))
    assert panel.asks(rest=True) == {}


@pytest.mark.parametrize("slope", [2.0, -2.0])
def test_each_strip_tells_both_masses(panel: EqualAreasPanel, slope: float) -> None:
    panel.show_answer("areas", answer(slope=slope))
    assert panel.view.n_strips == 4
    texts = [chip.text for chip in panel.chips.chips]
    assert "4 strips of mass 0.25" in texts
    assert ("x falls with z" in texts) == (slope < 0)
    curve, below, beside = panel.view._areas()
    words = panel.view.words_at(below.left() + 0.3 * below.width(), below.top() + 5)
    assert words.startswith("strip 2 of 4")
    assert "width in z 0.25, in x 0.5" in words
    high = panel.view.words_at(beside.center().x(), beside.top() + 2)
    assert high.startswith(f"strip {4 if slope > 0 else 1} of 4")
    assert panel.view.words_at(2.0, curve.bottom() + below.height() + 30) == ""
    assert not panel.grab().isNull()


def test_strips_stay_within_their_areas(panel: EqualAreasPanel) -> None:
    panel.show_answer("areas", answer(n=40))
    _, below, beside = panel.view._areas()
    for k in range(40):
        for area, name in ((below, "z"), (beside, "x")):
            box = panel.view._strip(k, area, name).boundingRect()
            assert area.adjusted(-1, -1, 1, 1).contains(box), (k, name)


@pytest.mark.parametrize("slope", [2.0, -0.5])
def test_strips_are_drawn_with_the_same_area(panel: EqualAreasPanel, slope: float) -> None:
    # Seven strips, whose edges lie between the nodes of the curve.
    panel.show_answer("areas", answer(n=7, slope=slope))
    _, below, beside = panel.view._areas()
    for area, name in ((below, "z"), (beside, "x")):
        strips = [panel.view._strip(k, area, name) for k in range(7)]
        corners = [np.array([(p.x(), p.y()) for p in strip]) for strip in strips]
        ahead = [np.roll(c, -1, 0) for c in corners]  # the shoelace formula
        sizes = [
            0.5 * abs((c[:, 0] * d[:, 1] - c[:, 1] * d[:, 0]).sum())
            for c, d in zip(corners, ahead, strict=True)
        ]
        np.testing.assert_allclose(sizes, sizes[0], rtol=1e-9)
    # Together they fill the area up to its head.
    assert sum(sizes) * HEAD == pytest.approx(beside.width() * beside.height())


def test_the_highest_density_is_told_and_no_number_is_cut(panel: EqualAreasPanel) -> None:
    panel.show_answer("areas", answer(slope=2.0))
    assert panel.view.heights == ("p(z) = 1", "p(x) = 0.5")
    curve, *_ = panel.view._areas()
    line = panel.view.fontMetrics().height()
    assert curve.top() >= line / 2
    assert curve.right() + line <= panel.view.width()


def test_holes_show_nothing(panel: EqualAreasPanel) -> None:
    spoilt = answer()
    spoilt.arrays["density"][3] = np.nan
    panel.show_answer("areas", spoilt)
    assert panel.view.n_strips == 0
    assert not panel.grab().isNull()


def test_ticks_are_round() -> None:
    assert ticks(0.0, 1.0) == [(0.0, "0"), (0.2, "0.2"), (0.4, "0.4"), (0.6000000000000001, "0.6"),
                               (0.8, "0.8"), (1.0, "1.0")]  # fmt: skip
