"""Events of the model in data units, for files and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from engine.estimators.density import CancellationError
from engine.estimators.draws import draw_events
from engine.probe import Result, View, probe


class Arguments(msgspec.Struct, frozen=True):
    """How many events; ``chain_steps`` counts only where the model has no exact sampler."""

    n: int
    seed: int = 0
    chain_steps: int = 200


@probe(summary="Events drawn from the model.", arguments=Arguments)
def draw(view: View, arguments: Arguments) -> Iterator[Result]:
    """Samples (N, *E) in data units, exact or from the model's own chain.

    Raises:
        ValueError: The model has neither a sampler nor a chain.
    """
    with suppress(CancellationError):
        drawn = draw_events(
            view.model,
            arguments.n,
            generator=view.generator(arguments.seed),
            chain_steps=arguments.chain_steps,
            cancelled=view.cancelled,
        )
        yield Result({"samples": drawn.events}, {"kind": drawn.kind, "label": drawn.label})
