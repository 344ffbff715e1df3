r"""EM in half-steps: the E-step closes a gap, the M-step opens it again and climbs.

.. math::
    \log p(x) = \underbrace{E_q[\log p(x, z) - \log q(z)]}_{\mathcal L(q, \theta)}
        + \mathrm{KL}(q \,\|\, p(z \mid x))

The E-step raises L over q at fixed θ, so log p stays and KL falls: to 0 where q may be anything,
which is EM. The M-step raises L over θ at fixed q, so log p rises at least as far.

References:
    Neal and Hinton, *A View of the EM Algorithm that Justifies Incremental, Sparse, and Other
    Variants*, in: Learning in Graphical Models, 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from engine.estimators.precision import in_double
from engine.model import GenerativeModel

#: q's parameters for each of B events, by name.
Q: TypeAlias = dict[str, Tensor]


@runtime_checkable
class HalfSteps(Protocol):
    """A model with an exact log-density whose E- and M-step can be taken one at a time.

    The card says so by ``"half_steps"`` among its features.
    """

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """log p(x) of (B, *E), (B,), nats."""
        ...

    def e_step(self, x: Tensor, q: Mapping[str, Tensor] | None = None) -> Q:
        """Raise L over q, from where q was or from the model's own start."""
        ...

    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        """Raise L over the parameters, in place."""
        ...

    def elbo_under(self, x: Tensor, q: Mapping[str, Tensor]) -> Tensor:
        """L of each event, (B,), nats."""
        ...

    def kl_under(self, x: Tensor, q: Mapping[str, Tensor]) -> Tensor:
        """KL(q‖p(z given x)) of each event, (B,), nats, by itself and not as a difference."""
        ...


@dataclass(frozen=True)
class Bar:
    """Means over the events after one half-step, nats; ``label`` is ``"E"`` or ``"M"``."""

    label: str
    log_prob: float
    elbo: float
    kl: float


@torch.no_grad()
def half_steps(
    model: HalfSteps,
    x: Tensor,
    n: int,
    *,
    q: Mapping[str, Tensor] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Bar]:
    """Take n half-steps, E first, on events (B, *E); the model's parameters change.

    Args:
        model: A copy that may be changed, in float64 for figures that add up.
        x: Events in the model's number type.
        n: How many half-steps.
        q: Where q begins; None for the model's own start.
        stop: Asked before each half-step.
    """
    for place in range(n):
        if stop():
            return
        if place % 2 == 0:
            q = model.e_step(x, q)
        elif q is not None:
            model.m_step(x, q)
        yield bar_of(model, x, q or {}, "EM"[place % 2])


@torch.no_grad()
def bar_of(model: HalfSteps, x: Tensor, q: Mapping[str, Tensor], label: str) -> Bar:
    """The three means as they stand."""
    log_p, elbo, kl = model.log_prob(x), model.elbo_under(x, q), model.kl_under(x, q)
    return Bar(label, float(log_p.mean()), float(elbo.mean()), float(kl.mean()))


@torch.no_grad()
def em_step(model: GenerativeModel, batch: Tensor, memory: dict[str, Tensor]) -> dict[str, Tensor]:
    """One E- and one M-step of a model that keeps q per training event in a run's ``memory``.

    They are worked on a copy in float64; the parameters and q are then stored in the model's
    number type. q begins afresh where the memory holds none, or that of other data.

    Returns:
        ``elbo_after_e``, ``kl_after_e``, ``log_prob_after_e`` and the same three after M, means
        over the events in nats; ``nll`` is minus the log-density before the M-step, ``total``
        minus L there.
    """
    twin, x = in_double(model, batch)
    assert isinstance(twin, HalfSteps)
    kept = {name: value.cpu().double() for name, value in memory.items()}
    fits = bool(kept) and all(len(value) == len(x) for value in kept.values())
    q = twin.e_step(x, kept if fits else None)
    after_e = bar_of(twin, x, q, "E")
    twin.m_step(x, q)
    after_m = bar_of(twin, x, q, "M")
    model.load_state_dict(twin.state_dict())
    memory.clear()
    memory.update({name: value.to(model.location) for name, value in q.items()})
    figures = {"total": -after_e.elbo, "nll": -after_e.log_prob}
    for bar in (after_e, after_m):
        for name in ("elbo", "kl", "log_prob"):
            figures[f"{name}_after_{bar.label.lower()}"] = getattr(bar, name)
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in figures.items()}
