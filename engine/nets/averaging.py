r"""A running average of weights: what is shown and sampled while the trained weights swing.

.. math:: \bar\theta \leftarrow \beta \bar\theta + (1 - \beta) \theta

It changes nothing in training. B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic
approximation by averaging", 1992; for adversarial training Y. Yazıcı et al., ICLR 2019.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def averaged_copy(module: M) -> M:
    """A copy that is never trained, to be passed to :func:`update_average`."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, *, decay: float, step: int) -> None:
    """Move the average towards the module; ``decay`` 0 copies it.

    Args:
        average: Made by :func:`averaged_copy`.
        module: The trained one.
        decay: β in [0, 1).
        step: Updates so far; early on β is at most (1 + step)/(10 + step), so that the start is
            soon forgotten.
    """
    weight = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
    if decay == 0.0:
        weight = 1.0
    targets: list[Tensor] = [p.data for p in average.parameters() if p.is_floating_point()]
    sources = [p.detach() for p in module.parameters() if p.is_floating_point()]
    torch._foreach_lerp_(targets, sources, weight)
