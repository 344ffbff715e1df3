"""Scores that need samples only: how far a model's draws are from as many of the truth's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.dataset import Dataset, KnownDensity
from engine.estimators.energy_distance import energy_distance
from engine.estimators.mmd import squared_mmd
from engine.estimators.sliced_wasserstein import sliced_wasserstein

#: The scores in the order in which they are shown.
SCORES = ("energy_distance", "mmd", "sliced_wasserstein")
#: Fewest and most points a side: the work grows with their square.
SMALLEST, LARGEST = 8, 4000


@torch.no_grad()
def sample_scores(x: Tensor, y: Tensor, bandwidth: float) -> tuple[float, float, float]:
    """Energy distance, MMD² and sliced Wasserstein-1 of (N, D) and (N, D).

    Args:
        x: One sample.
        y: The other one, of the same size.
        bandwidth: That of MMD's kernel, in data units.

    Returns:
        In the order of :data:`SCORES`; NaN for all where a point is not finite.
    """
    if not bool(x.isfinite().all() and y.isfinite().all()):
        return (float("nan"),) * 3
    # Each from its own difference, not by a matrix product: near points stay near.
    between, within_x, within_y = (
        torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        for a, b in ((x, y), (x, x), (y, y))
    )
    return (
        energy_distance(between, within_x, within_y),
        squared_mmd(between, within_x, within_y, bandwidth),
        sliced_wasserstein(x, y),
    )


@dataclass(frozen=True)
class TruthSource:
    """Where fresh samples of the truth come from.

    Attributes:
        dataset: The data.
        n: Points a side; fewer than wanted where the data hold fewer.
        is_sampler: Whether the data set draws from its true density; else its held-out
            observations stand for the truth, and the null splits all its observations in two.
    """

    dataset: Dataset
    n: int
    is_sampler: bool

    @property
    def label(self) -> str:
        """What the model's samples are compared with."""
        return "fresh draws of the truth" if self.is_sampler else "held-out data"

    def reference(self, generator: torch.Generator) -> Tensor:
        """N events (N, D), float32: what a model is compared with."""
        if self.is_sampler:
            return _flat(self.dataset.sample(self.n, generator=generator))
        held_out = _held_out(self.dataset)
        return held_out[torch.randperm(len(held_out), generator=generator)[: self.n]]

    def pair(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two samples (N, D) such as a perfect model's and the truth's."""
        if self.is_sampler:
            return self.reference(generator), self.reference(generator)
        every = torch.cat([_flat(self.dataset.train), _held_out(self.dataset)])
        chosen = torch.randperm(len(every), generator=generator)[: 2 * self.n]
        return every[chosen[: self.n]], every[chosen[self.n :]]


def truth_source(dataset: Dataset, n: int) -> TruthSource:
    """Where samples of the truth come from, n a side or as many as there are.

    Raises:
        ValueError: n is out of range, or the data hold too few held-out observations.
    """
    if not SMALLEST <= n <= LARGEST:
        raise ValueError(f"n: given {n}, wanted a whole number from {SMALLEST} to {LARGEST}")
    if isinstance(dataset, KnownDensity):
        return TruthSource(dataset, n, is_sampler=True)
    held_out = len(dataset.valid) + len(dataset.test)
    there = min(n, held_out, (len(dataset.train) + held_out) // 2)
    if there < SMALLEST:
        raise ValueError(
            f"sample scores: given {held_out} held-out observations, wanted at least {SMALLEST} "
            "(raise valid_fraction or test_fraction)"
        )
    return TruthSource(dataset, there, is_sampler=False)


def _flat(events: Tensor) -> Tensor:
    return events.reshape(len(events), -1).cpu().to(torch.float32)


def _held_out(dataset: Dataset) -> Tensor:
    return torch.cat([_flat(dataset.valid), _flat(dataset.test)])
