"""Starts the window as a process, reads what it says, and kills it and its engine."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0


class WindowProcess:
    """A window of its own process.

    Args:
        mode: ``"train"`` or ``"recover"``.
        folder: Where its cache and its settings are.
    """

    def __init__(self, mode: str, folder: Path) -> None:
        names = ("CONFIG", "DATA", "STATE", "CACHE")
        places = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in names}
        self.lines: list[dict[str, Any]] = []
        self._fresh: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.window_child", mode],
            cwd=ROOT,
            env={**os.environ, **places},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._fresh.put(json.loads(line))
        self._fresh.put(None)

    def until(self, accept: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first line from now on that is accepted."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                line = self._fresh.get(timeout=1.0)
            except queue.Empty:
                continue
            if line is None:
                raise RuntimeError(f"the window ended with {self.process.wait()}")
            self.lines.append(line)
            if accept(line):
                return line
        raise TimeoutError(f"not within {PATIENCE} s; last: {self.lines[-1:]}")

    def kill(self) -> None:
        """Kill −9 the window and its engine, at once."""
        engines = [line["engine"] for line in self.lines if line.get("engine")]
        self.process.send_signal(signal.SIGKILL)
        if engines:
            with suppress(ProcessLookupError):
                os.kill(engines[-1], signal.SIGKILL)
        self.process.wait()
        self._reader.join(10.0)
        assert self.process.stdout is not None
        self.process.stdout.close()


def flow_of(line: dict[str, Any]) -> dict[str, Any]:
    """The painted run in a line, or nothing."""
    found = [run for run in line.get("runs", ()) if run["model"] == "realnvp"]
    return dict(found[0]) if found else {}
