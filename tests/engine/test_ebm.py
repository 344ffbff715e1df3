"""The energy-based model: its energy, its gradient against quadrature, its chains and buffer."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.estimators.quadrature import kl_divergence, log_z
from engine.model import TrainState
from engine.models.energy.ebm import EBM
from engine.nets.energy_mlp import SMOOTH_ACTIVATIONS, EnergyMLP
from engine.registry import build_dataset, build_model
from engine.training import fit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ebm(size: int = 2, **config: Any) -> EBM:
    model = build_model("ebm", event_shape=(size,), **{"hidden_features": (16, 16), **config})
    assert isinstance(model, EBM)
    return model


def bumpy(size: int = 1) -> EBM:
    """An untrained model in odd units whose network matters, in float64."""
    model = ebm(size, activation="tanh").double()
    spread = torch.linspace(2.0, 3.0, size).double()
    data = 5.0 + spread * torch.randn(400, size, generator=generator(), dtype=torch.float64)
    model.prepare(data, generator=generator())
    with torch.no_grad():
        model.net.weights[-1].mul_(15.0)
    model.average.load_state_dict(model.net.state_dict())
    return model


def grid(model: EBM, n: int = 6001) -> tuple[Tensor, float]:
    u = torch.linspace(-9.0, 9.0, n, dtype=torch.float64)[:, None]
    return model.unstandardise(u), float(18.0 / (n - 1) * model.scale[0])


# --- energy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", SMOOTH_ACTIVATIONS)
@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,), (9, 8, 7)])
def test_the_written_out_gradient_is_autograds(
    activation: str, spectral_norm: bool, hidden: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    net = EnergyMLP(3, hidden, activation=activation, spectral_norm=spectral_norm).double()
    x = torch.randn(11, 3, dtype=torch.float64, generator=generator(), requires_grad=True)
    (wanted,) = torch.autograd.grad(net(x).sum(), x)
    value, gradient = net.value_and_gradient(x.detach())
    torch.testing.assert_close(value, net(x).detach())
    torch.testing.assert_close(gradient, wanted)
    assert not value.requires_grad


def test_spectral_norm_bounds_the_slope() -> None:
    torch.manual_seed(0)
    net = EnergyMLP(4, (32, 32), activation="tanh", spectral_norm=True).double()
    with torch.no_grad():
        for weight in net.weights:
            weight.mul_(20.0)
    for _ in range(200):
        net.power_iteration()
    _, gradient = net.value_and_gradient(
        torch.randn(500, 4, dtype=torch.float64, generator=generator())
    )
    assert float(gradient.norm(dim=1).max()) <= 1.0 + 1e-3
    free = EnergyMLP(4, (32, 32), activation="tanh").double()
    free.load_state_dict(net.state_dict(), strict=False)
    _, steep = free.value_and_gradient(torch.zeros(1, 4, dtype=torch.float64))
    assert float(steep.norm()) > 10.0


def test_the_score_is_autograds_in_units_of_the_data() -> None:
    model = bumpy(2)
    x = (5.0 + 3.0 * torch.randn(20, 2, generator=generator()).double()).requires_grad_()
    (gradient,) = torch.autograd.grad(model.energy(x).sum(), x)
    torch.testing.assert_close(model.score(x.detach()), -gradient)


def test_without_its_network_it_is_the_confining_gaussian() -> None:
    """exp(−E) then integrates to (2π/c)^(D/2) over the data's own units, whatever they are."""
    model = ebm(2, confinement=0.5).double()
    data = torch.randn(500, 2, generator=generator()).double() * torch.tensor([0.3, 7.0]) + 4.0
    model.prepare(data, generator=generator())
    with torch.no_grad():
        for parameter in model.average.parameters():
            parameter.zero_()
    assert log_z(model).value == pytest.approx(math.log(2.0 * math.pi / 0.5), abs=1e-6)


# --- gradient ---------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_likelihood() -> None:
    """E2: with chains for negatives the loss's gradient is the exact one, found by quadrature."""
    model = bumpy(1)
    x = 5.0 + 2.0 * torch.randn(300, 1, generator=generator(1), dtype=torch.float64)
    noise = generator(2)
    state = model.init(20_000, noise)
    for _ in range(20):
        state, _ = model.step(state, "restart", noise)
        state, _ = model.step(state, "mala", noise)
    model.contrast(x, state["x"])["total"].backward()
    given = torch.cat([p.grad.flatten() for p in model.net.parameters() if p.grad is not None])

    model.average.requires_grad_(True)
    nodes, width = grid(model)
    nll = model.energy(x).mean() + torch.logsumexp(-model.energy(nodes), 0) + math.log(width)
    wanted_parts = torch.autograd.grad(nll, list(model.average.parameters()))
    wanted = torch.cat([part.flatten() for part in wanted_parts])
    assert float(wanted.norm()) > 0.1
    assert float(torch.cosine_similarity(given, wanted, 0)) > 0.995
    assert float((given - wanted).norm() / wanted.norm()) < 0.1


