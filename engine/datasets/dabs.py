"""Mixtures of many round Gaussians in the plane, fast enough to be scored while one paints.

p(x) = Σ_k w_k N(x; m_k, σ_k² I). Three ways of doing less work than K·B exponentials, each exact
to rounding or with a proven bound:

- On a lattice the Gaussians factor, exp(−(x−a)²/2σ²)·exp(−(y−b)²/2σ²), so that all pixels are one
  product of two thin matrices.
- Elsewhere points are sorted into small boxes. Each Gaussian left out in a box weighs at most
  ``SLACK``/K times the smallest density in it, hence at most ``SLACK`` = 10⁻¹³ of p is lost.
- The entropy is a Gauss–Legendre product rule whose panels are two σ wide, of what lies there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Share of the density that may be lost by leaving far Gaussians out.
SLACK = 1e-13
#: Points in one box, and Gaussians taken together on a lattice.
LEAF, BLOCK = 256, 2048
#: Fewest points that may be a lattice, and how many of its nodes may be without a point.
LATTICE_FROM, LATTICE_SPARSE = 1024, 2.0
#: Factors below the first count as 0 on a lattice; pixels below the second (both as a share of
#: the highest density there could be) are scored one by one, so that no digit is lost.
NOTHING, FAINT = 1e-150, 1e-130
#: A box reaches at most so many σ where squares are multiplied out; they then keep 12 digits.
WIDEST = 30.0
#: Quadrature: panel width and reach in σ, nodes per panel, panels taken together.
PANEL, REACH, NODES, SLAB = 2.0, 7.5, 8, 8


@dataclass(frozen=True)
class DabMixture:
    """Means (K, 2), standard deviations (K,) and weights (K,) that sum to 1, all float64."""

    means: Tensor
    scales: Tensor
    weights: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats; relative error of p below 1e-12 in float64."""
        points = x.to("cpu", torch.float64)
        log_p = torch.full_like(points[:, 0], -math.inf)
        log_p[points.isnan().any(1)] = math.nan
        rest = points.isfinite().all(1)
        if not x.requires_grad and int(rest.sum()) >= LATTICE_FROM:
            found = self._on_lattice(points[rest])
            log_p[rest] = found
            rest = rest & log_p.isnan()
        index = rest.nonzero()[:, 0]
        if len(index):
            log_p = log_p.index_put((index,), self._scattered(points[index]))
        return log_p.to(x)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32: a dab by its weight, then its own noise."""
        edges = self.weights.cumsum(0)[:-1]
        where = torch.rand(n, generator=generator, dtype=torch.float64)
        index = torch.bucketize(where, edges, right=True)
        noise = torch.randn(n, 2, generator=generator)
        scales, means = self.scales.to(torch.float32), self.means.to(torch.float32)
        return noise.mul_(scales[index, None]).add_(means[index])

    def entropy(self) -> float:
        """−∫ p log p in nats by a product rule that follows the σ; error below 1e-6."""
        x, y = (_axis_rule(self.means[:, a], self.scales) for a in (0, 1))
        return math.fsum(self._slab_entropy(nodes, w, y) for nodes, w in _slabs(*x))

    # --- a lattice ----------------------------------------------------------------------------

    def _on_lattice(self, points: Tensor) -> Tensor:
        """log p at (B, 2); NaN where the points are no lattice or the density is too faint."""
        unknown = torch.full_like(points[:, 0], math.nan)
        columns, column = torch.unique(points[:, 0], return_inverse=True)
        if len(columns) > LATTICE_SPARSE * len(points) / 2:
            return unknown
        rows, row = torch.unique(points[:, 1], return_inverse=True)
        if len(columns) * len(rows) > LATTICE_SPARSE * len(points):
            return unknown
        p, faint = self._product(columns, rows)
        found = p[column, row]
        return torch.where(found > faint, found.log(), unknown)

    def _product(self, x: Tensor, y: Tensor) -> tuple[Tensor, float]:
        """p at all (x, y), (X, Y), and the level below which it is not to be trusted."""
        heights = self.weights / (2.0 * math.pi * self.scales**2)
        p = torch.zeros(len(x), len(y), dtype=torch.float64)
        for block in torch.split(torch.arange(len(heights)), BLOCK):
            scales = self.scales[block]
            across = _bell(x, self.means[block, 0], scales) * heights[block]
            p.addmm_(across, _bell(y, self.means[block, 1], scales).T)
        return p, FAINT * float(heights.sum())

    # --- points anywhere ----------------------------------------------------------------------

    def _scattered(self, points: Tensor) -> Tensor:
        """log p at any (B, 2), box by box."""
        order = _boxed(points.detach())
        pieces = [self._boxed_log_prob(points[leaf]) for leaf in torch.split(order, LEAF)]
        return torch.empty_like(points[:, 0]).index_put((order,), torch.cat(pieces))

    def _boxed_log_prob(self, points: Tensor) -> Tensor:
        near = self._matters(points.detach())
        terms = self._terms(points, near)
        highest = terms.detach().amax(1, keepdim=True).clamp_min(-1e300)
        return (terms - highest).exp_().sum(1).log() + highest[:, 0]

    def _terms(self, points: Tensor, near: Tensor) -> Tensor:
        """log w_k N(x; m_k, σ_k²) of some Gaussians at points of one box, (B, k).

        Squares are multiplied out around the box's middle, for one matrix product, unless the box
        is so wide that this would cost digits.
        """
        low, high = points.detach().amin(0), points.detach().amax(0)
        middle, scales = (low + high) / 2, self.scales[near]
        offsets, means = points - middle, self.means[near] - middle
        reach = torch.linalg.vector_norm(means, dim=1) + torch.linalg.vector_norm(high - low) / 2
        if float((reach / scales).max()) > WIDEST:
            apart = (points[:, None, :] - self.means[near]) / scales[:, None]  # (B, k, 2)
            return self._log_heights[near] - 0.5 * apart.square().sum(-1)
        precision = 1.0 / scales**2
        constant = self._log_heights[near] - 0.5 * precision * means.square().sum(1)
        left = torch.cat([offsets, offsets.square().sum(1, keepdim=True)], dim=1)  # (B, 3)
        right = torch.stack([means[:, 0] * precision, means[:, 1] * precision, -0.5 * precision])
        return torch.addmm(constant, left, right)

    def _matters(self, points: Tensor) -> Tensor:
        """Which Gaussians cannot be left out in the box around some points, (K,).

        With u_k and l_k the largest and smallest value of term k in the box, p ≥ Σ l_k there, and
        leaving out terms with u_k < (Σ l_k)·SLACK/K loses less than p·SLACK.
        """
        low, high = points.amin(0), points.amax(0)
        outside = torch.maximum(low - self.means, self.means - high).clamp_min(0.0)
        across = torch.maximum(self.means - low, high - self.means)
        heights, precision = self._log_heights, 0.5 / self.scales**2
        upper = heights - precision * outside.square().sum(1)
        lower = heights - precision * across.square().sum(1)
        floor = torch.logsumexp(lower, 0) + math.log(SLACK / len(heights))
        return upper >= floor

    @property
    def _log_heights(self) -> Tensor:
        return self.weights.log() - torch.log(2.0 * math.pi * self.scales**2)

    # --- the entropy --------------------------------------------------------------------------

    def _slab_entropy(self, x: Tensor, w: Tensor, y: tuple[Tensor, Tensor]) -> float:
        """The part of −∫ p log p whose x are these nodes."""
        reach = REACH * self.scales
        first = self.means[:, 0]
        near = (first + reach >= x[0]) & (first - reach <= x[-1])
        if not bool(near.any()):
            return 0.0
        part = DabMixture(self.means[near], self.scales[near], self.weights[near])
        nodes, weights = y
        inside = _covered(nodes, part.means[:, 1], REACH * part.scales)
        p, _ = part._product(x, nodes[inside])
        return -float(w @ torch.xlogy(p, p) @ weights[inside])


def _bell(x: Tensor, centres: Tensor, scales: Tensor) -> Tensor:
    """exp(−(x − m)²/2σ²) for all pairs, (X, K); what is next to nothing is 0."""
    bell = ((x[:, None] - centres) / scales).square_().mul_(-0.5).exp_()
    return bell.masked_fill_(bell < NOTHING, 0.0)


def _boxed(points: Tensor) -> Tensor:
    """An order of the points (B, 2) in which every ``LEAF`` of them lie close together."""
    strip = LEAF * max(1, math.isqrt(max(1, len(points) // LEAF)))
    order = points[:, 0].argsort()
    strips = torch.split(order, strip)
    return torch.cat([part[points[part, 1].argsort()] for part in strips])


def _axis_rule(centres: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes and weights on panels along one axis, in rising order."""
    ends = np.array(list(_panels(centres.numpy(), scales.numpy())))
    x, w = np.polynomial.legendre.leggauss(NODES)
    half, middle = (ends[:, 1] - ends[:, 0]) / 2, (ends[:, 1] + ends[:, 0]) / 2
    nodes = middle[:, None] + half[:, None] * x
    return torch.from_numpy(nodes.ravel()), torch.from_numpy((half[:, None] * w).ravel())


