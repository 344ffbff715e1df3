r"""The unadjusted Langevin chain: half a step down the energy, and noise to match.

.. math:: x \leftarrow x - \tfrac{\lambda}{2} \nabla E(x) + \varepsilon, \qquad
          \varepsilon \sim \mathcal N(0, \lambda I)

As λ → 0 it draws from exp(−E); at a finite λ it is biased: on E = x²/2 its stationary variance is
1/(1 − λ/4). M. Welling and Y. W. Teh, "Bayesian learning via stochastic gradient Langevin
dynamics", ICML 2011. With a noise of its own, not √λ, it is the decoupled chain of Y. Du and
I. Mordatch (2019), which has no such limit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.drawing import normal_noise
from engine.mcmc.target import Info, State, Target


def init(x: Tensor) -> State:
    """Chains that start at x (N, *E)."""
    return {"x": x}


@torch.no_grad()
def step(
    state: State,
    target: Target,
    *,
    step_size: Tensor | float,
    generator: torch.Generator,
    noise_scale: Tensor | float | None = None,
) -> tuple[State, Info]:
    """One step of every chain.

    Args:
        state: ``{"x": (N, *E)}``.
        target: Energy and gradient.
        step_size: λ, in squared units of x.
        generator: The source of ε.
        noise_scale: Standard deviation of ε; ``None`` is Langevin's own √λ.

    Returns:
        The new state, and ``energy`` (N,) before the move, ``drift`` and ``noise`` (N, *E), whose
        sum is the move.
    """
    x = state["x"]
    energy, gradient = target(x)
    rate = torch.as_tensor(step_size, dtype=x.dtype, device=x.device)
    scale = rate.sqrt() if noise_scale is None else noise_scale
    drift = -0.5 * rate * gradient
    noise = scale * normal_noise(x.shape, generator, x)
    return {"x": x + drift + noise}, {"energy": energy, "drift": drift, "noise": noise}
