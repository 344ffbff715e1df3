r"""Block Gibbs sampling: draw the blocks in turn, each from its conditional given all others.

.. math:: x_b \sim p(x_b \mid x_{-b}), \qquad b = 1, 2, \dots

Every draw leaves p invariant, in whatever order the blocks are taken; a sweep is all of them, a
half-step one. S. Geman and D. Geman, "Stochastic relaxation, Gibbs distributions, and the Bayesian
restoration of images", IEEE PAMI 1984.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from engine.mcmc.target import Info, State

#: All blocks and a generator → a fresh value of one block (N, …), and its conditional's mean.
Conditional: TypeAlias = Callable[[State, torch.Generator], tuple[Tensor, Tensor]]


def init(blocks: Mapping[str, Tensor]) -> State:
    """Chains that start at named blocks (N, …)."""
    return dict(blocks)


@torch.no_grad()
def step(
    state: State, conditionals: Mapping[str, Conditional], *, generator: torch.Generator
) -> tuple[State, Info]:
    """Draw some blocks of every chain, in the order of ``conditionals``.

    Args:
        state: Named blocks (N, …); those without a conditional stay.
        conditionals: By the name of the block that each one draws.
        generator: The source of all draws.

    Returns:
        The new state, and ``mean_…`` for each block drawn: the mean of its conditional, which for
        binary units is the probability to be on.

    Raises:
        ValueError: A conditional is of a block that the state has not.
    """
    after, info = dict(state), {}
    for name, conditional in conditionals.items():
        if name not in after:
            raise ValueError(f"conditionals: given '{name}', wanted one of {', '.join(after)}")
        after[name], info[f"mean_{name}"] = conditional(after, generator)
    return after, info
