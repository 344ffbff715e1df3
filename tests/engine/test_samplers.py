"""HMC, random-walk Metropolis, tempering and temperature against closed forms and quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.mcmc import hmc, langevin, mala, metropolis, tempering
from engine.mcmc.target import State, Target, with_gradient

#: Steps at which every kernel accepts most, not all, of its proposals on the double well.
KERNELS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "mala": (mala.step, {"step_size": 0.15}),
    "metropolis": (metropolis.step, {"step_size": 0.5}),
    "hmc": (hmc.step, {"step_size": 0.3, "n_steps": 4}),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_energy(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum(-1)


def wells(x: Tensor) -> Tensor:
    """Two wells of unequal depth on a line, between which local kernels pass."""
    return (x.square() - 1.5).square().sum(-1) + 0.6 * x.sum(-1)


def from_density(energy: Callable[[Tensor], Tensor], n: int, heat: float, seed: int) -> Tensor:
    """N draws (N, 1) of exp(−E/T) by inverting its distribution function on a fine lattice."""
    x = torch.linspace(-5.0, 5.0, 20_001, dtype=torch.float64)
    cumulative = torch.softmax(-energy(x[:, None]) / heat, 0).cumsum(0)
    u = torch.rand(n, generator=generator(seed), dtype=torch.float64)
    return x[torch.searchsorted(cumulative, u).clamp_max(20_000)][:, None]


def moments(energy: Callable[[Tensor], Tensor], heat: float) -> tuple[float, float]:
    """Mean and mean square under exp(−E/T), by quadrature."""
    x = torch.linspace(-5.0, 5.0, 20_001, dtype=torch.float64)
    weights = torch.softmax(-energy(x[:, None]) / heat, 0)
    return float((weights * x).sum()), float((weights * x * x).sum())


def walked(kernel: str, state: State, target: Target, n: int, **more: Any) -> tuple[State, Any]:
    step, settings = KERNELS[kernel]
    noise = generator(7)
    info: dict[str, Tensor] = {}
    for _ in range(n):
        state, info = step(state, target, generator=noise, **settings, **more)
    return state, info


# --- every exact kernel -----------------------------------------------------------------------


@pytest.mark.parametrize("heat", [1.0, 2.5])
@pytest.mark.parametrize("kernel", KERNELS)
def test_equilibrium_is_kept(kernel: str, heat: float) -> None:
    """Exact draws of exp(−E/T) stay exact draws: moments, and both tails of the histogram."""
    target = with_gradient(wells)
    start = mala.init(from_density(wells, 20_000, heat, 1), target)
    state, info = walked(kernel, start, target, 10, temperature=heat)
    mean, square = moments(wells, heat)
    assert 0.3 < float(info["acceptance"].mean()) < 0.98
    assert float((state["x"] != start["x"]).double().mean()) > 0.9
    assert float(state["x"].mean()) == pytest.approx(mean, abs=0.04)
    assert float(state["x"].square().mean()) == pytest.approx(square, rel=0.03)


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_reached_from_afar(kernel: str) -> None:
    target = with_gradient(gaussian_energy)
    start = mala.init(torch.full((4000, 1), 3.0, dtype=torch.float64), target)
    state, _ = walked(kernel, start, target, 150 if kernel == "mala" else 60, temperature=0.5)
    assert float(state["x"].mean()) == pytest.approx(0.0, abs=0.06)
    assert float(state["x"].var()) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_it_says_of_a_step_is_so(kernel: str) -> None:
    target = with_gradient(wells)
    start = mala.init(torch.linspace(-2.0, 2.0, 50, dtype=torch.float64)[:, None], target)
    state, info = walked(kernel, start, target, 1)
    stays = ~info["accepted"]
    assert bool(stays.any())
    assert bool(info["accepted"].any())
    assert torch.equal(state["x"][stays], start["x"][stays])
    assert torch.equal(state["x"][~stays], info["proposal"][~stays])
    energy, gradient = target(state["x"])
    for given, wanted in ((state["energy"], energy), (state["gradient"], gradient)):
        torch.testing.assert_close(given, wanted)
    torch.testing.assert_close(info["energy"], energy)
    assert not bool(info["divergence"].any())


@pytest.mark.parametrize("kernel", [*KERNELS, "langevin"])
def test_steps_far_too_large_are_called_divergent(kernel: str) -> None:
    """On a quartic the proposal flies off; exact kernels stay where they were."""
    target = with_gradient(lambda x: x.pow(4).sum(-1))
    start = mala.init(torch.ones(8, 1, dtype=torch.float64), target)
    step = {**{k: v[0] for k, v in KERNELS.items()}, "langevin": langevin.step}[kernel]
    state, info = step(start, target, step_size=1e8, generator=generator())
    assert bool(info["divergence"].all())
    if kernel != "langevin":
        assert torch.equal(state["x"], start["x"])
        assert float(info["acceptance"].max()) == 0.0


# --- temperature ------------------------------------------------------------------------------


def test_hot_langevin_has_the_variance_of_its_temperature() -> None:
    """On E = x²/2 it is T/(1 − λ/4), here of three temperatures at once."""
    target, noise = with_gradient(gaussian_energy), generator(3)
    heat = torch.tensor([0.25, 1.0, 4.0], dtype=torch.float64).repeat(6000)
    state = langevin.init(torch.zeros(18_000, 1, dtype=torch.float64), target)
    for _ in range(60):
        state, _ = langevin.step(state, target, step_size=1.0, temperature=heat, generator=noise)
    variance = state["x"].reshape(-1, 3).var(0)
    wanted = torch.tensor([0.25, 1.0, 4.0], dtype=torch.float64) / 0.75
    torch.testing.assert_close(variance, wanted, rtol=0.08, atol=0.0)


def test_without_heat_langevin_only_falls() -> None:
    target = with_gradient(gaussian_energy)
    state = langevin.init(torch.ones(3, 2, dtype=torch.float64), target)
    state, info = langevin.step(
        state, target, step_size=0.5, temperature=0.0, generator=generator()
    )
    torch.testing.assert_close(state["x"], torch.full((3, 2), 0.75, dtype=torch.float64))
    assert float(info["noise"].abs().max()) == 0.0


def test_a_negative_setting_is_refused() -> None:
    target = with_gradient(gaussian_energy)
    state = langevin.init(torch.ones(3, 2), target)
    with pytest.raises(ValueError, match="temperature: given -1"):
        langevin.step(state, target, step_size=0.1, temperature=-1.0, generator=generator())


# --- Hamiltonian Monte Carlo ------------------------------------------------------------------


def test_one_leapfrog_step_is_mala() -> None:
    """With the same noise: proposals, acceptances and the chains that follow, at T = 1.7."""
    target = with_gradient(wells)
    x = torch.randn(200, 3, generator=generator(2), dtype=torch.float64)
    state = mala.init(x, target)
    settings: dict[str, Any] = {"temperature": 1.7}
    one, a = hmc.step(state, target, step_size=0.3, n_steps=1, generator=generator(5), **settings)
    two, b = mala.step(state, target, step_size=0.09, generator=generator(5), **settings)
    torch.testing.assert_close(a["proposal"], b["proposal"])
    torch.testing.assert_close(a["acceptance"], b["acceptance"])
    torch.testing.assert_close(one["x"], two["x"])


def test_the_error_in_energy_is_of_second_order() -> None:
    """Half the step over the same time: a quarter of the error in H."""
    target = with_gradient(wells)
    x = torch.randn(300, 2, generator=generator(2), dtype=torch.float64)
    momentum = torch.randn(300, 2, generator=generator(3), dtype=torch.float64)
    state = hmc.init(x, target)
    errors = []
    for n in (40, 80, 160):
        path = hmc.leapfrog(state, momentum, target, step_size=1.0 / n, n_steps=n)
        first, last = (point["energy"] + hmc.kinetic(p) for point, p in (path[0], path[-1]))
        errors.append(float((last - first).abs().mean()))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.03)


def test_the_way_back_ends_where_the_way_began() -> None:
    target = with_gradient(wells)
    x = torch.randn(50, 2, generator=generator(2), dtype=torch.float64)
    momentum = torch.randn(50, 2, generator=generator(3), dtype=torch.float64)
    there = hmc.leapfrog(hmc.init(x, target), momentum, target, step_size=0.1, n_steps=20)[-1]
    back = hmc.leapfrog(there[0], -there[1], target, step_size=0.1, n_steps=20)[-1]
    assert float((there[0]["x"] - x).abs().mean()) > 0.1
    torch.testing.assert_close(back[0]["x"], x, rtol=0.0, atol=1e-9)
    torch.testing.assert_close(back[1], -momentum, rtol=0.0, atol=1e-9)


def test_the_trajectory_is_told() -> None:
    target = with_gradient(gaussian_energy)
    state = hmc.init(torch.randn(4, 1, 2, 3, generator=generator()).flatten(1), target)
    _, info = hmc.step(state, target, step_size=0.2, n_steps=6, generator=generator(1))
    assert info["trajectory"].shape == (7, 4, 6)
    assert torch.equal(info["trajectory"][0], state["x"])
    assert torch.equal(info["trajectory"][-1], info["proposal"])
    error = info["hamiltonian"][-1] - info["hamiltonian"][0]
    torch.testing.assert_close(info["energy_error"], error)
    torch.testing.assert_close(info["acceptance"], (-error).clamp_max(0.0).exp())
    first = 0.5 * info["momentum"].square().sum(1) + state["energy"]
    torch.testing.assert_close(info["hamiltonian"][0], first)
    with pytest.raises(ValueError, match="n_steps: given 0"):
        hmc.step(state, target, step_size=0.2, n_steps=0, generator=generator())


# --- parallel tempering -----------------------------------------------------------------------


def far_modes(x: Tensor) -> Tensor:
    """Modes at ±4 of weights 0.75 and 0.25 that no local chain connects."""
    z = torch.cat([x - 4.0, x + 4.0], -1) / 0.5
    weights = torch.tensor([0.75, 0.25], dtype=x.dtype).log()
    return -torch.logsumexp(weights - 0.5 * z.square(), -1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_tempering_finds_the_weights_of_far_modes(kernel: str) -> None:
    target, noise = with_gradient(far_modes), generator(4)
    step, settings = KERNELS[kernel]
    start = torch.full((600, 1), -4.0, dtype=torch.float64)
    heat = tempering.ladder(4, 30.0)
    state = tempering.init(start, target)
    alone = mala.init(start, target)
    for _ in range(200 if kernel == "mala" else 60):
        state, info = tempering.step(
            state,
            target,
            temperatures=heat,
            generator=noise,
            kernel=lambda *a, **k: step(*a, **{**settings, **k}),
            step_size=settings["step_size"],
        )
        alone, _ = step(alone, target, generator=noise, **settings)
    assert float((alone["x"] > 0.0).double().mean()) == 0.0
    assert float((state["x"] > 0.0).double().mean()) == pytest.approx(0.75, abs=0.06)
    assert info["swap_acceptance"].shape == (600, 3)
    assert bool(info["swapped"].any(0).all())


def test_tempering_keeps_every_replicas_law() -> None:
    """Replicas that are exact draws at their temperatures stay so, after swaps that are taken."""
    heat = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    target, noise = with_gradient(wells), generator(4)
    columns = [from_density(wells, 12_000, float(t), k) for k, t in enumerate(heat)]
    state = tempering.init(columns[0], target, n_replicas=3)
    state["replicas"] = torch.stack(columns, 1)
    energy, gradient = target(state["replicas"].flatten(0, 1))
    state["replica_energy"] = energy.unflatten(0, (-1, 3))
    state["replica_gradient"] = gradient.unflatten(0, (-1, 3))
    for _ in range(5):
        state, info = tempering.step(
            state, target, step_size=0.1, temperatures=heat, generator=noise
        )
    assert 0.2 < float(info["swapped"].double().mean()) < 0.95
    for place, temperature in enumerate(heat.tolist()):
        mean, square = moments(wells, temperature)
        x = state["replicas"][:, place]
        assert float(x.mean()) == pytest.approx(mean, abs=0.05)
        assert float(x.square().mean()) == pytest.approx(square, rel=0.04)


def test_swaps_exchange_neighbours_and_their_caches() -> None:
    target = with_gradient(wells)
    state = tempering.init(
        torch.randn(300, 2, generator=generator(), dtype=torch.float64), target, n_replicas=5
    )
    heat = tempering.ladder(5, 8.0)
    for _ in range(4):
        state, info = tempering.step(
            state, target, step_size=0.2, temperatures=heat, generator=generator(9)
        )
    assert torch.equal(state["x"], state["replicas"][:, 0])
    energy, gradient = target(state["replicas"].flatten(0, 1))
    torch.testing.assert_close(state["replica_energy"].flatten(), energy)
    torch.testing.assert_close(state["replica_gradient"].flatten(0, 1), gradient)
    # What was moved is still there, at another place; a chain that swapped nothing kept its order.
    ranks = [info["moved"][..., 0].sort(1).values, state["replicas"][..., 0].sort(1).values]
    assert torch.equal(*ranks)
    still = ~info["swapped"].any(1)
    assert bool(still.any())
    assert torch.equal(info["moved"][still], state["replicas"][still])
    only_first = info["swapped"][:, 0] & ~info["swapped"][:, 1:].any(1)
    assert torch.equal(info["moved"][only_first, 0], state["replicas"][only_first, 1])


def test_a_ladder_climbs_evenly_in_the_logarithm() -> None:
    heat = tempering.ladder(5, 16.0)
    torch.testing.assert_close(heat, torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]).double())
    target = with_gradient(wells)
    state = tempering.init(torch.zeros(2, 1), target, n_replicas=3)
    with pytest.raises(ValueError, match="each of the 3 replicas"):
        tempering.step(state, target, step_size=0.1, temperatures=heat, generator=generator())


def test_tempered_trajectories_are_those_of_the_coldest() -> None:
    target = with_gradient(wells)
    state = tempering.init(torch.zeros(4, 2, dtype=torch.float64), target, n_replicas=3)
    _, info = tempering.step(
        state,
        target,
        step_size=0.1,
        temperatures=tempering.ladder(3, 4.0),
        generator=generator(),
        kernel=hmc.step,
    )
    assert info["trajectory"].shape == (11, 4, 2)
    assert info["hamiltonian"].shape == (11, 4)
    assert info["replica_acceptance"].shape == (4, 3)
    assert torch.equal(info["trajectory"][-1], info["proposal"])
    assert math.isfinite(float(info["energy"].sum()))
