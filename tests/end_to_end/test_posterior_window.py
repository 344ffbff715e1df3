"""The posterior panel on a real engine: bars, truth, the alarm, a sweep, scores of factors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.wire import messages as m
from tests.end_to_end.panel_driver import PanelDriver, opened

#: Two runs in one window, and scikit-learn's imports in the engine: long on a busy machine.
pytestmark = pytest.mark.timeout(300)
SMALL = {"hidden_features": [16]}
POINTS = m.RunSpec("beta_vae", "two_moons", dict(SMALL), {"n_samples": 200})
MIXTURE = m.RunSpec("gaussian_mixture", "two_moons", {"n_components": 3}, {"n_samples": 200})
SPRITES = m.RunSpec("vae", "sprites", {**SMALL, "latent_features": 5},
                    {"n_samples": 400, "size": 16})  # fmt: skip


class Driver(PanelDriver):
    """The window with the posterior panel in front."""

    name = "posterior"


@pytest.fixture
def driver(qtbot: Any, tmp_path: Path) -> Iterator[Driver]:
    with opened(Driver, qtbot, tmp_path) as made:
        yield made


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
