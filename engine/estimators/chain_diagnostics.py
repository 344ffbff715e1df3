r"""Whether chains have mixed: R-hat, effective sample size, autocorrelation, occupancy of modes.

R-hat and the effective sample size are arviz-stats', rank-normalised and split (Vehtari, Gelman,
Simpson, Carpenter and Bürkner, Bayesian Analysis 2021). R-hat compares the spread between chains
with the spread within; it is near 1 where they all tell the same story, which they also do where
all of them miss the same mode. Only occupancy against known weights sees that:

.. math:: \mathbb E_{p}\, r_k(x) = w_k, \qquad r_k(x) = \frac{w_k p_k(x)}{\sum_j w_j p_j(x)}

Traces are (T, N, D): T steps of N chains, D quantities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.datasets.mixture import Mixture

#: Steps that R-hat and the effective sample size need.
LEAST_STEPS = 4
#: Mixtures of more Gaussians than this are curves: those that overlap are one mode.
MOST_MODES = 64
#: Neighbours no further apart than so many standard deviations, of both together, overlap.
OVERLAP = 1.5
#: Gaussians compared with points at once.
CHUNK = 2**22
#: How an effective sample size is meant.
ESS_KINDS = ("bulk", "tail", "mean")


def r_hat(traces: Tensor) -> Tensor:
    """Rank-normalised split R-hat of (T, N, D), (D,), float64.

    Chains that never move are ∞ apart unless all stand on one spot, which tells nothing: NaN.

    Raises:
        ValueError: Fewer than 2 chains or 4 steps.
    """
    _check(traces, least_chains=2)
    from arviz_stats.base import array_stats  # scipy.stats takes a second to import

    values = traces.detach().cpu().double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = array_stats.rhat(values, chain_axis=1, draw_axis=0)
    return torch.as_tensor(np.atleast_1d(found), dtype=torch.float64)


def effective_sample_size(traces: Tensor, *, kind: str = "bulk") -> Tensor:
    """As how many independent draws the T·N of (T, N, D) count, (D,), float64.

    Args:
        traces: Of chains that have forgotten their start.
        kind: ``"bulk"`` (rank-normalised), ``"tail"`` (the worse of the 5 % and 95 % quantiles),
            or ``"mean"`` (of the plain mean, T·N divided by the integrated autocorrelation).

    Returns:
        NaN for a quantity that never changes.

    Raises:
        ValueError: Fewer than 4 steps, or the kind is unknown.
    """
    _check(traces, least_chains=1)
    if kind not in ESS_KINDS:
        raise ValueError(f"kind: given '{kind}', wanted one of {', '.join(ESS_KINDS)}")
    from arviz_stats.base import array_stats  # scipy.stats takes a second to import

    values = traces.detach().cpu().double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = array_stats.ess(values, chain_axis=1, draw_axis=0, method=kind)
    sizes = torch.as_tensor(np.atleast_1d(found), dtype=torch.float64)
    still = (traces == traces[:1, :1]).flatten(0, 1).all(0).cpu()
    return sizes.masked_fill(still, math.nan)


def autocorrelation(traces: Tensor, n_lags: int) -> Tensor:
    """ρ_t of (T, N, D) for t = 0 … n_lags, (n_lags + 1, D), float64; NaN where nothing changes.

    Deviations are from the mean over all chains: chains that are stuck in places of their own
    then show as correlated for ever, as they are.

    Raises:
        ValueError: ``n_lags`` is not between 0 and T − 1.
    """
    n_steps = len(traces)
    if not 0 <= n_lags < n_steps:
        raise ValueError(f"n_lags: given {n_lags}, wanted 0 to {n_steps - 1}")
    values = traces.detach().cpu().double()
    deviation = values - values.mean((0, 1))
    spectrum = torch.fft.rfft(deviation, n=2 * n_steps, dim=0)
    products = torch.fft.irfft(spectrum.abs().square(), n=2 * n_steps, dim=0)
    covariance = products[: n_lags + 1].mean(1)
    found: Tensor = covariance / covariance[:1]
    return found


@dataclass(frozen=True)
class Occupancy:
    """Shares of points in modes beside the true weights.

    Attributes:
        shares: (K,) float64, mean responsibilities: of exact draws they are the weights.
        errors: (K,), standard errors of independent points.
        weights: (K,), the truth.
        centres: (K, D), each mode's centre of mass.
    """

    shares: Tensor
    errors: Tensor
    weights: Tensor
    centres: Tensor


def mode_occupancy(points: Tensor, mixture: Mixture) -> Occupancy:
    """How points (P, D) share themselves out among the modes of a known mixture.

    Raises:
        ValueError: The points are none, or have another number of coordinates.
    """
    flat = points.detach().reshape(len(points), -1).cpu().double()
    if not len(flat) or flat.shape[1] != mixture.means.shape[1]:
        raise ValueError(
            f"points: given shape {tuple(points.shape)}, wanted at least one point of "
            f"{mixture.means.shape[1]} coordinates"
        )
    mode = modes(mixture)
    n_modes = int(mode.max()) + 1
    member = torch.nn.functional.one_hot(mode, n_modes).double()
    rows = max(1, CHUNK // len(mode))
    parts = torch.cat([_responsibilities(x, mixture) @ member for x in torch.split(flat, rows)])
    weights = mixture.weights @ member
    centres = (member * mixture.weights[:, None]).t() @ mixture.means / weights[:, None]
    errors = parts.std(0, correction=0) / math.sqrt(len(parts))
    return Occupancy(parts.mean(0), errors, weights, centres)


def modes(mixture: Mixture) -> Tensor:
    """To which mode each Gaussian of a mixture belongs, (K,) of 0 …: each its own, or a curve's.

    Of more than 64 Gaussians those that overlap, however long the way, are one mode.
    """
    n = len(mixture.weights)
    if n <= MOST_MODES:
        return torch.arange(n)
    reach = OVERLAP * (mixture.scales[:, None] + mixture.scales)
    near = torch.cdist(mixture.means, mixture.means) <= reach
    found = torch.arange(n)
    for _ in range(n):
        least = torch.where(near, found, n).amin(1)
        if torch.equal(least, found):
            break
        found = least[least]  # whoever leads my leader leads me
    members: Tensor = torch.unique(found, return_inverse=True)[1]
    return members


def _responsibilities(x: Tensor, mixture: Mixture) -> Tensor:
    squares = (x[:, None] - mixture.means).square().sum(-1) / mixture.scales.square()
    logs = mixture.weights.log() - mixture.means.shape[1] * mixture.scales.log() - 0.5 * squares
    return logs.softmax(1)


def _check(traces: Tensor, least_chains: int) -> None:
    if traces.dim() != 3 or len(traces) < LEAST_STEPS or traces.shape[1] < least_chains:
        raise ValueError(
            f"traces: given shape {tuple(traces.shape)}, wanted (steps, chains, quantities) of at "
            f"least {LEAST_STEPS} steps and {least_chains} chains"
        )
