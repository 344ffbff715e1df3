"""Scores of disentanglement: what a perfect and a random code get; mutual information."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from engine.datasets.sprites import draw_factors
from engine.estimators.disentangling import (
    Factors,
    beta_vae_score,
    binned_information,
    factor_vae_score,
    factors_of,
    mig,
    mig_of,
    sampled_information,
)
from engine.estimators.linear_probe import few_labels, probe_accuracy


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def values() -> Tensor:
    return draw_factors(3000, generator(1)).double()


@pytest.fixture(scope="module")
def factors(values: Tensor) -> Factors:
    return factors_of(values)


def test_factors_are_cut_into_parts(factors: Factors, values: Tensor) -> None:
    assert factors.counts == (3, 20, 20, 20, 20)
    assert torch.equal(factors.parts[:, 0], values[:, 0].long())
    torch.testing.assert_close(factors.entropies[0], torch.tensor(math.log(3.0)).double(),
                               atol=1e-2, rtol=0.0)  # fmt: skip
    with pytest.raises(ValueError, match="given 0 that vary"):
        factors_of(torch.ones(10, 3))


def test_the_factors_themselves_are_a_perfect_code(factors: Factors, values: Tensor) -> None:
    code = torch.cat([values * torch.tensor([3.0, -1.0, 0.2, 5.0, 1.0]), torch.zeros(3000, 1)], 1)
    assert beta_vae_score(code, factors, generator=generator()) == 1.0
    assert factor_vae_score(code, factors, generator=generator()) == 1.0
    assert mig(code, factors) > 0.93


def test_a_rotated_code_is_not_disentangled(factors: Factors, values: Tensor) -> None:
    z = (values - values.mean(0)) / values.std(0)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator(3), dtype=torch.float64))
    assert mig(z @ turn, factors) < 0.2
    # A linear classifier sees through a rotation only partly, a vote of single units not at all.
    assert factor_vae_score(z @ turn, factors, generator=generator()) < 0.9


def test_a_random_code_scores_by_chance(factors: Factors) -> None:
    code = torch.randn(3000, 6, generator=generator(5), dtype=torch.float64)
    for score in (beta_vae_score, factor_vae_score):
        found = [score(code, factors, generator=generator(seed)) for seed in range(3)]
        assert abs(np.mean(found) - 0.2) < 0.08
    assert abs(mig(code, factors)) < 0.02


def test_a_dead_code_scores_by_chance(factors: Factors) -> None:
    code = torch.zeros(3000, 4, dtype=torch.float64)
    assert factor_vae_score(code, factors, generator=generator()) == 0.2
    assert abs(beta_vae_score(code, factors, generator=generator()) - 0.2) < 0.08
    assert mig(code, factors) == 0.0


def test_binned_information_is_that_of_scikit_learn(factors: Factors) -> None:
    code = torch.randint(0, 7, (3000, 2), generator=generator(2)).double()
    code[:, 1] += factors.parts[:, 1]
    table = binned_information(code, factors)
    for j in range(2):
        column = code[:, j]
        whole = (20 * (column - column.min()) / (column.max() - column.min())).long().clamp_max(19)
        bins = column.long() if len(np.unique(column)) <= 20 else whole
        for f in range(5):
            wanted = mutual_info_score(bins.numpy(), factors.parts[:, f].numpy())
            assert abs(float(table[j, f]) - wanted) < 1e-9


def test_sampled_information_is_that_of_a_gaussian_channel() -> None:
    """z = v + noise for a binary v: I by quadrature, and nothing where q ignores v."""
    v = torch.arange(400) % 2
    factors = Factors(torch.stack([v, torch.arange(400) // 200], 1), (2, 2))
    mean = torch.stack([2.0 * v.double(), torch.zeros(400).double()], 1)
    scale = torch.full((400, 2), 0.7, dtype=torch.float64)
    found = sampled_information(mean, scale, factors, generator=generator(), n_draws=8000)
    z = torch.linspace(-6.0, 8.0, 4001, dtype=torch.float64)
    parts = torch.stack([torch.exp(-0.5 * ((z - m) / 0.7) ** 2) for m in (0.0, 2.0)])
    parts = parts / (0.7 * math.sqrt(2.0 * math.pi))
    mixture = parts.mean(0)
    wanted = (torch.special.xlogy(parts, parts / mixture).mean(0)).sum() * float(z[1] - z[0])
    assert abs(float(found[0, 0]) - float(wanted)) < 0.02
    assert float(found[0, 1]) < 1e-9
    assert float(found[1].max()) < 1e-9
    assert abs(mig_of(found, factors) - 0.5 * float(wanted) / math.log(2.0)) < 0.03


def test_few_labels_are_balanced() -> None:
    labels = torch.tensor([0] * 90 + [1] * 7 + [2] * 3)
    chosen = few_labels(labels, 9, generator())
    assert len(set(chosen.tolist())) == 9
    assert torch.bincount(labels[chosen]).tolist() == [3, 3, 3]
    assert torch.bincount(labels[few_labels(labels, 20, generator())]).tolist() == [10, 7, 3]
    with pytest.raises(ValueError, match="given 100 labels, wanted at least 101"):
        few_labels(labels, 101, generator())


def test_a_linear_probe_reads_what_is_linear() -> None:
    x = torch.randn(600, 3, generator=generator(), dtype=torch.float64)
    y = (x[:, 1] > 0).long()
    assert probe_accuracy(x[:300], y[:300], x[300:], y[300:]) > 0.97
    noise = torch.randn(600, 3, generator=generator(9), dtype=torch.float64)
    assert abs(probe_accuracy(noise[:300], y[:300], noise[300:], y[300:]) - 0.5) < 0.1
    assert probe_accuracy(x[:1], y[:1], x, y) == float((y == y[0]).double().mean())
