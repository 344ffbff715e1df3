"""Why this density: the terms add up to the number shown, for every model, near and far."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from engine.capabilities import LogProb
from engine.dataset import Dataset
from engine.estimators.precision import in_double
from engine.estimators.terms import log_mean_error
from engine.model import GenerativeModel
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, models, probes
from engine.training import fit
from tests.engine.choice import POINT_MODELS
from tests.engine.toys import GaussianData, GaussianToy

DATA = ("eight_gaussians", "two_moons", "bimodal_1d")
#: Multiples of the data's spread away from their mean: the bulk and far tails.
REACHES = (0.0, 0.4, 1.0, 3.0, 30.0)
STEPS = 30
#: The number shown and the sum of its terms agree to this many nats.
TOLERANCE = 1e-5


@cache
def trained(name: str, data: str, steps: int = STEPS) -> tuple[GenerativeModel, Dataset]:
    dataset = build_dataset(data, n_samples=600)
    model = build_model(name, event_shape=dataset.event_shape, seed=3, dataset=dataset)
    fit(model, dataset, steps=steps, batch_size=64, seed=5, device="cpu")
    return model.eval(), dataset


def explain(model: GenerativeModel, dataset: Dataset, point: Any, **arguments: Any) -> Result:
    view = View(model, dataset, 0, seed=1)
    return list(probes()["why"].ask(view, {"point": list(point), **arguments}))[-1]


def points(dataset: Dataset) -> list[list[float]]:
    flat = dataset.train.reshape(len(dataset.train), -1).double()
    mean, spread = flat.mean(0), flat.std(0)
    turn = torch.tensor([1.0, -0.6])[: flat.shape[1]]
    return [(mean + reach * spread * turn).tolist() for reach in REACHES]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", POINT_MODELS)
def test_terms_add_up_to_the_number_shown(name: str, data: str) -> None:
    model, dataset = trained(name, data)
    for point in points(dataset):
        values = explain(model, dataset, point, n_draws=64).values
        total = math.fsum(values["term_values"])
        assert total == pytest.approx(values["log_prob"], rel=0, abs=TOLERANCE)
        assert abs(float(values["residual"])) <= TOLERANCE
        lengths = {len(values[k]) for k in ("terms", "term_values", "term_errors", "term_words")}
        assert lengths == {len(values["terms"])}
        assert all(values["term_words"])


EXACT = tuple(n for n in POINT_MODELS if hasattr(models()[n], "log_prob"))


@pytest.mark.parametrize("name", EXACT)
def test_the_number_is_the_models_own(name: str) -> None:
    """Within 1e-5 nats of ``log_prob`` in the bulk, within float32's rounding in far tails."""
    model, dataset = trained(name, "eight_gaussians")
    assert isinstance(model, LogProb)
    for point in points(dataset):
        x = torch.tensor([point])
        shown = float(explain(model, dataset, x[0].tolist()).values["log_prob"])
        with torch.no_grad():
            own = float(model.log_prob(x)[0])
        assert shown == pytest.approx(own, rel=3e-6, abs=TOLERANCE)


def test_terms_of_pictures_are_one_per_pixel() -> None:
    dataset = build_dataset("digits")
    model = build_model("made", event_shape=dataset.event_shape, seed=0)
    fit(model, dataset, steps=3, batch_size=32, seed=0, device="cpu")
    found = explain(model.eval(), dataset, dataset.test[0].flatten().tolist())
    assert len(found.values["terms"]) == 64
    assert abs(float(found.values["residual"])) <= TOLERANCE
    assert "conditionals" not in found.arrays


