"""EM in half-steps: ELBO + KL = log p, the E-step closes the gap, nothing ever falls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sklearn.mixture
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.estimators.gaussian_em import Gaussians, em_moments, weighted_moments
from engine.estimators.half_steps import HalfSteps, half_steps
from engine.estimators.precision import in_double
from engine.model import GenerativeModel, TrainState
from engine.models.latent.gaussian_mixture import GaussianMixture
from engine.probe import View
from engine.registry import build_dataset, build_model, models, probes
from engine.training import Trainer
from tests.engine.test_laws import DATA, MODELS, kinds_of_data, small
from tests.engine.toys import Table

NAMES = [name for name, kind in MODELS.items() if "half_steps" in kind.card.features]

#: Models whose q cannot be every posterior.
RESTRICTED = {"mean_field_em"}


def data_for(kind: type[GenerativeModel]) -> Dataset:
    return DATA[kinds_of_data(kind)[0]]()


def started(name: str) -> tuple[GenerativeModel, Dataset]:
    """A small model that has only looked at its data."""
    data = data_for(MODELS[name])
    model = small(MODELS[name], data)
    if name == "bernoulli_mixture":
        model.set_live({"smoothing": 0.0})  # with a prior L alone need not climb
    Trainer(model, data, seed=3, device="cpu")
    return model, data


def doubled(name: str) -> tuple[Any, Tensor]:
    model, data = started(name)
    return in_double(model, data.train)


def test_the_cards_name_half_steps_exactly_where_there_are_some() -> None:
    for name, kind in models().items():
        model = build_model(name, event_shape=data_for(kind).event_shape)
        assert ("half_steps" in kind.card.features) is isinstance(model, HalfSteps)


def check_half_steps(model: Any, x: Tensor, n: int = 12, *, exact: bool = True) -> None:
    """What must hold of any E- and M-step; raises where it does not."""
    before: float | None = None
    for bar in half_steps(model, x, n):
        assert bar.kl >= -1e-12
        assert bar.label == "M" or not exact or bar.kl <= 1e-10, "the E-step left a gap"
        assert bar.log_prob == pytest.approx(bar.elbo + bar.kl, abs=1e-10)
        assert before is None or bar.elbo >= before - 1e-9, f"{bar.label} lowered L"
        before = bar.elbo


@pytest.mark.parametrize("name", NAMES)
def test_elbo_and_kl_add_up_and_the_bound_never_falls(name: str) -> None:
    check_half_steps(*doubled(name), exact=name not in RESTRICTED)


@pytest.mark.parametrize("name", NAMES)
def test_the_bars_come_as_asked_and_change_nothing(name: str) -> None:
    model, data = started(name)
    model = model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    view = View(model, data, step=0)
    *partial, last = probes()["em_bars"].ask(view, {"n_half_steps": 6})
    assert last.values["labels"] == ["E", "M"] * 3
    assert last.values["n"] == last.values["n_all"] == len(data.train)
    assert len(partial) == 5
    assert not any(result.final for result in partial)
    arrays = last.numpy()
    assert {len(arrays[key]) for key in ("log_prob", "elbo", "kl")} == {6}
    np.testing.assert_allclose(arrays["log_prob"], arrays["elbo"] + arrays["kl"], atol=1e-9)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    (few, *_) = probes()["em_bars"].ask(view, {"n_half_steps": 1, "n": 50})
    assert few.values["n"] == 50


def test_bars_are_training_ahead() -> None:
    model, data = started("gaussian_mixture")
    (*_, last) = probes()["em_bars"].ask(View(model.eval(), data, 0), {"n_half_steps": 8})
    twin, x = in_double(model, data.train)
    nll = [float(twin.train_step(x, TrainState({}), torch.Generator())["nll"]) for _ in range(4)]
    np.testing.assert_allclose(last.numpy()["log_prob"][::2], -np.array(nll), atol=1e-10)


@pytest.mark.parametrize(
    ("model", "arguments", "sentence"),
    [
        ("gaussian_mixture", {"n_half_steps": 0}, "given 0 half-steps"),
        ("gaussian_mixture", {"n_half_steps": 10_000}, "wanted 1 to 200"),
        ("gaussian_mixture", {"n": 0}, "at least 1 event"),
        ("realnvp", {}, "RealNVP has no E- and M-step"),
        ("vae", {}, "em_bars needs"),
    ],
)
def test_impossible_bars_are_refused(model: str, arguments: dict[str, Any], sentence: str) -> None:
    data = Table(torch.randn(40, 2, generator=torch.Generator().manual_seed(0)))
    view = View(build_model(model, event_shape=(2,)).eval(), data, 0)
    with pytest.raises(ValueError, match=sentence):
        list(probes()["em_bars"].ask(view, arguments))


def test_cancelled_bars_stop() -> None:
    model, data = started("gaussian_mixture")
    view = View(model.eval(), data, 0, cancelled=lambda: True)
    assert list(probes()["em_bars"].ask(view, {})) == []


# --- planted bugs -----------------------------------------------------------------------------


class TooFar(GaussianMixture):
    """Its M-step moves the means too far."""

    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        before = self.means.clone()
        super().m_step(x, q)
        self.means.copy_(before + 2.5 * (self.means - before))


class HardShares(GaussianMixture):
    """Its M-step takes the likeliest component alone."""

    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        best = q["log_q"].argmax(-1)
        hard = torch.nn.functional.one_hot(best, q["log_q"].shape[1]).to(q["log_q"])
        super().m_step(x, {"log_q": hard.log()})


class ForgottenWeights(GaussianMixture):
    """Its posterior leaves out the weights."""

    def e_step(self, x: Tensor, q: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        return {"log_q": torch.log_softmax(self.log_joint(x) - self.weights.log(), -1)}


class FlippedKL(GaussianMixture):
    """KL the other way round."""

    def kl_under(self, x: Tensor, q: Mapping[str, Tensor]) -> Tensor:
        log_r = torch.log_softmax(self.log_joint(x), -1)
        return (log_r.exp() * (log_r - q["log_q"])).sum(-1)


@pytest.mark.parametrize("kind", [TooFar, HardShares, ForgottenWeights, FlippedKL])
def test_planted_bugs_are_caught(kind: type[GaussianMixture]) -> None:
    model, data = started("gaussian_mixture")
    broken = kind(model.event_shape, model.config)
    broken.load_state_dict(model.state_dict())
    with pytest.raises(AssertionError):
        check_half_steps(*in_double(broken, data.train), n=60)


# --- the products of matrices -----------------------------------------------------------------


def mixture(size: int, spread: float, seed: int = 0) -> tuple[Tensor, Gaussians]:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(4, size, size, generator=generator, dtype=torch.float64)
    covariances = spread**2 * (root @ root.mT + torch.eye(size))
    means = torch.randn(4, size, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    factors = torch.linalg.cholesky(covariances)
    noise = torch.randn(900, size, 1, generator=generator, dtype=torch.float64)
    chosen = torch.randint(4, (900,), generator=generator)
    return means[chosen] + (factors[chosen] @ noise)[..., 0], Gaussians(
        weights.log(), means, factors
    )


@pytest.mark.parametrize("structure", ["full", "diagonal"])
@pytest.mark.parametrize("size", [1, 2, 3, 40])
@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_sums_of_products_are_the_plain_sums(size: int, spread: float, structure: str) -> None:
    x, g = mixture(size, spread)
    if structure == "diagonal":
        g = g._replace(scale_tril=torch.diag_embed(g.scale_tril.diagonal(dim1=-2, dim2=-1)))
    total, found = em_moments(lambda: iter(torch.split(x, 256)), g, structure)
    parts = [
        torch.distributions.MultivariateNormal(m, scale_tril=factor).log_prob(x)
        for m, factor in zip(g.means, g.scale_tril, strict=True)
    ]
    joint = torch.stack(parts, 1) + g.log_weights
    assert float(total) == pytest.approx(float(torch.logsumexp(joint, 1).sum()), rel=1e-9)
    r = torch.softmax(joint, 1)
    given = weighted_moments(x, r, structure)
    for k in range(4):
        mean = (r[:, k, None] * x).sum(0) / r[:, k].sum()
        covariance = ((x - mean) * r[:, k, None]).T @ (x - mean) / r[:, k].sum()
        if structure == "diagonal":
            covariance = torch.diag(covariance.diagonal())
        for moments in (found, given):
            assert torch.allclose(moments.counts[k], r[:, k].sum(), rtol=1e-9)
            assert torch.allclose(moments.means[k], mean, rtol=1e-9, atol=1e-12)
            scale = float(covariance.diagonal().min())
            assert torch.allclose(moments.covariances[k], covariance, atol=1e-8 * scale)


def test_float32_parameters_follow_scikit_learn_too() -> None:
    data = build_dataset("eight_gaussians", n_samples=2000)
    model = build_model("gaussian_mixture", event_shape=(2,), covariance_floor=0.0)
    trainer = Trainer(model, data, device="cpu")
    weights, means, covariances = (p.double().numpy() for p in model.components())  # type: ignore[operator]
    mine = [-float(trainer.step()["nll"]) for _ in range(6)]
    x = data.train.double().numpy()
    for sweeps, value in zip((1, 5), (mine[1], mine[5]), strict=True):
        peer = sklearn.mixture.GaussianMixture(
            8, tol=0.0, reg_covar=0.0, max_iter=sweeps, weights_init=weights / weights.sum(),
            means_init=means, precisions_init=np.linalg.inv(covariances),
        )  # fmt: skip
        with pytest.warns(sklearn.exceptions.ConvergenceWarning):
            peer.fit(x)
        assert value == pytest.approx(float(peer.score(x)), abs=1e-6)
