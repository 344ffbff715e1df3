"""RealNVP against autograd, quadrature, a normal in closed form and its own slow path."""

from __future__ import annotations

import copy

import pytest
import torch

from engine.capabilities import capabilities_of
from engine.model import GenerativeModel, TrainState
from engine.models.flows.realnvp import RealNVP
from engine.registry import build_dataset, build_model
from engine.training import Trainer, fit
from engine.wire.capability import Capability
from tests.engine.affine_flows import log_det_by_autograd, mass_on_grid, rough, some

SHAPES = pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 3, 3)])


def test_it_offers_what_it_truly_has() -> None:
    wanted = (Capability.SAMPLING, Capability.LOG_PROB, Capability.FLOW_PATH)
    assert capabilities_of(RealNVP) == wanted


def test_the_default_has_the_parameters_of_eight_couplings() -> None:
    model = build_model("realnvp", event_shape=(2,))
    per_coupling = (1 + 1) * 64 + (64 + 1) * 64 + (64 + 1) * 2
    assert model.n_parameters == 8 * per_coupling == 35_344


@SHAPES
def test_log_prob_is_base_plus_autograds_log_det(shape: tuple[int, ...]) -> None:
    model, x = rough("realnvp", shape), some(shape)
    path = model.path(x)
    log_det = log_det_by_autograd(model, x)
    assert torch.equal(path.states[0], x.flatten(1))
    assert path.names[0] == "standardise"
    assert torch.allclose(path.log_dets.sum(0), log_det, atol=1e-6)
    log_p = model.base().log_prob(path.states[-1]) + log_det
    assert torch.allclose(model.log_prob(x), log_p, atol=1e-6)


@SHAPES
def test_the_path_comes_back(shape: tuple[int, ...]) -> None:
    model, x = rough("realnvp", shape), some(shape)
    there = model.path(x)
    back = model.path(there.states[-1], inverse=True)
    assert torch.allclose(there.states, back.states, atol=1e-10)
    assert torch.allclose(there.log_dets, back.log_dets, atol=1e-10)
    model.float()
    single = model.path(x.float())
    again = model.path(single.states[-1], inverse=True)
    assert torch.allclose(single.states[1:], again.states[1:], atol=1e-5)


def test_zero_networks_leave_only_standardisation() -> None:
    model, x = rough("realnvp"), some()
    with torch.no_grad():
        model.theta.zero_()
    path = model.path(x)
    assert torch.equal(path.log_dets[1:], torch.zeros(3, len(x), dtype=torch.float64))
    normal = torch.distributions.Normal(model.location, model.scale)
    assert torch.allclose(model.log_prob(x), normal.log_prob(x).sum(1), atol=1e-12)


def test_a_rough_density_integrates_to_one() -> None:
    assert mass_on_grid(rough("realnvp"), half_width=60.0, n=1500) == pytest.approx(1.0, abs=2e-3)


def test_training_takes_the_step_that_autograd_would() -> None:
    by_hand = rough("realnvp", max_gradient_norm=None)
    by_autograd = copy.deepcopy(by_hand)
    batch, generator = some(n=32), torch.Generator()
    for model, step in (
        (by_hand, by_hand.train_step),
        (by_autograd, GenerativeModel.train_step.__get__(by_autograd)),
    ):
        state = TrainState(model.optimisers(1e-2))
        for _ in range(3):
            losses = step(batch, state, generator)
        assert losses["nll"] == losses["total"]
    assert torch.allclose(by_hand.theta, by_autograd.theta, atol=1e-9)


def test_a_long_gradient_is_cut_for_the_optimiser_and_shown_in_full() -> None:
    model = rough("realnvp", max_gradient_norm=0.01)
    state = TrainState({"model": torch.optim.SGD([model.theta], lr=1.0)})
    before = model.theta.detach().clone()
    model.train_step(some(n=32), state, torch.Generator())
    assert float((model.theta.detach() - before).norm()) == pytest.approx(0.01, rel=1e-6)
    assert model.theta.grad is not None
    assert float(model.theta.grad.norm()) > 0.01


def test_buffers_follow_the_weights_to_another_dtype() -> None:
    model, batch = rough("realnvp"), some(n=16)
    first = float(model.nll_and_gradient(batch)[0])
    model.float()
    nll, gradient = model.nll_and_gradient(batch.float())
    assert gradient.dtype == torch.float32
    assert float(nll) == pytest.approx(first, rel=1e-4)
    with torch.no_grad():
        model.theta.zero_()
    assert float(model.nll_and_gradient(batch.float())[0]) != pytest.approx(first, rel=1e-3)


def test_many_points_are_scored_in_pieces_to_the_same_result() -> None:
    model, x = rough("realnvp"), some(n=9000)
    whole = model.log_prob(x).detach()
    with torch.no_grad():
        pieces = model.log_prob(x)
        first = model.sample(9000, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(whole, pieces, atol=1e-12)
    again = model.sample(9000, generator=torch.Generator().manual_seed(2))
    assert torch.equal(first, again)


def test_it_takes_no_context_and_no_foreign_shape() -> None:
    model, x = rough("realnvp"), some()
    with pytest.raises(ValueError, match="given a context, wanted none"):
        model.log_prob(x, context=x)
    with pytest.raises(ValueError, match=r"given events of shape \(3,\), wanted \(2,\)"):
        model.log_prob(some((3,)))
    with pytest.raises(ValueError, match=r"given base points of shape \(3,\), wanted \(2,\)"):
        model.path(some((3,)), inverse=True)


def test_a_restored_run_repeats_itself_bit_for_bit() -> None:
    data = build_dataset("eight_gaussians", n_samples=200)
    trainer = Trainer(build_model("realnvp", event_shape=(2,), n_layers=2), data, seed=4)
    for _ in range(5):
        trainer.step()
    keyframe = trainer.capture()
    first = [trainer.step()["nll"].item() for _ in range(5)]
    trainer.restore(keyframe)
    assert [trainer.step()["nll"].item() for _ in range(5)] == first


def test_one_coordinate_is_fitted_by_a_gaussian() -> None:
    data = build_dataset("gaussian_1d", n_samples=500)
    model = build_model("realnvp", event_shape=(1,), n_layers=2, hidden_features=(4,))
    fit(model, data, steps=200, learning_rate=1e-2, batch_size=128, device="cpu")
    x = data.train.double()
    best = torch.distributions.Normal(x.mean(), x.std(correction=0)).log_prob(x).mean()
    with torch.no_grad():
        assert float(model.double().log_prob(x).mean()) > float(best) - 0.02


@pytest.mark.slow
def test_it_learns_eight_gaussians_and_keeps_its_mass() -> None:
    data = build_dataset("eight_gaussians", fresh=True)
    model = build_model("realnvp", event_shape=(2,), hidden_features=(32, 32))
    fit(model, data, steps=600, learning_rate=5e-3, schedule="cosine", device="cpu")
    model.double()
    x = data.sample(4000, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        score = float(model.log_prob(x).mean())
    assert score > -data.entropy() - 0.6
    assert isinstance(model, RealNVP)
    assert mass_on_grid(model, half_width=12.0, n=1200) == pytest.approx(1.0, abs=1e-3)
