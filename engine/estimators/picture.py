"""From log-densities on a window's pixels to what a panel draws: marginals, mass, contours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.estimators.contours import (
    MASSES,
    NONE,
    highest_density_levels,
    trace_contours,
)
from engine.estimators.grid import Box, Grid, log_mass
from engine.wire.fields import Value

Arrays = dict[str, npt.NDArray[Any]]
#: Coarse picture shown before a fine one, and the size from which there is one.
COARSE = 64
FINE = 256
#: Sides of a picture.
SMALLEST, LARGEST = 2, 2048


def window(low: Sequence[float], high: Sequence[float], dims: int) -> Box:
    """The box asked for; raises ``ValueError`` unless it has one number per drawn axis."""
    box = Box(tuple(map(float, low)), tuple(map(float, high)))
    if box.dims != dims:
        raise ValueError(f"window: given {box.dims} axes, wanted {dims}")
    return box


def sizes(size: int) -> tuple[int, ...]:
    """Pixels a side of the pictures to make, a coarse one first where the last is fine.

    Raises:
        ValueError: The size is out of range.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size: given {size}, wanted a whole number from 2 to {LARGEST}")
    return (COARSE, size) if size >= FINE else (size,)


def density_picture(
    grid: Grid, log_density: Tensor, *, contours: bool, relative: bool = False
) -> tuple[Arrays, dict[str, Value]]:
    """Arrays and values of a density over a window.

    Args:
        grid: Even cells; rows run from low to high y.
        log_density: (n_points,), float64, nats; −inf allowed.
        contours: Whether to trace highest-density regions.
        relative: The values are a slice or lack log Z: marginals are scaled so that the highest
            value counts as 1, and there is no mass.

    Returns:
        ``log_density`` (H, W) or (W,) float32, ``marginal_x`` (W,), ``marginal_y`` (H,) (empty in
        one dimension) and contours; ``mass`` over the window and ``peak`` (None when relative).
    """
    surface = log_density.reshape(grid.shape)
    shift = _highest(surface) if relative else 0.0
    arrays = _nodes(grid) | {"log_density": surface.to(torch.float32).numpy()}
    arrays |= _marginals(grid, (surface - shift).exp())
    values: dict[str, Value] = {"mass": None, "peak": None}
    if not relative:
        values["mass"] = float(log_mass(log_density, grid.weights).exp())
        values["peak"] = math.exp(min(_highest(surface), 700.0))
    levels = highest_density_levels(surface.numpy()) if contours else []
    shares = MASSES if contours else ()
    return _with_contours(grid, surface, levels, arrays), values | _levels(levels, shares)


def critic_picture(
    grid: Grid, surface: Tensor, levels: Sequence[float], *, contours: bool
) -> tuple[Arrays, dict[str, Value]]:
    """Arrays and values of a critic's surface: no density, so no marginals and no mass."""
    surface = surface.reshape(grid.shape)
    empty = np.zeros(0, np.float32)
    arrays = _nodes(grid) | {"log_density": surface.to(torch.float32).numpy()}
    arrays |= {"marginal_x": empty, "marginal_y": empty}
    drawn = sorted(set(levels)) if contours else []
    values: dict[str, Value] = {"mass": None, "peak": float(surface.max())}
    return _with_contours(grid, surface, drawn, arrays), values | _levels(drawn, ())


def _nodes(grid: Grid) -> Arrays:
    """Where the pixels' centres lie."""
    names = ("x", "y")[: len(grid.axes)]
    return {n: axis.nodes.numpy() for n, axis in zip(names, grid.axes, strict=True)}


def _marginals(grid: Grid, density: Tensor) -> Arrays:
    if density.dim() == 1:
        return {
            "marginal_x": density.to(torch.float32).numpy(),
            "marginal_y": np.zeros(0, np.float32),
        }
    x, y = grid.axes
    return {
        "marginal_x": (y.weights @ density).to(torch.float32).numpy(),
        "marginal_y": (density @ x.weights).to(torch.float32).numpy(),
    }


def _with_contours(grid: Grid, surface: Tensor, levels: Sequence[float], arrays: Arrays) -> Arrays:
    if surface.dim() == 1:
        return arrays | NONE.arrays()
    x, y = (axis.nodes.numpy() for axis in grid.axes)
    return arrays | trace_contours(x, y, surface.numpy(), levels).arrays()


def _levels(levels: Sequence[float], masses: Sequence[float]) -> dict[str, Value]:
    return {"contour_masses": list(masses), "contour_levels": list(levels)}


def _highest(surface: Tensor) -> float:
    highest = float(surface.max())
    return highest if math.isfinite(highest) else 0.0
