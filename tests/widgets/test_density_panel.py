"""The density panel: what it asks, what it says, and that its numbers are the answer's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from engine.wire.messages import Answer, Slot
from tests.widgets.fakes import FakeEngine, pdf, resize, run_info
from widgets.density.scale import ColourScale
from widgets.density.words import density_chips, exact_reading, number
from widgets.look import DARK, Look
from widgets.panel import Panel, Pointed
from widgets.panels.density import DensityPanel, _other_axis
from widgets.plots.layers import Box

Show = Callable[[type[Panel]], Any]


def opened(show_panel: Show, model: str = "realnvp", shape: tuple[int, ...] = (2,)) -> Any:
    panel = show_panel(DensityPanel)
    info = run_info(model, shape)
    panel.open_run(info)
    return panel, FakeEngine(info)


def test_coarse_while_training_and_full_at_rest(show_panel: Show) -> None:
    panel, _ = opened(show_panel)
    assert panel.asks(rest=False)["density"].arguments["size"] == 128
    assert panel.asks(rest=True)["density"].arguments["size"] == 512


def test_data_and_truth_are_asked_once(show_panel: Show) -> None:
    panel, _ = opened(show_panel)
    asked = panel.asks(rest=True)
    assert asked["density"].live
    assert not asked["data"].live
    assert not asked["truth"].live


def test_unknown_truth_is_not_asked(show_panel: Show) -> None:
    panel = show_panel(DensityPanel)
    panel.open_run(run_info(has_density=False, entropy=None))
    assert "truth" not in panel.asks(rest=True)
    assert not panel.tools.is_on("truth")


def test_samples_only_when_switched_on(show_panel: Show, qtbot: QtBot) -> None:
    panel, _ = opened(show_panel)
    assert "samples" not in panel.asks(rest=True)
    with qtbot.waitSignal(panel.asks_changed):
        panel.tools._toggles["samples"][1].trigger()
    assert panel.asks(rest=True)["samples"].probe == "samples"


def test_zoom_asks_for_the_new_window(show_panel: Show, qtbot: QtBot) -> None:
    panel, _ = opened(show_panel)
    with qtbot.waitSignal(panel.asks_changed):
        panel.faces["map"].map.frame.set_box(Box((-1.0, -1.0), (1.0, 1.0)))
    asked = panel.asks(rest=True)["density"].arguments
    assert max(asked["low"]) == pytest.approx(-1.0)
    panel.faces["map"].reset_view()
    assert panel.asks(rest=True)["density"].arguments["low"][1] <= -3.0


def test_hover_reads_the_grid_then_asks_exactly(show_panel: Show, qtbot: QtBot) -> None:
    panel, engine = opened(show_panel)
    engine.serve(panel)
    with qtbot.waitSignal(panel.pointed) as caught:
        panel.faces["map"].map.hovered.emit((2.06, 0.0))
    assert f"{np.log(pdf(2.0, 0.0)):.2f}".replace("-", "−") in caught.args[0].heading
    qtbot.waitUntil(lambda: "at" in panel.asks(rest=True))
    question = panel.asks(rest=True)["at"]
    assert question.arguments["point"] == [2.06, 0.0]
    with qtbot.waitSignal(panel.pointed) as caught:
        panel.show_answer("at", engine.answer("density", "at", question))
    assert caught.args[0].rows[2:] == (("base", "−2"), ("layer 1", "0.3"), ("layer 2", "0.2"))
    with qtbot.waitSignal(panel.pointed) as caught:
        panel.faces["map"].map.hovered.emit(None)
    assert caught.args == [None]
    assert "at" not in panel.asks(rest=True)


def test_a_gan_says_once_why_it_has_no_density(show_panel: Show) -> None:
    panel, _ = opened(show_panel, "gan")
    assert "no density" in panel.banner.text
    assert panel.tools.is_on("grid")
    assert {"density", "samples", "grid", "data"} <= set(panel.asks(rest=True))
    panel.banner.clear()
    panel.open_run(run_info("gan"))
    assert panel.banner.text == ""


def test_energy_shows_log_z(show_panel: Show) -> None:
    panel, engine = opened(show_panel, "ebm")
    engine.serve(panel)
    assert any(chip.text == "log Z = 3.214 ± 0.004 nats" for chip in panel.chips.chips)


def test_a_bound_is_called_a_bound(show_panel: Show) -> None:
    panel, engine = opened(show_panel, "vae")
    engine.serve(panel)
    assert panel.chips.chips[0].text == "lower bound"


def test_components_only_for_mixtures(show_panel: Show) -> None:
    panel, _ = opened(show_panel, "gaussian_mixture")
    assert panel.asks(rest=True)["responsibilities"].probe == "responsibilities"
    assert not panel.tools.is_on("grid")
    panel.open_run(run_info("realnvp"))
    assert "responsibilities" not in panel.asks(rest=True)


def test_planes_of_tables(show_panel: Show) -> None:
    panel, _ = opened(show_panel, shape=(5,))
    panel.tools.chosen.emit("x", 3)
    assert panel.asks(rest=True)["data"].arguments["axes"] == [3, 1]
    panel.tools.chosen.emit("plane", "pca")
    asked = panel.asks(rest=True)
    assert asked["data"].arguments["plane"] == "pca"
    assert "density" not in asked
    assert "at" not in asked


def test_the_pointer_on_a_plane_names_it(show_panel: Show, qtbot: QtBot) -> None:
    panel, engine = opened(show_panel, shape=(5,))
    panel.tools.chosen.emit("x", 3)
    engine.serve(panel)
    panel.faces["map"].map.hovered.emit((0.5, -1.0))
    qtbot.waitUntil(lambda: "at" in panel.asks(rest=True))
    wanted = {"point": [0.5, -1.0], "plane": "axes", "axes": [3, 1]}
    assert panel.asks(rest=True)["at"].arguments == wanted


def test_the_plane_waits_for_its_box(show_panel: Show, qtbot: QtBot) -> None:
    panel, engine = opened(show_panel, shape=(5,))
    panel.tools.chosen.emit("plane", "pca")
    with qtbot.waitSignal(panel.asks_changed):
        engine.serve(panel)
    assert panel.asks(rest=True)["density"].arguments["plane"] == "pca"


@pytest.mark.parametrize(
    ("name", "value", "after"),
    [("x", 2, (2, 1)), ("x", 1, (1, 0)), ("y", 0, (1, 0)), ("y", 4, (0, 4))],
)
def test_two_axes_are_never_the_same(name: str, value: int, after: tuple[int, int]) -> None:
    assert _other_axis(name, value, 0, 1) == after


def test_one_dimension_draws_curves(show_panel: Show) -> None:
    panel, engine = opened(show_panel, shape=(1,))
    engine.serve(panel)
    assert {"density", "truth", "data"} <= set(panel.faces["line"].plot.names)


def test_one_dimension_draws_the_curve_of_each_component(show_panel: Show) -> None:
    panel, engine = opened(show_panel, "gaussian_mixture", shape=(1,))
    engine.serve(panel)
    plot = panel.faces["line"].plot
    assert {"component 1", "component 2"} <= set(plot.names)
    half = plot.value_at("component 2", -1.0)
    assert half is not None
    assert half == pytest.approx(0.5 * (plot.value_at("density", -1.0) or 0.0), rel=0.03)
    used = {plot.stroke_of(name).colour for name in ("data", "density", "truth")}
    assert plot.stroke_of("component 1").colour not in used
    panel.tools._toggles["components"][1].trigger()
    assert not {"component 1", "component 2"} & set(plot.names)
    panel.open_run(run_info("realnvp", (1,)))
    assert "components" not in panel.asks(rest=True)


def test_pictures_draw_grids(show_panel: Show) -> None:
    panel, engine = opened(show_panel, "vae", (1, 8, 8))
    engine.serve(panel)
    assert panel.faces["pictures"].grids["samples"].count == 36
    assert panel.faces["pictures"].grids["data"].count == 36


def test_the_scale_stays_put() -> None:
    info = run_info()
    panel_question = {"low": [-3.0, -3.0], "high": [3.0, 3.0], "size": 64}
    engine, scale = FakeEngine(info), ColourScale()
    arrays, values = engine._density(panel_question)
    tops = []
    for factor in (1.0, 1.1, 0.6, 0.9, 0.1):
        changed = arrays | {"log_density": arrays["log_density"] + np.float32(np.log(factor))}
        answer = Answer(Slot("density", "r", "density"), 1, 1, changed, values)
        tops.append(scale.apply(answer, DARK, log=False)[1].high)
    assert tops == [0.5, 0.5, 0.5, 0.5, 0.05]


def test_chips_name_kind_and_mass() -> None:
    chips = density_chips({"kind": "exact", "mass": 0.98765, "label": "log p(x), exact"}, DARK)
    assert [chip.text for chip in chips] == ["exact", "mass in view 0.988"]


def test_exact_reading_lists_the_terms() -> None:
    values = {"kind": "exact", "log_prob": -1.5, "unit": "nats", "terms": ["base", "log det"],
              "term_values": [-2.0, 0.5]}  # fmt: skip
    reading = exact_reading(("x",), (0.25,), values)
    assert reading == Pointed(
        "log p(x) = −1.5 nats", (("x", "0.25"), ("base", "−2"), ("log det", "0.5"))
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.inf, "∞"), (-np.inf, "−∞"), (np.nan, "not a number"), (-0.5, "−0.5")],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("height", [120, 160, 205, 215, 262, 268, 350, 380, 600])
def test_the_picture_keeps_most_of_the_height(
    height: int, scale: float, show_panel: Show, look: Look
) -> None:
    look.set(scale=scale)
    panel, engine = opened(show_panel)
    engine.serve(panel)
    resize(panel, int(640 * scale), int(height * scale))
    assert panel.faces["map"].map.frame.view.height() >= 0.55 * panel.height()


def test_a_low_panel_still_says_what_kind_of_number_it_shows(show_panel: Show) -> None:
    panel, engine = opened(show_panel, "vae")
    engine.serve(panel)
    resize(panel, 640, 180)
    assert [chip.text for chip in panel.chips.chips] == ["lower bound"]
    assert panel.chips.isVisible()
    picture = panel.faces["map"]
    assert picture.rect().contains(panel.chips.geometry())
    resize(panel, 640, 480)
    assert len(panel.chips.chips) > 1
    assert panel.chips.geometry().top() >= picture.height()


@pytest.mark.parametrize("model", ["vae", "gan", "wgan_gp", "ebm", "realnvp", "gaussian_mixture"])
def test_all_switches_fit_a_narrow_panel(model: str, show_panel: Show) -> None:
    panel, _ = opened(show_panel, model)
    resize(panel, 640, 480)
    more = panel.tools.findChild(QToolButton, "qt_toolbar_ext_button")
    assert panel.tools.sizeHint().width() <= panel.tools.width()
    assert not more.isVisible()


def test_words_go_from_the_colour_bar_before_the_bar(show_panel: Show) -> None:
    panel, engine = opened(show_panel)
    engine.serve(panel)
    widths = []
    for width in (640, 380, 240):
        resize(panel, width, 400)
        bar = panel.faces["map"].map.bar
        widths.append(bar.width() if bar.isVisible() else 0)
    assert widths[0] > widths[1] > widths[2] == 0
