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

from torch import Tensor


def energy_distance(between: Tensor, within_x: Tensor, within_y: Tensor) -> float:
    """D in data units, from distances between the samples and within them.

    Args:
        between: (N, M).
        within_x: Of each pair of different points once, (N(N − 1)/2,).
        within_y: The same of the other sample, (M(M − 1)/2,).
    """
    n, m = between.shape
    within = float(within_x.sum()) / n**2 + float(within_y.sum()) / m**2
    return math.sqrt(max(2.0 * (float(between.mean()) - within), 0.0))
