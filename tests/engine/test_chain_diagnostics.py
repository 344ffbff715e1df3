"""R-hat, effective sample size, autocorrelation, occupancy and stationary histograms, against
closed forms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from engine.datasets.eight_gaussians import EightGaussians
from engine.datasets.two_moons import TwoMoons
from engine.estimators.chain_diagnostics import (
    autocorrelation,
    effective_sample_size,
    mode_occupancy,
    modes,
    r_hat,
)
from engine.estimators.grid import Box
from engine.estimators.stationary import (
    cell_masses,
    expected_kl,
    histogram,
    stationary_fit,
)
from engine.mcmc import langevin, mala, metropolis
from engine.mcmc.target import with_gradient


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def autoregression(phi: float, n_steps: int, n_chains: int) -> Tensor:
    """Stationary AR(1) chains (T, N, 1) of unit variance."""
    noise = torch.randn(n_steps, n_chains, 1, generator=generator(3), dtype=torch.float64)
    rows = [noise[0]]
    for row in noise[1:]:
        rows.append(phi * rows[-1] + math.sqrt(1.0 - phi * phi) * row)
    return torch.stack(rows)


# --- mixing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [-0.4, 0.0, 0.5, 0.8])
def test_an_autoregression_has_its_effective_sample_size(phi: float) -> None:
    """T·N (1 − φ)/(1 + φ)."""
    traces = autoregression(phi, 2000, 8)
    wanted = 16_000 * (1.0 - phi) / (1.0 + phi)
    for kind in ("mean", "bulk"):
        found = effective_sample_size(traces, kind=kind)
        assert float(found) == pytest.approx(wanted, rel=0.12)


def test_its_autocorrelation_is_a_power() -> None:
    found = autocorrelation(autoregression(0.8, 4000, 8), 10)
    assert found.shape == (11, 1)
    assert found[:, 0].tolist() == pytest.approx([0.8**t for t in range(11)], abs=0.03)


def test_autocorrelation_is_the_sum_of_products() -> None:
    traces = torch.randn(40, 3, 2, generator=generator(), dtype=torch.float64)
    deviation = traces - traces.mean((0, 1))
    wanted = (deviation[:-7] * deviation[7:]).sum((0, 1)) / deviation.square().sum((0, 1))
    torch.testing.assert_close(autocorrelation(traces, 9)[7], wanted)


def test_chains_of_one_law_have_r_hat_one() -> None:
    found = r_hat(torch.randn(500, 6, 3, generator=generator(1)))
    assert found.shape == (3,)
    assert found.tolist() == pytest.approx([1.0] * 3, abs=0.01)


def test_chains_stuck_in_two_modes_are_told_apart() -> None:
    """Two Metropolis chains in wells at ±4 that they cannot leave: R-hat far above 1.1."""
    target = with_gradient(lambda x: 0.5 * ((x.abs() - 4.0) / 0.5).square().sum(-1))
    state = metropolis.init(torch.tensor([[-4.0], [4.0]], dtype=torch.float64), target)
    noise, rows = generator(), []
    for _ in range(400):
        state, _ = metropolis.step(state, target, step_size=0.3, generator=noise)
        rows.append(state["x"])
    traces = torch.stack(rows)
    assert float(r_hat(traces)) > 1.5
    assert float(effective_sample_size(traces)) < 10.0
    assert float(autocorrelation(traces, 100)[100]) > 0.6
    # Each by itself looks well mixed, and so do two in one mode.
    assert float(effective_sample_size(traces[:, :1])) > 25.0
    assert float(r_hat(traces.abs())) < 1.1


def test_chains_that_never_move_tell_nothing() -> None:
    one_spot = torch.ones(20, 3, 1)
    assert math.isnan(float(r_hat(one_spot)))
    assert math.isnan(float(effective_sample_size(one_spot)))
    apart = torch.arange(3.0).expand(20, 3)[..., None]
    assert float(r_hat(apart)) == math.inf


def test_too_few_steps_or_chains_are_refused() -> None:
    with pytest.raises(ValueError, match=r"given shape \(3, 4, 1\)"):
        effective_sample_size(torch.zeros(3, 4, 1))
    with pytest.raises(ValueError, match="at least 4 steps and 2 chains"):
        r_hat(torch.zeros(9, 1, 1))
    with pytest.raises(ValueError, match="wanted one of bulk, tail, mean"):
        effective_sample_size(torch.zeros(9, 1, 1), kind="all")
    with pytest.raises(ValueError, match="n_lags: given 9"):
        autocorrelation(torch.zeros(9, 1, 1), 9)


# --- modes ------------------------------------------------------------------------------------


def test_exact_draws_occupy_modes_by_their_weights() -> None:
    mixture = EightGaussians.mixture(0.5)
    found = mode_occupancy(mixture.sample(20_000, generator(2)), mixture)
    assert found.weights.tolist() == pytest.approx([0.125] * 8)
    torch.testing.assert_close(found.centres, mixture.means)
    assert float(((found.shares - found.weights) / found.errors).abs().max()) < 4.0
    assert float(found.shares.sum()) == pytest.approx(1.0)


def test_a_missed_mode_is_empty() -> None:
    mixture = EightGaussians.mixture(0.2)
    points = mixture.sample(4000, generator(2))
    found = mode_occupancy(points[points[:, 0] > 0.8], mixture)
    assert found.shares[[2, 3, 4, 5, 6]].tolist() == pytest.approx([0.0] * 5, abs=1e-3)
    assert float(found.shares[[0, 1, 7]].sum()) == pytest.approx(1.0, abs=1e-3)


def test_a_moon_is_one_mode() -> None:
    """200 overlapping Gaussians an arm; of 0.02 they are still a curve."""
    mixture = TwoMoons.mixture(0.1)
    assert len(mixture.weights) == 400
    found = modes(mixture)
    assert found.tolist() == [0] * 200 + [1] * 200
    shares = mode_occupancy(mixture.sample(2000, generator()), mixture).shares
    assert shares.tolist() == pytest.approx([0.5, 0.5], abs=0.04)


def test_points_of_another_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted at least one point of 2 coordinates"):
        mode_occupancy(torch.zeros(5, 3), EightGaussians.mixture(0.2))


# --- stationary histograms --------------------------------------------------------------------


def gaussian_energy(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum(-1)


def test_langevins_bias_is_that_of_its_variance() -> None:
    """λ = 1 makes the variance 4/3: KL = ½ (1/3 − ln 4/3) = 0.0228 nats. MALA has none."""
    target, noise = with_gradient(gaussian_energy), generator(5)
    start = torch.randn(20_000, 1, generator=noise, dtype=torch.float64)
    biased, exact = langevin.init(start, target), mala.init(start, target)
    for _ in range(40):
        biased, _ = langevin.step(biased, target, step_size=1.0, generator=noise)
        exact, _ = mala.step(exact, target, step_size=1.0, generator=noise)
    box = Box((-8.0,), (8.0,))
    found = stationary_fit(biased["x"], gaussian_energy, box)
    wanted = 0.5 * (1.0 / 3.0 - math.log(4.0 / 3.0))
    assert found.bias == pytest.approx(wanted, abs=0.003)
    assert abs(stationary_fit(exact["x"], gaussian_energy, box).bias) < 0.001


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_cells_hold_the_mass_of_the_law(temperature: float) -> None:
    spread = math.sqrt(temperature)
    box = Box((-4.0, -1.0), (4.0, 1.5))
    found = cell_masses(gaussian_energy, box, 10, temperature=temperature)
    normal = torch.distributions.Normal(0.0, spread)
    edges = [
        torch.linspace(low, high, 11).double() for low, high in zip(box.low, box.high, strict=True)
    ]
    across, up = (normal.cdf(e).diff() for e in edges)
    wanted = torch.outer(up / up.sum(), across / across.sum())
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-6)


def test_a_histogram_counts_by_rows_of_y_and_keeps_outliers() -> None:
    points = torch.tensor([[0.1, 0.9], [0.9, 0.1], [5.0, 0.2], [0.6, -7.0]], dtype=torch.float64)
    found = histogram(points, Box((0.0, 0.0), (1.0, 1.0)), 2)
    assert found.tolist() == [[0.0, 0.75], [0.25, 0.0]]


@pytest.mark.parametrize(
    ("masses", "n"), [((0.2, 0.3, 0.5), 5), ((0.01, 0.02, 0.97), 7), ((0.5, 0.5), 1)]
)
def test_the_floor_by_enumeration(masses: tuple[float, ...], n: int) -> None:
    """Every histogram that n draws can make, with its multinomial probability."""
    wanted = 0.0
    for counts in itertools.product(range(n + 1), repeat=len(masses)):
        if sum(counts) != n:
            continue
        drawn = [(k, p) for k, p in zip(counts, masses, strict=True) if k]
        ways = math.factorial(n) / math.prod(math.factorial(k) for k in counts)
        kl = sum(k / n * math.log(k / (n * p)) for k, p in drawn)
        wanted += ways * math.prod(p**k for k, p in drawn) * kl
    found = expected_kl(torch.tensor(masses, dtype=torch.float64), n)
    assert found == pytest.approx(wanted, rel=1e-9)


def test_the_floor_is_what_exact_draws_show() -> None:
    """In cells that hold many it is (C − 1)/(2N); in a plane of nearly empty ones far less."""
    box = Box((-3.5,), (3.5,))
    draws = torch.randn(20, 500, 1, generator=generator(1), dtype=torch.float64)
    fits = [stationary_fit(x, gaussian_energy, box, cells=12) for x in draws]
    assert fits[0].floor == pytest.approx(11.0 / 1000.0, rel=0.1)
    assert sum(fit.kl for fit in fits) / 20 == pytest.approx(fits[0].floor, rel=0.25)
    half = stationary_fit(draws[0], gaussian_energy, box, cells=12, n_independent=250.0)
    assert half.floor == pytest.approx(2.0 * fits[0].floor, rel=0.1)
    assert half.kl == fits[0].kl
    plane = Box((-6.0, -6.0), (6.0, 6.0))
    points = torch.randn(20, 300, 2, generator=generator(2), dtype=torch.float64)
    sparse = [stationary_fit(x, gaussian_energy, plane) for x in points]
    mean = sum(fit.kl for fit in sparse) / 20
    assert sparse[0].floor == pytest.approx(mean, rel=0.05)


def test_points_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite points of 1 coord"):
        stationary_fit(torch.full((3, 1), math.nan), gaussian_energy, Box((-1.0,), (1.0,)))
    with pytest.raises(ValueError, match="not a number"):
        cell_masses(lambda x: x[:, 0] * math.nan, Box((-1.0,), (1.0,)), 4)
