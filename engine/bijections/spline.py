r"""Monotone rational-quadratic splines, with a closed-form inverse.

Within a bin of width w and height h, which begins at (x₀, y₀) with slope d₀ and ends with d₁,

.. math::
    \xi = \frac{x - x_0}{w}, \quad s = \frac hw, \quad c = d_0 + d_1 - 2s, \quad
    g = y_0 + h\,\frac{s \xi^2 + d_0\, \xi (1 - \xi)}{s + c\, \xi (1 - \xi)}, \quad
    g' = s^2\,\frac{d_1 \xi^2 + 2 s \xi (1 - \xi) + d_0 (1 - \xi)^2}
        {\bigl(s + c\, \xi (1 - \xi)\bigr)^2}

The inverse is the root of a quadratic equation, written so that no digits cancel.

References:
    Gregory and Delbourgo, *Piecewise Rational Quadratic Interpolation to Monotonic Data*, IMA
    Journal of Numerical Analysis 2, 1982; Durkan, Bekasov, Murray and Papamakarios, *Neural Spline
    Flows*, NeurIPS 2019, section 3.1 and appendix A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: No bin is narrower or lower than this share of them all, and no slope is below this.
LEAST_SHARE = 1e-3
LEAST_SLOPE = 1e-3
#: The raw number that becomes a slope of 1.
UNIT_SLOPE = math.log(math.expm1(1.0 - LEAST_SLOPE))


@dataclass(frozen=True)
class Bin:
    """The bin in which each value lies; all of one shape.

    Attributes:
        left, width: x₀ and w.
        bottom, height: y₀ and h.
        first, last: The slopes d₀ and d₁ at its ends.
    """

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    first: Tensor
    last: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """g(x), and log g'(x)."""
        along = (x - self.left) / self.width
        steep = self.height / self.width
        both = along * (1.0 - along)
        below = torch.addcmul(steep, self._bend(steep), both)
        above = steep * along.square() + self.first * both
        y = self.bottom + self.height * above / below
        return y, self._log_slope(along, both, steep, below)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """x with g(x) = y, and log g'(x)."""
        up, steep = y - self.bottom, self.height / self.width
        bend = self._bend(steep)
        a = self.height * (steep - self.first) + up * bend
        b = self.height * self.first - up * bend
        c = steep * up
        root = (b.square() + 4.0 * a * c).clamp_min(torch.finfo(y.dtype).tiny).sqrt()
        # Of the two forms of the root, the one that adds numbers of one sign.
        falls, total = b < 0.0, b.abs() + root
        along = torch.where(falls, total / (2.0 * a.masked_fill(~falls, 1.0)), 2.0 * c / total)
        both = along * (1.0 - along)
        below = torch.addcmul(steep, bend, both)
        x = torch.addcmul(self.left, along, self.width)
        return x, self._log_slope(along, both, steep, below)

    def _bend(self, steep: Tensor) -> Tensor:
        return self.first + self.last - 2.0 * steep

    def _log_slope(self, along: Tensor, both: Tensor, steep: Tensor, below: Tensor) -> Tensor:
        slopes = torch.lerp(self.first * (1.0 - along), self.last * along, along)
        above = torch.addcmul(slopes, steep, both, value=2.0)
        return 2.0 * (steep / below).log() + above.log()


def bin_of(raw: Tensor, value: Tensor, bound: float, *, inverse: bool) -> Bin:
    """The bin of each value of a spline that maps [−bound, bound] onto itself.

    Args:
        raw: (3K − 1, n, B) free numbers: K widths and K heights before a softmax, then the K − 1
            inner slopes before a softplus; the outer slopes are 1. Zeros are the identity.
        value: (n, B) within the bound: x, or y with ``inverse``.
        bound: Half the side of the square.
        inverse: Look among the heights instead of the widths.
    """
    n_bins = (len(raw) + 1) // 3
    shares = raw[: 2 * n_bins].view(2, n_bins, *raw.shape[1:]).softmax(1)
    sizes = shares * (2.0 * bound * (1.0 - n_bins * LEAST_SHARE)) + 2.0 * bound * LEAST_SHARE
    ends = sizes.cumsum(1) - bound
    inner = ends[int(inverse), :-1].detach()
    index = (value.detach() >= inner).sum(0, keepdim=True)
    both = index.expand(2, 1, *index.shape[1:])
    size, end = sizes.gather(1, both)[:, 0], ends.gather(1, both)[:, 0]
    slopes = F.pad(raw[2 * n_bins :], (0, 0, 0, 0, 1, 1))
    first, last = slope_of(slopes.gather(0, torch.cat([index, index + 1]))).unbind()
    (left, bottom), (width, height) = (end - size).unbind(), size.unbind()
    return Bin(left, width, bottom, height, first, last)


def slope_of(raw: Tensor) -> Tensor:
    """Free numbers → slopes of at least :data:`LEAST_SLOPE`; 0 → 1."""
    return F.softplus(raw + UNIT_SLOPE) + LEAST_SLOPE
