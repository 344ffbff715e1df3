r"""Hamiltonian Monte Carlo: give the point a push and let it roll over the energy for a while.

.. math:: H(x, p) = E(x) + \tfrac12 |p|^2, \qquad p \sim \mathcal N(0, T I), \qquad
    \log \alpha = \frac{H(x, p) - H(x', p')}{T}

L leapfrog steps of length ε follow Hamilton's equations, reversibly and without changing volumes,
with an error in H of order ε²; the end is accepted so that exp(−E/T) stays invariant. One leapfrog
step is MALA's proposal with λ = ε². S. Duane, A. D. Kennedy, B. J. Pendleton and D. Roweth,
"Hybrid Monte Carlo", Phys. Lett. B 1987; R. M. Neal, "MCMC using Hamiltonian dynamics", 2011.
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

#: What the info holds of every point on the way, (L + 1, N, …).
ALONG_THE_WAY = ("trajectory", "hamiltonian")


@torch.no_grad()
def step(
    state: State,
    target: Target,
    *,
    step_size: Tensor | float,
    generator: torch.Generator,
    temperature: Tensor | float = 1.0,
    n_steps: int = 10,
) -> tuple[State, Info]:
    """One trajectory of every chain, L evaluations of the target.

    Args:
        state: As :func:`init` makes it.
        target: Energy and gradient.
        step_size: ε, in units of x, one or (N,).
        generator: The source of the momenta and of the acceptance draws.
        temperature: T above 0, one or (N,).
        n_steps: L, leapfrog steps.

    Returns:
        The new state, and ``trajectory`` (L + 1, N, *E) with its ``hamiltonian`` (L + 1, N),
        ``momentum`` at the start, ``proposal`` (N, *E), ``acceptance``, ``accepted``,
        ``energy_error``, the change of H/T, ``energy`` at the new place and ``divergence`` of the
        proposal, (N,) each.

    Raises:
        ValueError: ``n_steps`` is below 1.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps: given {n_steps}, wanted a whole number of at least 1")
    x = state["x"]
    heat = as_setting("temperature", temperature, x)
    momentum = spread(heat.sqrt(), x) * normal_noise(x.shape, generator, x)
    path = leapfrog(state, momentum, target, step_size=step_size, n_steps=n_steps)
    hamiltonian = torch.stack([point["energy"] + kinetic(p) for point, p in path])
    error = (hamiltonian[-1] - hamiltonian[0]) / heat
    accepted, acceptance = judge(-error, generator)
    proposal = path[-1][0]
    after = choose(accepted, proposal, state)
    info = {
        "trajectory": torch.stack([point["x"] for point, _ in path]),
        "hamiltonian": hamiltonian,
        "momentum": momentum,
        "proposal": proposal["x"],
        "acceptance": acceptance,
        "accepted": accepted,
        "energy_error": error,
        "energy": after["energy"],
        "divergence": diverges(error),
    }
    return after, info


@torch.no_grad()
def leapfrog(
    state: State,
    momentum: Tensor,
    target: Target,
    *,
    step_size: Tensor | float,
    n_steps: int,
) -> list[tuple[State, Tensor]]:
    """L + 1 pairs of a state and its momentum (N, *E), the first being those given."""
    length = spread(as_setting("step_size", step_size, momentum), momentum)
    path = [(state, momentum)]
    for _ in range(n_steps):
        before, momentum = path[-1]
        half = momentum - 0.5 * length * before["gradient"]
        after = init(before["x"] + length * half, target)
        path.append((after, half - 0.5 * length * after["gradient"]))
    return path


def kinetic(momentum: Tensor) -> Tensor:
    """½ |p|² of (N, *E), (N,)."""
    return 0.5 * momentum.flatten(1).square().sum(1)


__all__ = ["ALONG_THE_WAY", "init", "kinetic", "leapfrog", "step"]
