"""The model's samples, projected onto the drawn plane."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch

from engine.estimators.density import CancellationError
from engine.estimators.draws import draw_events
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe


class Arguments(msgspec.Struct, frozen=True):
    """How many samples; ``chain_steps`` counts only where the model has no exact sampler."""

    n: int = 1000
    seed: int = 0
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)
    chain_steps: int = 200


@probe(summary="Samples of the model on the drawn plane.", arguments=Arguments)
def samples(view: View, arguments: Arguments) -> Iterator[Result]:
    """Points (N, dims); the same seed gives the same noise at every step.

    Raises:
        ValueError: The model has neither a sampler nor a chain.
    """
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    with suppress(CancellationError):
        drawn = draw_events(
            view.model,
            arguments.n,
            generator=view.generator(arguments.seed),
            chain_steps=arguments.chain_steps,
            cancelled=view.cancelled,
        )
        points = plane.project(drawn.events).to(torch.float32)
        yield Result({"points": points}, {"kind": drawn.kind, "label": drawn.label})
