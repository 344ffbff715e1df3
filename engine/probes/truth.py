"""The known density of the data over a window, in the same arrays as the model's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.dataset import KnownDensity
from engine.estimators.density import CancellationError
from engine.estimators.grid import midpoint_grid
from engine.estimators.picture import density_picture, sizes, window
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.wire.fields import Value

#: Points scored between two looks at whether the answer is still wanted.
CHUNK = 65_536


class Arguments(msgspec.Struct, frozen=True):
    """A window in data units and how finely to look."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    size: int = 128
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)
    contours: bool = True


@probe(summary="The data's known density over a window.", arguments=Arguments)
def truth(view: View, arguments: Arguments) -> Iterator[Result]:
    """log p(x) of the truth at pixel centres, nats.

    Raises:
        ValueError: The density of the data is unknown, or they have more than two dimensions.
    """
    known = view.dataset
    plane = make_plane(known, arguments.plane, arguments.axes)
    if not isinstance(known, KnownDensity):
        raise ValueError(f"the true density of {known.card.title} is unknown")
    if plane.is_slice:
        raise ValueError("the true density is drawn in one or two dimensions only")
    box = window(arguments.low, arguments.high, plane.dims)
    stages = sizes(arguments.size)
    fixed: dict[str, Value] = {"kind": "truth", "label": "log p(x) of the truth", "note": ""}
    with suppress(CancellationError), torch.no_grad():
        for size in stages:
            grid = midpoint_grid(box, size)
            scores = _score(view, known, grid.points)
            arrays, values = density_picture(grid, scores, contours=arguments.contours)
            yield Result(arrays, fixed | values, final=size == stages[-1])


def _score(view: View, known: KnownDensity, points: Tensor) -> Tensor:
    pieces = []
    for piece in torch.split(points, CHUNK):
        if view.cancelled():
            raise CancellationError
        pieces.append(known.log_prob(piece).cpu().to(torch.float64))
    return torch.cat(pieces)