def test_losses_add_up() -> None:
    model = bumpy(2)
    model.set_live({"regulariser": 0.25})
    noise = generator()
    x, negatives = (5.0 + torch.randn(40, 2, generator=noise).double() for _ in range(2))
    losses = model.contrast(x, negatives)
    assert set(losses) == {"total", "positive", "negative", "regulariser"}
    torch.testing.assert_close(losses["positive"], model.energy(x).mean())
    outputs = [model.net(model.standardise(points)) for points in (x, negatives)]
    squares = sum(f.square().mean() for f in outputs)
    torch.testing.assert_close(losses["regulariser"], 0.25 * squares)
    parts = losses["positive"] - losses["negative"] + losses["regulariser"]
    torch.testing.assert_close(losses["total"], parts)


# --- chains -----------------------------------------------------------------------------------


def test_its_chains_draw_from_its_density() -> None:
    """E1: MALA and restarts against quadrature, in units of the data."""
    model, noise = bumpy(1), generator(3)
    state = model.init(10_000, noise)
    for _ in range(25):
        state, _ = model.step(state, "restart", noise)
        state, info = model.step(state, "mala", noise)
    nodes, _ = grid(model)
    weights = torch.softmax(-model.energy(nodes).detach(), 0)
    mean = float((weights * nodes[:, 0]).sum())
    spread = float((weights * (nodes[:, 0] - mean).square()).sum().sqrt())
    assert float(state["x"].mean()) == pytest.approx(mean, abs=0.05 * spread)
    assert float(state["x"].std()) == pytest.approx(spread, rel=0.05)
    torch.testing.assert_close(info["energy"], model.energy(state["x"]).detach())


def test_the_langevin_kernel_is_the_slide_in_standardised_units() -> None:
    model = bumpy(2)
    state = model.init(5, generator(1))
    after, info = model.step(state, "langevin", generator(2))
    rate = model.chain_step_size
    noise = rate.sqrt() * torch.randn(5, 2, generator=generator(2), dtype=torch.float64)
    drift = 0.5 * rate * model.scale.square() * model.score(state["x"])
    wanted = state["x"] + drift + noise * model.scale
    torch.testing.assert_close(after["x"], wanted)
    torch.testing.assert_close(state["x"] + info["drift"] + info["noise"], after["x"])


def test_an_unknown_kernel_is_named() -> None:
    model = ebm()
    with pytest.raises(ValueError, match="given 'gibbs', wanted one of mala, langevin"):
        model.step(model.init(3, generator()), "gibbs", generator())


# --- replay buffer ----------------------------------------------------------------------------


def buffer_after(steps: int, **config: Any) -> tuple[EBM, Tensor, Tensor]:
    model = ebm(2, buffer_size=64, **config)
    state = TrainState(model.optimisers(1e-3))
    batch = torch.randn(16, 2, generator=generator())
    noise = generator(1)
    model.train_step(batch, state, noise)
    first = state.memory["replay"].clone()
    for _ in range(steps):
        state.step += 1
        model.train_step(batch, state, noise)
    return model, first, state.memory["replay"]


def test_a_step_moves_as_many_chains_as_the_batch_holds() -> None:
    config = {"sampler": "langevin", "restart_share": 0.0}
    _, first, last = buffer_after(1, **config)
    assert int((first != last).any(1).sum()) == 16


def test_fresh_starts_are_taken_by_the_share_that_is_offered_them() -> None:
    """Chains that hardly move show who was restarted: a quarter of a batch of 16."""
    still = {"sampler": "langevin", "step_size": 1e-6, "restart_share": 0.25}
    _, first, last = buffer_after(1, restart="always", **still)
    assert int(((first - last).norm(dim=1) > 0.05).sum()) == 4


def test_the_adapted_step_follows_the_acceptance() -> None:
    config = {"langevin_steps": 5, "step_size": 1e-4, "restart_share": 0.0}
    grown, *_ = buffer_after(40, **config)
    fixed, *_ = buffer_after(40, adapt_step_size=False, **config)
    assert float(grown.chain_step_size) > 1.5e-4
    assert float(fixed.chain_step_size) == pytest.approx(1e-4)
    grown.set_live({"step_size": 0.02})
    assert float(grown.chain_step_size) == pytest.approx(0.02)


def test_the_average_is_what_is_scored() -> None:
    model, *_ = buffer_after(5, average=0.0)
    for shown, trained in zip(model.average.parameters(), model.net.parameters(), strict=True):
        assert torch.equal(shown, trained)
        assert not shown.requires_grad
    model, *_ = buffer_after(5, average=0.9)
    assert not torch.equal(model.average.weights[0], model.net.weights[0])


@pytest.mark.slow
def test_it_learns_eight_gaussians_from_its_own_chains() -> None:
    dataset = build_dataset("eight_gaussians", fresh=True)
    model = build_model("ebm", event_shape=(2,))
    before = kl_divergence(dataset, model, grid=200).value
    fit(model, dataset, steps=700, seed=0, device="cpu")
    after = kl_divergence(dataset, model, grid=300)
    assert before > 0.8
    assert after.value < 0.15
