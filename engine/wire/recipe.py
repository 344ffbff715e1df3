"""How a run came to be where it is: enough to go the same way again, in another program."""

from __future__ import annotations

import msgspec

from engine.wire.fields import Value
from engine.wire.messages import RunSpec


class RecipeChange(msgspec.Struct, frozen=True):
    """What the user changed once ``step`` training steps were taken.

    Attributes:
        step: In force from the step after this one on.
        values: Live settings; empty for a change of data.
        dataset, dataset_config: The new data, or "".
    """

    step: int
    values: dict[str, Value] = {}
    dataset: str = ""
    dataset_config: dict[str, Value] = {}


class Recipe(msgspec.Struct, frozen=True):
    """A run's beginning and what happened since.

    Attributes:
        spec: As it was at the beginning, with every live setting written out.
        start: The step at which it begins: 0, or the step of the file at ``path``.
        path: The file that it was opened from, or "".
        changes: In order.
        device: Where it trains.
        threads: Threads of one training step.
        torch_version: The version that it trains with.
    """

    spec: RunSpec
    start: int = 0
    path: str = ""
    changes: tuple[RecipeChange, ...] = ()
    device: str = "cpu"
    threads: int = 1
    torch_version: str = ""
