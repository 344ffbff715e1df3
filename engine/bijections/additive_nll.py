r"""The likelihood of a batch under NICE, with its gradient by hand.

.. math:: \mathrm{NLL}(\theta) = \frac{1}{B} \sum_b \sum_i
    \left[\log(1 + e^{v_{bi}}) + \log(1 + e^{-v_{bi}})\right] - \sum_i s_i,
    \qquad v = e^{s} \odot z

z is what the additive couplings make of the data. As in :mod:`engine.bijections.stack_nll`, the
buffers live as long as the batch size stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.bijections.conditioner import unpack
from engine.bijections.network_pass import Columns, NetworkPass
from engine.bijections.wiring import Wiring


class AdditiveNLL:
    """The NLL of standardised batches (B, D) and ∂NLL/∂θ, for one θ and one batch shape.

    Args:
        wirings: The couplings, data → base, with one output a target.
        theta: Their weights and then the D log-scales, (P,), read anew at every call.
        shape: (B, D).

    Attributes:
        gradient: ∂NLL/∂θ of the latest call, (P,); the next call overwrites it.
    """

    def __init__(self, wirings: Sequence[Wiring], theta: Tensor, shape: tuple[int, int]) -> None:
        self._theta, self._shape = theta.detach(), shape
        self.gradient = torch.zeros_like(self._theta)
        self._columns = Columns(theta, shape)
        networks = [*(wiring.shapes for wiring in wirings), ((1, shape[1]),)]
        *matrices, (log_scale,) = unpack(self._theta, networks)
        *gradients, (log_scale_gradient,) = unpack(self.gradient, networks)
        self._log_scale, self._log_scale_gradient = log_scale[0], log_scale_gradient[0]
        parts = zip(wirings, matrices, gradients, strict=True)
        self._passes = [NetworkPass(*part, self._columns) for part in parts]

    def fits(self, theta: Tensor, shape: tuple[int, int]) -> bool:
        """Whether the buffers are those of this θ and batch shape."""
        mine = self._theta
        same_kind = mine.dtype == theta.dtype and mine.device == theta.device
        return same_kind and mine.data_ptr() == theta.data_ptr() and self._shape == shape

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Standardised (B, D) → NLL in nats, a scalar; :attr:`gradient` is filled."""
        columns, batch_size = self._columns, self._shape[0]
        columns.z.copy_(x.t())
        for net in self._passes:
            net.forward()
            net.targets.add_(net.raw)
        total = self._through_prior()
        for net in reversed(self._passes):
            net.raw_slope.copy_(net.target_slope)
            is_first = net is self._passes[0]
            net.backward(is_first=is_first)
            if not is_first:
                net.add_to_inputs()
        nll: Tensor = total / batch_size - self._log_scale.sum()
        return nll

    def _through_prior(self) -> Tensor:
        """−Σ log p of the base points; fills the slope and the gradient of the log-scales."""
        columns = self._columns
        factor = self._log_scale.exp().unsqueeze(1)
        v = columns.z * factor
        size = v.abs()
        total = size.sum() + 2.0 * torch.log1p(torch.exp(-size)).sum()
        slope = torch.tanh(0.5 * v).div_(self._shape[0])
        torch.linalg.vecdot(slope, v, out=self._log_scale_gradient).sub_(1.0)
        torch.mul(slope, factor, out=columns.slope)
        return total
