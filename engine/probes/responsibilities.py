r"""Which component made which point: the exact posterior of a mixture.

.. math:: r_k(x) = \frac{\pi_k\, p(x \mid k)}{\sum_j \pi_j\, p(x \mid j)}
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.estimators.density import as_events
from engine.estimators.grid import Box, midpoint_axis
from engine.estimators.mixture import MixtureParts, mixture_parts
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability

#: Nodes of a curve at most.
LARGEST_SIZE = 4096


class Arguments(msgspec.Struct, frozen=True):
    """How many training points; for events on a line also a window and its number of nodes."""

    n: int = 2000
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    size: int = 256


@probe(
    summary="Responsibilities, weights, means and covariances of a mixture.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def responsibilities(view: View, arguments: Arguments) -> Iterator[Result]:
    """Points (N, dims), responsibilities (N, K), weights (K,), means and covariances on the plane.

    On a line, where a window is given, ``log_curves`` (K, P) are log π_k + log p(x given k) at
    its ``nodes`` (P,), nats: their exponentials add up to the model's density.

    Raises:
        ValueError: The model is no mixture, ``n`` is not positive, or the window is no window.
    """
    if arguments.n < 1:
        raise ValueError(f"n: given {arguments.n}, wanted 1 or more")
    with torch.no_grad():
        parts = mixture_parts(view.model)
        if parts is None:
            raise ValueError(f"responsibilities need a mixture; {view.model.card.title} is none")
        data = view.dataset.train
        points = data[choose(len(data), arguments.n, view)]
        shares = parts.joint(as_events(view.model, points)).softmax(1)
        plane = make_plane(view.dataset, arguments.plane, arguments.axes)
        arrays = {
            "points": plane.project(points),
            "responsibilities": shares,
            "weights": parts.log_weights.exp(),
            "means": plane.project(parts.components.mean),
            "covariances": plane.project_covariances(_covariances(parts.components)),
        }
        if arguments.low and view.model.event_size == 1:
            arrays |= _curves(view, parts, arguments)
    yield Result({name: value.to(torch.float32) for name, value in arrays.items()}, {})


def _curves(view: View, parts: MixtureParts, arguments: Arguments) -> dict[str, Tensor]:
    if not 1 <= arguments.size <= LARGEST_SIZE:
        raise ValueError(f"size: given {arguments.size}, wanted 1 to {LARGEST_SIZE} nodes")
    box = Box(arguments.low, arguments.high)
    nodes = midpoint_axis(box.low[0], box.high[0], arguments.size).nodes
    return {"nodes": nodes, "log_curves": parts.joint(as_events(view.model, nodes[:, None])).mT}


def _covariances(components: Distribution) -> Tensor:
    """(K, D, D): full where the distribution knows it, else diagonal."""
    for distribution in (components, getattr(components, "base_dist", None)):
        full = getattr(distribution, "covariance_matrix", None)
        if isinstance(full, Tensor):
            return full
    return torch.diag_embed(components.variance.reshape(len(components.mean), -1))
