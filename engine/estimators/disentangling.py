r"""How well single units of a code stand for single factors of variation: three scores.

Factors are held still, as far as a finite sample allows it, by taking observations from one of 20
equal parts of a factor's range (its values, where it has few).

* β-VAE metric: hold one factor, take pairs, average abs(z − z') over them: a linear classifier
  must say which factor was held.
* FactorVAE metric: hold one factor, take a batch: the unit whose variance falls most votes.
* MIG: per factor the gap between its two most informative units,

.. math::
    \mathrm{MIG} = \frac1F \sum_f \frac{1}{H(v_f)}
        \left( I(z_{j(f)}; v_f) - \max_{j \ne j(f)} I(z_j; v_f) \right)

References:
    Higgins et al., *β-VAE*, ICLR 2017; Kim and Mnih, *Disentangling by Factorising*, ICML 2018;
    Chen, Li, Grosse and Duvenaud, *Isolating Sources of Disentanglement in VAEs*, NeurIPS 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Parts of a factor's range, and bins of a code.
N_BINS = 20
#: Factors of at most so many values are taken as they are.
FEW_VALUES = 20
#: Batches to learn from and to be judged by; observations in a batch (pairs of the β-VAE metric).
N_TRAIN, N_TEST, BATCH = 500, 300, 64
#: Units whose spread is below this share of the largest one vote for nothing.
SMALLEST_SPREAD = 1e-3
#: Values of log q(z_j given x_n) held at once.
VALUES = 2**22


@dataclass(frozen=True)
class Factors:
    """Factors of N observations as parts: ``parts`` (N, F) int64, ``counts`` the parts of each."""

    parts: Tensor
    counts: tuple[int, ...]

    @property
    def n_factors(self) -> int:
        """F."""
        return len(self.counts)

    @property
    def entropies(self) -> Tensor:
        """H of each factor's parts, (F,), nats."""
        return torch.stack([_entropy(torch.bincount(column).double()) for column in self.parts.T])


def factors_of(values: Tensor) -> Factors:
    """Cut factors (N, F) into parts; constant ones are left out.

    Raises:
        ValueError: Fewer than two factors vary.
    """
    columns = [column for column in values.double().T if varies(column)]
    if len(columns) < 2:
        raise ValueError(f"factors: given {len(columns)} that vary, wanted at least 2")
    parts = [_parts_of(column) for column in columns]
    return Factors(torch.stack(parts, 1), tuple(int(part.max()) + 1 for part in parts))


def varies(column: Tensor) -> bool:
    """Whether a column (N,) holds more than one value."""
    return bool(column.min() < column.max())


def _parts_of(column: Tensor) -> Tensor:
    values, inverse = np.unique(column.numpy(), return_inverse=True)
    few = len(values) <= FEW_VALUES
    return torch.from_numpy(inverse.reshape(-1)) if few else _binned(column)


def _binned(column: Tensor) -> Tensor:
    """The part of each value among 20 equal ones of its range, (N,) int64."""
    low, high = column.min(), column.max()
    share = (column - low) / (high - low).clamp_min(1e-300)
    return (share * N_BINS).long().clamp(0, N_BINS - 1)


# --- two scores by classification ----------------------------------------------------------------


def _batches(factors: Factors, n: int, size: int, generator: torch.Generator) -> list[_Batch]:
    """Batches in which one factor, drawn evenly, stays within one of its parts."""
    found = []
    for _ in range(n):
        held = int(torch.randint(factors.n_factors, (), generator=generator))
        seed = int(torch.randint(len(factors.parts), (), generator=generator))
        rows = (factors.parts[:, held] == factors.parts[seed, held]).nonzero().flatten()
        chosen = torch.randint(len(rows), (size,), generator=generator)
        found.append(_Batch(held, rows[chosen]))
    return found


@dataclass(frozen=True)
class _Batch:
    held: int
    rows: Tensor


def factor_vae_score(code: Tensor, factors: Factors, *, generator: torch.Generator) -> float:
    """Kim and Mnih's score, 0 … 1: a majority vote of the units that vary least; (N, U) code.

    Units that hardly vary at all have no vote; a code without any has the score of chance.
    """
    variance = code.var(0)
    alive = variance > (SMALLEST_SPREAD**2) * variance.max().clamp_min(1e-300)
    if not bool(alive.any()):
        return 1.0 / factors.n_factors
    z = code[:, alive] / variance[alive].sqrt()
    votes = torch.zeros(z.shape[1], factors.n_factors)
    for batch in _batches(factors, N_TRAIN, BATCH, generator):
        votes[int(z[batch.rows].var(0).argmin()), batch.held] += 1.0
    said = votes.argmax(1)
    judged = _batches(factors, N_TEST, BATCH, generator)
    right = [int(said[z[b.rows].var(0).argmin()]) == b.held for b in judged]
    return sum(right) / len(right)


