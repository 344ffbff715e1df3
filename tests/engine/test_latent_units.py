"""Collapse alarm: KL and activity of units against closed forms; a planted dead unit is found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from engine.estimators.rate_distortion import rate_distortion_of
from engine.estimators.unit_use import unit_use
from engine.estimators.units import Means, activity, perplexity, posterior_means, unit_kl
from engine.model import GenerativeModel
from engine.models.latent.vae import VAEConfig
from engine.probe import View
from engine.probes.latent_units import latent_units
from engine.probes.rate_distortion import rate_distortion
from engine.registry import build_dataset, build_model
from engine.training import Trainer
from tests.engine.latent_toys import DeadVAE, DiscreteToy, MeanFieldPPCA, generator


def asked(model: GenerativeModel, data: Any, **wanted: Any) -> tuple[dict[str, Any], Any]:
    result = list(latent_units.ask(View(model, data, 0), wanted))[-1]
    return dict(result.values), result.numpy()


def test_a_planted_dead_unit_is_flagged_within_fifty_steps() -> None:
    data = build_dataset("two_moons", n_samples=1000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DeadVAE((2,), VAEConfig(latent_features=3, hidden_features=(64, 64)))
    trainer = Trainer(model, data, batch_size=256, seed=0, device="cpu")
    before, start = asked(model, data, n=100)
    assert start["unit_use"][1] == 0.0
    for _ in range(50):
        trainer.step()
    model.eval()
    values, arrays = asked(model, data, n=100)
    assert arrays["unit_dead"].tolist() == [False, True, False]
    assert values["n_dead"] == [1]
    assert arrays["unit_use"][1] == 0.0
    assert arrays["unit_use"][0] > 0.1 < arrays["unit_use"][2]
    assert values["n_units"] == before["n_units"] == [3]
    np.testing.assert_allclose(arrays["unit_kl"].sum(), values["kl"][0], rtol=1e-4)


@pytest.mark.parametrize(("name", "config"), [("vae", {}), ("vlae", {"hidden_features": (8, 8)})])
def test_a_decoder_that_ignores_every_unit_is_flagged_at_once(
    name: str, config: dict[str, Any]
) -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model(name, event_shape=(2,), latent_features=2, **config)
    trainer = Trainer(model, data, batch_size=64, seed=0, device="cpu")
    for _ in range(60):
        trainer.step()
    model.eval()
    *_, last = (m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        last.weight.zero_()
    _, arrays = asked(model, data, n=60)
    assert (arrays["unit_use"] == 0.0).all()
    assert arrays["unit_dead"].all()
    assert arrays["unit_activity"].max() > 0.1  # the encoder does not know yet


def test_use_is_the_change_when_a_unit_is_exchanged() -> None:
    model = MeanFieldPPCA()
    x = torch.randn(5, 3, generator=generator(), dtype=torch.float64)
    z = model.encode(x).sample(1, generator(3))[0]["z"][0]
    changes = []
    for row in range(5):
        other = z[row].clone()
        other[1] = z[row - 1, 1]
        pair = model.decode({"z": torch.stack([z[row], other])}).log_prob(x[row].expand(2, 3))
        changes.append(float((pair[0] - pair[1]).abs()))
    found = unit_use(model, model.latents, x, generator=generator(3))["z"]
    np.testing.assert_allclose(float(found[1]), np.mean(changes), rtol=1e-12)


def test_use_is_unknown_of_levels_that_act_through_others() -> None:
    data = build_dataset("two_moons", n_samples=60)
    model = build_model("hvae", event_shape=(2,), n_layers=2).eval()
    found = unit_use(model, model.latents, data.test[:6], generator=generator())
    lowest = model.latents[-1].name
    assert bool((found[lowest] > 0.0).any())
    assert all(bool(u.isnan().all()) for name, u in found.items() if name != lowest)


def test_unit_kl_is_that_of_torch() -> None:
    model = MeanFieldPPCA()
    x = torch.randn(9, 3, generator=generator(), dtype=torch.float64)
    q = model.encode(x)
    wanted = kl_divergence(Normal(q.mean, q.scale), Normal(0.0, 1.0)).mean(0)
    torch.testing.assert_close(unit_kl(model, model.latents, x)["z"], wanted)


def test_activity_takes_off_what_drawing_added() -> None:
    truth = torch.tensor([0.0, 0.3, 1.0]).double()
    means = truth * torch.randn(20_000, 3, generator=generator(), dtype=torch.float64)
    noise = torch.full_like(means, 0.25)
    seen = means + 0.5 * torch.randn(means.shape, generator=generator(1), dtype=torch.float64)
    found = activity(Means(seen, noise))
    torch.testing.assert_close(found, truth.square(), atol=0.03, rtol=0.0)


def test_means_of_discrete_latents_are_their_chances() -> None:
    model = DiscreteToy()
    x = torch.eye(4).double()
    found = posterior_means(model, model.latents, x, generator=generator())
    table = model.encode(x).table.exp().view(4, 2, 2, 3)
    wanted = torch.stack([table[:, 1].sum((1, 2)), table[:, :, 1].sum((1, 2))], 1)
    error = found["a"].noise.sqrt() + 1e-3
    assert bool(((found["a"].values - wanted).abs() < 5.0 * error).all())
    assert found["b"].values.shape == (4, 3)
    torch.testing.assert_close(found["b"].values.sum(1), torch.ones(4).double())


def test_perplexity_counts_the_values_in_use() -> None:
    one_hot = torch.eye(6).double()[[0, 1, 2] * 4]
    assert abs(perplexity(one_hot) - 3.0) < 1e-12
    side_by_side = torch.cat([one_hot, torch.eye(6).double()[[0] * 12]], 1)
    assert abs(perplexity(side_by_side, 2) - 3.0**0.5) < 1e-12
    skew = torch.tensor([[0.9, 0.1, 0.0]], dtype=torch.float64)
    wanted = math.exp(-(0.9 * math.log(0.9) + 0.1 * math.log(0.1)))
    assert abs(perplexity(skew) - wanted) < 1e-12


def test_an_unused_code_is_dead() -> None:
    data = build_dataset("two_moons", n_samples=400)
    model = build_model("gaussian_mixture", event_shape=(2,), n_components=3)
    model.prepare(data.train, generator=generator())
    with torch.no_grad():
        model.means[2] = 60.0
    values, arrays = asked(model, data, n=40)
    assert values["kinds"] == ["category"]
    assert arrays["unit_dead"].tolist() == [False, False, True]
    np.testing.assert_allclose(arrays["unit_activity"].sum(), 1.0, atol=1e-6)
    assert 1.0 < values["perplexity"][0] < 2.01


def test_every_level_has_its_own_kl() -> None:
    model = DiscreteToy()
    data = build_dataset("two_moons", n_samples=40)
    data.test = torch.randint(0, 2, (30, 4), generator=generator()).float()
    values, arrays = asked(model, data, n=30)
    assert values["latents"] == ["a", "b"]
    elbo = model.elbo(data.test.double(), generator=generator())
    np.testing.assert_allclose(values["kl"], [float(k.mean()) for k in elbo.kl_terms.values()])
    assert arrays["unit_latent"].tolist() == [0, 0, 1, 1, 1]
    assert arrays["unit_index"].tolist() == [0, 1, 0, 1, 2]
    assert np.isnan(arrays["unit_kl"]).all()


def test_rate_and_distortion_are_minus_the_bound_point_by_point() -> None:
    model = DiscreteToy()
    x = torch.randint(0, 2, (20, 4), generator=generator()).double()
    found = rate_distortion_of(model, x, n_draws=8, generator=generator())
    assert float((found.rate + found.distortion + found.elbo).abs().max()) < 1e-12
    log_x = model.joint(x)[1]
    wanted = -(model.encode(x).table.exp() * log_x).sum(-1)
    torch.testing.assert_close(found.distortion, wanted)
    vae = build_model("vae", event_shape=(2,), seed=1).eval()
    data = build_dataset("eight_gaussians", n_samples=400)
    vae.prepare(data.train, generator=generator())
    values: dict[str, Any] = dict(
        list(rate_distortion.ask(View(vae, data, 0), {"n": 40}))[-1].values
    )
    assert values["residual"] < 1e-3
    assert abs(values["rate"] + values["distortion"] + values["elbo"]) < 1e-5
    assert values["rate"] + values["distortion"] > values["entropy"]
    assert values["beta"] is None
    assert values["n"] == 40


def test_refusals_name_what_was_given() -> None:
    model = build_model("vae", event_shape=(2,))
    data = build_dataset("two_moons", n_samples=50)
    with pytest.raises(ValueError, match="given n 1 and n_draws 16"):
        asked(model, data, n=1)
    with pytest.raises(ValueError, match="given n 0"):
        list(rate_distortion.ask(View(model, data, 0), {"n": 0}))
    gan = build_model("gan", event_shape=(2,))
    with pytest.raises(ValueError, match="GAN has none"):
        list(latent_units.ask(View(gan, data, 0), {}))


def test_a_latent_that_is_one_number_is_one_unit() -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model("bernoulli_gaussian", event_shape=(2,), dataset=data)
    values, arrays = asked(model, data, n=100)
    assert values["n_units"] == [1]
    assert arrays["unit_kl"].shape == arrays["unit_use"].shape == (1,)
    np.testing.assert_allclose(arrays["unit_kl"], values["kl"])
    assert values["kl"][0] > 0.01


@pytest.mark.parametrize("name", ["hvae", "ladder_vae", "vlae"])
def test_units_of_every_level_have_a_kl(name: str) -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model(name, event_shape=(2,), latent_features=2).eval()
    values, arrays = asked(model, data, n=60, n_draws=64)
    for level, kl in enumerate(values["kl"]):
        own = arrays["unit_kl"][arrays["unit_latent"] == level]
        assert own.shape == (2,)
        np.testing.assert_allclose(own.sum(), kl, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("name", ["iaf_vae", "planar_vae"])
def test_units_of_a_bent_q_have_a_least_kl(name: str) -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model(name, event_shape=(2,), latent_features=2, n_steps=3).eval()
    values, arrays = asked(model, data, n=60, n_draws=256)
    assert values["kl_is_least"]
    assert arrays["unit_kl"].min() > 0.0
    assert arrays["unit_kl"].sum() < values["kl"][0] + 0.1
    # Without steps q is the Gaussian whose KL is known: the least is then the KL itself.
    plain = build_model(name, event_shape=(2,), latent_features=2, n_steps=0).eval()
    values, arrays = asked(plain, data, n=60)
    exact = plain.encode(data.test[:60]).base
    assert arrays["unit_kl"].sum() == pytest.approx(float(exact.kl.detach().mean()), rel=0.02)


def test_a_gaussian_q_has_an_exact_kl() -> None:
    data = build_dataset("two_moons", n_samples=300)
    values, _ = asked(build_model("vae", event_shape=(2,)).eval(), data, n=20)
    assert values["kl_is_least"] is False
