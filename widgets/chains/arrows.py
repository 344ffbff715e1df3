"""Arrows as short lines, many in one paint call, with a shaft that is seen on any ground."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from widgets.flow.web import WebLayer

Floats: TypeAlias = npt.NDArray[Any]

#: The head's share of an arrow and half its opening.
HEAD, OPENING = 0.3, 0.45


def heads(tails: Floats, tips: Floats) -> Floats:
    """(G, 5, 2): from tail to tip, to both ends of the head and back to the tip."""
    ways = tips - tails
    across = np.stack([-ways[:, 1], ways[:, 0]], 1) * OPENING
    left, right = (tips - HEAD * (ways + sign * across) for sign in (1.0, -1.0))
    return np.stack([tails, tips, left, tips, right], 1)


class ArrowLayer:
    """Arrows over a darker or lighter rim of their own.

    Args:
        z: Height among the layers of a frame.
    """

    def __init__(self, z: float) -> None:
        self.under, self.over = WebLayer(z), WebLayer(z + 0.5)
        self.layers = self.under, self.over

    @property
    def count(self) -> int:
        """How many short lines there are."""
        return self.over.count

    def set_colour(self, colour: str, rim: str, width: float) -> None:
        """Width in pixels; the rim is a little wider."""
        self.under.set_colours(None, rim, 0.75, width + 2.2)
        self.over.set_colours(None, colour, 1.0, width)

    def set_arrows(self, tails: Floats, tips: Floats) -> None:
        """Show arrows (G, 2) → (G, 2); those that are no numbers are left out."""
        lines = heads(np.asarray(tails, np.float64), np.asarray(tips, np.float64))
        self.under.set_lines(lines)
        self.over.set_lines(lines)

    def clear(self) -> None:
        """Show none."""
        for layer in self.layers:
            layer.clear()
