"""The first layer of every flow: data units → mean 0 and variance 1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Standardise:
    r"""The fixed map y = (x − m)/s per coordinate.

    .. math:: \log|\det \partial y/\partial x| = -\sum_i \log s_i

    Attributes:
        location: m, (D,).
        scale: s > 0, (D,).
        name: What panels call the layer.
    """

    location: Tensor
    scale: Tensor
    name: str = "standardise"

    @property
    def n_passes(self) -> tuple[int, int]:
        """There is no network."""
        return 0, 0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) in the units given → (B, D) standardised."""
        return (x - self.location) / self.scale, self._log_det(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) standardised → (B, D) in the units given."""
        return y * self.scale + self.location, self._log_det(y)

    def _log_det(self, x: Tensor) -> Tensor:
        return -self.scale.log().sum().expand(x.shape[0])
