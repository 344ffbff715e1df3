"""A grid of lines and a cloud of points on their way through all layers of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import torch
from torch import Tensor

from engine.capabilities import FlowPath, HasFlowPath
from engine.drawing import draw
from engine.model import GenerativeModel
from engine.plane import Plane, PlaneKind, data_box, make_plane
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, shown_data
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_POINTS, MOST_LINES, MOST_BETWEEN = 60_000, 256, 1024
#: Of events of many values so few are drawn that their values are at most so many.
MOST_VALUES = 1_000_000
#: A base's window holds all but this share of its draws on each side, with a margin.
OUTSIDE, BASE_DRAWS, MARGIN = 0.002, 4000, 0.1
#: Numbers of the streams of chance: of the base's draws, and of a path that wants some.
DRAWS, PATH = 31, 32

#: Where grid and cloud start: as an even grid over data of the run, or over draws of the base.
Start: TypeAlias = Literal["data", "base"]


class Arguments(msgspec.Struct, frozen=True):
    """How many points and lines (each way, so many nodes on each), and where they start.

    ``low`` and ``high`` are the window of the grid on the drawn plane, in the units of where it
    starts; empty for one that holds the points. ``plane`` and ``axes`` are as in
    :func:`engine.plane.make_plane` and matter for more than two dimensions.
    """

    n: int = 5000
    lines: int = 64
    nodes: int = 64
    start: Start = "data"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class StatePlane:
    """The drawn plane, for the states of every layer.

    Along two coordinates all states are drawn by the same two; along principal components of the
    data by the same two directions, from the origin, since the mean of the data means nothing to
    later layers.
    """

    plane: Plane

    @property
    def dims(self) -> int:
        """1 or 2."""
        return self.plane.dims

    def project(self, states: Tensor) -> Tensor:
        """(…, D) → (…, dims), float64 on the CPU."""
        return states.detach().cpu().double() @ self.plane.basis.T

    def lift(self, points: Tensor, start: Start) -> Tensor:
        """(P, dims) → (P, D): what is not drawn rests at the data's mean, in the base at 0."""
        basis = self.plane.basis
        flat = points.double() @ basis
        if start == "data":
            centre = self.plane.centre
            flat = flat + centre - (centre @ basis.T) @ basis
        return flat

    @property
    def names(self) -> tuple[str, str]:
        """What stands at the axes; "" for an axis that is none."""
        names = self.plane.names
        return names[0], names[1] if self.dims == 2 else ""


