"""A relaxed category on the simplex: its density, its draws, its gradient's bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.estimators.grid import Box, midpoint_grid
from engine.estimators.simplex import TARGET, corners, gradient_error, triangle_log_density
from engine.probe import View
from engine.probes.relaxed_draws import relaxed_draws
from engine.registry import build_dataset, build_model

LOG_PROBS = torch.tensor([0.5, 0.2, 0.3]).double().log()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def asked(**given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    data = build_dataset("bars_and_stripes", n_samples=100)
    model = build_model("categorical_vae", event_shape=data.event_shape, dataset=data,
                        latent_features=2, n_states=3, hidden_features=(8,)).eval()  # fmt: skip
    result = list(relaxed_draws.ask(View(model, data, 0), given))[-1]
    return result.numpy(), dict(result.values)


@pytest.mark.parametrize("n_states", [2, 3, 7])
def test_corners_are_even_on_the_circle(n_states: int) -> None:
    found = corners(n_states)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(n_states).double())
    torch.testing.assert_close(found.sum(0), torch.zeros(2).double(), atol=1e-12, rtol=0.0)
    torch.testing.assert_close(found[0], torch.tensor([0.0, 1.0]).double())


@pytest.mark.parametrize("temperature", [0.8, 1.0, 3.0])
def test_the_density_of_the_drawn_triangle_holds_all_mass(temperature: float) -> None:
    grid = midpoint_grid(Box((-1.0, -0.75), (1.0, 1.1)), 400)
    found = triangle_log_density(LOG_PROBS, temperature, grid.points).exp()
    assert abs(float((found * grid.weights).sum()) - 1.0) < 0.02
    assert float(found[grid.points[:, 1] < -0.51].max()) == 0.0


def test_draws_lie_where_the_density_says() -> None:
    arrays, values = asked(temperature=1.0, n=20_000)
    assert abs(values["mass"] - 1.0) < 0.02
    table = np.exp(arrays["log_density"].astype(np.float64))
    step = (arrays["high"] - arrays["low"]) / np.array(table.shape[::-1])
    x = arrays["low"][0] + (np.arange(table.shape[1]) + 0.5) * step[0]
    y = arrays["low"][1] + (np.arange(table.shape[0]) + 0.5) * step[1]
    mass = table * step.prod()
    mean = np.array([(mass.sum(0) * x).sum(), (mass.sum(1) * y).sum()]) / mass.sum()
    np.testing.assert_allclose(arrays["places"].mean(0), mean, atol=0.02)


@pytest.mark.parametrize("temperature", [0.1, 5.0])
def test_the_largest_share_is_q_at_any_temperature(temperature: float) -> None:
    arrays, _ = asked(temperature=temperature, category=1, index=3, n=20_000)
    np.testing.assert_allclose(arrays["shares"], arrays["probs"], atol=0.015)
    reach = np.linalg.norm(arrays["places"], axis=1).mean()
    assert reach > 0.9 if temperature < 1 else reach < 0.5


def test_lower_temperatures_trade_bias_for_spread() -> None:
    cold, warm = (
        gradient_error(LOG_PROBS, tau, 40_000, generator(), hard=False) for tau in (0.1, 1.0)
    )
    assert cold.bias < 0.3 * warm.bias + 3.0 * cold.bias_error
    assert cold.spread > 2.0 * warm.spread


def test_the_bias_of_two_states_is_by_quadrature() -> None:
    """K = 2: y is a logistic curve of a + logistic noise, and f = 2 (y − t)²."""
    p, tau = 0.3, 0.7
    log_probs = torch.tensor([p, 1.0 - p]).double().log()
    u = (torch.arange(200_000).double() + 0.5) / 200_000
    soft = torch.sigmoid((log_probs[0] - log_probs[1] + torch.logit(u)) / tau)
    slope = soft * (1.0 - soft) / tau  # ∂y/∂a
    relaxed = (4.0 * (soft - TARGET) * slope).mean()
    straight = (4.0 * ((soft > 0.5).double() - TARGET) * slope).mean()
    true = p * (1.0 - p) * 2.0 * ((1.0 - TARGET) ** 2 - TARGET**2)
    for estimate, is_hard in ((relaxed, False), (straight, True)):
        found = gradient_error(log_probs, tau, 100_000, generator(1), hard=is_hard)
        wanted = 2.0**0.5 * abs(float(estimate) - true)  # a₁ − a₂ moves both scores
        assert abs(found.bias - wanted) < 5.0 * found.bias_error


def test_refusals_name_what_was_given() -> None:
    with pytest.raises(ValueError, match="temperature: given 0"):
        asked(temperature=0.0)
    with pytest.raises(ValueError, match="category: given 2, wanted 0 to 1"):
        asked(category=2)
    data = build_dataset("two_moons", n_samples=50)
    with pytest.raises(ValueError, match="VAE has no relaxed categories"):
        list(relaxed_draws.ask(View(build_model("vae", event_shape=(2,)), data, 0), {}))
