"""The model's own density over a window: exact, a bound, normalised by quadrature, or a critic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Critic, Energy
from engine.estimators.critic import critic_scale
from engine.estimators.density import (
    CancellationError,
    LogDensity,
    check_draws,
    log_density_of,
    score_points,
)
from engine.estimators.grid import Box, Grid, midpoint_grid
from engine.estimators.mass import (
    N_COARSE,
    mass_values,
    picture_mass_error,
    tail_of_draws,
    tail_of_energy,
)
from engine.estimators.picture import (
    Arrays,
    critic_picture,
    density_picture,
    sizes,
    window,
)
from engine.estimators.quadrature import Estimate, log_z
from engine.estimators.shared_bound import shared_bound, shares_draws
from engine.plane import Plane, PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Pixels turned into events at once.
PIECE = 65_536
#: Nodes a side for log Z of a picture; the evaluation takes more, a coarse picture less.
LOG_Z_NODES, LOG_Z_COARSE = 128, 64
#: Pictures of fewer pixels a side are coarse: they are for the moment while one scrubs.
COARSE_BELOW = 100
#: Draws that tell the mass beyond a fine picture; coarse ones make do with fewer.
N_TAIL = 8192

Picture: TypeAlias = tuple[Arrays, dict[str, Value]]


class Arguments(msgspec.Struct, frozen=True):
    """A window in drawn coordinates (one number per axis) and how finely to look."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    size: int = 128
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)
    n_draws: int = 32
    contours: bool = True


@dataclass(frozen=True)
class _Surface:
    """What is drawn: values at the pixels, and a picture of them."""

    score: Callable[[Grid], Tensor]
    finish: Callable[[Grid, Tensor], Picture]
    values: dict[str, Value] = field(default_factory=dict)


@probe(summary="The model's own density over a window.", arguments=Arguments)
def density(view: View, arguments: Arguments) -> Iterator[Result]:
    """Log-density at pixel centres, nats; contours, marginals and what kind of number it is.

    Where the picture shows the whole event: ``mass`` over the window and ``tail`` beyond it, their
    errors, their sum ``total`` and ``mass_state``, see :mod:`engine.estimators.mass`.
    """
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    box = window(arguments.low, arguments.high, plane.dims)
    stages = sizes(arguments.size)
    with suppress(CancellationError), torch.no_grad():
        surface = _surface(view, arguments, plane)
        for size in stages:
            grid = midpoint_grid(box, size)
            scores = surface.score(grid)
            _check_numbers(scores)
            arrays, values = surface.finish(grid, scores)
            values = surface.values | values
            mass = _whole(view, box, arguments.size, (grid, scores), values)
            yield Result(arrays, values | mass, final=size == stages[-1])


def _surface(view: View, arguments: Arguments, plane: Plane) -> _Surface:
    model = view.model
    check_draws(arguments.n_draws)
    scored = any(map(view.can, (Capability.LOG_PROB, Capability.BOUND, Capability.ENERGY)))
    if not scored and isinstance(model, Critic):
        return _critic_surface(view, plane, model, arguments.contours)
    log_density = log_density_of(model, n_draws=arguments.n_draws, seed=view.seed)
    if log_density.kind == "energy" and isinstance(model, Energy) and not plane.is_slice:
        return _normalised_surface(view, plane, log_density, arguments)
    relative = plane.is_slice
    label = log_density.label + (", slice at the mean" if plane.is_slice else "")
    values: dict[str, Value] = {"kind": log_density.kind, "label": label, "note": ""}
    values["note"] = _note(log_density.kind, plane)

    def finish(grid: Grid, scores: Tensor) -> Picture:
        return density_picture(grid, scores, contours=arguments.contours, relative=relative)

    if log_density.kind == "bound" and plane.dims == 2 and shares_draws(model):
        values["note"] = f"{values['note']} Its draws are shared by neighbouring pixels.".strip()
        return _Surface(_shared(view, plane, arguments.n_draws), finish, values)
    return _Surface(_pointwise(view, plane, log_density), finish, values)


