r"""The Metropolis-adjusted Langevin chain: a Langevin proposal, accepted so as to be exact.

.. math:: x' = x - \tfrac{\lambda}{2} \nabla E(x) + \mathcal N(0, \lambda I), \qquad
    \log \alpha = E(x) - E(x') + \log q(x \mid x') - \log q(x' \mid x)

It leaves exp(−E) invariant at every step size λ. G. O. Roberts and R. L. Tweedie, "Exponential
convergence of Langevin distributions and their discrete approximations", Bernoulli 1996.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.drawing import normal_noise, uniform_noise
from engine.mcmc.target import Info, State, Target, choose


@torch.no_grad()
def init(x: Tensor, target: Target) -> State:
    """Chains at x (N, *E), with energy (N,) and gradient (N, *E) kept for the next step."""
    energy, gradient = target(x)
    return {"x": x, "energy": energy, "gradient": gradient}


@torch.no_grad()
def step(
    state: State,
    target: Target,
    *,
    step_size: Tensor | float,
    generator: torch.Generator,
) -> tuple[State, Info]:
    """One step of every chain, one evaluation of the target.

    A proposal whose energy is not a number is rejected.

    Args:
        state: As :func:`init` makes it.
        target: Energy and gradient.
        step_size: λ, in squared units of x.
        generator: The source of the noise and of the acceptance draws.

    Returns:
        The new state, and ``drift``, ``noise``, ``proposal`` (N, *E), ``acceptance`` (N,), the
        probability α, and ``accepted`` (N,).
    """
    x = state["x"]
    rate = torch.as_tensor(step_size, dtype=x.dtype, device=x.device)
    drift = -0.5 * rate * state["gradient"]
    noise = rate.sqrt() * normal_noise(x.shape, generator, x)
    proposal = init(x + drift + noise, target)
    log_ratio = state["energy"] - proposal["energy"] + _log_q_ratio(noise, x, proposal, rate)
    uniform = uniform_noise(log_ratio.shape, generator, x)
    accepted = uniform.log() < log_ratio
    info = {
        "drift": drift,
        "noise": noise,
        "proposal": proposal["x"],
        "acceptance": log_ratio.nan_to_num(nan=-torch.inf).clamp_max(0.0).exp(),
        "accepted": accepted,
    }
    return choose(accepted, proposal, state), info


def _log_q_ratio(noise: Tensor, x: Tensor, proposal: State, rate: Tensor) -> Tensor:
    """Log q(x given x') − log q(x' given x), (N,): the noise there and the noise back."""
    back = x - proposal["x"] + 0.5 * rate * proposal["gradient"]
    return (noise.flatten(1).square().sum(1) - back.flatten(1).square().sum(1)) / (2.0 * rate)
