r"""Two Gaussian opinions about one value, merged by their precisions.

The product of two normal densities is a normal density again, up to a factor: its precision is the
sum of theirs, and its mean lies nearer to the surer of the two.

.. math::
    \sigma^2 = \frac{1}{\sigma_q^{-2} + \sigma_p^{-2}}, \qquad
    \mu = \frac{\mu_q \sigma_q^{-2} + \mu_p \sigma_p^{-2}}{\sigma_q^{-2} + \sigma_p^{-2}}

References:
    Sønderby, Raiko, Maaløe, Sønderby and Winther, *Ladder Variational Autoencoders*, NeurIPS 2016,
    equations 16 and 17.
"""

from __future__ import annotations

import torch

from engine.nets.diagonal import DiagonalPosterior


def merged(q: DiagonalPosterior, p: DiagonalPosterior) -> DiagonalPosterior:
    """The normalised product of diagonal Gaussians whose shapes (…, Z) broadcast; q's name.

    In log-scales nothing overflows: the weight of q's mean is σ_p² / (σ_q² + σ_p²).
    """
    log_scale = -0.5 * torch.logaddexp(-2.0 * q.log_scale, -2.0 * p.log_scale)
    share = torch.sigmoid(2.0 * (p.log_scale - q.log_scale))
    mean = p.mean + share * (q.mean - p.mean)
    return DiagonalPosterior(mean, log_scale, q.name)
