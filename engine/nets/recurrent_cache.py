"""The PixelRNN one pixel at a time: each state is computed once.

A Row LSTM's share of the row above is computed for a whole row when it begins. A Diagonal LSTM
needs the left and the upper neighbour only; its mirrored direction reads a row from its right end
as soon as that row is complete.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.nets.painting import PixelCache
from engine.nets.pixel_lstm import DiagonalBiLSTM, Memory, RowLSTM, above, lstm_cell
from engine.nets.recurrent_pixels import RecurrentPixels
from engine.nets.residual_cache import Pointwise, pointwise, window_of


class _RowCache:
    """One Row LSTM: the row in hand, and the states of the row above.

    Args:
        layer: Whose weights are read.
        n: Pictures.
        picture: (C, H, W).
        bias: (N, 4C, H, W), added to the gates, or None.
    """

    def __init__(
        self, layer: RowLSTM, n: int, picture: tuple[int, int, int], bias: Tensor | None
    ) -> None:
        width = picture[2]
        self._window = window_of(layer.input_to_state, picture, n)
        self._up, self._states = pointwise(layer.up), layer.state_to_state
        self._bias = None if bias is None else bias.permute(2, 0, 3, 1)  # (H, N, W, 4C)
        like = layer.state_to_state
        size = like.shape[1] // 4
        self._h, self._c = like.new_zeros(n, width, size), like.new_zeros(n, width, size)

    def restore(self, x: Tensor, memory: Memory, row: int) -> None:
        """Take the states of the row above ``row``."""
        self._h = memory.h[:, :, row - 1].transpose(1, 2).contiguous()
        if memory.c is None:
            raise ValueError("restore: given states without cells, wanted those of a Row LSTM")
        self._c = memory.c[:, :, row - 1].transpose(1, 2).contiguous()

    def start_row(self, row: int, u: Tensor) -> None:
        """Compute what the row above sends to this one."""
        base = self._window.offset + above(self._h) @ self._states
        self._window.base.copy_(base if self._bias is None else base + self._bias[row])

    def at(self, x: Tensor, k: int, last: bool) -> Tensor:
        """Maps (N, 2C) that come in at column k → those that go out; states are kept at ``last``.

        Until the last colour of a pixel is asked for, its states are not yet whole.
        """
        self._window.left[:, self._window.reach + k] = x
        h, c = lstm_cell(self._window.at(k), self._c[:, k])
        if last:
            self._h[:, k], self._c[:, k] = h, c
        return torch.addmm(x, h, self._up.matrix).add_(self._up.offset)


class _DiagonalCache:
    """One Diagonal BiLSTM: the states of the row in hand and of the row above.

    Arguments as those of :class:`_RowCache`, with gates of both directions, (N, 8C, H, W).
    """

    def __init__(
        self,
        layer: DiagonalBiLSTM,
        n: int,
        picture: tuple[int, int, int],
        bias: Tensor | None,
    ) -> None:
        self._width = picture[2]
        whole, self._up = pointwise(layer.input_to_state), pointwise(layer.up)
        n_gates = len(whole.offset) // 2
        self._forth = Pointwise(whole.matrix[:, :n_gates].contiguous(), whole.offset[:n_gates])
        self._back = Pointwise(whole.matrix[:, n_gates:].contiguous(), whole.offset[n_gates:])
        self._own = None if layer.own is None else layer.own.weight[:, :, 0, 0].T
        self._to_right, to_left = layer.state_to_state.unbind(0)
        size = n_gates // 4
        # The window of the mirrored direction holds the upper neighbour first, then the right one.
        self._to_left = torch.cat([to_left[size:], to_left[:size]])
        self._bias = None if bias is None else bias.permute(2, 3, 0, 1).chunk(2, -1)
        new = layer.state_to_state.new_zeros
        self._x = new(n, self._width, whole.matrix.shape[0])
        self._h, self._h_back = (new(n, self._width + 1, size) for _ in range(2))
        self._c, self._c_back = new(n, size), new(n, size)
        self._row = 0

    def restore(self, x: Tensor, memory: Memory, row: int) -> None:
        """Take the states of the row above ``row``, and what that row's mirrored states need."""
        self._x.copy_(x[:, :, row - 1].transpose(1, 2))
        self._h[:, 1:] = memory.h[0, :, :, row - 1].transpose(1, 2)
        if row > 1:
            self._h_back[:, :-1] = memory.h[1, :, :, row - 2].transpose(1, 2)

    def start_row(self, row: int, u: Tensor) -> None:
        """Read the row above, whose pixels are u (N, C, W), from its right end."""
        self._row = row
        self._c.zero_()
        if row == 0:
            return
        gates = self._x @ self._back.matrix + self._back.offset
        if self._own is not None:
            gates = gates + u.transpose(1, 2) @ self._own
        if self._bias is not None:
            gates = gates + self._bias[1][row - 1].transpose(0, 1)
        c: Tensor | None = None
        for k in reversed(range(self._width)):
            seen = self._h_back[:, k : k + 2].flatten(1)
            h, c = lstm_cell(torch.addmm(gates[:, k], seen, self._to_left), c)
            self._h_back[:, k] = h

    def at(self, x: Tensor, k: int, last: bool) -> Tensor:
        """Maps (N, 2C) that come in at column k → those that go out; states are kept at ``last``.

        Until the last colour of a pixel is asked for, its states are not yet whole.
        """
        self._x[:, k] = x
        gates = torch.addmm(self._forth(x), self._h[:, k : k + 2].flatten(1), self._to_right)
        if self._bias is not None:
            gates = gates + self._bias[0][self._row, k]
        h, c = lstm_cell(gates, self._c)
        if last:
            self._h[:, k + 1], self._c = h, c
        both = h if self._row == 0 else h + self._h_back[:, k]
        return torch.addmm(x, both, self._up.matrix).add_(self._up.offset)


