"""Rational-quadratic splines and NSF against autograd, an interpolant in plain numbers, rules."""

from __future__ import annotations

import bisect
import math

import pytest
import torch
from torch import Tensor

from engine.bijections.packed_flow import PackedFlow
from engine.bijections.spline import LEAST_SHARE, LEAST_SLOPE, bin_of
from engine.models.flows.nsf import NSF
from engine.registry import build_model
from tests.engine.affine_flows import log_det_by_autograd, some

DOUBLE = torch.float64
K, BOUND = 5, 3.0
LAYERS = pytest.mark.parametrize("layer", ["autoregressive", "coupling"])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def splined(raw: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    y, log_slope = bin_of(raw, x, BOUND, inverse=False).forward(x)
    return y, log_slope


def by_the_paper(raw: Tensor, x: float) -> float:
    """Durkan et al., appendix A.1, for one value and one spline, in plain numbers."""
    width, height, slope = raw[:K], raw[K : 2 * K], raw[2 * K :]

    def knots(free: Tensor) -> list[float]:
        e = [math.exp(v) for v in free.tolist()]
        shares = [LEAST_SHARE + (1 - K * LEAST_SHARE) * v / sum(e) for v in e]
        return [-BOUND + 2 * BOUND * sum(shares[:k]) for k in range(K + 1)]

    xs, ys = knots(width), knots(height)
    start = math.log(math.expm1(1.0 - LEAST_SLOPE))
    inner = [LEAST_SLOPE + math.log1p(math.exp(v + start)) for v in slope.tolist()]
    d = [1.0, *inner, 1.0]
    k = min(max(bisect.bisect_right(xs, x) - 1, 0), K - 1)
    xi = (x - xs[k]) / (xs[k + 1] - xs[k])
    s = (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])
    above = s * xi**2 + d[k] * xi * (1 - xi)
    below = s + (d[k + 1] + d[k] - 2 * s) * xi * (1 - xi)
    return ys[k] + (ys[k + 1] - ys[k]) * above / below


def test_the_spline_is_the_papers() -> None:
    raw = 1.5 * noise(3 * K - 1, 2, 1).expand(-1, -1, 50)
    x = torch.linspace(-BOUND, BOUND, 50, dtype=DOUBLE).expand(2, 50)
    y, _ = splined(raw, x)
    for n in range(2):
        wanted = [by_the_paper(raw[:, n, 0], float(v)) for v in x[n]]
        assert y[n].tolist() == pytest.approx(wanted, abs=1e-12)
    assert bool((y.diff(dim=1) > 0.0).all())
    assert y[:, [0, -1]].flatten().tolist() == pytest.approx([-BOUND, BOUND] * 2, abs=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0, 6.0])
def test_the_spline_inverts_and_its_slope_is_autograds(scale: float) -> None:
    raw = scale * noise(3 * K - 1, 3, 40)
    x = (torch.rand(3, 40, dtype=DOUBLE, generator=torch.Generator()) * 2 - 1) * BOUND
    x.requires_grad_()
    y, log_slope = splined(raw, x)
    (slope,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert torch.allclose(slope.log(), log_slope, atol=1e-8)
    back, same = bin_of(raw, y.detach(), BOUND, inverse=True).inverse(y.detach())
    assert torch.allclose(back, x, atol=1e-8)
    assert torch.allclose(same, log_slope, atol=1e-6)
    if scale == 0.0:
        assert torch.allclose(y, x, atol=1e-12)


def test_the_slope_does_not_jump_at_a_knot_and_is_one_at_the_bound() -> None:
    raw = 1.5 * noise(3 * K - 1, 1, 1, seed=2)
    ends = raw[:K, 0, 0].softmax(0) * (1 - K * LEAST_SHARE) + LEAST_SHARE
    knots = 2 * BOUND * ends.cumsum(0)[:-1] - BOUND
    for side in (1e-9, -1e-9):
        slopes = [splined(raw, (k + side).view(1, 1))[1].item() for k in knots]
        if side > 0:
            after = slopes
    assert after == pytest.approx(slopes, abs=1e-6)
    at_ends = splined(raw.expand(-1, -1, 2), torch.tensor([[-BOUND, BOUND]], dtype=DOUBLE))[1]
    assert at_ends.flatten().tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


def rough(layer: str, shape: tuple[int, ...]) -> PackedFlow:
    model = build_model(
        "nsf",
        event_shape=shape,
        seed=3,
        n_layers=3,
        hidden_features=(12, 12),
        layer=layer,
        bound=2.0,
    )
    assert isinstance(model, PackedFlow)
    with torch.no_grad():
        model.theta.mul_(1.2)
    model.double().prepare(some(shape, 64), generator=torch.Generator())
    return model


@LAYERS
@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 2, 2)])
def test_log_prob_is_base_plus_autograds_log_det(layer: str, shape: tuple[int, ...]) -> None:
    model, x = rough(layer, shape), some(shape, n=12)
    path = model.path(x)
    log_det = log_det_by_autograd(model, x)  # type: ignore[arg-type]
    assert torch.allclose(path.log_dets.sum(0), log_det, atol=1e-8)
    assert torch.allclose(
        model.log_prob(x), model.base().log_prob(path.states[-1]) + log_det, atol=1e-8
    )
    back = model.path(path.states[-1], inverse=True)
    assert torch.allclose(back.states, path.states, atol=1e-8)
    assert torch.allclose(back.log_dets, path.log_dets, atol=1e-7)
    with torch.no_grad():
        model.theta.mul_(0.8)  # where curves are nearly flat, single precision loses its digits
    single = model.float().path(x.float())
    again = model.path(single.states[-1], inverse=True)
    assert torch.allclose(again.states[1:], single.states[1:], atol=2e-4)


@LAYERS
@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_gradient_by_hand_is_autograds(layer: str, size: int) -> None:
    model, x = rough(layer, (size,)), some((size,), n=40)
    x[0] += 9.0  # beyond the bound
    nll, gradient = model.nll_and_gradient(x)
    wanted = -model.log_prob(x).mean()
    (by_autograd,) = torch.autograd.grad(wanted, model.theta)
    assert nll.item() == pytest.approx(wanted.item(), abs=1e-10)
    assert float(by_autograd.norm()) > 0.1
    assert torch.allclose(gradient, by_autograd, atol=1e-10)


@LAYERS
def test_beyond_the_bound_a_coordinate_passes_unchanged(layer: str) -> None:
    model = rough(layer, (2,))
    far = torch.tensor([[30.0, -30.0], [-9.0, 9.0]], dtype=DOUBLE)
    for one in model.trained_layers():
        y, log_det = one.forward(far)
        assert torch.equal(y, far)
        assert torch.equal(log_det, torch.zeros(2, dtype=DOUBLE))


def test_autoregressive_layers_are_triangular_and_counted() -> None:
    model = rough("autoregressive", (4,))
    assert isinstance(model, NSF)
    x = some((4,)) - 5.0
    for order, layer in zip(model.orders, model.trained_layers(), strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, layer=layer: layer.forward(v[None])[0][0], 0.3 * x[0]
        )[order][:, order]
        assert torch.equal(jacobian, jacobian.tril())
    assert model.n_passes[1:] == ((1, 4),) * 3
    assert rough("coupling", (4,)).n_passes[1:] == ((1, 1),) * 3


def test_it_has_the_parameters_of_its_networks() -> None:
    model = build_model("nsf", event_shape=(2,))
    per_layer = 3 * 64 + 65 * 64 + 65 * 2 * (3 * 8 - 1)
    assert model.n_parameters == 5 * per_layer == 36_710
