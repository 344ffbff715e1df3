r"""The marginal Gaussianization: each coordinate alone is bent until it is standard normal.

.. math:: y_i = \Phi^{-1}(\hat F_i(x_i)), \qquad \log|\det| = \sum_i \log y_i'(x_i)

F̂ is smooth and invertible: the curve is a monotone rational-quadratic spline through quantiles of
the data, with straight tails (:mod:`engine.bijections.spline`).

References:
    Laparra, Camps-Valls and Malo, *Iterative Gaussianization: From ICA to Random Rotations*, IEEE
    Transactions on Neural Networks 22, 2011; slopes at the knots: Fritsch and Butland, SIAM
    Journal on Scientific and Statistical Computing 5, 1984.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.bijections.spline import Bin

#: Knots stand evenly between ± this on the normal side, with at least so many points beyond.
OUTERMOST = 2.5
LEAST_TAIL = 8
#: No bin is narrower than this, in units of the data's spread, and slopes stay within these.
LEAST_WIDTH = 1e-3
SLOPES = (1e-3, 1e3)


@dataclass(frozen=True)
class Marginal:
    """One spline per coordinate.

    Attributes:
        x: (D, K + 1), the knots on the data side.
        y: (D, K + 1), on the base side.
        slope: (D, K + 1), the slopes there; beyond the ends they go on.
        name: What panels call the layer.
    """

    x: Tensor
    y: Tensor
    slope: Tensor
    name: str = "marginal"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and log abs det ∂y/∂x (B,), nats."""
        return self._through(x, self.x, self.y, inverse=False)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and log abs det ∂y/∂x (B,), nats."""
        return self._through(y, self.y, self.x, inverse=True)

    def _through(
        self, values: Tensor, here: Tensor, there: Tensor, *, inverse: bool
    ) -> tuple[Tensor, Tensor]:
        columns = values.t().contiguous()
        index = torch.searchsorted(here[:, 1:-1].contiguous(), columns.detach(), right=True)
        low, high = here[:, :1], here[:, -1:]
        inside = torch.minimum(torch.maximum(columns, low), high)
        found = self._bin(index)
        moved, log_slope = found.inverse(inside) if inverse else found.forward(inside)
        beyond = columns - inside  # 0 within the knots
        at_end = torch.where(beyond < 0.0, self.slope[:, :1], self.slope[:, -1:])
        steep = 1.0 / at_end if inverse else at_end
        moved = torch.where(beyond == 0.0, moved, self._end(there, beyond) + beyond * steep)
        log_slope = torch.where(beyond == 0.0, log_slope, at_end.log())
        return moved.t(), log_slope.sum(0)

    def _bin(self, index: Tensor) -> Bin:
        left, bottom = self.x.gather(1, index), self.y.gather(1, index)
        right, top = self.x.gather(1, index + 1), self.y.gather(1, index + 1)
        first, last = self.slope.gather(1, index), self.slope.gather(1, index + 1)
        return Bin(left, right - left, bottom, top - bottom, first, last)

    def padded(self, n_bins: int) -> Marginal:
        """The same curves with more knots: the new ones lie on the straight upper tails."""
        n_more = n_bins + 1 - self.x.shape[1]
        ahead = torch.arange(1, n_more + 1, dtype=self.x.dtype, device=self.x.device)
        end = self.slope[:, -1:]
        x = torch.cat([self.x, self.x[:, -1:] + ahead / end], 1)
        y = torch.cat([self.y, self.y[:, -1:] + ahead], 1)
        return Marginal(x, y, torch.cat([self.slope, end.expand(-1, n_more)], 1))

    def coordinate(self, index: int) -> Marginal:
        """The curve of one coordinate alone."""
        part = slice(index, index + 1)
        return Marginal(self.x[part], self.y[part], self.slope[part])

    @staticmethod
    def _end(there: Tensor, beyond: Tensor) -> Tensor:
        return torch.where(beyond < 0.0, there[:, :1], there[:, -1:])


def identity(size: int, n_bins: int) -> Marginal:
    """Splines that change nothing, float64."""
    knots = torch.linspace(-OUTERMOST, OUTERMOST, n_bins + 1, dtype=torch.float64)
    rows = knots.repeat(size, 1)
    return Marginal(rows, rows.clone(), torch.ones_like(rows))


@torch.no_grad()
def fit_marginals(x: Tensor, n_bins: int) -> Marginal:
    """Splines that make each column of (N, D), float64, standard normal.

    The knots stand at quantiles of the data; the slope of each tail is the one under which the
    mean excess beyond the last knot is that of a normal law.
    """
    n, size = x.shape
    # Half-way between two points: on one of them, rounding would decide whether it is beyond.
    share = min(0.5, (LEAST_TAIL + 0.5) / (n + 1))
    ends = -_quantile(torch.tensor(share, dtype=x.dtype))
    outermost = float(ends.clamp(0.1, OUTERMOST))
    y = torch.linspace(-outermost, outermost, n_bins + 1, dtype=x.dtype, device=x.device)
    ordered = x.t().contiguous().sort(1).values
    places = torch.special.ndtr(y) * (n + 1) - 1.0
    below = places.floor().clamp(0, n - 1).long()
    above = (below + 1).clamp(max=n - 1)
    between = (places - below).clamp(0.0, 1.0)
    knots = torch.lerp(ordered[:, below], ordered[:, above], between)
    widths = knots.diff(dim=1).clamp_min(LEAST_WIDTH)
    # Kept apart around the median, where most of the data are.
    ahead = torch.cat([torch.zeros_like(knots[:, :1]), widths.cumsum(1)], 1)
    middle = n_bins // 2
    knots = knots[:, middle : middle + 1] + ahead - ahead[:, middle : middle + 1]
    rows = y.repeat(size, 1)
    return Marginal(knots, rows, _slopes(knots, rows, ordered))


def _slopes(x: Tensor, y: Tensor, ordered: Tensor) -> Tensor:
    """Slopes at the knots (D, K + 1): weighted harmonic means of the neighbouring secants."""
    widths = x.diff(dim=1)
    secants = y.diff(dim=1) / widths
    left, right = widths[:, :-1], widths[:, 1:]
    weight = (left + 2.0 * right) / (3.0 * (left + right))
    inner = 1.0 / (weight / secants[:, :-1] + (1.0 - weight) / secants[:, 1:])
    end = y[:1, -1]
    density = torch.exp(-0.5 * end.square()) / math.sqrt(2.0 * math.pi)
    excess = density / torch.special.ndtr(-end) - end
    lower = excess / _mean_excess(x[:, :1] - ordered)
    upper = excess / _mean_excess(ordered - x[:, -1:])
    slopes = torch.cat([lower[:, None], inner, upper[:, None]], 1)
    return slopes.clamp(*SLOPES)


def _mean_excess(beyond: Tensor) -> Tensor:
    """The mean of what is above 0 in each row, (D,)."""
    count = (beyond > 0.0).sum(1).clamp_min(1)
    return (beyond.clamp_min(0.0).sum(1) / count).clamp_min(1.0 / SLOPES[1])


def _quantile(p: Tensor) -> Tensor:
    quantile: Tensor = torch.special.ndtri(p)
    return quantile
