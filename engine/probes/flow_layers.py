"""What each layer of a flow does to space: volume, shape, and what rounding costs."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.capabilities import HasFlowPath
from engine.estimators.grid import Box, Grid, midpoint_grid
from engine.estimators.layer_jacobians import condition_numbers, jacobians, layers_of, round_trip
from engine.estimators.precision import in_double
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, shown_data, shown_words
from engine.probes.flow_path import PATH, StatePlane, data_window, flow_of
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_POINTS, MOST_SIZE = 4096, 128
#: Jacobians of more values than these take too long; then condition numbers are left out.
MOST_DIMS = 128
#: Rows of all Jacobians of one layer at most, for the condition numbers, and values of all events.
MOST_ROWS, MOST_VALUES = 256, 2**12
#: The same where a layer is no map of its own but part of what a solver did.
MOST_SOLVED = 64


class Arguments(msgspec.Struct, frozen=True):
    """Observations for the numbers, pixels a side for the map; the plane as in ``flow_path``."""

    n: int = 256
    size: int = 32
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(
    summary="Volume change, condition number and round-trip error of each layer.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_layers(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""Per layer over n observations, and as maps over the data's window.

    A target has no observations; draws of it stand in their place.

    Numbers (L,): ``mean_log_det``, ``mean_abs_log_det`` in nats; ``area_change`` (2, L), the
    quartiles of exp(log-det), the factor by which a small volume changes; ``condition`` (2, L),
    median and largest condition number of the layer's Jacobian by autograd in float64, over the
    first ``n_condition`` of them (absent for more than 128 values). ``round_trip`` (2, L + 1):
    float32 then float64, largest over the observations of how far state l of the way back lies
    from that of the way there, in the units of the state (see
    :func:`engine.estimators.layer_jacobians.round_trip`).

    The first, partial answer has the volumes alone. Maps (H, W), only for one or two dimensions
    (one row for one): ``map_log_dets`` (L, H, W); ``map_condition`` (L, H, W), absent where a
    solver makes the layers; ``map_round_trip`` (2, H, W) at the data. ``low`` and ``high`` are
    their window; the value ``of`` says what the n are.

    Raises:
        ValueError: A number is out of range, or the axes are no two coordinates.
    """
    _check(arguments)
    plane = StatePlane(make_plane(view.dataset, arguments.plane, arguments.axes))
    data, _ = shown_data(view)
    x = data[choose(len(data), _fitting(view, arguments.n), view)]
    model, wide = in_double(view.model, x)
    twin = flow_of(model)
    low, high = data_window(view, plane)
    values: dict[str, Value] = {"n": len(x), "low": [*low], "high": [*high]}
    values |= {"x_name": plane.names[0], "y_name": plane.names[1], "of": shown_words(view)}
    with torch.no_grad():
        path = twin.path(wide, generator=view.generator(PATH))
    found = _volumes(path.log_dets)
    values["names"] = [*path.names]
    yield Result(found, values, final=False)
    if view.cancelled():
        return
    conditions = _conditions(view, twin, wide, len(path.names))
    values["n_condition"] = 0
    if conditions is not None:
        found["condition"], values["n_condition"] = conditions
    found["round_trip"] = _errors(view, twin, wide).amax(-1)
    mapped = not plane.plane.is_slice
    yield Result(found, values, final=not mapped)
    if mapped and not view.cancelled():
        box = Box(tuple(low), tuple(high))
        yield Result(found | _maps(view, twin, midpoint_grid(box, arguments.size)), values)


def _check(arguments: Arguments) -> None:
    if not 1 <= arguments.n <= MOST_POINTS:
        raise ValueError(f"n: given {arguments.n}, wanted 1 to {MOST_POINTS}")
    if not 2 <= arguments.size <= MOST_SIZE:
        raise ValueError(f"size: given {arguments.size}, wanted 2 to {MOST_SIZE}")


def _fitting(view: View, n: int) -> int:
    """Fewer observations where each has many values."""
    return max(1, min(n, MOST_VALUES // view.model.event_size))


def _conditions(
    view: View, twin: HasFlowPath, x: Tensor, n_layers: int
) -> tuple[Tensor, int] | None:
    """Median and largest condition number (2, L) of the layers, and of how many points."""
    size = view.model.event_size
    if size > MOST_DIMS:
        return None
    rows = MOST_ROWS if layers_of(twin, n_layers) else MOST_SOLVED
    few = x[: max(1, rows // size)]
    numbers = condition_numbers(jacobians(twin, few, view.generator(PATH)).layers)
    return torch.stack([numbers.median(1).values, numbers.amax(1)]), len(few)


def _volumes(log_dets: Tensor) -> dict[str, Tensor]:
    quartiles = torch.tensor([0.25, 0.75], dtype=log_dets.dtype)
    return {
        "mean_log_det": log_dets.mean(1),
        "mean_abs_log_det": log_dets.abs().mean(1),
        "area_change": torch.quantile(log_dets, quartiles, dim=1).exp(),
    }


def _maps(view: View, twin: HasFlowPath, grid: Grid) -> dict[str, Tensor]:
    shape = grid.shape if len(grid.shape) == 2 else (1, *grid.shape)
    places = grid.points.reshape(-1, *view.model.event_shape)
    with torch.no_grad():
        log_dets = twin.path(places, generator=view.generator(PATH)).log_dets
    found = {
        "map_log_dets": log_dets.float().reshape(-1, *shape),
        "map_round_trip": _errors(view, twin, places)[:, 0].reshape(2, *shape),
    }
    if layers_of(twin, len(log_dets)):
        parts = jacobians(twin, places, view.generator(PATH))
        found["map_condition"] = condition_numbers(parts.layers).float().reshape(-1, *shape)
    return found


@torch.no_grad()
def _errors(view: View, twin: HasFlowPath, x: Tensor) -> Tensor:
    """(2, L + 1, B): in float32 on the model's device and in float64, the same numbers given."""
    narrow = view.model
    if narrow.location.dtype != torch.float32:
        narrow = copy.deepcopy(narrow).float()
    given = x.to(narrow.location)
    single = round_trip(flow_of(narrow), given, lambda: view.generator(PATH))
    double = round_trip(twin, given.cpu().double(), lambda: view.generator(PATH))
    return torch.stack([single.cpu().double(), double])
