"""Posteriors and priors that a flow bends: densities against autograd, quadrature, integration."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.bijections.planar import Planar
from engine.estimators.importance import importance_bound
from engine.models.latent.planar_vae import PlanarVAE
from engine.nets.flow_posterior import FlowPosterior, FlowPosteriorModel
from engine.nets.flow_prior import CouplingFlow
from engine.nets.inverse_autoregressive import InverseAutoregressive
from engine.nets.latent_model import LatentModel
from engine.probe import View
from engine.probes.posterior_truth import posterior_truth
from engine.registry import build_dataset, build_model
from engine.training import fit
from tests.engine.latent_toys import generator
from tests.engine.test_latent_models import built, every_picture, log_probs
from tests.engine.toys import Table

BENT = ("planar_vae", "iaf_vae")


def log_det(step: Any, z: Tensor) -> Tensor:
    """log abs det of a step at z (Z,), by autograd."""
    jacobian = torch.autograd.functional.jacobian(lambda v: step.forward(v[None])[0][0], z)
    return torch.linalg.slogdet(jacobian).logabsdet


# --- the steps --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("strength", [0.3, 5.0])
def test_the_planar_log_det_is_that_of_autograd(size: int, strength: float) -> None:
    g = generator(size)
    for _ in range(10):
        w, u, z = (torch.randn(size, generator=g).double() * strength for _ in range(3))
        step = Planar(w, u, torch.randn((), generator=g).double())
        torch.testing.assert_close(step.forward(z)[1], log_det(step, z))


def test_a_planar_map_can_always_be_inverted() -> None:
    """û never points so far back that two points meet: w·û ≥ −1, and u is kept across w."""
    g = generator(2)
    w, u = torch.randn(2, 500, 3, generator=g).double() * 4.0
    direction = Planar(w, u, torch.zeros(500)).direction
    assert bool(((w * direction).sum(-1) > -1.0 - 1e-9).all())
    change = direction - u
    across = change - (change * w).sum(-1, keepdim=True) * w / w.square().sum(-1, keepdim=True)
    assert float(across.abs().max()) < 1e-9
    on_the_plane = Planar(w, -100.0 * w, torch.zeros(500).double())
    assert bool(on_the_plane.forward(torch.zeros(500, 3).double())[1].isfinite().all())


def autoregressive_step(order: Tensor, strength: float) -> Any:
    step = InverseAutoregressive(order, 5, (16,), activation="silu").double()
    with torch.no_grad():
        for weight in step.parameters():
            weight.mul_(strength)
    return step.given(torch.randn(1, 5, generator=generator(3)).double())


@pytest.mark.parametrize("strength", [1.0, 4.0])
def test_the_gated_log_det_is_that_of_autograd(strength: float) -> None:
    step = autoregressive_step(torch.tensor([2, 0, 3, 1]), strength)
    z = torch.randn(4, generator=generator(5)).double()
    torch.testing.assert_close(step.forward(z[None])[1][0], log_det(step, z))


def test_latents_see_earlier_ones_in_the_order_alone() -> None:
    order = torch.tensor([2, 0, 3, 1])
    step = autoregressive_step(order, 3.0)
    z = torch.randn(4, generator=generator(5)).double()
    jacobian = torch.autograd.functional.jacobian(lambda v: step.forward(v[None])[0][0], z)
    inner = jacobian[order][:, order]
    assert torch.equal(inner, inner.tril())
    assert bool((inner.tril(-1).abs().sum(1)[1:] > 0).all())


# --- the posterior ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BENT)
def test_log_q_is_the_density_of_the_draws(name: str) -> None:
    """log N(ε) less the log-determinant of ε ↦ z by autograd."""
    data = torch.randn(50, 3, generator=generator())
    model = built(name, (3,), data, latent_features=2, n_steps=3)
    assert isinstance(model, FlowPosteriorModel)
    x = data[:1].double()
    q: Any = model.encode(x)
    latents, log_q = q.sample(1, generator(7))
    noise = torch.randn(1, 1, 2, generator=generator(7), dtype=torch.float64)[0, 0]

    def pushed(eps: Tensor) -> Tensor:
        z = (q.base.mean + q.base.scale * eps)[None]
        for step in q.steps:
            z, _ = step.forward(z)
        return z[0, 0]

    torch.testing.assert_close(pushed(noise), latents["z"][0, 0])
    jacobian = torch.autograd.functional.jacobian(pushed, noise)
    base = -0.5 * noise.square().sum() - math.log(2.0 * math.pi)
    torch.testing.assert_close(log_q[0, 0], base - torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("name", BENT)
def test_without_steps_it_is_the_vae(name: str) -> None:
    data = torch.randn(50, 2, generator=generator())
    bent = built(name, (2,), data, n_steps=0, **({"n_features": 1} if name == "iaf_vae" else {}))
    plain = built("vae", (2,), data)
    n = 2 * plain.config.latent_features
    weights = bent.state_dict()
    kept = {key: weights[key][:n] if "encoder" in key and value.shape != weights[key].shape
            else weights[key] for key, value in plain.state_dict().items()}  # fmt: skip
    plain.load_state_dict(kept)
    x = data[:8].double()
    mine, theirs = (m.elbo(x, n_draws=20, generator=generator(1)) for m in (bent, plain))
    torch.testing.assert_close(mine.log_weights, theirs.log_weights)
    torch.testing.assert_close(mine.total, mine.log_weights.mean(0))


@pytest.mark.parametrize("name", [*BENT, "flow_prior_vae", "pixel_vae"])
@torch.no_grad()
def test_the_bound_rises_to_log_p_by_integration(name: str) -> None:
    shape = (4,) if name == "pixel_vae" else (1, 2, 2)  # masked convolutions would be slow
    pictures = every_picture(2, shape)
    config = {"n_steps": 2} if name in BENT else {}
    model = built(name, shape, pictures, levels=2, **config)
    for weight in model.encoder.parameters():  # a q that misses little of the posterior
        weight.mul_(0.3 if weight.dim() > 1 else 1.0)
    log_p = log_probs(model, pictures)
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-6)
    elbo = torch.stack([
        model.elbo(pictures, n_draws=64, generator=generator(s)).total for s in range(20)
    ]).mean(0)  # fmt: skip
    bound = importance_bound(model, pictures, n_draws=20_000, seed=1)
    assert bool((elbo < log_p + 0.05).all())
    assert float((log_p - elbo).mean()) > 3.0 * abs(float((log_p - bound).mean()))
    assert float((log_p - bound).abs().mean()) < 0.05


class Ring(nn.Module):
    """Decodes z to its squared length: what is known of it is a circle."""

    def forward(self, z: Tensor) -> Tensor:
        return z.square().sum(-1, keepdim=True)


def ring_elbo(n_steps: int) -> float:
    x = torch.full((64, 1), 2.0)
    config = {"latent_features": 2, "hidden_features": (8,), "decoder_scale": "per_dimension"}
    model = build_model("planar_vae", event_shape=(1,), n_steps=n_steps, seed=1, **config)
    assert isinstance(model, PlanarVAE)
    model.decoder = Ring()
    assert model.log_scale is not None
    with torch.no_grad():
        model.log_scale.fill_(math.log(0.3))
    model.log_scale.requires_grad_(False)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.02)
    shared = generator(2)
    for _ in range(400):
        optimiser.zero_grad()
        model.loss(x, generator=shared)["total"].backward()
        optimiser.step()
    with torch.no_grad():
        return float(model.elbo(x, n_draws=200, generator=generator(3)).total.mean())


def test_a_bent_posterior_comes_nearer_to_a_circle() -> None:
    """By more than half a nat: a Gaussian covers one arc of it at best."""
    assert ring_elbo(8) > ring_elbo(0) + 0.5


def test_its_path_begins_at_the_gaussian_and_ends_at_the_draws() -> None:
    data = torch.randn(50, 2, generator=generator())
    model = built("planar_vae", (2,), data, latent_features=2, n_steps=3)
    q = model.encode(data[:4].double())
    assert isinstance(q, FlowPosterior)
    states, log_q = q.path(5, generator(1))
    latents, again = q.sample(5, generator(1))
    assert len(states) == 4
    torch.testing.assert_close(states[0], q.base.sample(5, generator(1))[0]["z"])
    torch.testing.assert_close(states[-1], latents["z"])
    torch.testing.assert_close(log_q, again)


@pytest.mark.parametrize("size", [2, 3])
def test_both_gaps_of_a_bent_posterior(size: int) -> None:
    """Without steps q is a Gaussian that does not say so: its gaps are those of the VAE."""
    data = build_dataset("eight_gaussians")
    plain = build_model("vae", event_shape=(2,), dataset=data, latent_features=size, seed=3)
    plain.prepare(data.train, generator=generator())
    silent = build_model(
        "planar_vae", event_shape=(2,), dataset=data, latent_features=size, n_steps=0, seed=3
    )
    silent.load_state_dict(plain.state_dict())
    event = {"event": data.valid[0].numpy()}
    known, drawn = (
        list(posterior_truth.ask(View(model.eval(), data, 0), {"n_steps": 5}, event))[-1].values
        for model in (plain, silent)
    )
    assert known["is_gaussian"] is True
    assert drawn["is_gaussian"] is False
    assert drawn["kind"] == known["kind"] == ("quadrature" if size == 2 else "estimate")
    for name in ("elbo", "amortisation_gap", "approximation_gap"):
        error = math.hypot(*(float(found.get(f"{name}_error", 0.0)) for found in (known, drawn)))
        assert abs(known[name] - drawn[name]) < 5.0 * error + 1e-3, name
    total = drawn["amortisation_gap"] + drawn["approximation_gap"]
    assert total == pytest.approx(drawn["gap"], abs=1e-6)


# --- the prior --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flow() -> CouplingFlow:
    torch.manual_seed(4)
    made = CouplingFlow(2, 4, (16,)).double()
    with torch.no_grad():
        made.theta.mul_(2.0)
    return made


@torch.no_grad()
def test_the_prior_integrates_to_one_and_its_draws_follow_it(flow: CouplingFlow) -> None:
    n, reach = 801, 14.0
    axis = torch.linspace(-reach, reach, n, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    prior = flow()
    log_p = prior.log_prob(points)
    weights = log_p.exp() * (2.0 * reach / (n - 1)) ** 2
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-4)
    drawn = prior.draw(generator(1), (20_000,))
    assert drawn.dtype == torch.float64
    for f in (lambda z: z[:, 0], lambda z: z[:, 0] * z[:, 1], lambda z: z[:, 1] ** 2):
        values, exact = f(drawn), float((weights * f(points)).sum())
        error = float(values.std()) / len(values) ** 0.5
        assert abs(float(values.mean()) - exact) < 5.0 * error
    surprise = -prior.log_prob(drawn)
    entropy = -float((weights * log_p).sum())
    assert abs(float(surprise.mean()) - entropy) < 5.0 * float(surprise.std()) / 20_000**0.5
    assert float((weights * points[:, 0]).sum().abs()) > 0.05, "no longer the standard normal"


def test_the_prior_moves_to_the_codes() -> None:
    """A learned prior costs fewer nats than the standard normal on data of four clusters."""
    g = generator(5)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    data = corners[torch.randint(4, (2000,), generator=g)] + 0.05 * torch.randn(
        2000, 2, generator=g
    )

    def trained(n_layers: int) -> LatentModel:
        model = build_model(
            "flow_prior_vae", event_shape=(2,), n_layers=n_layers, hidden_features=(32,), seed=0
        )
        fit(model, Table(data), steps=250, batch_size=128, device="cpu", learning_rate=5e-3)
        assert isinstance(model, LatentModel)
        return model

    fixed, learned = (
        float(importance_bound(trained(n), data[:300], n_draws=100, seed=0).mean()) for n in (0, 6)
    )
    assert learned > fixed


def test_a_second_latent_is_refused() -> None:
    model = built("flow_prior_vae", (2,), torch.randn(20, 2, generator=generator()))
    with pytest.raises(ValueError, match="given z, wanted no parents"):
        model.prior({"z": torch.zeros(1, 1)})
