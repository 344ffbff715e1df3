"""The Gaussian mixture against scikit-learn, scipy and enumeration over its components."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.mixture
import torch
from torch import Tensor

from engine.estimators.gaussian import cholesky, floored_covariance, shaped_covariance
from engine.estimators.seeding import plus_plus_centres
from engine.model import TrainState
from engine.models.latent.gaussian_mixture import GaussianMixture
from engine.registry import build_dataset, build_model
from engine.training import Trainer

SKLEARN_NAMES = {"full": "full", "diagonal": "diag", "spherical": "spherical"}


def blobs(n: int = 400, size: int = 2, seed: int = 0) -> Tensor:
    """Three overlapping blobs of unlike units, (n, size) float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, size, generator=generator, dtype=torch.float64)
    centres = 3.0 * torch.randn(3, size, generator=generator, dtype=torch.float64)
    x = x + centres[torch.randint(3, (n,), generator=generator)]
    return x * torch.linspace(0.5, 20.0, size, dtype=torch.float64) + 100.0


def prepared(x: Tensor, seed: int = 0, **config: object) -> GaussianMixture:
    config = {"n_components": 3, "covariance_floor": 0.0, **config}
    model = build_model("gaussian_mixture", event_shape=x.shape[1:], seed=seed, **config)
    assert isinstance(model, GaussianMixture)
    model.double().prepare(x, generator=torch.Generator().manual_seed(seed))
    return model


def sweep(model: GaussianMixture, x: Tensor, n: int = 1) -> list[float]:
    state, generator = TrainState({}), torch.Generator()
    return [float(model.train_step(x, state, generator)["nll"]) for _ in range(n)]


@pytest.mark.parametrize("structure", list(SKLEARN_NAMES))
@pytest.mark.parametrize("size", [1, 2, 5])
def test_sweeps_follow_scikit_learn_from_the_same_start(structure: str, size: int) -> None:
    x = blobs(size=size)
    model = prepared(x, covariance=structure)
    weights, means, covariances = (part.numpy() for part in model.components())
    start = {
        "full": np.linalg.inv(covariances),
        "diagonal": 1.0 / np.diagonal(covariances, axis1=1, axis2=2),
        "spherical": 1.0 / covariances[:, 0, 0],
    }
    peer = sklearn.mixture.GaussianMixture(
        3,
        covariance_type=SKLEARN_NAMES[structure],
        tol=0.0,
        reg_covar=0.0,
        max_iter=7,
        weights_init=weights,
        means_init=means,
        precisions_init=start[structure],
    )
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        peer.fit(x.numpy())
    sweep(model, x, 7)
    weights, means, covariances = (part.numpy() for part in model.components())
    np.testing.assert_allclose(weights, peer.weights_, rtol=1e-8)
    np.testing.assert_allclose(means, peer.means_, rtol=1e-8)
    for mine, theirs in zip(covariances, peer.covariances_, strict=True):
        wanted = {"full": lambda c: c, "diagonal": np.diag}.get(
            structure, lambda c: c * np.eye(size)
        )
        np.testing.assert_allclose(mine, wanted(theirs), rtol=1e-7, atol=1e-8 * mine.max())
    np.testing.assert_allclose(model.log_prob(x).numpy(), peer.score_samples(x.numpy()), rtol=1e-8)
    np.testing.assert_allclose(
        model.responsibilities(x).numpy(), peer.predict_proba(x.numpy()), atol=1e-8
    )


@pytest.mark.parametrize("structure", list(SKLEARN_NAMES))
@pytest.mark.parametrize("start", ["k-means++", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_the_likelihood_never_falls(structure: str, start: str, seed: int) -> None:
    x = blobs(300, seed=seed)
    model = prepared(x, seed, n_components=5, covariance=structure, start=start)
    nll = sweep(model, x, 60)
    assert max(np.diff(nll)) <= 1e-9
    assert nll[-1] < nll[0] - 0.05


def awkward() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    line = torch.randn(200, 1, generator=generator)
    board = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0)).repeat(4, 1)
    outlier = torch.cat([torch.randn(150, 2, generator=generator), torch.full((1, 2), 1e6)])
    return {
        "fewer points than components": torch.randn(6, 2, generator=generator),
        "a line": line @ torch.tensor([[1.0, 2.0]]),
        "repeated points": board,
        "a constant column": torch.cat([line, torch.full_like(line, 7.0)], 1),
        "an outlier": outlier,
    }


