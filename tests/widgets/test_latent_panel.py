"""The latent panel with fakes of every probe: plane, drag, lattice, traversals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from engine.wire.event import Event
from engine.wire.messages import Answer
from tests.widgets import latent_fakes
from tests.widgets.latent_runs import info_of, opened, serve
from widgets.latent.words import no_plane
from widgets.panel import Panel
from widgets.panels.latent import LatentPanel
from widgets.plots.bins import bins
from widgets.plots.layers import Box
from widgets.plots.splat import Dots

Show = Callable[[type[Panel]], Any]


@pytest.fixture
def panel(show_panel: Show) -> Any:
    shown = show_panel(LatentPanel)
    shown.resize(1100, 700)
    return shown


def mouse(view: Any, place: tuple[float, float]) -> QPoint:
    return view.frame.to_canvas(place).toPoint()


def test_the_plane_shows_encodings_and_asks_for_their_density(panel: Any) -> None:
    info = info_of()
    asked = opened(panel, info)
    plane = panel.modes["plane"].plane
    found, _ = latent_fakes.latent_encodings(info, {"n": 60_000, "latent": ""}, {})
    np.testing.assert_allclose(plane.places, found["means"], atol=1e-6)
    assert plane.points.count == 1600
    question = asked["density"]
    np.testing.assert_array_equal(question.arrays["basis"], np.eye(2))
    box = plane.frame.box
    assert question.arguments["low"][0] < box.low[0] < box.high[0] < question.arguments["high"][0]
    assert not plane.lines["prior"].is_empty
    words = " ".join(chip.text for chip in panel.chips.chips)
    assert "1 600 posterior means" in words
    assert "exact of 1 600" in words


def test_before_the_encodings_come_the_axes_have_names(panel: Any) -> None:
    panel.open_run(info_of())
    frame = panel.modes["plane"].plane.frame
    assert (frame._x_name, frame._y_name) == ("z₁", "z₂")
    assert frame.box.low[0] < 0.0 < frame.box.high[0]


def test_dragging_the_cross_decodes_the_place_under_it(panel: Any, qtbot: QtBot) -> None:
    info = info_of()
    opened(panel, info)
    mode = panel.modes["plane"]
    viewport = mode.plane.frame.canvas.viewport()
    wishes: list[Any] = []
    panel.asks_changed.connect(lambda: wishes.append(panel.asks(rest=False)["decoded"]))
    before = panel.asks(rest=True)["encodings"]
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=mouse(mode.plane, (0.0, 0.0)))
    for place in ((0.4, 0.3), (1.2, -0.7)):
        qtbot.mouseMove(viewport, mouse(mode.plane, place))
    panel_asks = panel.asks(rest=False)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=mouse(mode.plane, (1.2, -0.7)))
    z = wishes[-1].arrays["z"]
    np.testing.assert_allclose(z, [[1.2, -0.7]], atol=0.05)
    assert panel_asks["encodings"].arguments == before.arguments
    assert not panel_asks["encodings"].live
    assert "likely" not in panel_asks
    serve(panel, info)
    np.testing.assert_allclose(mode.decoded.dot._points, z, atol=1e-5)


def test_a_click_on_a_point_takes_all_of_its_z(panel: Any, qtbot: QtBot) -> None:
    info = info_of(z=5)
    opened(panel, info)
    mode = panel.modes["plane"]
    place = tuple(mode.plane.places[7])
    row = mode.plane.nearest(place)
    mode.plane.moved.emit(place)
    assert panel.desk.index == int(panel.desk.indices[row])
    np.testing.assert_allclose(panel.desk.z, panel.desk.means[row], atol=1e-6)
    asked = serve(panel, info)
    assert asked["point"].arguments["index"] == panel.desk.index
    assert not mode.plane.lines["ellipse"].is_empty
    np.testing.assert_allclose(asked["density"].arrays["centre"][2:], panel.desk.z[2:], atol=1e-6)
    mode.plane.moved.emit((0.123, -3.3))
    np.testing.assert_allclose(panel.desk.z[2:], panel.desk.means[row][2:], atol=1e-6)
    assert panel.desk.index is None


def test_hovering_names_the_point_and_draws_its_q(panel: Any, qtbot: QtBot) -> None:
    info = info_of(event="digits")
    opened(panel, info)
    told: list[Any] = []
    panel.pointed.connect(told.append)
    plane = panel.modes["plane"].plane
    place = plane.places[11]
    plane.frame.hovered.emit((float(place[0]), float(place[1])))
    row = plane.nearest(tuple(place))
    assert told[-1].heading == f"observation {panel.desk.indices[row]}"
    assert ("label", str(panel.desk.labels[row] % 10)) in told[-1].rows
    assert any("± 0.1" in value for _, value in told[-1].rows)
    qtbot.waitUntil(lambda: "point" in panel.asks(rest=True))
    serve(panel, info)
    assert not plane.lines["ellipse"].is_empty
    plane.frame.hovered.emit(None)
    assert told[-1] is None
    assert plane.lines["ellipse"].is_empty


def test_colours_have_a_legend(panel: Any) -> None:
    info = info_of(event="digits")
    opened(panel, info)
    legend = panel.modes["plane"].legend
    assert [chip.text for chip in legend.chips] == list("0123456789")
    assert len({chip.colour for chip in legend.chips}) == 10
    panel.desk.factors = np.linspace(2.0, 4.0, len(panel.desk.means))[:, None]
    data = msgspec.structs.replace(info.data, factors=("scale",))
    panel.desk.info = msgspec.structs.replace(info, data=data)
    panel.desk.set(colour_by="factor 0")
    assert [chip.text for chip in legend.chips] == ["scale 2", "3", "4"]
    shades = panel.desk.colours(dark=True)
    assert legend.chips[0].colour == QColor(*map(int, shades[0])).name()
    assert legend.chips[2].colour == QColor(*map(int, shades[-1])).name()
    panel.desk.set(colour_by="position")
    assert legend.isHidden()


def test_more_latents_are_seen_on_axes_or_components(panel: Any) -> None:
    info = info_of(z=4)
    opened(panel, info)
    mode = panel.modes["plane"]
    mode.picks.boxes[0].setValue(3)
    assert panel.desk.axes == (2, 1)
    np.testing.assert_allclose(mode.plane.places, panel.desk.means[:, [2, 1]], atol=1e-6)
    assert mode.plane.frame.names_shown == ("z₃", "z₂")
    mode.picks.boxes[0].setValue(2)
    assert panel.desk.axes == (1, 2)
    panel.desk.set(projection="pca")
    centred = panel.desk.means - panel.desk.means.mean(0)
    variances = np.linalg.svd(centred, compute_uv=False)[:2] ** 2 / len(centred)
    np.testing.assert_allclose(mode.plane.places.var(0), variances, rtol=1e-4)
    asked = serve(panel, info)
    basis = asked["density"].arrays["basis"]
    np.testing.assert_allclose(basis @ basis.T, np.eye(2), atol=1e-9)


def test_one_latent_is_a_line_with_its_densities(panel: Any) -> None:
    info = info_of(z=1)
    asked = opened(panel, info)
    plane = panel.modes["plane"].plane
    assert len(asked["density"].arguments["low"]) == 1
    assert (plane.places[:, 1] < 0).all()
    assert not plane.lines["prior"].is_empty
    plane.moved.emit((0.7, 0.2))
    assert panel.desk.z.shape == (1,)
    curve, tools = plane.lines["aggregate"], panel.modes["plane"].tools
    assert not curve.is_empty
    assert curve.isVisible()
    assert curve._pen.color().name() == panel.look.palette.model  # as its switch says
    assert not tools._toggles["aggregate"][1].isEnabled()  # no contours of a curve
    plane.set_shown({"points", "prior"})
    assert not curve.isVisible()


def test_a_generator_has_a_plane_without_an_encoder(panel: Any) -> None:
    info = info_of("gan")
    asked = opened(panel, info)
    assert "point" not in asked
    assert "1 600 draws of the prior" in " ".join(c.text for c in panel.chips.chips)
    assert not panel.modes["plane"].plane.lines["prior"].is_empty


def test_a_mixture_offers_its_levels_only(panel: Any) -> None:
    info = info_of("gaussian_mixture")
    opened(panel, info, "traverse")
    assert panel.switch.current == "traverse"
    assert not panel.switch.buttons["plane"].isEnabled()
    assert "the latent is a category: it has no plane" in panel.switch.buttons["lattice"].toolTip()
    assert no_plane("binary") == "the latent is binary: it has no plane"
    assert no_plane("real") == no_plane("") == ""
    assert panel.modes["traverse"].net.dot.count == 8
    panel.open_run(info_of("vae"))
    serve(panel, info_of("vae"))
    assert panel.switch.buttons["plane"].isEnabled()


@pytest.mark.parametrize("event", ["digits", "colour", "binary", "real", "symbols"])
def test_lattices_of_pictures(panel: Any, event: str) -> None:
    info = info_of(event=event)
    asked = opened(panel, info, "lattice")
    mode = panel.modes["lattice"]
    assert mode.table.shape == (12, 12)
    assert not mode.tools._choices["colour"][1].isVisible()  # there are no points
    mode.table.chosen.emit((0, 0))
    np.testing.assert_allclose(panel.desk.z, [-1.5, 1.5])
    mode.tools.chosen.emit("spacing", "even")
    mode.tools.chosen.emit("reach", 3.0)
    asked = panel.asks(rest=True)
    assert asked["lattice"].arguments["low"] == [-3.0, -3.0]


def test_a_lattice_of_points_is_a_net(panel: Any) -> None:
    info = info_of()
    opened(panel, info, "lattice")
    assert not panel.modes["lattice"].net.lines["curves"].is_empty
    assert panel.modes["lattice"].net.data.count > 0


def test_traversals_are_rows_around_a_chosen_z(panel: Any) -> None:
    info = info_of(event="digits", z=3)
    opened(panel, info, "traverse")
    mode = panel.modes["traverse"]
    assert mode.table.shape == (3, 11)
    assert mode._row_words(mode._answer)[0].startswith("z₃  2")
    mode.table.chosen.emit((0, 2))  # what was clicked is what is chosen, wherever the prior lies
    np.testing.assert_allclose(panel.desk.z, [0.25, 0.25, mode._answer.arrays["z"][0, 2]])
    panel.desk.move(np.array([0.5, 0.0, -1.0]))
    mode.tools.chosen.emit("centre", "chosen")
    asked = serve(panel, info)
    np.testing.assert_array_equal(asked["traverse"].arrays["z"], [0.5, 0.0, -1.0])
    assert "z = (0.50, 0.00, −1.00)" in " ".join(c.text for c in panel.chips.chips)


def test_traversals_of_a_hierarchy_choose_the_level(panel: Any) -> None:
    info = info_of(event="digits", levels_of_latents=True)
    opened(panel, info, "traverse")
    mode = panel.modes["traverse"]
    assert mode.tools._choices["latent"][1].isVisible()
    mode.tools.switch("latent", "top")
    assert panel.asks(rest=True)["traverse"].arguments["latent"] == "top"
    opened(panel, info_of(event="digits"), "traverse")
    assert not mode.tools._choices["latent"][1].isVisible()


def test_traversals_name_each_category(panel: Any) -> None:
    info = info_of(event="digits")
    opened(panel, info, "traverse")
    mode = panel.modes["traverse"]
    pictures = np.zeros((3, 5, 1, 8, 8), np.float32)
    arrays = {"pictures": pictures, "coordinates": np.arange(3)}
    slot = mode._answer.slot
    mode.show_answer("traverse", Answer(slot, 1, 0, arrays, {"kind": "category"}))
    assert mode.table._rows == ("z₁", "z₂", "z₃")
    assert mode.table._columns == ("1", "2", "3", "4", "5")


def test_events_of_a_line_have_no_numbers_upwards(panel: Any) -> None:
    info = info_of()
    opened(panel, info, "lattice")
    frame = panel.modes["lattice"].net.frame
    assert frame._left.style["showValues"]
    line = Event((1,), ("x",))
    data = msgspec.structs.replace(info.data, event=line, low=(-1.0,), high=(1.0,))
    opened(panel, msgspec.structs.replace(info, data=data), "lattice")
    assert not frame._left.style["showValues"]
    opened(panel, info, "lattice")
    assert frame._left.style["showValues"]


def test_choices_are_kept(panel: Any, show_panel: Show) -> None:
    opened(panel, info_of(z=4), "lattice")
    panel.desk.set(projection="pca", axes=(2, 0), colour_by="position")
    other = show_panel(LatentPanel)
    other.restore_state(panel.save_state())
    assert other.save_state() == panel.save_state()
    assert other.switch.current == "lattice"
    other.restore_state({"axes": ["x"], "projection": "none", "mode": 3})
    assert other.desk.projection == "pca"


def test_bins_hold_every_dot_once() -> None:
    random = np.random.default_rng(0)
    where = random.uniform(-5, 105, (500, 2))
    pixels = bins(where, 101, 60, "#ff0000", None)
    inside = ((where >= 0) & (where < [102, 60])).all(1)
    counts = np.zeros((30, 51))
    for x, y in (where[inside] / 2).astype(int):
        counts[y, x] += 1
    expected = np.rint(255 * (1 - 0.4**counts))
    np.testing.assert_array_equal(pixels[..., 3], expected)
    np.testing.assert_array_equal(pixels[..., 2], expected)
    assert not pixels[..., :2].any()


def test_a_zoom_redraws_the_points_at_the_new_resolution(panel: Any) -> None:
    opened(panel, info_of())
    plane = panel.modes["plane"].plane
    many = np.random.default_rng(0).normal(size=(20_000, 2))
    plane.points.set_dots(Dots("#ff0000", 4.0))
    plane.points.set_points(many)
    panel.grab()
    before = plane.points._kept
    plane.frame.set_box(Box((-0.5, -0.5), (0.5, 0.5)))
    panel.grab()
    assert plane.points._kept is not None
    assert plane.points._kept[0] != before[0]
    assert plane.frame.to_canvas((0.0, 0.0)) != QPointF(0, 0)


@pytest.mark.gl
def test_three_axes_are_a_cloud_that_turns(panel: Any) -> None:
    info = info_of(z=5)
    opened(panel, info)
    mode = panel.modes["plane"]
    panel.desk.set(projection="3d")
    serve(panel, info)
    cloud = mode.cloud
    assert mode.stage.currentWidget() is cloud
    assert cloud.count == 1600
    before = cloud.azimuth
    cloud.turn()
    assert cloud.azimuth > before
    panel.desk.set(projection="axes")
    assert mode.stage.currentWidget() is mode.plane
    cloud.close_canvas()


def test_without_opengl_the_cloud_is_a_plane_that_says_so(panel: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("widgets.latent.plane_mode.has_opengl", lambda: False)
    info = info_of(z=3)
    opened(panel, info)
    panel.desk.set(projection="3d")
    serve(panel, info)
    mode = panel.modes["plane"]
    assert mode.stage.currentWidget() is mode.plane
    assert "no OpenGL" in panel.chips.chips[0].text
    np.testing.assert_allclose(mode.plane.places, panel.desk.means[:, :2], atol=1e-6)
