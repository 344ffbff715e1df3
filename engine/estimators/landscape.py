r"""The energy that chains walk on, whatever it comes from: a model's own, −log p, or a target's.

.. math:: p(x) = \exp(-E(x) / T) / Z_T

Chains walk in standardised units u = (x − m)/s, in which data have mean 0 and variance 1: a step
size means the same for every data set, and the same as in the model's own training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from engine.capabilities import Energy, LogProb
from engine.dataset import Dataset
from engine.estimators.density import as_events
from engine.mcmc.target import Target, with_gradient
from engine.model import GenerativeModel
from engine.target import Target as TargetData

#: Whose energy: the model's, or that of the target in the place of a data set.
Owner: TypeAlias = Literal["model", "target"]
#: What a card names among its features where energies of one class are offered.
OF_CLASSES = "class_energy"
#: Energies that are one solve of a differential equation each are not for chains.
TOO_DEAR = "continuous"


@runtime_checkable
class _BothAtOnce(Protocol):
    """An energy that gives its score in the same pass."""

    def energy_and_score(
        self, x: Tensor, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """E (B,) and −∂E/∂x (B, *E), of classes (B,) or of all, without a graph."""
        ...


@dataclass(frozen=True)
class Landscape:
    """An energy over D real values, without a graph.

    Attributes:
        kind: ``"energy"``, ``"log_prob"`` (then exp(−E) integrates to 1) or ``"target"``.
        label: What E is, in a few words.
        energy: (N, D) in data units → (N,), nats.
        walked: (N, D) standardised → E (N,) and its gradient (N, D).
        location, scale: (D,) m and s.
        of_class: The class whose energy E(x, y) it is; −1: that of all, E(x).
    """

    kind: str
    label: str
    energy: Callable[[Tensor], Tensor]
    walked: Target
    location: Tensor
    scale: Tensor
    of_class: int = -1

    def standardise(self, x: Tensor) -> Tensor:
        """(N, D) in data units → standardised, in the model's number type and on its device."""
        return (x.to(self.location) - self.location) / self.scale

    def unstandardise(self, u: Tensor) -> Tensor:
        """(…, D) standardised → data units."""
        return u * self.scale + self.location

    def at_temperature(self, temperature: float) -> Target:
        """E/T and its gradient, (N, D) standardised → (N,) and (N, D)."""
        if temperature == 1.0:
            return self.walked

        def evaluate(u: Tensor) -> tuple[Tensor, Tensor]:
            energy, gradient = self.walked(u)
            return energy / temperature, gradient / temperature

        return evaluate


def landscape_of(
    model: GenerativeModel, dataset: Dataset, owner: Owner = "model", of_class: int = -1
) -> Landscape:
    """The energy of a model, of one of its classes, or of the target that it is fitted to.

    Raises:
        ValueError: Values are not real, there is no such energy or class, or it costs a solve a
            point.
    """
    if dataset.event.support != "real":
        raise ValueError(
            f"chains over continuous energies: given {dataset.event.support} values, wanted real "
            "ones, which have a gradient"
        )
    if of_class >= 0:
        return _of_class(model, dataset, owner, of_class)
    if owner == "target":
        return _of_target(model, dataset)
    if isinstance(model, Energy):
        return _of_energy(model, model)
    if not isinstance(model, LogProb):
        raise ValueError(f"chains need an energy or a log-density; {model.card.title} has neither")
    if TOO_DEAR in model.card.features:
        raise ValueError(
            f"{model.card.title} solves a differential equation for every log p(x), which is too "
            "slow for chains of many steps"
        )
    return _differentiated(model, "log_prob", "−log p(x), exact", lambda x: -model.log_prob(x))


def has_target(dataset: Dataset) -> bool:
    """Whether an energy stands in the place of the data."""
    return isinstance(dataset, TargetData)


def _of_target(model: GenerativeModel, dataset: Dataset) -> Landscape:
    if not isinstance(dataset, TargetData):
        raise ValueError(
            "the target's energy: given a data set of observations, wanted a target, such as U1–U4"
        )
    return _differentiated(model, "target", "U(z), the target's", dataset.energy)


def _of_energy(energy: Energy, model: GenerativeModel) -> Landscape:
    location, scale = model.location, model.scale

    @torch.no_grad()
    def value(x: Tensor) -> Tensor:
        return energy.energy(as_events(model, x))

    @torch.no_grad()
    def walked(u: Tensor) -> tuple[Tensor, Tensor]:
        x = as_events(model, u * scale + location)
        if isinstance(energy, _BothAtOnce):
            value, score = energy.energy_and_score(x)
        else:
            value, score = energy.energy(x), energy.score(x)
        return value, -score.flatten(1) * scale

    return Landscape("energy", "E(x), the model's", value, walked, location, scale)


def _of_class(model: GenerativeModel, dataset: Dataset, owner: Owner, of_class: int) -> Landscape:
    n_classes = len(dataset.labels)
    offers = OF_CLASSES in model.card.features and owner == "model"
    if not (offers and isinstance(model, Energy) and isinstance(model, _BothAtOnce)):
        raise ValueError(
            f"the energy of one class: {model.card.title} has none; wanted a classifier read as "
            "an energy"
        )
    if of_class >= n_classes:
        raise ValueError(f"of_class: given {of_class}, wanted 0 to {n_classes - 1}")
    location, scale, both, alone = model.location, model.scale, model, model

    def labels(x: Tensor) -> Tensor:
        return torch.full((len(x),), of_class, dtype=torch.int64, device=location.device)

    @torch.no_grad()
    def value(x: Tensor) -> Tensor:
        return alone.energy(as_events(model, x), context=labels(x))

    @torch.no_grad()
    def walked(u: Tensor) -> tuple[Tensor, Tensor]:
        x = as_events(model, u * scale + location)
        energy, score = both.energy_and_score(x, context=labels(x))
        return energy, -score.flatten(1) * scale

    words = f"E(x, y = {dataset.labels[of_class]}), the model's"
    return Landscape("energy", words, value, walked, location, scale, of_class)


def _differentiated(
    model: GenerativeModel, kind: str, label: str, function: Callable[[Tensor], Tensor]
) -> Landscape:
    """An energy whose gradient autograd finds."""
    location, scale = model.location, model.scale

    def of_points(x: Tensor) -> Tensor:
        return function(as_events(model, x))

    evaluate = with_gradient(lambda u: of_points(u * scale + location))
    with_no_graph = torch.no_grad()(of_points)
    return Landscape(kind, label, with_no_graph, evaluate, location, scale)
