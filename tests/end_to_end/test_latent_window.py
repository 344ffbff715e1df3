"""The latent panel on a real engine: plane, drag, path, export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPoint, Qt

from app.export_box import Order
from app.exporting import Exports
from engine.wire import messages as m
from tests.end_to_end.panel_driver import PanelDriver, opened

SPEC = m.RunSpec("vae", "digits", {"hidden_features": [16]}, {"levels": 17, "n_samples": 200})


class Driver(PanelDriver):
    """The window with the latent panel in front."""

    name = "latent"


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    with opened(Driver, qtbot, tmp_path, (1200, 800)) as made:
        made.start(SPEC)
        made.until(lambda: {"encodings", "density", "decoded", "likely"} <= set(made.answers))
        yield made


def test_a_dragged_z_decodes_and_tells_how_likely_it_is(driver: Driver) -> None:
    desk, mode = driver.panel.desk, driver.panel.modes["plane"]
    n_train = driver.window.session.current.info.data.n_train  # type: ignore[union-attr]
    assert desk.means.shape == (n_train, 2)
    view = mode.plane.frame.canvas.viewport()  # type: ignore[attr-defined]
    spot = mode.plane.frame.to_canvas((0.0, 0.0)).toPoint()  # type: ignore[attr-defined]
    driver.qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=spot)
    for step in range(1, 4):
        driver.qtbot.mouseMove(view, spot + QPoint(14 * step, -9 * step))
    driver.qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=spot + QPoint(42, -27))
    z = np.array(desk.z)
    assert z[0] > 0 < z[1]
    log_prior = -0.5 * float(z @ z) - np.log(2 * np.pi)

    def told(part: str) -> Any:
        found = driver.answers[part].arrays["log_prior"][0]
        return abs(found - log_prior) < 1e-5

    driver.until(lambda: told("decoded") and told("likely"))
    means = driver.answers["decoded"].arrays["means"]
    assert means.shape == (1, 1, 8, 8)
    assert 0 <= means.min() < means.max() <= 16
    assert driver.answers["likely"].values["aggregate_n"] == n_train
    driver.until(lambda: "exact of" in " ".join(c.text for c in driver.panel.chips.chips))


def test_an_interpolation_is_taken_away_as_film_and_numbers(
    driver: Driver, tmp_path: Path
) -> None:
    panel = driver.panel
    panel.set_mode("path")
    mode: Any = panel.mode
    mode.tools.chosen.emit("frames", 8)
    mode.kind.buttons["geodesic"].click()
    driver.until(
        lambda: (a := driver.answers.get("path")) and a.final and a.values["kind"] == "geodesic"
    )
    values = driver.answers["path"].values
    assert values["energy"] <= values["linear_energy"]  # type: ignore[operator]
    assert panel.own_frames == 9
    exports = driver.window.findChild(Exports)
    path = tmp_path / "path.gif"
    exports.export(Order("latent", path, 1.0, 60, 2.0, own=True))
    driver.until(lambda: path.exists() and exports.job is None)
    with Image.open(path) as film:
        assert film.n_frames == 9  # type: ignore[attr-defined]
        assert film.size == (panel.width() // 2 * 2, panel.height() // 2 * 2)
    numbers = tmp_path / "path.npz"
    exports.export(Order("latent", numbers, 1.0, 60, 2.0))
    with np.load(numbers) as found:
        np.testing.assert_array_equal(
            found["path.frames"], driver.answers["path"].arrays["frames"]
        )
        assert found["path.asked.keys"].shape == (2, 2)
        assert "encodings.means" in found
