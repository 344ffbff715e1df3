"""The bound with shared draws against the exact density and the plain bound."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.estimators.density import CancellationError, log_density_of, score_points
from engine.estimators.grid import Box, log_mass, midpoint_grid
from engine.estimators.shared_bound import shared_bound, shares_draws
from engine.latents import Latent
from tests.engine.toys import GaussianToy, LinearToy, ToyPosterior, toy_card


class OpenPosterior(ToyPosterior):
    """The toy's posterior, whose density can be asked for."""

    @property
    def distribution(self) -> Distribution:
        return self.q


class OpenToy(LinearToy):
    """The linear-Gaussian toy with everything that sharing needs."""

    card = toy_card("open")

    @property
    def latents(self) -> tuple[Latent, ...]:
        return (Latent("z", (self.event_size,)),)

    def prior(self, parents: object) -> Distribution:
        return Independent(Normal(torch.zeros(self.event_size).double(), 1.0), 1)

    def encode(self, x: Tensor, **_: object) -> OpenPosterior:
        return OpenPosterior(super().encode(x).q)


def picture(size: int) -> tuple[Tensor, Tensor, Tensor]:
    grid = midpoint_grid(Box((-6.0, -6.0), (6.0, 6.0)), size)
    exact = OpenToy(2).true_log_prob(grid.points)
    return grid.points.reshape(size, size, 2), grid.weights, exact.reshape(size, size)


@pytest.mark.parametrize("size", [24, 50, 128])
def test_many_draws_give_the_density(size: int) -> None:
    points, weights, exact = picture(size)
    scores = shared_bound(OpenToy(2), points, n_draws=512)
    p = exact.exp().flatten() * weights
    assert float((p * (scores - exact).flatten().abs()).sum()) < 0.05
    assert float(log_mass(scores.flatten(), weights).exp()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("n_draws", [1, 7, 20, 32])
def test_it_is_a_bound_with_unbiased_weights(n_draws: int) -> None:
    points, weights, exact = picture(96)
    scores = shared_bound(OpenToy(2), points, n_draws=n_draws)
    p = exact.exp().flatten() * weights
    assert float((p * (scores - exact).flatten()).sum()) < 0.0
    # The weights' mean is p(x), so that the picture's mass is 1 up to the noise of its blocks.
    assert float(log_mass(scores.flatten(), weights).exp()) == pytest.approx(1.0, abs=0.1)


def test_it_is_as_tight_as_the_plain_bound() -> None:
    points, weights, exact = picture(128)
    model, p = OpenToy(2), exact.exp().flatten() * weights
    shared = shared_bound(model, points, n_draws=32).flatten()
    plain = score_points(log_density_of(model, n_draws=32), model, points.reshape(-1, 2))
    gaps = [float((p * (exact.flatten() - scores)).sum()) for scores in (shared, plain)]
    assert gaps[0] < gaps[1] + 0.02


def test_who_can_share() -> None:
    assert shares_draws(OpenToy(2))
    assert not shares_draws(GaussianToy(2))
    with pytest.raises(ValueError, match="Linear has no posterior"):
        shared_bound(LinearToy(2), picture(8)[0])


def test_it_can_be_cancelled() -> None:
    with pytest.raises(CancellationError):
        shared_bound(OpenToy(2), picture(8)[0], cancelled=lambda: True)
