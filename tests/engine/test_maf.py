"""MAF against autograd, quadrature, a normal in closed form and its own slow path."""

from __future__ import annotations

import copy

import pytest
import torch

from engine.capabilities import capabilities_of
from engine.model import GenerativeModel, TrainState
from engine.models.flows.maf import MAF
from engine.registry import build_dataset, build_model
from engine.training import fit
from engine.wire.capability import Capability
from tests.engine.affine_flows import log_det_by_autograd, mass_on_grid, rough, some

SHAPES = pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 3, 3)])


def test_it_offers_what_it_truly_has() -> None:
    wanted = (Capability.SAMPLING, Capability.LOG_PROB, Capability.FLOW_PATH)
    assert capabilities_of(MAF) == wanted


def test_parameters_are_counted_with_their_masked_ones() -> None:
    model = build_model("maf", event_shape=(2,), n_layers=5)
    per_layer = (2 + 1) * 64 + (64 + 1) * 64 + (64 + 1) * 4
    assert model.n_parameters == 5 * per_layer == 23_060


@SHAPES
def test_log_prob_is_base_plus_autograds_log_det(shape: tuple[int, ...]) -> None:
    model, x = rough("maf", shape), some(shape)
    path = model.path(x)
    log_det = log_det_by_autograd(model, x)
    assert torch.allclose(path.log_dets.sum(0), log_det, atol=1e-6)
    log_p = model.base().log_prob(path.states[-1]) + log_det
    assert torch.allclose(model.log_prob(x), log_p, atol=1e-6)


@SHAPES
def test_the_path_comes_back(shape: tuple[int, ...]) -> None:
    model, x = rough("maf", shape), some(shape)
    there = model.path(x)
    back = model.path(there.states[-1], inverse=True)
    assert torch.allclose(there.states, back.states, atol=1e-10)
    assert torch.allclose(there.log_dets, back.log_dets, atol=1e-10)
    model.float()
    single = model.path(x.float())
    again = model.path(single.states[-1], inverse=True)
    assert torch.allclose(single.states[1:], again.states[1:], atol=1e-5)


def test_each_layer_depends_on_earlier_coordinates_of_its_order_only() -> None:
    model = rough("maf", (4,))
    assert isinstance(model, MAF)
    assert model.orders.tolist() == [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3]]
    for order, layer in zip(model.orders, model.trained_layers(), strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, layer=layer: layer.forward(v[None])[0][0],
            torch.linspace(-1.0, 1.0, 4, dtype=torch.float64),
        )[order][:, order]
        assert torch.equal(jacobian, jacobian.tril())


def test_masked_weights_stay_zero_while_training() -> None:
    model = rough("maf", (3,))
    state = TrainState(model.optimisers(1e-2))
    for _ in range(5):
        model.train_step(some((3,), n=32), state, torch.Generator())
    assert bool((model.theta[model.mask == 0] == 0).all())
    assert bool((model.theta[model.mask == 1] != 0).any())


def test_foreign_weights_under_the_mask_do_not_count() -> None:
    model, x = rough("maf", (3,)), some((3,))
    before = model.log_prob(x)
    nll = model.nll_and_gradient(x)[0]
    with torch.no_grad():
        model.theta.add_((1.0 - model.mask) * 3.0)
    assert torch.equal(model.log_prob(x), before)
    assert torch.equal(model.nll_and_gradient(x)[0], nll)


def test_a_rough_density_integrates_to_one() -> None:
    assert mass_on_grid(rough("maf"), half_width=60.0, n=1500) == pytest.approx(1.0, abs=2e-3)


def test_training_takes_the_step_that_autograd_would() -> None:
    by_hand = rough("maf", max_gradient_norm=None)
    by_autograd = copy.deepcopy(by_hand)
    batch, generator = some(n=32), torch.Generator()
    for model, step in (
        (by_hand, by_hand.train_step),
        (by_autograd, GenerativeModel.train_step.__get__(by_autograd)),
    ):
        state = TrainState(model.optimisers(1e-2))
        for _ in range(3):
            step(batch, state, generator)
    assert torch.allclose(by_hand.theta, by_autograd.theta, atol=1e-9)


def test_samples_have_the_moments_of_the_density() -> None:
    model = rough("maf", n_layers=2)
    draws = model.sample(20_000, generator=torch.Generator().manual_seed(0))
    line = ((torch.arange(800, dtype=torch.float64) + 0.5) / 400.0 - 1.0) * 60.0
    points = torch.cartesian_prod(line, line) + model.location
    with torch.no_grad():
        mass = model.log_prob(points).exp() * (120.0 / 800) ** 2
    mean = (mass[:, None] * points).sum(0)
    spread = ((mass[:, None] * points.square()).sum(0) - mean.square()).sqrt()
    assert torch.allclose(draws.mean(0), mean, atol=5.0 * float(spread.max()) / 20_000**0.5)


@pytest.mark.slow
def test_it_learns_eight_gaussians_and_keeps_its_mass() -> None:
    data = build_dataset("eight_gaussians", fresh=True)
    model = build_model("maf", event_shape=(2,), hidden_features=(32, 32))
    fit(model, data, steps=600, learning_rate=5e-3, schedule="cosine", device="cpu")
    model.double()
    x = data.sample(4000, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        score = float(model.log_prob(x).mean())
    assert score > -data.entropy() - 0.6
    assert isinstance(model, MAF)
    assert mass_on_grid(model, half_width=12.0, n=1200) == pytest.approx(1.0, abs=1e-3)
