"""Targets: what every gradient-based kernel asks of an energy, its value and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

#: x (N, *E) → energy (N,) in nats and its gradient (N, *E), both without a graph.
Target: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
#: Named blocks, such as {"x": (N, *E)}.
State: TypeAlias = dict[str, Tensor]
#: What a panel draws of one step.
Info: TypeAlias = dict[str, Tensor]


def with_gradient(energy: Callable[[Tensor], Tensor]) -> Target:
    """Turn an energy (N, *E) → (N,) into a target, by automatic differentiation."""

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = energy(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    return evaluate


def per_chain(values: Tensor, like: Tensor) -> Tensor:
    """(N,) → (N, 1, …, 1), to be broadcast against ``like`` (N, *E)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def choose(accepted: Tensor, new: State, old: State) -> State:
    """Per chain the new state where ``accepted`` (N,) is true, else the old one."""
    return {k: torch.where(per_chain(accepted, old[k]), new[k], old[k]) for k in old}