@probe(
    summary="A grid and a cloud on their way through all layers.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_path(view: View, arguments: Arguments) -> Iterator[Result]:
    """States at whole layers, data first, whatever the start; L layers, d = 1 or 2 drawn values.

    ``points`` (L + 1, N, d) and ``grid`` (L + 1, G, P, d): first lines of constant second
    coordinate, then of constant first one; one dimension has a single line.
    ``point_log_dets`` (L, N) and ``grid_log_dets`` (L, G, P): log abs det of each layer in the
    direction data → base, nats. ``log_base`` (N,): log-density of the base where each point ends.
    ``labels`` (N,), −1 where there is none. ``events`` (N, D): the points as data, flat. Of a
    target, which has no observations, the points are draws.

    Values: ``names`` of the layers, ``start``, ``x_name``, ``y_name``, ``is_slice`` (more than two
    dimensions: the grid is a slice, the cloud a projection), ``low`` and ``high`` of the grid.

    Raises:
        ValueError: A number is out of range, or the axes are no two coordinates.
    """
    _check(arguments)
    model = flow_of(view.model)
    plane = StatePlane(make_plane(view.dataset, arguments.plane, arguments.axes))
    with torch.no_grad():
        given, labels = _points(view, arguments)
        low, high = _window(view, arguments, plane, given)
        lattice = _lattice(arguments, low, high)
        flat = plane.lift(lattice.reshape(-1, plane.dims), arguments.start)
        cloud = _walk(view, arguments.start, given)
        grid = _walk(view, arguments.start, flat)
        log_base = model.base().log_prob(cloud.states[-1])
    shape = lattice.shape[:2]
    arrays = {
        "points": plane.project(cloud.states).float(),
        "grid": plane.project(grid.states).float().reshape(-1, *shape, plane.dims),
        "point_log_dets": cloud.log_dets.float(),
        "grid_log_dets": grid.log_dets.float().reshape(-1, *shape),
        "log_base": log_base.float(),
        "labels": labels.to(torch.int32),
        "events": cloud.states[0].float(),
    }
    values: dict[str, Value] = {
        "names": list(cloud.names),
        "start": arguments.start,
        "low": [*low],
        "high": [*high],
    }
    yield Result(arrays, values | _words(plane))


def flow_of(model: GenerativeModel) -> HasFlowPath:
    """The model as a flow; the probe's needs see to it that it is one."""
    if not isinstance(model, HasFlowPath):
        raise ValueError(f"{model.card.title} has no layers that can be walked both ways")
    return model


def _words(plane: StatePlane) -> dict[str, Value]:
    x_name, y_name = plane.names
    return {"x_name": x_name, "y_name": y_name, "is_slice": plane.plane.is_slice}


def _check(arguments: Arguments) -> None:
    for name, value, least, most in (
        ("n", arguments.n, 1, MOST_POINTS),
        ("lines", arguments.lines, 2, MOST_LINES),
        ("nodes", arguments.nodes, 2, MOST_BETWEEN),
    ):
        if not least <= value <= most:
            raise ValueError(f"{name}: given {value}, wanted {least} to {most}")


def _points(view: View, arguments: Arguments) -> tuple[Tensor, Tensor]:
    """Where the cloud starts, (N, D), and its labels (N,)."""
    n = min(arguments.n, max(1, MOST_VALUES // view.model.event_size))
    if arguments.start == "base":
        return base_draws(view, n), torch.full((n,), -1)
    data, labels = shown_data(view)
    chosen = choose(len(data), n, view)
    shown = torch.full((len(chosen),), -1) if labels is None else labels.cpu()[chosen]
    return data[chosen].flatten(1), shown


def base_draws(view: View, n: int) -> Tensor:
    """(n, D) draws of the base, the same ones at every step."""
    return draw(flow_of(view.model).base(), view.generator(DRAWS), (n,))


def base_box(view: View, plane: StatePlane) -> tuple[list[float], list[float]]:
    """A window of the base that holds nearly all of it."""
    places = plane.project(base_draws(view, BASE_DRAWS))
    ends = torch.quantile(places, torch.tensor([OUTSIDE, 1 - OUTSIDE], dtype=places.dtype), dim=0)
    room = MARGIN * (ends[1] - ends[0])
    return (ends[0] - room).tolist(), (ends[1] + room).tolist()


def _window(
    view: View, arguments: Arguments, plane: StatePlane, points: Tensor
) -> tuple[list[float], list[float]]:
    if not arguments.low and not arguments.high:
        if arguments.start == "base":
            return base_box(view, plane)
        return data_window(view, plane)
    low, high = list(arguments.low), list(arguments.high)
    good = len(low) == len(high) == plane.dims
    if not good or not all(-1e9 <= a < b <= 1e9 for a, b in zip(low, high, strict=True)):
        raise ValueError(
            f"low, high: given {low} and {high}, wanted {plane.dims} numbers in each, every low "
            "below its high"
        )
    return low, high


def data_window(view: View, plane: StatePlane) -> tuple[list[float], list[float]]:
    """The data's box, in the numbers in which states are drawn."""
    box = data_box(view.dataset, plane.plane)
    shift = plane.plane.centre @ plane.plane.basis.T
    low, high = torch.tensor(box.low) + shift, torch.tensor(box.high) + shift
    return low.tolist(), high.tolist()


def _lattice(arguments: Arguments, low: list[float], high: list[float]) -> Tensor:
    """(G, P, d)."""
    ends = list(zip(low, high, strict=True))
    along = [torch.linspace(*end, arguments.nodes, dtype=torch.float64) for end in ends]
    if len(ends) == 1:
        return along[0][None, :, None]
    across = [torch.linspace(*end, arguments.lines, dtype=torch.float64) for end in ends]
    shape = (arguments.lines, arguments.nodes)
    level = torch.stack([along[0].expand(shape), across[1][:, None].expand(shape)], 2)
    upright = torch.stack([across[0][:, None].expand(shape), along[1].expand(shape)], 2)
    return torch.cat([level, upright])


def _walk(view: View, start: Start, flat: Tensor) -> FlowPath:
    """The path of (B, D) from where it starts; data first in either case."""
    model = view.model
    x = flat.to(model.location)
    if start == "data":
        x = x.reshape(len(x), *model.event_shape)
    return flow_of(view.model).path(x, inverse=start == "base", generator=view.generator(PATH))
