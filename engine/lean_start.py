"""Spare a fresh engine an import that takes over a second and that nothing here needs.

torch's optimisers import ``torch._dynamo`` when they are first used, merely to tell the compiler
to leave them alone. The engine compiles nothing, so its process takes the plain functions that
lie beneath. Where a version of torch is built otherwise, nothing is changed.
"""

from __future__ import annotations

import torch
from torch.optim import SGD, Adam, Optimizer

#: The optimisers that models use.
KINDS: tuple[type[Optimizer], ...] = (Adam, SGD)


def spare_the_compiler() -> None:
    """Call once, before the first optimiser is built."""
    for member in vars(Optimizer).values():
        plain = getattr(member, "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain
    for kind in KINDS:
        plain_step = getattr(kind.step, "__wrapped__", None)
        if plain_step is not None:
            kind.step = torch.no_grad()(plain_step)  # type: ignore[method-assign]
