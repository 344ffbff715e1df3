"""The base of every model: what training needs, and standardisation of the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.adam import Adam
from engine.wire.cards import ModelCard

#: A spread below this, or below this share of a column's size, counts as a constant column, which
#: is left unscaled. Units may be tiny (farads, metres of light), so the first is only a guard.
SMALLEST_SPREAD = 1e-15
SMALLEST_SHARE = 1e-8
#: Values of the data that are looked at together in float64.
MOMENT_BLOCK = 2**22


@dataclass
class TrainState:
    """What training carries from step to step beside the model's weights.

    Attributes:
        optimisers: By name; one for most models, two for adversarial ones.
        step: Steps taken so far.
        memory: Chains and replay buffers; part of every keyframe.
        context: Labels (B,), int64, of the batch in hand where the model uses them.
    """

    optimisers: dict[str, torch.optim.Optimizer]
    step: int = 0
    memory: dict[str, Tensor] = field(default_factory=dict)
    context: Tensor | None = None

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the learning rate of every optimiser, in the ratio of their first rates."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * group.get("rate_ratio", 1.0)


class GenerativeModel(nn.Module, ABC):
    """A model of one event shape, built from a frozen configuration.

    A subclass sets ``card`` and ``Config``, defines :meth:`loss` and the methods of the
    capabilities that it truly has (see :mod:`engine.capabilities`); nothing is registered by hand.

    Args:
        event_shape: The shape *E of one observation.
        config: An instance of the class's ``Config``.
    """

    card: ClassVar[ModelCard]
    Config: ClassVar[type]
    #: Whether a model that uses labels also learns from data that have none.
    labels_optional: ClassVar[bool] = False
    #: Whether a training step wants the whole training split instead of a batch (EM does).
    full_batch: ClassVar[bool] = False

    location: Tensor
    scale: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__()
        if not event_shape or any(side < 1 for side in event_shape):
            raise ValueError(f"event_shape: given {event_shape}, wanted positive whole numbers")
        self.event_shape = tuple(event_shape)
        self.event_size = prod(event_shape)
        self.config = config
        self.register_buffer("location", torch.zeros(self.event_size))
        self.register_buffer("scale", torch.ones(self.event_size))

    @classmethod
    def kind_for(cls, config: Any) -> type[GenerativeModel]:
        """The class of a model of these settings: this one, unless they decide what it can do."""
        return cls

    # --- data units ---------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Look at the training split (N, *E) once, before the first step.

        The default stores each coordinate's mean and standard deviation; models that initialise
        from data (EM, actnorm) extend it.
        """
        mean, spread = centre_and_spread(data.reshape(data.shape[0], -1))
        self.location.copy_(mean)
        self.scale.copy_(spread)

    def standardise(self, x: Tensor) -> Tensor:
        """(B, *E) in the units given → (B, D) with mean 0 and variance 1 over the training data.

        The result has the model's number type and device, whatever x has. Its log-determinant is
        :attr:`standardise_log_det`, to be added to the log-density of the result.
        """
        return (self._flat(x) - self.location) / self.scale

    def unstandardise(self, u: Tensor) -> Tensor:
        """(…, D) standardised → (…, *E) in the units given."""
        return (u * self.scale + self.location).reshape(*u.shape[:-1], *self.event_shape)

    @property
    def standardise_log_det(self) -> Tensor:
        """log abs det of data → standardised: −Σ log scale, a scalar, nats."""
        return -self.scale.log().sum()

    def _flat(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.event_shape:
            raise ValueError(
                f"{self.card.title}: given events of shape {tuple(x.shape[1:])}, "
                f"wanted {self.event_shape}"
            )
        return x.reshape(x.shape[0], self.event_size).to(self.location)

    # --- training -----------------------------------------------------------------------------

    @abstractmethod
    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Named scalars of one batch (B, *E); ``"total"`` is minimised.

        ``"nll"`` (nats per event) stands among them where the model has a density or a bound.
        """

    def optimisers(self, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
        """The optimisers of a fresh run; Adam over all parameters unless overridden."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        if not parameters:
            return {}
        return {"model": Adam(parameters, lr=learning_rate)}

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update on a batch (B, *E); returns named scalars, detached."""
        losses = self.loss(batch, context=state.context, generator=generator)
        for optimiser in state.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        for optimiser in state.optimisers.values():
            optimiser.step()
        return {name: value.detach() for name, value in losses.items()}

    def set_live(self, values: Mapping[str, Any]) -> None:
        """Replace configuration fields that may change while training."""
        self.config = replace(self.config, **values)

    # --- small conveniences -------------------------------------------------------------------

    @property
    def uses_labels(self) -> bool:
        """Whether it is trained with the data's labels as ``context``."""
        return bool(getattr(self.config, "class_conditional", False))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.location.device

    @property
    def n_parameters(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def centre_and_spread(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (D,) of the columns of (N, D), float64; constant ones have 1."""
    mean, spread, largest = _moments(flat)
    least = (SMALLEST_SHARE * largest).clamp_min(SMALLEST_SPREAD)
    return mean, torch.where(spread > least, spread, torch.ones_like(spread))


def _moments(flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, standard deviation and largest size per column of (N, D), float64.

    Large data are taken in blocks of rows, since a copy in float64 has eight bytes a value.
    """
    if flat.numel() <= MOMENT_BLOCK:
        wide = flat.to(torch.float64)
        return wide.mean(0), wide.std(0, correction=0), wide.abs().amax(0)
    blocks = torch.split(flat, max(1, MOMENT_BLOCK // flat.shape[1]))
    mean = sum((block.sum(0, dtype=torch.float64) for block in blocks), torch.zeros(())) / len(
        flat
    )
    squares = ((block.to(torch.float64) - mean).square().sum(0) for block in blocks)
    spread = (sum(squares, torch.zeros(())) / len(flat)).sqrt()
    return mean, spread, torch.maximum(flat.amax(0), -flat.amin(0).to(torch.float64))
