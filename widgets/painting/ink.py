"""The painted density on a grid of pixels, kept up to date dab by dab."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.painting import Dabs
from widgets.plots.layers import Box

Floats: TypeAlias = npt.NDArray[Any]

#: A dab reaches so many σ on the screen; dabs taken together.
REACH, BLOCK = 4.5, 1024


class Ink:
    """Σ w_k N(x; m_k, σ_k² I) at the middles of pixels, (H, W), not divided by Σ w.

    Only what changed is added and taken away: as a product of two thin matrices over the pixels
    that it reaches.
    """

    def __init__(self, box: Box, shape: tuple[int, int]) -> None:
        self.box = box
        (x0, y0), (x1, y1) = box.low, box.high
        height, width = shape
        self._x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width
        self._y = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height
        self._sum: Floats = np.zeros(shape)
        self._total = 0.0

    @property
    def density(self) -> Floats:
        """p(x) per unit² at every pixel, (H, W), rows from low to high y; 0 for no ink."""
        if self._total <= 0.0:
            return np.zeros(self._sum.shape, np.float32)
        return (np.maximum(self._sum, 0.0) / self._total).astype(np.float32)

    @property
    def axes(self) -> tuple[Floats, Floats]:
        """x of the columns and y of the rows."""
        return self._x, self._y

    def add(self, dabs: Dabs, sign: float = 1.0) -> None:
        """Put dabs (n, 4) down, or take them away with ``sign`` −1."""
        for start in range(0, len(dabs), BLOCK):
            self._add_block(dabs[start : start + BLOCK].astype(np.float64), sign)

    def _add_block(self, dabs: Floats, sign: float) -> None:
        reach = REACH * dabs[:, 2]
        columns = _range(self._x, dabs[:, 0], reach)
        rows = _range(self._y, dabs[:, 1], reach)
        across = _bells(self._x[columns], dabs[:, 0], dabs[:, 2])
        heights = sign * dabs[:, 3] / (2.0 * np.pi * dabs[:, 2] ** 2)
        up = _bells(self._y[rows], dabs[:, 1], dabs[:, 2]) * heights
        self._sum[rows, columns] += up @ across.T
        self._total += sign * float(dabs[:, 3].sum())


def _range(nodes: Floats, centres: Floats, reach: Floats) -> slice:
    low, high = float((centres - reach).min()), float((centres + reach).max())
    return slice(int(np.searchsorted(nodes, low)), int(np.searchsorted(nodes, high)))


def _bells(nodes: Floats, centres: Floats, sigma: Floats) -> Floats:
    bells: Floats = np.exp(-0.5 * ((nodes[:, None] - centres) / sigma) ** 2)
    return bells
