"""The program in a process of its own, so that it can be killed: it says on stdout what is open.

``python -m tests.end_to_end.window_child train`` paints data and trains on them;
``… recover`` starts again and presses *Recover*.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QPushButton

from app import bootstrap
from app.main_window import MainWindow
from app.session_file import new_folder
from engine.wire.fields import Value
from engine.wire.messages import RunSpec
from engine.wire.painting import decode_dabs, encode_dabs

#: Milliseconds between two lines.
TELL_MS = 50
#: Milliseconds between two strokes.
STROKE_MS = 700
FLOW: dict[str, Value] = {"n_layers": 2, "hidden_features": [16]}


def painting(n_strokes: int) -> str:
    """So many dabs in a row."""
    rows = [[0.2 * k, 0.1 * k, 0.3, 1.0] for k in range(n_strokes)]
    return encode_dabs(np.array(rows, np.float32))


def main(mode: str) -> int:
    """Run the window until it is killed or, after a recovery, told to end."""
    folder = new_folder(bootstrap.session_root())
    application, window = bootstrap.open_window(folder)
    told = QTimer()
    told.setInterval(TELL_MS)
    told.timeout.connect(lambda: tell(window))
    told.start()
    if mode == "train":
        window.session.catalogue_changed.connect(lambda _: start(window))
    else:
        window.sessions.opened.connect(lambda lost: say(recovered=True, lost=lost))
        window.session.catalogue_changed.connect(lambda _: press(window, "Recover"))
    code = application.exec()
    told.stop()
    return code


def start(window: MainWindow) -> None:
    """Two runs: one on a painting that grows stroke by stroke, one on moons."""
    session = window.session
    for view in session.runs:
        session.close(view)
    session.start(RunSpec("gaussian_mixture", "two_moons", {}, {"n_samples": 300}), playing=True)
    spec = RunSpec("realnvp", "painted", FLOW, {"dabs": painting(1), "n_samples": 500})
    view = session.start(spec, playing=True)
    strokes = QTimer(window)
    strokes.setInterval(STROKE_MS)

    def paint() -> None:
        count = n_strokes(view.spec) + 1
        config = {**view.spec.dataset_config, "dabs": painting(count)}
        session.set_data(view, "painted", config)

    strokes.timeout.connect(paint)
    strokes.start()


def n_strokes(spec: RunSpec) -> int:
    """Dabs of a run's painting."""
    return len(decode_dabs(str(spec.dataset_config.get("dabs", ""))))


def press(window: MainWindow, words: str) -> None:
    """Press a button of the banner."""
    say(banner=window.banner.text)
    for button in window.banner.findChildren(QPushButton):
        if button.text() == words:
            button.click()
            return
    say(problem=f"there is no button {words}")


def tell(window: MainWindow) -> None:
    """One line: what is open."""
    runs = [
        {
            "model": view.spec.model,
            "step": view.step,
            "strokes": n_strokes(view.spec),
            "curve": int(view.metrics.steps[-1]) if len(view.metrics.steps) else 0,
            "stored": len(view.state.stored) if view.state else 0,
            "keyframe_step": view.state.keyframe_step if view.state else 0,
            "state": view.state.state if view.state else "",
        }
        for view in window.session.runs
        if view.info is not None
    ]
    say(engine=window.link.pid(), cursor=window.session.cursor, runs=runs)


def say(**words: Any) -> None:
    """A line of JSON with the time."""
    line = json.dumps({"t": time.monotonic(), **words}, default=msgspec.to_builtins)
    with suppress(BrokenPipeError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
