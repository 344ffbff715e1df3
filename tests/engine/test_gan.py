"""The GAN: its optimum, both objectives, who learns when, and the modes that it covers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.capabilities import capabilities_of
from engine.model import TrainState
from engine.models.implicit.gan import GAN, critic_loss
from engine.registry import build_dataset, build_model
from engine.training import fit
from engine.wire.capability import Capability

CENTRES = torch.tensor(
    [[2 * math.cos(k * math.pi / 4), 2 * math.sin(k * math.pi / 4)] for k in range(8)]
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gan(**config: Any) -> GAN:
    model = build_model(
        "gan",
        event_shape=(2,),
        **{"hidden_features": (16,), "critic_features": (32, 32), **config},
    )
    assert isinstance(model, GAN)
    return model


def batch(n: int = 64, seed: int = 1) -> Tensor:
    return 3.0 + 2.0 * torch.randn(n, 2, generator=generator(seed))


def test_at_the_optimum_the_value_is_minus_log_four() -> None:
    """M1: with D = ½ everywhere V = −ln 4."""
    model = gan()
    with torch.no_grad():
        for parameter in model.judge.parameters():
            parameter.zero_()
    with torch.no_grad():
        losses = model.loss(batch(), generator=generator())
    assert float(-losses["critic"]) == pytest.approx(-math.log(4.0), abs=1e-6)
    assert float(losses["generator"]) == pytest.approx(math.log(2.0), abs=1e-6)


def test_a_critic_of_equal_distributions_settles_at_one_half() -> None:
    """Trained on draws that are data, it loses what it believed: V → −ln 4."""
    torch.manual_seed(0)
    model, noise = gan(), generator(2)
    with torch.no_grad():
        for parameter in model.judge.parameters():
            parameter.mul_(3.0)
    optimiser = model.optimisers(2e-3)["critic"]
    values = []
    for _ in range(400):
        real, fake = (torch.randn(256, 2, generator=noise) for _ in range(2))
        loss = critic_loss(model.critic(real), model.critic(fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(float(-loss.detach()))
    assert values[0] < -math.log(4.0) - 0.02
    assert sum(values[-50:]) / 50 == pytest.approx(-math.log(4.0), abs=0.02)
    certainty = torch.sigmoid(model.critic(torch.randn(500, 2, generator=noise))).detach()
    assert float(certainty.std()) < 0.06


def test_the_best_critic_is_the_log_ratio_of_densities() -> None:
    """D* = p/(p + p_G): the logit of two shifted normals is their log-ratio, here 2x."""
    model, noise = gan(), generator(3)
    shift = torch.tensor([1.0, 0.0])
    optimiser = model.optimisers(1e-3)["critic"]
    for _ in range(600):
        real = torch.randn(512, 2, generator=noise) + shift
        fake = torch.randn(512, 2, generator=noise) - shift
        loss = critic_loss(model.critic(real), model.critic(fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(model.critic(x).detach(), 2.0 * x[:, 0], atol=0.5, rtol=0.0)


@pytest.mark.parametrize("objective", ["non_saturating", "minimax"])
def test_the_generators_loss_is_its_formula(objective: str) -> None:
    model = gan(objective=objective, average=0.0)
    model.prepare(batch(), generator=generator())
    losses = model.loss(batch(), generator=generator(4))
    z = torch.randn(64, 2, generator=generator(4))
    d_fake = torch.sigmoid(model.critic(model.unstandardise(model.generator(z))).double())
    d_real = torch.sigmoid(model.critic(batch()).double())
    wanted = (1.0 - d_fake).log().mean() if objective == "minimax" else -d_fake.log().mean()
    assert float(losses["generator"].detach()) == pytest.approx(float(wanted.detach()), abs=1e-5)
    value = d_real.log().mean() + (1.0 - d_fake).log().mean()
    assert float(losses["critic"].detach()) == pytest.approx(-float(value.detach()), abs=1e-5)
    assert torch.equal(losses["total"], losses["generator"])


def test_each_player_learns_from_its_own_loss_only() -> None:
    """The generator's update leaves the critic where its own update put it, and the reverse."""
    model = gan(gradient_penalty=0.0)
    state = TrainState(model.optimisers(1e-3))
    start = {k: v.detach().clone() for k, v in model.judge.named_parameters()}
    fake = model.generator(torch.randn(64, 2, generator=generator(5))).detach()
    loss = critic_loss(model.critic(batch()), model.critic(fake))
    gradients = torch.autograd.grad(loss, list(model.judge.parameters()))
    model.train_step(batch(), state, generator(5))
    ratio = model.config.critic_rate_ratio
    for (name, value), gradient in zip(model.judge.named_parameters(), gradients, strict=True):
        clear = gradient.abs() > 1e-4  # Adam's first step is its rate times the sign
        step = (value.detach() - start[name])[clear]
        torch.testing.assert_close(step, -ratio * 1e-3 * gradient[clear].sign(), rtol=0.01, atol=0)


def test_the_penalty_flattens_the_critic_at_the_data() -> None:
    def slope(penalty: float) -> float:
        model = gan(gradient_penalty=penalty)
        state, noise = TrainState(model.optimisers(1e-3)), generator(6)
        for _ in range(60):
            model.train_step(batch(), state, noise)
        x = batch().requires_grad_()
        (gradient,) = torch.autograd.grad(model.critic(x).sum(), x)
        return float(gradient.norm(dim=1).mean())

    assert slope(10.0) < 0.5 * slope(0.0)


def test_instance_noise_fades_away() -> None:
    """At its end a step is the same step as without it."""

    def weights(instance_noise: float, step: int) -> Tensor:
        model = gan(instance_noise=instance_noise, noise_steps=100)
        state = TrainState(model.optimisers(1e-3), step=step)
        model.train_step(batch(), state, generator(7))
        return torch.cat([p.detach().flatten() for p in model.judge.parameters()])

    assert torch.equal(weights(0.5, 100), weights(0.0, 100))
    assert not torch.equal(weights(0.5, 99), weights(0.0, 99))


def test_draws_are_the_decoded_noise() -> None:
    model = gan()
    model.prepare(batch(), generator=generator())
    z = torch.randn(9, 2, generator=generator(8))
    decoded = model.decode({"z": z})
    torch.testing.assert_close(model.sample(9, generator=generator(8)), decoded.mean)
    with pytest.raises(ValueError, match="no density"):
        decoded.log_prob(decoded.mean)


def test_it_has_no_density_and_says_why() -> None:
    wanted = {Capability.SAMPLING, Capability.DECODING, Capability.CRITIC}
    assert set(capabilities_of(GAN)) == wanted
    assert "never computed" in GAN.card.lacks[Capability.LOG_PROB]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_it_covers_eight_gaussians(seed: int) -> None:
    """The mode count of M1: at least 7 of 8 modes hold a quarter of their share or more."""
    dataset = build_dataset("eight_gaussians", fresh=True)
    model = build_model("gan", event_shape=(2,), seed=seed)
    fit(model, dataset, steps=600, seed=seed, device="cpu")
    assert isinstance(model, GAN)
    distance, mode = torch.cdist(model.sample(4000, generator=generator()), CENTRES).min(1)
    counts = torch.bincount(mode[distance < 0.6], minlength=8)
    assert int((counts > 125).sum()) >= 7
    assert float((distance < 0.6).float().mean()) > 0.75
