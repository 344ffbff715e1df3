"""Scores of samples against scipy and double sums, and the band of a perfect sampler."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from engine.dataset import Dataset
from engine.estimators.mmd import median_bandwidth
from engine.estimators.null_band import ENOUGH, NullBand, band_places, null_band
from engine.estimators.sample_scores import SCORES, sample_scores, truth_source
from engine.estimators.sliced_wasserstein import directions, sliced_wasserstein
from engine.model import GenerativeModel
from engine.registry import build_dataset, probes
from tests.engine.toys import (
    GaussianData,
    GaussianToy,
    ImplicitToy,
    QuadraticToy,
    Table,
    UnknownData,
    view,
)


def pair(dims: int, n: int = 60, shift: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    x, y = torch.randn(2, n, dims, generator=generator, dtype=torch.float64)
    return x, 1.3 * y + shift


def ask(model: GenerativeModel, data: Dataset, **arguments: Any) -> list[Any]:
    return list(probes()["sample_scores"].ask(view(model, data), arguments))


def test_on_a_line_against_scipy() -> None:
    x, y = pair(1)
    energy, _, wasserstein = sample_scores(x, y, 1.0)
    a, b = x[:, 0].numpy(), y[:, 0].numpy()
    assert energy == pytest.approx(stats.energy_distance(a, b), rel=1e-9)
    assert wasserstein == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-12)


def test_energy_distance_and_mmd_by_double_sums() -> None:
    x, y = pair(3, 25)
    h = 0.8

    def mean(a: Tensor, b: Tensor, f: Any, *, other: bool = False) -> float:
        pairs = itertools.product(range(len(a)), range(len(b)))
        values = [f(math.dist(a[i].tolist(), b[j].tolist())) for i, j in pairs
                  if not other or i != j]  # fmt: skip
        return sum(values) / len(values)

    energy, mmd, _ = sample_scores(x, y, h)
    squared = 2 * mean(x, y, float) - mean(x, x, float) - mean(y, y, float)
    assert energy == pytest.approx(math.sqrt(squared), rel=1e-9)
    kernel = lambda d: math.exp(-(d**2) / (2 * h**2))  # noqa: E731
    expected = mean(x, x, kernel, other=True) + mean(y, y, kernel, other=True)
    assert mmd == pytest.approx(expected - 2 * mean(x, y, kernel), abs=1e-12)


def test_sliced_wasserstein_is_the_mean_over_directions() -> None:
    for dims in (2, 5):
        x, y = pair(dims)
        turned = directions(dims)
        assert turned.norm(dim=1).numpy() == pytest.approx(1.0)
        each = [stats.wasserstein_distance((x @ t).numpy(), (y @ t).numpy()) for t in turned]
        assert sliced_wasserstein(x, y) == pytest.approx(np.mean(each), rel=1e-12)
    with pytest.raises(ValueError, match="60 and 59 points"):
        sliced_wasserstein(*(p[: len(p) - i] for i, p in enumerate(pair(2))))


def test_a_shift_of_a_sample_costs_its_length_along_each_direction() -> None:
    x, _ = pair(2)
    shifted = x + torch.tensor([3.0, 4.0])
    assert sliced_wasserstein(x, shifted) == pytest.approx(5.0 * 2.0 / math.pi, rel=1e-3)


def test_median_bandwidth() -> None:
    x, _ = pair(2)
    every = [math.dist(a, b) for a, b in itertools.combinations(x.tolist(), 2)]
    assert median_bandwidth(torch.pdist(x)) == pytest.approx(np.median(every), rel=0.01)
    assert median_bandwidth(torch.zeros(3)) == 1.0
    with pytest.raises(ValueError, match="at least two"):
        median_bandwidth(torch.zeros(0))


def test_scores_of_what_is_not_finite() -> None:
    x, y = pair(2)
    x[3, 0] = math.inf
    assert all(math.isnan(score) for score in sample_scores(x, y, 1.0))


# --- the band ------------------------------------------------------------------------------------


def test_places_hold_the_quantiles_with_confidence() -> None:
    for count in (40, 100, ENOUGH, 4000):
        low, high = band_places(count)
        assert low + high == count - 1
        # Chance that the true 5 % quantile lies below the low end's order statistic.
        assert stats.binom.cdf(low, count, 0.05) < 0.02 or low == 0
    low, high = band_places(100_000)
    assert (high - low) / 100_000 == pytest.approx(0.9, abs=0.005)


def test_a_band_grows_and_repeats_itself() -> None:
    source = truth_source(GaussianData(), 32)
    band, other = NullBand(source, 1.0), NullBand(source, 1.0)
    band.extend(20)
    assert np.isnan(band.bands()).all()
    band.extend(60)
    other.extend(60)
    assert band.scores == other.scores
    low, middle, high = band.bands().T
    assert (low < middle).all()
    assert (middle < high).all()
    band.extend(100, cancelled=lambda: True)
    assert band.n_repetitions == 60


def test_bands_are_remembered_per_data_and_size() -> None:
    first, same = (build_dataset("two_moons", n_samples=100) for _ in range(2))
    other = build_dataset("two_moons", n_samples=100, noise=0.3)
    band = null_band(truth_source(first, 20))
    assert null_band(truth_source(same, 20)) is band
    assert null_band(truth_source(first, 21)) is not band
    assert null_band(truth_source(other, 20)) is not band


def test_data_without_a_sampler_are_split() -> None:
    points = torch.arange(100.0)[:, None] + torch.zeros(100, 2)
    source = truth_source(Table(points), 1000)
    assert (source.n, source.is_sampler) == (20, False)
    generator = torch.Generator().manual_seed(0)
    a, b = source.pair(generator)
    assert len(set(a[:, 0].tolist()) | set(b[:, 0].tolist())) == 40
    held_out = set(torch.cat([source.dataset.valid, source.dataset.test])[:, 0].tolist())
    assert set(source.reference(generator)[:, 0].tolist()) <= held_out


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="given 3"):
        truth_source(GaussianData(), 3)
    data = UnknownData()
    data.valid, data.test = data.valid[:2], data.test[:2]
    with pytest.raises(ValueError, match="4 held-out observations"):
        truth_source(data, 100)


def inside(name: str, n: int, seeds: int) -> list[int]:
    source = truth_source(build_dataset(name), n)
    band = null_band(source)
    band.extend(ENOUGH)
    ends = band.bands()
    counts = np.zeros(len(SCORES), int)
    for seed in range(seeds):
        x, y = source.pair(torch.Generator().manual_seed(1_000_000 + seed))
        scores = np.array(sample_scores(x, y, band.bandwidth))
        counts += (ends[:, 0] <= scores) & (scores <= ends[:, 2])
    return [int(count) for count in counts]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["eight_gaussians", "checkerboard", "two_moons", "funnel", "bimodal_1d"]
)
def test_truth_falls_inside_for_most_of_200_seeds(name: str) -> None:
    counts = inside(name, 200, 200)
    assert min(counts) >= 180
    # A band that held everything would say nothing.
    assert max(counts) < 200


# --- probe ---------------------------------------------------------------------------------------


def test_a_perfect_sampler_and_a_wrong_one() -> None:
    data = GaussianData((1.0, 0.5))
    partial, final = ask(GaussianToy(2, sigma=(1.0, 0.5)), data, n=64, repetitions=100)
    assert (partial.final, final.final) == (False, True)
    assert (final.values["repetitions"], final.values["n"]) == (100, 64)
    wrong = ask(GaussianToy(2, mean=0.7), data, n=64, repetitions=100)[-1].values
    for name in SCORES:
        low, high = (final.values[f"{name}_{end}"] for end in ("low", "high"))
        assert low < high < wrong[name]
    good = final.values["energy_distance"]
    assert good < 1.5 * final.values["energy_distance_high"]


def test_repetitions_that_are_there_already_cost_nothing() -> None:
    data = GaussianData((1.0, 0.25))
    ask(GaussianToy(2), data, n=16, repetitions=50)
    (only,) = ask(GaussianToy(2), data, n=16, repetitions=50)
    assert only.final


def test_models_without_a_density_are_scored() -> None:
    values = ask(ImplicitToy(2), GaussianData((1.0, 1.0)), n=32, repetitions=0)[-1].values
    assert (values["kind"], values["energy_distance_low"]) == ("estimate", None)
    assert values["against"] == "fresh draws of the truth"
    with pytest.raises(ValueError, match="neither"):
        ask(QuadraticToy(2), GaussianData())
    with pytest.raises(ValueError, match="repetitions: given -1"):
        ask(ImplicitToy(2), GaussianData(), repetitions=-1)
