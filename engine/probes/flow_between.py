"""From one picture to the next through a flow's base: straight, or on a sphere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.drawing import draw
from engine.estimators.density import CancellationError
from engine.estimators.flow_pictures import as_data, from_base, picture_flow_of, to_base
from engine.estimators.latent_paths import through
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Most keyframes, and most frames from one to the next.
MOST_KEYS, MOST_FRAMES = 8, 64
#: Draws of the base whose mean length is told.
N_DRAWS = 256


class Arguments(msgspec.Struct, frozen=True):
    """Pictures ``events`` (K, D) in order, flat; ``frames`` from one to the next."""

    events: np.ndarray
    kind: Literal["linear", "spherical"] = "linear"
    frames: int = 12


@probe(
    summary="A path between pictures in the base of a flow, taken back to pictures.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_between(view: View, arguments: Arguments) -> Iterator[Result]:
    """``frames`` (T + 1, *E), ``norms`` (T + 1,) |z| of each, ``keys_at`` (K,) frame numbers.

    Values: ``round_trip``, the largest difference between a given picture and what its base point
    becomes again, in the data's units before levels are rounded; ``usual_norm``, the mean length
    of draws of the base (near √D for a standard normal one).

    Raises:
        ValueError: A number is out of range, or the events are no pictures.
    """
    flow = picture_flow_of(view.model, view.dataset.event)
    events = flat_pictures(view, arguments.events)
    if not 2 <= len(events) <= MOST_KEYS:
        raise ValueError(f"events: given {len(events)} pictures, wanted 2 to {MOST_KEYS}")
    if not 1 <= arguments.frames <= MOST_FRAMES:
        raise ValueError(f"frames: given {arguments.frames}, wanted 1 to {MOST_FRAMES}")
    draws = draw(flow.base(), view.generator(), (N_DRAWS,))
    with suppress(CancellationError):
        keys = to_base(flow, events.to(view.model.location), view.cancelled)
        base = through(keys, arguments.kind, arguments.frames)
        places = from_base(flow, base, view.cancelled)
        back = places[:: arguments.frames].cpu().double()
        arrays = {
            "frames": as_data(view.model, places),
            "norms": torch.linalg.vector_norm(base, dim=1),
            "keys_at": torch.arange(0, len(base), arguments.frames, dtype=torch.int32),
        }
        values: dict[str, Value] = {
            "kind": arguments.kind,
            "round_trip": float((back - events.flatten(1)).abs().max()),
            "usual_norm": float(torch.linalg.vector_norm(draws, dim=1).mean()),
        }
        yield Result(arrays, values)


def flat_pictures(view: View, given: np.ndarray) -> Tensor:
    """Pictures (K, D) or one (D,) as they cross the wire, as float64 (K, *E).

    Raises:
        ValueError: They are of another size, or not finite.
    """
    size = view.model.event_size
    events = torch.from_numpy(np.array(given, dtype=np.float64))
    if events.ndim == 1:
        events = events[None]
    if events.ndim != 2 or events.shape[1] != size:
        raise ValueError(f"events: given shape {tuple(events.shape)}, wanted (K, {size})")
    if not bool(events.isfinite().all()):
        raise ValueError("events: given NaN or infinity, wanted finite numbers")
    return events.reshape(-1, *view.model.event_shape)
