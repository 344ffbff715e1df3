"""Chains on landscapes: the law of each kernel, exact steps back and forth, what is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from engine.estimators.landscape import landscape_of
from engine.estimators.walking import KERNELS, Settings, Walk, own_kernels, step_generator
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes

#: Chains and steps of the statistical tests: errors of variances are below 3 %.
N_CHAINS, N_STEPS = 4000, 60


@cache
def view(model: str = "gaussian", dataset: str = "gaussian", **config: Any) -> View:
    given = {} if dataset == "rezende_mohamed" else {"n_samples": 300}
    if dataset == "digits":
        given = {}
    data = build_dataset(dataset, **given)
    built = build_model(model, event_shape=data.event_shape, dataset=data, **config)
    if len(data.train):
        built.prepare(data.train, generator=torch.Generator().manual_seed(1))
    return View(built.eval().requires_grad_(False), data, 0, 3)


def ask(shown: View, name: str, **arguments: Any) -> list[Result]:
    arrays = {k: arguments.pop(k) for k in ("x",) if k in arguments}
    return list(probes()[name].ask(shown, arguments, arrays))


def joined(pieces: list[Result], name: str) -> Any:
    return np.concatenate([piece.numpy()[name] for piece in pieces])


def settled(kernel: str, **settings: Any) -> torch.Tensor:
    """Standardised and whitened places of chains on a Gaussian after a while, (N, 2)."""
    shown = view()
    land = landscape_of(shown.model, shown.dataset)
    walk = Walk(land, shown.model, Settings(kernel, **settings), seed=0)
    cholesky = torch.linalg.cholesky(covariance(shown))
    walk.begin(land.location + torch.randn(N_CHAINS, 2, generator=step_generator(1, 0)) @
               cholesky.T)  # fmt: skip
    for _ in range(N_STEPS):
        walk.move()
    return torch.linalg.solve_triangular(cholesky, (walk.x - land.location).T, upper=False).T


def covariance(shown: View) -> torch.Tensor:
    """Of the fitted Gaussian, by the curvature of its log-density."""
    model: Any = shown.model
    hessian = torch.autograd.functional.hessian(
        lambda x: -model.log_prob(x[None])[0], torch.zeros(2)
    )
    return torch.linalg.inv(hessian)


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        ("mala", {"step_size": 2.0}),
        ("hmc", {"step_size": 0.3, "n_leapfrog": 4}),
        ("metropolis", {"step_size": 4.0}),
        ("tempering", {"step_size": 2.0}),
    ],
)
def test_exact_kernels_leave_the_law_invariant(kernel: str, settings: dict[str, float]) -> None:
    found = torch.cov(settled(kernel, **settings).T)
    torch.testing.assert_close(found, torch.eye(2), atol=0.09, rtol=0.0)
    assert KERNELS[kernel].exact


def test_temperature_widens_the_law() -> None:
    found = torch.cov(settled("mala", step_size=2.0, temperature=2.0).T)
    torch.testing.assert_close(found, 2 * torch.eye(2), atol=0.2, rtol=0.0)


def test_langevin_is_biased_as_theory_says() -> None:
    """Along each principal axis of standardised units of variance v: v / (1 − λ/(4v))."""
    shown = view()
    land = landscape_of(shown.model, shown.dataset)
    rate = 8.0  # λ/(4v) is a half
    spread = covariance(shown) / torch.outer(land.scale, land.scale)
    variances, axes = torch.linalg.eigh(spread)
    walk = Walk(land, shown.model, Settings("langevin", step_size=rate), seed=0)
    walk.begin(land.unstandardise(torch.randn(N_CHAINS, 2, generator=step_generator(1, 0))))
    for _ in range(N_STEPS):
        walk.move()
    found = (land.standardise(walk.x) @ axes).var(0)
    wanted = variances / (1 - rate / (4 * variances))
    torch.testing.assert_close(found, wanted, rtol=0.08, atol=0.0)


@pytest.mark.parametrize("kernel", [name for name, k in KERNELS.items() if k.forgets])
def test_a_walk_goes_on_from_any_step(kernel: str) -> None:
    shown, how = view(), {"kernel": kernel, "n": 20, "seed": 5, "step_size": 0.1}
    whole = joined(ask(shown, "chain_walk", steps=12, **how), "points")
    again = joined(ask(shown, "chain_walk", steps=12, **how), "points")
    np.testing.assert_array_equal(whole, again)
    rest = ask(shown, "chain_walk", first=7, steps=5, x=whole[7], **how)
    assert rest[0].values["start"] == 7
    np.testing.assert_allclose(joined(rest, "points"), whole[7:], atol=1e-5)


def test_rows_are_states_and_the_steps_that_leave_them() -> None:
    pieces = ask(view(), "chain_walk", kernel="mala", n=30, steps=40, step_size=1.5, told=10)
    assert [piece.values["start"] for piece in pieces] == [0, 1, 3, 7, 15, 31]
    assert [piece.final for piece in pieces] == [False] * 5 + [True]
    points, proposal = joined(pieces, "points"), joined(pieces, "proposal")
    accepted = joined(pieces, "accepted")
    assert points.shape == (41, 30, 2)
    parts = joined(pieces, "drift") + joined(pieces, "noise")
    np.testing.assert_allclose(points[:, :10] + parts, proposal, atol=1e-5)
    told = points[:, :10]
    followed = np.where(accepted[:-1, :, None], proposal[:-1], told[:-1])
    np.testing.assert_allclose(told[1:], followed, atol=1e-6)
    assert 0 < accepted.mean() < 1
    energy = -view().model.log_prob(torch.tensor(points[17]))  # type: ignore[operator]
    np.testing.assert_allclose(joined(pieces, "energy")[17], energy, atol=1e-4)


def test_langevin_diverges_where_it_steps_too_far() -> None:
    pieces = ask(view(), "chain_walk", n=10, steps=60, step_size=40.0)
    lost = joined(pieces, "diverged")
    assert not lost[0].any()
    assert lost[-1].all()


def test_starts() -> None:
    shown = view("ebm", "two_moons", hidden_features=(8,))
    first = {
        start: ask(shown, "chain_walk", n=50, steps=0, start=start, at=[0.5, -0.25])[-1]
        for start in ("noise", "data", "click")
    }
    assert (first["click"].numpy()["points"][0] == np.float32([0.5, -0.25])).all()
    data = shown.dataset.train.double()
    gaps = {
        start: torch.cdist(torch.tensor(answer.numpy()["points"][0]).double(), data).amin(1)
        for start, answer in first.items()
    }
    assert float(gaps["data"].max()) < 1e-5
    assert float(gaps["noise"].min()) > 1e-5


def test_own_kernels_are_walked_by_the_model() -> None:
    shown = view("ebm", "two_moons", hidden_features=(8,))
    assert own_kernels(shown.model)[0] == "own:mala"
    assert own_kernels(view().model) == ()
    pieces = ask(shown, "chain_walk", kernel="own:langevin", n=5, steps=1)
    points = joined(pieces, "points")
    parts = joined(pieces, "drift") + joined(pieces, "noise")
    np.testing.assert_allclose(points[1], points[0] + parts[0], atol=1e-5)


def test_the_surface_is_the_energy() -> None:
    shown = view()
    (answer,) = ask(shown, "energy_surface", low=[-2, -2], high=[2, 2], size=8, side=3)
    arrays, model = answer.numpy(), shown.model
    places = torch.tensor([(x, y) for y in arrays["y"] for x in arrays["x"]]).float()
    energy = -model.log_prob(places)  # type: ignore[operator]
    np.testing.assert_allclose(arrays["energy"].ravel(), energy, atol=1e-4)
    x = torch.tensor(arrays["places"]).float().requires_grad_()
    (slope,) = torch.autograd.grad(model.log_prob(x).sum(), x)  # type: ignore[operator]
    np.testing.assert_allclose(arrays["forces"], slope, atol=1e-4)
    assert answer.values["log_z"] == 0.0
    assert answer.values["kernels"] == list(KERNELS)


def test_a_target_is_walked_on_itself() -> None:
    shown = view("planar", "rezende_mohamed")
    (answer,) = ask(shown, "energy_surface", low=[-4, -4], high=[4, 4], size=16, owner="target")
    assert answer.values["kind"] == "target"
    exact = shown.dataset.log_prob(torch.zeros(1, 2))  # type: ignore[attr-defined]
    energy = shown.dataset.energy(torch.zeros(1, 2))  # type: ignore[attr-defined]
    assert answer.values["log_z"] == pytest.approx(float(-exact - energy), abs=1e-6)
    pieces = ask(shown, "chain_walk", owner="target", n=5, steps=2)
    points = torch.tensor(joined(pieces, "points")[1])
    np.testing.assert_allclose(
        joined(pieces, "energy")[1], shown.dataset.energy(points), atol=1e-5  # type: ignore[attr-defined]
    )  # fmt: skip


def test_chains_of_pictures_are_projected() -> None:
    shown = view("ebm", "digits", hidden_features=(8,))
    pieces = ask(shown, "chain_walk", n=3, steps=2, plane="pca")
    assert joined(pieces, "states").shape == (3, 3, 64)
    assert joined(pieces, "points").shape == (3, 3, 2)
    some = ask(shown, "chain_walk", n=6, steps=2, told=4, plane="pca")
    assert joined(some, "points").shape == (3, 6, 2)
    assert joined(some, "states").shape == (3, 4, 64)  # of the first chains, however many walk
    (answer,) = ask(shown, "energy_surface", low=[-2, -2], high=[2, 2], size=8, plane="pca")
    assert answer.values["is_slice"] is True
    assert answer.values["log_z"] is None


@pytest.mark.parametrize(
    ("model", "dataset", "arguments", "words"),
    [
        ("gaussian", "gaussian", {"kernel": "walk"}, "kernel: given 'walk'"),
        ("gaussian", "gaussian", {"n": 0}, "n: given 0"),
        ("gaussian", "gaussian", {"n": 10_000, "steps": 4000}, "wanted at most 400"),
        ("gaussian", "gaussian", {"first": 3}, "without x"),
        ("gaussian", "gaussian", {"start": "click"}, "at: given 0 numbers"),
        ("gaussian", "gaussian", {"owner": "target"}, "wanted a target"),
        ("gaussian", "gaussian", {"kernel": "mala", "temperature": 0.0}, "temperature"),
        ("cnf", "gaussian", {}, "differential equation"),
        ("gan", "gaussian", {}, "an energy or a log-density"),
        ("gaussian", "gaussian_1d", {}, "given one value"),
    ],
)
def test_refusals(model: str, dataset: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask(view(model, dataset), "chain_walk", **arguments)
