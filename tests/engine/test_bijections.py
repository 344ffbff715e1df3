"""The organs of the affine flows, each against autograd, a closed form or a rule."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from engine.bijections.affine import (
    LOG_SCALE_BOUND,
    bounded,
    scale_and_shift,
    unscale_and_unshift,
)
from engine.bijections.affine_layer import AffineLayer
from engine.bijections.affine_nll import AffineNLL
from engine.bijections.autoregressive import autoregressive
from engine.bijections.base import walk
from engine.bijections.conditioner import (
    autoregressive_masks,
    conditioner,
    n_values,
    network_shapes,
    unpack,
)
from engine.bijections.coupling import coupling
from engine.bijections.standardise import Standardise
from engine.bijections.wiring import Wiring

DOUBLE = torch.float64


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def stack(kind: str, size: int, n_layers: int = 3, seed: int = 0) -> tuple[list[Wiring], Tensor]:
    """Wirings and a rough θ (masked where the layers are autoregressive)."""
    make = {"coupling": coupling, "autoregressive": autoregressive}[kind]
    wirings = [make(index, size, (9, 8)) for index in range(n_layers)]
    theta = 0.5 * noise(n_values([w.shapes for w in wirings]), seed=seed)
    return wirings, theta * mask_of(kind, size, n_layers)


def mask_of(kind: str, size: int, n_layers: int = 3) -> Tensor:
    if kind == "coupling":
        return torch.ones((), dtype=DOUBLE)
    natural = torch.arange(size)
    orders = [natural.flip(0) if index % 2 else natural for index in range(n_layers)]
    masks = [m for order in orders for m in autoregressive_masks(order, (9, 8))]
    return torch.cat([mask.flatten() for mask in masks]).to(DOUBLE)


def bind(wirings: list[Wiring], theta: Tensor) -> list[AffineLayer]:
    matrices = unpack(theta, [wiring.shapes for wiring in wirings])
    return [AffineLayer(*pair) for pair in zip(wirings, matrices, strict=True)]


KINDS = pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
SIZES = pytest.mark.parametrize("size", [1, 2, 3, 6])


def test_the_log_scale_is_bounded_and_the_identity_near_zero() -> None:
    raw = torch.linspace(-1e6, 1e6, 1001, dtype=DOUBLE)
    assert float(bounded(raw).abs().max()) < LOG_SCALE_BOUND
    assert bool((bounded(raw).diff() > 0).all())
    small = torch.tensor([-1e-6, 0.0, 1e-6], dtype=DOUBLE)
    assert torch.allclose(bounded(small), small, atol=1e-12)


def test_the_affine_map_is_undone_by_its_inverse() -> None:
    x, log_scale, shift = noise(3, 5, 7)
    y = scale_and_shift(x, log_scale, shift)
    assert torch.allclose(y, x * log_scale.exp() + shift, atol=1e-15)
    assert torch.allclose(unscale_and_unshift(y, log_scale, shift), x, atol=1e-14)


def test_standardise_is_told_as_forward_in_both_directions() -> None:
    layer = Standardise(noise(3), noise(3, seed=1).exp())
    x = noise(5, 3, seed=2)
    y, log_det = layer.forward(x)
    back, same = layer.inverse(y)
    assert torch.allclose(back, x, atol=1e-14)
    assert torch.equal(log_det, same)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer.forward(v[None])[0][0], x[0])
    assert torch.allclose(torch.linalg.slogdet(jacobian)[1], log_det[0], atol=1e-12)


@KINDS
@SIZES
def test_each_layer_inverts_and_its_log_det_is_that_of_its_jacobian(kind: str, size: int) -> None:
    x = noise(4, size, seed=3)
    for layer in bind(*stack(kind, size)):
        y, log_det = layer.forward(x)
        back, same = layer.inverse(y)
        assert torch.allclose(back, x, atol=1e-11)
        assert torch.allclose(log_det, same, atol=1e-11)
        for row in range(len(x)):
            jacobian = torch.autograd.functional.jacobian(
                lambda v, layer=layer: layer.forward(v[None])[0][0], x[row]
            )
            assert torch.allclose(torch.linalg.slogdet(jacobian)[1], log_det[row], atol=1e-10)
        x = y


@pytest.mark.parametrize("size", [2, 3, 6])
def test_couplings_move_one_half_and_then_the_other(size: int) -> None:
    x = noise(4, size, seed=3)
    moved = [
        (layer.forward(x)[0] != x).all(0) for layer in bind(*stack("coupling", size, n_layers=2))
    ]
    assert torch.equal(moved[0], ~moved[1])
    assert moved[0].tolist() == [index % 2 == 1 for index in range(size)]


@pytest.mark.parametrize("size", [2, 3, 6])
def test_autoregressive_jacobians_are_triangular_in_their_order(size: int) -> None:
    wirings, theta = stack("autoregressive", size)
    layers = bind(wirings, theta.abs())  # with positive weights and points no ReLU is shut
    below = torch.ones(size, size, dtype=torch.bool).tril()
    for index, layer in enumerate(layers):
        order = torch.arange(size).flip(0) if index % 2 else torch.arange(size)
        depends = torch.zeros(size, size, dtype=torch.bool)
        for point in noise(3, size, seed=5).abs():
            jacobian = torch.autograd.functional.jacobian(
                lambda v, layer=layer: layer.forward(v[None])[0][0], point
            )
            depends |= jacobian[order][:, order] != 0
        assert torch.equal(depends, below)


def test_the_conditioner_is_the_usual_perceptron() -> None:
    shapes = network_shapes(3, (5, 4), 2)
    (matrices,) = unpack(noise(n_values([shapes])), [shapes])
    x = noise(7, 3, seed=1)
    wanted = x
    for index, matrix in enumerate(matrices):
        wanted = torch.nn.functional.linear(wanted, matrix[:-1].t(), matrix[-1])
        wanted = torch.relu(wanted) if index < 2 else wanted
    assert torch.allclose(conditioner(matrices, x.t()).t(), wanted, atol=1e-13)


@KINDS
def test_a_path_is_told_in_the_same_order_both_ways(kind: str) -> None:
    layers = [Standardise(noise(3), noise(3, seed=1).exp()), *bind(*stack(kind, 3))]
    there = walk(layers, noise(6, 3, seed=2))
    back = walk(layers, there.states[-1], inverse=True)
    assert torch.allclose(there.states, back.states, atol=1e-10)
    assert torch.allclose(there.log_dets, back.log_dets, atol=1e-10)
    assert there.names == back.names
    assert there.names[0] == "standardise"


@KINDS
@SIZES
def test_the_gradient_by_hand_is_autograds(kind: str, size: int) -> None:
    wirings, theta = stack(kind, size)
    mask = mask_of(kind, size).expand_as(theta).contiguous()
    x = noise(11, size, seed=4)
    by_hand = AffineNLL(wirings, theta, mask, (11, size))
    for _ in range(2):  # the second call meets used buffers
        nll = by_hand(x)
    theta.requires_grad_()
    path = walk(bind(wirings, theta * mask), x)
    normal = torch.distributions.Normal(0.0, 1.0)
    log_p = normal.log_prob(path.states[-1]).sum(1) + path.log_dets.sum(0)
    (gradient,) = torch.autograd.grad(-log_p.mean(), theta)
    assert torch.allclose(nll, -log_p.mean(), atol=1e-12)
    assert torch.allclose(by_hand.gradient, gradient, atol=1e-12)


@KINDS
def test_the_gradient_by_hand_is_that_of_finite_differences(kind: str) -> None:
    wirings, theta = stack(kind, 2, seed=7)
    x, step = noise(8, 2, seed=5), 1e-6
    mask = mask_of(kind, 2).expand_as(theta).contiguous()
    for seed in range(3):
        direction = noise(len(theta), seed=10 + seed)
        move = step * direction
        ahead, behind, here = (
            AffineNLL(wirings, theta + shift, mask, (8, 2)) for shift in (move, -move, 0.0 * move)
        )
        slope = (ahead(x) - behind(x)) / (2.0 * step)
        here(x)
        assert torch.allclose(slope, here.gradient @ direction, rtol=1e-5)


def test_buffers_are_tied_to_one_theta_and_shape() -> None:
    wirings, theta = stack("coupling", 2)
    nll = AffineNLL(wirings, theta, None, (4, 2))
    assert nll.fits(theta, (4, 2))
    assert not nll.fits(theta, (5, 2))
    assert not nll.fits(copy.deepcopy(theta), (4, 2))
    assert not nll.fits(theta.float(), (4, 2))
