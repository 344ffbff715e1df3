"""Pictures, numbers and films of panels, with a link whose records the test writes itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtWidgets import QLabel

from app.export_arrays import Recorder, Shown, take, write_npz
from app.export_pictures import ExportError, vector_refusal, write_pdf, write_png, write_svg
from app.export_script import script
from app.exporting import check_path
from app.filming import FilmJob
from app.reel import Scene, Twin, chosen_steps, timeline, until
from engine.wire import messages as m
from engine.wire.recipe import Recipe, RecipeChange
from tests.app.conftest import FakeLink, make_info
from tests.widgets.fakes import run_info
from widgets.look import Look
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Point, Question
from widgets.panels.density import DensityPanel
from widgets.panels.training import TrainingPanel
from widgets.plots.image_grid import ImageGrid
from widgets.plots.layers import Box

SPEC = m.RunSpec("toy", "points")


class NumberPanel(Panel):
    """Writes what it was answered."""

    name = "number"
    title = "Number"
    summary = "A number."

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.label = QLabel("nothing")
        self.body.addWidget(self.label)

    def asks(self, *, rest: bool) -> dict[str, Question]:
        return {"now": Question("evaluate", {"n": 2}), "ever": Question("data", live=False)}

    def show_answer(self, part: str, answer: m.Answer) -> None:
        if part == "now":
            self.label.setText(f"value {answer.values['value']}")


class PicturePanel(Panel):
    """Pictures and nothing else."""

    name = "pictures"
    title = "Pictures"
    summary = "Pictures."

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        grid = ImageGrid(look, parent=self)
        grid.set_pictures(np.zeros((4, 8, 8)))
        self.body.addWidget(grid)


def table(n_steps: int = 60) -> MetricsTable:
    made = MetricsTable()
    steps = np.arange(1, n_steps + 1)
    values = np.stack([3.0 + 1.0 / steps, np.where(steps % 10 == 0, 1.0, np.nan)], 1)
    made.append(m.Metrics("run-1", ("nll", "gradient_norm"), steps, values))
    return made


def shown_panel(qtbot: Any, kind: type[Panel]) -> Panel:
    panel = kind(Look())
    qtbot.addWidget(panel)
    panel.resize(400, 300)
    panel.open_run(make_info("run-1", SPEC))
    panel.show()
    return panel


@pytest.fixture
def curves(qtbot: Any) -> Panel:
    panel = shown_panel(qtbot, TrainingPanel)
    panel.resize(700, 500)
    panel.show_metrics(table())
    panel.restyle()
    return panel


# --- pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_png_is_as_large_as_asked(curves: Panel, tmp_path: Path, scale: float) -> None:
    write_png(curves, tmp_path / "a.png", scale=scale)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (round(700 * scale), round(500 * scale))


def test_a_larger_picture_is_painted_anew(curves: Panel, tmp_path: Path) -> None:
    for scale in (1, 3):
        write_png(curves, tmp_path / f"{scale}.png", scale=scale)
    with Image.open(tmp_path / "1.png") as small, Image.open(tmp_path / "3.png") as large:
        blown = small.convert("L").resize(large.size, Image.Resampling.BICUBIC)
        sharp = np.abs(np.diff(np.asarray(large.convert("L")).astype(float), axis=1)).max(0)
        blurred = np.abs(np.diff(np.asarray(blown).astype(float), axis=1)).max(0)
    assert np.median(sharp) > 1.2 * np.median(blurred)


@pytest.mark.parametrize("scale", [0.5, 9.0, float("nan")])
def test_scales_have_limits(curves: Panel, tmp_path: Path, scale: float) -> None:
    with pytest.raises(ExportError, match="scale: given"):
        write_png(curves, tmp_path / "a.png", scale=scale)
    assert not list(tmp_path.iterdir())


def test_an_svg_has_lines_and_letters(curves: Panel, tmp_path: Path) -> None:
    write_svg(curves, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert '<svg width="700" height="500"' in text
    assert "<path" in text
    words = {word.strip() for word in re.findall(r"<text[^>]*>([^<]*)", text)}
    assert {"10", "20", "train", "gradient norm"} <= words
    assert "Sans Serif" not in text
    longest = max(re.findall(r' d="([^"]*)"', text), key=len)
    assert longest.count("L") >= 40
    assert "non-scaling-stroke" not in re.findall(r"<path[^>]*>", text)[-1]


def test_a_pdf_is_a_pdf(curves: Panel, tmp_path: Path) -> None:
    write_pdf(curves, tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    box = re.search(rb"/MediaBox \[([\d. ]+)\]", data)
    assert box is not None
    sides = [float(part) for part in box.group(1).split()]
    assert sides == pytest.approx([0, 0, 525, 375], abs=1.0)


def test_a_panel_of_pictures_has_no_lines(qtbot: Any, tmp_path: Path) -> None:
    panel = shown_panel(qtbot, PicturePanel)
    assert "nothing but pictures" in vector_refusal(panel)
    for write, ending in ((write_svg, "svg"), (write_pdf, "pdf")):
        with pytest.raises(ExportError, match=f"no {ending.upper()}.*take a PNG"):
            write(panel, tmp_path / f"a.{ending}")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_gives_a_sentence(curves: Panel, tmp_path: Path) -> None:
    for write in (write_png, write_svg, write_pdf):
        with pytest.raises(ExportError, match="cannot be written"):
            write(curves, tmp_path / "no" / "a.x")
    with pytest.raises(ExportError, match="wanted a folder that exists"):
        check_path(tmp_path / "no" / "a.png")
    with pytest.raises(ExportError, match="is a folder"):
        check_path(tmp_path)


# --- numbers ----------------------------------------------------------------------------------


def answer(part: str, number: int = -1, **more: Any) -> m.Answer:
    slot = m.Slot("number", "run-1", part)
    return m.Answer(
        slot, 1, 5, {"a": np.arange(3.0) + number}, {"value": 7}, number=number, **more
    )


def test_an_npz_has_every_array_and_says_what_it_is(tmp_path: Path) -> None:
    question = Question("probe", {"n": 2}, {"at": np.array([1.0, 2.0])})
    stream = take(Question("walk", stream=True), answer("walk", 0, final=False))
    stream = take(Question("walk", stream=True), answer("walk", 1), stream)
    parts = {"one": take(question, answer("one")), "walk": stream}
    shown = Shown("number", "run-1", parts, table(), {"run-1": SPEC})
    write_npz(shown, tmp_path / "a.npz")
    write_npz(shown, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as found:
        assert np.array_equal(found["one.a"], [-1.0, 0.0, 1.0])
        assert np.array_equal(found["one.asked.at"], [1.0, 2.0])
        assert np.array_equal(found["walk.0.a"], [0.0, 1.0, 2.0])
        assert np.array_equal(found["walk.1.a"], [1.0, 2.0, 3.0])
        assert found["metrics.nll"].shape == (60,)
        assert np.isnan(found["metrics.gradient_norm"]).sum() == 54
        about = json.loads(str(found["about"]))
    assert about["parts"]["one"] == {
        "probe": "probe", "arguments": {"n": 2}, "run": "run-1", "step": 5, "final": True,
        "values": {"value": 7},
    }  # fmt: skip
    assert about["runs"]["run-1"]["model"] == "toy"


def test_nothing_to_take_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no numbers"):
        write_npz(Shown("number", "run-1", {}), tmp_path / "a.npz")


def test_the_recorder_keeps_what_the_panel_asks_now(qtbot: Any) -> None:
    from PySide6.QtCore import QObject, Signal

    class FakeAsker(QObject):
        pictured = Signal(str, str, object)

        def question(self, slot: m.Slot) -> Question:
            return Question("evaluate", {"n": 2})

    asker = FakeAsker()
    recorder = Recorder(asker)  # type: ignore[arg-type]
    panel = shown_panel(qtbot, NumberPanel)
    for part in ("now", "gone"):
        asker.pictured.emit("number", part, answer(part))
    assert list(recorder.parts(panel, "run-1")) == ["now"]
    assert recorder.parts(panel, "run-2") == {}


def test_a_script_is_python_and_holds_what_was_asked() -> None:
    asked = {"at": np.array([0.1, np.inf]), "many": np.arange(100, dtype=np.float32)}
    parts = {"one": take(Question("density", {"size": 8}, asked), answer("one"))}
    change = RecipeChange(3, {"learning_rate": 0.001})
    recipes = {"run-1": Recipe(SPEC, changes=(change,), threads=3)}
    text = script(Shown("number", "run-1", parts), recipes, "Toy")
    names: dict[str, Any] = {}
    wanted = [line for line in text.split("\n\n") if "RUNS = " in line or "QUESTIONS = " in line]
    exec(compile("from math import inf, nan\n" + "\n".join(wanted), "x", "exec"), names)
    compile(text, "script", "exec")
    assert names["RUNS"]["run-1"]["changes"] == [{"step": 3, "values": {"learning_rate": 0.001}}]
    entry = names["QUESTIONS"]["one"]
    assert entry["arguments"] == {"size": 8}
    assert entry["arrays"]["at"]["data"] == [0.1, float("inf")]
    assert "torch.set_num_threads(3)" in text
    assert "@" not in re.sub(r"@\w+\(", "", text.split("QUESTIONS")[0])


def test_a_script_without_the_recipe_is_refused() -> None:
    with pytest.raises(ExportError, match="run-1 is not known"):
        script(Shown("number", "run-1", {}), {}, "Toy")


# --- films ------------------------------------------------------------------------------------


def test_steps_are_chosen_evenly() -> None:
    stored = tuple(range(0, 101))
    assert chosen_steps(stored, 5) == (0, 25, 50, 75, 100)
    assert chosen_steps((0, 7, 9), 50) == (0, 7, 9)
    with pytest.raises(ExportError, match="at least 2 stored steps"):
        chosen_steps((0,), 5)
    with pytest.raises(ExportError, match="frames: given 1"):
        chosen_steps(stored, 1)


def test_the_timeline_ends_where_a_run_rests() -> None:
    assert timeline(m.RunState("r", "paused", 9, stored=(0, 5))) == (0, 5, 9)
    assert timeline(m.RunState("r", "training", 9, stored=(0, 5))) == (0, 5)


def test_figures_end_at_the_step() -> None:
    part = until(table(), 25)
    assert part.steps[-1] == 25
    steps, _ = part.column("gradient_norm")
    assert steps.tolist() == [10, 20]
    assert len(until(table(), 0).steps) == 0


class Answering(FakeLink):
    """Answers every question at once, with the step that was asked for."""

    def send(self, record: Any) -> bool:
        super().send(record)
        if isinstance(record, m.Ask):
            step = record.cursor if record.cursor is not None else 40
            self.answered.emit(
                m.Answer(record.slot, record.generation, step, values={"value": step})
            )
        return True


def film(qtbot: Any, link: Any, path: Path, n_frames: int = 4) -> FilmJob:
    panel = shown_panel(qtbot, NumberPanel)
    state = m.RunState("run-1", "paused", 40, stored=(0, 10, 20, 30, 40))
    scene = Scene(make_info("run-1", SPEC), "Toy · Points", state, table())
    return FilmJob(link, panel, scene, path, n_frames=n_frames, seconds=2.0)


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_a_film_is_the_same_twice(qtbot: Any, tmp_path: Path, ending: str) -> None:
    films = []
    for name in ("a", "b"):
        link = Answering()
        job = film(qtbot, link, tmp_path / f"{name}{ending}", 5)
        with qtbot.waitSignal(job.finished, timeout=20_000):
            job.start()
        films.append((tmp_path / f"{name}{ending}").read_bytes())
        asked = [r.cursor for r in link.sent if isinstance(r, m.Ask) and r.slot.part == "now"]
        assert asked == [0, 10, 20, 30, 40, 0, 10, 20, 30, 40]
        assert sum(r.slot.part == "ever" for r in link.sent if isinstance(r, m.Ask)) == 1
    assert films[0] == films[1]
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


def test_a_film_has_the_frames_asked_for(qtbot: Any, tmp_path: Path) -> None:
    job = film(qtbot, Answering(), tmp_path / "a.gif", 3)
    with qtbot.waitSignal(job.finished, timeout=20_000):
        job.start()
    with Image.open(tmp_path / "a.gif") as found:
        assert found.n_frames == 3  # type: ignore[attr-defined]
        assert found.size == (400, 322)
        assert found.info["duration"] == 670


def test_a_cancelled_film_leaves_nothing(qtbot: Any, tmp_path: Path) -> None:
    link = FakeLink()
    job = film(qtbot, link, tmp_path / "a.mp4")
    job.start()
    qtbot.waitUntil(lambda: link.count(m.Ask) > 0)
    assert list(tmp_path.iterdir())
    with qtbot.waitSignal(job.failed) as told:
        job.cancel()
    assert told.args == [""]
    assert not list(tmp_path.iterdir())


def test_a_probe_that_fails_ends_the_film_with_its_sentence(qtbot: Any, tmp_path: Path) -> None:
    link = FakeLink()
    job = film(qtbot, link, tmp_path / "a.gif")
    job.start()
    qtbot.waitUntil(lambda: link.count(m.Ask) > 0)
    ask = link.last(m.Ask)
    with qtbot.waitSignal(job.failed) as told:
        link.failed.emit(
            m.Failed("x", "ValueError", "no such thing", slot=ask.slot, generation=ask.generation)
        )
    assert told.args == ["no such thing"]
    assert not list(tmp_path.iterdir())


def test_other_endings_are_refused(qtbot: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"\.gif or \.mp4"):
        film(qtbot, FakeLink(), tmp_path / "a.avi")


def test_a_film_shows_the_chosen_point_and_what_the_hand_set(qtbot: Any) -> None:
    panel = DensityPanel(Look())
    qtbot.addWidget(panel)
    panel.resize(500, 400)
    panel.show()
    info = run_info("realnvp")
    panel.open_run(info)
    face: Any = panel.faces["map"]
    panel.tools.switch("log", True)
    face.map.frame.user_moved = True
    face.map.frame.set_box(Box((-1.0, -1.0), (1.0, 1.0)))
    state = m.RunState(info.run, "paused", 40, stored=(0, 40))
    point = Point((0.3, -0.2), ("x", "y"))
    twin = Twin(panel, Scene(info, "Toy", state, table(), point=point), name="twin")
    mine: Any = twin.panel
    assert mine.faces["map"].mark.place == point.at
    assert face.mark.place is None  # the panel on screen stays as it was
    assert mine.tools.is_checked("log")
    assert mine.faces["map"].map.frame.box.high[1] == pytest.approx(1.0, abs=0.2)
    bare = Twin(panel, Scene(info, "Toy", state, table()), name="bare")
    images = [found.frame(40, 1.0) for found in (twin, bare)]
    assert images[0] != images[1]
    for found in (twin, bare):
        found.close()
