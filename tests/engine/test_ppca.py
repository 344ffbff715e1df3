"""Probabilistic PCA against scikit-learn, scipy and the closed form."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.decomposition
import torch
from torch import Tensor

from engine.model import TrainState
from engine.models.latent.ppca import PPCA
from engine.registry import build_model


def cloud(n: int = 200, size: int = 5, seed: int = 0) -> Tensor:
    """A tilted cloud, (n, size) float64."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return torch.randn(n, size, generator=generator, dtype=torch.float64) @ mix + 7.0


def fitted(x: Tensor, n_axes: int, estimator: str, n_sweeps: int) -> tuple[PPCA, list[float]]:
    model = build_model(
        "ppca", event_shape=x.shape[1:], latent_features=n_axes, estimator=estimator
    )
    assert isinstance(model, PPCA)
    generator = torch.Generator().manual_seed(0)
    model.double().prepare(x, generator=generator)
    state = TrainState({})
    return model, [float(model.train_step(x, state, generator)["nll"]) for _ in range(n_sweeps)]


def peer_score(x: Tensor, n_axes: int) -> float:
    """scikit-learn's mean log-density, its eigenvalues taken over n instead of n − 1."""
    pca = sklearn.decomposition.PCA(n_axes, svd_solver="full").fit(x.numpy())
    share = (len(x) - 1) / len(x)
    pca.explained_variance_ = pca.explained_variance_ * share
    pca.noise_variance_ = pca.noise_variance_ * share
    return float(pca.score(x.numpy()))


@pytest.mark.parametrize(("size", "n_axes"), [(2, 1), (3, 2), (5, 1), (5, 4), (64, 8)])
def test_closed_form_scores_as_scikit_learn(size: int, n_axes: int) -> None:
    x = cloud(size=size)
    model, _ = fitted(x, n_axes, "closed_form", 1)
    assert float(model.log_prob(x).mean()) == pytest.approx(peer_score(x, n_axes), rel=1e-10)


@pytest.mark.parametrize(("size", "n_axes"), [(2, 1), (5, 2)])
def test_em_climbs_to_the_closed_form(size: int, n_axes: int) -> None:
    # Round noise is added, for EM crawls where the noise is small beside the axes.
    noise = torch.randn(200, size, generator=torch.Generator().manual_seed(3))
    x = cloud(size=size) + 1.5 * noise
    model, nll = fitted(x, n_axes, "em", 500)
    assert max(np.diff(nll)) <= 1e-12
    exact, _ = fitted(x, n_axes, "closed_form", 1)
    assert float(model.log_prob(x).mean()) == pytest.approx(
        float(exact.log_prob(x).mean()), abs=1e-9
    )
    assert torch.allclose(model.W @ model.W.T, exact.W @ exact.W.T, atol=1e-4)
    assert float(model.sigma2) == pytest.approx(float(exact.sigma2), rel=1e-4)


