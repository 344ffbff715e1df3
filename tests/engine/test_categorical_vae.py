"""Categories: Gumbel draws, the Concrete density, straight-through, the discrete bound."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from engine.estimators import concrete
from engine.estimators.concrete import (
    concrete_log_prob,
    exp_concrete_log_prob,
    gumbel_noise,
    hard_draw,
    relaxed_draw,
    straight_through,
)
from engine.estimators.mixture import mixture_parts
from engine.estimators.units import perplexity
from engine.models.latent.categorical_vae import CategoricalVAE
from engine.registry import build_dataset, build_model, probes
from engine.training import fit
from tests.engine.toys import view

PROBS = torch.tensor([0.55, 0.3, 0.15], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(**config: Any) -> CategoricalVAE:
    """Three binary pixels, two categories of three states, in float64."""
    small = {"hidden_features": (8,), "latent_features": 2, "n_states": 3, "levels": 2, **config}
    model = build_model("categorical_vae", event_shape=(1, 1, 3), **small)
    assert isinstance(model, CategoricalVAE)
    model.double().eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2.0)
    return model


def every_x() -> Tensor:
    return torch.tensor(list(product((0.0, 1.0), repeat=3)), dtype=torch.float64).reshape(
        8, 1, 1, 3
    )


def every_z() -> Tensor:
    return torch.tensor(list(product(range(3), repeat=2)))


# --- Gumbel and Concrete ------------------------------------------------------------------------


def test_the_largest_of_noisy_scores_is_an_exact_draw() -> None:
    n = 30_000
    chosen = hard_draw(PROBS.log(), gumbel_noise((n, 3), generator(), PROBS))
    counts = chosen.bincount(minlength=3).numpy()
    assert stats.chisquare(counts, (n * PROBS).numpy()).pvalue > 1e-3
    # Scores up to a constant; another distribution is told apart.
    assert stats.chisquare(counts, (n * PROBS.flip(0)).numpy()).pvalue < 1e-9


def test_gumbel_noise_is_gumbel_and_finite() -> None:
    noise = gumbel_noise((20_000,), generator(), PROBS)
    assert stats.kstest(noise.numpy(), stats.gumbel_r.cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_uniform_zero_gives_finite_noise(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concrete, "uniform_noise", lambda shape, _, like: like.new_zeros(shape))
    noise = gumbel_noise((2,), generator(), torch.zeros(1, dtype=dtype))
    assert bool(noise.isfinite().all())
    assert float(noise.max()) < -2.0


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_density_on_an_interval_integrates_to_one_and_has_the_draws_law(
    temperature: float,
) -> None:
    """K = 2, by the midpoint rule in the logit of y, where nothing is singular."""
    log_probs = torch.tensor([0.8, 0.2], dtype=torch.float64).log()
    step = 0.002
    logit = torch.arange(-60.0, 60.0, step, dtype=torch.float64)
    log_y = torch.stack([logit.sigmoid().log(), (-logit).sigmoid().log()], -1)
    density = concrete_log_prob(log_y, log_probs, temperature).exp() * log_y.sum(-1).exp()
    assert abs(float(density.sum()) * step - 1.0) < 1e-6
    noise = gumbel_noise((20_000, 2), generator(), log_probs)
    drawn = relaxed_draw(log_probs, noise, temperature)
    at = (drawn[:, 0] - drawn[:, 1]).numpy()
    cumulative = density.cumsum(0) * step

    def cdf(values: Any) -> Any:
        places = torch.bucketize(torch.as_tensor(values), logit).clamp(max=len(logit) - 1)
        return cumulative[places].numpy()

    assert stats.kstest(at, cdf).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_the_density_on_a_triangle_integrates_to_one(temperature: float) -> None:
    """K = 3, in the two log-ratios to the last coordinate, whose Jacobian is y₁ y₂ y₃."""
    axis = torch.linspace(-40.0, 40.0, 801, dtype=torch.float64)
    ratios = torch.cartesian_prod(axis, axis)
    log_y = torch.cat([ratios, torch.zeros(len(ratios), 1).double()], -1).log_softmax(-1)
    log_density = concrete_log_prob(log_y, PROBS.log(), temperature)
    mass = (log_density + log_y.sum(-1)).exp()
    assert abs(float(mass.sum()) * float(axis[1] - axis[0]) ** 2 - 1.0) < 1e-5
    # A region's mass is the share of draws there.
    inside = log_y[:, 0].exp() > 0.5
    wanted = float(mass[inside].sum() / mass.sum())
    drawn = relaxed_draw(PROBS.log(), gumbel_noise((40_000, 3), generator(), PROBS), temperature)
    share = float((drawn[:, 0].exp() > 0.5).double().mean())
    assert abs(share - wanted) < 5.0 * math.sqrt(wanted * (1.0 - wanted) / 40_000) + 0.01


def test_the_density_is_the_papers_formula() -> None:
    log_y = torch.randn(20, 4, generator=generator(), dtype=torch.float64).log_softmax(-1)
    alpha = torch.randn(4, generator=generator(1), dtype=torch.float64).exp()
    y, tau = log_y.exp(), 0.8
    top = alpha * y ** (-tau - 1.0)
    wanted = 6.0 * tau**3 * (top / (alpha * y**-tau).sum(-1, keepdim=True)).prod(-1)
    torch.testing.assert_close(concrete_log_prob(log_y, alpha.log(), tau), wanted.log())
    ratio = concrete_log_prob(log_y, alpha.log(), tau) - exp_concrete_log_prob(
        log_y, alpha.log(), tau
    )
    torch.testing.assert_close(ratio, -log_y.sum(-1))


def test_low_temperatures_come_near_corners_and_stay_finite() -> None:
    noise = gumbel_noise((2000, 3), generator(), PROBS)
    nearest = [float(relaxed_draw(PROBS.log(), noise, t).exp().amax(-1).mean())
               for t in (2.0, 0.5, 0.05)]  # fmt: skip
    assert nearest[0] < nearest[1] < nearest[2]
    assert nearest[2] > 0.97
    log_y = relaxed_draw(PROBS.log(), noise, 0.01)
    assert bool(exp_concrete_log_prob(log_y, PROBS.log(), 0.01).isfinite().all())


# --- gradients ----------------------------------------------------------------------------------


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    scores = torch.randn(6, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    weights = torch.randn(6, 4, generator=generator(1), dtype=torch.float64)
    y = scores.softmax(-1)
    hard = straight_through(y)
    torch.testing.assert_close(hard.sum(-1), torch.ones(6).double())
    assert torch.equal(hard.detach().round(), torch.eye(4)[scores.argmax(-1)].double())
    (through,) = torch.autograd.grad((hard * weights).sum(), scores, retain_graph=True)
    (soft,) = torch.autograd.grad((y * weights).sum(), scores)
    torch.testing.assert_close(through, soft)


def gradients(temperature: float, n: int = 60_000) -> Tensor:
    """Of E f(y), f(y) = Σ (y − t)², by relaxed draws, per draw (n, 3)."""
    scores = PROBS.log().expand(n, 3).clone().requires_grad_()
    noise = gumbel_noise((n, 3), generator(), PROBS)
    y = relaxed_draw(scores.log_softmax(-1), noise, temperature).exp()
    target = torch.tensor([0.1, 0.7, 0.2], dtype=torch.float64)
    (found,) = torch.autograd.grad((y - target).square().sum(), scores)
    return found


def test_bias_shrinks_and_variance_grows_as_the_temperature_falls() -> None:
    """Against the gradient of the enumerated objective Σ_k π_k f(e_k)."""
    scores = PROBS.log().clone().requires_grad_()
    target = torch.tensor([0.1, 0.7, 0.2], dtype=torch.float64)
    costs = (torch.eye(3).double() - target).square().sum(-1)
    (exact,) = torch.autograd.grad((scores.softmax(-1) * costs).sum(), scores)
    found = [gradients(t) for t in (4.0, 1.0, 0.25)]
    bias = [float((g.mean(0) - exact).norm()) for g in found]
    assert bias[0] > 1.5 * bias[1] > 2.0 * bias[2]
    error = float((found[2].var(0) / len(found[2])).sum().sqrt())
    assert bias[2] < 0.1 * float(exact.norm()) + 5.0 * error
    spread = [float(g.var(0).sum()) for g in found]
    assert spread[0] < spread[1] < spread[2]


def test_the_closed_form_bias_of_straight_through() -> None:
    """Of E[(b − t)²], b a coin of chance p = σ(a).

    Its gradient is p(1 − p)(1 − 2t); straight through it is 2p(1 − p)(p − t).
    """
    a, t = torch.tensor(0.4, dtype=torch.float64, requires_grad=True), 0.45
    p = float(torch.sigmoid(a.detach()))
    slopes = []
    for hard, share in ((1.0, p), (0.0, 1.0 - p)):
        soft = torch.stack([torch.sigmoid(a), torch.sigmoid(-a)])
        value = torch.tensor([hard, 1.0 - hard], dtype=torch.float64) + soft - soft.detach()
        (slope,) = torch.autograd.grad((value[0] - t).square(), a)
        slopes.append(share * float(slope))
    assert math.isclose(sum(slopes), 2.0 * p * (1.0 - p) * (p - t), rel_tol=1e-12)
    exact = p * (1.0 - p) * (1.0 - 2.0 * t)
    assert math.isclose(sum(slopes) - exact, p * (1.0 - p) * (2.0 * p - 1.0), rel_tol=1e-9)


# --- the model ----------------------------------------------------------------------------------


@torch.no_grad()
def test_bound_and_gap_make_log_p_by_enumeration() -> None:
    """ELBO + KL(q‖posterior) = log p(x), all nine states of z summed, for all eight x."""
    model = build()
    x, z = every_x(), every_z()
    log_joint = model.decode({"z": z}).log_prob(x[:, None]) + model.prior({}).log_prob(z)
    log_p = torch.logsumexp(log_joint, 1)
    assert abs(float(log_p.exp().sum()) - 1.0) < 1e-12
    q = model.encode(x)
    log_q = q.distribution.log_prob(z[:, None]).T  # (8, 9)
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(8).double())
    kl = model.elbo(x, generator=generator()).kl_terms["z"]
    reconstruction = (log_q.exp() * model.decode({"z": z}).log_prob(x[:, None])).sum(1)
    gap = (log_q.exp() * (log_q - (log_joint - log_p[:, None]))).sum(1)
    torch.testing.assert_close(reconstruction - kl + gap, log_p, rtol=0.0, atol=1e-10)
    assert float(gap.min()) > 1e-3
    # The bound by draws is that one, and so are its weights.
    drawn = model.elbo(x, n_draws=20_000, generator=generator(1))
    error = drawn.log_weights.std(0) / 20_000**0.5
    assert bool(((drawn.total - (log_p - gap)).abs() < 6.0 * error).all())
    spread = drawn.log_weights.softmax(0).square().sum(0).sqrt()
    assert bool(((drawn.importance_weighted - log_p).abs() < 6.0 * spread).all())
    assert float(spread.max()) < 0.05


@pytest.mark.parametrize("relaxation", ["gumbel_softmax", "concrete"])
def test_the_bound_does_not_know_of_the_relaxation(relaxation: str) -> None:
    model, x = build(relaxation=relaxation), every_x()
    before = model.elbo(x, generator=generator()).total
    model.set_live({"temperature": 0.1, "straight_through": True, "warm_up_steps": 0})
    assert torch.equal(model.elbo(x, generator=generator()).total, before)
    losses = model.loss(x, generator=generator())
    losses = {name: value.detach() for name, value in losses.items()}
    torch.testing.assert_close(losses["nll"], losses["reconstruction"] + losses["kl"])
    torch.testing.assert_close(losses["kl"], model.encode(x).kl.mean().detach())
    # At a low temperature, straight through, only the KL may differ from the bound's.
    if relaxation == "gumbel_softmax":
        torch.testing.assert_close(losses["total"], losses["nll"])
    else:
        assert float((losses["total"] - losses["nll"]).abs()) > 1e-3


def test_the_concrete_loss_divides_the_two_densities() -> None:
    model = build(relaxation="concrete", temperature=0.7, prior_temperature=0.4, warm_up_steps=0)
    x = every_x()
    losses = model.loss(x, generator=generator(2))
    q = model.encode(x).log_probs
    noise = gumbel_noise(q.shape, generator(2), x)
    log_y = relaxed_draw(q, noise, 0.7)
    ratio = concrete_log_prob(log_y, q, 0.7) - concrete_log_prob(
        log_y, torch.zeros(3).double(), 0.4
    )
    log_p = model.log_prob_given(model.values(x), {"y": log_y.exp()[None]})[0]
    torch.testing.assert_close(losses["total"], (ratio.sum(-1) - log_p).mean())


def test_nll_is_the_bound_of_hard_draws() -> None:
    """Its mean over draws is −ELBO, whatever the temperature; the relaxed objective's is not."""
    model, x = build(temperature=5.0, warm_up_steps=0), every_x()
    with torch.no_grad():
        losses = [model.loss(x, generator=generator(seed)) for seed in range(400)]
        truth = -model.elbo(x, n_draws=20_000, generator=generator()).total.mean()
    for name, agrees in (("nll", True), ("total", False)):
        values = torch.stack([row[name] for row in losses])
        near = (values.mean() - truth).abs() < 5.0 * values.std() / 20.0 + 1e-3
        assert bool(near) == agrees, name


