"""The PixelCNN one pixel at a time: rows above once per row, one column per pixel.

Each masked convolution is cut in two: the rows above are convolved for a whole row at once when
the row begins, the row in hand is a window that moves with the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.masked_conv import MaskedConv2d, MaskedPointwise
from engine.nets.painting import PixelCache
from engine.nets.residual_pixels import ResidualBlock, ResidualPixels


@dataclass
class Pointwise:
    """A 1 × 1 convolution as a matrix (in, out) and an offset (out,)."""

    matrix: Tensor
    offset: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(N, in) → (N, out)."""
        return torch.addmm(self.offset, x, self.matrix)


@dataclass
class Window:
    """One masked convolution and what it has seen.

    Attributes:
        reach: Columns on each side, and rows above.
        upper: (out, in, reach, k), the kernel's rows above.
        matrix: ((reach + 1)·in, out), its own row up to the pixel, column by column.
        offset: (out,).
        above: (N, in, reach + H, W + 2·reach), all rows that are done, with zeros around.
        left: (N, reach + W, in), the row in hand.
        base: (N, W, out), what the rows above send to this row.
    """

    reach: int
    upper: Tensor
    matrix: Tensor
    offset: Tensor
    above: Tensor
    left: Tensor
    base: Tensor

    def start_row(self, row: int) -> None:
        """Convolve the rows above a row."""
        if self.reach == 0:
            self.base.copy_(self.offset.expand_as(self.base))
            return
        rows = self.above[:, :, row : row + self.reach]
        y = F.conv2d(rows, self.upper, self.offset)
        self.base.copy_(y[:, :, 0].transpose(1, 2))

    def finish_row(self, row: int) -> None:
        """Keep the row in hand for the rows below."""
        width = self.base.shape[1]
        middle = self.above[:, :, self.reach + row, self.reach : self.reach + width]
        middle.copy_(self.left[:, self.reach :].transpose(1, 2))

    def fill(self, maps: Tensor, row: int) -> None:
        """Take maps (N, in, H, W) as seen in the rows above ``row``."""
        width = self.base.shape[1]
        self.above[:, :, self.reach : self.reach + row, self.reach : self.reach + width] = maps[
            :, :, :row
        ]

    def row_above(self, row: int) -> Tensor:
        """(N, in, W), what was seen in the row before ``row`` (zeros before the first)."""
        width = self.base.shape[1]
        place = max(self.reach + row - 1, 0)
        return self.above[:, :, place, self.reach : self.reach + width]

    def at(self, k: int) -> Tensor:
        """(N, out) at column k, whose window is complete."""
        seen = self.left[:, k : k + self.reach + 1].flatten(1)
        return torch.addmm(self.base[:, k], seen, self.matrix)


class ResidualCache(PixelCache):
    """Samples from :class:`ResidualPixels` at the cost of about one pass.

    Args:
        net: The network; its weights are read once, here.
        picture: (C, H, W).
        n: Pictures painted at once.
        code: (N, 2C, H, W), what is added to the first convolution, if anything is.
    """

    @torch.no_grad()
    def __init__(
        self,
        net: ResidualPixels,
        picture: tuple[int, int, int],
        n: int,
        code: Tensor | None = None,
    ) -> None:
        self._net, self._code = net, code
        self.n_colours, self.height, self.width = picture
        blocks = [block for block in net.blocks if isinstance(block, ResidualBlock)]
        convs = [net.first, *(block.conv for block in blocks)]
        self._windows = [window_of(conv, picture, n) for conv in convs]
        self._blocks = [(pointwise(block.down), pointwise(block.up)) for block in blocks]
        self._head, self._last = pointwise(net.head), pointwise(net.last)
        self._row = 0

    def begin(self, u: Tensor, place: int) -> None:
        """Take inputs (N, C, H, W) as painted up to ``place``."""
        self._row, rest = divmod(place // self.n_colours, self.width)
        if self._row >= self.height:
            return
        if self._row:
            for window, maps in zip(self._windows, self._net.seen(u, self._code), strict=True):
                window.fill(maps, self._row)
        first = self._windows[0]
        first.left[:, first.reach :] = u[:, :, self._row].transpose(1, 2)
        self._start_row()
        for k in range(rest):
            self._column(k)

    def params(self, place: int) -> Tensor:
        """(N, P), the parameters of the value at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        row, k = divmod(pixel, self.width)
        if row != self._row:
            for window in self._windows:
                window.finish_row(self._row)
            self._row = row
            self._start_row()
        y = self._last(self._head(self._column(k).relu_()).relu_())
        n_params = y.shape[1] // self.n_colours
        return y[:, colour * n_params : (colour + 1) * n_params]

    def put(self, place: int, u: Tensor) -> None:
        """Take in the value (N,) at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        first = self._windows[0]
        first.left[:, first.reach + pixel % self.width, colour] = u

    def _start_row(self) -> None:
        for window in self._windows:
            window.start_row(self._row)

    def _column(self, k: int) -> Tensor:
        """(N, 2C), what the last block puts out at column k of the row in hand."""
        x = self._windows[0].at(k)
        if self._code is not None:
            x += self._code[:, :, self._row, k]
        for (down, up), window in zip(self._blocks, self._windows[1:], strict=True):
            window.left[:, window.reach + k] = down(torch.relu(x)).relu_()
            x = torch.addmm(x, window.at(k).relu_(), up.matrix).add_(up.offset)
        return x


def window_of(conv: MaskedConv2d, picture: tuple[int, int, int], n: int) -> Window:
    """An empty window of n pictures (C, H, W), with the convolution's weights as they are."""
    _, height, width = picture
    kernel = conv.masked()
    n_out, n_in, reach = kernel.shape[0], kernel.shape[1], conv.reach
    own = kernel[:, :, -1, : reach + 1]
    return Window(
        reach=reach,
        upper=kernel[:, :, :-1].contiguous(),
        matrix=own.permute(2, 1, 0).reshape(-1, n_out).contiguous(),
        offset=conv.offset(),
        above=kernel.new_zeros(n, n_in, reach + height, width + 2 * reach),
        left=kernel.new_zeros(n, reach + width, n_in),
        base=kernel.new_zeros(n, width, n_out),
    )


def pointwise(conv: MaskedPointwise) -> Pointwise:
    """A 1 × 1 convolution's weights as they are now."""
    return Pointwise(conv.masked()[:, :, 0, 0].T.contiguous(), conv.offset())
