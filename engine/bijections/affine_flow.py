"""What RealNVP and MAF share: affine layers, trained by a hand-written gradient."""

from __future__ import annotations

from collections.abc import Sequence

from engine.bijections.affine_layer import AffineLayer
from engine.bijections.affine_nll import AffineNLL
from engine.bijections.packed_flow import HandWrittenFlow


class AffineFlow(HandWrittenFlow):
    """A flow of affine layers."""

    def trained_layers(self) -> Sequence[AffineLayer]:
        """The affine layers, data → base."""
        return [AffineLayer(*pair) for pair in zip(self.wirings, self.matrices(), strict=True)]

    def make_nll(self, shape: tuple[int, int]) -> AffineNLL:
        """The likelihood of batches (B, D) of this shape."""
        mask = self.mask if len(self.mask) else None
        return AffineNLL(self.wirings, self.theta, mask, shape)
