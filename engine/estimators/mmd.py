r"""The squared maximum mean discrepancy between two samples, unbiased, with a Gaussian kernel.

.. math::
    \widehat{\mathrm{MMD}}^2 = \frac{\sum_{i \ne j} k(x_i, x_j)}{N(N-1)}
    + \frac{\sum_{i \ne j} k(y_i, y_j)}{M(M-1)} - \frac{2 \sum_{ij} k(x_i, y_j)}{N M},
    \qquad k(x, y) = e^{-\lVert x - y \rVert^2 / 2 h^2}

It is unbiased, so a perfect sampler scores 0 on average and is negative half of the time. The
bandwidth h is the median distance of a sample of the data (the median heuristic), kept fixed, so
that scores of different models and steps can be compared.

References:
    Gretton, Borgwardt, Rasch, Schölkopf and Smola, *A Kernel Two-Sample Test*, JMLR 2012.
"""

from __future__ import annotations

import torch
from torch import Tensor


def median_bandwidth(within: Tensor) -> float:
    """h: the median of the distances between different points of one sample; 1 if it is 0.

    Raises:
        ValueError: There are no distances: fewer than two points.
    """
    if not len(within):
        raise ValueError("MMD: given fewer than two points, wanted at least two")
    return float(within.median()) or 1.0


def squared_mmd(between: Tensor, within_x: Tensor, within_y: Tensor, bandwidth: float) -> float:
    """MMD², which has no unit, from distances between the samples and within them.

    Args:
        between: (N, M).
        within_x: (N, N), each pair twice and zeros on the diagonal.
        within_y: (M, M).
        bandwidth: h, in the distances' unit.
    """
    x, y = (_mean_off_diagonal(_kernel(d, bandwidth)) for d in (within_x, within_y))
    return x + y - 2.0 * float(_kernel(between, bandwidth).mean(dtype=torch.float64))


def _mean_off_diagonal(kernel: Tensor) -> float:
    n = len(kernel)
    return (float(kernel.sum(dtype=torch.float64)) - n) / (n * (n - 1))


def _kernel(distances: Tensor, bandwidth: float) -> Tensor:
    return (distances / bandwidth).square().mul_(-0.5).exp_()
