r"""FFJORD: a continuous flow trained with a random estimate of the trace.

The trace of a Jacobian is the mean of εᵀ(∂f/∂z)ε over noise of variance 1, and one such product
costs no more than a second run of the network, however many coordinates there are and whatever
the network is. One ε is drawn for the whole solve, so that the solver sees a smooth field.

.. math::
    \log p(x) = \log \mathcal N(z(1); 0, I)
        + E_\varepsilon \int_0^1 \varepsilon^\top \frac{\partial f}{\partial z}\, \varepsilon\, dt

The estimate serves training. Densities, paths and samples use the exact trace: an estimate of
log p is no density, since it does not integrate to 1. With two hidden layers the exact trace
costs one more layer; with three and more it costs D networks.

References:
    Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud, *FFJORD: Free-form Continuous Dynamics
    for Scalable Reversible Generative Models*, ICLR 2019.
    Hutchinson, *A stochastic estimator of the trace of the influence matrix*, 1989.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

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
from engine.nets.vector_field import NOISES, trace_noise
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class FFJORD(ContinuousFlow):
    """A neural ODE with Hutchinson's estimate of the trace in training."""

    card = ModelCard(
        name="ffjord",
        title="FFJORD",
        family="flows",
        summary=(
            "A continuous flow for many coordinates: in training the trace of the velocity's "
            "Jacobian is estimated with one random direction per solve. The densities shown are "
            "computed with the exact trace."
        ),
        equation=(
            r"\log p(x) = \log \mathcal{N}(z(1); 0, I) + \mathbb{E}_{\varepsilon} \int_0^1 "
            r"\varepsilon^\top \frac{\partial f}{\partial z}\, \varepsilon\, dt"
        ),
        paper=Paper(
            "Will Grathwohl, Ricky T. Q. Chen, Jesse Bettencourt, Ilya Sutskever, David Duvenaud",
            2019,
            "FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models",
            "ICLR",
        ),
        features=("continuous",),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of FFJORD."""

        hidden_features: HiddenSetting = (64, 64)
        activation: ActivationSetting = "tanh"
        noise: Annotated[
            str,
            Field(
                choices=NOISES,
                symbol=r"\varepsilon",
                help="Random directions of the trace's estimate: ±1, or normal with more spread.",
                live=True,
            ),
        ] = "rademacher"
        solver: SolverSetting = "dopri5"
        rtol: RelativeSetting = 1e-3
        atol: AbsoluteSetting = 1e-3
        n_steps: StepsSetting = 8
        gradient: GradientSetting = "backpropagation"
        n_times: TimesSetting = 8
        learning_rate: RateSetting = 5e-3
        batch_size: BatchSetting = 256

    def trace_noise(self, n: int, generator: torch.Generator) -> Tensor:
        """ε (N, D), drawn on the CPU."""
        return trace_noise(self.config.noise, (n, self.event_size), generator, self.location)
