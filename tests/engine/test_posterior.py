"""log p = ELBO + KL(q‖posterior): by enumeration, by quadrature, in closed form."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from engine.estimators import evidence as evidence_module
from engine.estimators.density import as_events
from engine.estimators.evidence import (
    can_enumerate,
    evidence,
    kl_to_posterior,
    log_joint_table,
    measured_elbo,
    summed_elbo,
)
from engine.estimators.gaps_by_draws import gaps_by_draws
from engine.estimators.gaussian_q import BoundOfQ, GaussianQ, best_q, walk
from engine.estimators.grid import Box
from engine.estimators.latent_grid import latent_grid
from engine.estimators.log_joint import every_value
from engine.estimators.single_event import SingleEvent
from engine.latents import Latent
from engine.probe import View
from engine.probes.elbo_bars import elbo_bars
from engine.probes.posterior_truth import posterior_truth
from engine.registry import build_dataset, build_model
from tests.engine.latent_toys import DiscreteToy, MeanFieldPPCA, generator
from tests.engine.toys import LinearToy

ALL_X = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)


def bound_of(event: SingleEvent, *, diagonal: bool) -> BoundOfQ:
    return BoundOfQ(event.log_joint, event.flat.size, diagonal=diagonal)


# --- enumeration -------------------------------------------------------------------------------


def test_elbo_plus_kl_is_log_p_on_a_discrete_model() -> None:
    model = DiscreteToy()
    elbo = measured_elbo(model, ALL_X, n_draws=16, generator=generator())
    log_prior, log_x = model.joint(ALL_X)
    log_prob = torch.logsumexp(log_prior + log_x, -1)
    table = log_joint_table(model, ALL_X)
    torch.testing.assert_close(table, (log_prior + log_x).T, atol=1e-12, rtol=0.0)
    gap = kl_to_posterior(model.encode(ALL_X).table.T, table)
    assert float((elbo.total + gap - log_prob).abs().max()) < 1e-10
    assert float((elbo.reconstruction - sum(elbo.kl_terms.values()) - elbo.total).abs().max()) < (
        1e-10
    )
    assert float(elbo.total_error.max()) == 0.0
    found = evidence(model, ALL_X, elbo.log_weights)
    assert found.kind == "exact"
    assert float((found.log_prob - log_prob).abs().max()) < 1e-10
    assert abs(float(found.log_prob.exp().sum()) - 1.0) < 1e-10


def test_bars_of_categories_add_up_without_error() -> None:
    """L3: where z can be counted the bound is a sum, not a mean of draws."""
    data = build_dataset("bars_and_stripes", n_samples=200)
    model = build_model("categorical_vae", event_shape=data.event_shape, dataset=data,
                        latent_features=3, n_states=4, hidden_features=(8,)).eval()  # fmt: skip
    found = list(
        elbo_bars.ask(View(model, data, 0), {"n_set": 20}, {"event": data.test[0].numpy()})
    )[-1]
    values: dict[str, Any] = dict(found.values)
    assert abs(values["one_gap"] - values["one_gap_direct"]) < 1e-9
    assert values["one_gap"] > 1e-4
    assert values["one_elbo_error"] == values["one_reconstruction_error"] == 0.0
    parts = values["one_reconstruction"] - sum(values["one_kl"])
    assert abs(parts - values["one_elbo"]) < 1e-12
    x = as_events(model, data.test[:5].flatten(1))
    drawn = measured_elbo(model, x, n_draws=4000, generator=generator())
    summed = summed_elbo(model, x, drawn)
    assert bool(((summed.total - drawn.total).abs() < 6.0 * drawn.total_error + 1e-5).all())
    torch.testing.assert_close(
        summed.kl_terms["z"], drawn.kl_terms["z"], atol=1e-5, rtol=0.0, check_dtype=False
    )


def test_a_joint_is_tabled_a_few_events_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = DiscreteToy()
    whole = log_joint_table(model, ALL_X)
    monkeypatch.setattr(evidence_module, "VALUES", 100)
    torch.testing.assert_close(log_joint_table(model, ALL_X), whole)
    assert can_enumerate(model, ALL_X)
    monkeypatch.setattr(evidence_module, "MOST_DECODED", 100)
    assert not can_enumerate(model, ALL_X)
    assert can_enumerate(model, ALL_X[:1])


def test_kl_to_the_posterior_itself_is_zero() -> None:
    model = DiscreteToy()
    table = log_joint_table(model, ALL_X)
    assert float(kl_to_posterior(table.log_softmax(0), table).abs().max()) < 1e-12


def test_every_value_refuses_what_is_real_or_too_much() -> None:
    like = torch.zeros(1)
    with pytest.raises(ValueError, match="given real ones"):
        every_value((Latent("z", (2,)),), like)
    with pytest.raises(ValueError, match="given 8192 values"):
        every_value((Latent("z", (13,), "binary"),), like)


def test_the_estimate_is_the_importance_weighted_bound_with_its_error() -> None:
    model = LinearToy()
    x = torch.randn(6, 2, generator=generator(1), dtype=torch.float64)
    truth, found = model.true_log_prob(x), []
    for seed in range(40):
        weights = measured_elbo(model, x, n_draws=400, generator=generator(seed)).log_weights
        found.append(evidence(model, x, weights))
        wanted = torch.logsumexp(weights, 0) - math.log(400)
        torch.testing.assert_close(found[-1].log_prob, wanted)
    assert found[0].kind == "estimate"
    assert "k = 400" in found[0].label
    values = torch.stack([each.log_prob for each in found])
    ratio = torch.stack([each.error for each in found]).mean(0) / values.std(0)
    assert float(ratio.min()) > 0.6
    assert float(ratio.max()) < 1.6
    assert float((values.mean(0) - truth).abs().max()) < 4.0 * float(values.std(0).max()) / 40**0.5


def test_the_error_of_the_bound_is_its_spread_over_draws() -> None:
    model = LinearToy()
    x = torch.randn(4, 2, generator=generator(1), dtype=torch.float64)
    found = [measured_elbo(model, x, n_draws=80, generator=generator(s)) for s in range(60)]
    spread = torch.stack([each.total for each in found]).std(0)
    error = torch.stack([each.total_error for each in found]).mean(0)
    assert float((error / spread).min()) > 0.6
    assert float((error / spread).max()) < 1.5
    assert found[0].log_weights.shape == (80, 4)


# --- quadrature and the best q -----------------------------------------------------------------


def test_the_window_finds_narrow_and_double_posteriors() -> None:
    def narrow(z: Tensor) -> Tensor:
        return -0.5 * ((z - torch.tensor([0.3, -1.0])) / 0.004).square().sum(-1)

    room = Box((-8.0, -8.0), (8.0, 8.0))
    grid = latent_grid(narrow, room)
    assert abs(grid.log_prob - math.log(2.0 * math.pi * 0.004**2)) < 1e-9
    torch.testing.assert_close(grid.mean, torch.tensor([0.3, -1.0]).double(), atol=1e-6, rtol=0.0)
    assert grid.edge_mass < 1e-12

    def double(z: Tensor) -> Tensor:
        each = [-0.5 * ((z - c) / 0.03).square().sum(-1) for c in (-2.0, 1.5)]
        return torch.logsumexp(torch.stack(each), 0)

    for size in (1, 2):
        grid = latent_grid(double, Box((-8.0,) * size, (8.0,) * size))
        wanted = math.log(2.0) + size * math.log(0.03 * math.sqrt(2.0 * math.pi))
        assert abs(grid.log_prob - wanted) < 1e-3
    with pytest.raises(ValueError, match="zero wherever"):
        latent_grid(lambda z: torch.full((len(z),), -torch.inf), room)


def test_gaps_of_a_linear_decoder_are_those_of_the_closed_form() -> None:
    """q* has the posterior's mean and the inverse of its precision's diagonal."""
    model = MeanFieldPPCA()
    x = torch.tensor([[1.4, -1.0, 0.0]], dtype=torch.float64)
    precision = torch.eye(2).double() + model.W.mT @ model.W / model.sigma2
    mean = torch.linalg.solve(precision, model.W.mT @ (x[0] - model.mu) / model.sigma2)
    posterior = MultivariateNormal(mean, precision_matrix=precision)
    own, star = (
        MultivariateNormal(m, torch.diag(v))
        for m, v in (
            (mean + 0.3, torch.full((2,), 0.25).double()),
            (mean, 1.0 / precision.diagonal()),
        )
    )
    approximation = float(kl_divergence(star, posterior))
    amortisation = float(kl_divergence(own, posterior)) - approximation
    data = build_dataset("gaussian", n_samples=20)
    result = list(posterior_truth.ask(View(model, data, 0), {}, {"event": x[0].numpy()}))[-1]
    values: dict[str, Any] = dict(result.values)
    assert abs(values["log_prob"] - float(model.log_prob(x)[0])) < 1e-6
    assert approximation > 0.01
    assert abs(values["approximation_gap"] - approximation) < 1e-3
    assert amortisation > 0.1
    assert abs(values["amortisation_gap"] - amortisation) < 1e-3
    assert values["n_agreeing"] == values["n_starts"]
    arrays = result.numpy()
    torch.testing.assert_close(
        torch.from_numpy(arrays["best_covariance"]), torch.diag(1.0 / precision.diagonal()),
        atol=1e-3, rtol=0.0,
    )  # fmt: skip
    assert arrays["walk_elbo"][-1] > values["best_elbo"] - 1e-2
    assert abs(arrays["walk_elbo"][0] - values["elbo"]) < 1e-9


def test_gaps_by_draws_are_those_of_the_closed_form() -> None:
    model = MeanFieldPPCA()
    event = SingleEvent.of(model, torch.tensor([[1.4, -1.0, 0.0]]))
    q = event.gaussian()
    assert q is not None
    precision = torch.eye(2).double() + model.W.mT @ model.W / model.sigma2
    posterior = MultivariateNormal(q.mean - 0.3, precision_matrix=precision)
    own, star = (
        MultivariateNormal(m, torch.diag(v))
        for m, v in (
            (q.mean, torch.full((2,), 0.25).double()),
            (q.mean - 0.3, 1.0 / precision.diagonal()),
        )
    )
    approximation = float(kl_divergence(star, posterior))
    amortisation = float(kl_divergence(own, posterior)) - approximation
    found = gaps_by_draws(event, q, q, generator(), n_steps=30, learning_rate=0.05)
    # What is climbed on some draws falls a little short of the best on others.
    assert abs(found.amortisation - amortisation) < 5.0 * found.amortisation_error + 0.02
    assert found.amortisation_error < 0.05
    exact = float(model.log_prob(event.x)[0])
    assert abs(found.log_prob - exact) < 5.0 * found.log_prob_error
    assert abs(found.log_prob - found.best_elbo - approximation) < 0.1
    assert len(found.walk.elbo) == 31


def test_many_latents_have_gaps_without_a_picture() -> None:
    model = build_model("vae", event_shape=(2,), hidden_features=(8,), latent_features=4)
    data = build_dataset("two_moons", n_samples=100)
    model.prepare(data.train, generator=generator())
    event = {"event": data.test[0].numpy()}
    result = list(posterior_truth.ask(View(model.eval(), data, 0), {"n_steps": 10}, event))[-1]
    values: dict[str, Any] = dict(result.values)
    assert values["kind"] == "estimate"
    assert values["amortisation_gap"] > 3.0 * values["amortisation_gap_error"] > 0.0
    assert abs(values["approximation_gap"] + values["amortisation_gap"] - values["gap"]) < 1e-9
    assert "log_posterior" not in result.numpy()
    assert len(result.numpy()["walk_elbo"]) == 11


def test_both_gaps_of_ppca_are_zero() -> None:
    data = build_dataset("two_moons", n_samples=200)
    model = build_model("ppca", event_shape=(2,), estimator="closed_form")
    model.prepare(data.train, generator=generator())
    model.train_step(data.train, None, generator())  # type: ignore[arg-type]
    event = {"event": data.test[0].numpy()}
    values: dict[str, Any] = dict(
        list(posterior_truth.ask(View(model, data, 0), {}, event))[-1].values
    )
    assert abs(values["approximation_gap"]) < 1e-3
    assert abs(values["amortisation_gap"]) < 1e-3


def test_the_best_q_is_found_again_from_far_away_and_the_walk_climbs() -> None:
    event = SingleEvent.of(MeanFieldPPCA(), torch.tensor([[1.4, -1.0, 0.0]]))
    eye = torch.eye(2).double()
    far = [GaussianQ(torch.tensor([a, b]).double(), s * eye)
           for a, b, s in ((4.0, -4.0, 0.1), (0.0, 0.0, 3.0), (-3.0, 1.0, 0.01))]  # fmt: skip
    bound = bound_of(event, diagonal=False)
    best = best_q(bound, far)
    assert best.n_agreeing == 3
    # With correlations the family holds the posterior, and the bound is log p(x).
    exact = float(event.model.log_prob(event.x)[0])  # type: ignore[operator]
    assert abs(best.elbo - exact) < 1e-6
    taken = walk(bound, far[1], n_steps=150, learning_rate=0.05)
    assert float(taken.elbo[-1] - taken.elbo[0]) > 1.0
    assert float(taken.elbo.max()) <= exact + 1e-9
    assert float(taken.elbo.diff().min()) >= 0.0
    assert float(exact - taken.elbo[-1]) < 0.01
    assert taken.means.shape == (151, 2)


def test_a_walk_that_begins_at_the_best_q_stays_there() -> None:
    event = SingleEvent.of(MeanFieldPPCA(), torch.tensor([[1.4, -1.0, 0.0]]))
    bound = bound_of(event, diagonal=False)
    best = best_q(bound, [GaussianQ(torch.zeros(2).double(), torch.eye(2).double())])
    taken = walk(bound, best.q, n_steps=20, learning_rate=0.05)
    assert float((taken.elbo - best.elbo).abs().max()) < 1e-9


def test_the_gauss_hermite_bound_is_the_models_own() -> None:
    model = build_model("vae", event_shape=(2,), hidden_features=(16,))
    event = SingleEvent.of(model, torch.tensor([[0.4, -0.7]]))
    q = event.gaussian()
    assert q is not None
    value = float(bound_of(event, diagonal=True)(q).detach())
    elbo = measured_elbo(event.model, event.x, n_draws=8000, generator=generator())  # type: ignore[arg-type]
    assert abs(value - float(elbo.total[0])) < 5.0 * float(elbo.total_error[0])
    assert float(elbo.total_error[0]) < 0.1


# --- the probes --------------------------------------------------------------------------------


def bars(model: Any, wanted: dict[str, Any], event: Any = None) -> dict[str, Any]:
    data = build_dataset("two_moons", n_samples=100)
    arrays = {} if event is None else {"event": event}
    return dict(list(elbo_bars.ask(View(model, data, 0), wanted, arrays))[-1].values)


@pytest.mark.parametrize(
    ("name", "kind"), [("vae", "quadrature"), ("ppca", "exact"), ("gaussian_mixture", "exact")]
)
def test_the_bars_add_up(name: str, kind: str) -> None:
    model = build_model(name, event_shape=(2,), seed=1).eval()
    data = build_dataset("two_moons", n_samples=100)
    model.prepare(data.train, generator=generator())
    values = bars(model, {"n_draws": 256, "n_set": 8, "set_draws": 16}, data.test[0].numpy())
    assert values["one_kind"] == kind
    for prefix in ("one", "set"):
        total = values[f"{prefix}_reconstruction"] - sum(values[f"{prefix}_kl"])
        assert abs(total - values[f"{prefix}_elbo"]) < 1e-4
        gap = values[f"{prefix}_log_prob"] - values[f"{prefix}_elbo"]
        assert abs(gap - values[f"{prefix}_gap"]) < 1e-9
        assert gap > -3.0 * values[f"{prefix}_gap_error"] - 1e-6
    if name == "gaussian_mixture":
        assert abs(values["one_gap_direct"] - values["one_gap"]) < 1e-10
    if name == "vae":
        coarse = bars(model, {"integrate": False, "n_set": 0}, data.test[0].numpy())
        assert coarse["one_kind"] == "estimate"
        event = SingleEvent.of(model, data.test[:1])
        grid = latent_grid(event.log_joint, event.room(generator()), nodes=400)
        assert abs(values["one_log_prob"] - grid.log_prob) < 1e-4
        assert values["one_log_prob_error"] < 1e-2


def test_a_point_of_the_window_and_an_event_are_the_same() -> None:
    model = build_model("vae", event_shape=(2,), seed=1).eval()
    wanted = {"n_draws": 64, "n_set": 0}
    one = bars(model, {**wanted, "point": [0.5, 0.25]})
    other = bars(model, wanted, torch.tensor([0.5, 0.25]).numpy())
    assert one == other
    assert "set_elbo" not in one


def test_refusals_name_what_was_given() -> None:
    model = build_model("vae", event_shape=(2,), latent_features=5)
    data = build_dataset("two_moons", n_samples=50)
    with pytest.raises(ValueError, match="given 3 values, wanted 2"):
        bars(model, {}, torch.zeros(3).numpy())
    with pytest.raises(ValueError, match="n_draws: given 0"):
        bars(model, {"n_draws": 0})
    with pytest.raises(ValueError, match="given 5 latents, wanted 1 or 2"):
        SingleEvent.of(model, data.test[:1])
    mixture = build_model("gaussian_mixture", event_shape=(2,))
    with pytest.raises(ValueError, match="given discrete latents"):
        list(posterior_truth.ask(View(mixture, data, 0), {"point": [0.0, 0.0]}))
    with pytest.raises(ValueError, match="given no event"):
        list(posterior_truth.ask(View(model, data, 0), {}))
    with pytest.raises(ValueError, match="start: given 'nowhere'"):
        list(posterior_truth.ask(View(model, data, 0), {"start": "nowhere"}))


@pytest.mark.parametrize("name", ["vlae", "hvae", "ladder_vae"])
def test_two_levels_of_one_latent_each_have_a_true_posterior(name: str) -> None:
    """The VLAE's levels have no parents, so their prior draws all by themselves."""
    data = build_dataset("two_moons", n_samples=60)
    settings: dict[str, Any] = {"hidden_features": (6, 6), "latent_features": 1}
    if name != "vlae":
        settings |= {"n_layers": 2, "level_features": (6,)}
    model = build_model(name, event_shape=(2,), **settings).double().eval()
    event = {"event": data.test[0].numpy()}
    found = list(posterior_truth.ask(View(model, data, 0), {"n_steps": 2}, event))[-1]
    values: dict[str, Any] = dict(found.values)
    assert values["kind"] == "quadrature"
    assert len(values["names"]) == 2
    x = data.test[:1].double()
    z = torch.randn(200_000, 2, generator=generator(), dtype=torch.float64)
    known: dict[str, Any] = {}
    for place, latent in enumerate(model.latents):
        prior = model.prior(known)
        known[latent.name] = (prior.mean + prior.stddev * z[:, place, None]).detach()
    log_x = model.decode(known).log_prob(x).detach()
    estimate = float(torch.logsumexp(log_x, 0)) - math.log(len(z))
    spread = float((log_x - log_x.max()).exp().std() / (log_x - log_x.max()).exp().mean())
    assert abs(values["log_prob"] - estimate) < 6.0 * spread / len(z) ** 0.5 + 1e-3
