r"""The recurrent layers of the PixelRNN: a Row LSTM, and a Diagonal LSTM in two directions.

Both take maps of whole pictures and give the hidden states of all pixels,

.. math::
    [o_i, f_i, i_i, g_i] = \sigma(K^{ss} * h_{i-1} + K^{is} * x_i), \quad
    c_i = f_i \odot c_{i-1} + i_i \odot g_i, \quad h_i = o_i \odot \tanh(c_i)

(tanh in place of σ for g). For the Row LSTM i is a row and K^{ss} has width 3: what a pixel sees
of the rows above is a triangle. For the Diagonal one i is a diagonal, and K^{ss} joins the left
and the upper neighbour: every pixel to the upper left is seen. The mirrored direction, moved down
by one row so that it knows nothing of the pixel's own row, adds every pixel to the upper right.

One thing is added to the paper: below the shift the mirrored direction of the first layer also
sees the pixel itself, which mask A has hidden from its input. Without that the last pixel of the
row above reaches no path at all, and "everything before" would be all but one.

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016,
    sections 3.1 and 3.2, figures 2-4.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.nets.diagonal_scan import DiagonalScan, diagonal_order
from engine.nets.masked_conv import MaskedConv2d, MaskedPointwise

#: Width of the Row LSTM's kernels, input to state and state to state.
ROW_KERNEL = 3


class Memory(NamedTuple):
    """Hidden states h of all pixels, (B, C, H, W), and of a Row LSTM the cells c.

    Of a Diagonal LSTM h is (2, B, C, H, W), both directions. Nothing is shifted here: the state of
    a pixel is that of its own place.
    """

    h: Tensor
    c: Tensor | None = None


def lstm_cell(gates: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
    """One step: gates (…, 4C) as o, f, i, g and cells (…, C), or None for zeros → h and c."""
    size = gates.shape[-1] // 4
    doors = torch.sigmoid(gates[..., : 3 * size])
    open_, forget, enter = doors.chunk(3, -1)
    new = enter * torch.tanh(gates[..., 3 * size :])
    c = new if c is None else torch.addcmul(new, forget, c)
    return open_ * torch.tanh(c), c


class RowLSTM(nn.Module):
    """A Row LSTM with its way past: (B, 2C, H, W) → the same shape.

    Args:
        wide: (2C,), colour groups of the maps on the way past.
        narrow: (C,), colour groups of the states.
        n_colours: Not used: a row's states know nothing of the row's own pixels.
    """

    def __init__(self, wide: Tensor, narrow: Tensor, n_colours: int = 0) -> None:
        super().__init__()
        size = len(narrow)
        self.n_gates = 4 * size
        self.input_to_state = MaskedConv2d(
            wide, narrow.repeat(4), ROW_KERNEL, "B", rows_above=False
        )
        reference = nn.Conv1d(size, 4 * size, ROW_KERNEL, bias=False)
        # (kernel·C, 4C): the left neighbour above, the one straight above, the right one.
        weight = reference.weight.detach().permute(2, 1, 0).reshape(-1, 4 * size)
        self.state_to_state = nn.Parameter(weight.contiguous())
        self.up = MaskedPointwise(narrow, wide)

    def forward(self, x: Tensor, u: Tensor, bias: Tensor | None = None) -> Tensor:
        """Maps (B, 2C, H, W), pictures, and what to add to all gates, (B, 4C, H, W)."""
        return self.after(x, self.states(x, u, bias))

    def after(self, x: Tensor, memory: Memory) -> Tensor:
        """The way past joined with the states."""
        y: Tensor = x + self.up(memory.h)
        return y

    def states(self, x: Tensor, u: Tensor, bias: Tensor | None = None) -> Memory:
        """Run over the rows, from the first to the last."""
        gates = self.input_to_state(x)
        gates = gates if bias is None else gates + bias
        hidden, cells = [], []
        h: Tensor | None = None
        c: Tensor | None = None
        for row in gates.permute(2, 0, 3, 1).unbind(0):  # (B, W, 4C) each
            if h is not None:
                row = row + above(h) @ self.state_to_state
            h, c = lstm_cell(row, c)
            hidden.append(h)
            cells.append(c)
        return Memory(*(torch.stack(part).permute(1, 3, 0, 2) for part in (hidden, cells)))


class DiagonalBiLSTM(nn.Module):
    """A Diagonal BiLSTM with its way past: (B, 2C, H, W) → the same shape.

    Args:
        wide: (2C,), colour groups of the maps on the way past.
        narrow: (C,), colour groups of the states.
        n_colours: Colours of the pictures that the mirrored direction sees itself; 0 for none.
    """

    def __init__(self, wide: Tensor, narrow: Tensor, n_colours: int = 0) -> None:
        super().__init__()
        size = len(narrow)
        self.n_gates = 8 * size
        self.input_to_state = MaskedPointwise(wide, narrow.repeat(8))
        reference = nn.Conv1d(size, 8 * size, 2, bias=False)
        # (2, 2·C, 4C): per direction the neighbour in the row, then the one above.
        weight = reference.weight.detach().view(2, 4 * size, size, 2).permute(0, 3, 2, 1)
        self.state_to_state = nn.Parameter(weight.reshape(2, 2 * size, 4 * size).contiguous())
        self.up = MaskedPointwise(narrow, wide)
        self.own = nn.Conv2d(n_colours, 4 * size, 1, bias=False) if n_colours else None

    def forward(self, x: Tensor, u: Tensor, bias: Tensor | None = None) -> Tensor:
        """Maps (B, 2C, H, W), pictures, and what to add to all gates, (B, 8C, H, W)."""
        return self.after(x, self.states(x, u, bias))

    def after(self, x: Tensor, memory: Memory) -> Tensor:
        """The way past joined with both directions, the second one moved down a row."""
        to_right, to_left = memory.h.permute(0, 3, 4, 1, 2).unbind(0)  # (H, W, B, C)
        both = to_right + F.pad(to_left, (0, 0, 0, 0, 0, 0, 1, 0))[:-1]
        y = F.linear(both, self.up.masked()[:, :, 0, 0], self.up.bias)
        return x + y.permute(2, 3, 0, 1)

    def states(self, x: Tensor, u: Tensor, bias: Tensor | None = None) -> Memory:
        """Run over the diagonals of both directions at once."""
        height, width = x.shape[-2:]
        forth, back = (order.to(x.device) for order in _both_orders(height, width))
        kernel = self.input_to_state.masked().view(2, self.n_gates // 2, -1)
        offset = self.input_to_state.offset().view(2, 1, -1)
        seen = _laid_out(x, forth, back)
        gates = torch.baddbmm(offset, seen.flatten(1, 2), kernel.transpose(1, 2))
        gates = gates.view(*seen.shape[:-1], -1)
        if bias is not None:
            ahead, behind = bias.chunk(2, 1)
            gates = gates + torch.stack([_along(ahead, forth), _along(behind, back)])
        if self.own is not None:
            mirrored = _along(u, back) @ self.own.weight[:, :, 0, 0].T
            gates = torch.stack([gates[0], gates[1] + mirrored])
        h = DiagonalScan.apply(gates, self.state_to_state, height, width)  # type: ignore[no-untyped-call]
        straight = [h[i].index_select(0, o.argsort()) for i, o in enumerate((forth, back))]
        maps = torch.stack(straight).view(2, height, width, len(x), -1)
        return Memory(maps.permute(0, 3, 4, 1, 2))


def _laid_out(x: Tensor, *orders: Tensor) -> Tensor:
    """Maps (B, C, H, W) → (len(orders), H·W, B, C), pixels in each of the orders."""
    return torch.stack([_along(x, order) for order in orders])


def _along(x: Tensor, order: Tensor) -> Tensor:
    """Maps (B, C, H, W) → (H·W, B, C), pixels in the order."""
    return x.permute(2, 3, 0, 1).flatten(0, 1).index_select(0, order)


@lru_cache(maxsize=64)
def _both_orders(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The diagonal order from the upper left, and from the upper right."""
    order = diagonal_order(height, width)
    rows, columns = order // width, order % width
    return order, rows * width + (width - 1 - columns)


def above(h: Tensor) -> Tensor:
    """States (B, W, C) of a row → those of each pixel's three upper neighbours, (B, W, 3C)."""
    width = h.shape[1]
    padded = F.pad(h, (0, 0, 1, 1))
    return torch.cat([padded[:, j : j + width] for j in range(ROW_KERNEL)], -1)