def test_the_marginal_is_scipys_normal() -> None:
    x = cloud(50)
    model, _ = fitted(x, 2, "em", 3)
    covariance = model.W @ model.W.T + model.sigma2 * torch.eye(5, dtype=x.dtype)
    wanted = scipy.stats.multivariate_normal(model.mu.numpy(), covariance.numpy())
    np.testing.assert_allclose(model.log_prob(x).numpy(), wanted.logpdf(x.numpy()), rtol=1e-10)
    drawn = model.sample(50_000, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(torch.cov(drawn.T), covariance, atol=0.05 * float(covariance.max()))


def test_the_posterior_is_bayes() -> None:
    x = cloud(20)
    model, _ = fitted(x, 2, "em", 3)
    posterior = model.encode(x).distribution
    z = torch.randn(20, 2, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    joint = model.prior({}).log_prob(z) + model.decode({"z": z}).log_prob(x)
    assert torch.allclose(joint - posterior.log_prob(z), model.log_prob(x), atol=1e-9)


def test_the_exact_posterior_closes_the_bound() -> None:
    x = cloud(30)
    model, _ = fitted(x, 3, "em", 3)
    bound = model.elbo(x, n_draws=4, generator=torch.Generator().manual_seed(1))
    log_p = model.log_prob(x)
    assert torch.allclose(bound.total, log_p, atol=1e-9, rtol=0)
    assert torch.allclose(bound.log_weights, log_p.expand(4, -1), atol=1e-9, rtol=0)
    prior = torch.distributions.MultivariateNormal(
        torch.zeros(3, dtype=x.dtype), torch.eye(3, dtype=x.dtype)
    )
    kl = torch.distributions.kl_divergence(model.encode(x).distribution, prior)
    assert torch.allclose(bound.kl_terms["z"], kl, atol=1e-10)


def test_one_coordinate_is_split_in_halves() -> None:
    x = cloud(100, size=1)
    model, _ = fitted(x, 1, "closed_form", 1)
    wanted = scipy.stats.norm(float(x.mean()), float(x.std(correction=0)))
    np.testing.assert_allclose(
        model.log_prob(x).numpy(), wanted.logpdf(x.numpy()).squeeze(1), rtol=1e-10
    )
    assert float(model.W.square()) == pytest.approx(float(model.sigma2), rel=1e-12)
    other, _ = fitted(x, 1, "em", 300)
    assert float(other.log_prob(x).mean()) == pytest.approx(
        float(model.log_prob(x).mean()), abs=1e-9
    )


def test_pictures_keep_their_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(120, 1, 8, 8, generator=generator)
    model = build_model("ppca", event_shape=(1, 8, 8), latent_features=6)
    assert isinstance(model, PPCA)
    model.prepare(x, generator=generator)
    model.train_step(x, TrainState({}), generator)
    assert model.sample(3, generator=generator).shape == (3, 1, 8, 8)
    latents, _ = model.encode(x[:2]).sample(5, generator)
    assert latents["z"].shape == (5, 2, 6)
    assert model.decode({"z": latents["z"][0]}).mean.shape == (2, 1, 8, 8)


@pytest.mark.parametrize("estimator", ["em", "closed_form"])
@pytest.mark.parametrize(
    "x",
    [torch.ones(30, 3), torch.arange(30.0)[:, None].repeat(1, 3), torch.tensor([[1.0, 2.0, 3.0]])],
    ids=["constant", "a line", "one point"],
)
def test_degenerate_data_stay_finite(x: Tensor, estimator: str) -> None:
    model = build_model("ppca", event_shape=(3,), estimator=estimator)
    generator = torch.Generator().manual_seed(0)
    model.prepare(x, generator=generator)
    for _ in range(20):
        losses = model.train_step(x, TrainState({}), generator)
    assert bool(losses["nll"].isfinite())
    assert bool(model.log_prob(x).isfinite().all())


@pytest.mark.parametrize(("size", "n_axes"), [(2, 2), (2, 3), (5, 5), (1, 2)])
def test_too_many_axes_are_refused(size: int, n_axes: int) -> None:
    with pytest.raises(ValueError, match=f"given {n_axes}, wanted less than the {size}"):
        build_model("ppca", event_shape=(size,), latent_features=n_axes)


@pytest.mark.parametrize("estimator", ["em", "closed_form"])
def test_float32_keeps_its_digits_where_the_noise_is_tiny(estimator: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, generator=generator) * 3.0
    x[:, 1] = 7.0  # a constant column leaves only the smallest noise there is
    model = build_model("ppca", event_shape=(2,), estimator=estimator)
    model.prepare(x, generator=generator)
    for _ in range(100):
        model.train_step(x, TrainState({}), generator)
    W, mu = model.W.double(), model.mu.double()
    covariance = W @ W.T + model.sigma2.double() * torch.eye(2, dtype=torch.float64)
    wanted = scipy.stats.multivariate_normal(mu.numpy(), covariance.numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(model.log_prob(x).numpy(), wanted, atol=1e-4)
