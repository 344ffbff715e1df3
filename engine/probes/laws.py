"""Whether a model keeps the laws of its capabilities."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine.laws import check_model
from engine.probe import Result, View, probe
from engine.wire.fields import Value


class Arguments(msgspec.Struct, frozen=True):
    """The seed of the points at which the laws are tried."""

    seed: int = 0


@probe(summary="Whether the model keeps the laws of its capabilities.", arguments=Arguments)
def laws(view: View, arguments: Arguments) -> Iterator[Result]:
    """Per law its name, capability, whether it holds, whether it could be tested, and a sentence.

    ``passed`` is 0 only where a law is broken; one that could not be tested counts as passed and
    says why in its message.
    """
    found = check_model(view.model, view.generator(arguments.seed))
    values: dict[str, Value] = {
        "names": [result.law for result in found],
        "capabilities": [result.capability.value for result in found],
        "passed": [int(result.passed) for result in found],
        "tested": [int(result.tested) for result in found],
        "messages": [result.message for result in found],
    }
    yield Result({}, values)
