"""Variational EM: with an unrestricted q it is EM, with a restricted one the gap is known."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.estimators.half_steps import half_steps
from engine.model import TrainState
from engine.models.latent.free_form_em import FreeFormEM
from engine.models.latent.mean_field_em import MeanFieldEM
from engine.registry import build_dataset, build_model
from engine.training import Trainer
from tests.engine.test_gaussian_mixture import blobs
from tests.engine.test_ppca import cloud

AFTER = [f"{name}_after_{half}" for half in "em" for name in ("elbo", "kl", "log_prob")]


def prepared(name: str, x: Tensor, **config: object) -> Any:
    model = build_model(name, event_shape=x.shape[1:], **config)
    model.double().prepare(x, generator=torch.Generator().manual_seed(0))
    return model


def steps(model: Any, x: Tensor, n: int) -> list[dict[str, float]]:
    state, generator = TrainState({}), torch.Generator()
    taken = [model.train_step(x, state, generator) for _ in range(n)]
    return [{name: float(value) for name, value in row.items()} for row in taken]


def check_steps(rows: list[dict[str, float]]) -> None:
    """L = log p − KL at both halves, neither half lowers L, and E leaves log p alone."""
    before = -np.inf
    for row in rows:
        for half in "em":
            parts = row[f"elbo_after_{half}"] + row[f"kl_after_{half}"]
            assert parts == pytest.approx(row[f"log_prob_after_{half}"], abs=1e-10)
            assert row[f"elbo_after_{half}"] >= before - 1e-9
            before = row[f"elbo_after_{half}"]
        assert row["nll"] == -row["log_prob_after_e"]
        assert row["total"] == -row["elbo_after_e"]
    for now, later in pairwise(rows):
        assert later["log_prob_after_e"] == pytest.approx(now["log_prob_after_m"], abs=1e-10)


# --- a free-form q ----------------------------------------------------------------------------


def like_mixture(x: Tensor, **config: object) -> tuple[Any, Any]:
    """A Gaussian mixture, and variational EM from the very same parameters."""
    mixture = prepared("gaussian_mixture", x, n_components=3, covariance_floor=1e-6)
    model = prepared("free_form_em", x, n_components=3, **config)
    assert isinstance(model, FreeFormEM)
    for name in ("weights", "means", "scale_tril"):
        getattr(model, name).copy_(getattr(mixture, name))
    return model, mixture


def test_an_unrestricted_q_is_em() -> None:
    x = blobs()
    model, mixture = like_mixture(x)
    rows = steps(model, x, 12)
    check_steps(rows)
    nll = [row["nll"] for row in steps(mixture, x, 12)]
    np.testing.assert_allclose([row["nll"] for row in rows], nll, atol=1e-10)
    assert max(row["kl_after_e"] for row in rows) <= 1e-12
    assert min(row["kl_after_m"] for row in rows[:5]) > 1e-6
    assert torch.allclose(model.means, mixture.means, atol=1e-8)


def test_a_small_e_step_leaves_a_gap_that_closes() -> None:
    x = blobs()
    model, _ = like_mixture(x, e_rate=0.2)
    rows = steps(model, x, 100)
    check_steps(rows)
    gaps = [row["kl_after_e"] for row in rows]
    assert gaps[0] > 1e-2
    assert gaps[-1] < 1e-3 * gaps[0]


def test_an_e_step_goes_along_the_exponential_path() -> None:
    x = blobs(50)
    model, _ = like_mixture(x, e_rate=0.3)
    old = torch.softmax(torch.randn(50, 3, dtype=x.dtype), -1)
    new = model.e_step(x, {"log_q": old.log()})["log_q"].exp()
    wanted = old**0.7 * model.responsibilities(x) ** 0.3
    assert torch.allclose(new, wanted / wanted.sum(-1, keepdim=True), atol=1e-12)


def test_one_q_for_all_points_cannot_tell_them_apart() -> None:
    x = blobs()
    model, _ = like_mixture(x, posterior="shared")
    rows = steps(model, x, 20)
    check_steps(rows)
    assert rows[0]["kl_after_e"] > 0.05
    # It gains most where there is nothing to tell apart: the components come to coincide.
    assert torch.allclose(model.means, model.means[:1].expand(3, -1), atol=1e-6)
    q = model.e_step(x)["log_q"]
    assert torch.equal(q, q[:1].expand_as(q))
    # The best shared q has probabilities proportional to the geometric mean of the joints.
    wanted = torch.softmax(model.log_joint(x).mean(0), -1)
    assert torch.allclose(q[0].exp(), wanted, atol=1e-12)
    assert torch.allclose(model.encode(x).probs[0], wanted, atol=1e-12)


def test_a_hard_q_pays_minus_log_of_its_responsibility() -> None:
    x = blobs()
    model, _ = like_mixture(x, posterior="hard")
    rows = steps(model, x, 20)
    check_steps(rows)
    q = model.e_step(x)
    best = model.responsibilities(x).amax(-1)
    assert torch.allclose(model.kl_under(x, q), -best.log(), atol=1e-12)
    bound = model.elbo(x, n_draws=3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(bound.total, model.log_prob(x) + best.log(), atol=1e-10)
    assert torch.allclose(bound.log_weights, bound.total.expand(3, -1), atol=1e-10)
    # Let free again, every share can come back from 0.
    model.set_live({"posterior": "free", "e_rate": 0.5})
    for bar in half_steps(model, x, 120, q=q):
        last = bar
    assert last.kl < 1e-4


# --- a Gaussian q for every point -------------------------------------------------------------


def test_a_full_q_is_the_em_of_probabilistic_pca() -> None:
    x = cloud()
    pca = prepared("ppca", x, latent_features=2)
    model = prepared("mean_field_em", x, latent_features=2, posterior="full", e_sweeps=100)
    assert isinstance(model, MeanFieldEM)
    model.W.copy_(pca.W)
    rows = steps(model, x, 15)
    check_steps(rows)
    nll = [row["nll"] for row in steps(pca, x, 15)]
    np.testing.assert_allclose([row["nll"] for row in rows], nll, atol=1e-6)
    assert max(row["kl_after_e"] for row in rows) < 1e-6


def precision_of(model: Any) -> Tensor:
    return torch.eye(model.W.shape[1], dtype=model.W.dtype) + model.W.T @ model.W / model.sigma2


@pytest.mark.parametrize("n_latents", [1, 2, 3])
def test_the_gap_of_a_diagonal_q_is_its_closed_form(n_latents: int) -> None:
    x = cloud()
    model = prepared("mean_field_em", x, latent_features=n_latents)
    steps(model, x, 3)
    model.set_live({"e_sweeps": 100})
    q = model.e_step(x)
    for _ in range(5):
        q = model.e_step(x, q)
    M = precision_of(model)
    gap = 0.5 * (M.diagonal().log().sum() - torch.logdet(M))
    assert torch.allclose(model.kl_under(x, q), gap.expand(len(x)), atol=1e-9)
    bound = model.elbo(x, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model.log_prob(x) - bound.total, gap.expand(len(x)), atol=1e-9)
    assert (float(gap) > 1e-3) is (n_latents > 1)


def test_the_fixed_point_is_where_the_gradient_vanishes() -> None:
    x = cloud(20)
    model = prepared("mean_field_em", x, latent_features=3, e_sweeps=100)
    q = {name: value.requires_grad_() for name, value in model.e_step(x, model.e_step(x)).items()}
    posterior = model.posterior_of(q)
    reconstruction, kl = model._parts(model.standardise(x), posterior)
    gradients = torch.autograd.grad((reconstruction - kl).sum(), [q["mean"], q["scale"]])
    for gradient in gradients:
        assert float(gradient.abs().max()) < 1e-8


def test_few_rounds_lag_behind_and_the_axes_turn_until_the_gap_closes() -> None:
    x = cloud(size=3)
    model = prepared("mean_field_em", x, latent_features=2, e_sweeps=1)
    rows = steps(model, x, 150)
    check_steps(rows)
    M = precision_of(model)
    best = 0.5 * float(M.diagonal().log().sum() - torch.logdet(M))
    assert rows[0]["kl_after_e"] > 5.0 * rows[-1]["kl_after_e"]
    assert rows[-1]["kl_after_m"] >= best - 1e-9
    cosine = torch.nn.functional.cosine_similarity(model.W[:, 0], model.W[:, 1], dim=0)
    assert abs(float(cosine)) < 0.1


# --- q in a run's memory ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"), [("free_form_em", {"e_rate": 0.3}), ("mean_field_em", {"e_sweeps": 1})]
)
def test_q_is_kept_per_point_and_comes_back_with_a_keyframe(
    name: str, settings: dict[str, Any]
) -> None:
    data = build_dataset("two_moons", n_samples=300)
    trainer = Trainer(build_model(name, event_shape=(2,), **settings), data, device="cpu")
    first = trainer.step()
    assert set(AFTER) <= set(first)
    assert all(len(value) == len(data.train) for value in trainer.state.memory.values())
    assert trainer.is_finite()
    keyframe = trainer.capture()
    ahead = [float(trainer.step()["total"]) for _ in range(4)]
    trainer.restore(keyframe)
    assert [float(trainer.step()["total"]) for _ in range(4)] == ahead
    trainer.set_data(build_dataset("two_moons", n_samples=120))
    assert np.isfinite(float(trainer.step()["total"]))
    assert all(len(value) == 96 for value in trainer.state.memory.values())
