"""The pixels panel's modes on what is less usual: wrong masks, colours, densities, orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.widgets import pixel_fakes
from tests.widgets.pixel_runs import EVENTS, answer, info_of, serve
from widgets.panel import Panel, Pointed
from widgets.panels.pixels import PixelsPanel

Show = Callable[[type[Panel]], Any]


@pytest.fixture
def panel(show_panel: Show) -> PixelsPanel:
    made: PixelsPanel = show_panel(PixelsPanel)
    return made


def test_a_wrong_mask_is_seen_as_a_leak_and_nothing_is_drawn(panel: PixelsPanel) -> None:
    panel.open_run(info_of())
    panel.modes["sees"].picker.set_source("samples")  # type: ignore[attr-defined]
    info = info_of(model="pixelcnn", first_mask="B")
    panel.open_run(info)
    assert panel.switch.current == "sees"  # the others have nothing to show
    asked = serve(panel, info)
    assert "samples" not in asked
    sees: Any = panel.modes["sees"]
    told: list[Pointed | None] = []
    panel.pointed.connect(told.append)
    sees.canvas.chosen.emit(20)
    arrays, values = pixel_fakes.receptive_field(info, {"index": 20, "method": "gradient"}, {})
    arrays["influence"].reshape(-1)[20] = 1.0
    panel.show_answer("field", answer(info, (arrays, values | {"n_leaks": 1, "n_seen": 11})))
    words = panel.chips.accessibleName()
    assert "sees 10 of 20 earlier values" in words
    assert "1 leak" in words
    assert "blind to 10" in words
    marked = [mask for mask, colour, _ in sees.canvas._marks if colour == panel.look.palette.error]
    assert [np.flatnonzero(mask).tolist() for mask in marked] == [[20]]
    sees.canvas.hovered.emit(20)
    assert told[-1] is not None
    assert ("in the order", "the value itself: not allowed to count") in told[-1].rows
    assert "p(x | earlier and itself)" in sees.bars._words
    panel.open_run(info_of(model="pixelcnn", first_mask="A"))
    assert all(not mode.refusal() for mode in panel.modes.values())


def test_completions_leave_the_class_open_unless_one_is_chosen(panel: PixelsPanel) -> None:
    info = info_of(class_conditional=True)
    panel.open_run(info)
    for mode, words in (("grow", "every class"), ("inpaint", "any class")):
        panel.set_mode(mode)
        tools: Any = panel.modes[mode].tools  # type: ignore[attr-defined]
        assert tools.words_for("label", -1) == f"choose {words}"
    assert serve(panel, info)["completions"].arguments["label"] == -1


def test_one_joint_is_the_same_sum_in_every_order(panel: PixelsPanel) -> None:
    info = info_of(EVENTS["binary"])
    panel.open_run(info)
    panel.set_mode("orders")
    mode: Any = panel.modes["orders"]
    asked = serve(panel, info)
    assert "several" not in asked
    assert mode.curves.isHidden()
    assert asked["joint"].arguments["state"] == 3  # the likeliest: both values are 1
    cell = [[mode.table.item(row, column).text() for column in range(3)] for row in range(2)]
    assert cell[0] == ["1 2", "−1.00 − 0.50", "−1.50000"]
    assert cell[1] == ["2 1", "−0.25 − 1.25", "−1.50000"]
    assert mode.table.isColumnHidden(3)
    words = panel.chips.accessibleName()
    assert "2 orders, 4 states: products differ by at most 3e-17" in words
    assert "one order" in words
    mode.canvas.chosen.emit(0)  # no value of the joint
    assert serve(panel, info)["joint"].arguments["state"] == 3
    mode.canvas.chosen.emit(3)
    assert serve(panel, info)["joint"].arguments["state"] == 2
    before = mode.kept()
    mode.canvas.chosen.emit(1)
    assert mode.state == 0
    mode.keep(before)
    assert serve(panel, info)["joint"].arguments["state"] == 2
    shades = mode.canvas._image
    assert [shades.pixelColor(k, 0).lightnessF() for k in (1, 3)] == [1.0, 0.0]


def test_several_orders_are_mixed_by_their_probabilities(panel: PixelsPanel) -> None:
    info = info_of(EVENTS["binary"], model="nade", order_agnostic=True)
    panel.open_run(info)
    panel.set_mode("orders")
    mode: Any = panel.modes["orders"]
    serve(panel, info)
    assert not mode.curves.isHidden()
    assert not mode.table.isColumnHidden(3)
    assert mode.table.item(1, 3).text() == "−1.600"
    words = panel.chips.accessibleName()
    assert "mixture of 8 orders 19.50 ± 0.25 nats, n = 128" in words
    assert "mean of each 20.50 nats" in words
    assert "one order" not in words
    assert mode.curves.value_at("nlls", 8.0) == 21.0
    masks = info_of(EVENTS["real"], model="nade", n_masks=4)
    panel.open_run(masks)
    assert panel.switch.current == "orders"
    assert set(panel.asks(rest=True)) == {"several"}  # real values have no table
    panel.open_run(info_of(EVENTS["real"]))
    assert panel.switch.current != "orders"


def test_maps_of_colours_have_a_scale_for_whole_pixels(panel: PixelsPanel) -> None:
    info = info_of(EVENTS["colour"])
    panel.open_run(info)
    panel.set_mode("errors")
    serve(panel, info)
    errors: Any = panel.modes["errors"]
    for view in errors.maps.values():  # 0.3 nats a value on data: 0.9 a pixel
        np.testing.assert_allclose(view._given[4], (0.0, 0.9))
    panel.set_mode("what_if")
    mode: Any = panel.modes["what_if"]
    serve(panel, info)
    shown = mode.desk.cells.spread(np.nan_to_num(mode.map.values)).sum(0)
    assert 0.0 < shown.max() <= 1.0


def test_a_picture_of_no_known_class_is_said_to_be_taken_for_one(panel: PixelsPanel) -> None:
    info = info_of(class_conditional=True)
    panel.open_run(info)
    panel.set_mode("sees")
    sees: Any = panel.modes["sees"]
    serve(panel, info)
    assert "taken for" not in sees.canvas._title  # a test picture has its class
    panel.desk.own = np.zeros(64, np.float32)
    sees.picker.set_source("own")
    serve(panel, info)
    assert sees.canvas._title.startswith("own picture taken for class 0:")
    panel.desk.set(label=7)
    assert serve(panel, info)["field"].arguments["label"] == 7
    sees.canvas.chosen.emit(9)
    serve(panel, info)
    assert sees.canvas._title.startswith("own picture taken for class 7:")


def test_losses_of_densities_may_be_negative_and_a_whole_answer_stays(panel: PixelsPanel) -> None:
    info = info_of(EVENTS["real"])
    panel.open_run(info)
    panel.set_mode("errors")
    asked = panel.asks(rest=True)["losses"].arguments
    errors: Any = panel.modes["errors"]
    arrays, values = pixel_fakes.own_samples_nll(info, asked, {})
    arrays |= {"data_nll": np.linspace(-2.0, 0.5, 25), "own_nll": np.full(25, -1.0)}
    half = {name: array for name, array in arrays.items() if not name.startswith("own")}
    panel.show_answer("losses", answer(info, (half, values), final=False))
    assert "own" not in errors.curves.names
    panel.show_answer("losses", answer(info, (arrays, values)))
    assert errors.curves.frame.box.low[1] <= -2.0
    panel.show_answer("losses", answer(info, (half, values), step=200, final=False))
    assert "own" in errors.curves.names  # until the next one is whole too
    assert "step 100" in panel.chips.accessibleName()
    panel.open_run(info_of())
    serve(panel, info_of())
    assert errors.curves.frame.box.low[1] == 0.0


def test_densities_have_no_top_p_and_no_curve_of_another_value(panel: PixelsPanel) -> None:
    panel.open_run(info_of())
    panel.desk.set(top_p=0.9)
    assert panel.asks(rest=True)["samples"].arguments["top_p"] == 0.9
    info = info_of(EVENTS["real"])
    panel.open_run(info)
    grow: Any = panel.modes["grow"]
    assert not grow.tools._choices["top_p"][1].isVisible()
    assert panel.asks(rest=True)["samples"].arguments["top_p"] == 1.0
    serve(panel, info)
    assert "top-p" not in panel.chips.accessibleName()
    grow.clock.pause()
    grow.clock.go(10)
    serve(panel, info)
    assert grow.bars.heights.size
    grow.clock.go(12)  # its own curve is still to come
    assert not grow.bars.heights.size
    serve(panel, info)
    assert grow.bars.heights.size
    grow.clock.play()
    grow.clock.advance(100.0)
    assert "pause to see its density" in grow.bars._words
    panel.open_run(info_of())
    assert panel.asks(rest=True)["samples"].arguments["top_p"] == 0.9


def test_an_example_of_two_peaks_can_be_fitted(panel: PixelsPanel) -> None:
    info = info_of()
    panel.open_run(info)
    panel.set_mode("errors")
    errors: Any = panel.modes["errors"]
    assert not errors.tools._choices["source"][1].isVisible()
    errors.switch.buttons["families"].click()
    assert "counts" not in serve(panel, info)["families"].arrays
    errors.tools.switch("source", "peaks")
    counts = serve(panel, info)["families"].arrays["counts"]
    middle = len(counts) // 2
    assert counts[:middle].max() == counts[middle:].max() > 20 * max(counts[middle], 1)
    assert "values of an example" in panel.chips.accessibleName()
    assert errors.families.canvas.at is None
    errors.families.canvas.chosen.emit(9)
    asked = serve(panel, info)["families"]
    assert "counts" not in asked.arrays
    assert asked.arguments["index"] == 9
    assert errors.tools.values["source"] == "data"
    assert "training values" in panel.chips.accessibleName()
