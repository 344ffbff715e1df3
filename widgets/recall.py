"""What the user did to a part of a panel, for undo: beside what ``Panel.save_state`` tells.

A zoom, the strokes of a mask, the picture that was chosen are no choices to start the program with
again, but each can be taken back. A widget that has such a thing is a :class:`Recalled`; the
window finds it by that, and compares before and after whatever the user's hand did.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtWidgets import QWidget


class Recalled:
    """A widget some of whose state the user sets by hand; mixed into a ``QWidget``."""

    def kept(self) -> Any:
        """The state now, which nothing changes afterwards."""
        raise NotImplementedError

    def keep(self, value: Any) -> None:
        """Take back what :meth:`kept` gave; what fits no longer is ignored."""
        raise NotImplementedError

    def is_same(self, before: Any, after: Any) -> bool:
        """Whether the user changed nothing between the two."""
        return same(before, after)

    def what_changed(self, before: Any, after: Any) -> str:
        """What the user did, in a word or two: ``"zoom"``."""
        raise NotImplementedError


def parts_of(widget: QWidget) -> list[Recalled]:
    """All such widgets within a widget, in an order that is the same for all of its class."""
    return [
        part
        for kind in sorted(Recalled.__subclasses__(), key=lambda kind: kind.__qualname__)
        if issubclass(kind, QWidget)
        for part in widget.findChildren(kind)
        if isinstance(part, Recalled)
    ]


def same(one: Any, other: Any) -> bool:
    """Equality that reaches into tuples and takes arrays as a whole."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is other or bool(np.array_equal(one, other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
