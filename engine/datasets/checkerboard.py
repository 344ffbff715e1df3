"""A checkerboard: uniform on 8 squares of side 2 in [−4, 4]².

Constants: the square in column i and row j (i, j = 0 … 3, counted from the corner −4, −4 at the
lower left) is filled when i + j is even, so the lower left square is filled and the upper left
one is empty. Sharp edges by default: the entropy is ln 32 = 3.466 nats. A ``noise`` of σ > 0 adds
N(0, σ² I) to each point; the density is then the board convolved with that Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from engine.dataset import SplitConfig
from engine.datasets.synthetic import CHUNK, Synthetic, chunked, far_is_empty
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

SIDE = 2.0
EDGE = 4.0
#: Density inside a filled square: one over the filled area.
LEVEL = 1.0 / 32.0
#: Lower edges of the four columns (and rows), and which (column, row) are filled.
EDGES = torch.tensor([-4.0, -2.0, 0.0, 2.0], dtype=torch.float64)
FILLED = (torch.arange(4)[:, None] + torch.arange(4)) % 2 == 0  # (4, 4)


class Checkerboard(Synthetic):
    """p = 1/32 on the filled squares, smoothed by N(0, σ² I)."""

    card = DatasetCard(
        name="checkerboard",
        title="Checkerboard",
        summary="Sharp edges and flat plateaus: hard for every smooth model.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the blur of the edges."""

        noise: Annotated[
            float,
            Field(0.0, 1.0, step=0.01, symbol=r"\sigma", help="Blur of the edges; 0 is sharp."),
        ] = 0.0

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32."""
        cells = torch.randint(8, (n,), generator=generator)
        low = (EDGES[FILLED.nonzero()]).to(torch.float32)[cells]
        points = torch.rand(n, 2, generator=generator).mul_(SIDE).add_(low)
        # A sum just below the upper edge may be rounded onto it, which is outside.
        points = torch.minimum(points, (low + SIDE).nextafter(low))
        if self.config.noise > 0.0:
            points += torch.randn(n, 2, generator=generator) * self.config.noise
        return points

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats; −inf off the squares when the edges are sharp."""
        if self.config.noise == 0.0:
            return _sharp_log_prob(x)
        noise = self.config.noise
        log_p = chunked(lambda piece: _blurred_log_prob(piece, noise), x, CHUNK // 16)
        return far_is_empty(log_p, x)

    def entropy(self) -> float:
        """H(p) in nats: ln 32 when sharp, otherwise by quadrature."""
        return _entropy(self.config.noise)


def _sharp_log_prob(x: Tensor) -> Tensor:
    inside = ((x >= -EDGE) & (x < EDGE)).all(1)
    # Compared, not divided: the sum of an edge and a tiny number is the edge.
    cell = (torch.bucketize(x.contiguous(), EDGES.to(x), right=True) - 1).clamp(0, 3)  # (B, 2)
    filled = inside & FILLED.to(x.device)[cell[:, 0], cell[:, 1]]
    return torch.full_like(x[:, 0], math.log(LEVEL)).masked_fill(~filled, -math.inf)


def _blurred_log_prob(x: Tensor, noise: float) -> Tensor:
    column = _log_share(x[:, 0], noise)  # (B, 4)
    row = _log_share(x[:, 1], noise)
    cells = column[:, :, None] + row[:, None, :]  # (B, 4, 4)
    terms = cells.flatten(1)[:, FILLED.to(x.device).flatten()]
    return math.log(LEVEL) + torch.logsumexp(terms, dim=1)


def _log_share(x: Tensor, noise: float) -> Tensor:
    """log P(x − ε falls between each pair of edges) for ε ~ N(0, σ²), (B,) → (B, 4).

    Differences are taken on the lower tail, where they keep their digits far from the edges.
    """
    low = (EDGES.to(x) - x[:, None]) / noise
    high = low + SIDE / noise
    flip = low + high > 0.0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    upper: Tensor = torch.special.log_ndtr(high)
    return upper + torch.log(-torch.expm1(torch.special.log_ndtr(low) - upper))


@cache
def _entropy(noise: float) -> float:
    if noise == 0.0:
        return -math.log(LEVEL)
    nodes, weights = _rule(noise)
    share = _log_share(nodes, noise).exp()  # (M, 4)
    p = LEVEL * share @ FILLED.to(torch.float64) @ share.T  # (M, M)
    return -float(torch.einsum("i,ij,j->", weights, torch.xlogy(p, p), weights))


def _rule(noise: float) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes and weights, with panels that crowd around the blurred edges."""
    offsets = np.array([-9.0, -6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0, 9.0]) * noise
    breaks = np.unique((np.linspace(-EDGE, EDGE, 5)[:, None] + offsets).ravel())
    x, w = np.polynomial.legendre.leggauss(12)
    panels = [(0.5 * (b - a), 0.5 * (a + b)) for a, b in pairwise(breaks.tolist())]
    nodes = np.concatenate([half * x + centre for half, centre in panels])
    weights = np.concatenate([half * w for half, _ in panels])
    return torch.from_numpy(nodes), torch.from_numpy(weights)
