"""One Gaussian, a hidden coin, Bernoulli templates and factors against scipy and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.decomposition
import sklearn.mixture
import torch
from torch import Tensor

from engine.estimators.joint_table import model_table
from engine.estimators.mixture import mixture_parts
from engine.estimators.terms import terms_at
from engine.model import TrainState
from engine.models.latent.bernoulli_gaussian import BernoulliGaussian
from engine.models.latent.bernoulli_mixture import BernoulliMixture
from engine.models.latent.factor_analysis import FactorAnalysis
from engine.models.latent.gaussian import Gaussian
from engine.probe import View
from engine.registry import build_dataset, build_model, probes
from engine.training import Trainer, fit, held_out_nll
from tests.engine.test_gaussian_mixture import blobs
from tests.engine.test_laws import Blots

DOUBLE = torch.float64


def prepared(name: str, x: Tensor, seed: int = 0, **config: object) -> Any:
    model = build_model(name, event_shape=x.shape[1:], seed=seed, **config)
    model.double().prepare(x, generator=torch.Generator().manual_seed(seed))
    return model


def sweep(model: Any, x: Tensor, n: int, figure: str = "nll") -> list[float]:
    state, generator = TrainState({}), torch.Generator()
    return [float(model.train_step(x, state, generator)[figure]) for _ in range(n)]


# --- one Gaussian -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5])
def test_one_step_is_the_maximum_likelihood_fit(size: int) -> None:
    x = blobs(300, size)
    model = prepared("gaussian", x)
    assert isinstance(model, Gaussian)
    first, second, third = sweep(model, x, 3)
    truth = scipy.stats.multivariate_normal(
        x.numpy().mean(0), np.cov(x.numpy().T, bias=True).reshape(size, size)
    )
    np.testing.assert_allclose(
        model.log_prob(x).numpy(), truth.logpdf(x.numpy()).reshape(-1), rtol=1e-9
    )
    assert second < first
    assert third == pytest.approx(second, abs=1e-12)
    drawn = model.sample(20_000, generator=torch.Generator().manual_seed(1))
    error = x.std(0) / 20_000**0.5
    assert bool(((drawn.mean(0) - x.mean(0)).abs() < 5.0 * error).all())


def test_simpler_covariances_are_the_best_of_their_kind() -> None:
    x = blobs(300, 3)
    centred = (x - x.mean(0)).numpy()
    for structure, variances in (
        ("diagonal", (centred**2).mean(0)),
        ("spherical", np.full(3, (centred**2).mean())),
    ):
        model = prepared("gaussian", x, covariance=structure)
        sweep(model, x, 1)
        wanted = scipy.stats.norm(x.numpy().mean(0), variances**0.5).logpdf(x.numpy()).sum(1)
        np.testing.assert_allclose(model.log_prob(x).numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "bernoulli_gaussian", "factor_analysis"])
def test_degenerate_data_stay_finite(name: str) -> None:
    for x in (torch.ones(30, 2), torch.arange(30.0)[:, None].repeat(1, 2), torch.ones(1, 2)):
        model = build_model(name, event_shape=(2,))
        model.prepare(x, generator=torch.Generator().manual_seed(0))
        assert np.isfinite(sweep(model, x, 20)).all()
        assert bool(model.log_prob(x).isfinite().all())


# --- a hidden coin ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3])
def test_the_coin_follows_scikit_learn_from_the_same_start(size: int) -> None:
    x = blobs(400, size)
    model = prepared("bernoulli_gaussian", x, scale_floor=1e-4)
    assert isinstance(model, BernoulliGaussian)
    start = {name: value.clone().numpy() for name, value in model.parameters_of_data().items()}
    mine = sweep(model, x, 8)
    for n_sweeps in (1, 4, 7):
        peer = sklearn.mixture.GaussianMixture(
            2, covariance_type="diag", tol=0.0, reg_covar=0.0, max_iter=n_sweeps,
            weights_init=[1.0 - start["mu_z"], start["mu_z"]], means_init=start["mu"],
            precisions_init=start["sigma"] ** -2.0,
        )  # fmt: skip
        with pytest.warns(sklearn.exceptions.ConvergenceWarning):
            peer.fit(x.numpy())
        assert -mine[n_sweeps] == pytest.approx(peer.score(x.numpy()), abs=1e-9)
    assert max(np.diff(mine)) <= 1e-9


def test_the_marginal_is_the_sum_over_both_sides_of_the_coin() -> None:
    data = build_dataset("two_components_1d", n_samples=1000)
    x = data.train.double()
    model = prepared("bernoulli_gaussian", x)
    sweep(model, x, 4)
    found = {name: value.numpy() for name, value in model.parameters_of_data().items()}
    sides = scipy.stats.norm(found["mu"][:, 0], found["sigma"][:, 0]).pdf(x.numpy())  # (N, 2)
    wanted = found["mu_z"] * sides[:, 1] + (1.0 - found["mu_z"]) * sides[:, 0]
    np.testing.assert_allclose(model.log_prob(x).exp().numpy(), wanted, rtol=1e-12)
    assert model.latents[0].kind == "binary"
    coin = model.prior({})
    summed = sum(
        float(coin.log_prob(torch.tensor(z, dtype=DOUBLE)).exp())
        * model.decode({"z": torch.full((len(x),), z)}).log_prob(x).exp()
        for z in (0.0, 1.0)
    )
    assert torch.allclose(summed, model.log_prob(x).exp(), rtol=1e-12)
    parts = mixture_parts(model)
    assert parts is not None
    assert torch.allclose(torch.logsumexp(parts.joint(x), 1), model.log_prob(x), atol=1e-12)
    terms = terms_at(model, x[:1], ("x",))
    assert terms.terms[0].name.startswith("log π of component")
    assert abs(terms.residual) < 1e-12


def test_a_hidden_coin_finds_what_one_gaussian_misses() -> None:
    data = build_dataset("two_components_1d", n_samples=4000)
    one = build_model("gaussian", event_shape=(1,))
    two = build_model("bernoulli_gaussian", event_shape=(1,))
    fit(one, data, steps=2, device="cpu")
    fit(two, data, steps=150, device="cpu")
    entropy = data.entropy()  # type: ignore[attr-defined]
    fresh = data.sample(50_000, generator=torch.Generator().manual_seed(5))
    losses = [held_out_nll(model, fresh) or np.nan for model in (one, two)]
    # KL(truth‖best Gaussian) = H of a Gaussian as wide as the truth − H of the truth.
    variance = float(fresh.double().var())
    assert losses[0] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * variance), abs=0.01)
    assert losses[0] > entropy + 0.1
    assert losses[1] == pytest.approx(entropy, abs=0.02)
    assert isinstance(two, BernoulliGaussian)
    assert min(float(two.mu_z), 1.0 - float(two.mu_z)) == pytest.approx(0.3, abs=0.03)


def test_curves_of_the_components_add_up_to_the_density() -> None:
    data = build_dataset("two_components_1d", n_samples=300)
    model = build_model("bernoulli_gaussian", event_shape=(1,))
    fit(model, data, steps=5, device="cpu")
    window = {"low": [-3.0], "high": [3.0], "size": 40}
    view = View(model.eval(), data, 5)
    (result,) = probes()["responsibilities"].ask(view, {"n": 5, **window})
    arrays = result.numpy()
    nodes = torch.from_numpy(arrays["nodes"])[:, None]
    assert arrays["log_curves"].shape == (2, 40)
    with torch.no_grad():
        density = model.log_prob(nodes).exp().numpy()
    np.testing.assert_allclose(np.exp(arrays["log_curves"]).sum(0), density, rtol=1e-5)
    for wrong in ({"size": 0}, {"size": 10_000}, {"high": [-4.0]}):
        with pytest.raises(ValueError, match="given"):
            list(probes()["responsibilities"].ask(view, {"n": 5, **window, **wrong}))


# --- Bernoulli templates ----------------------------------------------------------------------


def bits(n: int = 300, shape: tuple[int, ...] = (1, 2, 3), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    templates = torch.rand(3, *shape, generator=generator)
    chosen = templates[torch.randint(3, (n,), generator=generator)]
    return (torch.rand(n, *shape, generator=generator) < chosen).double()


@pytest.mark.parametrize("smoothing", [0.0, 0.7])
def test_one_sweep_is_the_formula(smoothing: float) -> None:
    x = bits()
    model = prepared("bernoulli_mixture", x, n_components=3, smoothing=smoothing)
    assert isinstance(model, BernoulliMixture)
    flat, theta, pi = x.flatten(1).numpy(), model.theta.flatten(1).numpy(), model.weights.numpy()
    joint = np.stack(
        [p * np.prod(np.where(flat == 1, t, 1 - t), 1) for p, t in zip(pi, theta, strict=True)], 1
    )
    r = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(model.log_prob(x).exp().numpy(), joint.sum(1), rtol=1e-12)
    np.testing.assert_allclose(model.responsibilities(x).numpy(), r, rtol=1e-12)
    (nll,) = sweep(model, x, 1)
    assert nll == pytest.approx(-np.log(joint.sum(1)).mean(), rel=1e-12)
    wanted = (r.T @ flat + smoothing) / (r.sum(0)[:, None] + 2 * smoothing)
    np.testing.assert_allclose(model.theta.flatten(1).numpy(), wanted, rtol=1e-9)
    np.testing.assert_allclose(model.weights.numpy(), r.mean(0), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_likelihood_never_falls_without_a_prior(seed: int) -> None:
    x = bits(200, (1, 3, 3), seed)
    model = prepared("bernoulli_mixture", x, seed, n_components=6, smoothing=0.0)
    nll = sweep(model, x, 80)
    assert max(np.diff(nll)) <= 1e-9
    assert nll[-1] < nll[0] - 0.05
    smoothed = prepared("bernoulli_mixture", x, seed, n_components=6, smoothing=2.0)
    assert max(np.diff(sweep(smoothed, x, 80, "total"))) <= 1e-9


def test_probabilities_sum_to_one_and_the_bound_plus_kl_is_log_p() -> None:
    x = bits()
    model = prepared("bernoulli_mixture", x, n_components=4)
    sweep(model, x, 5)
    assert float(model_table(model).sum()) == pytest.approx(1.0, abs=1e-12)
    # Any q at all: both sides are summed out over the four values of the latent.
    log_q = torch.log_softmax(torch.randn(len(x), 4, dtype=DOUBLE), -1)
    every = torch.stack(
        [
            model.prior({}).log_prob(torch.tensor(k))
            + model.decode({"component": torch.full((len(x),), k)}).log_prob(x)
            for k in range(4)
        ],
        1,
    )
    log_p = torch.logsumexp(every, 1)
    elbo = (log_q.exp() * (every - log_q)).sum(1)
    kl = (log_q.exp() * (log_q - (every - log_p[:, None]))).sum(1)
    assert torch.allclose(model.elbo_under(x, {"log_q": log_q}), elbo, atol=1e-10, rtol=0)
    assert torch.allclose(model.kl_under(x, {"log_q": log_q}), kl, atol=1e-10, rtol=0)
    assert torch.allclose(elbo + kl, model.log_prob(x), atol=1e-10, rtol=0)


def test_awkward_pictures_stay_finite() -> None:
    for x in (torch.zeros(20, 1, 2, 2), torch.ones(1, 1, 2, 2), bits(5)):
        for smoothing in (0.0, 0.1):
            model = prepared("bernoulli_mixture", x, n_components=12, smoothing=smoothing)
            assert np.isfinite(sweep(model, x, 20)).all()
            assert bool(model.log_prob(1.0 - x.double()).isfinite().all())


def test_templates_beat_independent_pixels_on_held_out_pictures() -> None:
    data = Blots()
    alone, many = (
        build_model("bernoulli_mixture", event_shape=(1, 4, 3), n_components=k) for k in (1, 8)
    )
    for model in (alone, many):
        fit(model, data, steps=40, device="cpu")
    theta = data.train.double().mean(0)
    independent = torch.distributions.Bernoulli(theta).log_prob(data.test.double())
    first, second = (held_out_nll(model, data.test) or np.nan for model in (alone, many))
    assert first == pytest.approx(-float(independent.flatten(1).sum(1).mean()), abs=1e-3)
    assert second < first - 0.1


def test_a_capture_restores_the_templates() -> None:
    trainer = Trainer(build_model("bernoulli_mixture", event_shape=(1, 4, 3)), Blots())
    trainer.step()
    keyframe = trainer.capture()
    ahead = [float(trainer.step()["nll"]) for _ in range(3)]
    trainer.restore(keyframe)
    assert [float(trainer.step()["nll"]) for _ in range(3)] == ahead


@pytest.mark.parametrize(("levels", "given"), [(None, "real values"), (17, "17 levels")])
def test_other_values_are_refused(levels: int | None, given: str) -> None:
    with pytest.raises(ValueError, match=f"given data with {given}, wanted binary pictures"):
        build_model("bernoulli_mixture", event_shape=(1, 2, 2), levels=levels)


# --- factor analysis --------------------------------------------------------------------------


def causes(size: int = 6, n_factors: int = 2, n: int = 1000) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    loadings = torch.randn(n_factors, size, generator=generator, dtype=DOUBLE)
    noise = torch.randn(n, size, generator=generator, dtype=DOUBLE)
    widths = torch.linspace(0.8, 1.5, size, dtype=DOUBLE)
    z = torch.randn(n, n_factors, generator=generator, dtype=DOUBLE)
    return (z @ loadings + noise * widths) * torch.logspace(-2, 3, size, dtype=DOUBLE) + 5.0


@pytest.mark.parametrize(("size", "n_factors"), [(4, 1), (6, 2)])
def test_factors_score_as_scikit_learns(size: int, n_factors: int) -> None:
    x = causes(size, n_factors)
    model = prepared("factor_analysis", x, latent_features=n_factors)
    assert isinstance(model, FactorAnalysis)
    nll = sweep(model, x, 600)
    assert max(np.diff(nll)) <= 1e-10
    # scikit-learn's search is not scale-free, so it is given standardised data.
    u = model.standardise(x).numpy()
    peer = sklearn.decomposition.FactorAnalysis(
        n_factors, tol=1e-6, max_iter=5000, svd_method="lapack"
    ).fit(u)
    mine = float(model.log_prob(x).mean() - model.standardise_log_det)
    assert mine == pytest.approx(float(peer.score(u)), abs=1e-5)
    np.testing.assert_allclose(model.psi.numpy(), peer.noise_variance_, rtol=2e-2)


def test_the_posterior_of_factors_is_the_closed_form() -> None:
    x = causes()
    model = prepared("factor_analysis", x, latent_features=2)
    sweep(model, x, 20)
    W, psi, u = model.W.numpy(), model.psi.numpy(), model.standardise(x).numpy()
    C = W @ W.T + np.diag(psi)
    gain = W.T @ np.linalg.inv(C)
    posterior = model.encode(x)
    np.testing.assert_allclose(posterior.mean.numpy(), u @ gain.T, rtol=1e-8, atol=1e-10)
    covariance = posterior.distribution.covariance_matrix.numpy()
    covariance = np.broadcast_to(covariance, (len(x), 2, 2))
    np.testing.assert_allclose(covariance[0], np.eye(2) - gain @ W, rtol=1e-8, atol=1e-10)
    wanted = scipy.stats.multivariate_normal(np.zeros(6), C).logpdf(u)
    np.testing.assert_allclose(
        model.log_prob(x).numpy(), wanted + float(model.standardise_log_det), rtol=1e-9
    )
    bound = model.elbo(x, n_draws=3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(bound.total, model.log_prob(x), atol=1e-9, rtol=0)
    assert torch.allclose(bound.log_weights, bound.total.expand(3, -1), atol=1e-9, rtol=0)


def test_sweeps_on_the_covariance_are_the_half_steps() -> None:
    x = causes()
    model = prepared("factor_analysis", x, latent_features=2)
    twin = prepared("factor_analysis", x, latent_features=2)
    for _ in range(5):
        sweep(model, x, 1)
        twin.m_step(x, twin.e_step(x))
    assert torch.allclose(model.W, twin.W, atol=1e-9)
    assert torch.allclose(model.psi, twin.psi, atol=1e-9)


def test_units_do_not_matter_to_factors() -> None:
    x = causes()
    scale = torch.logspace(2, -4, 6, dtype=DOUBLE)
    one, other = (prepared("factor_analysis", v, latent_features=2) for v in (x, x * scale))
    for model, v in ((one, x), (other, x * scale)):
        sweep(model, v, 30)
    shift = scale.log().sum()
    assert torch.allclose(other.log_prob(x * scale) + shift, one.log_prob(x), atol=1e-7)


@pytest.mark.parametrize(("size", "n_factors"), [(2, 2), (5, 6), (1, 2)])
def test_too_many_factors_are_refused(size: int, n_factors: int) -> None:
    with pytest.raises(ValueError, match=f"given {n_factors}, wanted less than the {size}"):
        build_model("factor_analysis", event_shape=(size,), latent_features=n_factors)
