r"""The sliced Wasserstein-1 distance between two samples of equal size.

.. math::
    \mathrm{SW}_1 = \frac1L \sum_{l=1}^{L} W_1(\theta_l^\top x, \theta_l^\top y), \qquad
    W_1 = \frac1N \sum_i \lvert u_{(i)} - v_{(i)} \rvert

where u and v are the two projections in rising order. In the plane the directions lie evenly over
a half circle, in more dimensions they are drawn once under a fixed seed; on a line it is W₁.

References:
    Rabin, Peyré, Delon and Bernot, *Wasserstein Barycenter and its Application to Texture Mixing*,
    2011.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

N_DIRECTIONS = 32
SEED = 7


def directions(dims: int) -> Tensor:
    """Unit vectors (L, D), float64: one on a line, evenly turned in the plane, else drawn."""
    if dims == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if dims == 2:
        turn = math.pi * (torch.arange(N_DIRECTIONS, dtype=torch.float64) + 0.5) / N_DIRECTIONS
        return torch.stack([turn.cos(), turn.sin()], 1)
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.randn(N_DIRECTIONS, dims, generator=generator, dtype=torch.float64)
    unit: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
    return unit


def sliced_wasserstein(x: Tensor, y: Tensor) -> float:
    """SW₁ of (N, D) and (N, D), data units.

    Raises:
        ValueError: The samples are of different size.
    """
    if x.shape != y.shape:
        raise ValueError(f"sliced Wasserstein: given {len(x)} and {len(y)} points, wanted as many")
    turned = directions(x.shape[1]).to(x)
    u, v = ((turned @ points.T).sort(1).values for points in (x, y))
    return float((u - v).abs().mean(dtype=torch.float64))
