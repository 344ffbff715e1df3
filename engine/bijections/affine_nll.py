"""Affine layers with their gradient by hand, see :mod:`engine.bijections.stack_nll`."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bijections.affine import LOG_SCALE_BOUND
from engine.bijections.conditioner import Matrices
from engine.bijections.network_pass import Columns, NetworkPass
from engine.bijections.stack_nll import LayerPass, StackNLL
from engine.bijections.wiring import Wiring


class AffineNLL(StackNLL):
    """The NLL of a stack of affine layers."""

    def make_pass(
        self, wiring: Wiring, matrices: Matrices, gradients: Matrices, log_slope: Tensor
    ) -> LayerPass:
        """One affine layer."""
        return _LayerPass(wiring, matrices, gradients, log_slope, self.columns)


class _LayerPass:
    """One layer forward and backward, in place on the shared columns."""

    def __init__(
        self,
        wiring: Wiring,
        matrices: Matrices,
        gradients: Matrices,
        log_scale: Tensor,
        columns: Columns,
    ) -> None:
        self._net = NetworkPass(wiring, matrices, gradients, columns)
        self._log_scale = log_scale
        n, batch_size = log_scale.shape
        self._targets, self._target_slope = self._net.targets, self._net.target_slope
        self._raw_scale, self._shift = torch.split(self._net.raw, n)
        self._raw_scale_slope, self._shift_slope = torch.split(self._net.raw_slope, n)
        self._ones = torch.ones_like(log_scale)
        self._offset = log_scale.new_tensor(-1.0 / batch_size)

    def forward(self) -> None:
        """Move the targets; fills this layer's log-scales."""
        self._net.forward()
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
        self._net.backward(is_first=is_first)
        if not is_first:
            dy.mul_(self._factor)
            self._net.add_to_inputs()
