"""Our Adam takes torch's steps, bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from engine.adam import Adam


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 2, bias=False))


def climb(network: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        x = torch.randn(8, 3, generator=generator)
        network(x).square().sum().backward()
        if step == 3:
            # A parameter that took no part keeps its moments and its count.
            network[0].bias.grad = None  # type: ignore[union-attr, index]
        for group in optimiser.param_groups:
            group["lr"] = 0.05 / (1 + step)
        optimiser.step()


def pair(betas: tuple[float, float]) -> list[tuple[nn.Module, torch.optim.Optimizer]]:
    found: list[tuple[nn.Module, torch.optim.Optimizer]] = []
    for kind in (Adam, torch.optim.Adam):
        network = net()
        extra = {} if kind is Adam else {"fused": True}
        found.append((network, kind(network.parameters(), lr=0.1, betas=betas, **extra)))
    return found


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.9)])
def test_the_weights_are_torchs(betas: tuple[float, float]) -> None:
    (ours, adam), (theirs, peer) = pair(betas)
    climb(ours, adam, 7)
    climb(theirs, peer, 7)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(adam.state[a][name], peer.state[b][name])


def test_a_state_that_was_saved_goes_on() -> None:
    (first, adam), (second, other) = pair((0.9, 0.999))
    climb(first, adam, 4)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    other.load_state_dict(copy.deepcopy(adam.state_dict()))
    climb(first, adam, 3)
    climb(second, other, 3)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_gradients_are_forgotten() -> None:
    network = net()
    adam = Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    adam.zero_grad()
    assert all(parameter.grad is None for parameter in network.parameters())
