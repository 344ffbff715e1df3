"""Highest-density regions and their outlines against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.estimators.contours import MASSES, highest_density_levels, trace_contours


def gaussian(n: int, reach: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    x = (np.arange(n) + 0.5) / n * 2 * reach - reach
    surface = -0.5 * (x[None, :] ** 2 + x[:, None] ** 2) - math.log(2 * math.pi)
    return x, surface


def test_levels_of_a_round_gaussian() -> None:
    _, surface = gaussian(400)
    # The region of mass m is the disc r² = −2 ln(1 − m).
    expected = [math.log(1 - m) - math.log(2 * math.pi) for m in MASSES]
    assert highest_density_levels(surface) == pytest.approx(expected, abs=5e-3)


def test_contours_of_a_round_gaussian_are_circles() -> None:
    x, surface = gaussian(200)
    contours = trace_contours(x, x, surface, highest_density_levels(surface))
    assert contours.level.tolist() == [0, 1, 2, 3]
    assert contours.starts[0] == 0
    assert contours.starts[-1] == len(contours.points)
    for index, mass in enumerate(MASSES):
        line = contours.points[contours.starts[index] : contours.starts[index + 1]]
        radius = np.hypot(*line.T)
        assert radius == pytest.approx(math.sqrt(-2 * math.log(1 - mass)), abs=0.02)


def test_outermost_contour_encloses_its_mass() -> None:
    generator = np.random.default_rng(0)
    x, surface = gaussian(128)
    level = highest_density_levels(surface, [0.95])[0]
    draws = generator.standard_normal((20_000, 2))
    log_density = -0.5 * (draws**2).sum(1) - math.log(2 * math.pi)
    assert np.mean(log_density >= level) == pytest.approx(0.95, abs=0.005)
    assert trace_contours(x, x, surface, [level]).level.tolist() == [0]


def test_a_plateau_has_one_outline() -> None:
    x = (np.arange(40) + 0.5) / 10 - 2.0
    inside = (np.abs(x)[None, :] < 1) & (np.abs(x)[:, None] < 1)
    surface = np.where(inside, -math.log(4.0), -math.inf)
    contours = trace_contours(x, x, surface, highest_density_levels(surface))
    assert contours.level.tolist() == [3]
    assert np.abs(contours.points).max() == pytest.approx(0.95, abs=0.01)


def test_fine_grids_are_thinned() -> None:
    x, surface = gaussian(600)
    fine = trace_contours(x, x, surface, [-3.0])
    assert len(fine.points) < 300
    assert np.hypot(*fine.points.T) == pytest.approx(
        math.sqrt(2 * (3 - math.log(2 * math.pi))), abs=0.02
    )


def test_nothing_to_draw() -> None:
    x = np.arange(8.0)
    nothing = np.full((8, 8), -math.inf)
    assert highest_density_levels(nothing) == []
    contours = trace_contours(x, x, nothing, [])
    assert (contours.points.shape, contours.starts.tolist(), contours.level.size) == (
        (0, 2),
        [0],
        0,
    )
