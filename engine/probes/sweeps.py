r"""Gaussianization sweep by sweep: the turn, the bending of each axis, and what is left to do.

.. math:: J_k = \mathrm{KL}\bigl(p_{z^{(k)}} \,\|\, \mathcal N(0, I)\bigr)
    = \mathbb E \log p(x) - \mathbb E \log p_k(x)

p_k is the density after k sweeps. J_k is the negentropy that is left: the next sweep takes away
what it raises the mean log-density by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec
import torch
from torch import Tensor

from engine.bijections.base import Bijection
from engine.bijections.linear import Linear
from engine.bijections.marginal import Marginal
from engine.dataset import KnownDensity
from engine.estimators.precision import in_double
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_POINTS, MOST_STRIPS, MOST_NODES, MOST_BINS = 20_000, 40, 2001, 200
#: Mass beyond the outermost strips, and how far a curve reaches on the normal side.
TAIL, REACH = 5e-3, 3.2


class Arguments(msgspec.Struct, frozen=True):
    """The sweep shown, from 1 (beyond the last it is the last), and which two of its axes.

    ``n`` observations are drawn; ``n_scored`` of each split are scored; curves have ``size``
    nodes, histograms ``n_bins``, and axes are cut into ``n_strips`` strips.
    """

    sweep: int = 1
    axes: tuple[int, int] = (0, 1)
    n: int = 1000
    n_scored: int = 5000
    size: int = 201
    n_bins: int = 48
    n_strips: int = 10


@runtime_checkable
class HasSweeps(Protocol):
    """A flow made of turns and marginals in turn."""

    def layers(self) -> tuple[Bijection, ...]:
        """All layers, data → base."""
        ...


@dataclass(frozen=True)
class Sweep:
    """One turn and what bends the turned axes."""

    turn: Linear
    marginal: Marginal


@probe(
    summary="Each sweep of Gaussianization: its turn, its marginals, the negentropy left.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def sweeps(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""All in float64. S sweeps taken so far, D values, N points, A = 2 drawn axes (1 of a line).

    - ``left_train``, ``left_test`` (S + 1,): J_k over each split, nats, where the data's density
      is known (``absolute`` is 1); else the mean negative log-density. ``error_train`` and
      ``error_test``: its standard errors.
    - ``turn`` (D, D); for two values also the value ``angle`` of its first column in degrees, from
      −180 to 180. ``is_orthogonal`` and ``mirrors``: whether lengths stay, and whether its
      determinant is negative.
    - ``before``, ``turned``, ``bent`` (N, A): the points' drawn coordinates around the sweep.
    - per axis a: ``u`` and ``y`` (A, P), the curve y(u); ``u_density`` (A, P), the turned
      coordinate's histogram there; ``y_density`` (A, P), the standard normal's;
      ``u_edges``, ``y_edges`` (A, K + 1), strips of equal mass of the normal and their pre-images;
      ``normal_mass`` (A, K) and ``mass`` (A, K), the share of the scored training points in each.

    Values: ``n_sweeps``, ``sweep`` (0 where none has been taken: then only the first item and the
    points ``before`` are there), ``axes``.

    Raises:
        ValueError: The model takes no sweeps, or a number is out of range.
    """
    _check(view, arguments)
    data = view.dataset.train
    x = data[choose(len(data), arguments.n_scored, view)]
    model, x = in_double(view.model, x)
    taken = _sweeps(model)
    arrays, values = _left(view, model, x)
    axes = list(arguments.axes)[: min(view.model.event_size, 2)]
    place = min(max(arguments.sweep, 1), len(taken))
    values |= {"n_sweeps": len(taken), "sweep": place, "axes": [*axes]}
    with torch.no_grad():
        z = _before(model, x, place)
        arrays["before"] = z[: arguments.n, axes]
        if taken:
            found, told = _one(taken[place - 1], z, axes, arguments)
            arrays, values = arrays | found, values | told
    yield Result(arrays, values)


def _check(view: View, arguments: Arguments) -> None:
    if "sweeps" not in view.model.card.features:
        raise ValueError(f"{view.model.card.title} takes no sweeps; Gaussianization does")
    ranges = {"n": (1, MOST_POINTS), "n_scored": (2, MOST_POINTS), "size": (8, MOST_NODES),
              "n_bins": (4, MOST_BINS), "n_strips": (1, MOST_STRIPS)}  # fmt: skip
    for name, (low, high) in ranges.items():
        given = getattr(arguments, name)
        if not low <= given <= high:
            raise ValueError(f"{name}: given {given}, wanted {low} to {high}")
    size = view.model.event_size
    first, second = arguments.axes
    if size > 1 and (first == second or not all(0 <= a < size for a in arguments.axes)):
        raise ValueError(f"axes: given {arguments.axes}, wanted two of 0 to {size - 1}")


