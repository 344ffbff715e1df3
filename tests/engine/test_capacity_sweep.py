"""Capacity against train and held-out NLL: figures against training by hand, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.mixture import GaussianMixture as SklearnMixture

from engine.dataset import Dataset
from engine.estimators.finite_sample import draw_sample, held_out_points
from engine.model import GenerativeModel
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes
from engine.training import fit, held_out_nll
from tests.engine.toys import ImplicitToy, UnknownData

SMALL: dict[str, Any] = {"n_train": 60, "n_test": 500, "steps": 20, "n_seeds": 2}


def sweep(
    model: GenerativeModel,
    dataset: Dataset,
    cancelled: Callable[[], bool] = lambda: False,
    **arguments: Any,
) -> list[Result]:
    view = View(model, dataset, 0, seed=4, cancelled=cancelled)
    return list(probes()["capacity_sweep"].ask(view, SMALL | arguments))


def trainings(results: list[Result]) -> list[dict[str, Any]]:
    return [dict(r.values) for r in results if "held_out_nll" in r.values]


def model_on(name: str, data: str = "eight_gaussians") -> tuple[GenerativeModel, Dataset]:
    dataset = build_dataset(data, n_samples=400)
    return build_model(name, event_shape=dataset.event_shape), dataset


def test_every_size_is_trained_with_every_seed_and_the_last_is_final() -> None:
    model, dataset = model_on("gaussian_mixture")
    results = sweep(model, dataset, capacities=(1, 4))
    rows = trainings(results)
    assert [(r["seed"], r["capacity"]) for r in rows] == [(0, 1), (0, 4), (1, 1), (1, 4)]
    assert [r["done"] for r in rows] == [1, 2, 3, 4]
    assert [r.final for r in results] == [False] * (len(results) - 1) + [True]
    assert rows[0]["n_parameters"] < rows[1]["n_parameters"]
    assert rows[0]["n_train"] == 60
    assert rows[0]["n_test"] == 500
    shares = [float(r.values["progress"]) for r in results]  # type: ignore[arg-type]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_same_sweep_gives_the_same_figures() -> None:
    model, dataset = model_on("realnvp")
    keys = ("train_nll", "held_out_nll", "held_out_error", "n_parameters")
    first, second = (
        [[row[k] for k in keys] for row in trainings(sweep(model, dataset, capacities=(2, 4)))]
        for _ in range(2)
    )
    assert first == second


def test_one_component_is_scikit_learns_gaussian() -> None:
    model, dataset = model_on("gaussian_mixture")
    row = trainings(sweep(model, dataset, capacities=(1,), n_seeds=1))[0]
    own = 4 * 1_009
    train = draw_sample(dataset, 60, own).train
    test = held_out_points(dataset, 500, 4)
    oracle = SklearnMixture(1, reg_covar=1e-9).fit(train.numpy())
    assert row["train_nll"] == pytest.approx(-oracle.score(train.numpy()), abs=1e-4)
    assert row["held_out_nll"] == pytest.approx(-oracle.score(test.numpy()), abs=1e-4)
    spread = oracle.score_samples(test.numpy()).std(ddof=1) / 500**0.5
    assert row["held_out_error"] == pytest.approx(spread, rel=1e-3)


def test_a_width_is_that_of_a_model_trained_by_hand() -> None:
    model, dataset = model_on("realnvp")
    row = trainings(sweep(model, dataset, setting="hidden_features", capacities=(4,), n_seeds=1))[
        0
    ]
    own = 4 * 1_009
    twin = build_model("realnvp", event_shape=(2,), seed=own, hidden_features=(4, 4))
    fit(twin, draw_sample(dataset, 60, own), steps=20, batch_size=60, seed=own, device="cpu")
    by_hand = held_out_nll(twin, held_out_points(dataset, 500, 4))
    assert row["held_out_nll"] == pytest.approx(by_hand, abs=1e-5)
    assert row["n_parameters"] == twin.n_parameters


def test_too_many_components_fit_the_sample_and_not_the_truth() -> None:
    model, dataset = model_on("gaussian_mixture")
    rows = trainings(sweep(model, dataset, capacities=(1, 8, 32), n_seeds=1, steps=60))
    train = [row["train_nll"] for row in rows]
    held = [row["held_out_nll"] for row in rows]
    assert train[0] > train[1] > train[2]
    assert held[1] < held[0]
    assert held[2] > held[1]
    assert min(held) > rows[0]["entropy"] - 0.2


def test_a_cancelled_sweep_stops_within_a_few_steps() -> None:
    model, dataset = model_on("realnvp")
    looks = iter([False, False])
    results = sweep(model, dataset, cancelled=lambda: next(looks, True), steps=10_000)
    assert not trainings(results)


@pytest.mark.parametrize("name", ["vae", "ebm", "made", "ppca", "maf"])
def test_every_kind_of_density_can_be_swept(name: str) -> None:
    model, dataset = model_on(name)
    sizes = () if name == "ppca" else (1, 2)
    rows = trainings(sweep(model, dataset, n_seeds=1, steps=3, capacities=sizes))
    kinds = {"vae": "bound", "ebm": "quadrature"}
    assert {row["kind"] for row in rows} == {kinds.get(name, "exact")}
    assert all(row["held_out_nll"] > -20 for row in rows)


def test_a_sample_of_known_data_is_fresh_and_of_others_a_part_of_training() -> None:
    known, unknown = build_dataset("two_moons", n_samples=100), UnknownData()
    assert len(draw_sample(known, 250, 1).train) == 250
    part = draw_sample(unknown, 10, 1).train
    rows = {tuple(row.tolist()) for row in unknown.train}
    assert all(tuple(row.tolist()) in rows for row in part)
    assert not torch.equal(part, draw_sample(unknown, 10, 2).train)
    with pytest.raises(ValueError, match="wanted at most"):
        draw_sample(unknown, len(unknown.train) + 1, 1)


def test_says_what_cannot_be_swept() -> None:
    model, dataset = model_on("gaussian_mixture")
    with pytest.raises(ValueError, match="wanted one of n_components"):
        sweep(model, dataset, setting="batch_size")
    with pytest.raises(ValueError, match="n_train: given 0"):
        sweep(model, dataset, n_train=0)
    with pytest.raises(ValueError, match="n_components"):
        sweep(model, dataset, capacities=(0,))
    with pytest.raises(ValueError, match="no density"):
        sweep(ImplicitToy(2), dataset)
