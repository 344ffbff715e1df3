r"""Adam, whose step on small networks costs little more than its arithmetic.

.. math::
    m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
    \quad \theta \leftarrow \theta - \eta\, \frac{m / (1 - \beta_1^t)}
        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

torch's own step sorts parameters by device and number type, asks for hooks and tells the profiler,
every time; on a network of a dozen small matrices that takes longer than the update. Here the
fused kernel gets the same tensors at once, so the numbers are torch's bit for bit.

References:
    Kingma and Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """Fused Adam over parameters of one device and one number type, without weight decay.

    Args:
        params: Parameters, or groups of them, as torch's optimisers take them.
        lr: η, of groups without one of their own.
        betas: β₁ and β₂.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, fused=True)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; torch's own makes the first."""
        groups = [
            (group, [p for p in group["params"] if p.grad is not None])
            for group in self.param_groups
        ]
        if closure is not None or not all(p in self.state for _, found in groups for p in found):
            return super().step(closure)
        for group, found in groups:
            if found:
                self._update(group, found)
        return None

    # Without this mark torch wraps the method in its profiler's words.
    step.hooked = True  # type: ignore[attr-defined]

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self.state[p] for p in parameters]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )
