"""The strip of runs says what each run is and how well it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.run_view import RunView
from app.runs_strip import RunsStrip, headline, short_count
from engine.wire import messages as m
from engine.wire.capability import Capability
from tests.app.conftest import CARD, make_info
from widgets.look import Look


def view(run: str = "run-1", state: str = "training", place: int = 0) -> RunView:
    spec = m.RunSpec("toy", "eight_gaussians")
    made = RunView(run, spec, place, make_info(run, spec), m.RunState(run, state, 12_345))
    made.metrics.append(m.Metrics(run, ("held_out_nll",), np.array([1]), np.array([[1.75]])))
    return made


def test_headline_has_title_step_and_exact_number() -> None:
    shown = view()
    assert headline(shown) == "▶ Toy · Data   12.3k   held-out NLL 1.750 nats"
    shown.metrics.append(m.Metrics("run-1", ("held_out_nll",), np.array([2]), np.array([[-48.3]])))
    assert headline(shown).endswith("held-out NLL −48.300 nats")


def test_a_bound_is_marked_as_a_bound() -> None:
    import msgspec

    shown = view()
    card = msgspec.structs.replace(CARD, capabilities=(Capability.BOUND,))
    shown.info = make_info("run-1", shown.spec, card)
    assert "held-out NLL ≤ 1.750 nats" in headline(shown)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (9999, "9999"), (12_345, "12.3k"), (2_500_000, "2.50M")]
)
def test_counts_are_short(number: int, text: str) -> None:
    assert short_count(number) == text


def test_clicking_a_tab_selects_and_its_cross_closes(qtbot: Any) -> None:
    strip = RunsStrip(Look())
    qtbot.addWidget(strip)
    strip.show_runs((view("run-1"), view("run-2", place=1)), "run-1")
    with qtbot.waitSignal(strip.selected) as signal:
        strip._tabs.setCurrentIndex(1)
    assert signal.args == ["run-2"]
    button = strip._tabs.tabButton(0, strip._tabs.ButtonPosition.RightSide)
    with qtbot.waitSignal(strip.close_requested) as signal:
        button.click()
    assert signal.args == ["run-1"]


def test_many_runs_share_the_width_and_keep_the_number(qtbot: Any) -> None:
    strip = RunsStrip(Look())
    qtbot.addWidget(strip)
    views = tuple(view(f"run-{place}", place=place) for place in range(4))
    views[1].headline = "KL 0.031 ± 0.002 nats"
    strip.show_runs(views, "run-1")
    assert strip._tabs.tabText(1) == "▶ Toy   12.3k   KL 0.031"
    assert "Toy · Data" in strip._tabs.tabToolTip(1)
    assert "KL 0.031 ± 0.002 nats" in strip._tabs.tabToolTip(1)
