"""One log-density of any model that has one: exact, a bound, or an energy yet to be normalised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from engine.capabilities import Bound, Energy, LogProb
from engine.model import GenerativeModel

#: Rows scored at once: wide enough to feed the cores, small enough to stay in the caches.
CHUNK = 8192
#: Rows times draws scored at once for importance-weighted bounds.
DRAW_CHUNK = 8192
#: Values of events scored at once: each may have dozens of channels inside a model.
VALUES = 2**19
#: Most draws for one bound.
MOST_DRAWS = 10_000
#: An accelerator takes so many times more rows at once.
WIDER = 16

Cancelled: TypeAlias = Callable[[], bool]


class CancellationError(Exception):
    """A newer question waits; the work in hand was given up."""


@dataclass(frozen=True)
class LogDensity:
    """How a model scores points.

    Attributes:
        kind: ``"exact"``, ``"bound"`` or ``"energy"`` (then −energy, not normalised).
        label: Short words for a legend.
        score: (B, *E) in the model's dtype and on its device → (B,), nats; labels as ``context``.
        chunk: Rows to score at once.
    """

    kind: str
    label: str
    score: Callable[..., Tensor]
    chunk: int = CHUNK


def log_density_of(model: GenerativeModel, *, n_draws: int = 32, seed: int = 0) -> LogDensity:
    r"""The best log-density that a model has: exact, else a bound, else minus its energy.

    Bounds are importance weighted (Burda et al. 2016), log (1/K) Σ_k w_k ≤ log p(x) in
    expectation. Every chunk is scored with the same noise (common random numbers), so that
    pictures of successive steps differ by the model alone.

    Args:
        model: The model.
        n_draws: K, draws of the latents for a bound.
        seed: Seed of the bound's noise.

    Raises:
        ValueError: The model has none of the three, or the number of draws is out of range.
    """
    check_draws(n_draws)
    if isinstance(model, LogProb):
        return LogDensity("exact", "log p(x), exact", model.log_prob)
    if isinstance(model, Bound):
        label = f"importance-weighted bound, {n_draws} draws"
        rows = max(8, DRAW_CHUNK // n_draws)
        return LogDensity("bound", label, _bound_scorer(model, n_draws, seed), rows)
    if isinstance(model, Energy):
        return LogDensity("energy", "−E(x), not normalised", _energy_scorer(model))
    raise ValueError(
        f"a density needs a log-density, a bound or an energy; {model.card.title} has none"
    )


@torch.no_grad()
def score_points(
    log_density: LogDensity,
    model: GenerativeModel,
    points: Tensor,
    *,
    context: Tensor | None = None,
    cancelled: Cancelled | None = None,
) -> Tensor:
    """Score (P, D) points in chunks, without gradient: (P,) float64 on the CPU, nats.

    ``context`` (P,) are labels, for a model that uses them.

    Raises:
        CancellationError: ``cancelled()`` was true between two chunks.
    """
    scores = torch.empty(len(points), dtype=torch.float64)
    chunk = min(widen(log_density.chunk, model), max(16, widen(VALUES, model) // model.event_size))
    for start in range(0, len(points), chunk):
        if cancelled is not None and cancelled():
            raise CancellationError
        rows = slice(start, start + chunk)
        x = as_events(model, points[rows])
        labels = {} if context is None else {"context": context[rows].to(model.device)}
        scores[rows] = log_density.score(x, **labels).cpu().to(torch.float64)
    return scores


def check_draws(n_draws: int) -> None:
    """Raise ``ValueError`` unless the number of draws for a bound is in range."""
    if not 1 <= n_draws <= MOST_DRAWS:
        raise ValueError(f"n_draws: given {n_draws}, wanted a whole number from 1 to {MOST_DRAWS}")


def widen(rows: int, model: GenerativeModel) -> int:
    """More rows at once where there are no small caches to keep within, but calls are dear."""
    return rows if model.device.type == "cpu" else rows * WIDER


def as_events(model: GenerativeModel, points: Tensor) -> Tensor:
    """(P, D) → (P, *E) in the model's dtype and on its device."""
    x = points.to(model.location.dtype).to(model.device)
    return x.reshape(len(points), *model.event_shape)


def _bound_scorer(model: Bound, n_draws: int, seed: int) -> Callable[..., Tensor]:
    def score(x: Tensor, context: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        bound = model.elbo(x, context=context, n_draws=n_draws, generator=generator)
        return bound.importance_weighted

    return score


def _energy_scorer(model: Energy) -> Callable[..., Tensor]:
    def score(x: Tensor, context: Tensor | None = None) -> Tensor:
        return -model.energy(x, context=context)

    return score
