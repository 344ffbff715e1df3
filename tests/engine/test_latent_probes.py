"""Latent probes against closed forms: encodings, densities on a plane, lattices, traversals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from engine.estimators.aggregate import mass_within
from engine.estimators.latent_space import encode
from engine.latents import Latent
from engine.probe import Result, View
from engine.probes.latent_traverse import coordinate_kl
from engine.registry import build_model, probes
from tests.engine.toys import GaussianToy, ImplicitToy, Table, toy_card, view

N = 60


class Points(Table):
    """All points are in every split."""

    def _split(self, points: Tensor, labels: Tensor | None = None) -> None:
        self.train = self.valid = self.test = points


@pytest.fixture(scope="module")
def planted() -> View:
    """A ppca of three coordinates and two latents with known parameters, and its data."""
    model = build_model("ppca", event_shape=(3,), latent_features=2)
    model.double()
    model.W.copy_(torch.tensor([[2.0, 0.3], [-0.5, 1.0], [0.2, 0.4]]))
    model.sigma2.fill_(0.3)
    model.location.copy_(torch.tensor([0.5, -1.0, 0.0]))
    points = model.sample(N, generator=torch.Generator().manual_seed(1))
    return view(model, Points(points.float()))


def ask(shown: View, name: str, **given: Any) -> Result:
    arrays = {k: v for k, v in given.items() if isinstance(v, np.ndarray)}
    plain = {k: v for k, v in given.items() if not isinstance(v, np.ndarray)}
    return [*probes()[name].ask(shown, plain, arrays)][-1]


def posterior(shown: View) -> tuple[Any, Any]:
    """Means (N, 2) and the covariance (2, 2), by Tipping and Bishop's formula in numpy."""
    W, sigma2 = shown.model.W.numpy(), float(shown.model.sigma2)  # type: ignore[union-attr]
    inner = np.linalg.inv(W.T @ W + sigma2 * np.eye(2))
    centred = shown.dataset.train.double().numpy() - shown.model.location.numpy()
    return centred @ W @ inner, sigma2 * inner


PLANE: dict[str, Any] = {"centre": np.zeros(2), "basis": np.eye(2)}


def test_encodings_are_the_posterior(planted: View) -> None:
    found = ask(planted, "latent_encodings", n=1000)
    means, covariance = posterior(planted)
    np.testing.assert_allclose(found.arrays["means"], means, atol=1e-5)
    deviations = np.broadcast_to(np.sqrt(np.diag(covariance)), means.shape)
    np.testing.assert_allclose(found.arrays["deviations"], deviations, rtol=1e-5)
    assert found.values["kind"] == "mean"
    assert (found.values["names"], found.values["sizes"]) == (["z"], [2])
    np.testing.assert_array_equal(found.arrays["indices"], np.arange(N))


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_aggregate_posterior_is_the_known_mixture(planted: View, turn: float) -> None:
    """On any plane; at 0.7 rad its Gaussians are tilted otherwise."""
    basis = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    centre = np.array([0.2, -0.1])
    found = ask(planted, "latent_density", low=(-6.0, -5.0), high=(5.0, 6.0), size=60,
                centre=centre, basis=basis)  # fmt: skip
    means, covariance = posterior(planted)
    x, y = (low + (np.arange(60) + 0.5) * 11 / 60 for low in (-6.0, -5.0))
    z = centre + np.stack(np.meshgrid(x, y), -1) @ basis
    parts = [stats.multivariate_normal(m, covariance).logpdf(z) for m in means]
    truth = logsumexp(np.array(parts), 0) - np.log(N)
    likely = truth > -30
    np.testing.assert_allclose(found.arrays["log_aggregate"][likely], truth[likely], atol=1e-4)
    prior = stats.multivariate_normal(np.zeros(2), np.eye(2)).logpdf(z)
    np.testing.assert_allclose(found.arrays["log_prior"], prior, atol=1e-5)
    for name in ("aggregate", "prior"):
        assert found.values[f"{name}_kind"] == "exact"
        assert found.values[f"{name}_mass"] == pytest.approx(1.0, abs=2e-3)
        assert len(found.arrays[f"{name}_points"]) == found.arrays[f"{name}_starts"][-1] > 20


