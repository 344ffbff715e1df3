"""WGAN-GP: the critic's estimate against W₁ by quantiles, its penalty and its turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from engine.capabilities import capabilities_of
from engine.model import TrainState
from engine.models.implicit.wgan_gp import WGANGP
from engine.registry import build_dataset, build_model
from engine.training import fit
from engine.wire.capability import Capability


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wgan(size: int = 2, **config: Any) -> WGANGP:
    model = build_model(
        "wgan_gp",
        event_shape=(size,),
        **{"hidden_features": (16,), "critic_features": (32, 32), **config},
    )
    assert isinstance(model, WGANGP)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "spread"), [(6.0, 2.0), (5.0, 3.0)])
@pytest.mark.parametrize("penalty", ["one_sided", "two_sided"])
def test_the_critics_estimate_is_the_earth_movers_distance(
    shift: float, spread: float, penalty: str
) -> None:
    """M2: between N(1, 2²) and N(1 + shift, spread²), within 5 % of ∫|F − G| dx."""
    noise = generator(1)

    def real(n: int) -> Tensor:
        return 1.0 + 2.0 * torch.randn(n, 1, generator=noise)

    def fake(n: int) -> Tensor:
        return 1.0 + shift + spread * torch.randn(n, 1, generator=noise)

    model = wgan(1, penalty=penalty, penalty_weight=10.0 if penalty == "one_sided" else 1.0)
    model.prepare(real(4000), generator=noise)
    optimiser = model.optimisers(2e-3)["critic"]
    for index in range(450):
        if index == 300:
            optimiser.param_groups[0]["lr"] = 2e-4
        parts = model.standardise(real(256)), model.standardise(fake(256))
        loss = model.critic_losses(*parts, noise)["critic"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x = np.linspace(-30.0, 50.0, 80_001)
    gap = scipy.stats.norm.cdf(x, 1, 2) - scipy.stats.norm.cdf(x, 1 + shift, spread)
    wanted = np.abs(gap).sum() * (x[1] - x[0])
    parts = model.standardise(real(50_000)), model.standardise(fake(50_000))
    given = model.critic_losses(*parts, noise)["wasserstein"].detach()
    assert float(given) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize(("slope", "wanted"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_the_penalty_is_that_of_the_slope(slope: float, wanted: float) -> None:
    """A linear critic of slope s everywhere costs λ(s − 1)²."""
    model = wgan(2, critic_features=(), penalty_weight=7.0)
    with torch.no_grad():
        model.judge[0].weight.copy_(slope * torch.tensor([[0.6, 0.8]]))
    real, fake = (torch.randn(10, 2, generator=generator(s)) for s in (1, 2))
    losses = model.critic_losses(real, fake, generator())
    assert float(losses["penalty"].detach()) == pytest.approx(7.0 * wanted, abs=1e-4)
    gap = (real - fake).mean(0) @ torch.tensor([0.6, 0.8]) * min(slope, 1.0)
    assert float(losses["wasserstein"].detach()) == pytest.approx(float(gap), abs=1e-5)
    parts = losses["penalty"] - max(slope, 1.0) * losses["wasserstein"]
    torch.testing.assert_close(losses["critic"], parts)


def test_a_one_sided_penalty_spares_gentle_slopes() -> None:
    gentle, steep = [], []
    for slope, costs in ((0.5, gentle), (2.0, steep)):
        model = wgan(1, critic_features=(), penalty_weight=3.0, penalty="one_sided")
        with torch.no_grad():
            model.judge[0].weight.fill_(-slope)
        u = torch.randn(10, 1, generator=generator())
        costs.append(float(model.critic_losses(u, u + 1.0, generator())["penalty"].detach()))
    assert gentle == [0.0]
    assert steep == pytest.approx([3.0], abs=1e-5)


def test_the_penalty_looks_between_data_and_draws() -> None:
    """A critic that is steep only outside of the segment costs nothing there."""
    model = wgan(1, critic_features=(1,), penalty_weight=1.0)
    with torch.no_grad():
        first, last = model.judge[0], model.judge[2]
        first.weight.fill_(1.0)
        first.bias.fill_(-2.0)  # leaky: slope 1 above u = 2 and 0.01 below
        last.weight.fill_(1.0)
    low, high = torch.zeros(50, 1), torch.full((50, 1), 4.0)
    below = model.critic_losses(low, low + 1.0, generator())["penalty"]
    above = model.critic_losses(high, high + 1.0, generator())["penalty"]
    both = model.critic_losses(low, high, generator())["penalty"]
    assert float(below.detach()) == pytest.approx(0.99**2, abs=1e-5)
    assert float(above.detach()) == pytest.approx(0.0, abs=1e-5)
    assert 0.2 < float(both.detach()) < 0.8


def test_the_generator_moves_once_in_n_critic_steps() -> None:
    model = wgan(n_critic=3)
    state, noise = TrainState(model.optimisers(1e-3)), generator()
    turns = []
    for _ in range(7):
        before = model.generator[0].weight.detach().clone()
        judged = model.judge[0].weight.detach().clone()
        model.train_step(torch.randn(32, 2, generator=noise), state, noise)
        state.step += 1
        turns.append(not torch.equal(before, model.generator[0].weight))
        assert not torch.equal(judged, model.judge[0].weight)
    assert turns == [False, False, True, False, False, True, False]


def test_losses_are_named() -> None:
    losses = wgan().loss(torch.randn(16, 2, generator=generator()), generator=generator())
    assert set(losses) == {"total", "generator", "critic", "penalty", "wasserstein"}


def test_it_has_no_density_and_says_why() -> None:
    wanted = {Capability.SAMPLING, Capability.DECODING, Capability.CRITIC}
    assert set(capabilities_of(WGANGP)) == wanted
    assert "never computed" in WGANGP.card.lacks[Capability.LOG_PROB]


@pytest.mark.slow
def test_its_draws_come_near_two_moons() -> None:
    dataset = build_dataset("two_moons", fresh=True)
    model = build_model("wgan_gp", event_shape=(2,), learning_rate=2e-3)
    losses = fit(model, dataset, steps=600, seed=0, device="cpu", record_every=10).losses
    assert isinstance(model, WGANGP)
    early, late = losses["wasserstein"][:3], losses["wasserstein"][-10:]
    assert sum(late) / 10 < 0.5 * max(early)
    draws = model.sample(2000, generator=generator())
    data = dataset.sample(2000, generator=generator(1))
    other = dataset.sample(2000, generator=generator(2))
    far = torch.cdist(draws, data).amin(1).mean() / torch.cdist(other, data).amin(1).mean()
    assert float(far) < 8.0
