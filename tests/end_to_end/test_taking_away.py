"""What is taken away from a real engine: scripts that give the panel's arrays bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from app.export_arrays import write_npz
from app.export_script import write_script
from app.render import Sitting, dispose, easel
from app.shell_engine import ShellEngine, ShellError
from app.shell_export import Wish, render, script
from engine.wire.messages import RunSpec, SaveRun, SetData, SetLive, TellRecipe
from engine.wire.recipe import Recipe
from tests.architecture.source import ROOT
from widgets.look import PALETTES, Look

FLOW = RunSpec("realnvp", "two_moons", {"n_layers": 2, "hidden_features": [16]}, {}, seed=3)
MIXTURE = RunSpec("gaussian_mixture", "eight_gaussians", {"n_components": 3}, {}, seed=1)


@pytest.fixture(scope="module")
def engine() -> Iterator[ShellEngine]:
    with ShellEngine(threads=1) as started:
        yield started


@pytest.fixture
def sitting(engine: ShellEngine, qapp: object) -> Iterator[Sitting]:
    with easel(Look(PALETTES["dark"])) as look:
        yield Sitting(engine, look)


@pytest.fixture(scope="module")
def saved(engine: ShellEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "run.safetensors"
    sitting = Sitting(engine, Look(PALETTES["dark"]))
    sitting.start(FLOW)
    sitting.train(12)
    engine.command(SaveRun(engine.next_id(), sitting.run.run, str(path)))
    return path


def same_arrays(sitting: Sitting, engine: ShellEngine, panel_name: str, folder: Path) -> set[str]:
    """Write a panel's numbers and the script; run it elsewhere; the names of equal arrays."""
    panel = sitting.panel(panel_name, (500, 400))
    sitting.refresh(panel)
    shown = sitting.shown(panel)
    dispose(panel)
    write_npz(shown, folder / "shown.npz")
    text = engine.command(TellRecipe(engine.next_id(), sitting.run.run)).text
    recipe = msgspec.json.decode(text, type=Recipe)
    write_script(shown, {sitting.run.run: recipe}, folder / "run.py", "A test")
    made = folder / "made.npz"
    run_elsewhere(folder / "run.py", made)
    with np.load(folder / "shown.npz") as wanted, np.load(made) as found:
        names = set(wanted.files) - {"about", "metrics.seconds"}
        assert names == set(found.files) - {"about"}
        for name in names:
            assert wanted[name].dtype == found[name].dtype, name
            assert wanted[name].tobytes() == found[name].tobytes(), name
    return names


def run_elsewhere(program: Path, out: Path) -> None:
    environment = {**os.environ, "GENSCOPE_HOME": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), str(out)],
        cwd=out.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_script_repeats_changed_settings_and_data(
    sitting: Sitting, engine: ShellEngine, tmp_path: Path
) -> None:
    sitting.start(FLOW)
    sitting.train(20)
    run = sitting.run.run
    engine.command(SetLive(engine.next_id(), run, {"learning_rate": 0.0007, "batch_size": 100}))
    sitting.train(33)
    engine.command(SetData(engine.next_id(), run, "two_rings", {"noise": 0.1}))
    sitting.train(45)
    names = same_arrays(sitting, engine, "density", tmp_path)
    assert {"density.log_density", "data.points"} <= names


def test_a_script_gives_the_training_figures(
    sitting: Sitting, engine: ShellEngine, tmp_path: Path
) -> None:
    sitting.start(FLOW)
    sitting.train(60)
    names = same_arrays(sitting, engine, "training", tmp_path)
    assert {"metrics.nll", "metrics.held_out_nll", "metrics.gradient_norm"} <= names


def test_a_script_of_a_full_batch_model(
    sitting: Sitting, engine: ShellEngine, tmp_path: Path
) -> None:
    sitting.start(MIXTURE)
    sitting.train(6)
    names = same_arrays(sitting, engine, "density", tmp_path)
    assert "responsibilities.responsibilities" in names


def test_a_script_goes_on_from_an_opened_file(
    sitting: Sitting, engine: ShellEngine, saved: Path, tmp_path: Path
) -> None:
    sitting.open(str(saved))
    sitting.train(25)
    assert "density.log_density" in same_arrays(sitting, engine, "density", tmp_path)
    assert f"'file': '{saved}'" in (tmp_path / "run.py").read_text()


@pytest.mark.slow
def test_the_shell_renders_all_kinds(qapp: object, saved: Path, tmp_path: Path) -> None:
    size = (480, 320)
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "npz": b"PK", "gif": b"GIF89a"}
    for ending, start in starts.items():
        out = tmp_path / f"a.{ending}"
        render(Wish("density", saved, out, size, scale=2.0, frames=3), json=True)
        assert out.read_bytes().startswith(start)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (960, 640)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 3  # type: ignore[attr-defined]
    render(Wish("density", saved, tmp_path / "early.npz", size, step=5), json=True)
    with np.load(tmp_path / "early.npz") as early, np.load(tmp_path / "a.npz") as late:
        assert '"step": 5' in str(early["about"])
        assert not np.array_equal(early["density.log_density"], late["density.log_density"])


@pytest.mark.slow
def test_the_shell_writes_a_script(qapp: object, saved: Path, tmp_path: Path) -> None:
    script(saved, tmp_path / "run.py", "density", json=True)
    run_elsewhere(tmp_path / "run.py", tmp_path / "made.npz")
    with np.load(tmp_path / "made.npz") as found:
        assert found["density.log_density"].ndim == 2


def test_bad_wishes_are_sentences(qapp: object, saved: Path, tmp_path: Path) -> None:
    def refused(words: str, wish: Wish) -> None:
        with pytest.raises(ShellError, match=words):
            render(wish, json=False)

    out = tmp_path / "a.png"
    refused("wanted a file ending in", Wish("density", saved, tmp_path / "a.bmp"))
    refused("wanted a folder that exists", Wish("density", saved, tmp_path / "no" / "a.png"))
    refused("there is no panel 'nothing'", Wish("nothing", saved, out))
    refused("scale: given 20", Wish("density", saved, out, scale=20.0))
    refused("step: given 99", Wish("density", saved, out, step=99))
    refused("frames: given 1", Wish("density", saved, tmp_path / "a.gif", frames=1))
    assert not list(tmp_path.iterdir())