def _sweeps(model: object) -> list[Sweep]:
    layers = model.layers()[1:] if isinstance(model, HasSweeps) else ()
    pairs = zip(layers[::2], layers[1::2], strict=True)
    return [
        Sweep(turn, marginal)
        for turn, marginal in pairs
        if isinstance(turn, Linear) and isinstance(marginal, Marginal)
    ]


def _before(model: object, x: Tensor, place: int) -> Tensor:
    """(N, D) just before a sweep, from 1."""
    layers = model.layers() if isinstance(model, HasSweeps) else ()
    z = x.flatten(1)
    for layer in layers[: 1 + 2 * max(place - 1, 0)]:
        z, _ = layer.forward(z)
    return z


# --- what is left -------------------------------------------------------------------------------


def _left(view: View, model: object, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Value]]:
    """J_k, or the negative log-density, of both splits after each number of sweeps."""
    dataset = view.dataset
    absolute = isinstance(dataset, KnownDensity)
    arrays: dict[str, Tensor] = {}
    for name, part in (("train", x), ("test", dataset.test[: len(x)].to(x))):
        nll = -_log_probs(model, part)
        if isinstance(dataset, KnownDensity):
            nll = nll + dataset.log_prob(part).to(nll)
        arrays[f"left_{name}"] = nll.mean(1)
        arrays[f"error_{name}"] = nll.std(1) / max(nll.shape[1], 1) ** 0.5
    return arrays, {"absolute": int(absolute)}


@torch.no_grad()
def _log_probs(model: object, x: Tensor) -> Tensor:
    """log p_k of (B, *E) after k = 0 … S sweeps, (S + 1, B), nats."""
    layers = model.layers() if isinstance(model, HasSweeps) else ()
    z, log_det = x.flatten(1), x.new_zeros(len(x))
    found = []
    for index, layer in enumerate(layers):
        z, added = layer.forward(z)
        log_det = log_det + added
        if index % 2 == 0:
            normal = -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(1)
            found.append(log_det + normal)
    return torch.stack(found)


# --- one sweep ----------------------------------------------------------------------------------


def _one(
    sweep: Sweep, z: Tensor, axes: list[int], arguments: Arguments
) -> tuple[dict[str, Tensor], dict[str, Value]]:
    turned, _ = sweep.turn.forward(z)
    bent, _ = sweep.marginal.forward(turned)
    eye = torch.eye(z.shape[1]).to(z)
    matrix = sweep.turn.forward(eye)[0].T
    arrays = {
        "turn": matrix,
        "turned": turned[: arguments.n, axes],
        "bent": bent[: arguments.n, axes],
    }
    values: dict[str, Value] = {}
    if len(matrix) == 2:
        values["angle"] = float(torch.atan2(matrix[1, 0], matrix[0, 0]).rad2deg())
    straight = torch.allclose(matrix @ matrix.T, eye, atol=1e-6)
    values["is_orthogonal"] = int(straight)
    values["mirrors"] = int(float(torch.linalg.det(matrix)) < 0)
    curves = [_axis(sweep.marginal.coordinate(a), turned[:, a], arguments) for a in axes]
    stacked = {name: torch.stack([curve[name] for curve in curves]) for name in curves[0]}
    return arrays | stacked, values


def _axis(marginal: Marginal, u: Tensor, arguments: Arguments) -> dict[str, Tensor]:
    """One axis: its curve, both densities, and strips of equal mass of the normal law."""
    shares = torch.linspace(TAIL, 1.0 - TAIL, arguments.n_strips + 1).to(u)
    y_edges = torch.special.ndtri(shares)
    u_edges = marginal.inverse(y_edges[:, None])[0][:, 0]
    y_ends = torch.tensor([[-REACH], [REACH]]).to(u)
    low, high = marginal.inverse(y_ends)[0][:, 0]
    grid = low + (high - low) * torch.linspace(0.0, 1.0, arguments.size).to(u)
    y = marginal.forward(grid[:, None])[0][:, 0]
    inside = (u[:, None] >= u_edges[:-1]) & (u[:, None] < u_edges[1:])
    return {
        "u": grid,
        "y": y,
        "u_density": _histogram(u, grid, arguments.n_bins),
        "y_density": torch.exp(-0.5 * y.square()) / (2.0 * math.pi) ** 0.5,
        "u_edges": u_edges,
        "y_edges": y_edges,
        "normal_mass": shares.diff(),
        "mass": inside.to(u).mean(0),
    }


def _histogram(u: Tensor, grid: Tensor, n_bins: int) -> Tensor:
    """The density of a histogram of points (N,) over the grid's span, at its nodes."""
    low, high = float(grid[0]), float(grid[-1])
    counts = torch.histc(u.cpu(), n_bins, low, high).to(u)
    density = counts * n_bins / (len(u) * (high - low))
    index = ((grid - low) * n_bins / (high - low)).long().clamp(0, n_bins - 1)
    return density[index]
