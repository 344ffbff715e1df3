r"""The invertible 1 × 1 convolution: at each pixel the channels are mixed by one matrix.

.. math::
    y_{:,i,j} = W x_{:,i,j}, \qquad W = P L\, (U + \mathrm{diag}(s)), \qquad
    \log|\det| = H W \sum_c \log|s_c|

P is a fixed permutation, L has ones on its diagonal, U lies above it, and the signs of s are
fixed, so that W can always be inverted and its determinant costs nothing. W begins as a random
rotation.

References:
    Kingma and Dhariwal, *Glow: Generative Flow with Invertible 1×1 Convolutions*, NeurIPS 2018,
    section 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PointwiseConv(nn.Module):
    """A matrix (C, C) in its LU form.

    Attributes:
        lower: (C, C), of which what lies below the diagonal counts.
        upper: (C, C), of which what lies above the diagonal counts.
        log_size: log abs s, (C,).
        sign: The signs of s, (C,).
        permutation: P, (C, C).
        name: What panels call the layer.
    """

    sign: Tensor
    permutation: Tensor

    def __init__(self, n_channels: int, name: str = "1×1 convolution") -> None:
        super().__init__()
        self.name = name
        rotation = torch.linalg.qr(torch.randn(n_channels, n_channels)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        s = upper.diagonal()
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.log_size = nn.Parameter(s.abs().log())
        self.register_buffer("sign", s.sign())
        self.register_buffer("permutation", permutation)

    @property
    def matrix(self) -> Tensor:
        """W, (C, C)."""
        lower, upper = self._factors()
        return self.permutation @ lower @ upper

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) → the same shape, and log abs det ∂y/∂x (B,), nats."""
        return _mixed(h, self.matrix), self._log_det(h)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The way back, and the log-determinant of forward."""
        lower, upper = self._factors()
        back = torch.linalg.solve_triangular(
            lower, self.permutation.t(), upper=False, unitriangular=True
        )
        return _mixed(y, torch.linalg.solve_triangular(upper, back, upper=True)), self._log_det(y)

    def _factors(self) -> tuple[Tensor, Tensor]:
        eye = torch.eye(len(self.sign), dtype=self.sign.dtype, device=self.sign.device)
        diagonal = torch.diag(self.sign * self.log_size.exp())
        return self.lower.tril(-1) + eye, self.upper.triu(1) + diagonal

    def _log_det(self, h: Tensor) -> Tensor:
        return (self.log_size.sum() * (h.shape[2] * h.shape[3])).expand(len(h))


def _mixed(h: Tensor, matrix: Tensor) -> Tensor:
    return F.conv2d(h, matrix[:, :, None, None])