@pytest.mark.parametrize("floor", [1e-6, 0.0])
@pytest.mark.parametrize("structure", list(SKLEARN_NAMES))
@pytest.mark.parametrize("name", list(awkward()))
def test_collapsing_components_do_not_lower_the_likelihood(
    name: str, structure: str, floor: float
) -> None:
    x = awkward()[name]
    settings = {"n_components": 12, "covariance": structure, "covariance_floor": floor}
    double = sweep(prepared(x.double(), **settings), x.double(), 60)
    assert max(np.diff(double)) <= 1e-9
    single = build_model("gaussian_mixture", event_shape=(2,), **settings)
    single.prepare(x, generator=torch.Generator().manual_seed(0))
    # Weights and factors are stored in float32, so the last digits of the figure may tremble.
    assert max(np.diff(sweep(single, x, 60))) <= 2e-7


def test_the_floor_is_the_constrained_optimum() -> None:
    generator = torch.Generator().manual_seed(2)
    root = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    scatter = root @ root.mT * torch.tensor([1.0, 1e-2, 1e2], dtype=torch.float64)[:, None, None]
    floor = torch.tensor([0.5, 1.0, 2.0, 0.1], dtype=torch.float64)
    found = floored_covariance(scatter, floor)
    assert float(torch.linalg.eigvalsh(found - torch.diag(floor)).min()) >= -1e-9

    def value(covariance: Tensor) -> Tensor:
        return -torch.logdet(covariance) - (torch.linalg.inv(covariance) @ scatter).diagonal(
            dim1=-2, dim2=-1
        ).sum(-1)

    for _ in range(50):
        # Any mixture with another matrix that respects the floor is worse.
        other = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
        other = torch.diag(floor) + other @ other.mT
        assert bool((value(0.99 * found + 0.01 * other) <= value(found) + 1e-12).all())


def test_log_prob_is_scipys_sum_over_components() -> None:
    x = blobs(50)
    model = prepared(x)
    sweep(model, x, 3)
    weights, means, covariances = model.components()
    parts = [
        float(w) * scipy.stats.multivariate_normal(m.numpy(), c.numpy()).pdf(x.numpy())
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    np.testing.assert_allclose(model.log_prob(x).exp().numpy(), sum(parts), rtol=1e-10)


def test_the_exact_posterior_closes_the_bound() -> None:
    x = blobs(80)
    model = prepared(x)
    sweep(model, x, 5)
    bound = model.elbo(x, n_draws=4, generator=torch.Generator().manual_seed(1))
    log_p = model.log_prob(x)
    assert torch.allclose(bound.total, log_p, atol=1e-10, rtol=0)
    assert torch.allclose(bound.log_weights, log_p.expand(4, -1), atol=1e-10, rtol=0)
    r, prior = model.responsibilities(x), model.weights
    kl = torch.special.xlogy(r, r).sum(-1) - torch.special.xlogy(r, prior.expand_as(r)).sum(-1)
    assert torch.allclose(bound.kl_terms["component"], kl, atol=1e-10)


def test_samples_have_the_mixtures_moments() -> None:
    x = blobs(400)
    model = prepared(x)
    sweep(model, x, 20)
    weights, means, covariances = model.components()
    drawn = model.sample(40_000, generator=torch.Generator().manual_seed(3))
    mean = weights @ means
    centred = means - mean
    second = covariances + centred[:, :, None] * centred[:, None, :]
    wanted = (weights[:, None, None] * second).sum(0)
    error = wanted.diagonal().sqrt() / 200.0
    assert bool(((drawn.mean(0) - mean).abs() < 5.0 * error).all())
    ratio = torch.cov(drawn.T) / wanted
    assert torch.allclose(ratio.diagonal(), torch.ones(2, dtype=ratio.dtype), atol=0.04)


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 8, 8)])
def test_every_event_shape(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, *shape, generator=generator)
    model = build_model("gaussian_mixture", event_shape=shape, n_components=4)
    model.prepare(x, generator=generator)
    first, last = sweep(model, x, 8)[::7]
    assert last < first
    drawn = model.sample(6, generator=generator)
    assert drawn.shape == (6, *shape)
    assert drawn.dtype == torch.float32
    decoded = model.decode({"component": torch.tensor([0, 3])})
    assert decoded.event_shape == torch.Size(shape)
    assert decoded.mean.shape == (2, *shape)
    parts = model.decode({"component": torch.arange(4)})
    p = torch.stack([parts.log_prob(row.expand(4, *shape)) for row in x[:5]])  # (5, 4)
    whole = torch.logsumexp(p + model.weights.log(), -1)
    assert torch.allclose(whole, model.log_prob(x[:5]), atol=1e-3)


