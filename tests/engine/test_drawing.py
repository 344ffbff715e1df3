"""Draws from a given generator against the distributions' own moments and probabilities."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
)

from engine.drawing import categorical_from_uniform, draw, reshaped
from engine.latents import PointMass
from engine.nets.mlp import MLP

N = 40_000
FACTOR = torch.tensor([[1.0, 0.0], [0.7, 0.5]])
MIXTURE = MixtureSameFamily(
    Categorical(torch.tensor([[0.2, 0.8], [0.5, 0.5]])),
    Normal(torch.tensor([[-3.0, 1.0], [0.0, 8.0]]), torch.tensor([[0.5, 1.0], [2.0, 0.1]])),
)
PLANE = MixtureSameFamily(
    Categorical(torch.tensor([0.3, 0.7])),
    MultivariateNormal(torch.tensor([[0.0, 0.0], [4.0, -4.0]]), scale_tril=FACTOR),
)
KINDS = [
    Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])),
    Uniform(torch.tensor([-1.0]), torch.tensor([4.0])),
    Independent(Bernoulli(torch.tensor([0.2, 0.9])), 1),
    MultivariateNormal(torch.tensor([1.0, 2.0]), scale_tril=FACTOR),
    LogNormal(torch.tensor(0.0), torch.tensor(0.3)),
    MIXTURE,
    PLANE,
    reshaped(MultivariateNormal(torch.zeros(4), torch.eye(4)), (1, 2, 2)),
]


@pytest.mark.parametrize("distribution", KINDS, ids=lambda d: type(d).__name__)
def test_moments(distribution: Distribution) -> None:
    x = draw(distribution, torch.Generator().manual_seed(0), (N,))
    shape = (*distribution.batch_shape, *distribution.event_shape)
    assert x.shape == (N, *shape)
    variance = distribution.variance
    error = (variance / N).sqrt()
    assert bool(((x.mean(0) - distribution.mean).abs() < 5.0 * error).all())
    assert torch.allclose(x.var(0), variance, rtol=0.06)
    again = draw(distribution, torch.Generator().manual_seed(0), (N,))
    assert torch.equal(x, again)
    assert draw(distribution, torch.Generator().manual_seed(0)).shape == shape


def test_correlations_are_kept() -> None:
    x = draw(PLANE.component_distribution, torch.Generator().manual_seed(0), (N,))
    assert torch.allclose(torch.cov(x[:, 0].T), FACTOR @ FACTOR.T, atol=0.03)


def test_categories_have_their_shares() -> None:
    probs = torch.tensor([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    x = draw(Categorical(probs), torch.Generator().manual_seed(0), (N,))
    for row, column in zip(probs, x.T, strict=True):
        shares = column.bincount(minlength=3) / N
        assert bool(((shares - row).abs() <= 5.0 * (row * (1.0 - row) / N).sqrt()).all())


def test_the_edges_of_uniform_noise_give_possible_categories() -> None:
    probs = torch.tensor([0.0, 0.3, 0.7, 0.0])
    ends = torch.tensor([0.0, 0.2999, 0.3001, 1.0 - 2**-24])
    assert categorical_from_uniform(probs, ends).tolist() == [1, 1, 2, 2]


def test_a_point_mass_gives_its_value() -> None:
    value = torch.arange(6.0).reshape(3, 2)
    x = draw(PointMass(value), torch.Generator(), (4,))
    assert torch.equal(x, value.expand(4, 3, 2))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="given a Poisson"):
        draw(Poisson(torch.ones(2)), torch.Generator())


def test_a_perceptron_is_its_equation() -> None:
    net = MLP(3, (5,), 2, activation="tanh")
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    first, last = net[0], net[-1]
    wanted = torch.tanh(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
    assert torch.allclose(net(x), wanted, atol=1e-6)
    assert bool((MLP(3, (5,), 2, zero_last=True)(x) == 0.0).all())
    with pytest.raises(ValueError, match="given 'sine'"):
        MLP(3, (5,), 2, activation="sine")
    with pytest.raises(ValueError, match="wanted whole numbers above 0"):
        MLP(3, (0,), 2)
