r"""The independence chain: propose a fresh point that forgets where the chain stood.

.. math:: y \sim q, \qquad \log \alpha = E(x) - E(y) + \log q(x) - \log q(y)

It leaves exp(−E) invariant and jumps between modes that no local chain connects, as long as q now
and then finds them; in many dimensions it hardly ever does. W. K. Hastings, Biometrika 1970.
"""

from __future__ import annotations

import torch
from torch.distributions import Distribution

from engine.drawing import draw, uniform_noise
from engine.mcmc.mala import init
from engine.mcmc.target import Info, State, Target, choose


@torch.no_grad()
def step(
    state: State, target: Target, *, proposals: Distribution, generator: torch.Generator
) -> tuple[State, Info]:
    """One step of every chain.

    Args:
        state: As :func:`engine.mcmc.mala.init` makes it.
        target: Energy and gradient.
        proposals: q, a distribution with event shape *E and no batch shape.
        generator: The source of proposals and acceptance draws.

    Returns:
        The new state, and ``proposal`` (N, *E), ``acceptance`` (N,) and ``accepted`` (N,).
    """
    x = state["x"]
    proposal = init(draw(proposals, generator, (len(x),)), target)
    log_ratio = state["energy"] - proposal["energy"]
    log_ratio = log_ratio + proposals.log_prob(x) - proposals.log_prob(proposal["x"])
    accepted = uniform_noise(log_ratio.shape, generator, x).log() < log_ratio
    info = {
        "proposal": proposal["x"],
        "acceptance": log_ratio.nan_to_num(nan=-torch.inf).clamp_max(0.0).exp(),
        "accepted": accepted,
    }
    return choose(accepted, proposal, state), info


__all__ = ["init", "step"]
