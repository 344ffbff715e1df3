"""What the pixel probes share: the model under an order, pictures, labels and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.capabilities import AnyOrder, Conditionals
from engine.dataset import Dataset, as_float
from engine.drawing import uniform_noise
from engine.model import GenerativeModel
from engine.nets.orders import ORDER_NAMES, check_order, named_order
from engine.nets.outputs import check_level_values
from engine.nets.stepwise import known_first

#: Asks for the known values of a mask first, in the model's own order otherwise.
KNOWN_FIRST = "known_first"
#: Where the streams of random orders begin: every probe finds the same order under one seed.
ORDER_STREAM = 40_000


@dataclass(frozen=True)
class Occlusion:
    """Known values of one event: ``known`` (*E) in the model's number type, ``mask`` (*E) bool."""

    known: Tensor
    mask: Tensor

    @property
    def flat(self) -> Tensor:
        """The mask as (D,), on the CPU."""
        return self.mask.reshape(-1).cpu()


def levels_of(model: object) -> int | None:
    """The number of levels that a model puts probability on, or None for densities."""
    levels: int | None = getattr(getattr(model, "config", None), "levels", None)
    return levels


def event_of(model: GenerativeModel, array: np.ndarray | None, dataset: Dataset) -> Tensor:
    """One event (*E) in the model's number type; the first training example where none is given.

    Raises:
        ValueError: The array has another size, or values that are no levels of the model.
    """
    if array is None:
        given = as_float(dataset.train[0])
    else:
        if array.size != model.event_size:
            raise ValueError(
                f"picture: given shape {array.shape}, wanted {model.event_shape} of "
                f"{model.event_size} values"
            )
        given = torch.from_numpy(np.array(array, dtype=np.float64))
    x = given.reshape(model.event_shape).to(model.location)
    levels = levels_of(model)
    if levels is not None:
        check_level_values(x, levels, model.card.title)
    return x


def occlusion_of(
    model: GenerativeModel,
    known: np.ndarray | None,
    mask: np.ndarray | None,
    dataset: Dataset,
) -> Occlusion | None:
    """Known values and where they are, or None where no mask is given.

    Raises:
        ValueError: A mask without a picture, a wrong size, or values that are no levels.
    """
    if mask is None:
        return None
    if known is None:
        raise ValueError("known: given a mask alone, wanted the picture whose values are kept")
    if mask.size != model.event_size:
        raise ValueError(f"mask: given shape {mask.shape}, wanted {model.event_shape}")
    kept = torch.from_numpy(np.array(mask, dtype=bool)).reshape(model.event_shape)
    return Occlusion(event_of(model, known, dataset), kept.to(model.device))


def under_order(
    model: GenerativeModel,
    order: str,
    occlusion: Occlusion | None = None,
    generator: torch.Generator | None = None,
) -> GenerativeModel:
    """The model under a named order: itself for ``""`` and for the order that it has.

    Args:
        model: A model with conditionals.
        order: ``""``, one of :data:`engine.nets.orders.ORDER_NAMES`, or ``"known_first"``.
        occlusion: The known values, for ``"known_first"``.
        generator: For ``"random"``; from :data:`ORDER_STREAM`, so that all probes agree on it.

    Raises:
        ValueError: The word is unknown, the model has one order only, or there is no generator.
    """
    own = order_of(model)
    if not order:
        return model
    if order == KNOWN_FIRST:
        wanted = known_first(own, occlusion.flat) if occlusion is not None else own
    elif order == "random" and generator is None:
        raise ValueError("order: given 'random' without a seed, wanted one of a film's")
    elif order in ORDER_NAMES:
        wanted = named_order(order, model.event_shape, generator)
    else:
        raise ValueError(
            f"order: given '{order}', wanted {', '.join((*ORDER_NAMES, KNOWN_FIRST))}"
        )
    if torch.equal(wanted, own):
        return model
    if not isinstance(model, AnyOrder) or not has_any_order(model):
        raise ValueError(
            f"order: given '{order}', but this {model.card.title} knows one order alone; a "
            "NADE or MADE trained with order_agnostic takes any"
        )
    return model.with_order(check_order(wanted, model.event_size))


def has_any_order(model: GenerativeModel) -> bool:
    """Whether a model was trained for every order, by its class and its settings."""
    if not isinstance(model, AnyOrder):
        return False
    return bool(getattr(model.config, "order_agnostic", True))


def context_of(model: GenerativeModel, label: int, n: int, dataset: Dataset) -> Tensor | None:
    """Labels (N,) for a model that uses them: one for all, or with −1 each class in turn.

    Raises:
        ValueError: There is no such class.
    """
    if not model.uses_labels:
        return None
    n_classes = int(getattr(model.config, "n_classes", len(dataset.labels)))
    if not -1 <= label < n_classes:
        raise ValueError(f"label: given {label}, wanted 0 … {n_classes - 1}, or −1 for all")
    labels = torch.arange(n) % n_classes if label < 0 else torch.full((n,), label)
    return labels.to(model.device)


def pixel_noise(model: GenerativeModel, n: int, generator: torch.Generator) -> Tensor:
    """Uniform noise (N, D), one number per value."""
    return uniform_noise((n, model.event_size), generator, model.location)


def check_count(name: str, given: int, most: int) -> None:
    """Raise ``ValueError`` unless a number lies in 1 … most."""
    if not 1 <= given <= most:
        raise ValueError(f"{name}: given {given}, wanted 1 to {most}")


def check_index(index: int, size: int) -> None:
    """Raise ``ValueError`` unless an index is one of 0 … size − 1."""
    if not 0 <= index < size:
        raise ValueError(f"index: given {index}, wanted 0 to {size - 1}")


def conditionals_of(
    model: GenerativeModel, x: Tensor, context: Tensor | None = None
) -> Distribution:
    """All conditionals of (B, *E), batch shape (B, D)."""
    return cast(Conditionals, model).conditionals(x, context=context)


def order_of(model: GenerativeModel) -> Tensor:
    """The model's order (D,), on the CPU."""
    return cast(Conditionals, model).order.cpu()


def place_of(model: GenerativeModel, index: int) -> int:
    """The place of an index in the model's order, from 0."""
    return order_of(model).tolist().index(index)


def packed(values: Tensor, levels: int | None) -> Tensor:
    """Values as small as they go over the wire: uint8 for up to 256 levels, else float32."""
    small = levels is not None and levels <= 256
    return values.to(torch.uint8 if small else torch.float32)
