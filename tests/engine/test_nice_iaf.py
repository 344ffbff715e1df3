"""NICE and IAF against autograd, closed forms, RealNVP, MAF and counted calls."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from engine.bijections.base import n_passes
from engine.bijections.bases import Factorised, Logistic, StandardNormal
from engine.bijections.conditioner import unpack
from engine.bijections.packed_flow import PackedFlow
from engine.bijections.wiring import WiredLayer
from engine.model import GenerativeModel, TrainState
from engine.models.flows.iaf import IAF
from engine.models.flows.maf import MAF
from engine.models.flows.nice import NICE
from engine.models.flows.realnvp import RealNVP
from engine.registry import build_model
from tests.engine.affine_flows import log_det_by_autograd, some

SHAPES = pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 3, 2)])
NAMES = pytest.mark.parametrize("name", ["nice", "iaf"])
DOUBLE = torch.float64


def rough(name: str, shape: tuple[int, ...] = (2,), **config: object) -> PackedFlow:
    settings = {"n_layers": 3, "hidden_features": (12, 12), **config}
    model = build_model(name, event_shape=shape, seed=3, **settings)
    assert isinstance(model, PackedFlow)
    with torch.no_grad():
        model.theta.mul_(1.3)
    model.double().prepare(some(shape, 64), generator=torch.Generator())
    return model


@NAMES
@SHAPES
def test_log_prob_is_base_plus_autograds_log_det(name: str, shape: tuple[int, ...]) -> None:
    model, x = rough(name, shape), some(shape)
    path = model.path(x)
    log_det = log_det_by_autograd(model, x)  # type: ignore[arg-type]
    assert torch.allclose(path.log_dets.sum(0), log_det, atol=1e-9)
    log_p = model.base().log_prob(path.states[-1]) + log_det
    assert torch.allclose(model.log_prob(x), log_p, atol=1e-9)
    back = model.path(path.states[-1], inverse=True)
    assert torch.allclose(back.states, path.states, atol=1e-9)
    assert torch.allclose(back.log_dets, path.log_dets, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_nices_couplings_keep_volume_exactly_and_the_scale_is_all(size: int) -> None:
    model = rough("nice", (size,))
    assert isinstance(model, NICE)
    path = model.path(some((size,)))
    assert bool((path.log_dets[1:-1] == 0.0).all())
    assert path.names[1:-1] == tuple(f"coupling {i + 1}" for i in range(3))
    assert torch.allclose(path.log_dets[-1], model.log_scale.sum().expand(6), atol=1e-14)


def test_realnvp_without_scales_is_nice() -> None:
    nice = rough("nice", (3,))
    real = build_model("realnvp", event_shape=(3,), n_layers=3, hidden_features=(12, 12))
    assert isinstance(real, RealNVP)
    real.double().prepare(some((3,), 64), generator=torch.Generator())
    with torch.no_grad():
        theirs = unpack(real.theta, [wiring.shapes for wiring in real.wirings])
        for mine, other in zip(nice.matrices()[:-1], theirs, strict=True):
            for index, matrix in enumerate(mine[:-1]):
                other[index].copy_(matrix)
            n = mine[-1].shape[1]
            other[-1][:, :n] = 0.0  # the log-scales
            other[-1][:, n:] = mine[-1]
    x = some((3,))
    assert torch.allclose(real.path(x).states, nice.path(x).states[:-1], atol=1e-12)
    assert bool((real.path(x).log_dets[1:] == 0.0).all())


def test_nices_gradient_by_hand_is_autograds() -> None:
    model, x = rough("nice", (3,)), some((3,), n=17)
    nll, gradient = model.nll_and_gradient(x)
    wanted = -model.log_prob(x).mean()
    (by_autograd,) = torch.autograd.grad(wanted, model.theta)
    assert float(nll) == pytest.approx(float(wanted.detach()), abs=1e-12)
    assert torch.allclose(gradient, by_autograd, atol=1e-12)
    assert float(by_autograd[-3:].abs().min()) > 1e-3


@NAMES
def test_training_takes_the_step_that_autograd_would(name: str) -> None:
    mine = rough(name, max_gradient_norm=None)
    plain = copy.deepcopy(mine)
    for model, step in ((mine, mine.train_step), (plain, _plain_step(plain))):
        state = TrainState(model.optimisers(1e-2))
        for _ in range(3):
            step(some(n=32), state, torch.Generator())
    assert torch.allclose(mine.theta, plain.theta, atol=1e-9)


def _plain_step(model: PackedFlow) -> Callable[..., dict[str, Tensor]]:
    step: Callable[..., dict[str, Tensor]] = GenerativeModel.train_step.__get__(model)
    return step


def test_a_scale_alone_fits_a_logistic_by_its_likelihood() -> None:
    model = build_model("nice", event_shape=(1,), n_layers=1, hidden_features=(1,)).double()
    assert isinstance(model, NICE)
    with torch.no_grad():
        model.theta.zero_()
        model.log_scale.fill_(math.log(2.0))
    x = torch.linspace(-3, 3, 7, dtype=DOUBLE)[:, None]
    wanted = stats.logistic(scale=0.5).logpdf(x[:, 0].numpy())
    assert model.log_prob(x).tolist() == pytest.approx(wanted.tolist(), abs=1e-12)


def test_iaf_is_maf_with_density_and_sampling_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    outputs = WiredLayer.outputs

    def counted(layer: WiredLayer, x: Tensor) -> Tensor:
        calls.append(layer.name)
        return outputs(layer, x)

    monkeypatch.setattr(WiredLayer, "outputs", counted)
    for name, wanted in (("maf", (1, 4)), ("iaf", (4, 1))):
        model = rough(name, (4,))
        found = []
        for run in (
            lambda m=model: m.log_prob(some((4,))),
            lambda m=model: m.sample(5, generator=torch.Generator()),
        ):
            calls.clear()
            run()
            found.append(len(calls))
        assert found == [3 * n for n in wanted]
        assert model.n_passes[1:] == (wanted,) * 3
        assert [n_passes(layer) for layer in model.layers()] == list(model.n_passes)


def test_iafs_layers_are_triangular_in_their_order_and_undo_mafs() -> None:
    iaf, maf = rough("iaf", (4,)), rough("maf", (4,))
    assert isinstance(iaf, IAF)
    assert isinstance(maf, MAF)
    with torch.no_grad():
        maf.theta.copy_(iaf.theta)
    x = some((4,)) - 5.0
    pairs = zip(iaf.trained_layers(), maf.trained_layers(), iaf.orders, strict=True)
    for mine, theirs, order in pairs:
        z, log_det = mine.forward(x)
        back, other = theirs.forward(z)
        assert torch.allclose(back, x, atol=1e-9)
        assert torch.allclose(log_det, -other, atol=1e-9)
        jacobian = torch.autograd.functional.jacobian(
            lambda v, mine=mine: mine.forward(v[None])[0][0], x[0]
        )[order][:, order]
        assert torch.allclose(jacobian, jacobian.tril(), atol=1e-12)
        assert float(jacobian.diagonal().log().sum()) == pytest.approx(log_det[0].item(), abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "law"), [(StandardNormal, stats.norm()), (Logistic, stats.logistic())]
)
def test_bases_have_scipys_density_and_draws(kind: type[Factorised], law: object) -> None:
    base = kind(torch.zeros(2, dtype=DOUBLE))
    z = torch.linspace(-40, 40, 18, dtype=DOUBLE).view(3, 3, 2)
    wanted = torch.as_tensor(law.logpdf(z.numpy())).sum(-1)  # type: ignore[attr-defined]
    assert torch.allclose(base.log_prob(z), wanted, atol=1e-10)
    draws = base.draw(torch.Generator().manual_seed(0), (4000,))
    assert draws.shape == (4000, 2)
    p = stats.kstest(draws.flatten().numpy(), law.cdf).pvalue  # type: ignore[attr-defined]
    assert p > 0.01
