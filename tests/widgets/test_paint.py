"""Painting: each tool does what it says, the grid agrees with scipy, undo brings back all."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import scipy.stats
import torch
from PySide6.QtCore import QCoreApplication, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engine.registry import build_dataset
from engine.wire.messages import RunSpec
from engine.wire.painting import MOST_DABS, decode_dabs, encode_dabs, first_painting
from tests.widgets.fakes import FakeEngine, run_info
from widgets.controls.painter import Painter
from widgets.painting.ink import Ink
from widgets.painting.state import as_png, draw_points, painting_of, read_picture
from widgets.painting.tools import ALONG, TOOLS, Hand, Stroke, dabs_at
from widgets.panel import Panel
from widgets.panels.paint import PaintPanel
from widgets.plots.layers import Box

Show = Callable[[type[Panel]], Any]
LINE = ((-2.0, 0.5), (2.0, -0.5))


def field(n: int = 400, seed: int = 0) -> Any:
    """Dabs (n, 4) all over the canvas."""
    centres = np.random.default_rng(seed).uniform(-3, 3, (n, 2))
    rest = np.broadcast_to([0.1, 1.0], (n, 2))
    return np.concatenate([centres, rest], 1).astype(np.float32)


def stroke(tool: str, dabs: Any, n_events: int, seconds: float = 0.4, **kind: Any) -> Stroke:
    """One stroke along a line, with so many events and as many ticks."""
    made = Stroke(tool, kind.pop("hand", Hand(0.4, 0.1, 0.5)), dabs, seed=3, **kind)
    for share in np.linspace(0.0, 1.0, n_events):
        made.move(tuple((1 - share) * np.array(LINE[0]) + share * np.array(LINE[1])))
        made.tick(seconds / n_events)
    return made


def off_line(dabs: Any) -> Any:
    """Distance of dabs from the infinite line of the stroke."""
    (x0, y0), (x1, y1) = LINE
    normal = np.array([y1 - y0, x0 - x1]) / np.hypot(x1 - x0, y1 - y0)
    return np.abs((dabs[:, :2] - np.array(LINE[0])) @ normal)


# --- tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ALONG)
def test_what_a_stroke_leaves_does_not_depend_on_its_events(tool: str) -> None:
    few, many = (stroke(tool, field(), n).dabs for n in (4, 97))
    np.testing.assert_allclose(few, many, atol=1e-5)
    assert len(few) != 400 or not np.array_equal(few, field())


def test_the_brush_lays_an_even_ribbon() -> None:
    made = stroke("brush", field(0), 30).dabs
    along = (made[:, 0] + 2.0) / 4.0
    inside = (along > 0.1) & (along < 0.9)
    assert len(made) > 100
    assert off_line(made).max() < 0.4
    assert off_line(made[inside]).max() > 0.2
    assert scipy.stats.kstest(along[inside], scipy.stats.uniform(0.1, 0.8).cdf).pvalue > 0.5
    hand = Hand(0.8, 0.1, 0.5)
    wide = stroke("brush", field(0), 30, hand=hand).dabs
    ink = [d[:, 3].sum() / (2 * r * np.hypot(4, 1)) for d, r in ((made, 0.4), (wide, 0.8))]
    assert ink[0] == pytest.approx(ink[1], rel=0.05)
    assert ink[0] == pytest.approx(0.5, rel=0.05)


def test_the_spray_follows_time_not_events() -> None:
    amounts = [len(stroke("spray", field(0), n, seconds=1.0).dabs) for n in (5, 60, 500)]
    assert amounts == pytest.approx([120, 120, 120], abs=1)
    made = stroke("spray", field(0), 200, seconds=20.0).dabs
    assert off_line(made).std() == pytest.approx(0.2 * math.sqrt(1 - 2 / math.pi), rel=0.1)


def test_the_eraser_takes_what_is_under_it_and_thins_when_weak() -> None:
    before = field()
    strong = stroke("eraser", before, 40, hand=Hand(0.4, 0.1, 1.0)).dabs
    inside = (off_line(before) < 0.3) & (np.abs(before[:, 0]) < 1.8)
    outside = off_line(before) > 0.46
    kept = {tuple(row) for row in strong.tolist()}
    assert inside.sum() > 20
    assert not any(tuple(row) in kept for row in before[inside].tolist())
    assert all(tuple(row) in kept for row in before[outside].tolist())
    weak = stroke("eraser", before, 40, hand=Hand(0.4, 0.1, 0.05)).dabs
    assert len(weak) == len(before)
    assert (weak[inside, 3] < 1.0).all()
    assert (weak[outside, 3] == 1.0).all()


def test_jitter_moves_what_is_under_it_as_far_as_time_says() -> None:
    before = np.tile(np.float32([0.0, 0.0, 0.1, 1.0]), (4000, 1))
    spread: list[Any] = []
    for n in (10, 160):
        made = Stroke("jitter", Hand(1.0, 0.1, 0.4), before, seed=n)
        made.move((0.0, 0.0))
        for _ in range(n):
            made.tick(0.5 / n)
        spread.append(float(made.dabs[:, :2].std()))
    assert spread == pytest.approx([0.2 * math.sqrt(0.5)] * 2, rel=0.05)
    far = field() + np.float32([10.0, 0.0, 0.0, 0.0])
    assert stroke("jitter", far, 10).dabs is far


@pytest.mark.parametrize("push", [False, True])
def test_the_magnet_pulls_or_pushes(push: bool) -> None:
    before = field()
    made = Stroke("magnet", Hand(1.0, 0.1, 0.5), before, push=push)
    made.move((0.5, 0.5))
    for _ in range(20):
        made.tick(0.01)
    distance = [np.hypot(*(d[:, :2] - np.float32(0.5)).T) for d in (before, made.dabs)]
    near = (distance[0] < 0.9) & (distance[0] > 0.05)
    assert near.sum() > 20
    assert bool(np.all((distance[1] > distance[0])[near] == push))
    np.testing.assert_array_equal(made.dabs[distance[0] > 1.06], before[distance[0] > 1.06])
    np.testing.assert_array_equal(made.dabs[:, 2:], before[:, 2:])


@pytest.mark.parametrize("tool", TOOLS)
def test_changes_are_what_became_of_the_dabs(tool: str) -> None:
    made = Stroke(tool, Hand(0.8, 0.2, 0.7), field(), seed=1)
    ink = Ink(Box((-4.0, -4.0), (4.0, 4.0)), (64, 64))
    ink.add(field())
    for x in np.linspace(-1, 1, 9):
        for change in [*made.move((float(x), 0.0)), *made.tick(0.05)]:
            ink.add(change.gone, -1.0)
            ink.add(change.new)
    fresh = Ink(ink.box, (64, 64))
    fresh.add(made.dabs)
    np.testing.assert_allclose(ink.density, fresh.density, atol=1e-4)


def test_a_full_canvas_takes_no_more() -> None:
    made = Stroke("brush", Hand(), np.tile(field(1), (MOST_DABS - 3, 1)))
    made.move((0.0, 0.0))
    made.move((3.0, 0.0))
    assert len(made.dabs) == MOST_DABS
    assert made.is_full


# --- what is seen -----------------------------------------------------------------------------


def test_the_grid_is_the_density_of_the_data_set() -> None:
    dabs = field(60)
    dabs[:, 2] = np.random.default_rng(1).uniform(0.2, 0.5, 60)
    ink = Ink(Box((-4.0, -3.0), (4.0, 3.0)), (30, 40))
    ink.add(dabs)
    truth: Any = build_dataset("painted", dabs=encode_dabs(dabs))
    x, y = np.meshgrid(*ink.axes)
    points = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1))
    wanted = truth.log_prob(points).exp().reshape(30, 40)
    np.testing.assert_allclose(ink.density, wanted, atol=2e-5)


def test_a_picture_looks_like_the_data_set_that_it_is(tmp_path: Path) -> None:
    grey = np.random.default_rng(2).integers(0, 255, (9, 14)).astype(np.uint8)
    (tmp_path / "own.png").write_bytes(base64.b64decode(as_png(grey)))
    painting = read_picture(str(tmp_path / "own.png"))
    np.testing.assert_array_equal(painting.grey, grey)
    name, config = painting.data
    truth: Any = build_dataset(name, **config)
    x, y = np.linspace(-4.4, 4.4, 37), np.linspace(-3.1, 3.1, 29)
    points = torch.from_numpy(np.stack([g.ravel() for g in np.meshgrid(x, y)], 1))
    wanted = truth.log_prob(points).exp().reshape(29, 37)
    np.testing.assert_allclose(painting.pixels_at(x, y), wanted, atol=1e-4)
    back = painting_of(name, config)
    assert back is not None
    np.testing.assert_array_equal(back.grey, grey)
    dabs = painting.as_dabs().dabs
    dark = 255.0 - grey
    mean = (dark.sum(0) @ ((np.arange(14) + 0.5 - 7) * 8 / 14)) / dark.sum()
    assert np.average(dabs[:, 0], weights=dabs[:, 3]) == pytest.approx(mean, abs=0.02)


@pytest.mark.parametrize("content", [b"no picture", b""])
def test_a_file_that_is_no_picture_is_said_on_the_panel(
    content: bytes, show_panel: Show, tmp_path: Path
) -> None:
    (tmp_path / "own.png").write_bytes(content)
    panel = show_panel(PaintPanel)
    before = panel.painting.dabs
    panel.import_picture(str(tmp_path / "own.png"))
    assert "own.png cannot be read" in panel.banner.text
    assert panel.painting.dabs is before


def test_white_pictures_are_refused(tmp_path: Path) -> None:
    image = QImage(5, 5, QImage.Format.Format_ARGB32)
    image.fill(QColor(0, 0, 0, 0))
    image.save(str(tmp_path / "clear.png"))
    with pytest.raises(ValueError, match="white all over"):
        read_picture(str(tmp_path / "clear.png"))


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_saved_points_are_draws_of_the_painting(
    suffix: str, show_panel: Show, tmp_path: Path
) -> None:
    panel = show_panel(PaintPanel)
    path = tmp_path / f"own.{suffix}"
    panel.save_to(str(path))
    truth: Any = build_dataset("points", path=str(path), key="points" if suffix == "npz" else "")
    dabs = first_painting().astype(np.float64)
    share = dabs[:, 3] / dabs[:, 3].sum()
    assert truth.event_shape == (2,)
    wanted = share @ (dabs[:, 1] ** 2 + dabs[:, 2] ** 2)
    assert float((truth.train[:, 1] ** 2).mean()) == pytest.approx(wanted, rel=0.1)
    if suffix == "npz":
        np.testing.assert_array_equal(np.load(path)["dabs"], first_painting())


def test_a_bad_name_or_an_empty_canvas_is_not_saved(show_panel: Show, tmp_path: Path) -> None:
    panel = show_panel(PaintPanel)
    panel.save_to(str(tmp_path / "own.txt"))
    assert ".csv or .npz" in panel.banner.text
    panel.buttons.pressed.emit("clear")
    panel.save_to(str(tmp_path / "own.csv"))
    assert "nothing to save" in panel.banner.text


def test_draws_choose_dabs_by_weight() -> None:
    dabs = np.array([[-3, 0, 0.1, 3.0], [3, 0, 0.1, 1.0]], np.float32)
    points = draw_points(dabs, 4000)
    assert float((points[:, 0] < 0).mean()) == pytest.approx(0.75, abs=0.03)


# --- the mouse --------------------------------------------------------------------------------


def pixel(canvas: Painter, x: float, y: float) -> QPoint:
    view = canvas.frame.view
    where: QPoint = view.scene().views()[0].mapFromScene(view.mapViewToScene(QPointF(x, y)))
    return where


def drag(canvas: Painter, *places: tuple[float, float], shift: bool = False) -> None:
    """A stroke with the left button through places of the plane."""
    modifier = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
    button, target = Qt.MouseButton.LeftButton, canvas._viewport
    QTest.mouseMove(target, pixel(canvas, *places[0]))
    QTest.mousePress(target, button, modifier, pixel(canvas, *places[0]))
    for place in places[1:]:
        QTest.mouseMove(target, pixel(canvas, *place))
        canvas.tick(0.05)
    QTest.mouseRelease(target, button, modifier, pixel(canvas, *places[-1]))


@pytest.fixture
def panel(show_panel: Show, qtbot: QtBot) -> Any:
    made = show_panel(PaintPanel)
    qtbot.waitUntil(lambda: made.canvas.frame.box.low[0] <= -4.0)
    return made


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_works_by_mouse_and_undo_restores_the_exact_dabs(tool: str, panel: Any) -> None:
    before = panel.painting.dabs.copy()
    undone: list[Any] = []
    panel.edited.connect(lambda *step: undone.append(step))
    panel.canvas.set_tool(tool)
    panel.canvas.set_hand(Hand(1.0, 0.2, 1.0))
    drag(panel.canvas, (-1.5, -1.5), (0.0, -1.7), (1.5, -1.5))
    assert len(undone) == 1
    after = panel.painting.dabs
    assert not np.array_equal(after, before)
    old, new, words = undone[0]
    assert words == {"magnet": "pull"}.get(tool, tool)
    np.testing.assert_array_equal(new.dabs, after)
    panel.set_painting(old)
    np.testing.assert_array_equal(panel.painting.dabs, before)
    panel.set_painting(new)
    np.testing.assert_array_equal(panel.painting.dabs, after)


def test_painted_where_the_mouse_was(panel: Any) -> None:
    panel.buttons.pressed.emit("clear")
    drag(panel.canvas, (-2.0, 1.0), (2.0, 1.0))
    dabs = panel.painting.dabs
    assert len(dabs) > 20
    assert abs(dabs[:, 1] - 1.0).max() < 0.4
    assert dabs[:, 0].min() == pytest.approx(-2.0, abs=0.3)
    assert dabs[:, 0].max() == pytest.approx(2.0, abs=0.3)


def test_keys_take_tools_only_with_the_focus(panel: Any, qtbot: QtBot) -> None:
    keys = [Qt.Key.Key_S, Qt.Key.Key_E, Qt.Key.Key_J, Qt.Key.Key_M, Qt.Key.Key_B]
    for key, tool in zip(keys, ("spray", "eraser", "jitter", "magnet", "brush"), strict=True):
        QTest.keyClick(panel.canvas, key)
        assert panel.canvas.tool == tool
        assert panel.tools.is_checked(tool)
        assert sum(panel.tools.is_checked(name) for name in TOOLS) == 1
    radius = panel.canvas.hand.radius
    QTest.keyClick(panel.canvas, Qt.Key.Key_BracketRight)
    assert panel.canvas.hand.radius > radius
    assert panel.held.hand.radius == panel.canvas.hand.radius
    QTest.keyClick(panel.canvas, Qt.Key.Key_BracketLeft)
    assert panel.canvas.hand.radius == pytest.approx(radius, rel=0.01)


def test_shift_pushes(panel: Any) -> None:
    words: list[str] = []
    panel.edited.connect(lambda before, after, said: words.append(said))
    panel.canvas.set_tool("magnet")
    panel.canvas.press((0.0, -1.6), push=True)
    panel.canvas.tick(0.1)
    panel.canvas.release()
    assert words == ["push"]


def test_a_click_that_changes_nothing_is_no_step(panel: Any) -> None:
    panel.edited.connect(lambda *_: pytest.fail("nothing was changed"))
    panel.canvas.set_tool("eraser")
    drag(panel.canvas, (0.0, 0.0), (0.1, 0.0))


# --- the panel --------------------------------------------------------------------------------


def test_the_painting_goes_out_at_a_steady_pace_and_once_at_the_end(panel: Any) -> None:
    told: list[Any] = []
    panel.painted.connect(told.append)
    panel.canvas.press((-2.0, 0.0))
    for x in np.linspace(-2.0, 2.0, 50):
        panel.canvas.drag((float(x), 0.0))
    assert len(told) == 1
    panel.canvas.release()
    assert len(told) == 2
    name, config = told[-1]
    assert name == "painted"
    np.testing.assert_array_equal(decode_dabs(config["dabs"]), panel.painting.dabs)


def test_what_waited_goes_out_when_its_time_has_come(panel: Any, qtbot: QtBot) -> None:
    told: list[Any] = []
    panel.painted.connect(told.append)
    panel.canvas.press((-2.0, 0.0))
    panel.canvas.drag((2.0, 0.0))
    assert len(told) == 1
    qtbot.waitUntil(lambda: len(told) == 2)
    assert len(decode_dabs(told[1][1]["dabs"])) == len(panel.painting.dabs)
    panel.canvas.release()


def test_an_empty_canvas_is_told_to_the_user_and_not_to_the_runs(panel: Any) -> None:
    panel.painted.connect(lambda _: pytest.fail("an empty canvas is no data"))
    panel.buttons.pressed.emit("clear")
    assert "Paint here" in panel.canvas.hint.text()
    assert panel.canvas.hint.isVisible()
    assert not panel.train.isEnabled()


def test_nothing_moves_under_the_pointer_when_a_stroke_begins(panel: Any) -> None:
    panel.buttons.pressed.emit("clear")
    QCoreApplication.processEvents()
    before = pixel(panel.canvas, 1.0, 1.0)
    panel.canvas.press((0.0, 0.0))
    for _ in range(4):
        QCoreApplication.processEvents()
    assert not panel.canvas.hint.isVisible()
    assert pixel(panel.canvas, 1.0, 1.0) == before
    panel.canvas.release()


def test_painting_on_a_picture_makes_dabs_of_it(panel: Any, tmp_path: Path) -> None:
    grey = np.full((20, 20), 255, np.uint8)
    grey[5:15, 5:15] = 0
    (tmp_path / "own.png").write_bytes(base64.b64decode(as_png(grey)))
    told: list[Any] = []
    panel.painted.connect(told.append)
    panel.import_picture(str(tmp_path / "own.png"))
    assert told[-1][0] == "picture"
    drag(panel.canvas, (-3.0, 3.0), (3.0, 3.0))
    assert told[-1][0] == "painted"
    assert len(panel.painting.dabs) > 100
    assert panel.painting.grey is None


def test_a_run_on_a_painting_is_shown_unless_something_else_was_painted(panel: Any) -> None:
    own = field(7)
    spec = RunSpec("realnvp", "painted", dataset_config={"dabs": encode_dabs(own)})
    info = msgspec.structs.replace(run_info(), spec=spec)
    panel.open_run(info)
    np.testing.assert_array_equal(panel.painting.dabs, own)
    assert not panel.train.isVisible()
    drag(panel.canvas, (-1.0, 0.0), (1.0, 0.0))
    mine = panel.painting.dabs
    panel.open_run(msgspec.structs.replace(info, run="run-2"))
    np.testing.assert_array_equal(panel.painting.dabs, mine)
    panel.open_run(run_info())
    assert panel.train.isVisible()


def test_data_become_dabs_one_a_point(panel: Any) -> None:
    info = run_info()
    panel.open_run(info)
    panel.buttons.pressed.emit("data")
    question = panel.asks(rest=True)["dabs"]
    assert question.arguments["n"] == 2000
    FakeEngine(info).serve(panel)
    assert len(panel.painting.dabs) == 2000
    assert "dabs" not in panel.asks(rest=True)


def test_data_in_their_own_units_get_a_canvas_and_a_softness_that_fit() -> None:
    points = np.random.default_rng(0).normal(size=(500, 2)) * 800.0 + 5000.0
    dabs = dabs_at(points, 0.12)
    assert 0.1 < dabs[0, 2] / (np.ptp(points, axis=0).max() / 8.0) / 0.12 < 2.0
    np.testing.assert_allclose(dabs[:, :2], points, rtol=1e-6)


def test_layers_follow_their_switches(panel: Any, qtbot: QtBot) -> None:
    panel.open_run(run_info())
    assert set(panel.asks(rest=True)) == {"data", "model"}
    panel.layers._toggles["model"][1].trigger()
    assert set(panel.asks(rest=True)) == {"data"}
    panel.open_run(run_info("gan"))
    panel.layers._toggles["model"][1].trigger()
    assert set(panel.asks(rest=True)) == {"data", "samples"}
