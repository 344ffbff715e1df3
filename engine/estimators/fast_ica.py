r"""FastICA's parts: whitening, the fixed-point step and symmetric orthogonalisation.

.. math::
    w \leftarrow E[z\, g(w^\top z)] - E[g'(w^\top z)]\, w, \qquad
    R \leftarrow (R R^\top)^{-1/2} R

References:
    Hyvärinen and Oja, *Independent Component Analysis: Algorithms and Applications*, Neural
    Networks 13, 2000, sections 5 and 6.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Directions whose variance is below this share of the largest are not stretched to 1.
LEAST_VARIANCE = 1e-10
#: Rows taken at a time.
ROWS = 8192


def _log_cosh(s: Tensor) -> tuple[Tensor, Tensor]:
    g = torch.tanh(s)
    return g, 1.0 - g.square()


def _cube(s: Tensor) -> tuple[Tensor, Tensor]:
    return s.pow(3), 3.0 * s.square()


def _bell(s: Tensor) -> tuple[Tensor, Tensor]:
    bell = torch.exp(-0.5 * s.square())
    return s * bell, (1.0 - s.square()) * bell


#: g and g' of each contrast; kurtosis is fast and fragile, the others bear outliers.
CONTRASTS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "log cosh": _log_cosh,
    "kurtosis": _cube,
    "bell": _bell,
}


def whitening(covariance: Tensor) -> Tensor:
    r""":math:`C^{-1/2}` of a covariance (D, D); directions without variance are left as they are.

    The symmetric root does not hang on the signs and the order of eigenvectors.
    """
    values, vectors = torch.linalg.eigh(covariance)
    least = LEAST_VARIANCE * values[-1].clamp_min(LEAST_VARIANCE)
    factors = torch.where(values > least, values.clamp_min(least).rsqrt(), torch.ones_like(values))
    root: Tensor = (vectors * factors) @ vectors.T
    return root


def orthogonalised(matrix: Tensor) -> Tensor:
    r""":math:`(M M^\top)^{-1/2} M`, the orthogonal matrix nearest to M (D, D)."""
    left, _, right = torch.linalg.svd(matrix)
    nearest: Tensor = left @ right
    return nearest


def random_rotation(size: int, generator: torch.Generator) -> Tensor:
    """An orthogonal matrix (D, D), float64, without a preferred direction."""
    noise = torch.randn(size, size, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(noise)
    rotation: Tensor = q * r.diagonal().sign()
    return rotation


def fixed_point(z: Tensor, rotation: Tensor, contrast: str) -> Tensor:
    """One step for all rows of a rotation (D, D) at once, on white points (N, D)."""
    g_of = CONTRASTS[contrast]
    total, slope = torch.zeros_like(rotation), torch.zeros_like(rotation[0])
    for part in torch.split(z, ROWS):
        g, g_slope = g_of(part @ rotation.T)
        total += g.T @ part
        slope += g_slope.sum(0)
    return orthogonalised((total - slope[:, None] * rotation) / len(z))


def excess_kurtosis(s: Tensor) -> Tensor:
    """E s⁴ / (E s²)² − 3 per column of centred (N, D), (D,)."""
    square = s.square()
    variance = square.mean(0).clamp_min(torch.finfo(s.dtype).tiny)
    return square.square().mean(0) / variance.square() - 3.0
