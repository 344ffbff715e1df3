r"""Expectation-maximisation of many Gaussians, as two products of matrices.

A log-density is linear in the products of its coordinates φ(x) = (1, x_i, x_i x_j), and the M-step
needs nothing but their weighted sums. With the φ of a block of points in one matrix the E-step is
one product, the M-step another, and no component is visited by itself:

.. math::
    \log \pi_k \mathcal N(x; \mu_k, \Sigma_k) = a_k^\top \varphi(x), \qquad
    \sum_n r_{nk}\, \varphi(x_n) = \Bigl(\sum_n r_{nk},\; \sum_n r_{nk} x_n,\;
        \sum_n r_{nk}\, x_n x_n^\top\Bigr)

Both lose digits by cancellation where a Gaussian is far narrower than the data are wide; then the
log-density is worked from whitened differences, and the second moments about the new means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from engine.estimators.gaussian import gaussian_log_prob

#: Largest share of a squared distance from the origin in a least variance: beyond it products of
#: coordinates lose more than 1e-10 nats to cancellation.
STEEPEST = 1e5
#: More products of coordinates than this cost more than they save.
MOST_PRODUCTS = 600
#: Values of one block of points: small enough for the caches. An accelerator takes more.
BLOCK_VALUES = 2**18
SMALLEST_BLOCK, WIDER = 256, 16
#: A component that answers for less than this many points keeps its place and shape.
SMALLEST_COUNT = 1e-6

#: Starts a pass over the data: blocks (n, D), float64, the same ones at every call.
Blocks: TypeAlias = Callable[[], Iterator[Tensor]]


class Gaussians(NamedTuple):
    """Log-weights (K,), means (K, D) and Cholesky factors (K, D, D), float64."""

    log_weights: Tensor
    means: Tensor
    scale_tril: Tensor


class Moments(NamedTuple):
    """Weighted counts (K,), means (K, D) and covariances (K, D, D) of points, float64."""

    counts: Tensor
    means: Tensor
    covariances: Tensor


def block_rows(size: int, n_components: int, structure: str, device: torch.device) -> int:
    """Points in one block."""
    kind = _kind(size, structure)
    wide = n_components * size if kind == "linear" else _n_products(size, structure)
    values = wide + n_components
    rows = max(SMALLEST_BLOCK, BLOCK_VALUES // values)
    return rows if device.type == "cpu" else rows * WIDER


def em_moments(blocks: Blocks, old: Gaussians, structure: str) -> tuple[Tensor, Moments]:
    """One sweep over the data: Σ_n log p(x_n) before it, nats, and what the M-step needs.

    Args:
        blocks: The data.
        old: The mixture before the sweep.
        structure: ``"full"``, or another one, for which covariances are only diagonals.
    """
    kind = _kind(old.means.shape[1], structure)
    reaches = [float(u.square().sum(-1).max()) for u in blocks()]
    reach = max(reaches)
    quick = kind != "linear" and reach <= STEEPEST * _least_variance(old.scale_tril)
    coefficients = _coefficients(old, kind) if quick else None
    totals: list[Tensor] = []

    def shared() -> Iterator[tuple[Tensor, Tensor]]:
        for u in blocks():
            products = _products(u, kind)
            joint = _whitened(u, old) if coefficients is None else coefficients @ products
            totals.append(normalise_(joint).sum())
            yield products, joint

    moments = _moments(shared, old.means.shape, structure, reach)
    # A second pass, where one was needed, gave the same totals again.
    return torch.stack(totals[: len(reaches)]).sum(), moments


def weighted_moments(u: Tensor, weights: Tensor, structure: str) -> Moments:
    """Moments of points (N, D) under weights (N, K) ≥ 0, all float64."""
    kind = _kind(u.shape[1], structure)
    rows = block_rows(u.shape[1], weights.shape[1], structure, u.device)

    def shared() -> Iterator[tuple[Tensor, Tensor]]:
        for points, shares in zip(torch.split(u, rows), torch.split(weights, rows), strict=True):
            yield _products(points, kind), shares.T

    reach = float(u.square().sum(-1).max())
    return _moments(shared, torch.Size((weights.shape[1], u.shape[1])), structure, reach)


def normalise_(joint: Tensor) -> Tensor:
    """Log-joints (K, n) become responsibilities in place; returns their log Σ_k exp, (n,)."""
    top = joint.amax(0)
    joint.sub_(top).exp_()
    total = joint.sum(0)
    joint.div_(total)
    return total.log_().add_(top)


# --- the M-step's sums ------------------------------------------------------------------------


def _moments(
    shared: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    shape: torch.Size,
    structure: str,
    reach: float,
) -> Moments:
    """Moments of products (F, n) shared out by weights (K, n), in one pass or in two."""
    size = shape[1]
    sums = sum((shares @ products.T for products, shares in shared()), torch.zeros(()))
    counts, firsts = sums[:, 0], sums[:, 1 : 1 + size]
    least = counts.clamp_min(SMALLEST_COUNT)[:, None]
    means = firsts / least
    if sums.shape[1] > 1 + size:
        second = _matrices(sums[:, 1 + size :] / least, size)
        covariances = second - _outer(means, structure)
        alive = counts > SMALLEST_COUNT
        if reach <= STEEPEST * float(_eigenvalues(covariances[alive]).amin()):
            return Moments(counts, means, covariances)
    scatter = torch.zeros(*shape, size, dtype=means.dtype, device=means.device)
    for products, shares in shared():
        scatter += _scatter(products[1 : 1 + size].T - means[:, None], shares / least, structure)
    return Moments(counts, means, scatter)


def _scatter(centred: Tensor, shares: Tensor, structure: str) -> Tensor:
    """Σ_n s_n (x_n − μ_k)(x_n − μ_k)ᵀ of (K, n, D) and (K, n), (K, D, D)."""
    if structure == "full":
        return (centred * shares[..., None]).mT @ centred
    return torch.diag_embed((centred.square() * shares[..., None]).sum(1))


def _outer(means: Tensor, structure: str) -> Tensor:
    if structure == "full":
        return means[:, :, None] * means[:, None, :]
    return torch.diag_embed(means.square())


def _eigenvalues(covariances: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(covariances) if len(covariances) else torch.ones(1, 1)


def _least_variance(scale_tril: Tensor) -> float:
    return float(_eigenvalues(scale_tril @ scale_tril.mT).amin())


# --- products of coordinates ------------------------------------------------------------------


def _kind(size: int, structure: str) -> str:
    if structure != "full":
        return "squares"
    return "pairs" if 1 + size + size * (size + 1) // 2 <= MOST_PRODUCTS else "linear"


def _n_products(size: int, structure: str) -> int:
    kind = _kind(size, structure)
    return 1 + size + {"squares": size, "pairs": size * (size + 1) // 2, "linear": 0}[kind]


def _products(u: Tensor, kind: str) -> Tensor:
    """Points (n, D) → (F, n): ones, coordinates, then their squares or all pairs i ≤ j."""
    n, size = u.shape
    structure = "diagonal" if kind == "squares" else "full"
    found = torch.empty(_n_products(size, structure), n, dtype=u.dtype, device=u.device)
    found[0] = 1.0
    rows = found[1 : 1 + size]
    rows.copy_(u.T)
    if kind == "squares":
        torch.square(rows, out=found[1 + size :])
    elif kind == "pairs":
        start = 1 + size
        for i in range(size):
            torch.mul(rows[i], rows[i:], out=found[start : start + size - i])
            start += size - i
    return found


def _matrices(values: Tensor, size: int) -> Tensor:
    """Second moments (K, F') as matrices (K, D, D)."""
    if values.shape[1] == size:
        return torch.diag_embed(values)
    i, j = torch.triu_indices(size, size)
    found = values.new_zeros(len(values), size, size)
    found[:, i, j] = values
    found[:, j, i] = values
    return found


def _coefficients(g: Gaussians, kind: str) -> Tensor:
    """a (K, F): a · φ(x) = log π + log N(x; μ, Σ)."""
    size = g.means.shape[1]
    eye = torch.eye(size).to(g.means).expand_as(g.scale_tril)
    root = torch.linalg.solve_triangular(g.scale_tril, eye, upper=False)
    precision = root.mT @ root
    linear = (precision @ g.means[..., None])[..., 0]
    log_det = g.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = g.log_weights - 0.5 * size * math.log(2.0 * math.pi) - log_det
    constant = constant - 0.5 * (g.means * linear).sum(-1)
    if kind == "squares":
        second = -0.5 * precision.diagonal(dim1=-2, dim2=-1)
    else:
        i, j = torch.triu_indices(size, size)
        second = precision[:, i, j] * torch.where(i == j, -0.5, -1.0).to(precision)
    return torch.cat([constant[:, None], linear, second], 1)


def _whitened(u: Tensor, g: Gaussians) -> Tensor:
    """log π + log N by whitened differences, (K, n): no digit is lost to cancellation."""
    return (g.log_weights + gaussian_log_prob(u, g.means, g.scale_tril)).T.contiguous()
