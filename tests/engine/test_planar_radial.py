"""Planar and radial maps and flows against autograd, scipy's root search and their constraint."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy import optimize
from torch import Tensor

from engine.bijections.base import Bijection
from engine.bijections.planar import Planar, PlanarLayer
from engine.bijections.radial import Radial, alpha_and_total
from engine.estimators.quadrature import kl_divergence
from engine.models.flows.planar import PlanarFlow
from engine.registry import build_dataset, build_model
from engine.target import Target
from engine.training import fit
from engine.variational import free_energy
from tests.engine.affine_flows import some

DOUBLE = torch.float64
NAMES = pytest.mark.parametrize("name", ["planar", "radial"])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def planar(size: int, scale: float, seed: int = 0) -> PlanarLayer:
    numbers = scale * noise(2 * size + 1, seed=seed)
    one = Planar(numbers[:size], numbers[size:-1], numbers[-1])
    return PlanarLayer(one.w, one.direction, one.room, one.b, "planar")


def radial(size: int, scale: float, seed: int = 0) -> Radial:
    numbers = scale * noise(size + 2, seed=seed)
    return Radial(numbers[:size], *alpha_and_total(numbers[-2], numbers[-1]))


MAPS = pytest.mark.parametrize("make", [planar, radial])


@MAPS
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_maps_invert_and_their_log_dets_are_autograds(
    make: Callable[..., Bijection], size: int, scale: float
) -> None:
    z = 2.0 * noise(6, size, seed=9)
    for seed in range(3):
        layer = make(size, scale, seed)
        y, log_det = layer.forward(z)
        back, same = layer.inverse(y)
        assert torch.allclose(back, z, atol=1e-8)
        assert torch.allclose(same, log_det, atol=1e-6)
        for row in range(len(z)):
            jacobian = torch.autograd.functional.jacobian(
                lambda v, layer=layer: layer.forward(v[None])[0][0], z[row]
            )
            sign, wanted = torch.linalg.slogdet(jacobian)
            assert float(sign) == 1.0
            assert float(log_det[row]) == pytest.approx(float(wanted), abs=1e-8)


@MAPS
def test_the_inverses_gradient_is_the_inverse_functions(make: Callable[..., Bijection]) -> None:
    layer, z = make(2, 1.2, 4), noise(5, 2, seed=3)
    y = layer.forward(z)[0]
    for row in range(len(z)):
        there = torch.autograd.functional.jacobian(lambda v: layer.forward(v[None])[0][0], z[row])
        back = torch.autograd.functional.jacobian(lambda v: layer.inverse(v[None])[0][0], y[row])
        assert torch.allclose(back @ there, torch.eye(2, dtype=DOUBLE), atol=1e-9)


@pytest.mark.parametrize("name", ["planar", "radial"])
def test_the_gradient_by_weights_passes_through_the_search(name: str) -> None:
    model = build_model(name, event_shape=(2,), n_layers=3, seed=1).double()
    x = some(n=8) - 5.0
    theta = model.theta.detach().clone()

    def nll(values: Tensor) -> float:
        with torch.no_grad():
            model.theta.copy_(values)
            return -float(model.log_prob(x).mean())

    _, gradient = model.nll_and_gradient(x)
    for index in range(0, len(theta), 2):
        move = torch.zeros_like(theta)
        move[index] = 1e-5
        slope = (nll(theta + move) - nll(theta - move)) / 2e-5
        assert float(gradient[index]) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
def test_the_constraints_hold_for_any_parameters(scale: float) -> None:
    w, u, b = (scale * noise(500, n, seed=n) for n in (3, 4, 1))
    maps = Planar(w, u[:, :3], b[:, 0])
    along = (maps.w * maps.direction).sum(-1)
    assert float(along.min()) >= -1.0 - 1e-9
    assert bool((maps.room >= 0.0).all())
    assert torch.allclose(1.0 + along, maps.room, atol=1e-8 * scale**2)
    assert bool(((w * u[:, :3]).sum(-1) < -1.0).any()), "the constraint had nothing to do"
    for seed in range(100):
        one = radial(2, scale, seed)
        assert float(one.strength) >= -float(one.alpha)
        assert float(one.total) >= 0.0


def test_roots_are_those_of_a_bracketed_search_in_both_precisions() -> None:
    place = torch.cat([torch.linspace(-6.0, 6.0, 41, dtype=DOUBLE), torch.tensor([1e-6, 300.0])])
    for along in (-1.0 + 1e-6, -0.9, -0.2, 0.0, 3.0, 60.0):
        room = torch.tensor(1.0 + along, dtype=DOUBLE)
        axis = torch.ones(1, dtype=DOUBLE)
        layer = PlanarLayer(axis, along * axis, room, torch.zeros((), dtype=DOUBLE), "")
        given = layer.inverse(place[:, None])[0][:, 0]
        wanted = [
            optimize.brentq(
                lambda t, y=float(y), c=along: t + c * math.tanh(t) - y,
                float(y) - abs(along) - 1.0,
                float(y) + abs(along) + 1.0,
                xtol=1e-15,
            )
            for y in place
        ]
        assert given.tolist() == pytest.approx(wanted, abs=1e-4 if along < -0.99 else 1e-9)
        single = PlanarLayer(
            layer.w.float(), layer.direction.float(), room.float(), layer.b.float(), ""
        )
        back = single.forward(single.inverse(place.float()[:, None])[0])[0][:, 0]
        assert torch.allclose(back, place.float(), rtol=1e-5, atol=1e-5)


@NAMES
def test_zero_strength_is_the_identity(name: str) -> None:
    z = noise(4, 2)
    zeros = torch.zeros(2, dtype=DOUBLE)
    one = Planar(noise(2), zeros, noise(1)[0])
    layers = {
        "planar": PlanarLayer(one.w, one.direction, one.room, one.b, ""),
        "radial": Radial(noise(2), *alpha_and_total(noise(1)[0], zeros[0])),
    }
    y, log_det = layers[name].forward(z)
    assert torch.allclose(y, z, atol=1e-12)
    assert torch.allclose(log_det, torch.zeros(4, dtype=DOUBLE), atol=1e-12)


@NAMES
def test_the_free_energys_log_q_is_the_density_of_the_draws(name: str) -> None:
    target = build_dataset("rezende_mohamed", energy="U2", anneal_steps=0)
    assert isinstance(target, Target)
    model = build_model(name, event_shape=(2,), n_layers=8, seed=2).double()
    losses = free_energy(model, target, 200, 1.0, torch.Generator().manual_seed(4))
    x = model.sample(200, generator=torch.Generator().manual_seed(4))
    assert losses["negative_entropy"].item() == pytest.approx(
        model.log_prob(x).mean().item(), abs=1e-8
    )
    losses["total"].backward()
    assert float(model.theta.grad.norm()) > 0.0


def test_planar_maps_are_told_from_the_base_on() -> None:
    model = build_model("planar", event_shape=(2,), n_layers=3)
    assert isinstance(model, PlanarFlow)
    assert [layer.name for layer in model.trained_layers()] == ["planar 3", "planar 2", "planar 1"]
    assert model.maps().w.shape == (3, 2)


@pytest.mark.slow
def test_more_maps_come_closer_to_an_energy() -> None:
    target = build_dataset("rezende_mohamed", energy="U1", anneal_steps=150)
    found = {}
    for name, n_layers in (("planar", 2), ("planar", 16), ("radial", 16)):
        model = build_model(name, event_shape=(2,), n_layers=n_layers)
        fit(model, target, steps=450, batch_size=128, schedule="cosine", device="cpu")
        found[name, n_layers] = kl_divergence(target, model, grid=128).value
    assert found["planar", 16] < 0.5 * found["planar", 2]
    assert found["radial", 16] < 0.7 * found["planar", 2]
