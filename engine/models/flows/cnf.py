r"""CNF: continuous normalizing flow, the density of a neural ODE.

Points flow along a velocity that a network gives at every place and time; there are no layers,
and any network will do, since a flow is undone by running time backwards. Its log-density changes
by the trace of the velocity's Jacobian, where discrete layers need a determinant.

.. math::
    \frac{dz}{dt} = f(z, t), \qquad \frac{d \log p(z(t))}{dt} = -\mathrm{tr}\,
    \frac{\partial f}{\partial z}, \qquad
    \log p(x) = \log \mathcal N(z(1); 0, I)
        + \int_0^1 \mathrm{tr}\,\frac{\partial f}{\partial z}\, dt

The trace is exact, see :mod:`engine.nets.vector_field`; data lie at t = 0 and the base at t = 1.

References:
    Chen, Rubanova, Bettencourt and Duvenaud, *Neural Ordinary Differential Equations*, NeurIPS
    2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.bijections.continuous_flow import (
    AbsoluteSetting,
    ActivationSetting,
    BatchSetting,
    ContinuousFlow,
    GradientSetting,
    HiddenSetting,
    RateSetting,
    RelativeSetting,
    SolverSetting,
    StepsSetting,
    TimesSetting,
)
from engine.wire.cards import ModelCard, Paper


class CNF(ContinuousFlow):
    """A neural ODE with the exact trace."""

    card = ModelCard(
        name="cnf",
        title="Neural ODE / CNF",
        family="flows",
        summary=(
            "Points flow along a velocity that a network gives at every place and time, from "
            "data to noise, and back when time runs backwards. The log-density changes by the "
            "trace of the velocity's Jacobian; a solver chooses its steps by its own error."
        ),
        equation=(
            r"\frac{dz}{dt} = f(z, t), \quad \log p(x) = \log \mathcal{N}(z(1); 0, I) + "
            r"\int_0^1 \mathrm{tr}\,\frac{\partial f}{\partial z}\, dt"
        ),
        paper=Paper(
            "Ricky T. Q. Chen, Yulia Rubanova, Jesse Bettencourt, David Duvenaud",
            2018,
            "Neural Ordinary Differential Equations",
            "NeurIPS",
        ),
        features=("continuous",),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of CNF."""

        hidden_features: HiddenSetting = (64, 64)
        activation: ActivationSetting = "tanh"
        solver: SolverSetting = "dopri5"
        rtol: RelativeSetting = 1e-3
        atol: AbsoluteSetting = 1e-3
        n_steps: StepsSetting = 8
        gradient: GradientSetting = "backpropagation"
        n_times: TimesSetting = 8
        learning_rate: RateSetting = 5e-3
        batch_size: BatchSetting = 256

    def trace_noise(self, n: int, generator: torch.Generator) -> None:
        """None: the trace is exact in training too."""
        return
