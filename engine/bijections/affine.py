r"""The elementwise affine map of RealNVP and MAF, with a bounded log-scale.

Data → base it is :math:`y = x\,e^{s} + t`, with :math:`\log|\det| = \sum s`. MAF writes the same
map from base to data, :math:`x = \mu + e^{\alpha} u`: there :math:`\alpha = -s` and
:math:`\mu = -t\,e^{-s}`. A network puts out t and a raw r, from which

.. math:: s = \frac{r}{1 + |r| / c}, \qquad \frac{\partial s}{\partial r} = (1 + |r| / c)^{-2},

which is the identity near zero and stays within ±c, so that one layer stretches space by at most
:math:`e^c`: without a bound a single outlier can throw a whole run.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: c: one layer stretches or shrinks a coordinate at most twentyfold.
LOG_SCALE_BOUND = 3.0


def bounded(raw: Tensor) -> Tensor:
    """The network's output r → the log-scale s, within ±:data:`LOG_SCALE_BOUND`."""
    return raw / (1.0 + raw.abs() / LOG_SCALE_BOUND)


def scale_and_shift(x: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
    """y = x·exp(s) + t, data → base; the log-determinant is Σ s."""
    return torch.addcmul(shift, x, log_scale.exp())


def unscale_and_unshift(y: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
    """x = (y − t)·exp(−s), base → data."""
    return (y - shift) * torch.exp(-log_scale)
