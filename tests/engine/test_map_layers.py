"""Layers of maps and the preprocessing in front of them, against autograd and dense matrices."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from engine.bijections.actnorm import ActNorm
from engine.bijections.map_coupling import ChannelCoupling, CheckerboardCoupling
from engine.bijections.maps import MapBijection, Shape, checkerboard, squeeze, squeeze_factors
from engine.bijections.pointwise_conv import PointwiseConv
from engine.bijections.preprocessing import Dequantise, Logit, to_levels
from engine.bijections.stacking import Stack
from engine.nets.coupling_networks import plain_network, residual_network

SHAPE = (3, 2, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def stirred(layer: nn.Module) -> nn.Module:
    """The layer in float64, its weights moved away from where they begin."""
    layer.double().requires_grad_(False)
    generator = seeded(2)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return layer


def networks(n_in: int, n_out: int) -> nn.Module:
    return plain_network(n_in, (5, 4), n_out, 3)


def residual(n_in: int, n_out: int) -> nn.Module:
    return residual_network(n_in, (5, 4), n_out, 3)


def layers() -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return {
            "actnorm": ActNorm(3),
            "convolution": PointwiseConv(3),
            "channels": ChannelCoupling(3, networks),
            "channels, swapped": ChannelCoupling(3, residual, swapped=True),
            "checkerboard": CheckerboardCoupling(SHAPE, residual),
            "checkerboard, other": CheckerboardCoupling(SHAPE, networks, parity=1),
        }


NAMES = tuple(layers())


def made(name: str) -> MapBijection:
    layer: MapBijection = stirred(layers()[name])  # type: ignore[assignment]
    return layer


def dense_log_det(layer: MapBijection, row: Tensor) -> Tensor:
    """log abs det of ∂y/∂x at one event (C, H, W), by autograd."""
    size = row.numel()
    matrix = torch.autograd.functional.jacobian(lambda h: layer.forward(h[None])[0][0], row)
    return torch.linalg.slogdet(matrix.reshape(size, size)).logabsdet


@pytest.mark.parametrize("name", NAMES)
def test_log_det_is_that_of_the_dense_jacobian(name: str) -> None:
    layer, h = made(name), noise(3, *SHAPE)
    wanted = torch.stack([dense_log_det(layer, row) for row in h])
    assert float(wanted.abs().min()) > 1e-3, "the test wants a layer that changes volume"
    assert torch.allclose(layer.forward(h)[1], wanted, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "allowed"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_way_back_leads_back(name: str, kind: torch.dtype, allowed: float) -> None:
    layer, h = made(name), noise(3, *SHAPE).to(kind)
    layer.to(kind)  # type: ignore[attr-defined]
    y, log_det = layer.forward(h)
    back, again = layer.inverse(y)
    assert float((y - h).detach().abs().max()) > 0.1
    assert float((back - h).detach().abs().max()) < allowed
    assert torch.allclose(log_det, again, atol=10.0 * allowed)


def test_convolution_has_the_log_det_of_its_matrix_at_every_pixel() -> None:
    layer = made("convolution")
    assert isinstance(layer, PointwiseConv)
    wanted = 2 * 4 * torch.linalg.slogdet(layer.matrix).logabsdet
    assert torch.allclose(layer.forward(noise(2, *SHAPE))[1], wanted.expand(2), atol=1e-12)


def test_convolution_begins_as_a_rotation() -> None:
    layer = layers()["convolution"].requires_grad_(False)
    assert isinstance(layer, PointwiseConv)
    square = layer.matrix @ layer.matrix.t()
    assert torch.allclose(square, torch.eye(3), atol=1e-6)
    assert float(layer.log_size.sum()) == pytest.approx(0.0, abs=1e-6)
    assert float((layer.matrix - torch.eye(3)).abs().max()) > 0.1


def test_actnorm_makes_its_batch_standard() -> None:
    layer = ActNorm(3).double()
    h = noise(64, *SHAPE) * torch.tensor([0.01, 2.0, 30.0])[:, None, None] + 5.0
    layer.initialise(h)
    y = layer.forward(h)[0]
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-10)
    variance = y.var((0, 2, 3), correction=0)
    assert torch.allclose(variance, torch.ones(3, dtype=torch.float64), atol=1e-10)


def test_actnorm_leaves_a_constant_channel_unscaled() -> None:
    layer = ActNorm(2)
    layer.initialise(torch.full((4, 2, 2, 2), 7.0))
    assert layer.mean.tolist() == [7.0, 7.0]
    assert layer.log_scale.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", [n for n in NAMES if "ch" in n])
def test_a_coupling_begins_as_the_identity(name: str) -> None:
    layer: MapBijection = layers()[name].double()  # type: ignore[assignment]
    h = noise(2, *SHAPE)
    y, log_det = layer.forward(h)
    assert torch.equal(y, h)
    assert torch.equal(log_det, torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("name", [n for n in NAMES if "ch" in n])
def test_what_leads_stays(name: str) -> None:
    layer, h = made(name), noise(2, *SHAPE)
    moved = (layer.forward(h)[0] != h).all(0)
    rows = {
        "channels": torch.tensor([False, True, True])[:, None, None].expand(SHAPE),
        "channels, swapped": torch.tensor([True, True, False])[:, None, None].expand(SHAPE),
        "checkerboard": checkerboard(SHAPE, 1).bool().expand(SHAPE),
        "checkerboard, other": checkerboard(SHAPE, 0).bool().expand(SHAPE),
    }
    assert torch.equal(moved, rows[name])


def test_a_single_channel_is_scaled_by_constants() -> None:
    layer = stirred(ChannelCoupling(1, networks))
    h = noise(3, 1, 1, 1)
    y, log_det = layer(h)
    assert torch.allclose((y[0] - y[1]) / (h[0] - h[1]), log_det[0].exp())
    assert float((log_det - log_det[0]).abs().max()) == 0.0


# --- squeezing --------------------------------------------------------------------------------


def test_squeezing_gathers_blocks() -> None:
    picture = torch.arange(8.0).reshape(1, 1, 2, 4)
    assert squeeze(picture, (2, 2))[0, :, 0].tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert torch.equal(squeeze(picture, (2, 2)), nn.PixelUnshuffle(2)(picture))


@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((1, 28, 28), (2, 2)),
        ((4, 7, 7), (1, 1)),
        ((1, 7, 7), (7, 7)),
        ((1, 4, 3), (2, 1)),
        ((2, 1, 1), (1, 1)),
        ((1, 1, 1), (1, 1)),
    ],
)
def test_pairs_are_taken_along_even_sides(shape: Shape, factors: tuple[int, int]) -> None:
    assert squeeze_factors(shape) == factors


def test_a_stack_on_maps_is_its_layers_on_flat_events() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stack = Stack((1, 4, 4))
        stack.squeeze()
        stack.add(ChannelCoupling(4, networks))
        stack.factor_out(networks, "prior")
        stack.squeeze()
        stack.add(PointwiseConv(8))
    stirred(stack)
    flat = noise(3, 16)
    x, total = flat, torch.zeros(3, dtype=torch.float64)
    for layer in stack.on_flat():
        x, log_det = layer.forward(x)
        total = total + log_det
    log_det, half_square = stack(flat.reshape(3, 1, 4, 4))
    assert torch.allclose(log_det, total, atol=1e-12)
    assert torch.allclose(half_square, 0.5 * x.square().sum(1), atol=1e-12)
    # Half of the values are left alone by the second scale, where they lie in the picture.
    inner = stack.on_flat()[-1]
    still = (inner.forward(flat)[0] == flat).all(0).reshape(4, 4)
    assert still.tolist() == [[False, False] * 2, [True, True] * 2] * 2


# --- preprocessing ----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_logit_has_autograds_log_det(alpha: float) -> None:
    layer = Logit(17, alpha)
    x = torch.cat([17.0 * torch.rand(5, 3, generator=seeded(), dtype=torch.float64),
                   torch.tensor([[0.0, 17.0, 8.5]], dtype=torch.float64)])  # fmt: skip
    y, log_det = layer.forward(x)
    wanted = [
        torch.linalg.slogdet(
            torch.autograd.functional.jacobian(lambda v: layer.forward(v[None])[0][0], row)
        ).logabsdet
        for row in x
    ]
    assert torch.allclose(log_det, torch.stack(wanted), atol=1e-9)
    share = alpha + (1.0 - 2.0 * alpha) * x / 17.0
    assert torch.allclose(y, torch.logit(share), atol=1e-8)
    back, again = layer.inverse(y)
    assert torch.allclose(back, x, atol=1e-9)
    assert torch.allclose(again, log_det, atol=1e-8)


def test_logit_keeps_its_ends_in_single_precision() -> None:
    x = torch.tensor([[0.0, 255.9999]])
    y, log_det = Logit(256, 1e-6).forward(x)
    wanted, exact = Logit(256, 1e-6).forward(x.double())
    assert torch.allclose(y.double(), wanted, rtol=1e-5)
    assert torch.allclose(log_det.double(), exact, rtol=1e-5)


def test_noise_stays_within_the_cell_and_is_taken_away() -> None:
    levels = torch.tensor([[0.0, 3.0, 16.0]])
    u = torch.rand(1, 3, generator=seeded())
    y, log_det = Dequantise(u).forward(levels)
    assert torch.equal(to_levels(y, 17), levels)
    assert torch.allclose(Dequantise(u).inverse(y)[0], levels, atol=1e-6)
    assert log_det.tolist() == [0.0]
    assert to_levels(torch.tensor([-0.3, 17.2]), 17).tolist() == [0.0, 16.0]
    assert math.floor(float(Dequantise(0.5).forward(levels)[0][0, 1])) == 3
