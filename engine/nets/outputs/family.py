"""What a network puts out for one pixel: parameters, and the distribution that they stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution


def scale_levels(x: Tensor, levels: int) -> Tensor:
    """Level indices 0 … levels − 1 → −1 … 1, as networks like their inputs."""
    return x * (2.0 / (levels - 1)) - 1.0


def check_level_values(x: Tensor, levels: int, title: str) -> None:
    """Raise ``ValueError`` unless every value is one of the level indices 0 … levels − 1."""
    low, high = torch.aminmax(x.detach())
    if not (low >= 0 and high <= levels - 1 and bool((x == x.round()).all())):
        raise ValueError(
            f"{title}: given values from {float(low):g} to {float(high):g}, wanted whole numbers "
            f"from 0 to {levels - 1}: this model's pictures have {levels} levels"
        )


class OutputFamily(ABC):
    """A family of distributions over one value, with P real parameters each.

    Attributes:
        name: The word of the setting.
        title: For the screen.
        levels: Number of levels 0 … levels − 1, or None for real values.
        n_params: P, the numbers that a network puts out for one value.
        n_free: How many of them are free: a softmax has one too many.
        discrete: Whether ``log_prob`` is of probabilities (nats), not of a density.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    levels: int | None
    n_params: int
    n_free: int

    @property
    def discrete(self) -> bool:
        """Whether ``log_prob`` is the log of a probability."""
        return self.levels is not None

    @abstractmethod
    def distribution(self, params: Tensor) -> Distribution:
        """Parameters (…, P) → a distribution with batch shape (…) and scalar events."""

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """log p of values (…) under parameters (…, P), nats; quicker than by the distribution."""
        log_p: Tensor = self.distribution(params).log_prob(x)
        return log_p

    def initial(self) -> Tensor:
        """(P,), parameters to begin with, for the bias of a last layer."""
        return torch.zeros(self.n_params)


class CategoricalOutput(OutputFamily):
    """One logit per level: any histogram, at the price of ``levels`` parameters.

    p(x = l) = exp a_l / Σ_m exp a_m.
    """

    name = "categorical"
    title = "categorical"

    def __init__(self, levels: int) -> None:
        self.levels: int = levels
        self.n_params, self.n_free = levels, levels - 1

    def distribution(self, params: Tensor) -> Categorical:
        """Logits (…, levels) → ``Categorical``."""
        return Categorical(logits=params, validate_args=False)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """log p of level indices (…), nats."""
        flat = params.reshape(-1, self.levels)
        return -F.cross_entropy(flat, x.reshape(-1).long(), reduction="none").view(x.shape)


class BernoulliOutput(OutputFamily):
    """One logit for the upper of two levels: p(x = 1) = 1/(1 + exp(−a))."""

    name = "bernoulli"
    title = "Bernoulli"
    levels = 2
    n_params = 1
    n_free = 1

    def distribution(self, params: Tensor) -> Bernoulli:
        """Logits (…, 1) → ``Bernoulli``."""
        return Bernoulli(logits=params.squeeze(-1), validate_args=False)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """log p of 0 or 1, nats."""
        return -F.binary_cross_entropy_with_logits(params.squeeze(-1), x, reduction="none")
