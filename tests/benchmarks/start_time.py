"""How long a user waits: process start → window painted, and → first density picture."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAME = "start of the program"
SECONDS = 30
LONG = False

ROOT = Path(__file__).resolve().parents[2]
BARS = {"painted": 1.5, "first_density": 5.0}
WORDS = {"painted": "window painted", "first_density": "first density picture"}
PATIENCE = 60.0


def figures(quick: bool = False) -> list[dict[str, Any]]:
    """Medians over several starts, after one that warms the disk's cache."""
    start_once()
    starts = [start_once() for _ in range(2 if quick else 4)]
    found = []
    for mark, bar in BARS.items():
        waits = [start[mark] for start in starts]
        middle = statistics.median(waits)
        found.append(
            {
                "name": f"process start → {WORDS[mark]}",
                "value": middle,
                "unit": "s",
                "bar": f"≤ {bar} s",
                "met": middle <= bar,
                "note": f"median of {len(waits)} starts, slowest {max(waits):.2f} s",
            }
        )
    return found


def start_once() -> dict[str, float]:
    """Seconds from the start of the process to each mark."""
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks"
        # Nor is anything offered that a killed window has left on this machine.
        homes = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CACHE_HOME"), folder)
        settings = homes | {"GENSCOPE_TIMING": str(marks)}
        began = time.time()
        with subprocess.Popen(
            [sys.executable, str(ROOT / "main.py")],
            cwd=ROOT,
            env={**os.environ, **settings},
            stderr=subprocess.DEVNULL,
        ) as window:
            try:
                return {name: t - began for name, t in wait_for_marks(marks, window).items()}
            finally:
                window.terminate()


def wait_for_marks(marks: Path, window: subprocess.Popen[bytes]) -> dict[str, float]:
    """Poll the file of marks until all of them are there."""
    end = time.monotonic() + PATIENCE
    found: dict[str, float] = {}
    while not set(BARS) <= set(found):
        if window.poll() is not None:
            raise RuntimeError(f"the window ended with exit code {window.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"only {sorted(found)} were marked within {PATIENCE} s")
        time.sleep(0.02)
        lines = marks.read_text(encoding="utf-8").splitlines() if marks.exists() else []
        found = {record["mark"]: record["t"] for record in map(json.loads, lines)}
    return found