def _panels(centres: np.ndarray, scales: np.ndarray) -> Iterator[tuple[float, float]]:
    """Panels at most ``PANEL`` times as wide as the smallest σ within reach of them."""
    order = np.argsort(scales)
    scales = scales[order]
    starts = centres[order] - REACH * scales
    stops = centres[order] + REACH * scales
    here, end = float(starts.min()), float(stops.max())
    while here < end:
        later = starts[stops > here]
        here = max(here, float(later.min()))
        # From the smallest σ up: the first whose reach touches a panel of its own width.
        touched = (stops > here) & (starts < here + PANEL * scales)
        width = PANEL * float(scales[int(touched.argmax())])
        yield here, here + width
        here += width


def _slabs(nodes: Tensor, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    size = NODES * SLAB
    yield from zip(torch.split(nodes, size), torch.split(weights, size), strict=True)


def _covered(nodes: Tensor, centres: Tensor, reach: Tensor) -> Tensor:
    """Indices of the nodes (Y,), rising, that lie within reach of any centre."""
    count = torch.zeros(len(nodes) + 1, dtype=torch.int64)
    first = torch.searchsorted(nodes, centres - reach)
    last = torch.searchsorted(nodes, centres + reach, right=True)
    one = torch.ones_like(first)
    count.index_add_(0, first, one).index_add_(0, last, -one)
    return count.cumsum(0)[:-1].nonzero()[:, 0]


__all__ = ["DabMixture"]
