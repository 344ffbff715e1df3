"""Quadrature against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from engine.estimators.density import CancellationError
from engine.estimators.grid import Box, log_mass, midpoint_grid, sinh_axis
from engine.estimators.quadrature import kl_divergence, log_z
from engine.estimators.truth import truth_spans
from tests.engine.toys import (
    GaussianData,
    GaussianToy,
    ImplicitToy,
    LinearToy,
    QuadraticToy,
    SquareData,
    UnknownData,
)


def gaussian_kl(p: tuple[float, ...], q: tuple[float, ...], mean: float) -> float:
    """KL between axis-aligned Gaussians, the second with mean ``mean`` on every axis."""
    return sum(
        math.log(b / a) + (a * a + mean * mean) / (2 * b * b) - 0.5
        for a, b in zip(p, q, strict=True)
    )


def test_grid_runs_from_low_y_to_high_y() -> None:
    grid = midpoint_grid(Box((0.0, 10.0), (4.0, 12.0)), 4)
    image = grid.points.reshape(*grid.shape, 2)
    assert image[0, 0].tolist() == [0.5, 10.25]
    assert image[3, 0].tolist() == [0.5, 11.75]
    assert image[0, 3].tolist() == [3.5, 10.25]
    assert float(grid.weights.sum()) == pytest.approx(8.0)


def test_box_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="every low below its high"):
        Box((0.0, 1.0), (1.0, 1.0))
    with pytest.raises(ValueError, match="as many"):
        Box((0.0,), (1.0, 1.0))


def test_sinh_axis_integrates_a_heavy_tail() -> None:
    axis = sinh_axis(-1e4, 1e4, 256, centre=0.0, scale=1.0)
    cauchy = 1.0 / (math.pi * (1.0 + axis.nodes.square()))
    expected = 2.0 / math.pi * math.atan(1e4)
    assert float((cauchy * axis.weights).sum()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sigma", [(0.7,), (0.3, 1.2)])
def test_log_z_of_a_quadratic_energy(sigma: tuple[float, ...]) -> None:
    model = QuadraticToy(len(sigma), mean=2.0, sigma=sigma)
    z = log_z(model)
    assert z.value == pytest.approx(model.log_z, abs=1e-6)
    assert z.error < 1e-6
    for side in range(len(sigma)):
        assert z.box.low[side] < 2.0 - 5 * sigma[side]
        assert z.box.high[side] > 2.0 + 5 * sigma[side]


def test_log_z_says_when_there_is_none() -> None:
    model = QuadraticToy(2)
    model.energy = lambda x, **_: 0.0 * x.sum(1)  # type: ignore[method-assign]
    assert log_z(model).error == math.inf
    with pytest.raises(ValueError, match="log Z needs an energy; Gaussian has none"):
        log_z(GaussianToy(2))
    with pytest.raises(ValueError, match="given 3 dimensions"):
        log_z(QuadraticToy(3))


def test_log_z_refuses_what_is_not_a_number() -> None:
    model = QuadraticToy(2)
    model.energy = lambda x, **_: x.sum(1) * math.nan  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="not a number"):
        log_z(model)


@pytest.mark.parametrize("sigma", [(0.8,), (1.0, 0.5)])
def test_kl_between_gaussians(sigma: tuple[float, ...]) -> None:
    wide = tuple(1.4 * s for s in sigma)
    model = GaussianToy(len(sigma), mean=0.3, sigma=wide)
    estimate = kl_divergence(GaussianData(sigma), model, grid=512)
    assert estimate.value == pytest.approx(gaussian_kl(sigma, wide, 0.3), abs=1e-6)
    assert estimate.error < 1e-6
    assert estimate.kind == "exact"


def test_kl_of_the_truth_itself_is_zero() -> None:
    data = GaussianData((1.0, 0.5))
    estimate = kl_divergence(data, GaussianToy(2, sigma=(1.0, 0.5)), grid=128)
    assert abs(estimate.value) < 1e-7


def test_kl_of_a_truth_with_sharp_edges() -> None:
    model = GaussianToy(2, sigma=(1.5, 1.5))
    estimate = kl_divergence(SquareData(), model, grid=512)
    # −H(p) − E log q, with E x² = 1/3 on [−1, 1]
    cross = 2 * (0.5 * math.log(2 * math.pi * 1.5**2) + 1.0 / (2 * 3 * 1.5**2))
    assert estimate.value == pytest.approx(cross - math.log(4.0), abs=1e-5)
    spans = truth_spans(SquareData())
    assert [(s.low, s.high) for s in spans] == [pytest.approx((-1.0, 1.0), abs=1e-12)] * 2


def test_kl_is_infinite_where_the_model_forbids_data() -> None:
    model = GaussianToy(2)
    model.log_prob = lambda x, **_: torch.full((len(x),), -math.inf)  # type: ignore[method-assign]
    estimate = kl_divergence(GaussianData(), model, grid=64)
    assert (estimate.value, estimate.error) == (math.inf, math.inf)


def test_kl_of_an_energy_is_normalised() -> None:
    model = QuadraticToy(2, mean=0.3, sigma=(1.4, 0.7))
    estimate = kl_divergence(GaussianData((1.0, 0.5)), model, grid=256)
    expected = gaussian_kl((1.0, 0.5), (1.4, 0.7), 0.3)
    assert estimate.value == pytest.approx(expected, abs=1e-5)
    assert estimate.kind == "quadrature"


def test_kl_of_a_bound_is_an_upper_bound_that_tightens() -> None:
    data, model = GaussianData((1.0, 1.0)), LinearToy(2)
    total = math.hypot(model.a, model.s)
    expected = gaussian_kl((1.0, 1.0), (total, total), 0.0)
    loose = kl_divergence(data, model, grid=64, n_draws=1)
    tight = kl_divergence(data, model, grid=64, n_draws=64)
    assert expected + 0.05 < loose.value
    assert tight.value == pytest.approx(expected, abs=0.02)
    assert tight.kind == "bound"
    assert "upper bound" in tight.label


def test_kl_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    kl_divergence(GaussianData((1.0, 1.0)), LinearToy(2), grid=32, n_draws=2)
    assert torch.equal(before, torch.get_rng_state())


def test_kl_refuses_what_it_cannot_know() -> None:
    with pytest.raises(ValueError, match="unknown density"):
        kl_divergence(UnknownData(), GaussianToy(2))
    with pytest.raises(ValueError, match="given 3 dimensions"):
        kl_divergence(GaussianData((1.0, 1.0, 1.0)), GaussianToy(3))
    with pytest.raises(ValueError, match="Implicit has none"):
        kl_divergence(GaussianData(), ImplicitToy(2))


def test_kl_can_be_cancelled() -> None:
    with pytest.raises(CancellationError):
        kl_divergence(GaussianData(), GaussianToy(2), cancelled=lambda: True)


def test_log_mass_is_taken_in_float64() -> None:
    weights = torch.full((1000,), 1e-3, dtype=torch.float64)
    assert float(log_mass(torch.zeros(1000), weights)) == pytest.approx(0.0, abs=1e-12)


def test_log_z_is_remembered_until_the_weights_change() -> None:
    model, calls = QuadraticToy(2), []
    energy = model.energy
    model.energy = lambda x, **_: calls.append(0) or energy(x)  # type: ignore[method-assign, func-returns-value]
    first, n_calls = log_z(model), len(calls)
    assert log_z(model) == first
    assert len(calls) == n_calls
    model.sigma.mul_(2.0)
    model.location.add_(0.5)  # a weight of the model, as a snapshot would write it
    assert log_z(model).value == pytest.approx(first.value + math.log(4.0), abs=1e-5)


def test_kl_repeats_itself_when_the_truth_is_remembered() -> None:
    data, model = GaussianData(), GaussianToy(2)
    first = kl_divergence(data, model, grid=64)
    assert kl_divergence(data, model, grid=64) == first
    kl_divergence(data, model, grid=32)
    assert kl_divergence(data, GaussianToy(2, mean=1.0), grid=64).value > first.value + 0.5
