"""The VAE: its KL, its bound against integration over the latents, its encoder and decoder."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from engine.models.latent.vae import VAE
from engine.registry import build_dataset, build_model
from engine.training import fit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vae(shape: tuple[int, ...] = (2,), **config: Any) -> VAE:
    """Untrained, in float64, on data of odd units."""
    model = build_model("vae", event_shape=shape, **{"hidden_features": (16,), **config})
    assert isinstance(model, VAE)
    data = 3.0 + 2.0 * torch.randn(300, *shape, generator=generator(7))
    model.prepare(data, generator=generator())
    return model.double()


def points(model: VAE, n: int = 12, seed: int = 1) -> Tensor:
    noise = torch.randn(n, model.event_size, generator=generator(seed), dtype=torch.float64)
    return model.unstandardise(noise)


def log_prob_by_integration(model: VAE, x: Tensor, reach: float = 6.0, n: int = 300) -> Tensor:
    """log ∫ p(x given z) p(z) dz over a grid of the two latents."""
    axis = torch.linspace(-reach, reach, n, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    joint = model.decode({"z": z}).log_prob(x[:, None]) + model.prior({}).log_prob(z)
    return torch.logsumexp(joint, 1) + 2.0 * math.log(2.0 * reach / (n - 1))


def test_kl_is_that_of_torch_distributions() -> None:
    model = vae(latent_features=3)
    x = points(model)
    q = model.encode(x)
    prior = Independent(Normal(torch.zeros(3).double(), torch.ones(3).double()), 1)
    wanted = kl_divergence(q.distribution, prior)
    kl = model.elbo(x, generator=generator()).kl_terms["z"]
    torch.testing.assert_close(kl, wanted)
    formula = -0.5 * (1 + q.scale.square().log() - q.mean.square() - q.scale.square()).sum(-1)
    torch.testing.assert_close(kl, formula)
    assert float(kl.detach().min()) > 0.0


@pytest.mark.parametrize("decoder_scale", ["network", "per_dimension"])
@pytest.mark.parametrize("shape", [(2,), (1, 2, 3)])
def test_log_weights_are_those_of_the_distributions(
    decoder_scale: str, shape: tuple[int, ...]
) -> None:
    model = vae(shape, decoder_scale=decoder_scale)
    x = points(model)
    elbo = model.elbo(x, n_draws=4, generator=generator(2))
    latents, log_q = model.encode(x).sample(4, generator(2))
    z = latents["z"]
    torch.testing.assert_close(log_q, model.encode(x).distribution.log_prob(z))
    log_joint = model.decode({"z": z}).log_prob(x) + model.prior({}).log_prob(z)
    torch.testing.assert_close(elbo.log_weights, log_joint - log_q)
    torch.testing.assert_close(elbo.reconstruction, model.decode({"z": z}).log_prob(x).mean(0))
    torch.testing.assert_close(elbo.total, elbo.reconstruction - elbo.kl_terms["z"])


def test_the_loss_is_minus_the_bound() -> None:
    model = vae()
    x = points(model)
    losses = model.loss(x, generator=generator(3))
    elbo = model.elbo(x, generator=generator(3))
    torch.testing.assert_close(losses["total"], -elbo.total.mean())
    torch.testing.assert_close(losses["nll"], losses["total"])
    torch.testing.assert_close(losses["reconstruction"], -elbo.reconstruction.mean())
    torch.testing.assert_close(losses["kl"], elbo.kl_terms["z"].mean())


def test_more_draws_lift_the_bound_towards_the_truth() -> None:
    """E over draws: ELBO ≤ IW(4) ≤ IW(64) ≤ log p(x), the last by integration over z."""
    model = vae(decoder_scale="per_dimension")
    with torch.no_grad():
        assert model.log_scale is not None
        model.log_scale.fill_(-0.7)
        x = points(model, 8)
        weights = model.elbo(x, n_draws=64 * 400, generator=generator(4)).log_weights
        bounds = [
            (torch.logsumexp(weights.reshape(-1, k, 8), 1) - math.log(k)).mean()
            for k in (1, 4, 64)
        ]
        truth = log_prob_by_integration(model, x).mean()
    assert bounds[0] < bounds[1] < bounds[2] < truth + 1e-3
    assert float(truth - bounds[0]) > 0.05


def test_the_gradient_reaches_the_encoder_through_the_draw() -> None:
    """L7: even the reconstruction alone, which knows of the encoder only by z = μ + σ ε."""
    model = vae()
    model.loss(points(model), generator=generator())["reconstruction"].backward()
    last = [layer for layer in model.encoder if isinstance(layer, torch.nn.Linear)][-1]
    assert last.weight.grad is not None
    mean_rows, scale_rows = last.weight.grad.chunk(2)
    assert float(mean_rows.abs().max()) > 0.0
    assert float(scale_rows.abs().max()) > 0.0


def test_draws_hold_the_decoders_noise() -> None:
    """The variance of draws is that of the means plus that of the decoder."""
    model = vae(decoder_scale="per_dimension")
    with torch.no_grad():
        assert model.log_scale is not None
        model.log_scale.fill_(math.log(1.5))
        draws = model.sample(20_000, generator=generator())
        z = model.prior({}).sample((20_000,))
        means = model.decode({"z": z}).mean
    wanted = means.var(0) + (1.5 * model.scale).square()
    torch.testing.assert_close(draws.var(0), wanted, rtol=0.05, atol=0.0)


def test_a_second_latent_is_refused() -> None:
    model = vae()
    with pytest.raises(ValueError, match="given z, wanted no parents"):
        model.prior({"z": torch.zeros(1, 2)})


@pytest.mark.slow
@pytest.mark.parametrize("decoder_scale", ["network", "per_dimension"])
def test_its_latents_do_not_die(decoder_scale: str) -> None:
    dataset = build_dataset("eight_gaussians", fresh=True)
    model = build_model("vae", event_shape=(2,), decoder_scale=decoder_scale)
    losses = fit(model, dataset, steps=400, seed=0, device="cpu", record_every=20).losses
    assert losses["kl"][-1] > 1.0
    assert losses["nll"][-1] < 3.3
