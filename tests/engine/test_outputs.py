"""Output distributions against scipy's distribution functions, enumeration and their own CDFs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, Normal

from engine.nets.outputs import (
    BernoulliOutput,
    BinnedGaussianOutput,
    CategoricalOutput,
    GaussianMixtureOutput,
    LogisticMixtureOutput,
    OutputFamily,
    check_level_values,
    entropy,
    icdf,
    is_discrete,
    level_log_probs,
    level_probs,
    make_output,
    nucleus,
    scale_levels,
    select,
    tempered,
)

FAMILIES = [
    CategoricalOutput(256),
    CategoricalOutput(17),
    BernoulliOutput(),
    BinnedGaussianOutput(256),
    BinnedGaussianOutput(2),
    LogisticMixtureOutput(256, 10),
    LogisticMixtureOutput(17, 3),
    LogisticMixtureOutput(2, 2),
]
IDS = [f"{family.name}-{family.levels}" for family in FAMILIES]
SUM_ERROR = {torch.float32: 1e-6, torch.float64: 1e-12}


def params(family: OutputFamily, n: int = 40, spread: float = 3.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, family.n_params, generator=generator, dtype=torch.float64)
    return family.initial().double() + spread * noise


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0])
def test_probabilities_of_all_levels_sum_to_one(
    family: OutputFamily, dtype: torch.dtype, spread: float
) -> None:
    d = family.distribution(params(family, spread=spread).to(dtype))
    probs = level_probs(d)
    assert probs.shape == (40, family.levels)
    assert probs.dtype == dtype
    assert bool(level_log_probs(d).isfinite().all())
    assert float((probs.sum(-1) - 1.0).abs().max()) < SUM_ERROR[dtype]


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
def test_log_prob_is_the_entry_of_all_levels(family: OutputFamily) -> None:
    p = params(family, 30)
    levels = torch.arange(30) % family.levels
    d = family.distribution(p)
    wanted = level_log_probs(d).gather(-1, levels[:, None]).squeeze(-1)
    assert torch.allclose(d.log_prob(levels.double()), wanted, atol=1e-12)
    assert torch.allclose(family.log_prob(p, levels.double()), wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("family", "curve"),
    [
        (LogisticMixtureOutput(256, 3), scipy.stats.logistic),
        (LogisticMixtureOutput(17, 2), scipy.stats.logistic),
        (BinnedGaussianOutput(256), scipy.stats.norm),
        (BinnedGaussianOutput(17), scipy.stats.norm),
    ],
)
def test_bins_hold_the_mass_of_the_curves(family: OutputFamily, curve: object) -> None:
    p = params(family, 1, 0.5)[0].numpy()
    k = max(1, len(p) // 3)
    logits, means, logs = (np.zeros(1), p[:1], p[1:]) if len(p) == 2 else np.split(p, 3)
    weights = np.exp(logits) / np.exp(logits).sum()
    assert len(weights) == k
    edges = np.concatenate([[-np.inf], (np.arange(family.levels - 1) + 0.5), [np.inf]])
    edges = edges / (family.levels - 1) * 2.0 - 1.0
    cdf = sum(
        w * curve.cdf(edges, m, math.exp(s)) for w, m, s in zip(weights, means, logs, strict=True)
    )
    found = level_probs(family.distribution(torch.from_numpy(p))).numpy()
    np.testing.assert_allclose(found, np.diff(cdf), atol=1e-13)


def test_far_tails_keep_their_logs_and_gradients() -> None:
    for family in (LogisticMixtureOutput(256, 1), BinnedGaussianOutput(256)):
        sharp = torch.tensor([[0.0, -0.9, -6.0]])[:, -family.n_params :].requires_grad_()
        log_p = family.log_prob(sharp, torch.tensor([200.0]))
        (gradient,) = torch.autograd.grad(log_p.sum(), sharp)
        log_p = log_p.detach()
        assert float(log_p) < -100.0
        assert bool(log_p.isfinite().all())
        assert bool(gradient.isfinite().all())
        assert float(gradient[0, -2]) > 0.0  # the mean is pulled towards the value
    # log σ-tails are linear: 200 levels out of a curve of width e^-6 · 127.5 from level 12.75.
    width = math.exp(-6.0) * 127.5
    lower = -(199.5 - 12.75) / width
    assert float(
        LogisticMixtureOutput(256, 1).log_prob(
            torch.tensor([[0.0, -0.9, -6.0]], dtype=torch.float64), torch.tensor([200.0]).double()
        )
    ) == pytest.approx(lower + math.log1p(-math.exp(-1.0 / width)), rel=1e-9)


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
def test_inverse_cdf_is_monotone_and_hits_the_probabilities(family: OutputFamily) -> None:
    d = family.distribution(params(family, 1, 1.0)[0])
    u = (torch.arange(4_000, dtype=torch.float64) + 0.5) / 4_000
    drawn = icdf(family.distribution(params(family, 1, 1.0).expand(4_000, -1)), u)
    assert bool((drawn.diff() >= 0).all())
    shares = torch.bincount(drawn.long(), minlength=family.levels) / 4_000
    assert float((shares - level_probs(d)).abs().max()) < 3e-4
    ends = icdf(
        family.distribution(params(family, 1).expand(2, -1)), torch.tensor([0.0, 1.0 - 1e-16])
    )
    assert bool(((ends >= 0) & (ends < family.levels)).all())


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
def test_temperature_and_top_p_renormalise(family: OutputFamily) -> None:
    d = family.distribution(params(family, 6, 1.0))
    plain = level_probs(d)
    for temperature in (0.5, 2.0):
        power = plain ** (1.0 / temperature)
        wanted = power / power.sum(-1, keepdim=True)
        assert torch.allclose(level_probs(tempered(d, temperature)), wanted, atol=1e-12)
    cut = level_probs(tempered(d, top_p=0.8))
    assert torch.allclose(cut.sum(-1), torch.ones(6).double(), atol=1e-12)
    for row, whole in zip(cut, plain, strict=True):
        kept = row > 0
        mass = float(whole[kept].sum())
        assert mass >= 0.8 - 1e-12
        assert mass - float(whole[kept].min()) < 0.8
        assert float(whole[kept].min()) >= float(whole[~kept].max()) if (~kept).any() else True
        assert torch.allclose(row[kept], whole[kept] / mass, atol=1e-12)
    assert tempered(d) is d
    assert bool(entropy(tempered(d, top_p=0.3)).isfinite().all())


def test_nucleus_by_hand() -> None:
    probs = torch.tensor([[0.1, 0.4, 0.4, 0.1]])
    assert nucleus(probs, 0.3).tolist() == [[False, True, False, False]]
    assert nucleus(probs, 0.5).tolist() == [[False, True, True, False]]
    assert nucleus(probs, 0.85).tolist() == [[True, True, True, False]]


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
def test_entropy_is_that_of_the_histogram(family: OutputFamily) -> None:
    d = family.distribution(params(family, 5, 1.0))
    wanted = scipy.stats.entropy(level_probs(d).numpy(), axis=-1)
    np.testing.assert_allclose(entropy(d).numpy(), wanted, atol=1e-11)


def test_entropy_of_densities() -> None:
    family = GaussianMixtureOutput(3)
    p = params(family, 4, 0.7)
    d = family.distribution(p)
    for i in range(4):
        one = family.distribution(p[i])

        def term(x: float, one: MixtureSameFamily = one) -> float:
            log_p = float(one.log_prob(torch.tensor(x, dtype=torch.float64)))
            return -math.exp(log_p) * log_p

        wanted = scipy.integrate.quad(term, -40.0, 40.0, limit=400, points=[-2, 0, 2])[0]
        assert float(entropy(d)[i]) == pytest.approx(wanted, abs=1e-6)
    assert float(entropy(Normal(torch.tensor(0.0), torch.tensor(2.0)))) == pytest.approx(
        0.5 * math.log(2 * math.pi * math.e * 4.0)
    )


@pytest.mark.parametrize(
    ("weights", "means", "widths"),
    [
        ([0.5, 0.5], [0.0, 0.0], [1e-3, 1.0]),
        ([0.5, 0.5], [0.0013, 2.0], [1e-3, 1.0]),
        ([0.01, 0.99], [0.0, 0.5], [20.0, 2e-3]),
        ([0.2, 0.3, 0.5], [-1.0, 0.0, 1.0], [0.1, 1e-3, 3.0]),
        ([0.5, 0.5], [0.0, 1000.0], [1.0, 1.0]),
    ],
)
def test_entropy_of_densities_of_very_unequal_widths(
    weights: list[float], means: list[float], widths: list[float]
) -> None:
    w, m, s = (np.array(part) for part in (weights, means, widths))

    def term(x: float) -> float:
        p = float((w * scipy.stats.norm.pdf(x, m, s)).sum())
        return -p * math.log(max(p, 1e-300))

    marks = np.unique(m + s * np.arange(-9.0, 9.5)[:, None])
    pieces = [scipy.integrate.quad(term, a, b) for a, b in pairwise(marks)]
    p = torch.from_numpy(np.concatenate([np.log(w), m, np.log(s)]))
    d = GaussianMixtureOutput(len(w)).distribution(p)
    assert float(entropy(d)) == pytest.approx(sum(found for found, _ in pieces), abs=1e-6)


def test_densities_are_drawn_and_tempered() -> None:
    normal = Normal(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0]))
    u = torch.tensor([0.5, 0.8413447])
    assert torch.allclose(icdf(normal, u), torch.tensor([1.0, 5.0]), atol=1e-4)
    assert torch.allclose(tempered(normal, 0.5).scale, torch.tensor([0.25, 1.5]))
    mixture = GaussianMixtureOutput(2).distribution(params(GaussianMixtureOutput(2), 3))
    cold = tempered(mixture, 0.5)
    assert torch.allclose(
        cold.component_distribution.scale, 0.5 * mixture.component_distribution.scale
    )
    with pytest.raises(ValueError, match="no most probable levels"):
        tempered(normal, top_p=0.9)
    with pytest.raises(ValueError, match="a density over real values"):
        level_probs(normal)
    assert not is_discrete(mixture)


@pytest.mark.parametrize("family", [*FAMILIES, GaussianMixtureOutput(3)])
def test_one_coordinate_is_selected(family: OutputFamily) -> None:
    p = params(family, 12, 1.0).view(3, 4, -1)
    x = torch.ones(3, 4, dtype=torch.float64)
    whole = family.distribution(p).log_prob(x)
    for i in range(4):
        one = select(family.distribution(p), i)
        assert one.batch_shape == (3,)
        assert torch.allclose(one.log_prob(x[:, i]), whole[:, i], atol=1e-14)


def test_parameters_are_counted() -> None:
    counts = {
        name: (make_output(name, levels=256).n_params, make_output(name, levels=256).n_free)
        for name in ("categorical", "gaussian", "logistic_mixture")
    }
    assert counts == {"categorical": (256, 255), "gaussian": (2, 2), "logistic_mixture": (15, 14)}
    assert isinstance(make_output("categorical", levels=2), BernoulliOutput)
    assert isinstance(make_output("gaussian", levels=None), GaussianMixtureOutput)
    assert make_output("gaussian", levels=None).n_params == 3


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="given 'poisson', wanted one of categorical"):
        make_output("poisson", levels=4)
    with pytest.raises(ValueError, match="given 'bernoulli' for 256 levels"):
        make_output("bernoulli", levels=256)
    with pytest.raises(ValueError, match="levels: given 1"):
        make_output("categorical", levels=1)
    with pytest.raises(ValueError, match="temperature: given 0"):
        tempered(Bernoulli(logits=torch.zeros(1)), 0.0)
    with pytest.raises(ValueError, match=r"top_p: given 1\.5"):
        tempered(Categorical(logits=torch.zeros(1, 3)), 1.0, 1.5)
    check_level_values(torch.tensor([0.0, 3.0]), 4, "It")
    for bad in (4.0, 0.5, -1.0, math.nan):
        with pytest.raises(ValueError, match="whole numbers from 0 to 3"):
            check_level_values(torch.tensor([0.0, bad]), 4, "It")


def test_levels_are_scaled_to_plus_minus_one() -> None:
    scaled = scale_levels(torch.tensor([0.0, 8.0, 16.0]), 17)
    assert scaled.tolist() == [-1.0, 0.0, 1.0]
