"""The posterior panel on a real engine: bars, truth, the alarm, a sweep, scores of factors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import settings as settings_file
from app.bootstrap import start_engine
from app.engine_pool import EnginePool
from app.main_window import MainWindow
from app.notices import Notices
from engine.wire import messages as m
from widgets.look import Look
from widgets.panels.posterior import PosteriorPanel

PATIENCE_MS = 60_000
#: Two runs in one window, and scikit-learn's imports in the engine: long on a busy machine.
pytestmark = pytest.mark.timeout(300)
SMALL = {"hidden_features": [16]}
POINTS = m.RunSpec("beta_vae", "two_moons", dict(SMALL), {"n_samples": 200})
MIXTURE = m.RunSpec("gaussian_mixture", "two_moons", {"n_components": 3}, {"n_samples": 200})
SPRITES = m.RunSpec("vae", "sprites", {**SMALL, "latent_features": 5},
                    {"n_samples": 400, "size": 16})  # fmt: skip


class Driver:
    """The window with the posterior panel in front, and waiting for what the user would see."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window, self.qtbot = window, qtbot

    def until(self, condition: Callable[..., object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    def start(self, spec: m.RunSpec) -> None:
        session = self.window.session
        before = session.current
        session.start(spec, playing=False)
        self.until(lambda: (r := session.current) and r is not before and r.info)
        self.window.workspace.show_panel("posterior")

    @property
    def panel(self) -> PosteriorPanel:
        panel = self.window.workspace.panels["posterior"]
        assert isinstance(panel, PosteriorPanel)
        return panel

    def mode(self, name: str) -> Any:
        self.panel.set_mode(name)
        return self.panel.modes[name]

    @property
    def chips(self) -> str:
        return self.panel.chips.accessibleName()


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    folder = tmp_path / "keyframes"
    link = EnginePool(lambda: start_engine(folder))
    window = MainWindow(link, Notices(), Look(), settings_file.Settings())
    qtbot.addWidget(window)
    made = Driver(window, qtbot)
    window.show()
    made.until(lambda: window.session.hello)
    yield made
    window.close()


def test_bars_truth_and_sweep_of_a_beta_vae(driver: Driver) -> None:
    driver.start(POINTS)
    bars = driver.mode("bars")
    driver.until(lambda: bars.one.levels and "quadrature" in bars.one.levels[0].name)
    driver.until(lambda: bars.set.levels)
    rows = {level.name: level for level in bars.one.levels}
    assert rows["KL(z)"].low == pytest.approx(rows["ELBO (bound)"].low)
    assert rows["KL(z)"].high == pytest.approx(rows["reconstruction"].low, abs=1e-6)
    truth = driver.mode("truth")
    driver.until(lambda: truth.clock.size == truth.n_steps)
    values = truth._answer.values
    gaps = values["amortisation_gap"] + values["approximation_gap"]
    assert gaps == pytest.approx(values["log_prob"] - values["elbo"])
    assert values["log_prob"] == pytest.approx(rows["log p(x), quadrature"].low, abs=1e-6)
    walked = truth._answer.arrays["walk_elbo"]
    assert walked[-1] > walked[0]
    assert walked.max() <= values["log_prob"] + 1e-9
    units = driver.mode("units")
    driver.until(lambda: len(units.kl.values) == 2)
    rate = driver.mode("rate")
    driver.until(lambda: any(p.text.startswith("this run") for p in rate.plot.points))
    rate.steps = 20
    rate.tools.pressed.emit("start")
    driver.until(lambda: rate.work and not rate.work.running)
    assert [p.text for p in rate.plot.points][:2] == ["β = 0.1", "β = 0.3"]
    assert len(rate.plot.points) == 6


def test_em_of_a_mixture_then_factors_and_labels_in_the_background(driver: Driver) -> None:
    driver.start(MIXTURE)
    bars = driver.mode("bars")
    driver.until(lambda: "identity checked to" in driver.chips)
    bars.tools.switch("view", "em")
    driver.until(lambda: bars.em.clock.size == 23)
    answer = bars.em._answer
    np.testing.assert_allclose(answer.arrays["kl"][::2], 0.0, atol=1e-9)
    assert (answer.arrays["kl"][1::2] > 1e-6).any()
    assert (np.diff(answer.arrays["log_prob"]) > -1e-9).all()
    driver.start(SPRITES)
    factors = driver.mode("factors")
    driver.until(lambda: factors.parts == ("scores", "labels"))
    factors.n_seeds = 2
    factors.tools.pressed.emit("start")
    driver.until(lambda: factors.work("scores") and not factors.is_running)
    assert next(iter(factors.scores.scores)).name == "β-VAE metric"
    assert all(0.0 <= v <= 1.0 for s in factors.scores.scores for v in s.values)
    table = factors.work("labels").answers[-1].arrays["latents"]
    assert np.isfinite(table).all()
    assert "estimate, 400 observations" in driver.chips
