"""How a critic's judgement is drawn: as a probability where it is a logit, else as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Critic
from engine.model import GenerativeModel

#: Probabilities of "real" at which lines are drawn; ½ is where the critic cannot tell.
PROBABILITIES = (0.25, 0.5, 0.75)
#: Quantiles of a raw critic at which lines are drawn.
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
#: Models whose critic is trained as a classifier.
LOGIT_CRITICS = ("gan",)


@dataclass(frozen=True)
class CriticScale:
    """Whether σ is applied, and the words for it."""

    logit: bool

    @property
    def label(self) -> str:
        """Short words for a legend."""
        return (
            "critic σ(f(x)), chance of real" if self.logit else "critic f(x), higher = more real"
        )

    def score(self, model: Critic) -> Callable[[Tensor], Tensor]:
        """(B, *E) → (B,), on this scale."""
        if self.logit:
            return lambda x: torch.sigmoid(model.critic(x))
        return lambda x: model.critic(x)

    def levels(self, surface: Tensor) -> list[float]:
        """Values at which to draw lines."""
        if self.logit:
            return list(PROBABILITIES)
        finite = surface[surface.isfinite()]
        if not len(finite):
            return []
        wanted: Tensor = torch.quantile(finite[:: max(1, len(finite) // 100_000)], _quantiles())
        return [float(level) for level in wanted]


def critic_scale(model: GenerativeModel) -> CriticScale:
    """σ(f) where f is the logit of "real", otherwise f itself.

    A class says so with ``critic_is_logit``; one that says nothing has a logit if its name is
    among :data:`LOGIT_CRITICS`.
    """
    known = model.card.name in LOGIT_CRITICS
    return CriticScale(bool(getattr(model, "critic_is_logit", known)))


def _quantiles() -> Tensor:
    return torch.tensor(QUANTILES, dtype=torch.float64)