def beta_vae_score(code: Tensor, factors: Factors, *, generator: torch.Generator) -> float:
    """Higgins' score, 0 … 1: accuracy of a linear classifier on mean abs differences; (N, U)."""
    from sklearn.linear_model import LogisticRegression  # imports for three seconds

    spread = code.std(0)
    z = code / torch.where(spread > 0, spread, torch.ones_like(spread))

    def table(n: int) -> tuple[Tensor, Tensor]:
        batches = _batches(factors, n, 2 * BATCH, generator)
        rows = [(z[b.rows[:BATCH]] - z[b.rows[BATCH:]]).abs().mean(0) for b in batches]
        return torch.stack(rows), torch.tensor([b.held for b in batches])

    x, y = table(N_TRAIN)
    if not varies(y):
        return 1.0 / factors.n_factors
    judge = LogisticRegression(C=1e4, max_iter=2000).fit(x.numpy(), y.numpy())
    x, y = table(N_TEST)
    return float(judge.score(x.numpy(), y.numpy()))


# --- mutual information --------------------------------------------------------------------------


def mig(code: Tensor, factors: Factors) -> float:
    """The gap with mutual information from histograms of 20 bins a unit; (N, U) code."""
    return mig_of(binned_information(code, factors), factors)


def mig_of(information: Tensor, factors: Factors) -> float:
    """The gap of a table I(z_j; v_f), (U, F), nats."""
    if information.shape[0] < 2:
        top = information.amax(0)
    else:
        first, second = information.topk(2, dim=0).values
        top = first - second
    return float((top / factors.entropies).mean())


def binned_information(code: Tensor, factors: Factors) -> Tensor:
    """I(z_j; v_f) from joint histograms, (U, F), nats; 0 for a unit that never changes."""
    found = torch.zeros(code.shape[1], factors.n_factors, dtype=torch.float64)
    for j, unit in enumerate(code.double().T):
        if not varies(unit):
            continue
        bins = _parts_of(unit)
        for f, count in enumerate(factors.counts):
            n_bins = int(bins.max()) + 1
            joint = torch.bincount(bins * count + factors.parts[:, f], minlength=n_bins * count)
            found[j, f] = _information(joint.view(n_bins, count).double())
    return found


def sampled_information(
    mean: Tensor,
    scale: Tensor,
    factors: Factors,
    *,
    generator: torch.Generator,
    n_draws: int = 2000,
) -> Tensor:
    r"""I(z_j; v_f) for q(z_j given x) = N(mean, scale²) of N observations (N, U), (U, F), nats.

    .. math::
        I(z_j; v) = E \log q(z_j \mid v) - E \log q(z_j), \quad
        q(z_j) = \tfrac1N \sum_n q(z_j \mid x_n)

    with q(z_j given v) the same mean over the observations of that part, and draws of q for E.
    Where q is narrower than the gaps between observations, each of them is told apart by any unit
    and every factor seems known: the gap is then too small, and histograms tell more.
    """
    n, width = mean.shape
    rows = torch.randint(n, (n_draws,), generator=generator)
    noise = torch.randn(n_draws, width, generator=generator, dtype=mean.dtype)
    z = mean[rows] + scale[rows] * noise
    found = torch.zeros(width, factors.n_factors, dtype=torch.float64)
    masks = [
        factors.parts[rows, f][:, None] == factors.parts[:, f] for f in range(factors.n_factors)
    ]
    for j in range(width):
        log_q = _log_normal(z[:, j], mean[:, j], scale[:, j])  # (S, N)
        marginal = torch.logsumexp(log_q, 1) - math.log(n)
        for f, mask in enumerate(masks):
            within = torch.logsumexp(log_q.masked_fill(~mask, -torch.inf), 1)
            given = within - mask.sum(1).double().log()
            found[j, f] = (given - marginal).mean().clamp_min(0.0)
    return found


def _log_normal(z: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log N(z_s; mean_n, scale_n²), (S, N), float64."""
    u = (z[:, None] - mean) / scale
    log_scale = scale.log() + 0.5 * math.log(2.0 * math.pi)
    found: Tensor = -(0.5 * u.square() + log_scale)
    return found.double()


def _information(joint: Tensor) -> float:
    """Mutual information of a table of counts, nats."""
    return float(_entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint.flatten()))


def _entropy(counts: Tensor) -> Tensor:
    p = counts / counts.sum()
    total: Tensor = -torch.special.xlogy(p, p).sum()
    return total