def test_the_temperature_falls_to_its_least_value() -> None:
    model = build(temperature=1.0, anneal_steps=100, least_temperature=0.5)
    found = []
    for step in (0, 50, 100_000):
        model.steps_taken = step
        found.append(model.temperature)
        told = model.loss(every_x(), generator=generator())["temperature"]
        assert float(told) == pytest.approx(found[-1])
    assert found == pytest.approx([1.0, math.exp(-0.5), 0.5])
    model.set_live({"anneal_steps": 0})
    assert model.temperature == 1.0
    model.set_live({"anneal_steps": 10, "temperature": 0.2})
    assert model.temperature == 0.2


def test_a_vector_of_categories_is_no_mixture() -> None:
    model = build()
    (latent,) = model.latents
    assert (latent.shape, latent.kind, latent.levels) == ((2,), "category", 3)
    assert mixture_parts(model) is None
    with pytest.raises(ValueError, match="given z, wanted no parents"):
        model.prior({"z": every_z()})


def test_perplexity_is_that_of_one_category() -> None:
    """Two categories, one even over three states, one stuck: the geometric mean of 3 and 1."""
    chances = torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0.0, 1.0, 0.0]]).double().repeat(5, 1)
    assert perplexity(chances, 2) == pytest.approx(math.sqrt(3.0))
    assert perplexity(chances[:, :3]) == pytest.approx(3.0)


