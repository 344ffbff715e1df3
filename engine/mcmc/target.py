"""Targets: what every kernel asks of an energy, its value and its gradient; and shared pieces.

A kernel at temperature T has the stationary law exp(−E/T). Its drift is that of T = 1 and its
noise has T times the variance, as in physics: T → 0 is descent, and heat widens the
steps by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from engine.drawing import uniform_noise

#: x (N, *E) → energy (N,) in nats and its gradient (N, *E), both without a graph.
Target: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
#: Named blocks: "x" (N, *E) and, kept for the next step, its "energy" (N,) and "gradient" (N, *E).
State: TypeAlias = dict[str, Tensor]
#: What a panel draws of one step.
Info: TypeAlias = dict[str, Tensor]
#: A step that raises E/T by more nats than this is called divergent.
DIVERGENCE_NATS = 1000.0


def with_gradient(energy: Callable[[Tensor], Tensor]) -> Target:
    """Turn an energy (N, *E) → (N,) into a target, by automatic differentiation."""

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = energy(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    return evaluate


@torch.no_grad()
def start(x: Tensor, target: Target) -> State:
    """Chains at x (N, *E), with energy (N,) and gradient (N, *E) kept for the next step."""
    energy, gradient = target(x)
    return {"x": x, "energy": energy, "gradient": gradient}


def per_chain(values: Tensor, like: Tensor) -> Tensor:
    """(N,) → (N, 1, …, 1), to be broadcast against ``like`` (N, *E)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def as_setting(name: str, value: Tensor | float, x: Tensor) -> Tensor:
    """A step size or temperature, one for all or (N,), as a tensor to be multiplied with (N,).

    Raises:
        ValueError: A plain number is below 0.
    """
    if not isinstance(value, Tensor) and not value >= 0.0:
        raise ValueError(f"{name}: given {value}, wanted a number of at least 0")
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)


def spread(value: Tensor, like: Tensor) -> Tensor:
    """A setting as :func:`as_setting` makes it, to be multiplied with ``like`` (N, *E)."""
    return per_chain(value, like) if value.dim() else value


def judge(log_ratio: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Metropolis' rule for log α (N,): which are accepted, and the probabilities α.

    What is not a number is refused.
    """
    accepted = uniform_noise(log_ratio.shape, generator, log_ratio).log() < log_ratio
    return accepted, log_ratio.nan_to_num(nan=-torch.inf).clamp_max(0.0).exp()


def diverges(rise: Tensor) -> Tensor:
    """(N,) bool: where E/T rose by more than :data:`DIVERGENCE_NATS`, or is not finite."""
    return ~(rise.isfinite() & (rise <= DIVERGENCE_NATS))


def choose(accepted: Tensor, new: State, old: State) -> State:
    """Per chain the new state where ``accepted`` (N,) is true, else the old one."""
    return {k: torch.where(per_chain(accepted, old[k]), new[k], old[k]) for k in old}
