"""Orders of generation: lists of the D flat indices of an event, in the order of drawing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

#: Names that :func:`named_order` knows.
ORDER_NAMES = ("natural", "reversed", "raster", "column", "spiral", "random")


def named_order(
    name: str, event_shape: Sequence[int], generator: torch.Generator | None = None
) -> Tensor:
    """An order (D,) of an event's flat indices.

    ``"natural"`` is 0 … D − 1 and ``"reversed"`` its mirror. For pictures (C, H, W) or (H, W),
    ``"raster"`` goes row by row, ``"column"`` column by column and ``"spiral"`` from the middle
    outwards, with the channels of a pixel one after the other; for vectors these are natural.

    Args:
        name: One of :data:`ORDER_NAMES`.
        event_shape: The shape *E.
        generator: For ``"random"``; None takes the global one, meant for constructors, which
            :func:`engine.registry.build_model` seeds.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in ORDER_NAMES:
        raise ValueError(f"order: given '{name}', wanted one of {', '.join(ORDER_NAMES)}")
    size = prod(event_shape)
    natural = torch.arange(size)
    if name == "random":
        return torch.randperm(size, generator=generator)
    if name == "reversed":
        return natural.flip(0)
    if name == "natural" or len(event_shape) < 2:
        return natural
    planes = natural.reshape(-1, *event_shape[-2:])  # (C, H, W)
    return planes.flatten(1)[:, _places(name, *event_shape[-2:])].T.reshape(-1)


def check_order(order: Tensor, size: int) -> Tensor:
    """The order as int64 on the CPU; raises ``ValueError`` unless it holds 0 … size − 1 once."""
    given = order.detach().cpu().reshape(-1).long()
    if not torch.equal(given.sort().values, torch.arange(size)):
        raise ValueError(
            f"order: given {len(given)} indices, wanted each of 0 … {size - 1} exactly once"
        )
    return given


def _places(name: str, height: int, width: int) -> Tensor:
    """Flat places of one plane in the order of drawing."""
    places = torch.arange(height * width).reshape(height, width)
    if name == "raster":
        return places.reshape(-1)
    if name == "column":
        return places.T.reshape(-1)
    return _peeled(places).flip(0)


def _peeled(places: Tensor) -> Tensor:
    """A spiral from the outside in: the first row is taken off, the rest turned, and so on."""
    taken = []
    while places.numel():
        taken.append(places[0])
        places = places[1:].rot90()
    return torch.cat(taken)