def test_categories_are_traversed_one_by_one() -> None:
    """A row per category: its states in turn, the other at one draw of the prior."""
    data = build_dataset("digits", levels=2)
    small = {"hidden_features": (8,), "latent_features": 3, "n_states": 4}
    model = build_model("categorical_vae", event_shape=(1, 8, 8), dataset=data, **small).eval()
    assert isinstance(model, CategoricalVAE)
    (result,) = probes()["latent_traverse"].ask(view(model, data), {"rows": 2}, {})
    pictures = torch.as_tensor(result.arrays["pictures"])
    assert pictures.shape == (2, 4, 1, 8, 8)
    assert result.arrays["z"].tolist() == [[0.0, 1.0, 2.0, 3.0]] * 2
    every = torch.tensor(list(product(range(4), repeat=3)))
    table = model.decode({"z": every}).mean.detach()
    found = [
        (table - picture).abs().flatten(1).amax(1) < 1e-6 for picture in pictures.flatten(0, 1)
    ]
    states = torch.stack([every[row][0] for row in found]).reshape(2, 4, 3)
    assert states[0, :, 0].tolist() == states[1, :, 1].tolist() == [0, 1, 2, 3]
    assert bool((states[0, :, 1:] == states[0, :1, 1:]).all())
    assert bool((states[1, :, ::2] == states[1, :1, ::2]).all())


@pytest.mark.parametrize("config", [{}, {"relaxation": "concrete"}, {"straight_through": True}])
def test_training_raises_the_bound(config: dict[str, Any]) -> None:
    data = build_dataset("digits", levels=2)
    small = {"hidden_features": (32,), "learning_rate": 5e-3, "warm_up_steps": 50, **config}
    model = build_model("categorical_vae", event_shape=data.event_shape, dataset=data, **small)
    x = data.test.float()
    before = float(model.elbo(x, generator=generator()).total.mean().detach())
    fit(model, data, steps=120, batch_size=64, seed=0, device="cpu")
    after = float(model.elbo(x, generator=generator()).total.mean().detach())
    assert after > before + 10.0
    assert -after < 30.0
