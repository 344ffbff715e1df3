r"""The recurrence of the Diagonal LSTM, diagonal by diagonal, with its gradient written out.

Skewing moves row r of a picture r places to the right, so that its diagonals become columns. Here
pixels are laid out in the order of those columns from the start: each diagonal is one block of
memory, nothing is padded, and a step is one matrix product for both directions. With
s_d = [h beside, h above] of diagonal d − 1,

.. math::
    a_d = z_d + s_d W, \quad c_d = \sigma(a^f) \odot c_{d-1} + \sigma(a^i) \odot \tanh(a^g), \quad
    h_d = \sigma(a^o) \odot \tanh(c_d)

and c of diagonal d − 1 is that of the pixel beside. The derivative runs over the diagonals
backwards; that of W is one product over all of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Diagonal(NamedTuple):
    """Where one diagonal and its neighbours on the one before lie in the order.

    Attributes:
        here: All its pixels.
        beside: Those that have a neighbour in their row, and ``from_beside`` those neighbours.
        upper: Those that have a neighbour above, and ``from_upper`` those neighbours.
    """

    here: slice
    beside: slice
    from_beside: slice
    upper: slice
    from_upper: slice


def diagonal_order(height: int, width: int) -> Tensor:
    """(H·W,), flat indices r·W + k in the order of r + k, then of r."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return torch.argsort(((rows + columns) * height + rows).flatten())


@lru_cache(maxsize=64)
def diagonals(height: int, width: int) -> tuple[Diagonal, ...]:
    """The H + W − 1 diagonals of a picture."""
    found, start, before, low_before, high_before = [], 0, 0, 0, 0
    for t in range(height + width - 1):
        low, high = max(0, t - width + 1), min(t, height - 1) + 1
        last, first = max(low, min(high, high_before)), min(max(low, 1), high)
        if t == 0:
            last, first = low, high
        shift = before - low_before
        found.append(
            Diagonal(
                here=slice(start, start + high - low),
                beside=slice(start, start + last - low),
                from_beside=slice(shift + low, shift + last),
                upper=slice(start + first - low, start + high - low),
                from_upper=slice(shift + first - 1, shift + high - 1),
            )
        )
        start, before, low_before, high_before = start + high - low, start, low, high
    return tuple(found)


class DiagonalScan(torch.autograd.Function):
    """z (2, H·W, B, 4C) in diagonal order and W (2, 2C, 4C) → h (2, H·W, B, C).

    Gates lie as o, f, i, g; the first axis holds two directions that know nothing of each other.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
        """Run over the diagonals."""
        n_gates = z.shape[-1]
        size = n_gates // 4
        # tanh(a) = 2σ(2a) − 1: with the last gates doubled one call of σ does for all.
        double = z.new_ones(n_gates)
        double[3 * size :] = 2.0
        doors = z * double
        kernel = weight * double
        seen = z.new_zeros(*z.shape[:-1], 2 * size)
        h, c = z.new_empty(*z.shape[:-1], size), z.new_empty(*z.shape[:-1], size)
        curved = torch.empty_like(c)
        for d in diagonals(height, width):
            seen[:, d.beside, :, :size] = h[:, d.from_beside]
            seen[:, d.upper, :, size:] = h[:, d.from_upper]
            a = doors[:, d.here]
            flat = a.view(2, -1, n_gates)
            flat.baddbmm_(seen[:, d.here].view(2, -1, 2 * size), kernel).sigmoid_()
            a[..., 3 * size :].mul_(2.0).sub_(1.0)
            open_, forget, enter, new = a.chunk(4, -1)
            now = torch.mul(enter, new, out=c[:, d.here])
            n = d.beside.stop - d.beside.start
            now[:, :n].addcmul_(forget[:, :n], c[:, d.from_beside])
            torch.mul(open_, torch.tanh(now, out=curved[:, d.here]), out=h[:, d.here])
        ctx.save_for_backward(weight, doors, seen, c, curved)
        ctx.sides = height, width
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Run over the diagonals backwards."""
        weight, doors, seen, c, curved = ctx.saved_tensors
        size = c.shape[-1]
        by_h, by_c, by_z = grad.clone(), torch.zeros_like(c), torch.empty_like(doors)
        back = weight.transpose(1, 2)
        for d in reversed(diagonals(*ctx.sides)):
            open_, forget, enter, new = doors[:, d.here].chunk(4, -1)
            of_open, of_forget, of_enter, of_new = by_z[:, d.here].chunk(4, -1)
            dh, bent = by_h[:, d.here], curved[:, d.here]
            dc = by_c[:, d.here].add_(dh * open_ * (1.0 - bent * bent))
            n = d.beside.stop - d.beside.start
            torch.mul(dh * bent, open_ * (1.0 - open_), out=of_open)
            torch.mul(dc * new, enter * (1.0 - enter), out=of_enter)
            torch.mul(dc * enter, 1.0 - new * new, out=of_new)
            kept = dc[:, :n] * forget[:, :n]
            of_forget[:, n:] = 0.0
            torch.mul(kept * c[:, d.from_beside], 1.0 - forget[:, :n], out=of_forget[:, :n])
            by_c[:, d.from_beside] = kept
            by_seen = torch.bmm(by_z[:, d.here].reshape(2, -1, 4 * size), back)
            by_seen = by_seen.view(*dh.shape[:-1], 2 * size)
            by_h[:, d.from_beside] += by_seen[:, :n, :, :size]
            by_h[:, d.from_upper] += by_seen[:, len(dh[0]) - _length(d.upper) :, :, size:]
        by_weight = torch.bmm(seen.flatten(1, 2).transpose(1, 2), by_z.flatten(1, 2))
        return by_z, by_weight, None, None


def _length(s: slice) -> int:
    return int(s.stop - s.start)
