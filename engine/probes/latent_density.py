"""The aggregate posterior and the prior on a plane of the latents, with their contours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.aggregate import PlaneOf, Shade, aggregate_on, plane_of, prior_on
from engine.estimators.contours import highest_density_levels, trace_contours
from engine.estimators.density import CancellationError
from engine.estimators.grid import Grid, log_mass, midpoint_grid
from engine.estimators.latent_space import encode, find_real
from engine.estimators.picture import window
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

SMALLEST, LARGEST, MOST = 2, 1024, 60_000


class Arguments(msgspec.Struct, frozen=True):
    """A window on the plane centre + aᵀ basis, and of how many observations."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    centre: np.ndarray
    basis: np.ndarray
    size: int = 96
    n: int = 1000
    latent: str = ""
    n_draws: int = 64


@probe(
    summary="Aggregate posterior and prior on a plane of the latents.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def latent_density(view: View, arguments: Arguments) -> Iterator[Result]:
    """``log_prior`` and, with an encoder, ``log_aggregate`` at pixel centres (H, W) or (W,), nats.

    ``low`` and ``high`` repeat the window. Contours of both are those of regions that hold
    25 … 95 % of the mass in the window. The kinds are ``"exact"`` or ``"estimate"``, with words in
    ``prior_label`` and ``aggregate_label``, and ``prior_mass`` and ``aggregate_mass`` are the
    masses in the window: exact for upright Gaussians, else the grid's sum.

    Raises:
        ValueError: A number is out of range, or the plane does not fit the latent.
    """
    _check(arguments)
    latent = find_real(view.model, arguments.latent)
    plane = plane_of(_tensor(arguments.centre).flatten(), _tensor(arguments.basis), latent)
    grid = midpoint_grid(window(arguments.low, arguments.high, plane.dims), arguments.size)
    with suppress(CancellationError):
        prior = prior_on(view.model, latent, plane, grid, view.generator(1))
        shades = {"prior": prior}
        if view.can(Capability.ENCODING):
            shades["aggregate"] = _aggregate(view, arguments, plane, grid)
        arrays: dict[str, Any] = {
            "low": np.array(arguments.low, np.float64),
            "high": np.array(arguments.high, np.float64),
        }
        values: dict[str, Value] = {}
        for name, shade in shades.items():
            arrays |= _drawn(name, shade, grid)
            summed = float(log_mass(shade.log_density, grid.weights).exp())
            values |= {
                f"{name}_kind": shade.kind,
                f"{name}_label": shade.label,
                f"{name}_mass": summed if shade.mass is None else shade.mass,
            }
        yield Result(arrays, values)


def _aggregate(view: View, arguments: Arguments, plane: PlaneOf, grid: Grid) -> Shade:
    latent = find_real(view.model, arguments.latent)
    data = view.dataset.train
    chosen = data[choose(len(data), arguments.n, view)]
    codes = encode(
        view.model, chosen, latent, generator=view.generator(), n_draws=arguments.n_draws,
        cancelled=view.cancelled,
    )  # fmt: skip
    return aggregate_on(codes, plane, grid, view.cancelled)


def _drawn(name: str, shade: Shade, grid: Grid) -> dict[str, Any]:
    surface = shade.log_density.reshape(grid.shape)
    arrays: dict[str, Any] = {f"log_{name}": surface.to(torch.float32).numpy()}
    if surface.dim() == 2:
        x, y = (axis.nodes.numpy() for axis in grid.axes)
        lines = trace_contours(x, y, surface.numpy(), highest_density_levels(surface.numpy()))
        arrays |= {f"{name}_points": lines.points, f"{name}_starts": lines.starts}
    return arrays


def _check(arguments: Arguments) -> None:
    if not SMALLEST <= arguments.size <= LARGEST:
        raise ValueError(f"size: given {arguments.size}, wanted {SMALLEST} to {LARGEST}")
    if not 1 <= arguments.n <= MOST:
        raise ValueError(f"n: given {arguments.n}, wanted 1 to {MOST}")


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float64))
