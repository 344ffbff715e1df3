"""Painted densities against scipy's mixtures, quadrature and chi-square; bad paintings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.datasets import dabs as module
from engine.datasets.dabs import DabMixture
from engine.registry import build_dataset
from engine.wire.fields import field_specs
from engine.wire.painting import decode_dabs, encode_dabs, first_painting


def painting(seed: int, n: int = 60, low: float = 0.05, high: float = 0.5) -> Any:
    """Random dabs (n, 4) in ±3.5, σ log-uniform."""
    random = np.random.default_rng(seed)
    centres = random.uniform(-3.5, 3.5, (n, 2))
    sigma = np.exp(random.uniform(math.log(low), math.log(high), n))
    return np.column_stack([centres, sigma, random.uniform(0.01, 1.0, n)]).astype(np.float32)


def built(dabs: Any, **config: object) -> Any:
    return build_dataset("painted", dabs=encode_dabs(dabs), n_samples=10, **config)


def oracle(dabs: Any, points: Any, noise: float = 0.0) -> Any:
    """log p by scipy, one Gaussian after the other."""
    rows = dabs.astype(np.float64)
    sigma = np.hypot(rows[:, 2], noise)
    parts = [
        scipy.stats.norm.logpdf(points[:, 0], row[0], s)
        + scipy.stats.norm.logpdf(points[:, 1], row[1], s)
        for row, s in zip(rows, sigma, strict=True)
    ]
    return scipy.special.logsumexp(parts, axis=0, b=rows[:, 3:] / rows[:, 3].sum())


def lattice(low: float, high: float, n: int) -> Tensor:
    axis = low + (torch.arange(n, dtype=torch.float64) + 0.5) * (high - low) / n
    return torch.cartesian_prod(axis, axis)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 200), st.sampled_from([0.0, 0.3]))
def test_scattered_points_agree_with_scipy(seed: int, n: int, noise: float) -> None:
    dabs = painting(seed, n)
    points = np.random.default_rng(seed).normal(size=(700, 2)) * 4.0
    found = built(dabs, noise=noise).log_prob(torch.from_numpy(points))
    np.testing.assert_allclose(found, oracle(dabs, points, noise), rtol=0, atol=1e-10)


@pytest.mark.parametrize("reach", [4.0, 40.0, 4000.0])
def test_lattices_agree_with_scipy_in_the_far_tails_too(reach: float) -> None:
    dabs = painting(1, 150, low=0.02)
    points = lattice(-reach, reach, 48)
    found = built(dabs).log_prob(points)
    np.testing.assert_allclose(found, oracle(dabs, points.numpy()), rtol=1e-12, atol=1e-10)


def test_what_is_left_out_stays_below_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = built(painting(2, 2000, low=0.03, high=0.1))._truth
    points = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)).double() * 8 - 4
    fast = mixture._scattered(points)
    kept = mixture._matters(points[:50] * 0.01)
    monkeypatch.setattr(module, "SLACK", 1e-300)
    full = mixture._scattered(points)
    assert 0 < int(kept.sum()) < 2000
    torch.testing.assert_close(fast, full, rtol=0, atol=1e-12)


def test_wide_boxes_keep_their_digits() -> None:
    dabs = painting(3, 20)
    points = np.array([[1e8, 0.0], [0.1, 0.2], [-1e30, 1e30], [3.0, -2.0]])
    found = built(dabs).log_prob(torch.from_numpy(points))
    np.testing.assert_allclose(found, oracle(dabs, points), rtol=1e-12)


def test_points_without_numbers() -> None:
    points = torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [0.0, 0.0]]).double()
    found = built(painting(4)).log_prob(points)
    assert math.isnan(found[0])
    assert found[1] == -math.inf
    assert math.isfinite(found[2])
    assert built(painting(4)).log_prob(points[:0]).shape == (0,)


def test_gradient_is_that_of_differences() -> None:
    truth = built(painting(5))
    points = (torch.randn(30, 2, generator=torch.Generator().manual_seed(1)) * 2).double()
    points.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: truth.log_prob(x).sum(), (points,))


@pytest.mark.parametrize("seed", range(4))
def test_it_integrates_to_one(seed: int) -> None:
    truth = built(painting(seed, low=0.1))
    mass = float(truth.log_prob(lattice(-8.0, 8.0, 640)).exp().sum()) * (16.0 / 640) ** 2
    assert mass == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.3), (0.05, 1.0)])
def test_entropy_against_a_far_finer_rule(low: float, high: float) -> None:
    truth = built(painting(6, 40, low, high))
    n = 1600
    p = truth.log_prob(lattice(-11.0, 11.0, n)).exp()
    entropy = -float(torch.special.xlogy(p, p).sum()) * (22.0 / n) ** 2
    assert truth.entropy() == pytest.approx(entropy, abs=1e-7)


def test_entropy_of_one_dab_and_of_two_far_apart_is_the_closed_form() -> None:
    one = math.log(2 * math.pi * math.e * 0.3**2)
    dab = np.array([[1.0, -2.0, 0.3, 0.7]])
    two = np.array([[-100.0, 0.0, 0.3, 1.0], [100.0, 50.0, 0.3, 3.0]])
    split = scipy.stats.entropy([0.25, 0.75])
    assert built(dab).entropy() == pytest.approx(one, abs=1e-7)
    assert built(two).entropy() == pytest.approx(one + split, abs=1e-7)
    assert built(dab, noise=0.4).entropy() == pytest.approx(
        math.log(2 * math.pi * math.e * 0.25), abs=1e-7
    )


def test_draws_follow_the_density_by_chi_square() -> None:
    dabs = painting(7, 300, low=0.1)
    n, cells = 60_000, 24
    draws = built(dabs).sample(n, generator=torch.Generator().manual_seed(3)).double()
    edges = np.linspace(-5.5, 5.5, cells + 1)
    rows = dabs.astype(np.float64)
    across = [
        np.diff(scipy.stats.norm.cdf(edges[:, None], rows[:, a], rows[:, 2]), axis=0)
        for a in (0, 1)
    ]
    expected = n * np.einsum("ik,jk,k->ij", *across, rows[:, 3] / rows[:, 3].sum()).ravel()
    counts = np.histogram2d(draws[:, 0].numpy(), draws[:, 1].numpy(), bins=(edges, edges))[0]
    full = expected > 5
    statistic = ((counts.ravel()[full] - expected[full]) ** 2 / expected[full]).sum()
    assert scipy.stats.chi2.sf(statistic, int(full.sum())) > 1e-3


def test_rare_dabs_are_drawn_as_often_as_they_weigh() -> None:
    dabs = np.array([[-3.0, 0.0, 0.1, 1.0], [3.0, 0.0, 0.1, 0.002]])
    draws = built(dabs).sample(200_000, generator=torch.Generator().manual_seed(0))
    rare = int((draws[:, 0] > 0).sum())
    assert scipy.stats.binomtest(rare, 200_000, 0.002 / 1.002).pvalue > 1e-3


def test_a_painting_crosses_as_text_bit_for_bit() -> None:
    dabs = painting(8, 500)
    np.testing.assert_array_equal(decode_dabs(encode_dabs(dabs)), dabs)
    assert encode_dabs(dabs[:0]) == ""
    assert len(decode_dabs("")) == 0
    spec = next(s for s in field_specs(type(built(dabs).config)) if s.name == "dabs")
    assert spec.kind == "blob"
    assert spec.default == encode_dabs(first_painting())


def test_weights_are_shares() -> None:
    dabs = painting(9)
    double = dabs * np.array([1.0, 1.0, 1.0, 2.0], np.float32)
    points = lattice(-3.0, 3.0, 8)
    torch.testing.assert_close(built(dabs).log_prob(points), built(double).log_prob(points))


def test_axes_are_named_by_the_user() -> None:
    assert built(painting(1), axes=("length", "width")).event.axes == ("length", "width")
    with pytest.raises(ValueError, match="wanted two different names"):
        built(painting(1), axes=("length",))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "the painting is empty"),
        ([[0.0, 0.0, 1.0, 0.0]], "the painting is empty"),
        ([[0.0, math.nan, 1.0, 1.0]], "holds a dab that is none"),
        ([[0.0, 0.0, 0.0, 1.0]], "holds a dab that is none"),
        ([[0.0, 0.0, 1.0, -1.0]], "holds a dab that is none"),
        ([[0.0, 0.0, 1.0, 1.0], [9.0, 0.0, 1e-3, 1.0]], "wanted at least a thousandth"),
        ([[0.0, 0.0, 1.0, 1.0]] * 20_001, "wanted at most 20000"),
    ],
)
def test_paintings_that_are_none_are_refused(rows: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        built(np.array(rows).reshape(-1, 4))


@pytest.mark.parametrize("text", ["smile", "AAAA", "!" * 400])
def test_text_that_is_no_painting_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="wanted the base64 of float32 rows") as caught:
        build_dataset("painted", dabs=text)
    assert len(str(caught.value)) < 200


def test_the_mixture_itself_needs_no_dataset() -> None:
    one = torch.ones(1, dtype=torch.float64)
    mixture = DabMixture(torch.zeros(1, 2, dtype=torch.float64), one, one)
    total, _ = scipy.integrate.dblquad(
        lambda y, x: math.exp(mixture.log_prob(torch.tensor([[x, y]]).double())),
        -6, 6, -6, 6, epsabs=1e-3,
    )  # fmt: skip
    assert total == pytest.approx(1.0, abs=1e-3)
