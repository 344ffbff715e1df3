"""Probes that give numbers: terms at a point, evaluation, a look into a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.probe import Result
from engine.registry import probes
from tests.engine.test_probes_points import MixtureToy
from tests.engine.toys import (
    GaussianData,
    GaussianToy,
    ImplicitToy,
    LinearToy,
    QuadraticToy,
    UnknownData,
    toy_card,
    view,
)

POINT = [0.4, -0.7]
X = torch.tensor([POINT], dtype=torch.float64)


def ask(name: str, model: GenerativeModel, dataset: Dataset, **arguments: Any) -> list[Result]:
    return list(probes()[name].ask(view(model, dataset), arguments))


def terms(model: GenerativeModel, **arguments: Any) -> dict[str, Any]:
    (result,) = ask("log_prob_at", model, GaussianData(), point=POINT, **arguments)
    values = dict(result.values)
    assert sum(values["term_values"]) == pytest.approx(values["log_prob"], abs=1e-9)  # type: ignore[arg-type]
    assert len(values["terms"]) == len(values["term_values"])  # type: ignore[arg-type]
    return values


def test_terms_of_a_density() -> None:
    model = GaussianToy(2, mean=0.2)
    values = terms(model)
    assert values["log_prob"] == pytest.approx(float(model.log_prob(X)))
    assert (values["kind"], values["unit"], values["error"]) == ("exact", "nats", 0.0)


def test_terms_of_a_mixture() -> None:
    model = MixtureToy(2)
    values = terms(model)
    assert values["log_prob"] == pytest.approx(float(model.log_prob(X)))
    parts = model.decode({"k": torch.arange(2)})
    joint = torch.tensor(model.mixing).log() + parts.log_prob(X)
    best = int(joint.argmax())
    share = float(joint.softmax(-1)[best])
    assert values["term_values"][0] == pytest.approx(math.log(model.mixing[best]))
    assert values["term_values"][2] == pytest.approx(-math.log(share))


def test_terms_of_a_bound() -> None:
    model = LinearToy(2)
    values = terms(model, n_draws=4096)
    assert values["kind"] == "bound"
    assert values["terms"][:2] == ["reconstruction", "−KL(z)"]
    assert values["log_prob"] == pytest.approx(float(model.true_log_prob(X)), abs=0.02)
    assert values["term_values"][2] > 0.0


def test_terms_of_an_energy() -> None:
    model = QuadraticToy(2)
    values = terms(model)
    assert values["term_values"] == pytest.approx([-float(model.energy(X)), -model.log_z])
    assert values["log_prob"] == pytest.approx(float(GaussianToy(2).log_prob(X)), abs=1e-6)
    assert values["kind"] == "quadrature"


def test_terms_of_a_critic_are_no_nats() -> None:
    values = terms(ImplicitToy(2))
    assert (values["kind"], values["unit"]) == ("critic", "")
    assert values["log_prob"] == pytest.approx(-0.5 * (0.4**2 + 0.7**2))


def test_point_must_be_an_event() -> None:
    with pytest.raises(ValueError, match="given 1 numbers, wanted 2"):
        ask("log_prob_at", GaussianToy(2), GaussianData(), point=[0.0])
    with pytest.raises(ValueError, match="finite"):
        ask("log_prob_at", GaussianToy(2), GaussianData(), point=[0.0, math.inf])


def test_a_point_of_a_plane_stands_for_its_event() -> None:
    model, data = GaussianToy(3, mean=0.3), GaussianData((1.0, 2.0, 0.5))
    mean = data.train.double().mean(0)
    event = torch.tensor([[POINT[1], float(mean[1]), POINT[0]]], dtype=torch.float64)
    (result,) = ask("log_prob_at", model, data, point=POINT, plane="axes", axes=(2, 0))
    assert result.values["log_prob"] == pytest.approx(float(model.log_prob(event)))
    (middle,) = ask("log_prob_at", model, data, point=[0.0, 0.0], plane="pca")
    assert middle.values["log_prob"] == pytest.approx(float(model.log_prob(mean[None])))


def test_a_plane_of_two_dimensions_is_the_data_itself() -> None:
    plain = terms(GaussianToy(2))
    assert terms(GaussianToy(2), plane="pca", axes=(1, 0)) == plain


def test_points_and_axes_of_a_plane_are_checked() -> None:
    model, data = GaussianToy(3), GaussianData((1.0, 2.0, 0.5))
    with pytest.raises(ValueError, match="given 3 numbers, wanted 2"):
        ask("log_prob_at", model, data, point=[0.0] * 3, plane="axes")
    with pytest.raises(ValueError, match="two different coordinates from 0 to 2"):
        ask("log_prob_at", model, data, point=POINT, plane="axes", axes=(1, 3))


def test_evaluation_of_the_truth() -> None:
    data = GaussianData((1.0, 0.5), n=5000)
    partial, final = ask("evaluate", GaussianToy(2, sigma=(1.0, 0.5)), data, grid=128)
    assert (partial.final, partial.values["kl"]) == (False, None)
    values = final.values
    assert values["kind"] == "exact"
    assert values["n"] == 500
    assert values["entropy"] == pytest.approx(data.entropy())
    error = float(values["nll_error"])  # type: ignore[arg-type]
    assert abs(float(values["nll"]) - data.entropy()) < 4 * error  # type: ignore[arg-type]
    # Var(log p) of a Gaussian is D/2.
    assert error == pytest.approx(1.0 / math.sqrt(500), rel=0.15)
    assert values["kl"] == pytest.approx(0.0, abs=1e-6)
    assert values["bits_per_dim"] is None


def test_evaluation_of_an_energy_agrees_with_its_density() -> None:
    data = GaussianData()
    exact = ask("evaluate", GaussianToy(2), data, grid=64)[-1].values
    energy = ask("evaluate", QuadraticToy(2), data, grid=64)[-1].values
    assert energy["kind"] == "quadrature"
    assert energy["nll"] == pytest.approx(exact["nll"], abs=1e-6)
    assert energy["kl"] == pytest.approx(exact["kl"], abs=1e-6)


def test_evaluation_of_a_bound_is_above_the_truth() -> None:
    data = GaussianData(n=20_000)
    values = ask("evaluate", LinearToy(2), data, grid=32, n_draws=2)[-1].values
    exact = -float(LinearToy(2).true_log_prob(data.test.double()).mean())
    assert values["kind"] == "bound"
    assert exact < float(values["nll"]) < exact + 0.5  # type: ignore[arg-type]
    assert "upper bound" in str(values["kl_label"])


def test_evaluation_without_a_density_or_truth() -> None:
    (none,) = ask("evaluate", ImplicitToy(2), GaussianData())
    assert (none.values["kind"], none.values["nll"]) == ("none", None)
    partial, unknown = ask("evaluate", GaussianToy(2), UnknownData(), grid=128)
    assert (partial.final, unknown.final) == (False, True)
    assert unknown.values["mass_state"] == "whole"
    assert (unknown.values["entropy"], unknown.values["kl"]) == (None, None)
    (large,) = ask("evaluate", QuadraticToy(3), GaussianData((1.0, 1.0, 1.0)))
    assert (large.values["kind"], large.values["nll"]) == ("none", None)


def test_evaluation_of_an_empty_split() -> None:
    data = GaussianData()
    data.test = data.test[:0]
    with pytest.raises(ValueError, match="the test split holds no observations"):
        ask("evaluate", GaussianToy(2), data)
    with pytest.raises(ValueError, match="given grid 3"):
        ask("evaluate", GaussianToy(2), data, split="valid", grid=3)


def test_a_look_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("a,b\n1,2\n3,\n5,6\n")
    (result,) = ask("preview_table", GaussianToy(2), GaussianData(), path=str(path))
    values = result.values
    assert (values["columns"], values["kinds"], values["rows"]) == (
        ["a", "b"],
        ["number", "number"],
        3,
    )
    assert values["missing"] == [0, 1]
    archive = tmp_path / "points.npz"
    np.savez(archive, first=np.zeros((4, 2)), second=np.ones(3))
    (result,) = ask("preview_table", GaussianToy(2), GaussianData(), path=str(archive))
    assert len(result.values["keys"]) == 2  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no file"):
        ask("preview_table", GaussianToy(2), GaussianData(), path=str(tmp_path / "none.csv"))


class UnnormalisedToy(GaussianToy):
    """A density of mass e^0.1, which breaks its law."""

    card = toy_card("unnormalised")

    def log_prob(self, x: torch.Tensor, **arguments: Any) -> torch.Tensor:
        return super().log_prob(x, **arguments) + 0.1


def test_laws_name_the_one_that_is_broken() -> None:
    outcomes = []
    for model in (GaussianToy(2), UnnormalisedToy(2)):
        (result,) = ask("laws", model, GaussianData())
        values: dict[str, Any] = dict(result.values)
        assert len({len(column) for column in values.values()}) == 1
        outcomes.append(dict(zip(values["names"], values["passed"], strict=True)))
        broken = [m for m, p in zip(values["messages"], values["passed"], strict=True) if not p]
        assert all(broken)
    honest, wrong = outcomes
    assert honest.keys() == wrong.keys()
    assert all(honest.values())
    assert not all(wrong.values())
