"""A lattice of a plane of the latents, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.aggregate import PlaneOf, moments_of, plane_of
from engine.estimators.latent_space import decoded_mean, find_real, prior_draws, prior_of
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.wire.capability import Capability

#: Most nodes in each direction, and most points between two of them.
MOST, MOST_BETWEEN = 64, 32
#: Draws whose quantiles stand in for those of a prior that is no normal.
N_QUANTILES = 20_000
#: Widest even lattice, in units of the latent.
WIDEST = 1e6


class Arguments(msgspec.Struct, frozen=True):
    """Nodes a side on the plane centre + aᵀ basis.

    ``spacing`` is ``"quantile"`` (equal shares of the prior between neighbours) or ``"even"``
    over the window from ``low`` to ``high``. With ``between`` that many points lie from one node
    to the next on every line of the lattice, for drawing the lines.
    """

    centre: np.ndarray
    basis: np.ndarray
    nodes: int = 12
    spacing: Literal["quantile", "even"] = "quantile"
    low: tuple[float, ...] = (-2.5, -2.5)
    high: tuple[float, ...] = (2.5, 2.5)
    between: int = 0
    latent: str = ""


@probe(
    summary="A lattice of a plane of the latents, decoded.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def latent_lattice(view: View, arguments: Arguments) -> Iterator[Result]:
    """Decoded means ``pictures`` (H, W, *E), row 0 at the low end of the second axis.

    ``x`` (W,) and ``y`` (H,) are the nodes' places on the plane (a latent of one value has one
    row). ``lines`` (L, P, *E): the lattice's lines, those of constant x first.

    Raises:
        ValueError: A number is out of range, or the plane does not fit the latent.
    """
    _check(arguments)
    latent = find_real(view.model, arguments.latent)
    plane = plane_of(_tensor(arguments.centre).flatten(), _tensor(arguments.basis), latent)
    with torch.no_grad():
        places = _places(view, arguments, latent, plane)
        x, y = places[0], places[1] if plane.dims == 2 else torch.zeros(1, dtype=torch.float64)
        pictures = _decoded(view, latent, plane, _product(x, y))
        arrays: dict[str, Any] = {
            "pictures": pictures.reshape(len(y), len(x), *view.model.event_shape),
            "x": x.numpy(),
            "y": y.numpy(),
        }
        if arguments.between:
            lines = _lines(x, y, arguments.between, plane.dims)
            flat = _decoded(view, latent, plane, lines.reshape(-1, 2))
            arrays["lines"] = flat.reshape(*lines.shape[:2], *view.model.event_shape)
    yield Result(arrays, {"spacing": arguments.spacing})


def _check(arguments: Arguments) -> None:
    if not 2 <= arguments.nodes <= MOST:
        raise ValueError(f"nodes: given {arguments.nodes}, wanted 2 to {MOST}")
    if not 0 <= arguments.between <= MOST_BETWEEN:
        raise ValueError(f"between: given {arguments.between}, wanted 0 to {MOST_BETWEEN}")
    ends = zip(arguments.low, arguments.high, strict=False)
    if not all(-WIDEST <= low < high <= WIDEST for low, high in ends):
        raise ValueError("low, high: wanted every low below its high, both within ±1e6")


def _places(view: View, arguments: Arguments, latent: Latent, plane: PlaneOf) -> list[Tensor]:
    """Nodes along each drawn axis, (nodes,), float64."""
    n = arguments.nodes
    if arguments.spacing == "even":
        if not len(arguments.low) == len(arguments.high) >= plane.dims:
            raise ValueError(f"low, high: wanted {plane.dims} numbers each")
        steps = torch.linspace(0.0, 1.0, n, dtype=torch.float64)
        ends = zip(arguments.low, arguments.high, strict=True)
        return [low + steps * (high - low) for low, high in ends][: plane.dims]
    shares = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    prior = prior_of(view.model, latent)
    gaussian = None if prior is None else moments_of(prior)
    if gaussian is not None:
        mean = plane.project(gaussian[0][None])[0]
        spread = (plane.basis @ gaussian[1] @ plane.basis.T).diagonal().sqrt()
        normal = torch.special.ndtri(shares)
        return [mean[i] + spread[i] * normal for i in range(plane.dims)]
    drawn = plane.project(prior_draws(view.model, latent, N_QUANTILES, view.generator(1)))
    return [torch.quantile(drawn[:, i], shares) for i in range(plane.dims)]


def _product(x: Tensor, y: Tensor) -> Tensor:
    """All pairs (H·W, 2), x running fastest."""
    return torch.stack([x.repeat(len(y)), y.repeat_interleave(len(x))], 1)


def _lines(x: Tensor, y: Tensor, between: int, dims: int) -> Tensor:
    """(L, P, 2): lines of constant x, then lines of constant y."""
    along_x = _product(_refined(x, between), y).reshape(len(y), -1, 2)
    if dims == 1:
        return along_x
    along_y = _product(_refined(y, between), x).flip(1).reshape(len(x), -1, 2)
    return torch.cat([along_y, along_x])


def _refined(nodes: Tensor, between: int) -> Tensor:
    """The nodes and as many even places between two of them."""
    shares = torch.arange(between + 1, dtype=torch.float64) / (between + 1)
    inner = nodes[:-1, None] + (nodes[1:] - nodes[:-1])[:, None] * shares
    return torch.cat([inner.flatten(), nodes[-1:]])


def _decoded(view: View, latent: Latent, plane: PlaneOf, points: Tensor) -> Tensor:
    z = plane.lift(points[:, : plane.dims])
    z = z.to(view.model.location.dtype).to(view.model.device)
    return decoded_mean(view.model, z, latent).cpu().to(torch.float32)


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float64))
