"""Convolutions from a picture to one number, or a few, with their own input gradient.

Every layer is followed by a smooth nonlinearity; the last is linear. Of pictures of up to 16
pixels a side the first layer keeps the size, since small strokes want all of it; of larger ones it
halves them, by a 4×4 kernel, so that all pixels weigh alike. Later layers halve while the smaller
side is at least 4, by 3×3 kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from engine.nets.coders import SMALLEST_HALVED
from engine.nets.energy_mlp import EnergyMLP
from engine.nets.mlp import check_widths

#: Side of the first layer's kernel where it halves, and of all others.
FIRST_KERNEL, KERNEL = 4, 3
#: The first layer of pictures whose smaller side is at most this keeps their size.
KEPT_SIDE = 16


class EnergyConv(EnergyMLP):
    """Flat pictures (B, D) → (B, K); (B,) where K = 1.

    Args:
        event_shape: (C, H, W), of which D is the size.
        hidden_features: Channels of the layers, at least one.
        activation: One of :data:`engine.nets.energy_mlp.SMOOTH_ACTIVATIONS`.
        spectral_norm: As in :class:`engine.nets.energy_mlp.EnergyMLP`; a kernel counts as the
            matrix (channels, the rest).
        out_features: K.

    Raises:
        ValueError: The event is no picture, there is no layer, a width is below 1 or the
            activation is unknown.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        hidden_features: Sequence[int],
        *,
        activation: str = "silu",
        spectral_norm: bool = False,
        out_features: int = 1,
    ) -> None:
        if len(event_shape) != 3 or not hidden_features:
            raise ValueError(
                f"network: given convolutional for events of shape {event_shape} with channels "
                f"{tuple(hidden_features)}, wanted pictures (channel, row, column) and at least "
                "one layer"
            )
        torch.nn.Module.__init__(self)
        check_widths([*hidden_features, out_features])
        self.event_shape = event_shape
        self.sides, self.strides = [event_shape[1:]], []
        shapes: list[tuple[int, ...]] = []
        for n_in, n_out in pairwise([event_shape[0], *hidden_features]):
            halved = SMALLEST_HALVED if shapes else KEPT_SIDE + 1
            stride = 2 if min(self.sides[-1]) >= halved else 1
            kernel = FIRST_KERNEL if stride == 2 and not shapes else KERNEL
            shapes.append((n_out, n_in, kernel, kernel))
            self.strides.append(stride)
            height, width = ((side + 2 - kernel) // stride + 1 for side in self.sides[-1])
            self.sides.append((height, width))
        last = (out_features, hidden_features[-1] * math.prod(self.sides[-1]))
        self._build([*shapes, last], activation, spectral_norm)
        self._flatten_last()

    def _layer(self, index: int, x: Tensor, weight: Tensor) -> Tensor:
        if weight.dim() == 2:
            return F.linear(x.flatten(1), weight, self.biases[index])
        if index == 0:
            x = x.reshape(-1, *self.event_shape)
        return F.conv2d(x, weight, self.biases[index], self.strides[index], 1)

    def _pull(self, index: int, gradient: Tensor, weight: Tensor) -> Tensor:
        if weight.dim() == 2:
            before = self.weights[index - 1]
            return (gradient @ weight).reshape(-1, len(before), *self.sides[-1])
        size = (len(gradient), weight.shape[1], *self.sides[index])
        stride = self.strides[index]
        pulled: Tensor = conv2d_input(size, weight, gradient, stride, 1)  # type: ignore[no-untyped-call]
        return pulled
