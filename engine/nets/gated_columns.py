"""One column of the horizontal stack at a time, as few small matrix products as can be.

For many pictures torch does it. For one, the price of a call is all there is to save, and numpy's
calls on the same memory cost a fraction.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
#: A 1 × 1 convolution: matrix (in, out) and offset (out,).
Pointwise = tuple[Tensor, Tensor]


class Row(NamedTuple):
    """One layer's row in hand.

    Attributes:
        base: (N, W, 2C), what the rows above send to the gates.
        before: (N, reach + W, in), the maps that come in.
        after: (N, W, C), the maps that go out.
        window: ((reach + 1)·in, 2C), the kernel.
        out: (C, C), the way back to the maps.
    """

    base: Tensor
    before: Tensor
    after: Tensor
    window: Tensor
    out: Tensor

    @property
    def reach(self) -> int:
        """Columns to the left that the kernel sees."""
        return self.before.shape[1] - self.base.shape[1]


class Columns(Protocol):
    """What runs the columns of a row."""

    def start_row(self) -> None:
        """The rows' ``base`` has been written anew."""

    def run(self, k: int) -> None:
        """Compute column k of every layer; those to its left are there."""

    def head(self, k: int) -> Tensor:
        """(N, colours·P), the parameters at column k."""


class TorchColumns:
    """Columns by torch; arguments are the layers' rows, the last one's result, and the head."""

    def __init__(self, rows: list[Row], top: Tensor, head: Pointwise, last: Pointwise) -> None:
        self._rows, self._top, self._head, self._last = rows, top, head, last
        n, _, n_gates = rows[0].base.shape
        self._gates = top.new_zeros(n, n_gates)
        self._gated = top.new_zeros(n, n_gates // 2)
        self._views = [self._views_at(k) for k in range(top.shape[1])]

    def _views_at(self, k: int) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        return [
            (
                row.base[:, k],
                row.before[:, k : k + row.reach + 1].flatten(1),
                row.before[:, k + row.reach],
                row.after[:, k],
            )
            for row in self._rows
        ]

    def start_row(self) -> None:
        """Nothing to do: the views show what was written."""

    def run(self, k: int) -> None:
        """Compute column k of every layer."""
        gates, gated = self._gates, self._gated
        value, door = gates.chunk(2, 1)
        for place, (base, window, before, after) in enumerate(self._views[k]):
            row = self._rows[place]
            torch.addmm(base, window, row.window, out=gates)
            torch.mul(value.tanh_(), door.sigmoid_(), out=gated)
            if place == 0:
                torch.mm(gated, row.out, out=after)
            else:
                torch.addmm(before, gated, row.out, out=after)

    def head(self, k: int) -> Tensor:
        """(N, colours·P), the parameters at column k."""
        y = torch.addmm(self._head[1], torch.relu(self._top[:, k]), self._head[0]).relu_()
        return torch.addmm(self._last[1], y, self._last[0])


class NumpyColumns:
    """Columns by numpy, on the memory of the same tensors; arguments as for torch.

    σ(b) is taken as (1 + tanh(b/2))/2, the halves folded into the weights: one call for all gates.
    """

    def __init__(self, rows: list[Row], top: Tensor, head: Pointwise, last: Pointwise) -> None:
        self._rows = rows
        n, width, n_gates = rows[0].base.shape
        size = n_gates // 2
        self._halves = top.new_ones(n_gates)
        self._halves[size:] = 0.5
        self._base = [np.zeros_like(_array(row.base)) for row in rows]
        self._windows = [_array(row.window * self._halves) for row in rows]
        self._outs = [_array(0.5 * row.out) for row in rows]
        self._gates, self._gated = (_array(top.new_zeros(n, c)) for c in (n_gates, size))
        self._value, self._door = self._gates[:, :size], self._gates[:, size:]
        self._step = np.zeros_like(self._gated)
        self._top = _array(top)
        self._head, self._last = ([_array(part) for part in pair] for pair in (head, last))
        self._views = [self._views_at(k) for k in range(width)]

    def _views_at(self, k: int) -> list[tuple[Array, Array, Array, Array, Array, Array]]:
        return [
            (
                self._base[place][:, k],
                _array(row.before[:, k : k + row.reach + 1].flatten(1)),
                _array(row.before[:, k + row.reach]),
                _array(row.after[:, k]),
                self._windows[place],
                self._outs[place],
            )
            for place, row in enumerate(self._rows)
        ]

    def start_row(self) -> None:
        """Read what the rows above send, halved where it goes to a door."""
        for base, row in zip(self._base, self._rows, strict=True):
            np.multiply(_array(row.base), _array(self._halves), out=base)

    def run(self, k: int) -> None:
        """Compute column k of every layer."""
        gates, value, door = self._gates, self._value, self._door
        gated, step, first = self._gated, self._step, True
        for base, window, before, after, weight, out in self._views[k]:
            np.dot(window, weight, out=gates)
            np.add(gates, base, out=gates)
            np.tanh(gates, out=gates)
            np.add(door, 1.0, out=door)
            np.multiply(value, door, out=gated)
            np.dot(gated, out, out=step)
            if first:
                after[:] = step
                first = False
            else:
                np.add(before, step, out=after)

    def head(self, k: int) -> Tensor:
        """(N, colours·P), the parameters at column k."""
        (weight, offset), (weight_last, offset_last) = self._head, self._last
        y = np.maximum(self._top[:, k], 0.0) @ weight + offset
        return torch.from_numpy(np.maximum(y, 0.0) @ weight_last + offset_last)


def _array(x: Tensor) -> Array:
    """The memory of a tensor on the CPU as an array."""
    found: Array = x.detach().numpy()
    return found
