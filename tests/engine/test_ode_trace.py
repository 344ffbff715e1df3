"""The probe of continuous flows against direct solves, autograd and counted calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.bijections.continuous_flow import ContinuousFlow
from engine.dataset import Dataset
from engine.estimators.precision import in_double
from engine.nets.vector_field import VectorField
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes

SMALL: dict[str, Any] = {"n": 4, "n_noises": 8, "side": 3, "tolerances": ()}


def flow(name: str = "cnf", size: int = 2, **config: object) -> ContinuousFlow:
    model = build_model(name, event_shape=(size,), seed=3, hidden_features=(12, 10), **config)
    assert isinstance(model, ContinuousFlow)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    data = build_dataset("two_moons", n_samples=100).train
    spread = torch.cat([data] * size, 1)[:, :size]
    model.prepare(spread, generator=torch.Generator())
    return model.eval().requires_grad_(False)


def ask(model: ContinuousFlow, data: Dataset | None = None, **arguments: Any) -> list[Result]:
    shown = View(model, data or build_dataset("two_moons", n_samples=100), step=0, seed=3)
    return list(probes()["ode_trace"].ask(shown, {**SMALL, **arguments}))


def arrays(model: ContinuousFlow, **arguments: Any) -> dict[str, np.ndarray]:
    return ask(model, **arguments)[-1].numpy()


def standardised(model: ContinuousFlow, points: list[float]) -> tuple[ContinuousFlow, Tensor]:
    twin, x = in_double(model, torch.tensor(points).reshape(-1, 2))
    return twin, twin.standardise(x)


POINTS = [0.5, -0.25, 1.5, 0.75, -1.0, 0.5]


@pytest.mark.parametrize(("along", "point"), [(0, 0), (2, 2), (9, 2)])
def test_traces_are_told_along_the_point_that_is_asked_for(along: int, point: int) -> None:
    model = flow()
    settings = {"solver": "rk4", "n_steps": 4, "points": POINTS, "along": along}
    answer = ask(model, **settings)[-1]
    found = answer.numpy()
    twin, _ = standardised(model, POINTS)

    def velocity(t: float, z: Tensor) -> Tensor:
        return twin.network.with_trace(t, z[None], twin.network.prepared())[0][0]

    for place, t in enumerate(found["times"].tolist()):
        z = torch.tensor(found["states"][place, point])
        jacobian = torch.autograd.functional.jacobian(lambda z, t=t: velocity(t, z), z)
        assert found["trace_exact"][place] == pytest.approx(float(torch.trace(jacobian)), abs=1e-9)
    assert answer.values["log_det"] == found["log_dets"][-1, point]


@pytest.mark.parametrize("start", ["data", "base"])
def test_trajectories_are_the_flow_at_the_solvers_steps(start: str) -> None:
    model = flow()
    tight = {"rtol": 1e-9, "atol": 1e-9, "start": start, "points": POINTS}
    answer = ask(model, **tight)[-1]
    found, values = answer.numpy(), answer.values
    twin, z = standardised(model, POINTS)
    z = z if start == "data" else torch.tensor(POINTS, dtype=torch.float64).reshape(-1, 2)
    layer = twin.stretch(twin.fine_solver)
    end, log_det = layer.forward(z) if start == "data" else layer.inverse(z)
    assert found["states"][0] == pytest.approx(z.numpy(), abs=1e-12)
    assert found["states"][-1] == pytest.approx(end.numpy(), abs=1e-6)
    assert found["log_dets"][-1] == pytest.approx(log_det.numpy(), abs=1e-6)
    assert values["log_det"] == pytest.approx(float(log_det[0]), abs=1e-6)
    assert (found["times"][0], found["times"][-1]) == ((0, 1) if start == "data" else (1, 0))
    middle = len(found["times"]) // 2
    part = replace(layer, **{"end" if start == "data" else "start": found["times"][middle]})
    there = part.forward(z)[0] if start == "data" else part.inverse(z)[0]
    assert found["states"][middle] == pytest.approx(there.numpy(), abs=1e-6)


def test_steps_told_are_those_that_were_tried() -> None:
    found = arrays(flow(activation="elu"), rtol=1e-7, atol=1e-7)
    accepted, sizes = found["step_accepted"], found["step_sizes"]
    values = ask(flow(activation="elu"), rtol=1e-7, atol=1e-7)[-1].values
    assert values["n_accepted"] == accepted.sum() == len(found["times"]) - 1
    assert values["n_rejected"] == (~accepted).sum() > 0
    assert np.array_equal(accepted, found["step_errors"] <= 1.0)
    assert np.diff(found["times"]) == pytest.approx(sizes[accepted], abs=1e-12)
    assert found["step_times"][accepted] == pytest.approx(found["times"][:-1], abs=1e-12)


def test_evaluations_told_are_the_calls_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls, through = flow(), 0, VectorField._through
    told = int(ask(model, points=POINTS)[-1].values["n_evaluations"])  # type: ignore[arg-type]

    def counting(*arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return through(*arguments)

    monkeypatch.setattr(VectorField, "_through", counting)
    twin, z = standardised(model, POINTS)
    twin.stretch(twin.training_solver).forward(z)
    assert told == calls > 8


def test_the_field_and_its_divergence_are_the_networks() -> None:
    model = flow()
    found = arrays(model, time=0.25, side=3)
    twin, _ = standardised(model, POINTS)
    places = torch.from_numpy(found["field_places"])
    assert places.shape == (9, 2)
    weights = twin.network.prepared()
    assert found["field"] == pytest.approx(twin.network.velocity(0.25, places, weights).numpy())
    for place, trace in zip(places, found["field_trace"], strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda v: twin.network.velocity(0.25, v[None], weights)[0], place
        )
        assert float(trace) == pytest.approx(float(jacobian.trace()), abs=1e-12)


def test_estimates_scatter_around_the_exact_trace_as_told() -> None:
    model = flow("ffjord", noise="gaussian")
    answer = ask(model, n_noises=4000, rtol=1e-3, atol=1e-3)[-1]
    found, values = answer.numpy(), answer.values
    assert (values["noise"], values["trained_with"]) == ("gaussian", "gaussian")
    errors = np.sqrt(found["trace_variance"] / 4000)
    gap = np.abs(found["trace_estimates"].mean(1) - found["trace_exact"])
    assert (gap < 5.0 * errors).all()
    assert found["trace_estimates"].var(1, ddof=1) == pytest.approx(found["trace_variance"])
    error = (float(values["log_det_variance"]) / 4000) ** 0.5  # type: ignore[arg-type]
    mean = found["log_det_estimates"].mean()
    assert mean == pytest.approx(values["log_det"], abs=5.0 * error + 1e-3)
    assert ask(flow())[-1].values["trained_with"] == "exact"


def test_smaller_tolerances_cost_evaluations_and_bring_points_home() -> None:
    partial, final = ask(flow(), tolerances=[1e-2, 1e-4, 1e-6], n=8)
    assert (partial.final, final.final) == (False, True)
    assert "evaluations" not in partial.arrays
    found = final.numpy()
    assert (np.diff(found["evaluations"]) > 0).all()
    assert (found["round_trip"][:-1] > 2.0 * found["round_trip"][1:]).all()
    assert (found["log_det_error"][:-1] > 2.0 * found["log_det_error"][1:]).all()
    assert found["round_trip"][-1] < 1e-4


def test_equal_steps_are_told_without_errors() -> None:
    answer = ask(flow(), solver="rk4", n_steps=5)[-1]
    assert answer.values["n_evaluations"] == 20
    assert np.isnan(answer.numpy()["step_errors"]).all()
    assert answer.numpy()["times"] == pytest.approx(np.linspace(0.0, 1.0, 6))


def test_trajectories_of_a_target_begin_at_its_draws() -> None:
    target = build_dataset("rezende_mohamed")
    found = ask(flow(), target)[-1].numpy()
    assert found["states"].shape[1] == SMALL["n"]
    assert np.isfinite(found["states"]).all()


def test_events_of_one_value_and_of_many_are_drawn_too() -> None:
    line = build_dataset("gaussian_1d", n_samples=50)
    model = build_model("cnf", event_shape=(1,), hidden_features=(8, 8))
    assert isinstance(model, ContinuousFlow)
    one = ask(model.eval().requires_grad_(False), line)[-1].numpy()
    assert one["states"].shape[2] == one["field"].shape[1] == 1
    assert one["field"].shape == (3, 1)
    pictures = build_dataset("digits")
    many = build_model("ffjord", event_shape=pictures.event_shape, hidden_features=(8, 8))
    assert isinstance(many, ContinuousFlow)
    answer = ask(many.eval().requires_grad_(False), pictures, axes=[20, 27])[-1]
    assert answer.values["is_slice"] is True
    assert answer.numpy()["field"].shape == (9, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"points": [1.0, 2.0, 3.0]}, "points: given 3 numbers, wanted 2"),
        ({"points": [float("nan"), 2.0]}, "finite"),
        ({"n": 0}, "n: given 0"),
        ({"along": -1}, "along: given -1"),
        ({"n_noises": 1}, "wanted 2 to 4096"),
        ({"time": 1.5}, "time: given 1.5"),
        ({"tolerances": [1e-14]}, "from 1e-10 to 1"),
        ({"tolerances": [1e-3] * 17}, "at most 16"),
        ({"rtol": 5.0}, "rtol"),
        ({"n_steps": -1}, "n_steps: given -1"),
        ({"solver": "euler"}, "dopri5, rk4"),
        ({"noise": "uniform"}, "rademacher, gaussian"),
    ],
)
def test_odd_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask(flow(), **arguments)


def test_a_flow_of_layers_is_told_that_it_has_no_velocity() -> None:
    with pytest.raises(ValueError, match="no velocity"):
        ask(build_model("realnvp", event_shape=(2,)))  # type: ignore[arg-type]


def test_it_stops_when_a_newer_question_waits() -> None:
    data = build_dataset("two_moons", n_samples=100)
    shown = View(flow(), data, step=0, cancelled=lambda: True)
    assert list(probes()["ode_trace"].ask(shown, SMALL)) == []


def test_passes_of_a_continuous_flow_are_its_evaluations() -> None:
    model, data = flow(n_times=3), build_dataset("two_moons", n_samples=100)
    shown = View(model, data, step=0, seed=3)
    answer = list(probes()["flow_passes"].ask(shown, {"n": 20}))[-1]
    found = answer.numpy()
    assert answer.values["names"] == ["standardise", "t = 0.3333", "t = 0.6667", "t = 1"]
    assert found["density"][0] == found["sampling"][0] == 0  # standardising asks no network
    assert answer.values["solved"] is True
    # Two before the first step of a stretch, and six in every step.
    assert ((found["density"][1:] - 2) % 6 == 0).all()
    assert (found["sampling"][1:] > 8).all()
