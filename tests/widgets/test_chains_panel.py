"""The panel of chains: the walk step by step, settings in its middle, what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from engine.wire.messages import Answer, Failed, Slot
from tests.widgets.chain_fakes import LEVELS, N_LEAPFROG
from tests.widgets.fakes import FakeEngine, run_info
from tests.widgets.test_panels import SPOILS
from widgets.chains.arrows import HEAD, heads
from widgets.chains.film import WalkReel
from widgets.chains.relief import triangles
from widgets.chains.slider import Scale
from widgets.panel import Panel, Pointed
from widgets.panels.chains import ChainsPanel
from widgets.plots.cloud import has_opengl

#: Of all spoils those that these pages have ways of their own to meet.
NASTY = ("typical", "NaN", "one sample", "huge")


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> ChainsPanel:
    made = show_panel(ChainsPanel)
    assert isinstance(made, ChainsPanel)
    made.resize(1100, 700)
    return made


def opened(panel: ChainsPanel, model: str = "ebm", shape: tuple[int, ...] = (2,)) -> FakeEngine:
    info = run_info(model, shape)
    panel.open_run(info)
    engine = FakeEngine(info)
    for _ in range(3):
        engine.serve(panel)
    panel.walk.clock.pause()
    return engine


def test_refusals(panel: ChainsPanel) -> None:
    panel.open_run(run_info("cnf"))
    assert panel.asks(rest=True) == {}
    assert "too slow for chains" in panel.empty.text
    panel.open_run(run_info("ebm", (1,)))
    assert "needs two" in panel.empty.text
    opened(panel)
    assert panel.outer.currentWidget() is not panel.empty


def test_steps_go_back_and_forth_exactly(panel: ChainsPanel) -> None:
    opened(panel)
    film, clock = panel.desk.film, panel.walk.clock
    assert film is not None
    assert film.n == 21
    clock.go(5)
    seen = panel.walk.stage.dots._points.copy()
    np.testing.assert_allclose(seen, film.row(0)["points"] * 0.5**5, rtol=1e-6)
    QTest.keyClick(panel, Qt.Key.Key_Right)
    assert clock.place == 6
    assert np.abs(panel.walk.stage.dots._points - seen).max() > 0
    QTest.keyClick(panel, Qt.Key.Key_Left)
    np.testing.assert_array_equal(panel.walk.stage.dots._points, seen)
    assert "Chain 1, step 5 → 6" in panel.walk.side.words.text()


def test_a_setting_in_the_middle_goes_on_from_there(panel: ChainsPanel) -> None:
    engine = opened(panel)
    film, clock = panel.desk.film, panel.walk.clock
    assert film is not None
    clock.go(4)
    past, future = film.row(3)["points"].copy(), film.row(4)["points"].copy()
    panel.bar.sliders["step_size"].slider.setValue(150)
    question = panel.asks(rest=True)["walk"]
    assert question.arguments["first"] == 4
    assert question.arguments["steps"] == 396
    assert question.arguments["step_size"] == panel.desk.step_size > 0.1
    np.testing.assert_array_equal(question.arrays["x"], future)
    engine.serve(panel)
    assert clock.place == 4
    assert panel.desk.film is film
    np.testing.assert_array_equal(film.row(3)["points"], past)
    # Other weights know nothing of those places: the walk begins anew.
    answer = engine.answer("chains", "walk", question)
    late = Answer(answer.slot, 1, 200, answer.arrays, answer.values)
    panel.show_answer("walk", late)
    assert "first" not in panel.asks(rest=True)["walk"].arguments


def test_one_chain_is_one_chain(panel: ChainsPanel) -> None:
    engine = opened(panel)
    panel.bar.tools.chosen.emit("n", 1)
    engine.serve(panel)
    assert panel.chips.chips[0].text == "1 chain, step 0"


def test_another_chain_set_begins_anew(panel: ChainsPanel) -> None:
    engine = opened(panel)
    panel.walk.clock.go(9)
    panel.bar.again.emit()
    assert panel.walk.clock.place == 0
    question = panel.asks(rest=True)["walk"]
    assert question.arguments["seed"] == 1
    assert "first" not in question.arguments
    engine.serve(panel)
    panel.bar.tools.chosen.emit("n", 10)
    assert panel.asks(rest=True)["walk"].arguments["n"] == 10
    panel.bar.tools.chosen.emit("n", 10_000)
    panel.bar.tools.chosen.emit("length", 4000)
    assert panel.asks(rest=True)["walk"].arguments["steps"] == 399


def test_a_click_watches_a_chain_or_starts_them_all(panel: ChainsPanel) -> None:
    opened(panel)
    film = panel.desk.film
    assert film is not None
    panel.walk.clock.go(2)
    spot = film.row(2)["points"][7]
    panel.walk.stage.clicked.emit((float(spot[0]), float(spot[1])))
    assert panel.desk.watch == 7
    assert "chain 8" in panel.walk.stage.trail.words
    panel.bar.tools.chosen.emit("start", "click")
    panel.walk.stage.clicked.emit((0.5, -1.0))
    question = panel.asks(rest=True)["walk"]
    assert question.arguments["start"] == "click"
    assert question.arguments["at"] == [0.5, -1.0]
    state = panel.save_state()
    panel.walk.stage.clicked.emit((2.0, 2.0))
    panel.restore_state(state)  # as undo does
    assert panel.desk.at == (0.5, -1.0)
    panel.restore_state(state | {"at": [float("nan"), 0.0], "start": "click"})
    assert panel.desk.at == (0.5, -1.0)


def test_a_walk_on_its_way_is_not_gone_on_with(panel: ChainsPanel) -> None:
    """Other starts are wanted, and before they are there another step size."""
    engine = opened(panel)
    panel.walk.clock.go(6)
    panel.walk.clock.play()
    panel.bar.tools.chosen.emit("start", "data")
    assert not panel.walk.clock.is_playing
    panel.walk.clock.go(3)  # what is shown is still the walk before
    panel.bar.sliders["step_size"].slider.setValue(150)
    question = panel.asks(rest=True)["walk"]
    assert "first" not in question.arguments
    assert question.arguments["start"] == "data"
    engine.serve(panel)
    panel.walk.clock.go(3)
    panel.bar.sliders["step_size"].slider.setValue(120)
    assert panel.asks(rest=True)["walk"].arguments["first"] == 3


def test_where_to_click_is_said_until_another_start_is_chosen(panel: ChainsPanel) -> None:
    engine = opened(panel)
    panel.bar.tools.chosen.emit("start", "click")
    engine.serve(panel)
    assert panel.chips.chips[0].text == "click into the picture: all chains begin there"
    panel.bar.tools.chosen.emit("start", "noise")
    engine.serve(panel)
    assert not any("click" in chip.text for chip in panel.chips.chips)


def test_a_swap_moves_a_chain_whatever_became_of_its_proposal(panel: ChainsPanel) -> None:
    engine = opened(panel)
    panel.bar.tools.chosen.emit("kernel", "tempering")
    engine.serve(panel)
    panel.walk.clock.go(3)
    assert "changes places with the hotter replica" in panel.walk.side.words.text()
    film = panel.desk.film
    assert film is not None
    wanted = f"{1 / (3 * film.n_told):.0%} of swaps taken"
    assert wanted in [chip.text for chip in panel.chips.chips]
    panel.walk.watch(1)
    assert panel.walk.side.words.text().endswith("; accepted.")


@pytest.mark.parametrize("kernel", ["langevin", "mala", "tempering", "own:mala", "hmc"])
def test_a_kernel_without_a_temperature_walks_at_1(panel: ChainsPanel, kernel: str) -> None:
    opened(panel)
    panel.desk.set(0, temperature=2.0, kernel=kernel)
    heated = kernel in ("langevin", "mala", "hmc")
    assert panel.asks(rest=True)["walk"].arguments["temperature"] == (2.0 if heated else 1.0)


def test_words_beside_a_chain_leave_its_step_free(panel: ChainsPanel) -> None:
    opened(panel)  # every step goes half of the way to the middle
    film, stage = panel.desk.film, panel.walk.stage
    assert film is not None
    first = film.row(0)["points"][: film.n_told, 0]
    for chain in (int(np.argmin(first)), int(np.argmax(first))):
        panel.walk.watch(chain)
        assert stage.trail.way_on is not None
        assert (stage.trail.way_on[0] > 0) == (first[chain] < 0)
    panel.walk.watch(int(np.argmin(first)))
    panel.walk.set_shown("arrows", on=False)
    assert stage.trail.way_on is None


@pytest.mark.parametrize("kernel", ["langevin", "hmc", "tempering", "own:mala"])
def test_parts_of_a_step(panel: ChainsPanel, kernel: str) -> None:
    engine = opened(panel)
    panel.bar.tools.chosen.emit("kernel", kernel)
    engine.serve(panel)
    panel.walk.clock.go(3)
    panel.walk.set_arrows(1)
    stage = panel.walk.stage
    if kernel == "hmc":
        assert len(stage.ways._points) == N_LEAPFROG + 1
        assert stage.drift.count == 0
    elif kernel == "tempering":
        assert stage.told.count == 4
    else:
        assert stage.drift.count == stage.noise.count == 4
    used = {name for name, slider in panel.bar.sliders.items() if not slider.isHidden()}
    wanted = {"langevin": {"step_size", "temperature"}, "own:mala": set(),
              "hmc": {"step_size", "n_leapfrog", "temperature"},
              "tempering": {"step_size", "hottest"}}  # fmt: skip
    assert used == wanted[kernel]
    panel.walk.set_shown("arrows", on=False)
    assert stage.ends.count == stage.drift.count == stage.told.count == 0


def test_answers(panel: ChainsPanel) -> None:
    engine = opened(panel)
    for kernel in ("hmc", "tempering"):
        panel.bar.tools.chosen.emit("kernel", kernel)
        for words in NASTY:
            FakeEngine(engine.info, SPOILS[words]).serve(panel)
            assert not panel.grab().isNull(), words


@pytest.mark.parametrize("mode", ["forces", "buffer", "truth", "outside"])
@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)])
def test_pages(panel: ChainsPanel, mode: str, shape: tuple[int, ...]) -> None:
    engine = opened(panel, shape=shape)
    panel.set_mode(mode)
    for words in NASTY:
        for _ in range(2):
            FakeEngine(engine.info, SPOILS[words]).serve(panel)
        assert not panel.grab().isNull(), words


def test_a_page_in_front_lets_the_others_know_what_is_in_view(panel: ChainsPanel) -> None:
    """Observations of pictures are asked once, by whichever page is in front."""
    panel.set_mode("buffer")
    info = run_info("ebm", (1, 8, 8), low=(-3.0,) * 64, high=(3.0,) * 64)
    panel.open_run(info)
    assert panel.desk.window is None
    engine = FakeEngine(info)
    engine.serve(panel)
    assert "long" in panel.asks(rest=True)
    panel.set_mode("walk")
    assert "data" not in panel.asks(rest=True)
    engine.serve(panel)
    assert panel.desk.film is not None
    assert panel.walk.stage._home is not None


@pytest.mark.parametrize("mode", ["forces", "truth"])
def test_waiting_is_told(panel: ChainsPanel, mode: str) -> None:
    panel.open_run(run_info("ebm", (2,)))
    panel.set_mode(mode)
    page = panel.modes[mode]
    assert page.wait.isVisible()
    assert "…" in page.wait.text
    engine = FakeEngine(run_info("ebm", (2,)))
    for _ in range(3):
        engine.serve(panel)
    assert not page.wait.isVisible()


def test_the_landscape_shows_the_parts_of_every_kernels_step(panel: ChainsPanel) -> None:
    if not has_opengl():
        pytest.skip("this display has no OpenGL")
    engine = opened(panel)
    panel.walk.set_view("relief")
    relief = panel.walk.relief
    assert relief is not None
    panel.walk.set_arrows(1)
    counts = {"mala": 1, "hmc": 1, "tempering": 4}
    for kernel, dots in counts.items():
        panel.bar.tools.chosen.emit("kernel", kernel)
        engine.serve(panel)
        panel.walk.clock.go(10)
        assert relief._parts.visible, kernel
        assert len(relief._told._data) == dots, kernel
    panel.walk.set_arrows(16)
    assert len(relief._told._data) == 16 * 4
    panel.walk.set_shown("arrows", on=False)
    assert not relief._parts.visible
    assert not relief._told.visible
    relief._camera.azimuth = 77.0
    panel.walk.tools.pressed.emit("reset")
    assert relief.azimuth == 20.0
    for name in ("forces", "data"):
        assert not panel.walk.tools._toggles[name][1].isEnabled()
    panel.walk.set_view("flat")
    assert panel.walk.tools._toggles["forces"][1].isEnabled()


def test_chains_of_one_class(panel: ChainsPanel) -> None:
    opened(panel)
    choice = panel.bar.tools._choices["of_class"][1]
    assert not choice.isVisible()
    plain = run_info("ebm", labels=("cat", "dog"))
    card = msgspec.structs.replace(plain.card, features=("class_energy",))
    panel.open_run(msgspec.structs.replace(plain, card=card))
    assert choice.isVisible()
    panel.bar.tools.switch("of_class", 1)
    assert panel.bar.tools.words_for("of_class", 1) == "choose class dog"
    asked = panel.asks(rest=True)
    assert asked["walk"].arguments["of_class"] == asked["surface"].arguments["of_class"] == 1
    state = panel.save_state()
    panel.bar.tools.switch("of_class", -1)
    panel.restore_state(state | {"of_class": 2})
    assert panel.desk.of_class == -1
    panel.restore_state(state)
    assert panel.desk.of_class == 1
    engine = FakeEngine(plain)
    panel.set_mode("forces")
    for _ in range(2):
        engine.serve(panel)
    texts = [chip.text for chip in panel.chips.chips]
    assert "the chains are of class dog alone: not p(x)" in texts
    panel.open_run(plain)
    assert panel.desk.of_class == -1


def test_forces_are_those_of_the_chains_at_this_step(panel: ChainsPanel) -> None:
    engine = opened(panel)
    panel.set_mode("forces")
    film = panel.desk.film
    assert film is not None
    for place in (2, 9):
        panel.walk.clock.go(place)
        negatives = panel.asks(rest=True)["forces"].arrays["negatives"]
        np.testing.assert_array_equal(negatives, film.row(place)["points"])
    engine.serve(panel)
    maps = panel.forces.maps
    middle = {name: shown.value_at((0.0, 0.0)) or 0.0 for name, shown in maps.items()}
    assert middle["sum"] == pytest.approx(middle["positive"] + middle["negative"])
    assert middle["positive"] < 0 < middle["negative"]
    assert any("cosine with the exact gradient 0.500" in c.text for c in panel.chips.chips)
    panel.open_run(run_info("realnvp"))
    assert panel.switch.current == "walk"
    assert "over exact samples is 0" in panel.switch.buttons["forces"].toolTip()


def test_the_long_run_marks_the_training(panel: ChainsPanel) -> None:
    engine = opened(panel)
    panel.set_mode("buffer")
    engine.serve(panel)
    mode = panel.buffer
    assert mode.energy.value_at("mean", 100.0) == pytest.approx(1.0 + np.exp(-5.0))
    assert mode.kl.value_at("floor", 0.0) == 0.04
    assert mode.energy.value_at("data", 0.0) == 1.25
    assert mode.rules[0].at == pytest.approx(np.log10(5))
    mode.set_log("log", on=False)
    assert mode.rules[0].at == 5
    assert mode.map.dots.count == 60
    assert "K = 5" in mode.rules[0].heading
    mode.set_longest(20_000)
    assert panel.asks(rest=True)["long"].arguments["steps"] == 20_000
    failed = Failed("probe", "ValueError", "replay_buffer: this run has none yet",
                    slot=Slot("chains", "run-1", "buffer"))  # fmt: skip
    panel.show_failed("buffer", failed)
    assert panel.banner.text == ""
    assert mode.map.title.text() == "this run has none yet"


def test_a_failure_stays_until_that_part_is_answered(panel: ChainsPanel) -> None:
    engine = opened(panel)
    questions = panel.asks(rest=True)
    failed = Failed("probe", "ValueError", "no buffer", slot=Slot("chains", "run-1", "walk"))
    panel.show_failed("walk", failed)
    panel.show_answer("surface", engine.answer("chains", "surface", questions["surface"]))
    assert panel.banner.text == "no buffer"
    panel.show_answer("walk", engine.answer("chains", "walk", questions["walk"]))
    assert panel.banner.text == ""
    panel.show_failed("walk", failed)
    panel.set_mode("truth")
    assert panel.banner.text == ""


def test_the_truth_tells_what_is_wrong(panel: ChainsPanel) -> None:
    engine = opened(panel)
    panel.set_mode("truth")
    engine.serve(panel)
    texts = [chip.text for chip in panel.chips.chips]
    assert "R-hat 1.50: not mixed" in texts
    assert any(text.startswith("ESS 30 of 1") for text in texts)
    assert any(text.startswith("Langevin: 0.290 nats from exact") for text in texts)
    assert any(text.startswith("MALA: 0.001 nats from exact") for text in texts)
    told: list[Any] = []
    panel.pointed.connect(told.append)
    panel.truth.bars._on_hovered((1.1, 0.2))
    assert dict(told[-1].rows) == {
        "exp(−E/T)/Z, exact": "40.0%",
        "Langevin": "10.0%",
        "MALA": "40.0%",
    }
    panel.bar.tools.chosen.emit("kernel", "mala")
    texts = [chip.text for chip in panel.chips.chips]
    assert "of the settings before; the chains walk anew …" in texts
    assert any(text.startswith("Langevin: 0.290 nats from exact") for text in texts)
    engine.serve(panel)
    assert not any("settings before" in chip.text for chip in panel.chips.chips)
    panel.truth.set_compared("compare", on=False)
    assert panel.asks(rest=True)["law"].arguments["compare"] is False


def test_the_energy_under_the_pointer(panel: ChainsPanel) -> None:
    opened(panel)
    wanted = f"log Z {np.log(2 * np.pi):.4f} ± 1·10⁻⁹ nats, by quadrature"
    assert wanted in [chip.text for chip in panel.chips.chips]
    told: list[object] = []
    panel.pointed.connect(told.append)
    panel.walk.stage.hovered.emit((1.0, 1.0))
    (pointed,) = told
    assert isinstance(pointed, Pointed)
    rows = dict(pointed.rows)
    energy = float(rows["energy E"].split()[0])
    assert energy == pytest.approx(1.0, abs=0.01)
    log_prob = float(rows["log p = −E − log Z"].split()[0].replace("−", "-"))
    assert log_prob == pytest.approx(-1.0 - np.log(2 * np.pi), abs=0.01)
    surface = panel.desk.surface
    assert surface is not None
    assert np.isnan(surface.height_at(np.array([[1e3, 0.0]]))).all()
    level = surface.height_at(surface.lines)
    np.testing.assert_allclose(level, np.repeat(LEVELS, 40), atol=0.02)


def test_a_film_arrives_out_of_the_way(panel: ChainsPanel) -> None:
    """A newer walk is shown once it has reached the step that is looked at."""

    def piece(step: int, start: int, rows: int) -> Answer:
        points = np.full((rows, 2, 2), float(step), np.float32)
        arrays: dict[str, Any] = {
            "points": points, "energy": points[..., 0], "acceptance": points[:, 0, 0],
        }  # fmt: skip
        return Answer(Slot("chains", "run-1", "walk"), 1, step, arrays,
                      {"start": start, "total": 9}, final=False)  # fmt: skip

    reel = WalkReel()
    assert reel.take(piece(1, 0, 4), 3, {})
    assert reel.shown is not None
    assert reel.shown.step == 1
    assert reel.take(piece(2, 0, 2), 3, {})
    assert reel.shown.step == 1
    assert reel.take(piece(2, 2, 2), 3, {})
    assert reel.shown.step == 2
    assert not reel.take(piece(3, 7, 1), 3, {})


def test_small_parts() -> None:
    drawn = heads(np.array([[0.0, 0.0]]), np.array([[2.0, 0.0]]))
    np.testing.assert_allclose((drawn[0, 2] + drawn[0, 4]) / 2, [2.0 * (1 - HEAD), 0.0])
    corners = triangles(2, 3)
    assert len(corners) == 4
    assert sorted({int(k) for k in corners.ravel()}) == [0, 1, 2, 3, 4, 5]
    scale = Scale("x", "x", 0.01, 100.0, "")
    assert scale.value_at(scale.place_of(1.0)) == pytest.approx(1.0)
    assert scale.place_of(1e9) == scale.n_places


def test_state_comes_back(panel: ChainsPanel) -> None:
    opened(panel)
    panel.bar.tools.chosen.emit("kernel", "mala")
    panel.walk.set_shown("forces", on=True)
    panel.walk.set_arrows(64)
    state = panel.save_state()
    panel.bar.tools.chosen.emit("kernel", "hmc")
    panel.walk.set_shown("forces", on=False)
    panel.restore_state({**state, "kernel": "mala", "temperature": -3.0})
    assert panel.save_state() == state


def test_undo_leaves_the_walk_where_it_is(panel: ChainsPanel) -> None:
    opened(panel)
    panel.walk.clock.go(7)
    state = panel.save_state()
    panel.walk.set_shown("trail", on=False)
    panel.restore_state(state)
    assert panel.walk.clock.place == 7
    assert "first" not in panel.asks(rest=True)["walk"].arguments
    panel.restore_state(state | {"step_size": 0.5})
    assert panel.walk.clock.place == 7
    assert panel.asks(rest=True)["walk"].arguments["first"] == 7
    panel.restore_state(state | {"step_size": 0.5, "seed": 3})
    assert panel.walk.clock.place == 0
