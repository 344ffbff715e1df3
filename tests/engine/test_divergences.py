"""Divergences from a known truth and the mass, against closed forms and independent quadrature."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor
from torch.distributions import Normal

from engine.bijections.affine_flow import AffineFlow
from engine.capabilities import FlowPath
from engine.dataset import Dataset
from engine.estimators.divergences import compare, model_mass
from engine.estimators.grid import Box
from engine.estimators.mass import mass_state, tail_of_draws, tail_of_energy
from engine.estimators.wide_grid import rounded_reach, spans_of_box, wide_grid
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_model, dataset_card, datasets, probes
from tests.engine.toys import (
    GaussianData,
    GaussianToy,
    ImplicitToy,
    LinearToy,
    QuadraticToy,
    SquareData,
    Toy,
    UnknownData,
    toy_card,
    view,
)

NAMES = ("kl", "reverse_kl", "js", "tv")


class TruthModel(Toy):
    """The known density of a data set as a model."""

    card = toy_card("truth")

    def __init__(self, truth: Any, *, double: bool = True) -> None:
        super().__init__(math.prod(truth.event_shape))
        self.truth = truth
        if not double:
            self.float()

    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        return self.truth.log_prob(x)

    def sample(self, n: int, *, context: Tensor | None = None, generator: Any) -> Tensor:
        return self.truth.sample(n, generator=generator)


class UniformToy(Toy):
    """Uniform on [−half, half]²."""

    card = toy_card("uniform")

    def __init__(self, half: float) -> None:
        super().__init__(2)
        self.half = half

    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        inside = (x.abs() <= self.half).all(1)
        return torch.where(inside, -2.0 * math.log(2.0 * self.half), -math.inf)

    def sample(self, n: int, *, context: Tensor | None = None, generator: Any) -> Tensor:
        noise = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        return (2.0 * noise - 1.0) * self.half


def ask(model: GenerativeModel, data: Dataset, **arguments: Any) -> list[Any]:
    return list(probes()["divergences"].ask(view(model, data), arguments))


def known_sets() -> list[str]:
    return [name for name, kind in datasets().items() if dataset_card(kind).has_density]


def gaussian_kl(m: Any, s: Any, mean: Any, sigma: Any) -> float:
    """KL(N(m, s²) ‖ N(mean, sigma²)), summed over independent axes."""
    m, s, mean, sigma = (np.asarray(v, float) for v in (m, s, mean, sigma))
    return float((np.log(sigma / s) + (s**2 + (m - mean) ** 2) / (2 * sigma**2) - 0.5).sum())


def one_dimensional(p: Any, q: Any) -> dict[str, float]:
    """The four by Gauss–Legendre panels on [−30, 30], narrow ones for the kinks of |p − q|."""
    x, w = leggauss(10)
    edges = np.linspace(-30.0, 30.0, 6001)
    half = np.diff(edges)[:, None] / 2
    nodes = torch.from_numpy((half * x + (edges[:-1, None] + half)).ravel())
    weights = (half * w).ravel()
    log_p, log_q = p(nodes).numpy(), q(nodes).numpy()
    log_m = np.logaddexp(log_p, log_q) - math.log(2.0)
    p, q = np.exp(log_p), np.exp(log_q)
    return {
        "kl": float(weights @ (p * (log_p - log_q))),
        "reverse_kl": float(weights @ (q * (log_q - log_p))),
        "js": float(weights @ (p * (log_p - log_m) + q * (log_q - log_m))) / 2,
        "tv": float(weights @ np.abs(p - q)) / 2,
    }


@pytest.mark.parametrize("sigma", [(1.0, 1.0), (0.3, 2.0)])
def test_gaussians_in_the_plane(sigma: tuple[float, float]) -> None:
    found = compare(GaussianData((1.0, 0.5)), GaussianToy(2, mean=0.4, sigma=sigma), grid=256)
    zero, truth, mean = (0.0, 0.0), (1.0, 0.5), (0.4, 0.4)
    assert found.kl.value == pytest.approx(gaussian_kl(zero, truth, mean, sigma), abs=1e-6)
    assert found.reverse_kl.value == pytest.approx(gaussian_kl(mean, sigma, zero, truth), abs=1e-5)
    cross = found.kl.value + GaussianData((1.0, 0.5)).entropy()
    assert found.cross_entropy.value == pytest.approx(cross, abs=1e-6)
    mass = found.mass.value + found.tail.value
    assert abs(mass - 1.0) < 4.0 * (found.mass.error + found.tail.error)
    assert all(getattr(found, name).kind == "exact" for name in NAMES)


@pytest.mark.parametrize("shift", [0.2, 1.5, 6.0])
def test_total_variation_of_shifted_gaussians(shift: float) -> None:
    found = compare(GaussianData((1.0, 1.0)), GaussianToy(2, mean=shift), grid=256)
    apart = math.sqrt(2.0) * shift
    expected = math.erf(apart / (2.0 * math.sqrt(2.0)))
    assert found.tv.value == pytest.approx(expected, abs=2e-4)
    assert abs(found.tv.value - expected) <= 3.0 * found.tv.error + 1e-6
    assert found.js.value <= math.log(2.0) + 1e-12


def test_disjoint_densities_reach_the_ends_of_js_and_tv() -> None:
    found = compare(GaussianData((1.0, 1.0)), GaussianToy(2, mean=500.0), grid=128)
    assert found.js.value == pytest.approx(math.log(2.0), abs=1e-9)
    assert found.tv.value == pytest.approx(1.0, abs=1e-9)


def test_mixture_on_a_line_against_another_rule() -> None:
    data = build_dataset("two_components_1d")
    model = GaussianToy(1, mean=-0.3, sigma=(1.4,))
    oracle = one_dimensional(lambda x: data.log_prob(x[:, None]), Normal(-0.3, 1.4).log_prob)
    found = compare(data, model, grid=128)
    for name in NAMES:
        figure = getattr(found, name)
        assert figure.value == pytest.approx(oracle[name], abs=2e-6)
        assert abs(figure.value - oracle[name]) <= 3.0 * figure.error + 1e-6


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize("name", ["eight_gaussians", "checkerboard", "funnel", "two_spirals"])
def test_the_truth_as_a_model_has_no_divergence(name: str, double: bool) -> None:
    data = build_dataset(name)
    found = compare(data, TruthModel(data, double=double), grid=128)
    assert max(abs(getattr(found, n).value) for n in NAMES) < 1e-5
    assert found.kl.error < 1e-4
    assert found.cross_entropy.value == pytest.approx(data.entropy(), abs=1e-4)
    assert (found.outside.value, found.missed.value) == (0.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", known_sets())
def test_the_truth_at_full_resolution(name: str) -> None:
    data = build_dataset(name)
    values = ask(TruthModel(data, double=False), data, size=512)[-1].values
    assert max(abs(values[n]) for n in NAMES) < 1e-4
    assert abs(values["identity"]) < max(1e-4, values["cross_entropy_error"])
    assert values["mass_state"] == "whole"


def test_mass_outside_the_truth_makes_the_reverse_infinite() -> None:
    model = GaussianToy(2, sigma=(0.8, 0.8))
    found = compare(SquareData(), model, grid=128)
    inside = math.erf(1.0 / 0.8 / math.sqrt(2.0)) ** 2
    assert (found.reverse_kl.value, found.reverse_kl.error) == (math.inf, 0.0)
    assert found.outside.value == pytest.approx(1.0 - inside, abs=2e-3)
    assert math.isfinite(found.kl.value)


def test_truth_missed_by_the_model_makes_the_forward_infinite() -> None:
    found = compare(SquareData(), UniformToy(0.5), grid=128)
    assert (found.kl.value, found.cross_entropy.value) == (math.inf, math.inf)
    assert found.missed.value == pytest.approx(0.75, abs=1e-9)
    assert found.reverse_kl.value == pytest.approx(math.log(4.0), abs=1e-6)
    assert found.tv.value == pytest.approx(0.75, abs=1e-6)


def test_error_is_honest_about_a_peak_narrower_than_a_cell() -> None:
    model = GaussianToy(2, mean=0.37, sigma=(0.004, 0.004))
    found = compare(GaussianData((1.0, 1.0)), model, grid=64)
    expected = gaussian_kl((0.37,) * 2, (0.004,) * 2, (0.0, 0.0), (1.0, 1.0))
    assert abs(found.reverse_kl.value - expected) <= found.reverse_kl.error
    assert found.tv.error > 0.01


def test_a_model_far_wider_than_the_truth_is_held() -> None:
    model = GaussianToy(2, sigma=(200.0, 90.0))
    found = compare(GaussianData((1.0, 0.5)), model, grid=128)
    expected = gaussian_kl((0, 0), (200.0, 90.0), (0, 0), (1.0, 0.5))
    assert found.reverse_kl.value == pytest.approx(expected, rel=0.02)
    assert abs(found.reverse_kl.value - expected) <= found.reverse_kl.error
    assert found.mass.value + found.tail.value == pytest.approx(1.0, abs=5e-3)


def test_energies_are_normalised() -> None:
    data, sigma = GaussianData(), (0.8, 1.1)
    energy = compare(data, QuadraticToy(2, mean=0.3, sigma=sigma), grid=128)
    exact = compare(data, GaussianToy(2, mean=0.3, sigma=sigma), grid=128)
    for name in NAMES:
        assert getattr(energy, name).value == pytest.approx(getattr(exact, name).value, abs=1e-4)
    assert energy.kl.kind == "quadrature"
    assert energy.mass.value + energy.tail.value == pytest.approx(1.0, abs=1e-4)


def test_bound_gives_an_upper_bound_and_estimates() -> None:
    data, model = GaussianData((1.0, 1.0)), LinearToy(2)
    width = math.hypot(model.a, model.s)
    exact = compare(data, GaussianToy(2, sigma=(width, width)), grid=64)
    few, many = (compare(data, model, grid=64, n_draws=k) for k in (1, 256))
    assert few.kl.value > many.kl.value > exact.kl.value - 1e-3
    assert (many.kl.kind, many.reverse_kl.kind, many.tv.kind) == ("bound", "estimate", "estimate")
    assert many.tv.value == pytest.approx(exact.tv.value, abs=0.02)
    assert few.mass.value < 1.0 + few.mass.error
    words = ask(model, data, size=32)[-1].values
    assert "upper bound" in str(words["note"])


def test_the_grid_grows_smoothly_and_covers_its_reach() -> None:
    wide = wide_grid(spans_of_box((-1.0,), (3.0,)), 64, 8.0)
    axis = wide.grid.axes[0]
    assert float(axis.weights.sum()) == pytest.approx(4.0 * (1 + 2 * 8.0), rel=0.05)
    assert int(wide.inside.sum()) == 64
    steps = (axis.weights[1:] / axis.weights[:-1]).log().abs()
    assert float(steps.max()) < 1.3
    assert bool((axis.nodes[1:] > axis.nodes[:-1]).all())


def test_reach_has_steps() -> None:
    assert (rounded_reach(-1.0), rounded_reach(0.3), rounded_reach(0.31)) == (0.5, 1.0, 1.0)
    assert rounded_reach(math.inf) == rounded_reach(1e9) == 4096.0


# --- mass ----------------------------------------------------------------------------------------


def flow(name: str) -> AffineFlow:
    data = build_dataset("two_moons", n_samples=500)
    model = build_model(name, event_shape=(2,), seed=1)
    assert isinstance(model, AffineFlow)
    with torch.no_grad():
        model.theta.mul_(1.3)
    model.prepare(data.train, generator=torch.Generator().manual_seed(0))
    return model


def flip(model: AffineFlow) -> None:
    """The bug of a lecture: log-determinants of the wrong sign."""
    right = model.path

    def path(x: Tensor, **options: Any) -> FlowPath:
        found = right(x, **options)
        return FlowPath(found.states, -found.log_dets, found.names)

    def log_prob(x: Tensor, **_: Any) -> Tensor:
        found = path(x)
        return model.base().log_prob(found.states[-1]) + found.log_dets.sum(0)

    model.path, model.log_prob = path, log_prob  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("name", ["realnvp", "maf"])
def test_a_flipped_log_det_is_found_at_once(name: str) -> None:
    data = build_dataset("two_moons", n_samples=500)
    sound, broken = flow(name), flow(name)
    flip(broken)
    window = {"low": list(data.info().low), "high": list(data.info().high), "size": 128}
    for model, state in ((sound, "whole"), (broken, "off")):
        assert ask(model, data, size=128)[-1].values["mass_state"] == state
        (picture,) = probes()["density"].ask(view(model, data), window)
        assert picture.values["mass_state"] == state
    values = ask(broken, data, size=128)[-1].values
    assert abs(values["total"] - 1.0) > 0.1


def test_tail_is_the_share_beyond_the_box() -> None:
    box = Box((-1.0, -1.0), (1.0, 1.0))
    expected = 1.0 - math.erf(1.0 / math.sqrt(2.0)) ** 2
    drawn = tail_of_draws(GaussianToy(2), box)
    assert drawn is not None
    assert abs(drawn.value - expected) < 4.0 * drawn.error
    energy = tail_of_energy(QuadraticToy(2), box)
    assert abs(energy.value - expected) <= 3.0 * energy.error + 0.02
    assert tail_of_draws(QuadraticToy(2), box) is None
    assert tail_of_draws(GaussianToy(3), box) is None


def test_a_zoomed_window_is_still_whole() -> None:
    zoomed = {"low": [-0.5, -0.5], "high": [0.5, 1.0], "size": 64}
    for model in (GaussianToy(2), QuadraticToy(2)):
        (picture,) = probes()["density"].ask(view(model, GaussianData()), zoomed)
        values = picture.values
        assert values["mass"] < 0.5
        assert abs(values["total"] - 1.0) <= values["total_error"] + 0.01
        assert values["mass_state"] in ("whole", "unsure")


def test_states_of_a_mass() -> None:
    assert mass_state("exact", 1.005, 0.001) == "whole"
    assert mass_state("exact", 1.02, 0.001) == "off"
    assert mass_state("exact", 1.02, 0.01) == "whole"
    assert mass_state("exact", 0.98, 0.1) == "unsure"
    assert mass_state("exact", 1.0, 0.1) == "unsure"
    assert mass_state("bound", 0.7, 0.001) == "below"
    assert mass_state("bound", 1.1, 0.002) == "off"
    assert mass_state("exact", math.inf, 0.0) == "off"
    assert mass_state("exact", 1.0, math.inf) == "unsure"


def test_mass_without_a_known_truth() -> None:
    mass, tail = model_mass(UnknownData(), GaussianToy(2, sigma=(1.0, 0.5)), grid=128)
    assert mass.value + tail.value == pytest.approx(1.0, abs=5e-3)
    (answer,) = ask(GaussianToy(2), UnknownData())
    assert answer.values["kl"] is None
    assert "unknown" in str(answer.values["reason"])
    assert isinstance(answer.values["total"], float)


# --- probe ---------------------------------------------------------------------------------------


def test_coarse_first_full_last() -> None:
    partial, final = ask(GaussianToy(2, mean=0.5), GaussianData(), size=256)
    assert (partial.final, final.final) == (False, True)
    assert (partial.values["size"], final.values["size"]) == (64, 256)
    assert final.values["kl_error"] <= partial.values["kl_error"]


def test_reasons_for_having_no_divergence() -> None:
    (implicit,) = ask(ImplicitToy(2), GaussianData())
    assert (implicit.values["kl"], implicit.values["kind"]) == (None, "none")
    assert "no density to compare" in str(implicit.values["reason"])
    (large,) = ask(GaussianToy(3), GaussianData((1.0, 1.0, 1.0)))
    assert "two dimensions" in str(large.values["reason"])


def test_size_is_checked() -> None:
    with pytest.raises(ValueError, match="given size 3"):
        ask(GaussianToy(2), GaussianData(), size=3)


class BrokenToy(GaussianToy):
    def log_prob(self, x: Tensor, **_: Any) -> Tensor:
        return torch.where(x[:, 0] > 2.0, math.nan, super().log_prob(x))


def test_no_number_is_not_a_divergence() -> None:
    with pytest.raises(ValueError, match="not a finite number at"):
        ask(BrokenToy(2), GaussianData())


def test_cancelled_work_gives_no_answer() -> None:
    asked = probes()["divergences"].ask(view(GaussianToy(2), GaussianData(), lambda: True), {})
    assert list(asked) == []
