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
    """The NLL of standardised batches (B, D) and ∂NLL/∂θ, for one θ and one batch size.

    Args:
        wirings: The layers, data → base.
        theta: Their weights (P,), read anew at every call.
        mask: (P,) of zeros and ones, multiplied into θ; ``None`` means all ones.
        batch_size: B.

    Attributes:
        gradient: ∂NLL/∂θ of the latest call, (P,); the next call overwrites it.
    """

    def __init__(
        self, wirings: Sequence[Wiring], theta: Tensor, mask: Tensor | None, batch_size: int
    ) -> None:
        self._theta, self._mask = theta.detach(), mask
        self._weights = self._theta if mask is None else torch.empty_like(self._theta)
        self.gradient = torch.zeros_like(self._theta)
        self._batch_size = batch_size
        counts = [wiring.n_targets for wiring in wirings]
        self._log_scales = theta.new_empty(sum(counts), batch_size)
        networks = [wiring.shapes for wiring in wirings]
        parts = (
            wirings,
            unpack(self._weights, networks),
            unpack(self.gradient, networks),
            self._log_scales.split(counts),
        )
        self._layers = [_LayerPass(*part) for part in zip(*parts, strict=True)]

    def fits(self, theta: Tensor, batch_size: int) -> bool:
        """Whether the buffers are those of this θ and batch size."""
        mine = self._theta
        same_kind = mine.dtype == theta.dtype and mine.device == theta.device
        return (
            same_kind
            and mine.data_ptr() == theta.data_ptr()
            and self._batch_size == batch_size
        )

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Standardised (B, D) → NLL in nats, a scalar; :attr:`gradient` is filled."""
        if self._mask is not None:
            torch.mul(self._theta, self._mask, out=self._weights)
        z = x.t().clone(memory_format=torch.contiguous_format)  # (D, B)
        for layer in self._layers:
            layer.forward(z)
        half_squares = 0.5 * torch.linalg.vecdot(z.flatten(), z.flatten())
        constant = 0.5 * len(z) * math.log(2.0 * math.pi)
        nll = (half_squares - self._log_scales.sum()) / self._batch_size + constant
        dz = z.div_(self._batch_size)
        for layer in reversed(self._layers):
            layer.backward(dz, is_first=layer is self._layers[0])
        if self._mask is not None:
            self.gradient.mul_(self._mask)
        return nll


class _LayerPass:
    """One layer forward and backward, in place on columns (D, B).

    The activations that a matrix acts on are kept with a row of ones below, which meets the bias.
    """

    def __init__(
        self, wiring: Wiring, matrices: Matrices, gradients: Matrices, log_det: Tensor
    ) -> None:
        self._wiring, self._matrices, self._gradients = wiring, matrices, gradients
        self._log_det = log_det
        self._n, batch_size = log_det.shape
        columns = [matrix.shape[1] for matrix in matrices]
        self._with_ones = [log_det.new_ones(count, batch_size) for count in columns]
        self._activations = [buffer[:-1] for buffer in self._with_ones]
        self._slopes = [torch.empty_like(buffer) for buffer in self._activations]
        self._raw_slope = log_det.new_empty(2 * self._n, batch_size)
        self._across = [buffer.t() for buffer in self._with_ones]
        self._transposed = [matrix[:, :-1].t() for matrix in matrices]

    def forward(self, z: Tensor) -> None:
        """Move the targets in ``z`` (D, B); fills this layer's log-determinants."""
        wiring = self._wiring
        self._activations[0].copy_(z[wiring.inputs])
        for index, after in enumerate(self._activations[1:]):
            torch.mm(self._matrices[index], self._with_ones[index], out=after).relu_()
        raw = torch.mm(self._matrices[-1], self._with_ones[-1])
        raw_scale, shift = raw[: self._n], raw[self._n :]
        self._stretch = raw_scale.abs().mul_(1.0 / LOG_SCALE_BOUND).add_(1.0)
        log_scale = raw_scale / self._stretch
        torch.mul(log_scale, wiring.map.sign, out=self._log_det)
        targets = z[wiring.targets]
        y, self._saved = wiring.map.forward_saving(targets, log_scale, shift)
        targets.copy_(y)

    def backward(self, dz: Tensor, *, is_first: bool) -> None:
        """Turn ``dz`` (D, B) from after the layer to before it; fills this layer's gradients."""
        wiring = self._wiring
        targets = dz[wiring.targets]
        dx, d_log_scale, d_shift = wiring.map.backward(targets, self._saved)
        d_log_scale.sub_(wiring.map.sign / dz.shape[1])
        torch.div(d_log_scale, self._stretch.square_(), out=self._raw_slope[: self._n])
        self._raw_slope[self._n :] = d_shift
        self._through_network(is_first)
        if not is_first:
            targets.copy_(dx)
            dz[wiring.inputs] += self._slopes[0]

    def _through_network(self, is_first: bool) -> None:
        slope = self._raw_slope
        for index in reversed(range(len(self._matrices))):
            torch.mm(slope, self._across[index], out=self._gradients[index])
            if index == 0 and is_first:
                return
            below = torch.mm(self._transposed[index], slope, out=self._slopes[index])
            if index > 0:
                # relu(a) > 0 exactly where a > 0, so the activation itself is the mask.
                slope = torch.ops.aten.threshold_backward.grad_input(
                    below, self._activations[index], 0.0, grad_input=below
                )
