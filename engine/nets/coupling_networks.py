"""Convolutions that tell a coupling how to scale and shift; what they put out begins at zero.

References:
    Kingma and Dhariwal, *Glow*, NeurIPS 2018, section B (three convolutions). Dinh, Sohl-Dickstein
    and Bengio, *Density Estimation Using Real NVP*, ICLR 2017, section 3.5 (residual blocks).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def plain_network(
    n_in: int, hidden_features: Sequence[int], n_out: int, kernel_size: int
) -> nn.Module:
    """k × k, then 1 × 1 between the hidden layers, then k × k; ReLU after each hidden one.

    Without hidden layers it is one k × k convolution. Maps (B, n_in, H, W) → (B, n_out, H, W).
    """
    layers: list[nn.Module] = []
    width, kernel = n_in, kernel_size
    for hidden in hidden_features:
        layers += [_conv(width, hidden, kernel), nn.ReLU()]
        width, kernel = hidden, 1
    layers.append(_zeroed(_conv(width, n_out, kernel_size)))
    return nn.Sequential(*layers)


def residual_network(
    n_in: int, hidden_features: Sequence[int], n_out: int, kernel_size: int
) -> nn.Module:
    """k × k, one residual block per entry of ``hidden_features``, ReLU, 1 × 1.

    All blocks have the first entry's width on the way past; the entry is the width inside.
    """
    width = hidden_features[0]
    blocks = [Residual(width, inside, kernel_size) for inside in hidden_features]
    last = _zeroed(_conv(width, n_out, 1))
    return nn.Sequential(_conv(n_in, width, kernel_size), *blocks, nn.ReLU(), last)


class Residual(nn.Module):
    """ReLU, k × k (C → inside), ReLU, k × k (inside → C), and the way past."""

    def __init__(self, n_channels: int, inside: int, kernel_size: int) -> None:
        super().__init__()
        self.first = _conv(n_channels, inside, kernel_size)
        self.second = _conv(inside, n_channels, kernel_size)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        inner: Tensor = self.second(torch.relu(self.first(torch.relu(h))))
        return h + inner


def _conv(n_in: int, n_out: int, kernel_size: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2)


def _zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
