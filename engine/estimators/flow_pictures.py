"""Pictures through a flow: to the base and back, and at which scale each base value leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.bijections.preprocessing import to_levels
from engine.capabilities import HasFlowPath
from engine.estimators.density import CancellationError, Cancelled
from engine.model import GenerativeModel
from engine.wire.event import Event

#: Values of pictures that go through all layers together.
CHUNK_VALUES = 2**17
#: Half a cell: an inverse path of levels ends so far below the place within the cell.
MIDDLE = 0.5


@runtime_checkable
class HasScales(Protocol):
    """A flow some of whose values go to the base before others."""

    @property
    def scales(self) -> Tensor:
        """(D,): 0 where a value leaves first, rising to those that stay to the last layer."""
        ...


def picture_flow_of(model: GenerativeModel, event: Event) -> HasFlowPath:
    """The model as a flow over pictures.

    Raises:
        ValueError: It has no path, or its events are no pictures.
    """
    if not isinstance(model, HasFlowPath):
        raise ValueError(f"{model.card.title} has no path from data to base")
    if event.kind != "picture":
        raise ValueError(
            f"{model.card.title}: given events of shape {tuple(event.shape)}, wanted pictures "
            "(channel, row, column)"
        )
    return model


def scales_of(model: HasFlowPath) -> Tensor:
    """(D,) int64 on the CPU; zeros for a flow all of whose values leave together."""
    if isinstance(model, HasScales):
        return model.scales.cpu()
    return torch.zeros(model.base().event_shape, dtype=torch.int64)


@torch.no_grad()
def to_base(flow: HasFlowPath, pictures: Tensor, cancelled: Cancelled) -> Tensor:
    """Pictures (B, *E) → base points (B, D); levels from the middle of their cells.

    Raises:
        CancellationError: A newer question waits.
    """
    pieces = [flow.path(piece).states[-1] for piece in _pieces(pictures, cancelled)]
    return torch.cat(pieces)


@torch.no_grad()
def from_base(flow: HasFlowPath, base: Tensor, cancelled: Cancelled) -> Tensor:
    """Base points (B, D) → places in the data's units (B, D), levels not yet rounded.

    Raises:
        CancellationError: A newer question waits.
    """
    pieces = [flow.path(z, inverse=True).states[0] for z in _pieces(base, cancelled)]
    return torch.cat(pieces)


def as_data(model: GenerativeModel, places: Tensor) -> Tensor:
    """Pictures (B, *E), float32 on the CPU, as ``sample`` makes them of places (B, D).

    Levels are those of the cells that the places lie in.
    """
    levels: int | None = getattr(model.config, "levels", None)
    pictures = places if levels is None else to_levels(places + MIDDLE, levels)
    return pictures.reshape(-1, *model.event_shape).cpu().float()


def _pieces(rows: Tensor, cancelled: Cancelled) -> Iterator[Tensor]:
    for piece in torch.split(rows, max(1, CHUNK_VALUES // rows[0].numel())):
        if cancelled():
            raise CancellationError
        yield piece