@pytest.mark.parametrize(
    "x",
    [
        torch.ones(30, 2),
        torch.tensor([[0.0, 0.0], [1.0, 2.0]]).repeat(20, 1),
        torch.tensor([[1.0, 2.0]]),
        torch.randn(40, 2, generator=torch.Generator().manual_seed(0)) * 1e-6 + 1e3,
    ],
    ids=["constant", "two places", "one point", "tiny spread far out"],
)
def test_degenerate_data_stay_finite(x: Tensor) -> None:
    model = build_model("gaussian_mixture", event_shape=(2,), n_components=5)
    model.prepare(x, generator=torch.Generator().manual_seed(0))
    nll = sweep(model, x, 10)
    assert np.isfinite(nll).all()
    assert bool(model.log_prob(x).isfinite().all())
    assert bool(model.sample(20, generator=torch.Generator().manual_seed(1)).isfinite().all())


@pytest.mark.parametrize("seed", range(5))
def test_eight_gaussians_are_found(seed: int) -> None:
    data = build_dataset("eight_gaussians", n_samples=10_000, seed=seed)
    model = build_model("gaussian_mixture", event_shape=(2,), seed=seed)
    trainer = Trainer(model, data, seed=seed, device="cpu")
    for _ in range(20):
        trainer.step()
    x = data.sample(20_000, generator=torch.Generator().manual_seed(100 + seed))
    kl = float((data.log_prob(x.double()) - model.log_prob(x)).mean())
    assert kl <= 0.01


def test_a_capture_restores_the_fit() -> None:
    data = build_dataset("eight_gaussians", n_samples=500)
    trainer = Trainer(build_model("gaussian_mixture", event_shape=(2,)), data, device="cpu")
    trainer.step()
    keyframe = trainer.capture()
    ahead = [float(trainer.step()["nll"]) for _ in range(3)]
    trainer.restore(keyframe)
    assert [float(trainer.step()["nll"]) for _ in range(3)] == ahead


def test_seeding_prefers_far_points() -> None:
    generator = torch.Generator().manual_seed(0)
    clusters = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]).repeat_interleave(50, 0)
    points = clusters + 0.01 * torch.randn(150, 2, generator=generator)
    centres = plus_plus_centres(points, 3, generator, n_trials=8)
    found = {tuple(round(value / 10.0) for value in row) for row in centres.tolist()}
    assert found == {(0, 0), (1, 0), (0, 1)}
    with pytest.raises(ValueError, match="given no points"):
        plus_plus_centres(torch.empty(0, 2), 3, generator)


def test_impossible_covariances_are_refused() -> None:
    with pytest.raises(ValueError, match="not positive semi-definite"):
        cholesky(-1e9 * torch.eye(2)[None])
    with pytest.raises(ValueError, match="given 'round'"):
        shaped_covariance(torch.eye(2)[None], "round", torch.ones(2))
    model = build_model("gaussian_mixture", event_shape=(2,))
    assert isinstance(model, GaussianMixture)
    with pytest.raises(ValueError, match="only latent"):
        model.prior({"component": torch.zeros(1)})
