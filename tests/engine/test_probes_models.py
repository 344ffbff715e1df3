"""Every probe on every model that there is: answers of the promised shapes, or a sentence."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from engine.capabilities import capabilities_of
from engine.dataset import Dataset, KnownDensity
from engine.estimators.quadrature import kl_divergence
from engine.model import GenerativeModel
from engine.probe import Result, View
from engine.registry import (
    build_dataset,
    build_model,
    dataset_card,
    dataset_names,
    datasets,
    models,
    probes,
)
from engine.wire.capability import Capability
from engine.wire.fields import field_specs
from tests.engine.choice import POINT_MODELS

#: Small settings, applied where a configuration has them.
TINY: dict[str, object] = {"hidden_features": (16, 16), "n_samples": 300, "chain_steps": 3}
POINT_SETS = [name for name in dataset_names() if datasets()[name].card.kind in ("1-D", "2-D")]
KNOWN_SETS = [name for name in POINT_SETS if dataset_card(datasets()[name]).has_density]
KINDS = ("exact", "bound", "quadrature", "critic")


def tiny(config: type) -> dict[str, Any]:
    names = {spec.name for spec in field_specs(config)}
    return {name: value for name, value in TINY.items() if name in names}


@cache
def data(name: str) -> Dataset:
    return build_dataset(name, **tiny(datasets()[name].Config))


@cache
def model(name: str, dataset: str) -> GenerativeModel:
    rows = data(dataset)
    settings = tiny(models()[name].Config)
    built = build_model(name, event_shape=rows.event_shape, dataset=rows, **settings)
    built.prepare(rows.train, generator=torch.Generator().manual_seed(1))
    return built.eval().requires_grad_(False)


def ask(name: str, model_name: str, dataset: str, **arguments: Any) -> Result:
    shown = View(model(model_name, dataset), data(dataset), step=0, seed=3)
    before = torch.get_rng_state()
    answers = list(probes()[name].ask(shown, arguments))
    assert torch.equal(before, torch.get_rng_state()), "the global random state was used"
    assert [answer.final for answer in answers] == [False] * (len(answers) - 1) + [True]
    return answers[-1]


def window(dataset: str) -> dict[str, list[float]]:
    values = ask("data_points", POINT_MODELS[0], dataset).values
    return {"low": values["low"], "high": values["high"]}  # type: ignore[dict-item]


#: Models made for pictures learn points as well; two sets show that they do.
FEW_SETS = ("gaussian_1d", "two_moons")
PAIRS = [
    (name, dataset)
    for name in POINT_MODELS
    for dataset in POINT_SETS
    if name == "made" or models()[name].card.family != "autoregressive" or dataset in FEW_SETS
]


@pytest.mark.parametrize(("name", "dataset"), PAIRS)
def test_density(name: str, dataset: str) -> None:
    result = ask("density", name, dataset, **window(dataset), size=20, n_draws=4)
    arrays, values = result.numpy(), result.values
    dims = math.prod(data(dataset).event_shape)
    assert arrays["log_density"].shape == (20,) * dims
    assert not np.isnan(arrays["log_density"]).any()
    assert values["kind"] in KINDS
    assert values["label"]
    if values["kind"] == "critic":
        assert not np.isinf(arrays["log_density"]).any()
        return
    assert arrays["marginal_x"].shape == (20,)
    assert arrays["marginal_y"].shape == ((20,) if dims == 2 else (0,))
    starts = arrays["contour_starts"]
    assert (starts[0], starts[-1]) == (0, len(arrays["contour_points"]))
    assert len(starts) == len(arrays["contour_level"]) + 1
    assert ("log_z" in values) == (values["kind"] == "quadrature")


@pytest.mark.parametrize(("name", "dataset"), PAIRS)
def test_evaluate(name: str, dataset: str) -> None:
    values = ask("evaluate", name, dataset, grid=24, n_draws=2).values
    if values["kind"] == "none":
        assert values["nll"] is values["kl"] is None
        scored = {Capability.LOG_PROB, Capability.BOUND, Capability.ENERGY}
        assert scored.isdisjoint(capabilities_of(models()[name]))
        return
    assert math.isfinite(values["nll"])  # type: ignore[arg-type]
    if not isinstance(data(dataset), KnownDensity):
        assert values["entropy"] is values["kl"] is None
        return
    assert values["kl"] > -0.1  # type: ignore[operator]
    assert values["kl_error"] >= 0.0  # type: ignore[operator]


@pytest.mark.parametrize(("name", "dataset"), PAIRS)
def test_numbers_at_a_point_add_up(name: str, dataset: str) -> None:
    point = data(dataset).train[0]
    values = ask("log_prob_at", name, dataset, point=point.tolist(), n_draws=8).values
    terms: Any = values["term_values"]
    total = math.fsum(terms)
    size = math.fsum(map(abs, terms))
    assert total == pytest.approx(values["log_prob"], abs=1e-5 * max(1.0, size))
    assert len(values["terms"]) == len(terms)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", POINT_MODELS)
@pytest.mark.parametrize("dataset", ["gaussian_1d", "two_moons"])
def test_samples_and_draws(name: str, dataset: str) -> None:
    points = ask("samples", name, dataset, n=7, chain_steps=3).numpy()["points"]
    events = ask("draw", name, dataset, n=7, chain_steps=3).numpy()["samples"]
    assert points == pytest.approx(events, abs=1e-6)
    assert events.shape == (7, *data(dataset).event_shape)
    assert np.isfinite(events).all()


@pytest.mark.parametrize("name", POINT_MODELS)
@pytest.mark.parametrize("dataset", ["gaussian_1d", "two_moons"])
def test_warped_grid(name: str, dataset: str) -> None:
    kind = model(name, dataset)
    latents = getattr(kind, "latents", None)
    if not latents or latents[0].kind != "real":
        with pytest.raises(ValueError, match="latent"):
            ask("warped_grid", name, dataset)
        return
    lines = ask("warped_grid", name, dataset, lines=3, points=5).numpy()["lines"]
    n_lines = 1 if math.prod(latents[0].shape) == 1 else 6
    assert lines.shape == (n_lines, 5, math.prod(data(dataset).event_shape))
    assert np.isfinite(lines).all()


@pytest.mark.parametrize("name", POINT_MODELS)
def test_responsibilities(name: str) -> None:
    latents = getattr(model(name, "two_moons"), "latents", None)
    if not latents or latents[0].kind == "real" or latents[0].shape:
        with pytest.raises(ValueError, match=r"latent|mixture"):
            ask("responsibilities", name, "two_moons")
        return
    arrays = ask("responsibilities", name, "two_moons", n=9).numpy()
    assert arrays["responsibilities"].sum(1) == pytest.approx(1.0, abs=1e-5)
    assert arrays["weights"].sum() == pytest.approx(1.0, abs=1e-5)
    k = len(arrays["weights"])
    assert arrays["means"].shape == (k, 2)
    assert np.linalg.eigvalsh(arrays["covariances"]).min() > 0.0


@pytest.mark.parametrize("name", POINT_MODELS)
@pytest.mark.parametrize("plane", ["axes", "pca"])
def test_pictures_are_drawn_on_a_plane(name: str, plane: str) -> None:
    where = {"plane": plane, "axes": [20, 27]}
    box = ask("data_points", name, "digits", **where).values
    assert box["x_name"] == ("row 2, column 4" if plane == "axes" else box["x_name"])
    limits = {"low": box["low"], "high": box["high"]}
    result = ask("density", name, "digits", **limits, **where, size=8, n_draws=2)
    assert result.numpy()["log_density"].shape == (8, 8)
    assert not np.isnan(result.numpy()["log_density"]).any()
    assert result.values["mass"] is None
    points = ask("samples", name, "digits", **where, n=3, chain_steps=2).numpy()["points"]
    assert points.shape == (3, 2)
    number = ask("log_prob_at", name, "digits", point=data("digits").train[0].ravel().tolist())
    assert math.isfinite(number.values["log_prob"])  # type: ignore[arg-type]
    assert ask("evaluate", name, "digits", n_draws=2).values["kl"] is None


@pytest.mark.parametrize("dataset", KNOWN_SETS)
@pytest.mark.parametrize("name", ["gaussian_mixture", "realnvp"])
def test_divergence_agrees_with_draws_from_the_truth(name: str, dataset: str) -> None:
    truth, subject = data(dataset), model(name, dataset)
    assert isinstance(truth, KnownDensity)
    estimate = kl_divergence(truth, subject, grid=256)
    x = truth.sample(20_000, generator=torch.Generator().manual_seed(11))
    with torch.no_grad():
        ratio = truth.log_prob(x.double()) - subject.log_prob(x)  # type: ignore[operator]
    # A draw that rounding puts on the far side of a sharp edge has no density there.
    ratio = ratio[ratio.isfinite()]
    error = float(ratio.std()) / math.sqrt(len(x))
    assert estimate.value == pytest.approx(float(ratio.mean()), abs=5 * error + 1e-4)
    assert estimate.error < 2e-3
