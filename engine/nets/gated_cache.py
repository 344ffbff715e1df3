"""The Gated PixelCNN one pixel at a time: all rows above once per row, one column per pixel.

When a row begins, the vertical stack is run for that one row in all columns; its share of every
horizontal gate is kept. A pixel then costs a handful of small matrix products: one column of the
horizontal stack. A whole picture takes about the arithmetic of one pass through the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.nets.gated_pixels import GatedLayer, GatedStacks, gate
from engine.nets.pixel_model import PixelCache


@dataclass
class _LayerCache:
    """One layer's weights as matrices, and its maps.

    Attributes:
        layer: Whose vertical convolution is run.
        window: (taps·in, 2C), the horizontal kernel, column by column.
        offset: (N or 1, 2C), what is added to every horizontal gate.
        code: (N, 2C, 1, 1), added to every vertical gate, or None.
        out: (C, C), the way back to the horizontal maps.
        above: (N, in, H + reach, W + 2·reach), vertical maps that come in, with zeros around.
        left: (N, reach + W, in), horizontal maps of the row in hand that come in.
        base: (N, W, 2C), what the rows above send to the horizontal gates of this row.
    """

    layer: GatedLayer
    window: Tensor
    offset: Tensor
    code: Tensor | None
    out: Tensor
    above: Tensor
    left: Tensor
    base: Tensor


class GatedCache(PixelCache):
    """Samples from :class:`GatedStacks` at the cost of about one pass.

    Args:
        net: The network; its weights are read once, here.
        picture: (C, H, W).
        n: Pictures painted at once.
        labels: (n,), or None.
    """

    @torch.no_grad()
    def __init__(
        self,
        net: GatedStacks,
        picture: tuple[int, int, int],
        n: int,
        labels: Tensor | None = None,
    ) -> None:
        self.n_colours, self.height, self.width = picture
        like = net.head.weight
        self._layers = [_prepared(layer, picture, n, labels) for layer in _layers(net)]
        self._head, self._last = _matrix(net.head.masked()), _matrix(net.last.masked())
        self._head_bias, self._last_bias = net.head.offset(), net.last.offset()
        self._top = like.new_zeros(n, self.width, like.shape[1])
        self._gates = like.new_zeros(n, 2 * like.shape[1])
        self._gated = like.new_zeros(n, like.shape[1])
        self._columns = [self._views(k) for k in range(self.width)]
        self._row = 0

    def begin(self, u: Tensor, place: int) -> None:
        """Take inputs (N, C, H, W) as painted up to ``place``."""
        first = self._layers[0]
        reach = first.layer.reach
        first.above[:, :, reach:, reach : reach + self.width] = u
        self._row, rest = divmod(place // self.n_colours, self.width)
        if self._row >= self.height:
            return
        first.left[:, reach:] = u[:, :, self._row].transpose(1, 2)
        self._rows_above(0, self._row)
        for k in range(rest):
            self._column(k)

    def params(self, place: int) -> Tensor:
        """(N, P), the parameters of the value at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        row, k = divmod(pixel, self.width)
        if row != self._row:
            self._row = row
            self._rows_above(row, row)
        self._column(k)
        y = torch.addmm(self._head_bias, torch.relu(self._top[:, k]), self._head).relu_()
        y = torch.addmm(self._last_bias, y, self._last)
        n_params = y.shape[1] // self.n_colours
        return y[:, colour * n_params : (colour + 1) * n_params]

    def put(self, place: int, u: Tensor) -> None:
        """Take in the value (N,) at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        row, k = divmod(pixel, self.width)
        first = self._layers[0]
        reach = first.layer.reach
        first.above[:, colour, reach + row, reach + k] = u
        first.left[:, reach + k, colour] = u

    def _rows_above(self, first: int, last: int) -> None:
        """Run the vertical stack for rows first … last, whose inputs are complete."""
        for place, this in enumerate(self._layers):
            layer = this.layer
            a = layer.vertical(this.above[:, :, first : last + layer.rows])
            here = layer.link(a[:, :, -1:])[:, :, 0].transpose(1, 2)
            torch.add(here, this.offset[:, None], out=this.base)
            if place + 1 == len(self._layers):
                return
            follower = self._layers[place + 1]
            reach = follower.layer.reach
            rows = follower.above[
                :, :, reach + first : reach + last + 1, reach : reach + self.width
            ]
            rows.copy_(gate(a if this.code is None else a + this.code))

    def _column(self, k: int) -> None:
        """Run the horizontal stack for one column of the row in hand."""
        gates, gated = self._gates, self._gated
        value, door = gates.chunk(2, 1)
        for place, (base, window, before, after) in enumerate(self._columns[k]):
            this = self._layers[place]
            torch.addmm(base, window, this.window, out=gates)
            value.tanh_()
            torch.mul(value, door.sigmoid_(), out=gated)
            if place == 0:
                torch.mm(gated, this.out, out=after)
            else:
                torch.addmm(before, gated, this.out, out=after)

    def _views(self, k: int) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Per layer: base, window of the maps that come in, their column, and the next one's."""
        found = []
        tops = [this.left[:, this.layer.reach :] for this in self._layers[1:]] + [self._top]
        for this, top in zip(self._layers, tops, strict=True):
            reach = this.layer.reach
            window = this.left[:, k : k + reach + 1].flatten(1)
            found.append((this.base[:, k], window, this.left[:, reach + k], top[:, k]))
        return found


def _layers(net: GatedStacks) -> list[GatedLayer]:
    return [layer for layer in net.layers if isinstance(layer, GatedLayer)]


def _prepared(
    layer: GatedLayer, picture: tuple[int, int, int], n: int, labels: Tensor | None
) -> _LayerCache:
    _, height, width = picture
    kernel = layer.horizontal.masked()
    n_in, n_gates, reach = kernel.shape[1], kernel.shape[0], layer.reach
    code_v, code_h = layer.codes(labels)
    offset = layer.horizontal.offset()[None]
    return _LayerCache(
        layer=layer,
        window=kernel[:, :, 0].permute(2, 1, 0).reshape(-1, n_gates).contiguous(),
        offset=offset if code_h is None else offset + code_h,
        code=None if code_v is None else code_v[:, :, None, None],
        out=_matrix(layer.out.masked()),
        above=kernel.new_zeros(n, n_in, height + reach, width + 2 * reach),
        left=kernel.new_zeros(n, reach + width, n_in),
        base=kernel.new_zeros(n, width, n_gates),
    )


def _matrix(pointwise: Tensor) -> Tensor:
    """A 1 × 1 kernel (out, in, 1, 1) as (in, out)."""
    return pointwise[:, :, 0, 0].T.contiguous()
