"""Every model in any unit and number type: shifted, scaled and constant columns, float64 asked of
float32 weights, and a draw of nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.capabilities import Bound, Critic, Energy, LogProb, Sampling
from engine.dataset import box_margin
from engine.model import GenerativeModel
from engine.registry import build_model, models
from engine.training import fit
from tests.engine.choice import POINT_MODELS
from tests.engine.toys import Table

N_POINTS = 200


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crescent(scale: float = 1.0, shift: float = 0.0) -> Table:
    """A bent cloud (N, 2), float32."""
    x = torch.randn(N_POINTS, 2, generator=seeded())
    x[:, 1] += x[:, 0].square()
    return Table(x * scale + shift)


def trained(name: str, data: Table, steps: int = 10) -> GenerativeModel:
    model = build_model(name, event_shape=(2,), seed=1, dataset=data)
    fit(model, data, steps=steps, batch_size=64, seed=2, device="cpu")
    return model


@torch.no_grad()
def scores(model: Any, x: Tensor) -> Tensor:
    """The model's log-density, bound or negative energy, (B,)."""
    if isinstance(model, LogProb):
        return model.log_prob(x)
    if isinstance(model, Bound):
        return model.elbo(x, n_draws=4, generator=seeded(3)).importance_weighted
    if isinstance(model, Energy):
        return -model.energy(x)
    assert isinstance(model, Critic)
    return model.critic(x)


def densities() -> list[str]:
    wanted = (LogProb, Bound, Energy)
    return [n for n in POINT_MODELS if any(issubclass(models()[n], w) for w in wanted)]


#: Steps after which rounding is still only rounding; batch normalisation, and steep
#: splines, make it grow sooner.
FEWER_STEPS = {"ladder_vae": 2, "nsf": 5}


@pytest.mark.parametrize("name", densities())
@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 5.0), (1e-9, 0.0)])
def test_log_density_follows_the_unit(name: str, scale: float, shift: float) -> None:
    mine, theirs = crescent(), crescent(scale, shift)
    steps = FEWER_STEPS.get(name, 10)
    here = scores(trained(name, mine, steps), mine.train)
    there = scores(trained(name, theirs, steps), theirs.train)
    # p(ax + b) = p(x)/|a| per coordinate; only rounding may differ.
    assert float((here - there - 2.0 * math.log(scale)).abs().max()) < 0.02


@pytest.mark.parametrize("name", POINT_MODELS)
def test_float64_points_are_scored_by_float32_weights(name: str) -> None:
    data = crescent()
    model = trained(name, data, steps=2)
    given = scores(model, data.train.double())
    assert given.dtype == torch.float32
    assert torch.allclose(given, scores(model, data.train), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in POINT_MODELS if issubclass(models()[n], Sampling)])
@pytest.mark.parametrize("shape", [(1,), (2,), (1, 2, 2)])
def test_no_draws_are_an_empty_batch(name: str, shape: tuple[int, ...]) -> None:
    model: Any = build_model(name, event_shape=shape)
    assert model.sample(0, generator=seeded()).shape == (0, *shape)


@pytest.mark.parametrize("constant", [0.0, 7.0, 1e6])
@pytest.mark.parametrize("name", POINT_MODELS)
def test_a_constant_column_is_left_unscaled(name: str, constant: float) -> None:
    x = torch.randn(N_POINTS, 2, generator=seeded())
    x[:, 1] = constant
    model = trained(name, Table(x), steps=3)
    assert float(model.scale[1]) == 1.0
    assert bool(scores(model, x).isfinite().all())


@pytest.mark.parametrize("constant", [0.0, -3.0, 1e6])
def test_a_box_around_constants_has_sides(constant: float) -> None:
    x = torch.stack([torch.full((N_POINTS,), constant), torch.linspace(0.0, 1e-9, N_POINTS)], 1)
    info = Table(x).info()
    assert info.low[0] < constant < info.high[0]
    # The range of the other column is tiny but not nothing, and the box fits it.
    assert -1e-9 < info.low[1] < 0.0
    assert float(x[:, 1][:160].max()) < info.high[1] < 2e-9
    margin = box_margin(torch.tensor([0.0, 2.0]), torch.tensor([10.0, 2.0]))
    assert margin.tolist() == pytest.approx([1.5, 1.5e-4])
