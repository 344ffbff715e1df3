"""The shell as a user types it: real processes, their files, their exit codes, their one line."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.architecture.source import ROOT

COMMANDS = ("list", "train", "evaluate", "sample", "render", "script", "doctor", "tour", "shots")
TRAIN = ["train", "gaussian_mixture", "--data", "eight_gaussians", "--steps", "40"]


def shell(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *words],
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )


def shell_json(*words: str) -> Any:
    """What a command with --json says; stdout must hold one object and nothing else."""
    done = shell(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shell") / "mixture.safetensors"
    report = shell_json(*TRAIN, "--seed", "3", "--out", str(out), "--set", "n_components=8")
    assert report["steps"] == 40
    assert not report["interrupted"]
    assert report["n_parameters"] > 0
    return out


def test_evaluate(saved: Path) -> None:
    report = shell_json("evaluate", str(saved))
    assert report["kind"] == "exact"
    assert report["step"] == 40
    assert report["entropy"] == pytest.approx(1.698, abs=0.002)
    assert 0 <= report["kl"] < 0.2
    assert report["nll"] == pytest.approx(report["entropy"] + report["kl"], abs=0.2)
    assert report["kl_error"] < 1e-3
    assert 0 < report["js"] < report["kl"]
    assert 0 < report["tv"] < 1
    assert report["mass_state"] == "whole"


def test_evaluate_as_a_table(saved: Path) -> None:
    done = shell("evaluate", str(saved), "--split", "valid")
    assert done.returncode == 0, done.stderr
    assert "nll" in done.stdout
    assert "valid" in done.stdout


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_sample(saved: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"samples{suffix}"
    report = shell_json("sample", str(saved), "-n", "500", "--out", str(out), "--seed", "1")
    assert report["shape"] == [500, 2]
    samples = read(out)
    assert samples.shape == (500, 2)
    radius = np.hypot(samples[:, 0], samples[:, 1])
    assert radius.mean() == pytest.approx(2.0, abs=0.1)


def read(out: Path) -> np.ndarray:
    if out.suffix == ".csv":
        return np.loadtxt(out, delimiter=",", skiprows=1)
    loaded = np.load(out)
    return np.asarray(loaded["samples"] if out.suffix == ".npz" else loaded)


def test_same_seed_same_samples(saved: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.npy" for name in "abc"]
    for file, seed in zip(files, ("1", "1", "2"), strict=True):
        done = shell("sample", str(saved), "-n", "9", "--out", str(file), "--seed", seed)
        assert done.returncode == 0, done.stderr
    first, again, other = (np.load(file) for file in files)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_render(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "density.png"
    report = shell_json("render", "density", str(saved), "--out", str(out), "--size", "640x480")
    assert report["out"] == str(out)
    from PySide6.QtGui import QImage

    image = QImage(str(out))
    assert (image.width(), image.height()) == (640, 480)
    colours = {image.pixel(x, y) for x in range(0, 640, 7) for y in range(0, 480, 7)}
    assert len(colours) > 50


def test_doctor() -> None:
    report = shell_json("doctor")
    assert report["engine"] == "answers"
    assert "cpu" in report["devices"]
    assert report["torch"][0].isdigit()


def test_doctor_of_a_file(saved: Path) -> None:
    report = shell_json("doctor", str(saved))
    assert report["model"] == "gaussian_mixture"
    assert report["laws"]
    assert [law for law in report["laws"] if not law["passed"]] == []


def test_own_points(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal([3.0, -1.0], 0.5, (400, 2))
    data, out = tmp_path / "mine.csv", tmp_path / "mine.safetensors"
    np.savetxt(data, points, delimiter=",", header="a,b", comments="")
    words = ["train", "ppca", "--data", str(data), "--steps", "5", "--out", str(out)]
    assert shell_json(*words)["dataset"] == "points"
    report = shell_json("evaluate", str(out))
    assert report["kl"] is None
    assert report["nll"] == pytest.approx(np.log(2 * np.pi * np.e * 0.25), abs=0.3)


def test_list() -> None:
    found = shell_json("list")
    assert set(found) == {"models", "datasets", "probes", "devices"}
    assert "realnvp" in [card["name"] for card in found["models"]]
    assert list(shell_json("list", "devices")) == ["devices"]


def test_list_markdown() -> None:
    lines = shell("list", "--markdown").stdout.splitlines()
    assert lines[0].startswith("| Family | Models, by the year of their paper |")
    assert {line.count("|") for line in lines} == {3}
    assert "RealNVP (`realnvp`, 2017)" in next(line for line in lines if "| flows |" in line)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    done = shell(command, "--help")
    assert done.returncode == 0
    assert "Usage: python main.py" in done.stdout
    assert command == "tour" or command == "shots" or "--json" in done.stdout


BAD = {
    "unknown command": (["trian"], "'trian', wanted a file that exists or one of: list, train"),
    "no file": (["evaluate", "none.safetensors"], "'none.safetensors', wanted a file"),
    "missing option": (["train", "realnvp"], "--data"),
    "unknown model": ([*TRAIN[:1], "nope", *TRAIN[2:], "--out", "{}/a.safetensors"], "'nope'"),
    "not a number": ([*TRAIN[:-1], "many", "--out", "{}/a.safetensors"], "--steps"),
    "no folder": ([*TRAIN, "--out", "{}/no/a.safetensors"], "wanted a folder that exists"),
    "suffix": ([*TRAIN, "--out", "{}/a.pkl"], "wanted a file ending in .safetensors"),
    "foreign file": (["evaluate", str(ROOT / "pyproject.toml")], "pyproject.toml"),
    "size": (
        ["render", "density", str(ROOT / "LICENSE"), "--out", "{}/a.png", "--size", "9"],
        "9",
    ),
    "list": (["list", "everything"], "'everything', wanted all or one of: models"),
    "two forms": (["list", "--markdown", "--json"], "given --markdown and --json"),
    "huge seed": ([*TRAIN, "--seed", "9" * 30, "--out", "{}/a.safetensors"], "--seed"),
    "huge steps": ([*TRAIN[:-1], "9" * 30, "--out", "{}/a.safetensors"], "--steps"),
    "endless data": (
        [
            *TRAIN[:3],
            "points",
            *TRAIN[4:],
            "--data-set",
            "path=/dev/zero",
            "--out",
            "{}/a.safetensors",
        ],
        "no ordinary file" if Path("/dev/zero").exists() else "there is no file",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_input(fault: str, tmp_path: Path) -> None:
    words, wanted = BAD[fault]
    done = shell(*[word.replace("{}", str(tmp_path)) for word in words])
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert wanted in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="this system has no folder that is closed")
def test_a_folder_that_cannot_be_written_to_is_refused_before_training() -> None:
    done = shell(*TRAIN, "--out", "/proc/a.safetensors")
    assert done.returncode == 2
    assert "wanted a folder that can be written to" in done.stderr
    assert "training" not in done.stderr


def test_own_columns_come_back_under_their_names(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    rows = "".join(f"{i % 7}.5,{i * i % 11},{i}\n" for i in range(60))
    table.write_text(f'温度,"a, b",größe\n{rows}', encoding="utf-8")
    out = tmp_path / "mine.safetensors"
    words = [*TRAIN[:3], str(table), "--data-set", "columns=温度,1", "--steps", "5"]
    assert shell_json(*words, "--out", str(out))["dataset"] == "points"
    table.unlink()  # the run keeps its data
    assert shell_json("evaluate", str(out))["n"] == 6
    samples = tmp_path / "samples.csv"
    assert shell_json("sample", str(out), "-n", "4", "--out", str(samples))["shape"] == [4, 2]
    with samples.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["温度", "a, b"]
    assert len(lines) == 5
    loud = tmp_path / "SAMPLES.NPY"
    assert shell_json("sample", str(out), "-n", "4", "--out", str(loud))["out"] == str(loud)
    np.testing.assert_allclose(np.load(loud), np.array(lines[1:], dtype=float), rtol=1e-6)


def test_unknown_panel(saved: Path, tmp_path: Path) -> None:
    done = shell("render", "nothing", str(saved), "--out", str(tmp_path / "a.png"))
    assert done.returncode == 2
    assert re.search(r"there is no panel 'nothing'; there are: .*density", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child")
def test_interrupted_training_is_saved(tmp_path: Path) -> None:
    out = tmp_path / "long.safetensors"
    words = ["train", "realnvp", "--data", "two_moons", "--steps", "10000000", "--out", str(out)]
    with subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for_training(process)
        os.killpg(process.pid, signal.SIGINT)
        output, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert "Traceback" not in complaint
    report = json.loads(output)
    assert report["interrupted"]
    assert report["steps"] < 10_000_000
    assert shell_json("evaluate", str(out))["step"] == report["steps"]


def wait_for_training(process: subprocess.Popen[str]) -> None:
    """Until the child says on stderr that the run trains."""
    assert process.stderr
    for line in process.stderr:
        if "training" in line:
            return
    raise AssertionError("the training never began")