def test_the_log_sum_of_a_mixtures_components_is_the_number() -> None:
    model, dataset = trained("gaussian_mixture", "eight_gaussians")
    found = explain(model, dataset, (1.1, 0.7))
    arrays = found.numpy()
    joint = arrays["log_weights"] + arrays["log_densities"]
    assert np.logaddexp.reduce(joint) == pytest.approx(found.values["log_prob"], abs=1e-9)
    share = np.exp(joint - np.logaddexp.reduce(joint))
    assert arrays["responsibilities"] == pytest.approx(share, abs=1e-12)
    assert found.values["best"] == int(share.argmax())
    parts = model.components()
    k = int(share.argmax())
    scipys = stats.multivariate_normal(parts.means[k].numpy(), parts.covariances[k].numpy())
    assert arrays["log_densities"][k] == pytest.approx(scipys.logpdf([1.1, 0.7]), abs=1e-4)


def test_each_conditional_is_a_density_and_holds_its_own_term() -> None:
    model, dataset = trained("made", "two_moons")
    found = explain(model, dataset, (0.4, 0.3))
    nodes, density = found.numpy()["nodes"], found.numpy()["conditionals"]
    assert found.values["names"] == list(dataset.event.axes)
    for place in range(2):
        assert np.trapezoid(density[place], nodes[place]) == pytest.approx(1.0, abs=0.05)
        at = float(found.arrays["at"][place])
        log_here = np.interp(at, nodes[place], np.log(density[place]))
        assert log_here == pytest.approx(found.values["term_values"][place], abs=0.05)


def test_a_flows_states_are_those_of_its_path() -> None:
    model, dataset = trained("realnvp", "two_moons")
    found = explain(model, dataset, (0.4, 0.3))
    states = found.numpy()["states"]
    assert len(states) == len(found.values["terms"])
    base = stats.norm.logpdf(states[-1]).sum()
    assert base == pytest.approx(found.values["term_values"][0], abs=1e-9)


def test_the_gap_of_an_exact_posterior_is_nothing() -> None:
    model, dataset = trained("ppca", "two_moons")
    values = explain(model, dataset, (0.4, 0.3)).values
    gap = dict(zip(values["terms"], values["term_values"], strict=True))["log p(x) − ELBO"]
    assert gap == pytest.approx(0.0, abs=1e-9)


def test_a_bound_grows_with_its_draws_and_says_its_error() -> None:
    model, dataset = trained("vae", "two_moons")
    few, many = (explain(model, dataset, (0.4, 0.3), n_draws=n).values for n in (8, 4096))
    assert many["kind"] == "bound"
    assert many["log_prob"] > few["log_prob"]
    assert 0.0 < float(many["error"]) < 0.5
    assert many["term_values"][-1] > 0.0
    assert many["term_errors"][0] > 0.0


def test_the_error_of_a_log_mean_is_that_of_repeated_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    logs = 0.5 * torch.randn(400, 256, generator=generator, dtype=torch.float64)
    repeated = (logs.logsumexp(1) - math.log(256)).std()
    claimed = np.mean([log_mean_error(row) for row in logs])
    assert claimed == pytest.approx(float(repeated), rel=0.1)
    assert log_mean_error(torch.zeros(1)) == 0.0


def test_an_energy_has_the_interval_of_its_log_z() -> None:
    model, dataset = trained("ebm", "two_moons")
    values = explain(model, dataset, (0.4, 0.3)).values
    assert values["terms"] == ["−E(x)", "−log Z"]
    assert values["term_errors"][1] == values["error"] != 0.0


def test_double_precision_leaves_the_model_alone() -> None:
    model, _ = trained("realnvp", "two_moons")
    twin, x = in_double(model, torch.zeros(1, 2))
    assert twin is not model
    assert twin.location.dtype == x.dtype == torch.float64
    assert model.location.dtype == torch.float32


def test_a_model_without_parts_is_one_term() -> None:
    values = explain(GaussianToy(2), GaussianData(), (0.0, 0.0)).values
    assert values["terms"] == ["log p(x)"]
    assert values["residual"] == 0.0


def test_refuses_a_point_of_another_size() -> None:
    model, dataset = trained("realnvp", "two_moons")
    with pytest.raises(ValueError, match="given 3 numbers, wanted 2"):
        explain(model, dataset, (0.0, 0.0, 0.0))
