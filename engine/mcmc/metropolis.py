r"""Random-walk Metropolis: a step into the blue, taken when it is down, and now and then when up.

.. math:: x' = x + \mathcal N(0, \lambda T I), \qquad \log \alpha = \frac{E(x) - E(x')}{T}

It leaves exp(−E/T) invariant and follows no gradient, so that its steps must shrink with the
number of dimensions. N. Metropolis, A. W. Rosenbluth, M. N. Rosenbluth, A. H. Teller and
E. Teller, "Equation of state calculations by fast computing machines", J. Chem. Phys. 1953.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.drawing import normal_noise
from engine.mcmc.target import (
    Info,
    State,
    Target,
    as_setting,
    choose,
    diverges,
    judge,
    spread,
)
from engine.mcmc.target import start as init


@torch.no_grad()
def step(
    state: State,
    target: Target,
    *,
    step_size: Tensor | float,
    generator: torch.Generator,
    temperature: Tensor | float = 1.0,
) -> tuple[State, Info]:
    """One step of every chain, one evaluation of the target, whose gradient is only kept.

    Args:
        state: As :func:`init` makes it.
        target: Energy and gradient.
        step_size: λ, in squared units of x, one or (N,); Langevin's without the drift.
        generator: The source of the noise and of the acceptance draws.
        temperature: T above 0, one or (N,).

    Returns:
        The new state, and ``noise``, ``proposal`` (N, *E), ``acceptance``, ``accepted``,
        ``energy`` at the new place and ``divergence`` of the proposal, (N,) each.
    """
    x = state["x"]
    rate, heat = (as_setting("step_size", step_size, x), as_setting("temperature", temperature, x))
    noise = spread((rate * heat).sqrt(), x) * normal_noise(x.shape, generator, x)
    proposal = init(x + noise, target)
    rise = (proposal["energy"] - state["energy"]) / heat
    accepted, acceptance = judge(-rise, generator)
    after = choose(accepted, proposal, state)
    info = {
        "noise": noise,
        "proposal": proposal["x"],
        "acceptance": acceptance,
        "accepted": accepted,
        "energy": after["energy"],
        "divergence": diverges(rise),
    }
    return after, info


__all__ = ["init", "step"]
