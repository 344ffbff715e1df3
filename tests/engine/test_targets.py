"""Energies in the place of data: normalisation, samples, gradients and variational inference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from engine.capabilities import capabilities_of
from engine.estimators.quadrature import kl_divergence
from engine.probe import View
from engine.registry import build_dataset, build_model, models, probes
from engine.target import Target
from engine.training import Trainer, fit
from engine.variational import free_energy
from engine.wire.capability import Capability
from tests.engine.choice import POINT_MODELS
from tests.gpu.cases import ARGUMENTS

ENERGIES = ("U1", "U2", "U3", "U4")


def target(name: str, **config: object) -> Target:
    built = build_dataset("rezende_mohamed", energy=name, **config)
    assert isinstance(built, Target)
    return built


def reference(name: str, a: float, b: float) -> float:
    """The table of the paper, written out once more in plain numbers."""
    w1 = math.sin(2 * math.pi * a / 4)
    w2 = 3 * math.exp(-0.5 * ((a - 1) / 0.6) ** 2)
    w3 = 3 / (1 + math.exp(-(a - 1) / 0.3))
    wall = 0.5 * (max(0.0, abs(a) - 4) / 0.2) ** 2

    def bell(value: float, width: float) -> float:
        return math.exp(-0.5 * (value / width) ** 2)

    if name == "U1":
        pair = bell(a - 2, 0.6) + bell(a + 2, 0.6)
        return wall + 0.5 * ((math.hypot(a, b) - 2) / 0.4) ** 2 - math.log(pair)
    if name == "U2":
        return wall + 0.5 * ((b - w1) / 0.4) ** 2
    second, width = (w2, 0.35) if name == "U3" else (w3, 0.4)
    return wall - math.log(bell(b - w1, width) + bell(b - w1 + second, 0.35))


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_are_those_of_the_paper(name: str) -> None:
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points *= 1.5
    wanted = [reference(name, float(a), float(b)) for a, b in points]
    np.testing.assert_allclose(target(name).energy(points).numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ENERGIES)
def test_densities_integrate_to_one(name: str) -> None:
    built = target(name)

    def column(a: float) -> float:
        heights = torch.linspace(-7, 4.5, 2301, dtype=torch.float64)
        points = torch.stack([torch.full_like(heights, a), heights], 1)
        return float(torch.trapezoid(built.log_prob(points).exp(), heights))

    total, _ = integrate.quad(column, -6, 6, limit=200, points=[-4, 4])
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", ENERGIES)
def test_shown_draws_follow_the_density(name: str) -> None:
    built = target(name)
    draws = built.sample(40_000, generator=torch.Generator().manual_seed(1))
    mean = -float(built.log_prob(draws.to(torch.float64)).mean())
    assert mean == pytest.approx(built.entropy(), abs=0.03)
    again = built.sample(40_000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(draws, again)


def test_free_energy_is_the_divergence_less_log_z() -> None:
    built = target("U1", anneal_steps=0)
    model = build_model("realnvp", event_shape=(2,), seed=0)
    fit(model, built, steps=60, seed=0, device="cpu")
    losses = free_energy(model, built, 60_000, 1.0, torch.Generator().manual_seed(5))
    line = torch.linspace(-14, 14, 1001, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        log_q = model.double().log_prob(grid)  # type: ignore[operator]
    log_p = built.log_prob(grid)
    reverse = float((log_q.exp() * (log_q - log_p)).sum() * (line[1] - line[0]) ** 2)
    log_z = -float((built.energy(grid[:1]) + built.log_prob(grid[:1])).item())
    assert float(losses["free_energy"].detach()) + log_z == pytest.approx(reverse, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["U1", "U2"])
def test_a_flow_is_fitted_to_the_energy_alone(name: str) -> None:
    built = target(name, anneal_steps=200)
    model = build_model("realnvp", event_shape=(2,), n_layers=6, seed=0)
    before = kl_divergence(built, model, grid=256).value
    fit(model, built, steps=500, seed=0, device="cpu")
    after = kl_divergence(built, model, grid=256).value
    assert after < min(0.35, before / 3)


@pytest.mark.parametrize("name", POINT_MODELS)
def test_models_without_a_path_are_refused_with_the_reason(name: str) -> None:
    model = build_model(name, event_shape=(2,), dataset=target("U3"))
    kind = models()[name]
    if Capability.FLOW_PATH in capabilities_of(kind) and not kind.full_batch:
        Trainer(model, target("U3"), device="cpu").step()
        return
    with pytest.raises(ValueError, match="learns from observations, and Energies U1–U4"):
        Trainer(model, target("U3"), device="cpu")


def test_annealing_rises_to_one() -> None:
    config = target("U2", anneal_steps=100).config
    betas = [config.inverse_temperature(step) for step in (0, 50, 99, 1000)]
    assert betas == [0.01, 0.51, 1.0, 1.0]
    assert target("U2", anneal_steps=0).config.inverse_temperature(0) == 1.0


@pytest.mark.parametrize("question", [name for name in probes() if name != "preview_table"])
def test_a_question_about_observations_is_answered_by_draws_or_refused(question: str) -> None:
    data = target("U1")
    model = build_model("maf", event_shape=(2,), dataset=data, n_layers=1, hidden_features=(8,))
    view = View(model.eval().requires_grad_(False), data, step=0)
    try:
        found = list(probes()[question].ask(view, ARGUMENTS.get(question, {})))
    except ValueError:
        return  # a sentence, which is all that is asked of a refusal
    assert found
