r"""The planar map: space is stretched or squeezed along one direction, across one hyperplane.

.. math::
    f(z) = z + \hat u \tanh(w^\top z + b), \qquad
    \log\left|\det \frac{\partial f}{\partial z}\right|
        = \log\bigl|1 + \hat u^\top w\,(1 - \tanh^2(w^\top z + b))\bigr|

It can be inverted where :math:`w^\top \hat u \ge -1`, which is made so:
:math:`\hat u = u + (m(w^\top u) - w^\top u)\, w / \lVert w \rVert^2` with
:math:`m(a) = -1 + \log(1 + (e - 1)\, e^a)`. The paper has no factor e − 1; with it m(0) = 0, so
that u = 0 is the identity, and û stays finite where w becomes short.

The inverse needs one number a point, :math:`t = w^\top z + b`, from

.. math:: t + c \tanh t = w^\top y + b, \qquad c = \hat u^\top w \ge -1.

Both sides are odd in t, and for t > 0 the left one is concave (c > 0) or convex (c < 0), so that
Newton's method from :math:`\max(|w^\top y + b| - c, 0)` approaches the root from one side and
cannot miss it. The gradient is that of the implicit function: one more Newton step, whose
derivatives at the root are those of the inverse.

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
#: Newton steps at most; some ten are taken where the map is far from folding.
MOST_STEPS = 100
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

    @property
    def room(self) -> Tensor:
        """1 + û·w ≥ 0, (…): by how much space is stretched at the hyperplane."""
        return F.softplus((self.w * self.u).sum(-1) + SHIFT)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(…, Z) → the same shape, and log abs det ∂f/∂z (…), nats; leading shapes broadcast."""
        h = torch.tanh((self.w * z).sum(-1) + self.b)
        return z + self.direction * h.unsqueeze(-1), _stretch(h, self.room).log()


@dataclass(frozen=True)
class PlanarLayer:
    """One planar map of flat events, with û and 1 + û·w at hand; a ``Bijection``.

    Attributes:
        w: (D,), the normal of the hyperplane.
        direction: û, (D,).
        room: 1 + û·w, a scalar.
        b: The hyperplane's offset, a scalar.
        name: What panels call the layer.
    """

    w: Tensor
    direction: Tensor
    room: Tensor
    b: Tensor
    name: str

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) → (B, D), and log abs det ∂f/∂z (B,), nats."""
        h = torch.tanh(torch.mv(z, self.w) + self.b)
        return torch.addr(z, h, self.direction), _stretch(h, self.room).log()

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) → (B, D), and log abs det ∂f/∂z (B,) at the place found, nats."""
        place = torch.mv(y, self.w) + self.b
        t = _find(place.detach(), self.room.detach())
        h = torch.tanh(t)
        # At the root this changes nothing but gives t its derivatives by place and room.
        t = t - (t + (self.room - 1.0) * h - place) / _stretch(h, self.room).detach()
        h = torch.tanh(t)
        return torch.addr(y, h, -self.direction), _stretch(h, self.room).log()


def _stretch(h: Tensor, room: Tensor) -> Tensor:
    """1 + û·w (1 − h²) as a sum of two positive parts, where the difference would cancel."""
    squared = h.square()
    return (squared + room * (1.0 - squared)).clamp_min(torch.finfo(h.dtype).tiny)


@torch.no_grad()
def _find(place: Tensor, room: Tensor) -> Tensor:
    """t with t + (room − 1) tanh t = place, (B,), for a scalar room."""
    size, c = place.abs(), room - 1.0
    t = (size - c).clamp_min_(0.0)
    rounding = 8.0 * torch.finfo(t.dtype).eps * (size + c.abs() + 1.0)
    for _ in range(MOST_STEPS):
        h = torch.tanh(t)
        excess = torch.addcmul(t - size, h, c)
        t = (t - excess / _stretch(h, room)).clamp_min_(0.0)
        if bool((excess.abs_() <= rounding).all()):
            break
    return torch.copysign(t, place)