def test_masses_are_exact_however_narrow_the_posteriors_are() -> None:
    """On a grid whose cells are far wider than they are."""
    means = torch.tensor([[0.1, 0.2], [0.9, -0.5], [3.0, 0.0]], dtype=torch.float64)
    narrow = torch.diag_embed(torch.tensor([[1e-4, 4e-4]] * 3, dtype=torch.float64))
    low, high = torch.tensor([-1.0, -0.5]).double(), torch.tensor([1.0, 1.0]).double()
    share = mass_within(means, narrow, low, high)
    assert share == pytest.approx((1.0 + 0.5 + 0.0) / 3, abs=1e-12)
    wide = torch.diag_embed(torch.tensor([[1.0, 0.25]] * 3, dtype=torch.float64))
    boxes = [
        np.prod([stats.norm(m[i], s).cdf(h) - stats.norm(m[i], s).cdf(low_i)
                 for i, (s, low_i, h) in enumerate(zip((1.0, 0.5), low, high, strict=True))])
        for m in means.numpy()
    ]  # fmt: skip
    assert mass_within(means, wide, low, high) == pytest.approx(np.mean(boxes), rel=1e-9)
    tilted = torch.tensor([[[1.0, 0.5], [0.5, 1.0]]], dtype=torch.float64)
    assert mass_within(means[:1], tilted, low, high) is None


def test_an_axis_shows_the_marginal(planted: View) -> None:
    found = ask(planted, "latent_density", low=(-6.0,), high=(6.0,), size=300,
                centre=np.zeros(2), basis=np.array([[0.6, 0.8]]))  # fmt: skip
    means, covariance = posterior(planted)
    x = -6.0 + (np.arange(300) + 0.5) * 12 / 300
    along = np.array([0.6, 0.8])
    parts = [stats.norm(m @ along, np.sqrt(along @ covariance @ along)).pdf(x) for m in means]
    np.testing.assert_allclose(np.exp(found.arrays["log_aggregate"]), np.mean(parts, 0), atol=1e-5)
    np.testing.assert_allclose(np.exp(found.arrays["log_prior"]), stats.norm.pdf(x), atol=1e-6)


def test_diagonal_posteriors_of_a_vae_are_summed_exactly() -> None:
    model = build_model("vae", event_shape=(2,), latent_features=3, hidden_features=(8,), seed=4)
    points = torch.randn(25, 2, generator=torch.Generator().manual_seed(0))
    model.prepare(points, generator=torch.Generator().manual_seed(0))
    shown = view(model, Points(points))
    q = model.encode(points)
    mean, scale = (v.detach().double().numpy() for v in (q.mean, q.scale))
    found = ask(shown, "latent_density", low=(-3.0, -3.0), high=(3.0, 3.0), size=40,
                centre=np.zeros(3), basis=np.eye(3)[[2, 0]])  # fmt: skip
    x = -3.0 + (np.arange(40) + 0.5) * 6 / 40
    along = [stats.norm.pdf(x[:, None], mean[:, i], scale[:, i]) for i in (2, 0)]
    truth = along[1] @ along[0].T / 25
    np.testing.assert_allclose(np.exp(found.arrays["log_aggregate"]), truth, atol=1e-4)
    z = np.array([[0.3, -0.2, 0.1], [4.0, 0.0, -3.0]])
    at = ask(shown, "latent_decode", z=z, n=100)
    each = stats.norm.logpdf(z[:, None], mean, scale).sum(-1)
    np.testing.assert_allclose(at.arrays["log_aggregate"], logsumexp(each, 1) - np.log(25),
                               rtol=1e-4)  # fmt: skip
    assert at.values["aggregate_n"] == 25


