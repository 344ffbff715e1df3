r"""Whether a model's density is one: its integral over a box, and the mass beyond the box.

.. math:: \int_{\text{box}} q(x)\,dx + \Pr_q(x \notin \text{box}) = 1

The second term comes from another source than the first wherever that is possible: the share of
the model's own exact draws that fall outside. A density with a wrong log-determinant then cannot
make up for itself, since its sampler knows nothing of log-determinants.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Sampling
from engine.estimators.density import log_density_of, score_points
from engine.estimators.grid import Box, Grid, midpoint_grid
from engine.estimators.partition import log_z
from engine.estimators.quadrature import Estimate
from engine.model import GenerativeModel
from engine.wire.fields import Value

#: A mass further from 1 than this is wrong.
TOLERANCE = 0.01
#: It counts as wrong when it is off by this many errors more than that.
SPREAD = 3.0
#: Draws that tell the mass outside a box.
N_DRAWS = 8192
SEED = 31
#: Nodes a side for the mass of an energy outside a box, and for the box of all its mass.
N_COARSE, LOG_Z_NODES = 96, 128


@dataclass(frozen=True)
class Tail:
    """The mass outside a box, its error, and in words where it comes from."""

    value: float
    error: float
    label: str


@torch.no_grad()
def tail_of_draws(model: GenerativeModel, box: Box, *, n: int = N_DRAWS) -> Tail | None:
    """The share of the model's exact draws that lie outside a box over its whole event.

    The error is the standard error of a share p of n draws, √(p(1 − p)/n), with one draw added to
    each side so that it is not 0 where none falls outside. None where the model has no exact
    sampler, or where the box has fewer axes than the event.
    """
    if not isinstance(model, Sampling) or model.event_size != box.dims:
        return None
    draws = flat_draws(model, n)
    low, high = (torch.tensor(ends, dtype=torch.float64) for ends in (box.low, box.high))
    outside = int((~((draws >= low) & (draws <= high)).all(1)).sum())
    share = (outside + 1) / (n + 2)
    error = math.sqrt(share * (1.0 - share) / n)
    return Tail(outside / n, error, f"{n:,} draws of the model".replace(",", " "))


@torch.no_grad()
def flat_draws(model: Sampling, n: int) -> Tensor:
    """Exact draws (n, D), float64 on the CPU; the same noise at every step."""
    generator = torch.Generator().manual_seed(SEED)
    return model.sample(n, generator=generator).reshape(n, -1).cpu().to(torch.float64)


@torch.no_grad()
def tail_of_energy(
    model: GenerativeModel, box: Box, *, n: int = N_COARSE, nodes: int = LOG_Z_NODES
) -> Tail:
    """The share of an energy's mass outside a box, on a coarse grid over all of its mass.

    The error is the difference to half as many nodes a side.

    Raises:
        ValueError: As for :func:`engine.estimators.partition.log_z`.
    """
    whole = log_z(model, grid=nodes).box
    fine, coarse = (_share_outside(model, midpoint_grid(whole, size), box) for size in (n, n // 2))
    return Tail(fine, abs(fine - coarse), "quadrature beyond the window")


def _share_outside(model: GenerativeModel, grid: Grid, box: Box) -> float:
    scores = score_points(log_density_of(model), model, grid.points)
    shares = (scores + grid.weights.log()).softmax(0)
    return 1.0 - float((shares * _covered(grid, box)).sum())


def _covered(grid: Grid, box: Box) -> Tensor:
    """The part of each cell of an evenly spaced grid that lies in a box, (n_points,), 0 … 1.

    Whole cells would make the share wrong by half a row of cells at each face.
    """
    low, high = (torch.tensor(ends, dtype=torch.float64) for ends in (box.low, box.high))
    widths = torch.stack([axis.weights[0] for axis in grid.axes])
    upper = torch.minimum(grid.points + 0.5 * widths, high)
    lower = torch.maximum(grid.points - 0.5 * widths, low)
    parts: Tensor = ((upper - lower) / widths).clamp(0.0, 1.0).prod(1)
    return parts


def picture_mass_error(grid: Grid, log_density: Tensor) -> float:
    """Relative error of a picture's mass: the difference of the sums over every other pixel.

    In two dimensions "every other" is that of a chessboard, so that a first-order error at the
    window's faces cancels; a peak that is narrower than a pixel shows in full.
    """
    cells = (log_density.to(torch.float64) + grid.weights.log()).softmax(0)
    places = torch.meshgrid(*[torch.arange(side) for side in grid.shape], indexing="ij")
    odd = (torch.stack(places).sum(0) % 2).flatten().bool()
    return float((2.0 * cells[odd].sum() - 2.0 * cells[~odd].sum()).abs())


def mass_state(kind: str, total: float, error: float) -> str:
    """``"whole"``, ``"off"``, ``"unsure"`` (the error hides it) or ``"below"`` (a bound's ≤ 1).

    A bound on log p(x) may integrate to less than 1, never to more.
    """
    if not (math.isfinite(total) and math.isfinite(error)):
        return "off" if not math.isfinite(total) else "unsure"
    miss = total - 1.0
    if abs(miss) > TOLERANCE + SPREAD * error:
        return "below" if kind == "bound" and miss < 0 else "off"
    return "whole" if error <= 2.0 * TOLERANCE else "unsure"


def mass_values(mass: Estimate, tail: Tail) -> dict[str, Value]:
    """For the wire: the mass in a window, beyond it, their sum, and whether that is 1."""
    total, error = mass.value + tail.value, mass.error + tail.error
    return {
        "mass": mass.value,
        "mass_error": mass.error,
        "tail": tail.value,
        "tail_error": tail.error,
        "tail_label": tail.label,
        "total": total,
        "total_error": error,
        "mass_state": mass_state(mass.kind, total, error),
    }
