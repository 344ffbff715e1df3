r"""Gradients through an ODE without keeping its steps: a second ODE is solved backwards.

.. math::
    a(t) = \frac{\partial \mathcal L}{\partial y(t)}, \qquad
    \frac{da}{dt} = -a^\top \frac{\partial f}{\partial y}, \qquad
    \frac{\partial \mathcal L}{\partial \theta}
        = \int_{t_0}^{t_1} a^\top \frac{\partial f}{\partial \theta}\, dt

y is solved back from y(t₁) beside a, so memory does not grow with the number of steps. The
gradient is that of the ODE, up to the tolerance; what autograd finds through a solver is that of
the very numbers which the solver gave. The integral over θ does not set the step sizes, which
Kidger, Chen and Lyons found to save evaluations.

References:
    Chen, Rubanova, Bettencourt and Duvenaud, *Neural Ordinary Differential Equations*, NeurIPS
    2018, algorithm 1.
    Kidger, Chen and Lyons, *"Hey, that's not an ODE": Faster ODE Adjoints via
    Seminorms*, ICML 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.ode.solver import Solver, State, StepLog, solve

#: (t, state, parameters) → time derivative of each tensor of the state.
Dynamics = Callable[[float, State, Sequence[Tensor]], State]


def solve_by_adjoint(
    f: Dynamics,
    y: State,
    parameters: Sequence[Tensor],
    t0: float,
    t1: float,
    solver: Solver,
    *,
    log: StepLog | None = None,
) -> State:
    """The state at t1; its gradient in ``y`` and ``parameters`` is found by a second solve.

    Args:
        f: The time derivative; whatever it needs a gradient in must be among ``parameters``.
        y: The state at t0.
        parameters: What f depends on.
        t0: Where to begin.
        t1: Where to end.
        solver: How to solve, in both directions.
        log: Takes down the steps of the forward solve.

    Raises:
        RuntimeError: A solve takes too many steps.
    """
    setting = (f, len(y), t0, t1, solver, StepLog() if log is None else log)
    end = _Adjoint.apply(setting, *y, *parameters)  # type: ignore[no-untyped-call]
    return cast(State, end)


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, setting: Any, *tensors: Tensor) -> State:
        f, n, t0, t1, solver, log = setting
        y, parameters = tensors[:n], tensors[n:]
        end = solve(lambda t, state: f(t, state, parameters), y, t0, t1, solver, log=log)
        ctx.setting = setting
        ctx.save_for_backward(*end, *parameters)
        return end

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        f, n, t0, t1, solver, _ = ctx.setting
        end, parameters = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        # The equation is linear in a: brought to size 1, the tolerances mean something to it.
        scale = torch.stack([a.abs().max() for a in cotangents]).max().clamp_min(1e-30)
        a = tuple(cotangent / scale for cotangent in cotangents)
        total = sum(p.numel() for p in parameters)
        state = (*end, *a, end[0].new_zeros(total))
        solver = replace(solver, n_controlled=2 * n)
        back = solve(_backwards(f, parameters, n), state, t1, t0, solver)
        a, flat = back[n : 2 * n], back[-1] * scale
        pieces = torch.split(flat, [p.numel() for p in parameters]) if parameters else ()
        gradients = [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True)]
        return (None, *(value * scale for value in a), *gradients)


def _backwards(
    f: Dynamics, parameters: Sequence[Tensor], n: int
) -> Callable[[float, State], State]:
    """The time derivative of (y, a, ∂L/∂θ)."""
    leaves = tuple(p.detach().requires_grad_() for p in parameters)

    def derivative(t: float, state: State) -> State:
        y = tuple(value.detach().requires_grad_() for value in state[:n])
        with torch.enable_grad():
            slope = f(t, y, leaves)
        tied = [(s, a) for s, a in zip(slope, state[n : 2 * n], strict=True) if s.requires_grad]
        gradients = torch.autograd.grad(
            [s for s, _ in tied],
            (*y, *leaves),
            [-a for _, a in tied],
            allow_unused=True,
            materialize_grads=True,
        )
        flat = [g.reshape(-1) for g in gradients[n:]] or [state[-1]]
        slope = tuple(s.detach() for s in slope)
        return (*slope, *gradients[:n], torch.cat(flat))

    return derivative