class DrawsToy(GaussianToy):
    """x ~ N(z, 1); q is N(x/2, 1/2), but tells of itself by draws only."""

    card = toy_card("draws")

    @property
    def latents(self) -> tuple[Latent, ...]:
        return (Latent("z", (2,)),)

    def prior(self, parents: Any) -> Distribution:
        zeros = torch.zeros(2, dtype=torch.float64)
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def decode(self, latents: Any, **_: Any) -> Distribution:
        return Independent(Normal(latents["z"], torch.ones_like(latents["z"])), 1)

    def encode(self, x: Tensor, **_: Any) -> Any:
        class Drawn:
            def sample(self, k: int, generator: torch.Generator) -> Any:
                noise = torch.randn(k, *x.shape, generator=generator, dtype=x.dtype)
                return {"z": x / 2 + noise * 0.5**0.5}, torch.zeros(k, len(x))

        return Drawn()


def test_what_is_known_by_draws_is_an_estimate_and_says_so() -> None:
    points = torch.randn(200, 2, generator=torch.Generator().manual_seed(5))
    shown = view(DrawsToy(), Points(points))
    found = ask(shown, "latent_density", low=(-5.0, -5.0), high=(5.0, 5.0), size=50, **PLANE)
    assert found.values["aggregate_kind"] == "estimate"
    assert found.values["aggregate_mass"] == pytest.approx(1.0, abs=5e-3)
    x = -5.0 + (np.arange(50) + 0.5) * 10 / 50
    grid = np.stack(np.meshgrid(x, x), -1)
    centres = points.double().numpy() / 2
    truth = np.mean([stats.multivariate_normal(m, 0.5 * np.eye(2)).pdf(grid) for m in centres], 0)
    np.testing.assert_allclose(np.exp(found.arrays["log_aggregate"]), truth, atol=0.02)
    encodings = ask(shown, "latent_encodings", n=200, n_draws=400)
    assert encodings.values["kind"] == "mean of draws"
    np.testing.assert_allclose(encodings.arrays["means"], centres, atol=0.2)
    assert "log_aggregate" not in ask(shown, "latent_decode", z=np.zeros((1, 2)), n=50).arrays


def test_independent_levels_are_known_exactly() -> None:
    model = build_model("vlae", event_shape=(2,), hidden_features=(6, 5)).eval()
    points = torch.randn(30, 2, generator=torch.Generator().manual_seed(5))
    shown = view(model, Points(points))
    lowest = model.encode(points).part("z_1")
    found = ask(shown, "latent_encodings", n=30, latent="z_1")
    assert found.values["kind"] == "mean"
    np.testing.assert_allclose(found.arrays["means"], lowest.mean.detach(), atol=1e-6)
    own = ask(shown, "latent_traverse", latent="z_1", n=30)
    assert own.values["order"] == "kl"
    kl = lowest.kl_of_each.mean(0).sort(descending=True).values
    np.testing.assert_allclose(own.arrays["kl"], kl.detach(), rtol=1e-5)
    shade = ask(shown, "latent_density", latent="z_1", low=(-3.0, -3.0), high=(3.0, 3.0), **PLANE)
    assert shade.values["aggregate_kind"] == "exact"


def test_decoding_gives_distribution_and_numbers(planted: View) -> None:
    z = np.array([[0.5, -1.0], [2.0, 0.0]])
    found = ask(planted, "latent_decode", z=z, n=1000, n_draws=3000)
    W, mu = planted.model.W.numpy(), planted.model.location.numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(found.arrays["means"], z @ W.T + mu, atol=1e-5)
    np.testing.assert_allclose(found.arrays["deviations"], np.full((2, 3), 0.3**0.5), rtol=1e-6)
    np.testing.assert_allclose(found.arrays["draws"].mean(1), z @ W.T + mu, atol=0.05)
    np.testing.assert_allclose(found.arrays["log_prior"], stats.norm.logpdf(z).sum(1), rtol=1e-6)
    means, covariance = posterior(planted)
    each = [stats.multivariate_normal(m, covariance).logpdf(z) for m in means]
    truth = logsumexp(np.array(each), 0) - np.log(N)
    np.testing.assert_allclose(found.arrays["log_aggregate"], truth, rtol=1e-6)
    assert found.values["family"] == "Normal"


