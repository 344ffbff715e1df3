"""Where to start a clustering: far-apart points of the data.

References:
    Arthur and Vassilvitskii, *k-means++: The Advantages of Careful Seeding*, SODA 2007.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.drawing import uniform_noise


def plus_plus_centres(
    points: Tensor, n_centres: int, generator: torch.Generator, *, n_trials: int = 1
) -> Tensor:
    r"""k-means++: each next centre is drawn with probability ∝ squared distance to the nearest.

    Several seedings run side by side; the one with the least potential
    :math:`\sum_n \min_k \lVert x_n - c_k \rVert^2` is taken.

    Args:
        points: (N, D).
        n_centres: K; where it exceeds the number of distinct points, some centres coincide.
        generator: All chance.
        n_trials: Number of seedings to choose from.

    Returns:
        (K, D), each one of the points.

    Raises:
        ValueError: There are no points.
    """
    if not len(points):
        raise ValueError("k-means++: given no points, wanted at least one")
    noise = uniform_noise((n_centres, n_trials), generator, points)
    nearest = torch.ones(n_trials, len(points), dtype=points.dtype, device=points.device)
    centres: list[Tensor] = []
    for row in noise:
        chosen = _invert(nearest, row)
        centre = points[chosen]  # (T, D)
        distance = torch.cdist(centre, points).square()
        nearest = torch.minimum(nearest, distance) if centres else distance
        centres.append(centre)
    best = int(nearest.sum(-1).argmin())
    return torch.stack([centre[best] for centre in centres])


def _invert(weights: Tensor, u: Tensor) -> Tensor:
    """One index per row of weights (T, N) for uniform u (T,)."""
    cumulative = weights.cumsum(-1)
    target = (u * cumulative[:, -1]).unsqueeze(-1)
    return (
        torch.searchsorted(cumulative, target, right=True)
        .squeeze(-1)
        .clamp_max_(weights.shape[1] - 1)
    )
