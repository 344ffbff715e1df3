r"""The radial map: space is stretched or squeezed around one point.

.. math::
    f(z) = z + \frac{\hat\beta}{\alpha + r}\,(z - z_0), \qquad r = \lVert z - z_0 \rVert, \qquad
    \left|\det \frac{\partial f}{\partial z}\right|
        = \left[1 + \tfrac{\hat\beta}{\alpha + r}\right]^{D-1}
          \left[1 + \tfrac{\alpha\hat\beta}{(\alpha + r)^2}\right]

It can be inverted where :math:`\hat\beta \ge -\alpha`, which is made so:

.. math:: \hat\beta = \alpha\,(m(\beta) - 1), \qquad m(\beta) = \log(1 + (e - 1)\,e^{\beta}) > 0

The paper writes −α + log(1 + exp β); here β = 0 is the identity at every α. The distance from
:math:`z_0` becomes :math:`r' = r + \hat\beta r / (\alpha + r)`, a quadratic equation in r: the
inverse has a closed form.

References:
    Rezende and Mohamed, *Variational Inference with Normalizing Flows*, ICML 2015, section 4.1 and
    appendix A.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.bijections.planar import SHIFT


def alpha_and_total(log_alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """α and α + β̂, both above 0, from free numbers of any shape; β = 0 makes β̂ 0."""
    alpha = log_alpha.exp()
    return alpha, alpha * F.softplus(beta + SHIFT)


@dataclass(frozen=True)
class Radial:
    """One radial map.

    Attributes:
        centre: z₀, (D,).
        alpha: α > 0, a scalar: how far the map reaches.
        total: α + β̂ ≥ 0, a scalar: above α the map pushes away from z₀, below it draws near.
        name: What panels call the layer.
    """

    centre: Tensor
    alpha: Tensor
    total: Tensor
    name: str = "radial"

    @property
    def strength(self) -> Tensor:
        """β̂ ≥ −α, a scalar."""
        return self.total - self.alpha

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) → (B, D), and log abs det ∂f/∂z (B,), nats."""
        away = z - self.centre
        growth, log_det = self._growth(_length(away), z.shape[1])
        return self.centre + away * growth.unsqueeze(1), log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) → (B, D), and log abs det ∂f/∂z (B,) at the place found, nats."""
        away = y - self.centre
        there, alpha, total = _length(away), self.alpha, self.total
        half = 0.5 * (there - total)
        root = torch.sqrt(half.square() + alpha * there)
        # Of the two forms of the root, the one that adds numbers of one sign.
        r = torch.where(half > 0.0, half + root, alpha * there / (root - half))
        growth, log_det = self._growth(r, y.shape[1])
        return self.centre + away / growth.unsqueeze(1), log_det

    def _growth(self, r: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """1 + β̂/(α + r), and the log-determinant, at distances (B,); no difference is taken."""
        alpha, total = self.alpha, self.total
        growth = (r + total) / (r + alpha)
        along = (r.square() + 2.0 * alpha * r + alpha * total) / (r + alpha).square()
        return growth, (size - 1) * growth.log() + along.log()


def _length(away: Tensor) -> Tensor:
    """The distance (B,), with a derivative at 0 too."""
    return torch.sqrt(away.square().sum(1) + torch.finfo(away.dtype).tiny)
