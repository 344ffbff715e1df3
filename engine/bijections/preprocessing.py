r"""From levels to unbounded real numbers: uniform noise, then a logit.

A flow is a density over real numbers, and whole numbers have none: spikes on the levels would make
it as large as one likes. Noise u, even in [0, 1) on each of the D values, spreads level x over its
cell [x, x + 1), whose mass is the level's probability:

.. math::
    P(x) = \int_{[0, 1)^D} p(x + u)\, du, \qquad
    \mathbb E_u \log p(x + u) \le \log P(x)

Nobody can do the integral in D dimensions. What is offered is the left side, a **lower bound** in
nats, whose gap is the KL from the even noise to p within the cell; the log of the mean of K draws
of p(x + u) is a tighter one. Divided by :math:`-D \ln 2` they are bits per dimension, from above.

The logit then takes the cells' range [0, k] to the whole line, its ends moved inwards by α:

.. math::
    y = \log \frac{\pi}{1 - \pi}, \quad \pi = \alpha + (1 - 2\alpha) \frac{x}{k}, \qquad
    \log|\det| = \sum_i \log \frac{1 - 2\alpha}{k\, \pi_i (1 - \pi_i)}

References:
    Theis, van den Oord and Bethge, *A note on the evaluation of generative models*, ICLR 2016
    (the bound). Dinh, Sohl-Dickstein and Bengio, *Density Estimation Using Real NVP*, ICLR 2017,
    section 4.1 (the logit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Dequantise:
    """Noise on levels: y = x + u, a shift, whose log-determinant is 0.

    Attributes:
        noise: u, (B, D), or a number for all: ½ takes every level to the middle of its cell.
        name: What panels call the layer.
    """

    noise: Tensor | float
    name: str = "dequantise"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (B, D) → places within their cells (B, D)."""
        return x + self.noise, x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Places (B, D) → (B, D), levels where the noise is the one that was added."""
        return y - self.noise, y.new_zeros(len(y))


@dataclass(frozen=True)
class Logit:
    """The logit of values in [0, k], drawn in by α at both ends.

    Attributes:
        levels: k.
        alpha: α, above 0 and below ½.
        name: What panels call the layer.
    """

    levels: int
    alpha: float
    name: str = "logit"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) within [0, k] → (B, D) unbounded, and log abs det ∂y/∂x (B,), nats."""
        inner = 1.0 - 2.0 * self.alpha
        # Both shares from sums of positive numbers: 1 − π would cancel where π is near 1.
        log_share = torch.log(self.alpha + inner * (x / self.levels))
        log_rest = torch.log(self.alpha + inner * ((self.levels - x) / self.levels))
        return log_share - log_rest, self._log_det(log_share, log_rest)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) unbounded → (B, D), which may lie beyond [0, k] by kα/(1 − 2α)."""
        x = (torch.sigmoid(y) - self.alpha) * (self.levels / (1.0 - 2.0 * self.alpha))
        return x, self._log_det(F.logsigmoid(y), F.logsigmoid(-y))

    def _log_det(self, log_share: Tensor, log_rest: Tensor) -> Tensor:
        constant = log_share.shape[1] * math.log((1.0 - 2.0 * self.alpha) / self.levels)
        return constant - (log_share + log_rest).sum(1)


def to_levels(y: Tensor, levels: int) -> Tensor:
    """Places → the levels 0 … k − 1 of their cells; what lies beyond goes to the outermost one."""
    return y.floor().clamp(0.0, levels - 1.0)
