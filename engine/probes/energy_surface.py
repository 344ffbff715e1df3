"""The energy on a grid of the plane in view: heights, contours, and the force at some places."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.contours import trace_contours
from engine.estimators.density import CancellationError, LogDensity, score_points
from engine.estimators.grid import midpoint_grid
from engine.estimators.landscape import Landscape, Owner, has_target, landscape_of
from engine.estimators.partition import log_z
from engine.estimators.picture import window
from engine.estimators.walking import KERNELS, own_kernels, training_steps
from engine.plane import Plane, PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.wire.fields import Value

#: Nats above the lowest energy in view at which contours are drawn.
LEVELS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
MOST_SIDE, MOST_SIZE = 64, 512
#: Nodes a side for log Z, and for that of a coarse picture, which is of fewer pixels than this.
NODES, COARSE_NODES, COARSE_BELOW = 128, 64, 100


class Arguments(msgspec.Struct, frozen=True):
    """A window in drawn coordinates, its nodes a side, and the side of the lattice of forces.

    ``of_class``: the energy of one class alone, E(x, y), of models that have such; −1: E(x).
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    size: int = 96
    side: int = 0
    owner: Owner = "model"
    of_class: int = -1
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(summary="The energy over the plane, with contours and forces.", arguments=Arguments)
def energy_surface(view: View, arguments: Arguments) -> Iterator[Result]:
    """Of more than two values a slice through the training mean.

    - ``x`` (W,), ``y`` (H,), ``energy`` (H, W) nats; ``contour_points`` (P, 2), ``contour_starts``
      (C + 1,), ``contour_level`` (C,): lines at the value ``levels``, nats above ``lowest``.
    - ``places`` (G, 2) and ``forces`` (G, 2): −∂E/∂x in data units, in the plane.

    Values: ``kind``, ``label``; ``lowest`` in the window; ``log_z`` and ``log_z_error`` (None
    where out of reach of quadrature; 0 for a normalised model); ``is_slice``, ``x_name``,
    ``y_name``; ``kernels`` that can walk here, those of the model last; ``has_target``;
    ``steps``, ``rate`` and ``sampler``: chain steps, step size λ and kernel of the training.

    Raises:
        ValueError: There is no such energy, or an argument is out of range.
    """
    for name, most in (("size", MOST_SIZE), ("side", MOST_SIDE)):
        if not 0 <= getattr(arguments, name) <= most or arguments.size < 2:
            given = getattr(arguments, name)
            raise ValueError(f"{name}: given {given}, wanted a whole number up to {most}")
    land = landscape_of(view.model, view.dataset, arguments.owner, arguments.of_class)
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    if plane.dims != 2:
        raise ValueError("the energy's surface: given one value, wanted at least two")
    box = window(arguments.low, arguments.high, plane.dims)
    with suppress(CancellationError):
        grid = midpoint_grid(box, arguments.size)
        energy = scored(view, land, plane.lift(grid.points)).reshape(grid.shape)
        finite = energy[energy.isfinite()]
        lowest = float(finite.min()) if len(finite) else 0.0
        x, y = (axis.nodes for axis in grid.axes)
        lines = trace_contours(
            x.numpy(), y.numpy(), (lowest - energy).numpy(), [-level for level in LEVELS]
        )
        arrays: dict[str, Tensor | np.ndarray] = {"x": x, "y": y, "energy": energy.float()}
        arrays |= lines.arrays()
        arrays |= _forces(land, plane, arguments)
        yield Result(arrays, _about(view, land, plane, arguments)
                     | {"lowest": lowest, "levels": list(LEVELS)})  # fmt: skip


def scored(view: View, land: Landscape, points: Tensor) -> Tensor:
    """E of (P, D) in data units, (P,) float64 on the CPU, in chunks."""
    return score_points(
        LogDensity(land.kind, land.label, lambda x: land.energy(x.flatten(1))),
        view.model,
        points,
        cancelled=view.cancelled,
    )


def normaliser(
    view: View, land: Landscape, nodes: int = NODES
) -> tuple[float | None, float | None]:
    """log Z in nats and its error; None where quadrature is out of reach."""
    if land.kind == "log_prob":
        return 0.0, 0.0
    if land.kind == "target":
        point = torch.zeros(1, view.model.event_size, dtype=torch.float64)
        found = -view.dataset.log_prob(point) - view.dataset.energy(point)  # type: ignore[attr-defined]
        return float(found), 0.0
    if view.model.event_size > 2:
        return None, None
    z = log_z(view.model, grid=nodes, of_class=land.of_class, cancelled=view.cancelled)
    return z.value, z.error if math.isfinite(z.error) else None


def _about(view: View, land: Landscape, plane: Plane, arguments: Arguments) -> dict[str, Value]:
    coarse = arguments.size < COARSE_BELOW
    value, error = normaliser(view, land, COARSE_NODES if coarse else NODES)
    owner = arguments.owner
    settings = getattr(view.model, "chosen", view.model.config)
    rate = getattr(view.model, "chain_step_size", None)
    kernels = [*KERNELS, *(own_kernels(view.model) if owner == "model" else ())]
    return {
        "kind": land.kind,
        "label": land.label,
        "log_z": value,
        "log_z_error": error,
        "is_slice": plane.is_slice,
        "x_name": plane.names[0],
        "y_name": plane.names[1],
        "kernels": list(kernels),
        "has_target": has_target(view.dataset),
        "steps": training_steps(view.model),
        "sampler": str(getattr(settings, "sampler", None) or ""),
        "rate": float(rate) if isinstance(rate, Tensor) else None,
    }


def _forces(land: Landscape, plane: Plane, arguments: Arguments) -> dict[str, Tensor]:
    if not arguments.side:
        return {}
    box = window(arguments.low, arguments.high, 2)
    places = midpoint_grid(box, arguments.side).points
    _, gradient = land.walked(land.standardise(plane.lift(places)))
    forces = -(gradient / land.scale).cpu().double() @ plane.basis.T
    return {"places": places, "forces": forces}