def _of(size: int, coarse: int, fine: int) -> int:
    """One of two, by how fine a picture was asked for."""
    return coarse if size < COARSE_BELOW else fine


def _whole(
    view: View, box: Box, size: int, scored: tuple[Grid, Tensor], values: dict[str, Value]
) -> dict[str, Value]:
    """Whether the mass in the window and beyond it makes 1; nothing where there is no mass."""
    grid, scores = scored
    mass, kind = values["mass"], str(values["kind"])
    if not isinstance(mass, float):
        return {}
    n_draws = max(_of(size, N_TAIL // 8, N_TAIL // 2), grid.points.shape[0] // 8)
    tail = tail_of_draws(view.model, box, n=min(N_TAIL, n_draws))
    if tail is None and kind == "quadrature":
        nodes = _of(size, LOG_Z_COARSE, LOG_Z_NODES)
        tail = tail_of_energy(view.model, box, n=_of(size, N_COARSE // 2, N_COARSE), nodes=nodes)
    if tail is None:
        return {}
    error = mass * picture_mass_error(grid, scores)
    return mass_values(Estimate(mass, error, kind), tail)


def _check_numbers(scores: Tensor) -> None:
    n_bad = int(scores.isnan().sum())
    if n_bad:
        raise ValueError(
            f"the model has no number at {n_bad} of {len(scores)} pixels; wanted a window nearer "
            "to the data"
        )


def _pointwise(view: View, plane: Plane, log_density: LogDensity) -> Callable[[Grid], Tensor]:
    def score(grid: Grid) -> Tensor:
        # Lifted piece by piece: all pixels at once would be many numbers of many dimensions.
        pieces = torch.split(grid.points, PIECE)
        scores = [
            score_points(log_density, view.model, plane.lift(piece), cancelled=view.cancelled)
            for piece in pieces
        ]
        return torch.cat(scores)

    return score


def _shared(view: View, plane: Plane, n_draws: int) -> Callable[[Grid], Tensor]:
    def score(grid: Grid) -> Tensor:
        scores = shared_bound(
            view.model,
            grid.points.reshape(*grid.shape, -1),
            n_draws=n_draws,
            seed=view.seed,
            lift=plane.lift,
            cancelled=view.cancelled,
        )
        return scores.flatten()

    return score


def _normalised_surface(
    view: View, plane: Plane, log_density: LogDensity, arguments: Arguments
) -> _Surface:
    nodes = _of(arguments.size, LOG_Z_COARSE, LOG_Z_NODES)
    z = log_z(view.model, grid=nodes, cancelled=view.cancelled)
    values: dict[str, Value] = {
        "kind": "quadrature",
        "label": "−E(x) − log Z, quadrature",
        "note": f"log Z = {z.value:.4f} ± {z.error:.1g} nats, by quadrature on the model's box.",
        "log_z": z.value,
        "log_z_error": z.error,
    }

    def finish(grid: Grid, scores: Tensor) -> Picture:
        return density_picture(grid, scores - z.value, contours=arguments.contours)

    return _Surface(_pointwise(view, plane, log_density), finish, values)


def _critic_surface(view: View, plane: Plane, model: Critic, contours: bool) -> _Surface:
    scale = critic_scale(view.model)
    values: dict[str, Value] = {
        "kind": "critic",
        "label": scale.label,
        "note": "A generator's samples have no density that can be computed: the surface is the "
        "critic's judgement, not a probability.",
    }

    def finish(grid: Grid, scores: Tensor) -> Picture:
        return critic_picture(grid, scores, scale.levels(scores), contours=contours)

    judged = LogDensity("critic", scale.label, scale.score(model))
    return _Surface(_pointwise(view, plane, judged), finish, values)


def _note(kind: str, plane: Plane) -> str:
    parts = []
    if kind == "bound":
        parts.append("A lower bound on log p(x) that grows with the number of draws.")
    if kind == "energy":
        parts.append("Not normalised: log Z is out of reach of quadrature here.")
    if plane.is_slice:
        parts.append("A slice through the training mean, not a marginal density.")
    return " ".join(parts)
