r"""The unadjusted Langevin chain: half a step down the energy, and noise to match.

.. math:: x \leftarrow x - \tfrac{\lambda}{2} \nabla E(x) + \varepsilon, \qquad
          \varepsilon \sim \mathcal N(0, \lambda T I)

At T = 1, as λ → 0, it draws from exp(−E); at a finite λ it is biased: on E = x²/2 its stationary
variance is 1/(1 − λ/4). M. Welling and Y. W. Teh, "Bayesian learning via stochastic gradient
Langevin dynamics", ICML 2011. With a noise of its own, not √λ, it is the decoupled chain of Y. Du
and I. Mordatch (2019), which is not Langevin's and has no such limit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.drawing import normal_noise
from engine.mcmc.target import Info, State, Target, as_setting, diverges, spread
from engine.mcmc.target import start as init


@torch.no_grad()
def step(
    state: State,
    target: Target,
    *,
    step_size: Tensor | float,
    generator: torch.Generator,
    temperature: Tensor | float = 1.0,
    noise_scale: Tensor | float | None = None,
) -> tuple[State, Info]:
    """One step of every chain, one evaluation of the target.

    Args:
        state: As :func:`init` makes it.
        target: Energy and gradient.
        step_size: λ, in squared units of x, one or (N,).
        generator: The source of ε.
        temperature: T, one or (N,); 0 is descent without noise.
        noise_scale: Standard deviation of ε at every T; ``None`` is Langevin's own √(λT).

    Returns:
        The new state, and ``drift`` and ``noise`` (N, *E), whose sum is the move, ``energy`` (N,)
        at the new place and ``divergence`` (N,): see :func:`engine.mcmc.target.diverges`.
    """
    x = state["x"]
    rate, heat = (as_setting("step_size", step_size, x), as_setting("temperature", temperature, x))
    scale = (rate * heat).sqrt() if noise_scale is None else as_setting("noise", noise_scale, x)
    drift = -0.5 * spread(rate, x) * state["gradient"]
    noise = spread(scale, x) * normal_noise(x.shape, generator, x)
    after = init(x + drift + noise, target)
    info = {
        "drift": drift,
        "noise": noise,
        "energy": after["energy"],
        "divergence": diverges(after["energy"] - state["energy"]),
    }
    return after, info


__all__ = ["init", "step"]
