r"""Variational inference: a flow is fitted to an energy by its own samples, without any data.

.. math::
    F_\beta = E_{z \sim p_0}\bigl[\log q(x(z)) + \beta\, E(x(z))\bigr]
            = \mathrm{KL}(q \| p) - \log Z \quad (\beta = 1)

The gradient goes through the samples (reparameterisation), so whatever has an invertible path can
be fitted. β rises from 0.01 to 1, so that q does not fall into one mode at once (Rezende &
Mohamed 2015, "Variational Inference with Normalizing Flows", section 6.1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capabilities import HasFlowPath
from engine.drawing import draw
from engine.model import GenerativeModel, TrainState
from engine.target import Target


def check_fits(model: GenerativeModel, target: Target) -> None:
    """Raise ``ValueError`` for a model that cannot be fitted to an energy."""
    if not isinstance(model, HasFlowPath) or model.full_batch:
        raise ValueError(
            f"{model.card.title} learns from observations, and {target.card.title} is an energy "
            "without any; wanted a flow that learns by the gradient of its own samples' density"
        )


def free_energy(
    model: GenerativeModel, target: Target, n: int, beta: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """``"total"`` = F_β, ``"free_energy"`` = F_1 and its two terms over N samples, nats."""
    check_fits(model, target)
    assert isinstance(model, HasFlowPath)
    base = model.base()
    path = model.path(draw(base, generator, (n,)), inverse=True, generator=generator)
    log_q = base.log_prob(path.states[-1]) + path.log_dets.sum(0)
    energy = target.energy(path.states[0].reshape(n, *model.event_shape)).mean()
    negative_entropy = log_q.mean()
    return {
        "total": negative_entropy + beta * energy,
        "free_energy": negative_entropy + energy,
        "mean_energy": energy,
        "negative_entropy": negative_entropy,
    }


def target_step(
    model: GenerativeModel,
    target: Target,
    n: int,
    state: TrainState,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """One update on N samples of the model; returns named scalars, detached."""
    beta = float(target.config.inverse_temperature(state.step))
    losses = free_energy(model, target, n, beta, generator)
    for optimiser in state.optimisers.values():
        optimiser.zero_grad(set_to_none=True)
    losses["total"].backward()  # type: ignore[no-untyped-call]
    longest = getattr(model.config, "max_gradient_norm", None)
    if longest:
        torch.nn.utils.clip_grad_norm_(model.parameters(), float(longest))
    for optimiser in state.optimisers.values():
        optimiser.step()
    return {name: value.detach() for name, value in losses.items()}
