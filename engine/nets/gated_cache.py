"""The Gated PixelCNN one pixel at a time: all rows above once per row, one column per pixel.

When a row begins, the vertical stack is run for that one row in all columns; its share of every
horizontal gate is kept. A pixel then costs a handful of small matrix products: one column of the
horizontal stack. A whole picture takes about the arithmetic of one pass through the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.nets.gated_columns import NumpyColumns, Row, TorchColumns
from engine.nets.gated_pixels import GatedLayer, GatedStacks, gate
from engine.nets.painting import PixelCache

#: Up to so many pictures numpy is quicker: its calls cost a fraction of torch's.
MOST_IN_NUMPY = 4


@dataclass
class _LayerCache:
    """One layer's weights as matrices, and its maps.

    Attributes:
        layer: Whose vertical convolution is run.
        link: (2C, 2C), from the vertical to the horizontal gates.
        vertical: (in·rows·k, 2C) and (2C,), the vertical kernel and its offset.
        window: (taps·in, 2C), the horizontal kernel, column by column.
        offset: (N or 1, 2C), what is added to every horizontal gate.
        code: (N, 2C, 1, 1), added to every vertical gate, or None.
        out: (C, C), the way back to the horizontal maps.
        above: (N, in, H + reach, W + 2·reach), vertical maps that come in, with zeros around.
        left: (N, reach + W, in), horizontal maps of the row in hand that come in.
        base: (N, W, 2C), what the rows above send to the horizontal gates of this row.
    """

    layer: GatedLayer
    link: Tensor
    vertical: tuple[Tensor, Tensor]
    window: Tensor
    offset: Tensor
    code: Tensor | None
    out: Tensor
    above: Tensor
    left: Tensor
    base: Tensor

    def vertical_rows(self, first: int, last: int) -> Tensor:
        """Vertical gates of several rows, (N, rows, W, 2C)."""
        a: Tensor = self.layer.vertical(self.above[:, :, first : last + self.layer.rows])
        return a.permute(0, 2, 3, 1)

    def vertical_row(self, row: int) -> Tensor:
        """Vertical gates of one row, (N, 1, W, 2C): a matrix product costs less than a call."""
        weight, offset = self.vertical
        seen = self.above[:, :, row : row + self.layer.rows]
        windows = seen.unfold(3, 2 * self.layer.reach + 1, 1).permute(0, 3, 1, 2, 4)
        n, width = windows.shape[:2]
        a = torch.addmm(offset, windows.reshape(n * width, len(weight)), weight)
        return a.view(n, 1, width, weight.shape[1])

    def row(self, after: Tensor) -> Row:
        """What the columns of this layer need; they are written to ``after``."""
        return Row(self.base, self.left, after, self.window, self.out)


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
        self._top = like.new_zeros(n, self.width, like.shape[1])
        head = (_matrix(net.head.masked()), net.head.offset())
        last = (_matrix(net.last.masked()), net.last.offset())
        rows = [this.row(after) for this, after in zip(self._layers, self._afters(), strict=True)]
        self._few = n <= MOST_IN_NUMPY and like.device.type == "cpu"
        kind = NumpyColumns if self._few else TorchColumns
        self._columns = kind(rows, self._top, head, last)
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
        self._start_rows(0, self._row)
        for k in range(rest):
            self._columns.run(k)

    def params(self, place: int) -> Tensor:
        """(N, P), the parameters of the value at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        row, k = divmod(pixel, self.width)
        if row != self._row:
            self._finish_row()
            self._row = row
            self._start_rows(row, row)
        self._columns.run(k)
        y = self._columns.head(k)
        n_params = y.shape[1] // self.n_colours
        return y[:, colour * n_params : (colour + 1) * n_params]

    def put(self, place: int, u: Tensor) -> None:
        """Take in the value (N,) at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        first = self._layers[0]
        first.left[:, first.layer.reach + pixel % self.width, colour] = u

    def _finish_row(self) -> None:
        """Keep the row in hand for the rows below."""
        first = self._layers[0]
        reach = first.layer.reach
        row = first.above[:, :, reach + self._row, reach : reach + self.width]
        row.copy_(first.left[:, reach:].transpose(1, 2))

    def _start_rows(self, first: int, last: int) -> None:
        """Run the vertical stack for rows first … last, whose inputs are complete."""
        for place, this in enumerate(self._layers):
            alone = self._few and first == last
            a = this.vertical_row(last) if alone else this.vertical_rows(first, last)
            torch.matmul(a[:, -1], this.link, out=this.base)
            this.base.add_(this.offset[:, None])
            if place + 1 == len(self._layers):
                break
            follower = self._layers[place + 1]
            reach = follower.layer.reach
            rows = follower.above[
                :, :, reach + first : reach + last + 1, reach : reach + self.width
            ]
            maps = a.permute(0, 3, 1, 2)
            rows.copy_(gate(maps if this.code is None else maps + this.code))
        self._columns.start_row()

    def _afters(self) -> list[Tensor]:
        """Where each layer's columns go, (N, W, C)."""
        return [this.left[:, this.layer.reach :] for this in self._layers[1:]] + [self._top]


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
        link=_matrix(layer.link.weight),
        vertical=_vertical(layer),
        window=kernel[:, :, 0].permute(2, 1, 0).reshape(-1, n_gates).contiguous(),
        offset=offset if code_h is None else offset + code_h,
        code=None if code_v is None else code_v[:, :, None, None],
        out=_matrix(layer.out.masked()),
        above=kernel.new_zeros(n, n_in, height + reach, width + 2 * reach),
        left=kernel.new_zeros(n, reach + width, n_in),
        base=kernel.new_zeros(n, width, n_gates),
    )


def _vertical(layer: GatedLayer) -> tuple[Tensor, Tensor]:
    weight, offset = layer.vertical.weight, layer.vertical.bias
    assert offset is not None
    return weight.flatten(1).T.contiguous(), offset


def _matrix(pointwise: Tensor) -> Tensor:
    """A 1 × 1 kernel (out, in, 1, 1) as (in, out)."""
    return pointwise[:, :, 0, 0].T.contiguous()
