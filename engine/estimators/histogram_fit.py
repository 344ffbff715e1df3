"""Output distributions fitted to one histogram by maximum likelihood, to be compared fairly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.nets.outputs import (
    BernoulliOutput,
    BinnedGaussianOutput,
    LogisticMixtureOutput,
    OutputFamily,
    level_probs,
)

#: Iterations, evaluations and starts of the numerical fits.
N_ITERATIONS = 100
N_EVALUATIONS = 150
N_STARTS = 4


@dataclass(frozen=True)
class Fit:
    """One family at its maximum likelihood.

    Attributes:
        name: For the screen.
        n_params: Numbers that a network puts out for one value.
        n_free: How many of them are free.
        probs: (levels,) float64. For the density: its value at each level, which is no
            probability and need not sum to 1.
        nll: Mean −log of ``probs`` over the histogram, nats per value.
        kind: ``"probability"``, or ``"density"`` (per level unit; no likelihood of levels).
        params: (P,), empty where the fit is in closed form.
    """

    name: str
    n_params: int
    n_free: int
    probs: Tensor
    nll: float
    kind: str
    params: Tensor


def fit_families(counts: Tensor, n_components: tuple[int, ...] = (1, 2, 3)) -> list[Fit]:
    """Every family at its maximum likelihood on a histogram (levels,), simplest bins last.

    In order: categorical (the histogram itself), Bernoulli for two levels, the Gaussian with
    integrated bins, logistic mixtures of so many components, and the Gaussian density.

    Raises:
        ValueError: The histogram is empty, negative, or of fewer than two levels.
    """
    if counts.dim() != 1 or len(counts) < 2 or bool((counts < 0).any()) or not counts.sum() > 0:
        raise ValueError(
            f"counts: given shape {tuple(counts.shape)} with sum {float(counts.sum()):g}, wanted "
            "two levels or more, none negative, not all zero"
        )
    levels = len(counts)
    share = counts.double() / counts.double().sum()
    fits = [Fit("categorical", levels, levels - 1, share, _nll(share, share), *_CLOSED)]
    if levels == 2:
        odds = torch.special.logit(share[1:].clamp(1e-12, 1 - 1e-12))
        pmf = level_probs(BernoulliOutput().distribution(odds))
        fits.append(Fit("Bernoulli", 1, 1, pmf, _nll(share, pmf), "probability", odds))
    fits.append(_numerical("Gaussian, bins integrated", BinnedGaussianOutput(levels), share))
    for k in n_components:
        name = f"logistic mixture, K = {k}"
        fits.append(_numerical(name, LogisticMixtureOutput(levels, k), share))
    return [*fits, _gaussian_density(share)]


_CLOSED = ("probability", torch.zeros(0))


def _numerical(name: str, family: OutputFamily, share: Tensor) -> Fit:
    """The best of several starts of L-BFGS, in double precision."""
    starts = _starts(family, share)
    best, least = starts[0], math.inf
    for start in starts:
        params, nll = _descend(family, start, share)
        if nll < least:
            best, least = params, nll
    pmf = level_probs(family.distribution(best))
    return Fit(name, family.n_params, family.n_free, pmf, _nll(share, pmf), "probability", best)


def _starts(family: OutputFamily, share: Tensor) -> list[Tensor]:
    """Starts around the histogram's quantiles; widths from wide to narrow."""
    levels = len(share)
    k = family.n_params // 3 or 1
    places = torch.linspace(-1.0, 1.0, levels, dtype=torch.float64)
    mean = float((share * places).sum())
    spread = max(float((share * (places - mean) ** 2).sum()) ** 0.5, 1.0 / levels)
    quantiles = (torch.arange(k, dtype=torch.float64) + 0.5) / k
    at = torch.searchsorted(share.cumsum(0), quantiles).clamp_max(levels - 1)
    starts = []
    for start in range(N_STARTS):
        width = math.log(max(spread * 0.5**start, 0.5 / levels))
        if family.n_params == 2:
            starts.append(torch.tensor([mean, width], dtype=torch.float64))
            continue
        logs = torch.full((k,), width, dtype=torch.float64)
        starts.append(torch.cat([torch.zeros(k, dtype=torch.float64), places[at], logs]))
    return starts


def _descend(family: OutputFamily, start: Tensor, share: Tensor) -> tuple[Tensor, float]:
    every = torch.arange(len(share), dtype=torch.float64)
    params = start.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [params],
        max_iter=N_ITERATIONS,
        max_eval=N_EVALUATIONS,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-12,
    )

    def closure() -> Tensor:
        solver.zero_grad()
        log_p = family.log_prob(params.expand(len(share), -1), every)
        loss: Tensor = -(share * log_p).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
        found = float(closure().detach())
    return params.detach(), found if math.isfinite(found) else math.inf


def _gaussian_density(share: Tensor) -> Fit:
    """N(mean, variance) of the levels as real numbers: a density, in closed form."""
    places = torch.arange(len(share), dtype=torch.float64)
    mean = (share * places).sum()
    variance = (share * (places - mean) ** 2).sum().clamp_min(1e-12)
    log_p = -0.5 * (places - mean) ** 2 / variance - 0.5 * torch.log(2.0 * math.pi * variance)
    params = torch.stack([mean, variance.sqrt()])
    nll = float(-(share * log_p).sum())
    return Fit("Gaussian density", 2, 2, log_p.exp(), nll, "density", params)


def _nll(share: Tensor, probs: Tensor) -> float:
    """−Σ share log p, where a level without a share costs nothing."""
    return float(-torch.special.xlogy(share, probs).sum())
