r"""The likelihood of a batch under a stack of affine layers, with its gradient by hand.

.. math:: \mathrm{NLL}(\theta) = -\frac{1}{B} \sum_b \Big[ \log \mathcal N(z_b; 0, I)
    + \sum_l \log|\det J_l(x_b)| \Big]

Automatic differentiation of a small flow spends most of its time on book-keeping. Here the
forward pass writes its activations into buffers that live as long as the batch size stays, and
the backward pass is written out. The tests compare the result with autograd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.bijections.affine import LOG_SCALE_BOUND
from engine.bijections.affine_layer import Wiring
from engine.bijections.conditioner import Matrices, unpack


class AffineNLL:
    """The NLL of standardised batches (B, D) and ∂NLL/∂θ, for one θ and one batch shape.

    Args:
        wirings: The layers, data → base.
        theta: Their weights (P,), read anew at every call.
        mask: (P,) of zeros and ones, multiplied into θ; ``None`` means all ones.
        shape: (B, D).

    Attributes:
        gradient: ∂NLL/∂θ of the latest call, (P,); the next call overwrites it.
    """

    def __init__(
        self,
        wirings: Sequence[Wiring],
        theta: Tensor,
        mask: Tensor | None,
        shape: tuple[int, int],
    ) -> None:
        self._theta, self._mask, self._shape = theta.detach(), mask, shape
        self._weights = self._theta if mask is None else torch.empty_like(self._theta)
        self.gradient = torch.zeros_like(self._theta)
        self._columns = _Columns(theta, shape, sum(w.n_targets for w in wirings))
        networks = [wiring.shapes for wiring in wirings]
        matrices, gradients = unpack(self._weights, networks), unpack(self.gradient, networks)
        log_scales = torch.split(
            self._columns.log_scales, [wiring.n_targets for wiring in wirings]
        )
        parts = zip(wirings, matrices, gradients, log_scales, strict=True)
        self._layers = [_LayerPass(*part, self._columns) for part in parts]

    def fits(self, theta: Tensor, shape: tuple[int, int]) -> bool:
        """Whether the buffers are those of this θ and batch shape."""
        mine = self._theta
        same_kind = mine.dtype == theta.dtype and mine.device == theta.device
        return same_kind and mine.data_ptr() == theta.data_ptr() and self._shape == shape

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Standardised (B, D) → NLL in nats, a scalar; :attr:`gradient` is filled."""
        if self._mask is not None:
            torch.mul(self._theta, self._mask, out=self._weights)
        columns, (batch_size, event_size) = self._columns, self._shape
        columns.z.copy_(x.t())
        for layer in self._layers:
            layer.forward()
        z = columns.z.flatten()
        total = 0.5 * torch.linalg.vecdot(z, z) - columns.log_scales.sum()
        torch.div(columns.z, batch_size, out=columns.slope)
        for layer in reversed(self._layers):
            layer.backward(is_first=layer is self._layers[0])
        if self._mask is not None:
            self.gradient.mul_(self._mask)
        nll: Tensor = total / batch_size + 0.5 * event_size * math.log(2.0 * math.pi)
        return nll


class _Columns:
    """Buffers that the layers share.

    Attributes:
        z: (D, B), the batch on its way from data to base.
        slope: (D, B), ∂NLL/∂z on its way back.
        log_scales: One row (B,) per coordinate that a layer moves.
    """

    def __init__(self, theta: Tensor, shape: tuple[int, int], n_scales: int) -> None:
        self.z = theta.new_empty(shape[1], shape[0])
        self.slope = torch.empty_like(self.z)
        self.log_scales = theta.new_empty(n_scales, shape[0])
        self._scratch: dict[tuple[int, int], Tensor] = {}

    def scratch(self, depth: int, width: int) -> Tensor:
        """(width, B) to hold a hidden slope of one depth, used by one layer after the other."""
        key = (depth, width)
        if key not in self._scratch:
            self._scratch[key] = self.z.new_empty(width, self.z.shape[1])
        return self._scratch[key]


class _LayerPass:
    """One layer forward and backward, in place on the shared columns.

    Whatever a matrix acts on is kept with a row of ones below, which meets the bias. All views
    are cut once, here: cutting them at every step would take as long as the arithmetic on them.
    """

    def __init__(
        self,
        wiring: Wiring,
        matrices: Matrices,
        gradients: Matrices,
        log_scale: Tensor,
        columns: _Columns,
    ) -> None:
        self._gradients, self._log_scale = gradients, log_scale
        n, batch_size = log_scale.shape
        self._inputs, self._targets = columns.z[wiring.inputs], columns.z[wiring.targets]
        self._input_slope = columns.slope[wiring.inputs]
        self._target_slope = columns.slope[wiring.targets]
        self._with_ones = [log_scale.new_ones(len(matrix), batch_size) for matrix in matrices]
        self._activations = [buffer[:-1] for buffer in self._with_ones]
        self._slopes = [columns.scratch(k, len(a)) for k, a in enumerate(self._activations)]
        self._transposed = [matrix.t() for matrix in matrices]
        self._unbiased = [matrix[:-1] for matrix in matrices]
        self._raw, self._raw_slope = log_scale.new_empty(2, 2 * n, batch_size).unbind()
        self._raw_scale, self._shift = torch.split(self._raw, n)
        self._raw_scale_slope, self._shift_slope = torch.split(self._raw_slope, n)
        self._ones = torch.ones_like(log_scale)
        self._offset = log_scale.new_tensor(-1.0 / batch_size)

    def forward(self) -> None:
        """Move the targets; fills this layer's log-scales."""
        self._activations[0].copy_(self._inputs)
        for index, after in enumerate(self._activations[1:]):
            torch.mm(self._transposed[index], self._with_ones[index], out=after).relu_()
        torch.mm(self._transposed[-1], self._with_ones[-1], out=self._raw)
        self._stretch = torch.add(self._ones, self._raw_scale.abs(), alpha=1.0 / LOG_SCALE_BOUND)
        torch.div(self._raw_scale, self._stretch, out=self._log_scale)
        self._factor = self._log_scale.exp()
        self._scaled = self._targets * self._factor
        torch.add(self._scaled, self._shift, out=self._targets)

    def backward(self, *, is_first: bool) -> None:
        """Turn ∂NLL/∂z from after the layer to before it; fills this layer's gradients."""
        dy = self._target_slope
        d_log_scale = torch.addcmul(self._offset, dy, self._scaled)
        torch.div(d_log_scale, self._stretch.square_(), out=self._raw_scale_slope)
        self._shift_slope.copy_(dy)
        self._through_network(is_first)
        if not is_first:
            dy.mul_(self._factor)
            self._input_slope.add_(self._slopes[0])

    def _through_network(self, is_first: bool) -> None:
        slope_across = self._raw_slope.t()
        slope = self._raw_slope
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
