"""One point on its way through a flow: each layer's Jacobian, and the sum that is log p."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import torch
from torch import Tensor

from engine.capabilities import HasFlowPath, LogProb
from engine.estimators.layer_jacobians import (
    Jacobians,
    condition_numbers,
    dependence,
    jacobians,
    triangular_order,
)
from engine.estimators.precision import in_double
from engine.plane import PlaneKind, coordinate_names, make_plane
from engine.probe import Result, View, probe
from engine.probes.data_points import shown_data
from engine.probes.flow_path import PATH, StatePlane, flow_of
from engine.probes.log_prob_at import Arguments as PointArguments
from engine.probes.log_prob_at import flat_event
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Matrices of more rows than these are not sent, and of so many values are named.
MOST_DIMS = 128
#: Observations beside the point tell which zeros of a Jacobian stay zero elsewhere: so many, or
#: one where there are more values than few.
N_OTHERS, FEW = 7, 16


class Arguments(msgspec.Struct, frozen=True):
    """One event, flat, in data units; or, with ``on``, one point drawn on that plane.

    ``plane`` and ``axes`` say in which two values the way is drawn, as in ``flow_path``.
    """

    point: tuple[float, ...]
    on: PlaneKind | None = None
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(
    summary="The Jacobian of every layer at one point, and the sum of their log-determinants.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_jacobian(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""All in float64: L layers, D values, d = 1 or 2 drawn values.

    ``states`` (L + 1, D), ``places`` (L + 1, d); ``log_dets`` (L,) as the model tells them, in
    nats. Up to 128 values: ``layers`` (L, D, D) and ``stack`` (D, D), Jacobians data → base by
    autograd, ``slogdets`` (L,) and the value ``stack_slogdet``, logs of abs of their determinants
    by LU; ``condition`` (L,) and ``orders`` (L, D), an order of the values in which the Jacobian
    is lower triangular (the number order where there is none, then ``triangular`` (L,) is 0).

    Values: ``log_base``, ``log_prob`` (the model's own method where it has one) and ``residual`` =
    log_prob − log_base − Σ log_dets; ``names`` of layers, ``values`` of the event; ``note`` says
    why matrices are missing.

    Raises:
        ValueError: As :func:`engine.probes.log_prob_at.log_prob_at`.
    """
    given = PointArguments(arguments.point, plane=arguments.on, axes=arguments.axes)
    flat = flat_event(view, given)
    plane = StatePlane(make_plane(view.dataset, arguments.plane, arguments.axes))
    model, x = in_double(view.model, flat.reshape(1, *view.model.event_shape))
    flow = flow_of(model)
    with torch.no_grad():
        path = flow.path(x, generator=view.generator(PATH))
        log_base = float(flow.base().log_prob(path.states[-1]).sum())
        total = float(path.log_dets.sum())
        log_prob = float(model.log_prob(x)[0]) if isinstance(model, LogProb) else log_base + total
    arrays: dict[str, Any] = {
        "states": path.states[:, 0],
        "places": plane.project(path.states[:, 0]),
        "log_dets": path.log_dets[:, 0],
    }
    values: dict[str, Value] = {
        "names": list(path.names),
        "values": list(coordinate_names(view.dataset)),
        "log_base": log_base,
        "log_prob": log_prob,
        "residual": log_prob - math.fsum([log_base, *path.log_dets[:, 0].tolist()]),
        "note": "",
    }
    if view.model.event_size > MOST_DIMS:
        values["note"] = f"Jacobians are shown of up to {MOST_DIMS} values"
        yield Result(arrays, values)
        return
    matrices, told = _matrices(view, flow, x)
    yield Result(arrays | matrices, values | told)


def _matrices(
    view: View, flow: HasFlowPath, x: Tensor
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    n_others = N_OTHERS if view.model.event_size <= FEW else 1
    others = shown_data(view)[0][:n_others].to(x)
    found = jacobians(flow, torch.cat([x, others.reshape(-1, *x.shape[1:])]), view.generator(PATH))
    orders, triangular = _orders(found)
    layers, stack = found.layers[:, 0], found.stack[0]
    arrays = {
        "layers": layers,
        "stack": stack,
        "slogdets": torch.linalg.slogdet(layers).logabsdet,
        "condition": condition_numbers(layers),
        "orders": torch.tensor(orders, dtype=torch.int32),
    }
    return arrays, {
        "stack_slogdet": float(torch.linalg.slogdet(stack).logabsdet),
        "triangular": [int(ordered) for ordered in triangular],
        "direct": found.direct,
    }


def _orders(found: Jacobians) -> tuple[list[list[int]], list[bool]]:
    """Per layer the order of the values, and whether its Jacobian is triangular in it."""
    natural = list(range(found.states.shape[-1]))
    patterns = dependence(found.layers, direct=found.direct)
    known = [triangular_order(pattern) for pattern in patterns]
    return [order or natural for order in known], [order is not None for order in known]
