"""The lecture's change of variables, and what learns it, against closed forms and scipy."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from engine.bijections.bases import HyperbolicSecant, UnitUniform
from engine.bijections.curve import CURVES, Curve, Line
from engine.laws import check_model
from engine.models.flows.change_of_variables import ChangeOfVariables
from engine.registry import build_dataset, build_model
from engine.training import Trainer, fit
from tests.engine.toys import Table

DOUBLE = torch.float64


def fixed(slope: float, shift: float, **config: object) -> ChangeOfVariables:
    model = build_model(
        "change_of_variables", event_shape=(1,), learn=False, slope=slope, shift=shift, **config
    )
    assert isinstance(model, ChangeOfVariables)
    return model.double()


def density(model: ChangeOfVariables, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model.log_prob(x[:, None]).exp()


def test_the_lectures_example_is_a_half_between_one_and_three() -> None:
    model = fixed(2.0, 1.0, base="uniform")
    x = torch.tensor([0.5, 0.999, 1.001, 2.0, 2.999, 3.001, 9.0], dtype=DOUBLE)
    assert density(model, x).tolist() == pytest.approx([0, 0, 0.5, 0.5, 0.5, 0, 0])
    draws = model.sample(4000, generator=torch.Generator().manual_seed(0))[:, 0]
    assert stats.kstest(draws.numpy(), stats.uniform(1.0, 2.0).cdf).pvalue > 0.01


@pytest.mark.parametrize("slope", [-3.0, -0.5, 0.25, 4.0])
@pytest.mark.parametrize("base", ["normal", "logistic", "uniform"])
def test_a_slope_of_either_sign_divides_by_its_size(base: str, slope: float) -> None:
    model = fixed(slope, 0.75, base=base)
    law = {"normal": stats.norm(), "logistic": stats.logistic(), "uniform": stats.uniform()}[base]
    x = torch.linspace(-5.0, 5.0, 23, dtype=DOUBLE)
    wanted = law.pdf(((x - 0.75) / slope).numpy()) / abs(slope)
    assert density(model, x).tolist() == pytest.approx(wanted.tolist(), abs=1e-12)


@pytest.mark.parametrize("curve", ["sinh", "asinh"])
def test_curves_keep_all_mass_and_equal_shares_of_it(curve: str) -> None:
    model = fixed(-1.5, 0.3, curve=curve)
    edges = model.base().icdf(torch.linspace(0.02, 0.98, 25, dtype=DOUBLE)[:, None])
    ends = model.path(edges, inverse=True).states[0][:, 0].detach()
    assert bool((ends.diff() < 0.0).all()), "a negative slope mirrors"
    for left, right in zip(ends[1:], ends[:-1], strict=True):
        x = torch.linspace(float(left), float(right), 401, dtype=DOUBLE)
        assert float(torch.trapezoid(density(model, x), x)) == pytest.approx(0.04, abs=1e-5)


@pytest.mark.parametrize("layer", [Curve("sinh"), Curve("asinh")])
def test_curves_invert_and_their_log_dets_are_autograds(layer: Curve) -> None:
    x = torch.linspace(-4.0, 4.0, 8, dtype=DOUBLE).view(4, 2).requires_grad_()
    y, log_det = layer.forward(x)
    (slope,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert torch.allclose(slope.log().sum(1), log_det, atol=1e-12)
    back, same = layer.inverse(y)
    assert torch.allclose(back, x, atol=1e-12)
    assert torch.allclose(same, log_det, atol=1e-12)


def test_a_slope_of_zero_is_kept_from_being_one() -> None:
    zero = torch.zeros(1, dtype=DOUBLE)
    y, log_det = Line(zero, zero).forward(torch.ones(1, 1, dtype=DOUBLE))
    assert bool(y.isfinite().all())
    assert log_det.tolist() == pytest.approx([-math.log(1e-12)])


def test_a_normal_is_learned_from_data_in_their_units() -> None:
    data = build_dataset("gaussian_1d", n_samples=500)
    model = build_model("change_of_variables", event_shape=(1,), base="logistic")
    fit(model, data, steps=150, device="cpu", batch_size=500)
    x = data.train[:, 0].double().numpy()
    location, scale = stats.logistic.fit(x)
    best = stats.logistic(location, scale).logpdf(x).mean()
    with torch.no_grad():
        assert float(model.double().log_prob(data.train).mean()) > best - 0.01


def test_a_uniform_base_covers_the_data_and_stays() -> None:
    x = torch.tensor([[1.0], [1.5], [3.0]]).repeat(40, 1)
    model = build_model("change_of_variables", event_shape=(1,), base="uniform").double()
    trainer = Trainer(model, Table(x), device="cpu")
    losses = [trainer.step()["nll"].item() for _ in range(3)]
    assert losses == pytest.approx([math.log(2.0)] * 3, abs=1e-3)
    outside = torch.tensor([[0.9], [3.1]])
    with torch.no_grad():
        assert model.log_prob(outside).tolist() == [-math.inf] * 2


@pytest.mark.parametrize("curve", CURVES)
def test_laws_hold_for_a_density_with_edges(curve: str) -> None:
    results = check_model(fixed(2.0, 1.0, base="uniform", curve=curve), torch.Generator())
    assert [result for result in results if not result.passed] == []
    assert [r.law for r in results if not r.tested] == ["gradient_finite"]


def test_sliders_move_what_is_not_learned() -> None:
    model = fixed(2.0, 1.0)
    trainer = Trainer(model, build_dataset("gaussian_1d", n_samples=50), device="cpu")
    trainer.set_live({"slope": -0.5})
    trainer.step()
    assert model.slope.tolist() == [-0.5]
    assert model.shift.tolist() == [1.0]
    keyframe = trainer.capture()
    trainer.set_live({"slope": 3.0, "shift": 0.0})
    trainer.restore(keyframe)
    assert model.slope.tolist() == [-0.5]
    assert model.config.slope == -0.5


@pytest.mark.parametrize(
    ("kind", "law"), [(HyperbolicSecant, stats.hypsecant()), (UnitUniform, stats.uniform())]
)
def test_bases_are_scipys(kind: type, law: object) -> None:
    base = kind(torch.zeros(1, dtype=DOUBLE))
    z = torch.linspace(-20.0, 20.0, 18, dtype=DOUBLE)[:, None]
    wanted = torch.as_tensor(law.logpdf(z[:, 0].numpy()))  # type: ignore[attr-defined]
    assert torch.allclose(base.log_prob(z), wanted, atol=1e-12)
    u = torch.linspace(0.001, 0.999, 31, dtype=DOUBLE)
    quantiles = torch.as_tensor(law.ppf(u.numpy()))  # type: ignore[attr-defined]
    assert torch.allclose(base.icdf(u), quantiles, atol=1e-9)
