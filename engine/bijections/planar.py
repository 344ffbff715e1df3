r"""The planar map: space is stretched or squeezed along one direction, across one hyperplane.

.. math::
    f(z) = z + \hat u \tanh(w^\top z + b), \qquad
    \log\left|\det \frac{\partial f}{\partial z}\right|
        = \log\bigl|1 + \hat u^\top w\,(1 - \tanh^2(w^\top z + b))\bigr|

It can be inverted where :math:`w^\top \hat u \ge -1`, which is made so:
:math:`\hat u = u + (m(w^\top u) - w^\top u)\, w / \lVert w \rVert^2` with
:math:`m(a) = -1 + \log(1 + (e - 1)\, e^a)`. The paper has no factor e − 1; with it m(0) = 0, so
that u = 0 is the identity, and û stays finite where w becomes short.

References:
    Rezende and Mohamed, *Variational Inference with Normalizing Flows*, ICML 2015, section 4.1 and
    appendix A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Keeps the direction of a w of length zero finite.
TINY = 1e-12
#: log(e − 1).
SHIFT = math.log(math.e - 1.0)


@dataclass(frozen=True)
class Planar:
    """One planar map, or one for each of a batch.

    Attributes:
        w: (…, Z), the normal of the hyperplane.
        u: (…, Z), where the map moves what lies beyond, before it is made invertible.
        b: (…), the hyperplane's offset.
    """

    w: Tensor
    u: Tensor
    b: Tensor

    @property
    def direction(self) -> Tensor:
        """û, (…, Z)."""
        along = (self.w * self.u).sum(-1, keepdim=True)
        square = self.w.square().sum(-1, keepdim=True) + TINY
        return self.u + (F.softplus(along + SHIFT) - 1.0 - along) * self.w / square

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(…, Z) → the same shape, and log abs det ∂f/∂z (…), nats; leading shapes broadcast."""
        h = torch.tanh((self.w * z).sum(-1) + self.b)
        squared = h.square()
        # û·w + 1 is above 0: a sum of two such parts, where 1 + û·w (1 − h²) would cancel.
        room = F.softplus((self.w * self.u).sum(-1) + SHIFT)
        stretch = squared + room * (1.0 - squared)
        log_det = stretch.clamp_min(torch.finfo(z.dtype).tiny).log()
        return z + self.direction * h.unsqueeze(-1), log_det
