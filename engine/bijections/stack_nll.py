r"""The likelihood of a batch under a stack of layers, with its gradient by hand.

.. math:: \mathrm{NLL}(\theta) = -\frac{1}{B} \sum_b \Big[ \log \mathcal N(z_b; 0, I)
    + \sum_l \log|\det J_l(x_b)| \Big]

Automatic differentiation of a small flow spends most of its time on book-keeping. Here the
forward pass writes its activations into buffers that live as long as the batch size stays, and
the backward pass is written out. The tests compare the result with autograd.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from engine.bijections.conditioner import Matrices, unpack
from engine.bijections.network_pass import Columns
from engine.bijections.wiring import Wiring


class LayerPass(Protocol):
    """One layer forward and backward, in place on the shared columns."""

    def forward(self) -> None:
        """Move the targets; fills this layer's log-slopes."""
        ...

    def backward(self, *, is_first: bool) -> None:
        """Turn ∂NLL/∂z from after the layer to before it; fills this layer's gradients."""
        ...


class StackNLL(ABC):
    """The NLL of standardised batches (B, D) and ∂NLL/∂θ, for one θ and one batch shape.

    Args:
        wirings: The layers, data → base.
        theta: Their weights (P,), read anew at every call.
        mask: (P,) of zeros and ones, multiplied into θ; ``None`` means all ones.
        shape: (B, D).

    Attributes:
        gradient: ∂NLL/∂θ of the latest call, (P,); the next call overwrites it.
        columns: What the layers work on.
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
        self.columns = Columns(theta, shape)
        counts = [wiring.n_targets for wiring in wirings]
        self._log_slopes = theta.new_empty(sum(counts), shape[0])
        networks = [wiring.shapes for wiring in wirings]
        matrices, gradients = unpack(self._weights, networks), unpack(self.gradient, networks)
        log_slopes = torch.split(self._log_slopes, counts)
        parts = zip(wirings, matrices, gradients, log_slopes, strict=True)
        self._layers = [self.make_pass(*part) for part in parts]

    @abstractmethod
    def make_pass(
        self, wiring: Wiring, matrices: Matrices, gradients: Matrices, log_slope: Tensor
    ) -> LayerPass:
        """One layer, which fills ``log_slope`` (n, B): of each target, log abs ∂y/∂x."""

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
        columns, (batch_size, event_size) = self.columns, self._shape
        columns.z.copy_(x.t())
        for layer in self._layers:
            layer.forward()
        z = columns.z.flatten()
        total = 0.5 * torch.linalg.vecdot(z, z) - self._log_slopes.sum()
        torch.div(columns.z, batch_size, out=columns.slope)
        for layer in reversed(self._layers):
            layer.backward(is_first=layer is self._layers[0])
        if self._mask is not None:
            self.gradient.mul_(self._mask)
        nll: Tensor = total / batch_size + 0.5 * event_size * math.log(2.0 * math.pi)
        return nll