def test_lattices_lie_at_the_priors_quantiles_or_evenly(planted: View) -> None:
    W, mu = planted.model.W.numpy(), planted.model.location.numpy()  # type: ignore[union-attr]
    found = ask(planted, "latent_lattice", nodes=5, between=3, **PLANE)
    places = stats.norm.ppf((np.arange(5) + 0.5) / 5)
    np.testing.assert_allclose(found.arrays["x"], places, atol=1e-9)
    z = np.stack(np.meshgrid(places, places), -1)
    np.testing.assert_allclose(found.arrays["pictures"], z @ W.T + mu, atol=1e-5)
    lines = found.arrays["lines"]
    assert lines.shape == (10, 17, 3)
    np.testing.assert_allclose(lines[1, 4], np.array([places[1], places[1]]) @ W.T + mu, atol=1e-5)
    np.testing.assert_allclose(lines[6, 8], np.array([places[2], places[1]]) @ W.T + mu, atol=1e-5)
    even = ask(planted, "latent_lattice", nodes=3, spacing="even", low=[-1, -2], high=[1, 2],
               **PLANE)  # fmt: skip
    np.testing.assert_allclose(even.arrays["y"], [-2, 0, 2])


def test_coordinates_are_ranked_by_their_kl() -> None:
    model = build_model("vae", event_shape=(2,), latent_features=4, hidden_features=(8,), seed=1)
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    model.prepare(points, generator=torch.Generator().manual_seed(0))
    shown = view(model, Points(points))
    found = ask(shown, "latent_traverse", rows=3, steps=5, reach=2.0)
    q = model.encode(points)
    standard = Normal(torch.zeros(4), torch.ones(4))
    each = torch.distributions.kl_divergence(Normal(q.mean, q.scale), standard).mean(0).detach()
    order = each.argsort(descending=True)[:3]
    np.testing.assert_array_equal(found.arrays["coordinates"], order)
    np.testing.assert_allclose(found.arrays["kl"], each[order], rtol=1e-4)
    assert each.sum().item() == pytest.approx(q.kl.mean().item(), rel=1e-4)
    assert found.values["order"] == "kl"
    z = torch.zeros(1, 4)
    z[0, order[1]] = 1.0
    expected = model.decode({"z": z}).mean[0].detach()
    np.testing.assert_allclose(found.arrays["pictures"][1, 3], expected, atol=1e-5)
    moved = ask(shown, "latent_traverse", rows=1, steps=3, reach=1.0, z=np.full(4, 0.5))
    np.testing.assert_allclose(moved.arrays["z"][0], [-0.5, 0.5, 1.5])


@pytest.mark.parametrize(
    ("name", "config", "latent"),
    [("flow_prior_vae", {"n_layers": 2}, "z"), ("hvae", {"n_layers": 2}, "z_1")],
)
def test_under_a_prior_that_is_no_normal_the_ranking_is_an_estimate(
    name: str, config: dict[str, Any], latent: str
) -> None:
    model = build_model(name, event_shape=(2,), latent_features=3, **config).eval()
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(5))
    found = ask(view(model, Points(points)), "latent_traverse", latent=latent, n=40)
    assert found.values["order"] == "kl estimate"
    kl = found.arrays["kl"]
    assert (kl[:-1] >= kl[1:]).all()
    assert kl[-1] > 0.0


def test_tilted_posteriors_are_ranked_by_their_marginals(planted: View) -> None:
    found = ask(planted, "latent_traverse")
    assert found.values["order"] == "kl estimate"
    means, covariance = posterior(planted)
    spread = np.diag(covariance)
    truth = 0.5 * (spread + means**2 - 1 - np.log(spread)).mean(0)
    codes = encode(planted.model, planted.dataset.train, planted.model.latents[0],  # type: ignore
                   generator=torch.Generator())  # fmt: skip
    ranked = coordinate_kl(codes, torch.zeros(2), torch.ones(2))
    np.testing.assert_allclose(ranked, truth, rtol=1e-5)


