"""How many passes of its networks a flow needs one after the other, each way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec
import torch
from torch import Tensor

from engine.bijections.base import n_passes
from engine.capabilities import FlowPath
from engine.estimators.layer_jacobians import HasLayers
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.probes.flow_path import PATH, base_draws, flow_of
from engine.wire.capability import Capability

MOST_POINTS = 20_000
#: Each way is taken so often at most, or as long as this many seconds have not passed.
MOST_TRIES, PATIENCE = 9, 0.3


class Arguments(msgspec.Struct, frozen=True):
    """So many points are taken each way by the clock."""

    n: int = 1000


@probe(
    summary="Sequential network passes for a density and for a sample, layer by layer.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_passes(view: View, arguments: Arguments) -> Iterator[Result]:
    """``density`` and ``sampling`` (L,), int32: passes of each layer that wait for one another.

    A layer says so itself (:func:`engine.bijections.base.n_passes`); one without a network takes
    none. Of a continuous flow they are the evaluations that its solver took for these points.
    Values: ``names``; ``event_size``; ``solved``, whether a solver made the passes;
    ``density_seconds`` and ``sampling_seconds``, the time that ``n`` points took just now on this
    machine: the quickest of a few tries, since other work in between only makes one slower.

    Raises:
        ValueError: ``n`` is out of range.
    """
    if not 1 <= arguments.n <= MOST_POINTS:
        raise ValueError(f"n: given {arguments.n}, wanted 1 to {MOST_POINTS}")
    model, flow = view.model, flow_of(view.model)
    with torch.no_grad():
        z = base_draws(view, arguments.n)
        x = flow.path(z, inverse=True, generator=view.generator(PATH)).states[0]
        events = x.reshape(len(x), *model.event_shape)
        there, density = _quickest(
            lambda: flow.path(events, generator=view.generator(PATH)), view.cancelled
        )
        back, sampling = _quickest(
            lambda: flow.path(z, inverse=True, generator=view.generator(PATH)), view.cancelled
        )
    names, counts = there.names, _counts(model, there, back)
    yield Result(
        {"density": counts[:, 0], "sampling": counts[:, 1]},
        {
            "names": list(names), "event_size": model.event_size, "n": arguments.n,
            "solved": "evaluations" in there.trace,
            "density_seconds": density, "sampling_seconds": sampling,
        },
    )  # fmt: skip


def _quickest(
    walk: Callable[[], FlowPath], cancelled: Callable[[], bool]
) -> tuple[FlowPath, float]:
    """The path, and the seconds of the quickest of a few tries."""
    times: list[float] = []
    while True:
        began = time.perf_counter()
        path = walk()
        path.states.cpu()
        times.append(time.perf_counter() - began)
        if len(times) >= MOST_TRIES or sum(times) >= PATIENCE or cancelled():
            return path, min(times)


def _counts(model: GenerativeModel, there: FlowPath, back: FlowPath) -> Tensor:
    """(L, 2): passes data → base and back."""
    solved = [path.trace.get("evaluations") for path in (there, back)]
    if solved[0] is not None and solved[1] is not None:
        return torch.stack([solved[0], solved[1]], 1).to(torch.int32)
    layers = tuple(model.layers()) if isinstance(model, HasLayers) else ()
    known = len(layers) == len(there.names)
    # Of a path whose layers nobody knows each step may hide a network.
    passes = [n_passes(layer) if known else (1, 1) for layer in layers or there.names]
    return torch.tensor(passes, dtype=torch.int32).reshape(-1, 2)
