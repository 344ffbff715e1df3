"""What one observation is: its shape, the meaning of its axes and the values it can take."""

from __future__ import annotations

import math

import msgspec


class Event(msgspec.Struct, frozen=True):
    """The space in which a data set lives and a model puts probability.

    Attributes:
        shape: The event's shape; ``None`` stands for time of any length. Pictures are always
            (C, H, W), with C = 1 for black and white or grey and 3 for red, green, blue.
        axes: One name per axis, such as ``("x", "y")`` for points (one name per *coordinate* when
            the event is a vector) or ``("channel", "row", "column")`` for pictures.
        support: ``"real"``, ``"binary"`` (0, 1) or ``"integer"`` (0 … levels − 1).
        levels: The number of levels; 2 when the support is ``"binary"``, None when it is real.
        alphabet: The symbols when the integers stand for characters.
        rate: Samples per second when time is sound.
    """

    shape: tuple[int | None, ...]
    axes: tuple[str, ...] = ()
    support: str = "real"
    levels: int | None = None
    alphabet: str | None = None
    rate: float | None = None

    @property
    def size(self) -> int:
        """The number of values D in one event; raises ``ValueError`` when time has no length."""
        if any(side is None for side in self.shape):
            raise ValueError(f"an event of shape {self.shape} has no fixed size")
        return math.prod(side for side in self.shape if side is not None)

    @property
    def kind(self) -> str:
        """``"points"`` (vectors), ``"picture"`` (channel, row, column) or ``"sequence"``."""
        if any(side is None for side in self.shape):
            return "sequence"
        return "picture" if len(self.shape) == 3 else "points"
