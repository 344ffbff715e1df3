"""The training's own chains, as they stand in its replay buffer, with their ages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec
import torch

from engine.estimators.landscape import landscape_of
from engine.estimators.walking import training_steps
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.probes.chain_walk import replay_of
from engine.wire.capability import Capability

MOST_PICTURES = 256


#: Which chains come first: as they are stored, or by their age.
Order: TypeAlias = Literal["stored", "youngest", "oldest"]


class Arguments(msgspec.Struct, frozen=True):
    """How many chains are drawn as points; ``n_pictures``: whole events that are sent too.

    ``order`` says which chains come first.
    """

    n: int = 2000
    n_pictures: int = 0
    order: Order = "stored"
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(
    summary="The training's chains in its replay buffer.",
    arguments=Arguments,
    needs=(Capability.ENERGY,),
)
def replay_buffer(view: View, arguments: Arguments) -> Iterator[Result]:
    """The first chains of the buffer, which is that of the newest keyframe before the snapshot.

    - ``points`` (N, d) on the drawn plane, ``energy`` (N,) nats under the weights in view;
      ``ages`` (N,) chain steps since each began afresh; −1 where the run did not count.
    - ``pictures`` (M, *E), the first ones whole.

    Values: ``n_all``, chains in the buffer; ``step``, the training step that it is of;
    ``steps``: chain steps per training step.

    Raises:
        ValueError: The run keeps no buffer, or has not begun to fill it.
    """
    if not 1 <= arguments.n <= 10_000 or not 0 <= arguments.n_pictures <= MOST_PICTURES:
        raise ValueError(f"n: given {arguments.n}, wanted 1 to 10000")
    land = landscape_of(view.model, view.dataset)
    replay, ages, step = replay_of(view)
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    counted = torch.full((len(replay),), -1) if ages is None else ages.cpu()
    rows = torch.arange(len(replay))
    if arguments.order != "stored":
        rows = counted.argsort(descending=arguments.order == "oldest", stable=True)
    rows = rows[: arguments.n]
    x = land.unstandardise(replay[rows.to(replay.device)].to(land.location))
    counted = counted[rows]
    arrays = {
        "points": plane.project(x).float(),
        "energy": land.energy(x).float().cpu(),
        "ages": counted.to(torch.int64),
    }
    if arguments.n_pictures:
        shown = x[: arguments.n_pictures].cpu().float()
        arrays["pictures"] = shown.reshape(-1, *view.model.event_shape)
    steps = training_steps(view.model)
    yield Result(arrays, {"n_all": len(replay), "step": step, "steps": steps})
