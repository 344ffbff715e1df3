"""Langevin, its Metropolis correction and the independence chain against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from engine.mcmc import independence, langevin, mala
from engine.mcmc.target import with_gradient

N_CHAINS = 20_000


def gaussian_energy(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum(-1)


def double_well(x: Tensor) -> Tensor:
    """Two wells of unequal depth on a line."""
    return (x.square() - 1.5).square().sum(-1) + 0.6 * x.sum(-1)


def moments_by_quadrature() -> tuple[float, float]:
    """Mean and mean square under exp(−double_well)."""
    x = torch.linspace(-4.0, 4.0, 8001, dtype=torch.float64)
    weights = torch.softmax(-double_well(x[:, None]), 0)
    return float((weights * x).sum()), float((weights * x * x).sum())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("step_size", [0.1, 1.0, 2.0])
def test_the_slides_update_has_the_known_bias(step_size: float) -> None:
    """On E = x²/2 the stationary variance is 1/(1 − λ/4)."""
    noise = generator()
    variance = 1.0 / (1.0 - step_size / 4.0)
    start = torch.randn(N_CHAINS, 1, generator=noise, dtype=torch.float64)
    target = with_gradient(gaussian_energy)
    state = langevin.init(start, target)
    squares = []
    for index in range(200):
        state, _ = langevin.step(state, target, step_size=step_size, generator=noise)
        if index >= 100:
            squares.append(float(state["x"].square().mean()))
    assert sum(squares) / len(squares) == pytest.approx(variance, rel=0.01)


def test_a_langevin_step_is_the_slide() -> None:
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    target = with_gradient(gaussian_energy)
    state, info = langevin.step(
        langevin.init(x, target), target, step_size=0.3, generator=generator(4)
    )
    noise = torch.randn(2, 2, generator=generator(4), dtype=torch.float64)
    torch.testing.assert_close(state["x"], x - 0.15 * x + math.sqrt(0.3) * noise)
    torch.testing.assert_close(info["energy"], gaussian_energy(state["x"]))
    torch.testing.assert_close(x + info["drift"] + info["noise"], state["x"])


def test_decoupled_noise_has_its_own_scale() -> None:
    x = torch.zeros(N_CHAINS, 2)
    target = with_gradient(gaussian_energy)
    _, info = langevin.step(
        langevin.init(x, target),
        target,
        step_size=0.3,
        noise_scale=0.01,
        generator=generator(),
    )
    assert float(info["noise"].std()) == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("step_size", [0.02, 0.3])
def test_mala_leaves_the_exact_distribution_invariant(step_size: float) -> None:
    """Chains that start far from equilibrium end with the moments of the quadrature."""
    noise = generator(1)
    target = with_gradient(double_well)
    proposals = Independent(Normal(torch.zeros(1).double(), 2.0 * torch.ones(1).double()), 1)
    state = mala.init(torch.zeros(N_CHAINS, 1, dtype=torch.float64), target)
    for _ in range(60):
        state, _ = independence.step(state, target, proposals=proposals, generator=noise)
        state, info = mala.step(state, target, step_size=step_size, generator=noise)
    mean, square = moments_by_quadrature()
    assert float(state["x"].mean()) == pytest.approx(mean, abs=0.03)
    assert float(state["x"].square().mean()) == pytest.approx(square, abs=0.03)
    assert 0.3 < float(info["acceptance"].mean()) < 0.9999


def test_mala_alone_keeps_equilibrium_where_langevin_leaves_it() -> None:
    noise = generator(2)
    start = torch.randn(N_CHAINS, 1, generator=noise, dtype=torch.float64)
    target = with_gradient(gaussian_energy)
    exact, biased = mala.init(start, target), langevin.init(start, target)
    for _ in range(50):
        exact, _ = mala.step(exact, target, step_size=1.5, generator=noise)
        biased, _ = langevin.step(biased, target, step_size=1.5, generator=noise)
    assert float(exact["x"].var()) == pytest.approx(1.0, abs=0.04)
    assert float(biased["x"].var()) > 1.5


def test_the_independence_chain_finds_the_weights_of_far_modes() -> None:
    """Modes at ±6 that no local chain connects, of weights 0.8 and 0.2."""

    def energy(x: Tensor) -> Tensor:
        z = torch.cat([x - 6.0, x + 6.0], -1)
        weights = torch.tensor([0.8, 0.2], dtype=x.dtype).log()
        return -torch.logsumexp(weights - 0.5 * z.square(), -1)

    noise, target = generator(3), with_gradient(energy)
    proposals = Independent(Normal(torch.zeros(1).double(), 7.0 * torch.ones(1).double()), 1)
    state = mala.init(torch.full((4000, 1), -6.0, dtype=torch.float64), target)
    for _ in range(60):
        state, _ = independence.step(state, target, proposals=proposals, generator=noise)
    assert float((state["x"] > 0).double().mean()) == pytest.approx(0.8, abs=0.03)


def test_cached_blocks_stay_true() -> None:
    """Energy and gradient in the state are those of its x after accepted and rejected moves."""
    target, noise = with_gradient(double_well), generator(5)
    state = mala.init(torch.randn(500, 3, generator=noise, dtype=torch.float64), target)
    for _ in range(5):
        state, info = mala.step(state, target, step_size=0.2, generator=noise)
    assert 0 < int(info["accepted"].sum()) < 500
    energy, gradient = target(state["x"])
    torch.testing.assert_close(state["energy"], energy)
    torch.testing.assert_close(state["gradient"], gradient)


def test_a_proposal_without_an_energy_is_rejected() -> None:
    def energy(x: Tensor) -> Tensor:
        return torch.where(x.abs() < 1.0, 0.0 * x, torch.nan).sum(-1)

    noise, target = generator(6), with_gradient(energy)
    state = mala.init(torch.zeros(2000, 1), target)
    for _ in range(20):
        state, info = mala.step(state, target, step_size=0.5, generator=noise)
    assert float(state["x"].abs().max()) < 1.0
    assert bool(info["acceptance"].isfinite().all())
    assert not bool(info["accepted"].all())


def test_pictures_walk_too() -> None:
    target = with_gradient(lambda x: 0.5 * x.square().flatten(1).sum(-1))
    state = mala.init(torch.ones(3, 1, 4, 4), target)
    state, _ = mala.step(state, target, step_size=0.1, generator=generator())
    assert state["x"].shape == (3, 1, 4, 4)
    assert state["gradient"].shape == (3, 1, 4, 4)
