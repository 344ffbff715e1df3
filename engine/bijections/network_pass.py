"""A layer's network forward and backward without autograd, on buffers that layers share."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bijections.conditioner import Matrices
from engine.bijections.wiring import Wiring


class Columns:
    """Buffers that the layers share.

    Attributes:
        z: (D, B), the batch on its way from data to base.
        slope: (D, B), ∂NLL/∂z on its way back.
    """

    def __init__(self, theta: Tensor, shape: tuple[int, int]) -> None:
        self.z = theta.new_empty(shape[1], shape[0])
        self.slope = torch.empty_like(self.z)
        self._scratch: dict[tuple[int, int], Tensor] = {}

    def scratch(self, depth: int, width: int) -> Tensor:
        """(width, B) to hold a hidden slope of one depth, used by one layer after the other."""
        key = (depth, width)
        if key not in self._scratch:
            self._scratch[key] = self.z.new_empty(width, self.z.shape[1])
        return self._scratch[key]


class NetworkPass:
    """One network, reading the inputs of its wiring off the shared columns.

    Whatever a matrix acts on is kept with a row of ones below, which meets the bias. All views
    are cut once, here: cutting them at every step would take as long as the arithmetic on them.

    Attributes:
        targets: (n, B), the coordinates that the layer moves, a view of the columns.
        target_slope: (n, B), ∂NLL/∂targets, a view of the columns.
        raw: (n_outputs · n, B), what the network puts out; :meth:`forward` fills it.
        raw_slope: ∂NLL/∂raw, to be filled before :meth:`backward`.
    """

    def __init__(
        self, wiring: Wiring, matrices: Matrices, gradients: Matrices, columns: Columns
    ) -> None:
        self._gradients = gradients
        batch_size = columns.z.shape[1]
        self._inputs, self.targets = columns.z[wiring.inputs], columns.z[wiring.targets]
        self._input_slope = columns.slope[wiring.inputs]
        self.target_slope = columns.slope[wiring.targets]
        self._with_ones = [columns.z.new_ones(len(matrix), batch_size) for matrix in matrices]
        self._activations = [buffer[:-1] for buffer in self._with_ones]
        self._slopes = [columns.scratch(k, len(a)) for k, a in enumerate(self._activations)]
        self._transposed = [matrix.t() for matrix in matrices]
        self._unbiased = [matrix[:-1] for matrix in matrices]
        n_rows = wiring.n_outputs * wiring.n_targets
        self.raw, self.raw_slope = columns.z.new_empty(2, n_rows, batch_size).unbind()

    def forward(self) -> None:
        """Fill :attr:`raw`."""
        self._activations[0].copy_(self._inputs)
        for index, after in enumerate(self._activations[1:]):
            torch.mm(self._transposed[index], self._with_ones[index], out=after).relu_()
        torch.mm(self._transposed[-1], self._with_ones[-1], out=self.raw)

    def backward(self, *, is_first: bool) -> None:
        """Fill the matrices' gradients; of the first layer nothing more is wanted."""
        slope, slope_across = self.raw_slope, self.raw_slope.t()
        for index in reversed(range(len(self._gradients))):
            torch.mm(self._with_ones[index], slope_across, out=self._gradients[index])
            if index == 0 and is_first:
                return
            slope = torch.mm(self._unbiased[index], slope, out=self._slopes[index])
            if index > 0:
                # A ReLU is open exactly where its output is positive.
                torch.ops.aten.threshold_backward.grad_input(
                    slope, self._activations[index], 0.0, grad_input=slope
                )
                slope_across = slope.t()

    def add_to_inputs(self) -> None:
        """Add the network's share to ∂NLL/∂inputs."""
        self._input_slope.add_(self._slopes[0])
