"""The export form of the real window on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.export_box import Order
from app.exporting import Exports
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from widgets.look import Look

PATIENCE_MS = 60_000
SPEC = m.RunSpec("realnvp", "two_moons", {"n_layers": 2, "hidden_features": [16]})


@pytest.fixture
def window(qtbot: Any, tmp_path: Path) -> Iterator[MainWindow]:
    folder = tmp_path / "keyframes"
    made = MainWindow(
        EnginePool(lambda: start_engine(folder)), Notices(), Look(), settings_file.Settings()
    )
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: made.session.hello is not None, timeout=PATIENCE_MS)
    yield made
    made.close()


def test_a_panel_is_taken_away_in_every_form(
    qtbot: Any, window: MainWindow, tmp_path: Path
) -> None:
    def until(condition: Any) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    session, exports = window.session, window.findChild(Exports)
    assert "no run is open" in exports.why_not()
    view = session.start(SPEC, playing=False)
    until(lambda: view.info is not None)
    session.step(view, 30)
    until(lambda: view.step == 30 and view.state is not None and view.state.state == "paused")
    until(lambda: "density.log_density" in arrays_of(exports, window))
    window.actions_table.trigger("file.export")
    assert exports.box.isVisible()

    for ending in ("png", "svg", "npz", "py"):
        exports.box.ordered.emit(Order("density", tmp_path / f"a.{ending}", 2.0, 4, 1.0))
        until((tmp_path / f"a.{ending}").exists)
        until(lambda: "Saved" in exports.box.words.text())
    with Image.open(tmp_path / "a.png") as image:
        panel = window.workspace.panels["density"]
        assert image.size == (2 * panel.width(), 2 * panel.height())
    with np.load(tmp_path / "a.npz") as found:
        assert found["density.log_density"].ndim == 2

    session.set_cursor(5)
    exports.box.ordered.emit(Order("training", tmp_path / "a.gif", 1.0, 4, 1.0))
    until(lambda: exports.job is None)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 4  # type: ignore[attr-defined]
    assert session.cursor == 5

    exports.box.ordered.emit(Order("density", tmp_path / "b.mp4", 1.0, 20, 1.0))
    assert exports.box.stop.text() == "Cancel"
    exports.box.stop.click()
    assert exports.job is None
    assert not list(tmp_path.glob("*b.mp4*"))
    exports.box.ordered.emit(Order("density", tmp_path / "no" / "a.png", 1.0, 4, 1.0))
    assert "wanted a folder that exists" in exports.box.words.text()

    exports.box.ordered.emit(Order("density", tmp_path / "c.gif", 1.0, 20, 1.0))
    window.close()
    assert exports.job is None
    assert not list(tmp_path.glob("*c.gif*"))


def arrays_of(exports: Exports, window: MainWindow) -> set[str]:
    """Names of the arrays that the density panel shows now."""
    from app.export_arrays import arrays

    return set(arrays(exports.shown(window.workspace.panels["density"])))
