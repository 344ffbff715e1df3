r"""Maps of one coordinate each: a line, and monotone curves with a closed-form inverse."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: How curves are called, and what they make of z.
CURVES = ("line", "sinh", "asinh")
#: |slope| below this counts as this: a slope of 0 would put all mass on one point.
LEAST_SLOPE = 1e-12


@dataclass(frozen=True)
class Line:
    r"""x = a u + b per coordinate, :math:`\log|\det \partial u/\partial x| = -\sum_i \log|a_i|`.

    Attributes:
        slope: a, (D,), of either sign.
        shift: b, (D,).
        name: What panels call the layer.
    """

    slope: Tensor
    shift: Tensor
    name: str = "line"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and the log-determinant (B,), nats."""
        return (x - self.shift) / self._safe, self._log_det(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and the log-determinant (B,), nats."""
        return y * self._safe + self.shift, self._log_det(y)

    @property
    def _safe(self) -> Tensor:
        return torch.where(self.slope.abs() < LEAST_SLOPE, LEAST_SLOPE, self.slope)

    def _log_det(self, x: Tensor) -> Tensor:
        return -self._safe.abs().log().sum().expand(x.shape[0])


@dataclass(frozen=True)
class Curve:
    r"""u = sinh z, or u = asinh z, per coordinate.

    Attributes:
        kind: ``"sinh"`` pulls tails out, ``"asinh"`` draws them in.
    """

    kind: str

    @property
    def name(self) -> str:
        """What panels call the layer."""
        return self.kind

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and the log-determinant (B,), nats."""
        if self.kind == "sinh":
            z = torch.asinh(x)
            return z, -_log_cosh(z)
        return torch.sinh(x), _log_cosh(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and the log-determinant (B,), nats."""
        if self.kind == "sinh":
            return torch.sinh(y), -_log_cosh(y)
        u = torch.asinh(y)
        return u, _log_cosh(u)


def _log_cosh(z: Tensor) -> Tensor:
    """Σ log cosh z of (B, D), (B,); asinh's slope is 1 / cosh of its value."""
    return torch.logaddexp(z, -z).sum(1) - z.shape[1] * torch.log(z.new_tensor(2.0))
