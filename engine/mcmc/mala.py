r"""The Metropolis-adjusted Langevin chain: a Langevin proposal, accepted so as to be exact.

.. math:: x' = x - \tfrac{\lambda}{2} \nabla E(x) + \mathcal N(0, \lambda T I), \qquad
    \log \alpha = \frac{E(x) - E(x')}{T} + \log q(x \mid x') - \log q(x' \mid x)

It leaves exp(−E/T) invariant at every step size λ. G. O. Roberts and R. L. Tweedie, "Exponential
convergence of Langevin distributions and their discrete approximations", Bernoulli 1996.
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
    """One step of every chain, one evaluation of the target.

    A proposal whose energy is not a number is rejected.

    Args:
        state: As :func:`init` makes it.
        target: Energy and gradient.
        step_size: λ, in squared units of x, one or (N,).
        generator: The source of the noise and of the acceptance draws.
        temperature: T above 0, one or (N,).

    Returns:
        The new state, and ``drift``, ``noise``, ``proposal`` (N, *E), ``acceptance`` (N,), the
        probability α, ``accepted`` (N,), ``energy`` (N,) at the new place and ``divergence`` (N,)
        of the proposal.
    """
    x = state["x"]
    rate, heat = (as_setting("step_size", step_size, x), as_setting("temperature", temperature, x))
    drift = -0.5 * spread(rate, x) * state["gradient"]
    noise = spread((rate * heat).sqrt(), x) * normal_noise(x.shape, generator, x)
    proposal = init(x + drift + noise, target)
    rise = (proposal["energy"] - state["energy"]) / heat
    log_ratio = _log_q_ratio(noise, x, proposal, rate, heat) - rise
    accepted, acceptance = judge(log_ratio, generator)
    after = choose(accepted, proposal, state)
    info = {
        "drift": drift,
        "noise": noise,
        "proposal": proposal["x"],
        "acceptance": acceptance,
        "accepted": accepted,
        "energy": after["energy"],
        "divergence": diverges(rise),
    }
    return after, info


def _log_q_ratio(noise: Tensor, x: Tensor, proposal: State, rate: Tensor, heat: Tensor) -> Tensor:
    """Log q(x given x') − log q(x' given x), (N,): the noise there and the noise back."""
    back = x - proposal["x"] + 0.5 * spread(rate, x) * proposal["gradient"]
    squares = noise.flatten(1).square().sum(1) - back.flatten(1).square().sum(1)
    return squares / (2.0 * rate * heat)


__all__ = ["init", "step"]
