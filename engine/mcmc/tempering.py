r"""Parallel tempering: hot replicas cross the hills and hand what they find down to the cold one.

R replicas walk at temperatures 1 = T₁ < … < T_R, where heat flattens the energy. After every step
neighbours offer to change places:

.. math:: \log \alpha = \bigl(E(x_r) - E(x_{r+1})\bigr)
    \left(\frac{1}{T_r} - \frac{1}{T_{r+1}}\right)

Moves and swaps leave Π_r exp(−E(x_r)/T_r) invariant, so that the coldest replica draws from
exp(−E/T₁). R. H. Swendsen and J.-S. Wang, "Replica Monte Carlo simulation of spin-glasses", PRL
1986; C. J. Geyer, "Markov chain Monte Carlo maximum likelihood", 1991.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from engine.mcmc import mala
from engine.mcmc.hmc import ALONG_THE_WAY
from engine.mcmc.target import Info, State, Target, judge, per_chain, start

#: ``step`` of any other sampler in this package that takes a temperature per chain.
Kernel: TypeAlias = Callable[..., tuple[State, Info]]
#: Blocks of one replica, and their names with the replicas' axis.
ALL = {"x": "replicas", "energy": "replica_energy", "gradient": "replica_gradient"}


def ladder(n_replicas: int, hottest: float) -> Tensor:
    """R temperatures from 1 to ``hottest``, evenly spaced in the logarithm, (R,), float64."""
    return torch.logspace(0.0, 1.0, n_replicas, base=hottest, dtype=torch.float64)


def init(x: Tensor, target: Target, *, n_replicas: int = 4) -> State:
    """N chains of R replicas that all start at x (N, *E).

    Returns:
        ``replicas`` (N, R, *E), ``replica_energy`` (N, R), ``replica_gradient`` (N, R, *E), the
        coldest first, and as with every other sampler ``x``, ``energy`` and ``gradient``, which
        are the coldest's.
    """
    at = start(x, target)
    copies = {
        ALL[name]: block.unsqueeze(1).repeat(1, n_replicas, *[1] * (block.dim() - 1))
        for name, block in at.items()
    }
    return at | copies


@torch.no_grad()
def step(
    state: State,
    target: Target,
    *,
    step_size: Tensor | float,
    generator: torch.Generator,
    temperatures: Tensor,
    kernel: Kernel = mala.step,
) -> tuple[State, Info]:
    """One step of every replica, then swaps of neighbours: first (1, 2), (3, 4) …, then (2, 3) ….

    Args:
        state: As :func:`init` makes it; what counts of it are the replicas.
        target: Energy and gradient.
        step_size: As the kernel has it; the noise of a hot replica is wider by √T anyway.
        generator: The source of all noise.
        temperatures: (R,), rising; the first is that of the law that is wanted.
        kernel: An exact one: :func:`engine.mcmc.mala.step`, that of hmc or of metropolis.

    Returns:
        The new state; the kernel's info of the coldest replica, with ``energy`` after the swaps;
        ``replica_acceptance`` (N, R) of the moves, ``divergence`` (N,) if any replica's diverged,
        ``moved`` (N, R, *E), the replicas between moves and swaps, and ``swap_acceptance`` and
        ``swapped`` (N, R − 1) of the neighbours r and r + 1.

    Raises:
        ValueError: The temperatures are not as many as the replicas.
    """
    shape = state["replicas"].shape[:2]
    if temperatures.shape != shape[1:]:
        raise ValueError(
            f"temperatures: given {tuple(temperatures.shape)}, wanted one for each of the "
            f"{shape[1]} replicas"
        )
    heat = temperatures.to(state["energy"])
    flat = {name: state[many].flatten(0, 1) for name, many in ALL.items()}
    flat, moves = kernel(
        flat,
        target,
        step_size=step_size,
        generator=generator,
        temperature=heat.repeat(shape[0]),
    )
    blocks = {many: _apart(flat[name], shape) for name, many in ALL.items()}
    swapped, swaps = _swap(blocks, heat, generator)
    coldest = {name: swapped[many][:, 0] for name, many in ALL.items()}
    info = {name: _coldest(name, value, shape) for name, value in moves.items()}
    info |= {
        "energy": coldest["energy"],
        "divergence": _apart(moves["divergence"], shape).any(1),
        "moved": blocks["replicas"],
        **swaps,
    }
    if "acceptance" in moves:
        info["replica_acceptance"] = _apart(moves["acceptance"], shape)
    return coldest | swapped, info


def _swap(blocks: State, heat: Tensor, generator: torch.Generator) -> tuple[State, Info]:
    """Even pairs, then odd ones; what was offered and taken, (N, R − 1)."""
    n, n_replicas = blocks["replica_energy"].shape
    acceptance = blocks["replica_energy"].new_ones(n, n_replicas - 1)
    swapped = torch.zeros_like(acceptance, dtype=torch.bool)
    colder = 1.0 / heat[:-1] - 1.0 / heat[1:]
    for first in (0, 1):
        pairs = slice(first, None, 2)
        energy = blocks["replica_energy"]
        log_ratio = ((energy[:, :-1] - energy[:, 1:]) * colder)[:, pairs]
        swapped[:, pairs], acceptance[:, pairs] = judge(log_ratio, generator)
        taken = torch.zeros_like(swapped)
        taken[:, pairs] = swapped[:, pairs]
        blocks = {name: _exchanged(block, taken) for name, block in blocks.items()}
    return blocks, {"swap_acceptance": acceptance, "swapped": swapped}


def _exchanged(block: Tensor, taken: Tensor) -> Tensor:
    """(N, R, …) with the neighbours r and r + 1 exchanged where ``taken`` (N, R − 1) says."""
    places = torch.arange(block.shape[1], device=block.device).expand(len(block), -1).clone()
    places[:, :-1] += taken.long()
    places[:, 1:] -= taken.long()
    index = per_chain(places.flatten(), block.flatten(0, 1)).reshape(
        *places.shape, *[1] * (block.dim() - 2)
    )
    return block.gather(1, index.expand_as(block))


def _coldest(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    """The coldest replica's part of what a kernel says of N·R chains."""
    if name in ALONG_THE_WAY:
        return torch.stack([_apart(point, shape)[:, 0] for point in value])
    return _apart(value, shape)[:, 0]


def _apart(value: Tensor, shape: torch.Size) -> Tensor:
    """(N·R, …) → (N, R, …)."""
    return value.reshape(*shape, *value.shape[1:])


__all__ = ["ALL", "Kernel", "init", "ladder", "step"]
