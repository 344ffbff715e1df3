"""Conditional slices and marginals: closed forms of Gaussians, and what cannot be had."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes
from tests.engine.toys import GaussianData, GaussianToy, ImplicitToy, QuadraticToy, UnknownData

WINDOW: dict[str, Any] = {"low": [-12.0, -12.0], "high": [12.0, 12.0]}


def ask(model: GenerativeModel, dataset: Dataset, **arguments: Any) -> Result:
    view = View(model, dataset, 0)
    return list(probes()["slices"].ask(view, WINDOW | {"point": [0.3, -0.8]} | arguments))[-1]


def kl_of_gaussians(m: float, s: float, n: float, t: float) -> float:
    """KL(N(m, s²)‖N(n, t²)) in nats."""
    return math.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5


@pytest.mark.parametrize("kind", ["conditional", "marginal"])
def test_gaussians_and_their_divergence(kind: str) -> None:
    data = GaussianData()
    model = GaussianToy(2, mean=0.5, sigma=(1.5, 0.7))
    size = 512 if kind == "conditional" else 256
    found = ask(model, data, kind=kind, size=size)
    arrays = found.numpy()
    for axis, sigma, true in (("x", 1.5, 1.0), ("y", 0.7, 0.5)):
        nodes = arrays[axis]
        assert arrays[f"model_{axis}"] == pytest.approx(
            stats.norm(0.5, sigma).pdf(nodes), abs=1e-9
        )
        assert arrays[f"truth_{axis}"] == pytest.approx(stats.norm(0, true).pdf(nodes), abs=1e-9)
        kl = kl_of_gaussians(0.0, true, 0.5, sigma)
        assert found.values[f"kl_{axis}"] == pytest.approx(kl, abs=1e-6)
        assert float(found.values[f"kl_{axis}_error"]) < 1e-3  # type: ignore[arg-type]


def test_a_slice_of_a_mixture_is_that_of_quadrature() -> None:
    data = build_dataset("two_moons")
    model = build_model("gaussian_mixture", event_shape=(2,))
    model.prepare(data.train, generator=torch.Generator().manual_seed(0))
    found = ask(model, data, low=[-6.0, -6.0], high=[6.0, 6.0], size=1024).numpy()
    nodes = found["y"]

    def density(y: float) -> float:
        return float(data.log_prob(torch.tensor([[0.3, y]], dtype=torch.float64)).exp())  # type: ignore[attr-defined]

    norm = integrate.quad(density, -6, 6, limit=400, points=[-1.5, 0.5, 1.5])[0]
    oracle = [density(float(y)) / norm for y in nodes[::97]]
    assert found["truth_y"][::97] == pytest.approx(oracle, abs=1e-4)


def test_the_model_that_is_the_truth_has_no_divergence() -> None:
    data = GaussianData()
    values = ask(GaussianToy(2, sigma=(1.0, 0.5)), data).values
    assert values["kl_x"] == pytest.approx(0.0, abs=1e-12)
    assert values["kl_y"] == pytest.approx(0.0, abs=1e-12)


def test_an_energy_needs_no_log_z() -> None:
    found = ask(QuadraticToy(2, sigma=(1.0, 2.0)), GaussianData())
    arrays = found.numpy()
    assert arrays["model_y"] == pytest.approx(stats.norm(0, 2.0).pdf(arrays["y"]), abs=1e-8)
    assert found.values["kind"] == "quadrature"


def test_a_line_that_the_truth_never_meets_has_no_curve() -> None:
    data = build_dataset("checkerboard")
    found = ask(GaussianToy(2), data, point=[9.0, 9.0])
    assert np.isnan(found.numpy()["truth_y"]).all()
    values = ask(GaussianToy(2), data, point=[0.5, 0.5]).values
    assert math.isfinite(float(values["kl_x"]))  # type: ignore[arg-type]


def test_without_a_truth_there_are_the_models_curves_alone() -> None:
    found = ask(GaussianToy(2), UnknownData())
    assert set(found.arrays) == {"x", "y", "model_x", "model_y"}
    assert "kl_x" not in found.values


def test_says_what_cannot_be_sliced() -> None:
    with pytest.raises(ValueError, match="given data of 3 dimensions"):
        ask(GaussianToy(3), GaussianData())
    with pytest.raises(ValueError, match="wanted two finite numbers"):
        ask(GaussianToy(2), GaussianData(), point=[0.0])
    with pytest.raises(ValueError, match="size: given 2"):
        ask(GaussianToy(2), GaussianData(), size=2)
    with pytest.raises(ValueError, match="Implicit"):
        ask(ImplicitToy(2), GaussianData())
