"""Paths, one's own picture and levels in the latent panel, with fakes of every probe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from pytestqt.qtbot import QtBot

from engine.wire.messages import Failed
from tests.widgets.latent_runs import info_of, opened, serve
from widgets.latent.path_mode import Key
from widgets.panel import Panel
from widgets.panels.latent import LatentPanel

Show = Callable[[type[Panel]], Any]


@pytest.fixture
def panel(show_panel: Show) -> Any:
    shown = show_panel(LatentPanel)
    shown.resize(1100, 700)
    return shown


def test_a_path_begins_between_two_labels(panel: Any) -> None:
    info = info_of(event="digits", z=3)
    asked = opened(panel, info, "path")
    desk, mode = panel.desk, panel.modes["path"]
    keys = asked["path"].arrays["keys"]
    np.testing.assert_allclose(keys, desk.means[[0, 1]], atol=1e-6)
    assert desk.labels[0] != desk.labels[1]
    assert mode.strip.shape == (1, 16)
    assert mode.clock.size == 32
    words = " ".join(chip.text for chip in panel.chips.chips)
    assert "energy 1.5" in words
    mode.kind.buttons["geodesic"].click()
    asked = serve(panel, info)
    assert asked["path"].arguments["kind"] == "geodesic"
    assert "25.0 % less energy than straight" in " ".join(c.text for c in panel.chips.chips)


def test_a_decoder_of_draws_has_no_geodesic_and_no_means(panel: Any) -> None:
    info = info_of(event="digits")
    opened(panel, info, "path")
    mode = panel.modes["path"]
    mode.kind.buttons["geodesic"].click()
    mode.clock.go(9)
    card = msgspec.structs.replace(info.card, features=("common_draw",))
    draws = msgspec.structs.replace(info, card=card)
    panel.open_run(draws)
    assert mode.decoded.canvas.accessibleName() == ""  # nothing of the run before
    assert not mode.kind.buttons["geodesic"].isEnabled()
    assert "no derivative" in mode.kind.buttons["geodesic"].toolTip()
    asked = opened(panel, draws, "path")
    assert asked["path"].arguments["kind"] == "linear"
    opened(panel, draws, "lattice")
    assert "decoded draws" in [chip.text for chip in panel.chips.chips]
    opened(panel, info, "path")
    assert mode.kind.buttons["geodesic"].isEnabled()
    assert "no derivative" not in mode.kind.buttons["geodesic"].toolTip()


def test_keyframes_are_clicked_dragged_and_taken_away(panel: Any, qtbot: QtBot) -> None:
    info = info_of(z=4)
    opened(panel, info, "path")
    desk, mode = panel.desk, panel.modes["path"]
    place = mode.plane.places[9]
    mode.plane.moved.emit(tuple(place))
    row = mode.plane.nearest(tuple(place))
    assert mode.keys[-1].index == int(desk.indices[row])
    np.testing.assert_allclose(mode.keys[-1].z, desk.means[row], atol=1e-6)
    view = mode.plane.frame.canvas.viewport()
    at = mode.plane.frame.to_canvas(tuple(mode.plane.places[row])).toPoint()
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseMove(view, at + QPoint(40, 0))
    qtbot.mouseMove(view, at + QPoint(60, 0))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=at + QPoint(60, 0))
    assert len(mode.keys) == 3
    assert mode.keys[-1].index is None
    assert mode.keys[-1].z[0] > desk.means[row][0]
    desk.move(np.array([1.0, 2.0, 3.0, 4.0]))
    mode.tools.pressed.emit("add")
    assert mode.keys[-1] == Key((1.0, 2.0, 3.0, 4.0))
    mode.tools.pressed.emit("remove")
    assert len(mode.keys) == 3
    mode.tools.pressed.emit("clear")
    assert mode.keys == []
    assert "path" not in panel.asks(rest=True)


def test_the_scrubber_keeps_its_share_and_shows_the_frame(panel: Any) -> None:
    info = info_of(event="digits")
    opened(panel, info, "path")
    mode = panel.modes["path"]
    mode.clock.go(16)
    frames = mode._answer.arrays["frames"]
    cells = panel.desk.cells
    shown = mode.decoded.canvas._image.pixel(2, 3)
    everything = np.ones(64, bool)
    expected = cells.pixels(frames[16].reshape(-1).astype(np.float32), everything, "#000000")
    assert shown == int(expected[3, 2])
    mode.tools.chosen.emit("frames", 64)
    serve(panel, info)
    assert (mode.clock.size, mode.clock.place) == (64, 32)
    assert "keyframe 2" in mode._place_words() or mode._place_words() == ""
    assert mode.own_frames == 65
    mode.show_own_frame(64)
    assert mode._place_words() == "keyframe 2"


def test_a_loop_plays_on_from_its_end(panel: Any) -> None:
    info = info_of()
    opened(panel, info, "path")
    mode = panel.modes["path"]
    mode.tools.set_on("loop", True)
    serve(panel, info)
    assert mode.clock.size == 64
    mode.clock.play()
    mode.clock.advance(1e3)
    assert mode.clock.is_playing
    assert mode.clock.place == 0
    panel.set_mode("plane")
    assert not mode.clock.is_playing


def test_keyframes_follow_their_observations(panel: Any) -> None:
    info = info_of()
    opened(panel, info, "path")
    desk, mode = panel.desk, panel.modes["path"]
    desk.means = desk.means + np.float32(0.5)
    mode.refresh()
    np.testing.assert_allclose(mode.keys[0].z, desk.means[0], atol=1e-6)


def picture(folder: Path) -> str:
    path = folder / "own.png"
    Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (50, 1))).save(path)
    return str(path)


def drop(panel: Any, path: str) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(path)])
    panel.dropEvent(
        QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                   Qt.KeyboardModifier.NoModifier)
    )  # fmt: skip


def test_a_dropped_picture_is_encoded(panel: Any, tmp_path: Path) -> None:
    info = info_of(event="digits")
    opened(panel, info)
    drop(panel, picture(tmp_path))
    assert panel.switch.current == "own"
    asked = serve(panel, info)
    x = asked["own"].arrays["x"].reshape(8, 8)
    assert (np.diff(x, axis=1) >= 0).all()
    assert x.max() == 16
    mode = panel.modes["own"]
    assert mode.near.shape == (2, 8)
    assert not mode.plane.lines["ellipse"].is_empty
    words = " ".join(chip.text for chip in panel.chips.chips)
    assert "ELBO −12.5 nats" in words
    told: list[Any] = []
    panel.pointed.connect(told.append)
    mode.near.hovered.emit((1, 2))
    assert told[-1].heading == "observation 2"
    assert ("distance", "0.2 in data units") in told[-1].rows


def test_what_is_no_picture_is_named_on_the_banner(panel: Any, tmp_path: Path) -> None:
    opened(panel, info_of(event="digits"), "own")
    bad = tmp_path / "bad.png"
    bad.write_text("nothing")
    panel.modes["own"].read(str(bad))
    assert "could not be read as a picture" in panel.banner.text
    serve(panel, info_of(event="digits"))
    assert "could not be read as a picture" in panel.banner.text  # while a run trains, too
    panel.set_mode("plane")
    assert panel.banner.text == ""


def test_a_failure_is_told_until_its_own_part_is_answered(panel: Any) -> None:
    info = info_of(event="digits")
    opened(panel, info, "path")
    path = panel.modes["path"]._answer
    panel.show_failed("path", Failed("probe latent_path", "ValueError", "no such way"))
    plane = panel.modes["path"].plane._answer
    panel.show_answer("density", plane)
    assert panel.banner.text == "no such way"
    panel.show_answer("path", path)
    assert panel.banner.text == ""


def test_an_observation_stands_in_for_a_picture(panel: Any) -> None:
    info = info_of(event="digits")
    opened(panel, info, "own")
    assert "own" not in panel.asks(rest=True)
    panel.modes["own"].tools.pressed.emit("data")
    assert "click one in the plane" in panel.banner.text
    panel.desk.move(panel.desk.means[4], 4)
    assert panel.asks(rest=True)["own"].arguments["index"] == 4


@pytest.mark.parametrize(("model", "event"), [("gan", "digits"), ("vae", "")])
def test_own_pictures_need_an_encoder_and_pictures(panel: Any, model: str, event: str) -> None:
    opened(panel, info_of(model, event))
    assert not panel.switch.buttons["own"].isEnabled()
    panel.open_picture("x.png")
    assert panel.switch.current == "plane"


def test_levels_appear_for_several_latents_only(panel: Any) -> None:
    opened(panel, info_of(event="digits"))
    assert panel.switch.buttons["levels"].isHidden()
    info = info_of(event="digits", levels_of_latents=True)
    asked = opened(panel, info, "levels")
    assert not panel.switch.buttons["levels"].isHidden()
    assert {"level top", "level z"} <= set(asked)
    mode = panel.modes["levels"]
    assert mode.table.shape == (2, 8)
    mode.tools.pressed.emit("again")
    assert panel.asks(rest=True)["level z"].arguments["seed"] == 1
    mode.tools.chosen.emit("start", "data")
    assert panel.asks(rest=True)["level z"].arguments["index"] == 1


def test_a_relaxed_category_is_seen_on_its_simplex(panel: Any) -> None:
    info = info_of("gaussian_mixture", event="digits")
    opened(panel, info)
    assert panel.switch.buttons["simplex"].isHidden()
    card = msgspec.structs.replace(info.card, features=("components", "relaxed"))
    info = msgspec.structs.replace(info, card=card)
    opened(panel, info, "simplex")
    assert not panel.switch.buttons["simplex"].isHidden()
    mode = panel.modes["simplex"]
    assert mode.draws.count == 2000
    assert mode.ends.count == 3
    assert mode.image.pixels is not None
    words = " ".join(chip.text for chip in panel.chips.chips)
    assert "1: q 0.5, 0.51 of draws" in words
    assert "straight-through: bias 0.03 ± 0.004, spread 0.5" in words
    mode.tools.switch("temperature", 0.2)
    mode.tools.pressed.emit("next")
    asked = serve(panel, info)["simplex"].arguments
    assert (asked["temperature"], asked["index"], asked["category"]) == (0.2, 1, 0)
    told: list[Any] = []
    panel.pointed.connect(told.append)
    mode.frame.hovered.emit((0.8, -0.4))
    assert told[-1].heading == "state 3"


def test_keyframes_the_chosen_z_and_a_picture_can_be_taken_back(
    panel: Any, show_panel: Show, tmp_path: Path
) -> None:
    info = info_of(event="digits")
    opened(panel, info, "path")
    path, plane, own = (panel.modes[name] for name in ("path", "plane", "own"))
    before = path.kept(), plane.kept(), own.kept()
    path.add_key(Key((1.0, -1.0)))
    panel.desk.move(np.array([0.5, 0.25]))
    own.read(picture(tmp_path))
    after = path.kept(), plane.kept(), own.kept()
    for mode, was, now in zip((path, plane, own), before, after, strict=True):
        assert not mode.is_same(was, now)
        assert mode.what_changed(was, now)
    other = show_panel(LatentPanel)
    other.open_run(info)
    for name, now in zip(("path", "plane", "own"), after, strict=True):
        other.modes[name].keep(now)
    opened_keys = other.modes["path"].keys
    serve(other, info)
    assert other.modes["path"].keys == opened_keys == path.keys
    np.testing.assert_array_equal(other.desk.z, [0.5, 0.25])
    np.testing.assert_array_equal(other.modes["own"].picture, own.picture)
    for mode, was in zip((path, plane, own), before, strict=True):
        mode.keep(was)
        assert mode.is_same(was, mode.kept())


def test_encodings_that_move_are_no_change_of_the_keyframes(panel: Any) -> None:
    opened(panel, info_of(), "path")
    mode = panel.modes["path"]
    before = mode.kept()
    panel.desk.means = panel.desk.means + np.float32(1.0)
    mode.refresh()
    assert mode.kept() != before
    assert mode.is_same(before, mode.kept())
