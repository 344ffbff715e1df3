r"""Spline layers with their gradient by hand, see :mod:`engine.bijections.stack_nll`.

With the letters of :mod:`engine.bijections.spline`, u = ξ (1 − ξ), below = s + c u and
t = d₁ ξ² + 2 s u + d₀ (1 − ξ)², a target's curve and log-slope are

.. math::
    y = y_0 + h\,\frac{s \xi^2 + d_0 u}{\mathrm{below}}, \qquad
    \lambda = 2 \log s - 2 \log \mathrm{below} + \log t

and every derivative that the backward pass takes is one of a numerator, of ``below`` or of t.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.bijections.conditioner import Matrices
from engine.bijections.network_pass import Columns, NetworkPass
from engine.bijections.spline import LEAST_SHARE, LEAST_SLOPE, UNIT_SLOPE
from engine.bijections.stack_nll import LayerPass, StackNLL
from engine.bijections.wiring import Wiring


class SplineNLL(StackNLL):
    """The NLL of a stack of spline layers.

    Args:
        wirings: The layers, data → base.
        theta: Their weights (P,), read anew at every call.
        mask: (P,) of zeros and ones, multiplied into θ; ``None`` means all ones.
        shape: (B, D).
        bound: Beyond ± this a value passes unchanged.
    """

    def __init__(
        self,
        wirings: Sequence[Wiring],
        theta: Tensor,
        mask: Tensor | None,
        shape: tuple[int, int],
        bound: float,
    ) -> None:
        self._bound = bound
        super().__init__(wirings, theta, mask, shape)

    def make_pass(
        self, wiring: Wiring, matrices: Matrices, gradients: Matrices, log_slope: Tensor
    ) -> LayerPass:
        """One spline layer."""
        net = NetworkPass(wiring, matrices, gradients, self.columns)
        return _SplinePass(net, log_slope, self._bound, self.columns)


class _SplinePass:
    """One spline layer forward and backward, in place on the shared columns."""

    def __init__(
        self, net: NetworkPass, log_slope: Tensor, bound: float, columns: Columns
    ) -> None:
        self._net, self._log_slope, self._bound = net, log_slope, bound
        n, batch_size = log_slope.shape
        n_bins = (len(net.raw) // n + 1) // 3
        cut = 2 * n_bins * n
        self._raw_shares = net.raw[:cut].view(2, n_bins, n, batch_size)
        self._share_slope = net.raw_slope[:cut].view(2, n_bins, n, batch_size)
        # The outer slopes are 1: rows of raw numbers that stay 0.
        self._padded = columns.z.new_zeros(n_bins + 1, n, batch_size)
        self._raw_slopes = net.raw[cut:].view(n_bins - 1, n, batch_size)
        self._slope_slope = net.raw_slope[cut:].view(n_bins - 1, n, batch_size)
        self._size_slope = columns.z.new_empty(2, n_bins, n, batch_size)
        self._padded_slope = torch.empty_like(self._padded)
        self._factor = 2.0 * bound * (1.0 - n_bins * LEAST_SHARE)
        self._offset = log_slope.new_tensor(2.0 * bound * LEAST_SHARE)
        self._per_event = -1.0 / batch_size

    def forward(self) -> None:
        """Move the targets; fills this layer's log-slopes."""
        self._net.forward()
        x = self._net.targets
        self._outside = x.abs() > self._bound
        self._shares = self._raw_shares.softmax(1)
        sizes = torch.add(self._offset, self._shares, alpha=self._factor)
        ends = sizes.cumsum(1).sub_(self._bound)
        inside = x.clamp(-self._bound, self._bound)
        self._below = inside >= ends[0, :-1]
        self._index = self._below.sum(0, keepdim=True)
        both = self._index.expand(2, 1, *x.shape)
        self._both = both
        size = sizes.gather(1, both)[:, 0]
        start = ends.gather(1, both)[:, 0].sub_(size)
        self._width, self._height = size.unbind()
        self._padded[1:-1].copy_(self._raw_slopes)
        self._pair = torch.cat([self._index, self._index + 1])
        self._raw_pair = self._padded.gather(0, self._pair).add_(UNIT_SLOPE)
        slopes = torch.nn.functional.softplus(self._raw_pair).add_(LEAST_SLOPE)
        self._first, self._last = slopes.unbind()
        self._curve(inside.sub_(start[0]).div_(self._width), start[1], x)

    def _curve(self, along: Tensor, bottom: Tensor, x: Tensor) -> None:
        rest = 1.0 - along
        u = along * rest
        steep = self._height / self._width
        bend = torch.add(self._first, self._last).sub_(steep, alpha=2.0)
        below = torch.addcmul(steep, bend, u)
        square, rest_square = along.square(), rest.square()
        ratio = torch.addcmul(steep * square, self._first, u).div_(below)
        t = torch.addcmul(self._last * square, self._first, rest_square)
        t.addcmul_(steep, u, value=2.0)
        torch.log(steep.square().mul_(t).div_(below.square()), out=self._log_slope)
        self._log_slope.masked_fill_(self._outside, 0.0)
        moved = torch.addcmul(bottom, self._height, ratio)
        x.copy_(torch.where(self._outside, x, moved))
        self._along, self._rest, self._u, self._steep = along, rest, u, steep
        self._bend, self._below_, self._ratio, self._t = bend, below, ratio, t
        self._square, self._rest_square = square, rest_square

    def backward(self, *, is_first: bool) -> None:
        """Turn ∂NLL/∂z from after the layer to before it; fills this layer's gradients."""
        dy = self._net.target_slope
        inner = dy.masked_fill(self._outside, 0.0)
        weight = self._outside.to(dy.dtype).sub_(1.0).mul_(-self._per_event)  # ∂NLL/∂λ
        above = inner * self._height / self._below_  # of the numerator
        below = torch.addcmul(above * self._ratio, weight, 1.0 / self._below_, value=2.0).neg_()
        t = weight / self._t
        d_along = self._d_along(above, below, t)
        d_steep = torch.addcmul(2.0 * weight / self._steep, above, self._square)
        d_steep.addcmul_(below, 1.0 - 2.0 * self._u).addcmul_(t, self._u, value=2.0)
        both = below * self._u
        d_first = torch.addcmul(both, above, self._u).addcmul_(t, self._rest_square)
        d_last = torch.addcmul(both, t, self._square)
        dx = d_along / self._width
        d_steep.div_(self._width)
        d_height = torch.addcmul(d_steep, inner, self._ratio)
        d_width = torch.addcmul(dx * self._along, d_steep, self._steep).neg_()
        self._to_sizes(torch.stack([-dx, inner]), torch.stack([d_width, d_height]))
        self._to_slopes(torch.stack([d_first, d_last]))
        self._net.backward(is_first=is_first)
        if not is_first:
            dy.copy_(torch.where(self._outside, dy, dx))
            self._net.add_to_inputs()

    def _d_along(self, above: Tensor, below: Tensor, t: Tensor) -> Tensor:
        """∂NLL/∂ξ from those of the numerator, of ``below`` and of t."""
        turn = self._rest - self._along
        steep_along = self._steep * self._along
        d_above = torch.addcmul(2.0 * steep_along, self._first, turn)
        d_t = torch.addcmul(self._last * self._along, self._steep, turn)
        d_t.addcmul_(self._first, self._rest, value=-1.0).mul_(2.0)
        return (above * d_above).addcmul_(below, self._bend * turn).addcmul_(t, d_t)

    def _to_sizes(self, d_start: Tensor, d_size: Tensor) -> None:
        """From the start and the size of the bin, (2, n, B) each, to the raw numbers of sizes."""
        slope = self._size_slope
        torch.mul(self._below, d_start.unsqueeze(1), out=slope[:, :-1])
        slope[:, -1] = 0.0
        slope.scatter_(1, self._both, d_size.unsqueeze(1))
        slope.mul_(self._factor)
        weighted = (slope * self._shares).sum(1, keepdim=True)
        torch.mul(slope.sub_(weighted), self._shares, out=self._share_slope)

    def _to_slopes(self, d_pair: Tensor) -> None:
        """From the slopes at the bin's ends, (2, n, B), to the raw numbers of slopes."""
        self._padded_slope.zero_()
        d_raw = d_pair.mul_(torch.sigmoid(self._raw_pair))
        self._padded_slope.scatter_(0, self._pair, d_raw)
        self._slope_slope.copy_(self._padded_slope[1:-1])
