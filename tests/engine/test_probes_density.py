"""The density and truth probes against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.probe import Result
from engine.registry import probes
from tests.engine.toys import (
    GaussianData,
    GaussianToy,
    ImplicitToy,
    LinearToy,
    QuadraticToy,
    SquareData,
    UnknownData,
    view,
)

WINDOW: dict[str, Any] = {"low": [-6.0, -5.0], "high": [6.0, 5.0]}


def ask(name: str, model: GenerativeModel, dataset: Dataset, **arguments: Any) -> list[Result]:
    return list(probes()[name].ask(view(model, dataset), arguments))


def mesh(size: int) -> torch.Tensor:
    x = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 12 - 6
    y = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 10 - 5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def test_exact_density() -> None:
    model = GaussianToy(2, mean=0.5, sigma=(1.0, 0.6))
    (result,) = ask("density", model, GaussianData(), **WINDOW, size=96)
    arrays, values = result.numpy(), result.values
    expected = model.log_prob(mesh(96)).reshape(96, 96)
    assert arrays["log_density"] == pytest.approx(expected.numpy(), abs=1e-4)
    assert arrays["log_density"].dtype == np.float32
    assert values["kind"] == "exact"
    assert values["mass"] == pytest.approx(1.0, abs=1e-5)
    assert values["peak"] == pytest.approx(1 / (2 * math.pi * 0.6), rel=0.01)
    assert values["contour_masses"] == [0.25, 0.5, 0.75, 0.95]


def test_marginals_are_the_densities_of_each_axis() -> None:
    model = GaussianToy(2, mean=0.5, sigma=(1.0, 0.6))
    (result,) = ask("density", model, GaussianData(), **WINDOW, size=96)
    arrays = result.numpy()
    for name, axis, sigma in (("marginal_x", "x", 1.0), ("marginal_y", "y", 0.6)):
        z = (arrays[axis] - 0.5) / sigma
        density = np.exp(-0.5 * z**2) / (sigma * math.sqrt(2 * math.pi))
        assert arrays[name] == pytest.approx(density, abs=1e-5)


def test_contours_enclose_the_stated_mass() -> None:
    model = GaussianToy(2, mean=0.5, sigma=(1.0, 0.6))
    (result,) = ask("density", model, GaussianData(), **WINDOW, size=128)
    arrays = result.numpy()
    starts = arrays["contour_starts"]
    for index, mass in enumerate(result.values["contour_masses"]):  # type: ignore[arg-type]
        line = arrays["contour_points"][starts[index] : starts[index + 1]]
        radius = np.hypot((line[:, 0] - 0.5) / 1.0, (line[:, 1] - 0.5) / 0.6)
        assert radius == pytest.approx(math.sqrt(-2 * math.log(1 - mass)), abs=0.06)
    assert arrays["contour_level"].tolist() == [0, 1, 2, 3]


def test_bound_lies_below_and_grows_to_the_density() -> None:
    model, gaps = LinearToy(2), []
    expected = model.true_log_prob(mesh(32)).reshape(32, 32).numpy()
    for n_draws in (1, 8, 256):
        (result,) = ask("density", model, GaussianData(), **WINDOW, size=32, n_draws=n_draws)
        gaps.append(float((expected - result.numpy()["log_density"]).mean()))
        assert result.values["kind"] == "bound"
        assert result.values["label"] == f"importance-weighted bound, {n_draws} draws"
        assert "lower bound" in str(result.values["note"])
    assert gaps[0] > gaps[1] > gaps[2] > -1e-3
    assert gaps[2] < 0.01


def test_energy_is_normalised_by_quadrature() -> None:
    model = QuadraticToy(2, mean=0.5, sigma=(1.0, 0.6))
    (result,) = ask("density", model, GaussianData(), **WINDOW, size=64)
    values = result.values
    assert values["kind"] == "quadrature"
    assert values["log_z"] == pytest.approx(math.log(2 * math.pi * 0.6) - 3.0, abs=1e-5)
    assert 0.0 <= float(values["log_z_error"]) < 1e-5  # type: ignore[arg-type]
    assert values["mass"] == pytest.approx(1.0, abs=1e-4)
    expected = GaussianToy(2, mean=0.5, sigma=(1.0, 0.6)).log_prob(mesh(64)).reshape(64, 64)
    assert result.numpy()["log_density"] == pytest.approx(expected.numpy(), abs=1e-4)


def test_log_z_does_not_depend_on_the_window() -> None:
    model = QuadraticToy(2)
    (near,) = ask("density", model, GaussianData(), low=[0.0, 0.0], high=[1.0, 1.0], size=16)
    assert near.values["log_z"] == pytest.approx(model.log_z, abs=1e-5)
    share = (0.5 * math.erf(1 / math.sqrt(2))) ** 2
    assert near.values["mass"] == pytest.approx(share, abs=1e-3)


def test_critic_is_no_density() -> None:
    model = ImplicitToy(2)
    (result,) = ask("density", model, GaussianData(), **WINDOW, size=24)
    arrays, values = result.numpy(), result.values
    assert arrays["log_density"].ravel() == pytest.approx(model.critic(mesh(24)).numpy(), rel=1e-5)
    assert (values["kind"], values["mass"], values["contour_masses"]) == ("critic", None, [])
    assert arrays["marginal_x"].size == 0
    assert "density" in str(values["note"])


def test_critic_that_is_a_logit_is_shown_as_a_chance() -> None:
    model = ImplicitToy(2)
    model.critic_is_logit = True  # type: ignore[assignment]
    (result,) = ask("density", model, GaussianData(), **WINDOW, size=24)
    chance = torch.sigmoid(model.critic(mesh(24)))
    assert result.numpy()["log_density"].ravel() == pytest.approx(chance.numpy(), abs=1e-6)
    assert "σ" in str(result.values["label"])


def test_slice_of_more_dimensions_goes_through_the_mean() -> None:
    data, sigma = GaussianData((1.0, 0.5, 2.0)), (1.0, 0.5, 2.0)
    model = GaussianToy(3, sigma=sigma)
    (result,) = ask("density", model, data, **WINDOW, size=16, axes=[2, 0])
    events = data.train.double().mean(0).repeat(256, 1)
    events[:, [2, 0]] = mesh(16)
    expected = model.log_prob(events).reshape(16, 16).numpy()
    assert result.numpy()["log_density"] == pytest.approx(expected, abs=1e-4)
    assert result.values["mass"] is None
    assert "slice at the mean" in str(result.values["label"])


def test_energy_of_more_dimensions_says_that_it_is_not_normalised() -> None:
    (result,) = ask("density", QuadraticToy(3), GaussianData((1.0, 1.0, 1.0)), **WINDOW, size=8)
    assert result.values["kind"] == "energy"
    assert "Not normalised" in str(result.values["note"])
    assert "log_z" not in result.values


def test_one_dimension_gives_curves() -> None:
    model = GaussianToy(1, sigma=(0.8,))
    (result,) = ask("density", model, GaussianData((0.8,)), low=[-5.0], high=[5.0], size=200)
    arrays = result.numpy()
    assert arrays["log_density"].shape == arrays["marginal_x"].shape == (200,)
    assert result.values["mass"] == pytest.approx(1.0, abs=1e-5)
    assert arrays["contour_points"].shape == (0, 2)


def test_a_coarse_picture_comes_first() -> None:
    coarse, fine = ask("density", GaussianToy(2), GaussianData(), **WINDOW, size=256)
    assert (coarse.final, fine.final) == (False, True)
    assert coarse.numpy()["log_density"].shape == (64, 64)
    assert fine.numpy()["log_density"].shape == (256, 256)


def test_a_cancelled_question_ends_without_an_answer() -> None:
    shown = view(GaussianToy(2), GaussianData(), cancelled=lambda: True)
    for name in ("density", "truth"):
        assert list(probes()[name].ask(shown, {**WINDOW, "size": 256})) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": [0.0], "high": [1.0]}, "given 1 axes, wanted 2"),
        ({"low": [0.0, 0.0], "high": [1.0, 0.0]}, "every low below its high"),
        ({**WINDOW, "size": 1}, "size: given 1"),
        ({**WINDOW, "n_draws": 0}, "n_draws: given 0"),
        ({**WINDOW, "plane": "sphere"}, "sphere"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask("density", LinearToy(2), GaussianData(), **arguments)


def test_truth_has_the_arrays_of_the_density() -> None:
    data = GaussianData((1.0, 0.6))
    (found,) = ask("truth", GaussianToy(2), data, **WINDOW, size=64)
    (model,) = ask("density", GaussianToy(2, sigma=(1.0, 0.6)), data, **WINDOW, size=64)
    assert found.values["kind"] == "truth"
    assert set(found.arrays) == set(model.arrays)
    for name, array in found.numpy().items():
        assert array == pytest.approx(model.numpy()[name], abs=1e-4)


def test_truth_with_sharp_edges() -> None:
    (found,) = ask("truth", GaussianToy(2), SquareData(), **WINDOW, size=60)
    assert np.isneginf(found.numpy()["log_density"]).any()
    assert found.values["mass"] == pytest.approx(1.0, abs=1e-6)
    assert np.isfinite(found.numpy()["contour_points"]).all()


def test_truth_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="true density of Toy is unknown"):
        ask("truth", GaussianToy(2), UnknownData(), **WINDOW)
    with pytest.raises(ValueError, match="one or two dimensions"):
        ask("truth", GaussianToy(3), GaussianData((1.0, 1.0, 1.0)), **WINDOW)
