"""The real window on a real engine, for benchmarks that watch it at work."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEventLoop, QTimer

from app.bootstrap import make_window, start_engine
from app.main_window import MainWindow
from app.run_view import RunView
from engine.wire.fields import Value
from engine.wire.messages import RunSpec

SIZE = (1600, 900)
PATIENCE = 120.0
#: The flow of the figures: 8 couplings, two hidden layers of 64, batch 256.
FLOW: dict[str, Value] = {"n_layers": 8, "hidden_features": [64, 64], "batch_size": 256}


class Desk:
    """A shown main window and means to let its events run."""

    def __init__(self, window: MainWindow) -> None:
        self.window = window
        self.session = window.session

    def pump(self, seconds: float) -> None:
        """Let the event loop run for so long."""
        loop = QEventLoop()
        QTimer.singleShot(round(seconds * 1000), loop.quit)
        loop.exec()

    def wait(self, condition: Callable[[], Any], patience: float = PATIENCE) -> None:
        """Let the event loop run until a condition holds."""
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"what was waited for did not come within {patience} s")
            self.pump(0.01)

    def start(self, spec: RunSpec, *, playing: bool = True) -> RunView:
        """A run that is in view, and trains if it should."""
        view = self.session.start(spec, playing=playing)
        self.wait(lambda: view.info is not None)
        self.session.select(view.run)
        if playing:
            self.wait(lambda: view.is_training and view.step > 0)
        return view

    def show_only(self, *names: str) -> None:
        """Open these panels and close all others."""
        workspace = self.window.workspace
        for name in [*workspace.panels]:
            workspace.show_panel(name, name in names)
        for name in names:
            workspace.show_panel(name)
        self.pump(0.3)

    def steps_per_second(self, view: RunView, seconds: float) -> float:
        """Measured from the run's own step count."""
        first, began = view.step, time.monotonic()
        self.pump(seconds)
        return (view.step - first) / (time.monotonic() - began)


@contextmanager
def open_desk() -> Iterator[Desk]:
    """A main window with its first layout and settings of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder
        keyframes = Path(folder) / "keyframes"
        application, window = make_window(start_engine(keyframes), lambda: start_engine(keyframes))
        window.resize(*SIZE)
        window.show()
        desk = Desk(window)
        desk.wait(lambda: desk.session.hello is not None)
        try:
            yield desk
        finally:
            window.close()
            window.link.stop()
            application.processEvents()


def figure(
    name: str, value: float, unit: str, bar: str, met: bool | None, note: str
) -> dict[str, Any]:
    """One row of the table."""
    return {"name": name, "value": value, "unit": unit, "bar": bar, "met": met, "note": note}