class RecurrentCache(PixelCache):
    """Samples from :class:`RecurrentPixels` at the cost of about one pass.

    Args:
        net: The network; its weights are read once, here.
        picture: (C, H, W).
        n: Pictures painted at once.
        biases: (N, gates, H, W) per layer, added to its gates.
    """

    @torch.no_grad()
    def __init__(
        self,
        net: RecurrentPixels,
        picture: tuple[int, int, int],
        n: int,
        biases: Sequence[Tensor] | None = None,
    ) -> None:
        self._net, self._biases = net, biases
        self.n_colours, self.height, self.width = picture
        self._first = window_of(net.first, picture, n)
        self._layers: list[_RowCache | _DiagonalCache] = []
        for place, layer in enumerate(net.recurrent):
            bias = None if biases is None else biases[place]
            kind = _RowCache if isinstance(layer, RowLSTM) else _DiagonalCache
            self._layers.append(kind(layer, n, picture, bias))  # type: ignore[arg-type]
        self._head, self._last = pointwise(net.head), pointwise(net.last)
        self._row = 0

    def begin(self, u: Tensor, place: int) -> None:
        """Take inputs (N, C, H, W) as painted up to ``place``."""
        self._row, rest = divmod(place // self.n_colours, self.width)
        if self._row >= self.height:
            return
        if self._row:
            self._first.fill(u, self._row)
            found = self._net.remembered(u, self._biases)
            for layer, (x, memory) in zip(self._layers, found, strict=True):
                layer.restore(x, memory, self._row)
        self._first.left[:, self._first.reach :] = u[:, :, self._row].transpose(1, 2)
        self._start_row()
        for k in range(rest):
            self._at(k, last=True)

    def params(self, place: int) -> Tensor:
        """(N, P), the parameters of the value at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        row, k = divmod(pixel, self.width)
        if row != self._row:
            self._first.finish_row(self._row)
            self._row = row
            self._start_row()
        x = self._at(k, last=colour == self.n_colours - 1)
        y = self._last(self._head(x.relu_()).relu_())
        n_params = y.shape[1] // self.n_colours
        return y[:, colour * n_params : (colour + 1) * n_params]

    def put(self, place: int, u: Tensor) -> None:
        """Take in the value (N,) at ``place``."""
        pixel, colour = divmod(place, self.n_colours)
        self._first.left[:, self._first.reach + pixel % self.width, colour] = u

    def _start_row(self) -> None:
        self._first.start_row(self._row)
        u = self._first.row_above(self._row)
        for layer in self._layers:
            layer.start_row(self._row, u)

    def _at(self, k: int, *, last: bool) -> Tensor:
        x = self._first.at(k)
        for layer in self._layers:
            x = layer.at(x, k, last)
        return x
