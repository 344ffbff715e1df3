"""What a lattice in latent space becomes in data space: the map that a decoder has learned."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Decoding
from engine.estimators.latent_space import fill, mean_of
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.wire.capability import Capability

#: Most lines in each direction, and most points on a line.
MOST_LINES, MOST_POINTS = 201, 2001
#: Farthest reach of the lattice.
WIDEST = 1000.0


class Arguments(msgspec.Struct, frozen=True):
    """Lines in each direction, points on a line, and how far the lattice reaches."""

    lines: int = 21
    points: int = 101
    extent: float = 2.5
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(
    summary="A lattice of latent values, decoded.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def warped_grid(view: View, arguments: Arguments) -> Iterator[Result]:
    """Lines (L, P, dims): first those of constant z₂, then those of constant z₁.

    The lattice spans [−extent, extent] in the first two dimensions of the first latent, whose
    other values are 0; other latents are at their priors' means, given those before them. A
    latent of one dimension gives one line. Points are the decoded mean.

    Raises:
        ValueError: A number is out of range, or the first latent is not real.
    """
    model = view.model
    _check(arguments)
    if not isinstance(model, Decoding):
        raise ValueError(f"{model.card.title} has no latent space to decode")
    first = model.latents[0]
    if first.kind != "real":
        raise ValueError(
            f"warped_grid: the latent '{first.name}' of {model.card.title} is a {first.kind}, "
            "wanted a real one"
        )
    lattice = _lattice(arguments, torch.Size(first.shape).numel())
    with torch.no_grad():
        z = lattice.reshape(-1, *first.shape).to(model.location)
        decoded = mean_of(model.decode(fill(model, {first.name: z}, len(z))))
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    lines = plane.project(decoded.reshape(len(z), -1)).to(torch.float32)
    shape = (*lattice.shape[:2], plane.dims)
    yield Result(
        {"lines": lines.reshape(shape)}, {"latent": first.name, "is_slice": plane.is_slice}
    )


def _check(arguments: Arguments) -> None:
    if not 1 <= arguments.lines <= MOST_LINES:
        raise ValueError(f"lines: given {arguments.lines}, wanted 1 to {MOST_LINES}")
    if not 2 <= arguments.points <= MOST_POINTS:
        raise ValueError(f"points: given {arguments.points}, wanted 2 to {MOST_POINTS}")
    if not 0.0 < arguments.extent <= WIDEST:
        raise ValueError(
            f"extent: given {arguments.extent:g}, wanted a number above 0 and up to {WIDEST:g}"
        )


def _lattice(arguments: Arguments, size: int) -> Tensor:
    """(L, P, Z): the lines as values of the first latent."""
    along = torch.linspace(-arguments.extent, arguments.extent, arguments.points)
    if size == 1:
        return along[None, :, None]
    across = torch.linspace(-arguments.extent, arguments.extent, arguments.lines)
    lattice = torch.zeros(2 * arguments.lines, arguments.points, size)
    lattice[: arguments.lines, :, 0] = along
    lattice[: arguments.lines, :, 1] = across[:, None]
    lattice[arguments.lines :, :, 0] = across[:, None]
    lattice[arguments.lines :, :, 1] = along
    return lattice
