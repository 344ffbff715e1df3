r"""The energy distance between two samples.

.. math::
    D^2 = 2\,E\lVert X - Y \rVert - E\lVert X - X' \rVert - E\lVert Y - Y' \rVert

is 0 exactly when both have the same distribution. It is taken between the two empirical measures
(every pair counts, a point with itself too), so it is never negative, and a perfect sampler scores
above 0 at any finite number of points: compare with its null band.

References:
    Székely and Rizzo, *Energy statistics: A class of statistics based on distances*, 2013.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def energy_distance(between: Tensor, within_x: Tensor, within_y: Tensor) -> float:
    """D in data units, from distances between the samples and within them.

    Args:
        between: (N, M).
        within_x: (N, N), each pair twice and zeros on the diagonal.
        within_y: (M, M).
    """
    apart, x, y = (float(d.mean(dtype=torch.float64)) for d in (between, within_x, within_y))
    return math.sqrt(max(2.0 * apart - x - y, 0.0))
