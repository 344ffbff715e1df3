"""Every data set of known density against quadrature, Monte Carlo and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from engine.dataset import KnownDensity
from engine.registry import build_dataset, dataset_card, datasets

#: Targets have an energy and no observations; they have tests of their own.
SYNTHETIC = tuple(
    n
    for n, kind in datasets().items()
    if dataset_card(kind).has_density and kind.card.kind != "target"
)
LINE = tuple(n for n in SYNTHETIC if datasets()[n].card.kind == "1-D")
PLANE = tuple(n for n in SYNTHETIC if n not in LINE)
#: Densities with edges, whose box is the one of BOX.
SHARP = ("checkerboard", "picture")
#: Half-width of a box that holds all but 1e-6 of each density, and grid points per side.
BOX = {"funnel": (30.0, 1200), "banana": (24.0, 900), "checkerboard": (4.0, 800),
       "picture": (4.0, 480)}  # fmt: skip
#: Closed forms, from the constants in the docstrings.
ENTROPY = {
    "gaussian_1d": 0.5 * math.log(2 * math.pi * math.e),
    "gaussian": math.log(2 * math.pi * math.e * 0.6),
    "banana": math.log(2 * math.pi * math.e * 1.5 * 0.5),
    "funnel": math.log(2 * math.pi * math.e * 1.2),
    "checkerboard": math.log(32.0),
}


def draws(name: str, n: int, seed: int = 7, **config: object) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return build_dataset(name, **config).sample(n, generator=generator)


def grid(name: str, **config: object) -> tuple[Tensor, float]:
    """Cell centres of a box in float64, and the volume of a cell."""
    n_axes = build_dataset(name, n_samples=10).event_shape[0]
    reach, n = BOX.get(name, (8.0, 320)) if n_axes == 2 else (12.0, 20_000)
    step = 2 * reach / n
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) * step - reach
    points = torch.cartesian_prod(*[axis] * n_axes).reshape(-1, n_axes)
    return points, step**n_axes


def known(name: str, **config: object) -> KnownDensity:
    dataset = build_dataset(name, n_samples=10, **config)
    assert isinstance(dataset, KnownDensity)
    return dataset


def test_all_promised_sets_are_there() -> None:
    assert set(LINE) == {"gaussian_1d", "two_components_1d", "bimodal_1d"}
    assert set(PLANE) == {
        "gaussian", "eight_gaussians", "two_moons", "two_rings", "pinwheel", "two_spirals",
        "checkerboard", "swiss_roll", "banana", "funnel", "painted", "picture",
    }  # fmt: skip
    assert {"digits", "digits_plane", "points"} <= set(datasets())


@pytest.mark.parametrize("name", SYNTHETIC)
def test_density_integrates_to_one_and_entropy_is_its_integral(name: str) -> None:
    points, cell = grid(name)
    truth = known(name)
    log_p = truth.log_prob(points)
    p = log_p.exp()
    assert float(p.sum()) * cell == pytest.approx(1.0, abs=1e-4)
    inside = p > 0
    entropy = -float((p[inside] * log_p[inside]).sum()) * cell
    assert truth.entropy() == pytest.approx(entropy, abs=1e-3 if name == "funnel" else 1e-5)


@pytest.mark.parametrize(
    "name", [n for n in SYNTHETIC if n not in ("funnel", "banana", "picture")]
)
@pytest.mark.parametrize("noise", [0.3, 0.7])
def test_noise_setting_reaches_density_and_entropy(name: str, noise: float) -> None:
    truth = known(name, noise=noise)
    reach, n = 10.0, 200 if name in PLANE else 2000
    step = 2 * reach / n
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) * step - reach
    n_axes = 1 if name in LINE else 2
    points = torch.cartesian_prod(*[axis] * n_axes).reshape(-1, n_axes)
    log_p = truth.log_prob(points)
    p = log_p.exp()
    assert float(p.sum()) * step**n_axes == pytest.approx(1.0, abs=1e-6)
    entropy = -float(torch.special.xlogy(p, p).sum()) * step**n_axes
    assert truth.entropy() == pytest.approx(entropy, abs=1e-6)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_entropy_is_that_of_its_own_draws(name: str) -> None:
    truth = known(name)
    surprise = -truth.log_prob(draws(name, 100_000).double())
    error = float(surprise.std()) / math.sqrt(len(surprise))
    assert torch.isfinite(surprise).all()
    assert truth.entropy() == pytest.approx(float(surprise.mean()), abs=4.5 * error + 1e-9)


@pytest.mark.parametrize("name", ENTROPY)
def test_closed_form_entropy(name: str) -> None:
    assert known(name).entropy() == pytest.approx(ENTROPY[name], abs=1e-9)


def test_entropy_of_eight_gaussians_is_the_fixed_one() -> None:
    assert known("eight_gaussians").entropy() == pytest.approx(1.698, abs=5e-4)


def test_blurred_checkerboard_tends_to_the_sharp_one() -> None:
    entropies = [known("checkerboard", noise=noise).entropy() for noise in (0.1, 0.01, 0.001)]
    assert entropies == sorted(entropies, reverse=True)
    assert entropies[-1] == pytest.approx(math.log(32.0), abs=3e-3)


@pytest.mark.parametrize("name", PLANE)
def test_draws_follow_the_density_by_chi_square(name: str) -> None:
    n, side, fine = 40_000, 24, 12
    points = draws(name, n)
    low, high = points.amin(0).double() - 0.01, points.amax(0).double() + 0.01
    if name in SHARP:
        low, high = torch.full((2,), -4.0).double(), torch.full((2,), 4.0).double()
    span = (high - low) / (side * fine)
    axes = [low[a] + (torch.arange(side * fine) + 0.5) * span[a] for a in range(2)]
    p = known(name).log_prob(torch.cartesian_prod(*axes)).exp() * span.prod()
    expected = n * p.reshape(side, fine, side, fine).sum((1, 3)).flatten()
    cell = ((points.double() - low) / (span * fine)).floor().long().clamp(0, side - 1)
    counts = torch.bincount(cell[:, 0] * side + cell[:, 1], minlength=side**2).double()
    full = expected > 5
    rest = torch.stack([counts[~full].sum(), n - expected[full].sum()])
    statistic = ((counts[full] - expected[full]) ** 2 / expected[full]).sum()
    statistic += (rest[0] - rest[1]) ** 2 / rest[1].clamp_min(1.0)
    assert scipy.stats.chi2.sf(float(statistic), int(full.sum())) > 1e-4


@pytest.mark.parametrize("name", LINE)
def test_draws_follow_the_density_by_kolmogorov_smirnov(name: str) -> None:
    points = draws(name, 20_000)[:, 0].double().numpy()
    axis = torch.linspace(-15, 15, 60_001, dtype=torch.float64)
    p = known(name).log_prob(axis[:, None]).exp().numpy()
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (p[1:] + p[:-1]) * np.diff(axis.numpy()))])
    test = scipy.stats.kstest(points, lambda x: np.interp(x, axis.numpy(), cumulative))
    assert test.pvalue > 1e-3


@pytest.mark.parametrize("name", SYNTHETIC)
def test_float64_is_kept_and_float32_agrees(name: str) -> None:
    points = draws(name, 500)
    narrow, wide = known(name).log_prob(points), known(name).log_prob(points.double())
    assert narrow.dtype == torch.float32
    assert wide.dtype == torch.float64
    assert narrow.shape == (500,)
    torch.testing.assert_close(narrow.double(), wide, atol=2e-3, rtol=1e-4)


def test_mixture_density_agrees_with_scipy() -> None:
    points = torch.randn(50, 2, dtype=torch.float64) * 2
    angles = np.arange(8) * np.pi / 4
    parts = [
        scipy.stats.multivariate_normal.logpdf(points, [2 * np.cos(a), 2 * np.sin(a)], 0.04)
        for a in angles
    ]
    wanted = scipy.special.logsumexp(parts, axis=0) - np.log(8)
    np.testing.assert_allclose(known("eight_gaussians").log_prob(points), wanted, rtol=1e-10)


def test_spiral_centres_are_the_fixed_ones() -> None:
    mixture = datasets()["two_spirals"].mixture(0.1)  # type: ignore[attr-defined]
    t = (np.arange(200) + 0.5) / 200
    n = 3 * np.pi * np.sqrt(t)
    arm = np.stack([-np.cos(n), np.sin(n)], 1) * (n / 3)[:, None]
    np.testing.assert_allclose(mixture.means, np.concatenate([arm, -arm]), atol=1e-12)
    assert mixture.scales.unique().tolist() == [0.1]


def test_sharp_checkerboard_has_no_mass_off_its_squares() -> None:
    points = torch.tensor(
        [[-3.0, -3.0], [-3.0, -1.0], [3.0, 3.0], [3.0, 1.0], [4.5, 0.5], [math.nan, 0.0]]
    )
    expected = [-math.log(32.0), -math.inf, -math.log(32.0), -math.inf, -math.inf, -math.inf]
    assert known("checkerboard").log_prob(points).tolist() == pytest.approx(expected)


def test_blurred_checkerboard_keeps_its_digits_far_away() -> None:
    far = torch.tensor([[9.0, -30.0], [-1.0, -3.0]], dtype=torch.float64)
    log_p = known("checkerboard", noise=0.1).log_prob(far)
    assert torch.isfinite(log_p).all()
    nearest = scipy.stats.norm.logsf(260.0) + scipy.stats.norm.logsf(70.0)  # from −4 and from 2
    assert float(log_p[0]) == pytest.approx(math.log(1 / 32) + nearest, rel=1e-6)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_splits_are_seeded_disjoint_and_of_the_wanted_size(name: str) -> None:
    config = {"n_samples": 200, "valid_fraction": 0.25, "test_fraction": 0.1}
    first, again = build_dataset(name, seed=3, **config), build_dataset(name, seed=3, **config)
    other = build_dataset(name, seed=4, **config)
    assert [len(s) for s in (first.train, first.valid, first.test)] == [130, 50, 20]
    assert first.train.dtype == torch.float32
    rows = torch.cat([first.train, first.valid, first.test])
    assert len(torch.unique(rows, dim=0)) == 200
    assert torch.equal(first.train, again.train)
    assert torch.equal(first.test, again.test)
    assert not torch.equal(first.train, other.train)
    assert first.info().entropy == known(name).entropy()


def test_fresh_batches_do_not_repeat_the_finite_sample() -> None:
    dataset = build_dataset("two_moons", fresh=True, seed=0)
    fresh = dataset.sample(len(dataset.train), generator=torch.Generator().manual_seed(0))
    rows = torch.cat([dataset.train, fresh])
    assert len(torch.unique(rows, dim=0)) == len(rows)


def test_splits_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted a sum below 1"):
        build_dataset("banana", valid_fraction=0.5, test_fraction=0.5)


def test_correlation_setting_is_that_of_the_draws() -> None:
    points = draws("gaussian", 100_000, correlation=-0.5, noise=2.0)
    assert float(torch.corrcoef(points.T)[0, 1]) == pytest.approx(-0.5, abs=0.01)
    assert points.std(0).tolist() == pytest.approx([2.0, 2.0], abs=0.02)


def test_pinwheel_has_a_fivefold_symmetry() -> None:
    points = draws("pinwheel", 200).double()
    cos, sin = math.cos(2 * math.pi / 5), math.sin(2 * math.pi / 5)
    turned = points @ torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    log_prob = known("pinwheel").log_prob
    torch.testing.assert_close(log_prob(points), log_prob(turned))


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_far_tails_are_never_nan(name: str, dtype: torch.dtype) -> None:
    truth = known(name)
    n_axes = draws(name, 1, n_samples=10).shape[1]
    reach = torch.tensor([10.0, 1e3, 1e6, 1e20, 1e38], dtype=dtype)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)] * n_axes)
    x = (reach[:, None, None] * signs.reshape(1, -1, n_axes)).reshape(-1, n_axes)
    log_p = truth.log_prob(x)
    assert not bool(log_p.isnan().any())
    assert bool((log_p < 0.0).all())


def test_no_draw_is_rounded_off_the_checkerboard(monkeypatch: pytest.MonkeyPatch) -> None:
    board = known("checkerboard")
    highest = 1.0 - 2.0**-24  # the largest number that torch.rand gives
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, highest))
    x = draws("checkerboard", 200, n_samples=10)
    assert bool(board.log_prob(x).isfinite().all())
