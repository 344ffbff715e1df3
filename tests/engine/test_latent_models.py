"""What VAE, IWAE and β-VAE share: likelihoods by the data, and bounds against enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from sklearn.decomposition import FactorAnalysis
from torch import Tensor
from torch.distributions import MultivariateNormal

from engine.dataset import Dataset
from engine.estimators.importance import importance_bound
from engine.model import GenerativeModel
from engine.nets.diagonal import LOG_SCALE_START
from engine.nets.latent_model import LatentModel
from engine.registry import build_model
from engine.training import Trainer, fit
from tests.engine.test_laws import Blots, Pair
from tests.engine.toys import Table

SMALL = {"latent_features": 1, "hidden_features": (8,)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(name: str, shape: tuple[int, ...], data: Tensor, **config: Any) -> LatentModel:
    """Prepared, with weights so large that the latents matter and a q as wide as the prior."""
    model = build_model(name, event_shape=shape, **{**SMALL, **config})
    assert isinstance(model, LatentModel)
    model.prepare(data, generator=generator())
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2.0)
        *_, last = model.encoder.parameters()
        n = model.config.latent_features
        last[n : 2 * n] -= LOG_SCALE_START
    return model.double()


def log_probs(model: LatentModel, x: Tensor, n: int = 4001, reach: float = 8.0) -> Tensor:
    """log ∫ p(x given z) N(z; 0, 1) dz of (B, *E) by the trapezoid rule over one latent, (B,)."""
    z = torch.linspace(-reach, reach, n, dtype=torch.float64)[:, None]
    joint = model.decode({"z": z}).log_prob(x[:, None]) + model.prior({}).log_prob(z)
    return torch.logsumexp(joint, 1) + math.log(2.0 * reach / (n - 1))


def every_picture(levels: int, shape: tuple[int, ...]) -> Tensor:
    states = itertools.product(range(levels), repeat=math.prod(shape))
    return torch.tensor(list(states), dtype=torch.float64).reshape(-1, *shape)


@pytest.fixture(scope="module", params=[(2, "dense"), (2, "convolutional"), (3, "dense")])
def tiny(request: pytest.FixtureRequest) -> tuple[LatentModel, Tensor, Tensor]:
    """A model of 2 × 2 pixels, all its pictures, and log p of each by integration over z."""
    levels, network = request.param
    pictures = every_picture(levels, (1, 2, 2))
    settings = {"levels": levels, "network": network, "decoder_scale": "per_dimension"}
    model = built("vae", (1, 2, 2), pictures, **settings)
    with torch.no_grad():
        if model.log_scale is not None:
            model.log_scale.fill_(-0.7)
        return model, pictures, log_probs(model, pictures)


def test_probabilities_of_all_pictures_sum_to_one(tiny: Any) -> None:
    _, pictures, log_p = tiny
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(log_p.exp().max()) > 1.5 / len(pictures)


def test_draws_have_these_probabilities(tiny: Any) -> None:
    model, pictures, log_p = tiny
    n = 20_000
    drawn = model.sample(n, generator=generator(1)).flatten(1)
    levels = model.config.levels
    places = (drawn * levels ** torch.arange(3, -1, -1).double()).sum(-1).long()
    shares = places.bincount(minlength=len(pictures)) / n
    probs = log_p.exp()
    error = (probs * (1.0 - probs) / n).sqrt()
    assert bool(((shares - probs).abs() <= 5.0 * error + 1e-9).all())


@torch.no_grad()
def test_the_bound_rises_with_draws_and_stays_below_log_p(tiny: Any) -> None:
    model, pictures, log_p = tiny
    elbos = [model.elbo(pictures, generator=generator(s)).total for s in range(100)]
    bounds = [torch.stack(elbos).mean()]
    for k, repeats in ((4, 100), (256, 20)):
        found = [importance_bound(model, pictures, n_draws=k, seed=s) for s in range(repeats)]
        bounds.append(torch.stack(found).mean())
    truth = log_p.mean()
    assert bounds[0] < bounds[1] < bounds[2] < truth + 1e-3
    assert float(truth - bounds[0]) > 0.02
    assert float(truth - bounds[2]) < 0.4 * float(truth - bounds[0])


def test_chunks_of_draws_give_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built("vae", (2,), torch.randn(50, 2, generator=generator()))
    x = torch.randn(3, 2, generator=generator(1)).double()
    whole = importance_bound(model, x, n_draws=10, seed=4)
    weights = model.elbo(x, n_draws=10, generator=generator(4)).log_weights
    torch.testing.assert_close(whole, torch.logsumexp(weights, 0) - math.log(10))
    monkeypatch.setattr("engine.estimators.importance.VALUES", 16 * 2 * 4)
    shared = generator(4)
    parts = [model.elbo(x, n_draws=k, generator=shared).log_weights for k in (4, 4, 2)]
    pieces = importance_bound(model, x, n_draws=10, seed=4)
    torch.testing.assert_close(pieces, torch.logsumexp(torch.cat(parts), 0) - math.log(10))
    with pytest.raises(ValueError, match="n_draws: given 0"):
        importance_bound(model, x, n_draws=0)


# --- the likelihood is chosen by the data -----------------------------------------------------


@pytest.mark.parametrize("name", ["vae", "iwae", "beta_vae"])
@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_pictures_are_learned(name: str, network: str) -> None:
    data = Blots()
    model = build_model(
        name, event_shape=data.event_shape, dataset=data, hidden_features=(16,), network=network
    )
    assert model.config.levels == 2
    losses = fit(model, data, steps=60, batch_size=64, device="cpu", record_every=1).losses["nll"]
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 1.0
    drawn = model.sample(20, generator=generator())
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_a_fresh_decoder_gives_the_datas_mean() -> None:
    """With a last layer of zeros the pixels begin at their share of white."""
    pictures = (torch.rand(400, 1, 4, 4, generator=generator()) < 0.2).to(torch.uint8)
    model = built("vae", (1, 4, 4), pictures, levels=2)
    with torch.no_grad():
        last = list(model.decoder.parameters())[-2:]
        for parameter in last:
            parameter.zero_()
        mean = model.decode({"z": torch.zeros(1, 1).double()}).mean[0]
    torch.testing.assert_close(mean, pictures.double().mean(0))


def test_values_that_are_no_levels_are_refused() -> None:
    model = built("vae", (1, 2, 2), every_picture(2, (1, 2, 2)), levels=2)
    with pytest.raises(ValueError, match=r"VAE: given values from 0\.5 to 0\.5, wanted"):
        model.elbo(torch.full((1, 1, 2, 2), 0.5), generator=generator())


# --- the linear VAE ---------------------------------------------------------------------------


def linear_data() -> Tensor:
    z = torch.randn(600, 1, generator=generator(3))
    axis = torch.tensor([[2.0, -1.0, 0.5]])
    return z @ axis + 0.6 * torch.randn(600, 3, generator=generator(4)) + 5.0


def trained_on(name: str, data: Dataset, steps: int, **config: Any) -> GenerativeModel:
    model = build_model(name, event_shape=data.event_shape, **config)
    fit(model, data, steps=steps, device="cpu", schedule="cosine", seed=0)
    return model.double()


@pytest.mark.slow
def test_a_linear_vae_reaches_probabilistic_pca() -> None:
    """Lucas and others, 2019: without hidden layers its optimum is that of pPCA, and no gap.

    One width per coordinate makes it factor analysis, whose optimum is a little higher.
    """
    points = linear_data()
    settings = {"latent_features": 1, "hidden_features": (), "decoder_scale": "per_dimension"}
    optimiser = {"learning_rate": 0.1, "batch_size": 512}
    model = trained_on("vae", Table(points), 500, **settings, **optimiser)
    assert isinstance(model, LatentModel)
    x = Table(points).train.double()
    pca = trained_on("ppca", Table(points), 1, estimator="closed_form")
    with torch.no_grad():
        (layer,) = model.decoder
        assert model.log_scale is not None
        axis = layer.weight * model.scale[:, None]
        noise = (model.log_scale.exp() * model.scale).square().diag()
        mean = layer.bias * model.scale + model.location
        truth = MultivariateNormal(mean, axis @ axis.T + noise).log_prob(x)
        elbo = torch.stack([model.elbo(x, generator=generator(s)).total for s in range(100)])
        best = FactorAnalysis(1, tol=1e-8, max_iter=5000).fit(x.numpy()).score(x.numpy())
        # The gap of each point is KL(q‖posterior): never negative, and nearly closed on average.
        assert float((truth - elbo.mean(0)).mean()) == pytest.approx(0.0, abs=0.02)
        assert float(truth.mean()) > float(pca.log_prob(x).mean()) - 0.01
        assert best - 0.01 < float(truth.mean()) < best + 1e-6


# --- IWAE -------------------------------------------------------------------------------------


def test_the_iwae_climbs_the_bound_of_k_draws() -> None:
    model = built("iwae", (2,), Pair().train, n_draws=7)
    x = Pair().train[:20].double()
    losses = model.loss(x, generator=generator(5))
    elbo = model.elbo(x, n_draws=7, generator=generator(5))
    torch.testing.assert_close(losses["total"], -elbo.importance_weighted.mean())
    torch.testing.assert_close(losses["nll"], losses["total"])
    torch.testing.assert_close(losses["reconstruction"], -elbo.reconstruction.mean())
    torch.testing.assert_close(losses["kl"], elbo.kl_terms["z"].mean())
    assert float(losses["total"].detach()) < float(losses["reconstruction"] + losses["kl"])


def test_its_gradient_weighs_each_draw_by_its_share() -> None:
    """∇ log-mean-exp = Σ_k w̃_k ∇ log w_k with the normalised weights w̃ held fixed."""
    model = built("iwae", (2,), Pair().train, n_draws=4)
    x = Pair().train[:6].double()
    parameters = list(model.parameters())
    found = torch.autograd.grad(model.loss(x, generator=generator(2))["total"], parameters)
    weights = model.elbo(x, n_draws=4, generator=generator(2)).log_weights
    shares = torch.softmax(weights.detach(), 0)
    wanted = torch.autograd.grad(-(shares * weights).sum(0).mean(), parameters)
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, other)


@torch.no_grad()
def test_its_loss_falls_with_k_towards_minus_log_p() -> None:
    x = Pair().train[:20].double()
    losses = []
    for k, repeats in ((1, 200), (5, 200), (50, 100)):
        model = built("iwae", (2,), Pair().train, n_draws=k, decoder_scale="per_dimension")
        assert model.log_scale is not None
        model.log_scale.fill_(-0.7)
        each = [model.loss(x, generator=generator(s))["total"] for s in range(repeats)]
        losses.append(float(torch.stack(each).mean()))
    assert losses[0] > losses[1] > losses[2] > float(-log_probs(model, x).mean()) - 1e-2


# --- β ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [Pair, Blots])
def test_beta_one_is_the_vae_bit_for_bit(data: type[Dataset]) -> None:
    dataset = data()
    runs = []
    for name, settings in (("vae", {}), ("beta_vae", {"beta": 1.0})):
        model = build_model(
            name,
            event_shape=dataset.event_shape,
            dataset=dataset,
            hidden_features=(8,),
            **settings,
        )
        trainer = Trainer(model, dataset, batch_size=32, device="cpu")
        losses = [trainer.step() for _ in range(4)]
        runs.append((losses, model.state_dict()))
    (losses, weights), (others, their_weights) = runs
    for mine, other in zip(losses, others, strict=True):
        assert {k: float(v) for k, v in mine.items()} == {k: float(v) for k, v in other.items()}
    assert all(torch.equal(weights[key], their_weights[key]) for key in weights)


def test_beta_weighs_the_kl_in_the_loss_alone() -> None:
    model = built("beta_vae", (2,), Pair().train, beta=4.0)
    x = Pair().train[:20].double()
    losses = model.loss(x, generator=generator(1))
    elbo = model.elbo(x, generator=generator(1))
    torch.testing.assert_close(losses["total"], losses["reconstruction"] + 4.0 * losses["kl"])
    torch.testing.assert_close(losses["nll"], -elbo.total.mean())
    model.set_live({"beta": 0.0})
    losses = model.loss(x, generator=generator(1))
    torch.testing.assert_close(losses["total"], losses["reconstruction"])
    torch.testing.assert_close(losses["nll"], -elbo.total.mean())


def test_beta_warms_up_by_the_step_and_goes_on_after_a_restore() -> None:
    data = Pair()
    settings = {"beta": 2.0, "warm_up_steps": 4, "hidden_features": (8,)}
    model = build_model("beta_vae", event_shape=(2,), **settings)
    trainer = Trainer(model, data, batch_size=16, device="cpu")
    seen = []
    for _ in range(6):
        losses = trainer.step()
        rest = losses["total"] - losses["reconstruction"]
        seen.append(round(float(rest / losses["kl"]), 3))
        if len(seen) == 2:
            frame = trainer.capture()
    assert seen == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    again = Trainer(
        build_model("beta_vae", event_shape=(2,), **settings), data, batch_size=16, device="cpu"
    )
    again.restore(frame)
    losses = again.step()
    rest = losses["total"] - losses["reconstruction"]
    assert float(rest / losses["kl"]) == pytest.approx(1.5, abs=1e-3)


@pytest.mark.slow
def test_dear_latents_carry_less() -> None:
    """The KL of the same data falls with β, and the reconstruction pays for it."""
    found = [
        fit(
            build_model("beta_vae", event_shape=(2,), hidden_features=(16,), beta=beta),
            Pair(),
            steps=200,
            batch_size=128,
            device="cpu",
        ).losses
        for beta in (0.3, 10.0)
    ]
    assert found[0]["kl"][-1] > found[1]["kl"][-1] + 0.5
    assert found[0]["reconstruction"][-1] < found[1]["reconstruction"][-1] - 0.5
