r"""Annealed importance sampling: the ratio of two normalising constants, by walking between them.

Chains start as exact draws of a density whose Z is known and climb a ladder of densities to the
one wanted. At each rung the weight takes up the ratio of the next density to the last, and the
chain then moves under the next one.

.. math::
    \log w = \sum_{k=1}^{K} \log f_{\beta_k}(x_{k-1}) - \log f_{\beta_{k-1}}(x_{k-1}), \qquad
    \mathbb E\, w = \frac{Z_1}{Z_0}

The mean of w has no bias at any number of rungs, but log of a mean is below the truth in
expectation, and far below where no chain found the mass: the interval cannot know of that.

References:
    Neal, *Annealed Importance Sampling*, Statistics and Computing 2001; for Boltzmann machines
    Salakhutdinov and Murray, *On the Quantitative Analysis of Deep Belief Networks*, ICML 2008.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.mcmc.target import Info, State

#: Where the log-weight stands in a state.
LOG_WEIGHT = "log_weight"
#: Shares of the rungs, and the β up to which they reach: most of the change is near the end.
SHARES = ((0.1, 0.5), (0.4, 0.9), (0.5, 1.0))
#: Standard errors that an interval reaches to each side: 95 %.
N_ERRORS = 1.96


class Ladder(Protocol):
    """Densities f_β, unnormalised, from f_0, whose Z is known, to f_1."""

    @property
    def log_z0(self) -> float:
        """log Z of f_0, nats."""
        ...

    def start(self, n: int, generator: torch.Generator) -> State:
        """N exact draws of f_0: named blocks (N, …)."""
        ...

    def log_f(self, state: State, beta: float) -> Tensor:
        """log f_β at N places, (N,), nats."""
        ...

    def move(self, state: State, beta: float, generator: torch.Generator) -> State:
        """One step of a chain that leaves f_β invariant."""
        ...


@torch.no_grad()
def init(ladder: Ladder, n: int, generator: torch.Generator) -> State:
    """N chains at the foot of the ladder, with ``log_weight`` (N,), float64, at 0."""
    state = ladder.start(n, generator)
    like = next(iter(state.values()))
    return {**state, LOG_WEIGHT: torch.zeros(n, dtype=torch.float64, device=like.device)}


@torch.no_grad()
def step(
    state: State, ladder: Ladder, *, low: float, high: float, generator: torch.Generator
) -> tuple[State, Info]:
    """Climb one rung with every chain.

    Args:
        state: As :func:`init` makes it.
        ladder: The densities.
        low: β of the rung on which the chains stand.
        high: β of the next one.
        generator: The source of all draws.

    Returns:
        The new state, and ``increment`` (N,), what the log-weights took up, nats.
    """
    increment = ladder.log_f(state, high) - ladder.log_f(state, low)
    weight = state[LOG_WEIGHT] + increment.double()
    return {**ladder.move(state, high, generator), LOG_WEIGHT: weight}, {"increment": increment}


def rungs(n_steps: int) -> list[float]:
    """β of ``n_steps`` + 1 rungs from 0 to 1: a tenth of them up to 0.5, half of them from 0.9.

    Raises:
        ValueError: There are no steps.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps: given {n_steps}, wanted 1 or more")
    places, heights, place = [0.0], [0.0], 0.0
    for share, height in SHARES:
        place += share
        places.append(place)
        heights.append(height)
    betas = [_interpolated(step / n_steps, places, heights) for step in range(n_steps + 1)]
    return [*betas[:-1], 1.0]


def _interpolated(at: float, places: list[float], heights: list[float]) -> float:
    for i in range(1, len(places)):
        if at <= places[i] or i == len(places) - 1:
            share = (at - places[i - 1]) / (places[i] - places[i - 1])
            return heights[i - 1] + share * (heights[i] - heights[i - 1])
    return heights[-1]


@dataclass(frozen=True)
class LogMean:
    """log of the mean of N weights, with a 95 % interval, nats.

    Attributes:
        value: The estimate.
        low, high: The interval.
        effective: Effective sample size (Σw)²/Σw², at most N.
    """

    value: float
    low: float
    high: float
    effective: float


def log_mean(log_weights: Tensor) -> LogMean:
    r"""log (1/N) Σ w of (N,) log-weights, with its interval.

    Its standard error is the larger of two: that of the mean of w by the delta method, and that
    of a log-normal mean (Cox's method) with s² the log-weights' mean square above their median,

    .. math:: \sqrt{\frac{s^2}{N} + \frac{s^4}{2 (N - 1)}}

    The first alone is far too small where the largest weights have not turned up yet; small ones
    do not count, so s² is that of the upper half. A single weight has an infinite interval.
    """
    weights = log_weights.double()
    n, top = len(weights), weights.max()
    scaled = (weights - top).exp()
    value = float(top + scaled.mean().log())
    effective = float(scaled.sum().square() / scaled.square().sum())
    if n < 2:
        return LogMean(value, -math.inf, math.inf, effective)
    delta = float(scaled.std() / (scaled.mean() * math.sqrt(n)))
    above = (weights - weights.median()).clamp_min(0.0)
    spread = float(above.square().sum() / (above > 0.0).sum().clamp_min(1))
    log_normal = math.sqrt(spread / n + spread**2 / (2.0 * (n - 1)))
    reach = N_ERRORS * max(delta, log_normal)
    return LogMean(value, value - reach, value + reach, effective)
