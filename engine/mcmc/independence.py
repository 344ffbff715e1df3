r"""The independence chain: propose a fresh point that forgets where the chain stood.

.. math:: y \sim q, \qquad \log \alpha = \frac{E(x) - E(y)}{T} + \log q(x) - \log q(y)

It leaves exp(−E/T) invariant and jumps between modes that no local chain connects, as long as q
now and then finds them; in many dimensions it hardly ever does. W. K. Hastings, Biometrika 1970.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.drawing import draw
from engine.mcmc.target import Info, State, Target, as_setting, choose, diverges, judge
from engine.mcmc.target import start as init


@torch.no_grad()
def step(
    state: State,
    target: Target,
    *,
    proposals: Distribution,
    generator: torch.Generator,
    temperature: Tensor | float = 1.0,
) -> tuple[State, Info]:
    """One step of every chain, one evaluation of the target.

    Args:
        state: As :func:`init` makes it.
        target: Energy and gradient.
        proposals: q, a distribution with event shape *E and no batch shape.
        generator: The source of proposals and acceptance draws.
        temperature: T above 0, one or (N,).

    Returns:
        The new state, and ``proposal`` (N, *E), ``acceptance``, ``accepted``, ``energy`` at the
        new place and ``divergence`` of the proposal, (N,) each.
    """
    x = state["x"]
    proposal = init(draw(proposals, generator, (len(x),)), target)
    rise = (proposal["energy"] - state["energy"]) / as_setting("temperature", temperature, x)
    log_ratio = proposals.log_prob(x) - proposals.log_prob(proposal["x"]) - rise
    accepted, acceptance = judge(log_ratio, generator)
    after = choose(accepted, proposal, state)
    info = {
        "proposal": proposal["x"],
        "acceptance": acceptance,
        "accepted": accepted,
        "energy": after["energy"],
        "divergence": diverges(rise),
    }
    return after, info


__all__ = ["init", "step"]
