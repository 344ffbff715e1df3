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

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.nets.masked_conv import MaskedConv2d, MaskedPointwise

#: Width of the Row LSTM's kernels, input to state and state to state.
ROW_KERNEL = 3


class Memory(NamedTuple):
    """Hidden states h and cells c of all pixels, (B, C, H, W); of both directions (2, B, C, H, W).

    Nothing is shifted here: the state of a pixel is that of its own place.
    """

    h: Tensor
    c: Tensor


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
        to_right, to_left = memory.h.unbind(0)
        y: Tensor = x + self.up(to_right + F.pad(to_left, (0, 0, 1, 0))[:, :, :-1])
        return y

    def states(self, x: Tensor, u: Tensor, bias: Tensor | None = None) -> Memory:
        """Run over the diagonals of both directions at once."""
        width = x.shape[-1]
        gates = self.input_to_state(x)
        gates = gates if bias is None else gates + bias
        forth, back = gates.chunk(2, 1)
        back = back if self.own is None else back + self.own(u)
        both = skew(torch.stack([forth, back.flip(-1)]))  # (2, B, 4C, H, T)
        found = self._run(both.permute(4, 0, 3, 1, 2), width)
        parts = []
        for part in found:  # T of (2, H, B, C)
            straight = unskew(torch.stack(part).permute(1, 3, 4, 2, 0), width)
            parts.append(torch.stack([straight[0], straight[1].flip(-1)]))
        return Memory(*parts)

    def _run(self, gates: Tensor, width: int) -> tuple[list[Tensor], list[Tensor]]:
        """Gates (T, 2, H, B, 4C) → hidden states and cells of each diagonal, (2, H, B, C)."""
        height, n, n_gates = gates.shape[2:]
        size = n_gates // 4
        h = gates.new_zeros(2, height, n, size)
        c = gates.new_zeros(2, height, n, size)
        hidden, cells = [], []
        for t, now in enumerate(gates.contiguous().unbind(0)):
            low, high = max(0, t - width + 1), min(t, height - 1) + 1
            beside, upper = h[:, low:high], _down(h)[:, low:high]
            seen = torch.cat([beside, upper], -1).flatten(1, 2)
            total = torch.baddbmm(now[:, low:high].flatten(1, 2), seen, self.state_to_state)
            new_h, new_c = lstm_cell(total.view(2, high - low, n, n_gates), c[:, low:high])
            around = (0, 0, 0, 0, low, height - high)
            h, c = F.pad(new_h, around), F.pad(new_c, around)
            hidden.append(h)
            cells.append(c)
        return hidden, cells


def above(h: Tensor) -> Tensor:
    """States (B, W, C) of a row → those of each pixel's three upper neighbours, (B, W, 3C)."""
    width = h.shape[1]
    padded = F.pad(h, (0, 0, 1, 1))
    return torch.cat([padded[:, j : j + width] for j in range(ROW_KERNEL)], -1)


def skew(x: Tensor) -> Tensor:
    """(…, H, W) → (…, H, W + H − 1): row r moves r places to the right, so diagonals stand up."""
    height, width = x.shape[-2:]
    flat = F.pad(x, (0, height)).flatten(-2)
    used = flat[..., : height * (width + height - 1)]
    return used.reshape(*x.shape[:-1], width + height - 1)


def unskew(x: Tensor, width: int) -> Tensor:
    """(…, H, W + H − 1) → (…, H, W), the inverse of :func:`skew`."""
    height = x.shape[-2]
    flat = F.pad(x.flatten(-2), (0, height))
    return flat.reshape(*x.shape[:-1], width + height)[..., :width]


def _down(h: Tensor) -> Tensor:
    """(2, H, B, C) with every row moved down by one, zeros in the first."""
    return F.pad(h, (0, 0, 0, 0, 1, 0))[:, :-1]
