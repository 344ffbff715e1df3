r"""A stretch of time of a continuous flow, as a layer: points are carried along a velocity.

.. math::
    \frac{dz}{dt} = f(z, t), \qquad
    \log\left|\det \frac{\partial z(t_1)}{\partial z(t_0)}\right|
        = \int_{t_0}^{t_1} \mathrm{tr}\,\frac{\partial f}{\partial z}\, dt

References:
    Chen, Rubanova, Bettencourt and Duvenaud, *Neural Ordinary Differential Equations*, NeurIPS
    2018, theorem 1.
    Grathwohl et al., *FFJORD*, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.nets.vector_field import VectorField
from engine.ode.adjoint import Dynamics, solve_by_adjoint
from engine.ode.solver import Solver, State, StepLog, solve

GRADIENTS = ("backpropagation", "adjoint")


@dataclass(frozen=True)
class Continuous:
    """The flow from ``start`` to ``end``.

    Attributes:
        network: The velocity f.
        prepared: What the network made of its weights.
        solver: How to solve.
        gradient: ``"backpropagation"`` through the solver's steps, or ``"adjoint"``; where no
            gradient is wanted it does not matter.
        noise: ε (B, D) of Hutchinson's estimate, one for the whole solve; None: the exact trace.
        start: Time at the data side.
        end: Time at the base side.
        name: What panels call the layer.
        log: Takes down the solver's steps.
        visit: Called with time and state after every accepted step: z, and the log-determinant so
            far in the direction of time taken; not by the adjoint.
    """

    network: VectorField
    prepared: Sequence[Tensor]
    solver: Solver
    gradient: str = "backpropagation"
    noise: Tensor | None = None
    start: float = 0.0
    end: float = 1.0
    name: str = "t = 1"
    log: StepLog = field(default_factory=StepLog)
    visit: Callable[[float, State], None] | None = None

    @property
    def n_passes(self) -> tuple[int, int]:
        """One solve either way; how many evaluations that was stands in ``log`` afterwards."""
        return 1, 1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) at the start → (B, D) at the end, and the log-determinant."""
        return self._carry(x, self.start, self.end)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) at the end → (B, D) at the start, and the log-determinant **of forward**."""
        x, log_det = self._carry(y, self.end, self.start)
        return x, -log_det

    def place_before(self, y: Tensor) -> Tensor:
        """:meth:`inverse` without its log-determinant, for which no trace is needed."""

        def derivative(t: float, state: State) -> State:
            return (self.network.velocity(t, state[0], self.prepared),)

        return solve(derivative, (y,), self.end, self.start, self.solver, log=self.log)[0]

    def _carry(self, z: Tensor, t0: float, t1: float) -> tuple[Tensor, Tensor]:
        state, dynamics = (z, z.new_zeros(len(z))), self._dynamics()
        if self.gradient == "adjoint" and torch.is_grad_enabled():
            end = solve_by_adjoint(
                dynamics, state, self.prepared, t0, t1, self.solver, log=self.log
            )
        else:

            def derivative(t: float, now: State) -> State:
                return dynamics(t, now, self.prepared)

            end = solve(derivative, state, t0, t1, self.solver, log=self.log, visit=self.visit)
        return end[0], end[1]

    def _dynamics(self) -> Dynamics:
        network, noise = self.network, self.noise
        if noise is None:
            return lambda t, y, prepared: network.with_trace(t, y[0], prepared)
        return lambda t, y, prepared: network.with_estimate(t, y[0], noise, prepared)
