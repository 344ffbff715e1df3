"""The walls of ARCHITECTURE.md: static import contracts and two run-time checks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, modules

WALLS = {
    "the window's side has no torch": (
        ["main", "app", "widgets", "engine.wire", "engine.launch"],
        ["torch", "safetensors", "sklearn"],
    ),
    "the engine has no GUI": (["engine"], ["PySide6", "pyqtgraph", "vispy", "app", "widgets"]),
    "the window's first import is light": (["main"], ["typer", "rich", "numpy", "PySide6"]),
}


def test_import_contracts() -> None:
    call = "from importlinter.cli import lint_imports_command as lint; lint()"
    found = subprocess.run(
        [sys.executable, "-c", call, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("wall", WALLS)
def test_loaded_modules(wall: str) -> None:
    packages, forbidden = WALLS[wall]
    names = modules(*packages)
    assert names, f"no module found below {packages}"
    lines = [f"import {name}" for name in names]
    lines.append(f"import sys; print([n for n in {forbidden!r} if n in sys.modules])")
    found = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "[]", f"loaded by {packages}: {found.stdout}"