def test_a_generator_has_no_encodings_but_a_plane() -> None:
    shown = view(ImplicitToy(), Points(torch.randn(20, 2)))
    found = ask(shown, "latent_encodings", n=15)
    assert found.values["kind"] == "prior"
    assert len(found.arrays["means"]) == 15
    size = found.arrays["means"].shape[1]
    plane = {"centre": np.zeros(size), "basis": np.eye(size)[:2]}
    density = ask(shown, "latent_density", low=(-4.0,) * min(size, 2), high=(4.0,) * min(size, 2),
                  **plane)  # fmt: skip
    assert "log_aggregate" not in density.arrays
    assert density.values["prior_mass"] == pytest.approx(1.0, abs=1e-3)
    assert ask(shown, "latent_traverse", rows=2).values["order"] == "index"


def test_a_mixtures_components_are_its_levels() -> None:
    model = build_model("gaussian_mixture", event_shape=(2,), n_components=3)
    points = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    model.prepare(points, generator=torch.Generator().manual_seed(0))
    shown = view(model, Points(points))
    found = ask(shown, "latent_traverse")
    assert found.arrays["pictures"].shape == (1, 3, 2)
    np.testing.assert_allclose(found.arrays["pictures"][0], model.components().means, atol=1e-5)
    assert ask(shown, "latent_encodings").values["kinds"] == ["category"]
    with pytest.raises(ValueError, match="is a category, wanted a real one"):
        ask(shown, "latent_lattice", centre=np.zeros(1), basis=np.eye(1))


def test_a_coin_is_binary_and_no_plane() -> None:
    model = build_model("bernoulli_gaussian", event_shape=(2,))
    with pytest.raises(ValueError, match="Gaussians is binary, wanted a real one"):
        ask(view(model, Points(torch.randn(9, 2))), "latent_point", index=0)


def test_bits_are_shown_in_all_patterns_or_one_by_one() -> None:
    class Bits(GaussianToy):
        card = toy_card("bits")
        n_bits = 2

        @property
        def latents(self) -> tuple[Latent, ...]:
            return (Latent("b", (self.n_bits,), "binary"),)

        def prior(self, parents: Any) -> Distribution:
            return Independent(Bernoulli(torch.full((self.n_bits,), 0.5)), 1)

        def decode(self, latents: Any, **_: Any) -> Distribution:
            return Independent(Normal(latents["b"][..., :2].double(), 1.0), 1)

    shown = view(Bits(), Points(torch.randn(10, 2)))
    found = ask(shown, "latent_traverse").arrays["pictures"][0]
    np.testing.assert_array_equal(found, [[0, 0], [0, 1], [1, 0], [1, 1]])
    Bits.n_bits = 9
    found = ask(shown, "latent_traverse").arrays["pictures"][0]
    assert found.shape == (10, 2)
    np.testing.assert_array_equal(found[:3], [[0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("probe", "given", "words"),
    [
        ("latent_encodings", {"n": 0}, "n: given 0"),
        ("latent_encodings", {"latent": "w"}, "wanted one of z"),
        ("latent_density", {"low": (0.0, 0.0), "high": (1.0, 1.0), "centre": np.zeros(2),
                            "basis": np.ones((2, 2))}, "not orthonormal"),
        ("latent_density", {"low": (0.0, 0.0), "high": (1.0, 1.0), "centre": np.zeros(2),
                            "basis": np.ones((2, 3))}, "wanted one or two rows of 2"),
        ("latent_decode", {"z": np.zeros((1, 5))}, "wanted rows of 2 values"),
        ("latent_decode", {"z": np.full((1, 2), np.nan)}, "NaN or infinity"),
        ("latent_lattice", {**PLANE, "nodes": 1}, "nodes: given 1"),
        ("latent_traverse", {"reach": 0.0}, "reach: given 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(planted: View, probe: str, given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask(planted, probe, **given)
