"""A machine without a display: one line, every panel as a picture, a film, exit code 0."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.panel_manager import panel_kinds
from tests.architecture.source import ROOT

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display(tmp_path: Path) -> None:
    settings = {name: value for name, value in os.environ.items() if name not in DISPLAYS}
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py")],
        cwd=tmp_path,
        env=settings,
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "there is no display" in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
    tour = tmp_path / "tour"
    assert {file.stem for file in tour.glob("*.png")} == set(panel_kinds())
    for file in tour.glob("*.png"):
        with Image.open(file) as picture:
            assert len(picture.convert("RGB").getcolors(2**24) or ()) > 20, file.name
    with Image.open(tour / "tour.gif") as film:
        assert film.n_frames > 10  # type: ignore[attr-defined]
    assert (tour / ".gitignore").read_text() == "*\n"
