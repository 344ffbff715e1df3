"""What crosses the wire for a race of models."""

from __future__ import annotations

import msgspec

from engine.wire.fields import Value


class Matched(msgspec.Struct, frozen=True):
    """A model's settings with a wanted number of trained values.

    Attributes:
        model: Name of the model.
        config: Settings that differ from their defaults.
        n_parameters: How many trained values there are with them.
        difference: (n_parameters − wanted) / wanted.
        refusal: Why the model cannot take part, or "".
    """

    model: str
    config: dict[str, Value] = {}
    n_parameters: int = 0
    difference: float = 0.0
    refusal: str = ""
