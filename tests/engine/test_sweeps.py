"""What is told of each sweep of Gaussianization, against the model's own numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats

from engine.estimators.precision import in_double
from engine.models.flows.gaussianization import Gaussianization
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes
from engine.training import Trainer

N_SWEEPS = 4


@pytest.fixture(scope="module")
def view() -> View:
    data = build_dataset("two_moons", n_samples=1500)
    model = build_model("gaussianization", event_shape=(2,), n_layers=6)
    trainer = Trainer(model, data, device="cpu")
    for _ in range(N_SWEEPS):
        trainer.step()
    return View(model.eval(), data, N_SWEEPS)


def ask(view: View, **wanted: Any) -> Result:
    (found,) = probes()["sweeps"].ask(view, wanted)
    return found


def test_each_sweep_takes_what_the_model_says_it_gained(view: View) -> None:
    found = ask(view, sweep=2)
    model = view.model
    assert isinstance(model, Gaussianization)
    assert found.values["n_sweeps"] == N_SWEEPS
    left = torch.as_tensor(found.arrays["left_train"])
    assert len(left) == N_SWEEPS + 1
    taken = -left.diff()
    assert torch.allclose(taken, model.gains[:N_SWEEPS].double(), atol=2e-4)


def test_what_is_left_is_a_divergence_between_known_densities(view: View) -> None:
    found = ask(view)
    x = view.dataset.test
    model, x = in_double(view.model, x)
    truth = view.dataset.log_prob(x)  # type: ignore[attr-defined]
    with torch.no_grad():
        gap = truth - model.log_prob(x)  # type: ignore[operator]
    assert float(found.arrays["left_test"][-1]) == pytest.approx(float(gap.mean()), abs=1e-9)
    error = float(gap.std()) / len(x) ** 0.5
    assert float(found.arrays["error_test"][-1]) == pytest.approx(error, rel=1e-9)
    assert found.values["absolute"] == 1


def test_the_points_around_a_sweep_are_the_layers_outputs(view: View) -> None:
    found = ask(view, sweep=3, n=50)
    model, x = in_double(view.model, view.dataset.train)
    with torch.no_grad():
        states = model.path(x).states  # type: ignore[operator]
    for name, place in (("before", 5), ("turned", 6), ("bent", 7)):
        assert torch.allclose(torch.as_tensor(found.arrays[name]), states[place][:50], atol=1e-12)
    turn = torch.as_tensor(found.arrays["turn"])
    assert torch.allclose(states[5] @ turn.T, states[6], atol=1e-12)
    assert found.values["is_orthogonal"] == 1
    assert found.values["mirrors"] == int(float(torch.linalg.det(turn)) < 0)
    radians = torch.tensor(found.values["angle"]).deg2rad()
    assert float(turn[0, 0]) == pytest.approx(float(radians.cos()), abs=1e-6)
    assert float(turn[1, 0]) == pytest.approx(float(radians.sin()), abs=1e-6)


def test_strips_hold_the_same_mass_on_both_sides(view: View) -> None:
    found = ask(view, sweep=1, n_strips=8, n_scored=1200)
    arrays = {name: torch.as_tensor(a) for name, a in found.arrays.items()}
    wanted = torch.tensor(stats.norm.cdf(arrays["y_edges"].numpy())).diff(dim=1)
    assert torch.allclose(arrays["normal_mass"], wanted, atol=1e-12)
    assert float((arrays["mass"] - wanted).abs().max()) < 0.02
    turned = ask(view, sweep=1, n=1200).arrays["turned"]
    counted = ((turned[:, 0] >= arrays["u_edges"][0, 2]) &
               (turned[:, 0] < arrays["u_edges"][0, 3])).double().mean()  # fmt: skip
    assert float(arrays["mass"][0, 2]) == pytest.approx(float(counted), abs=1e-9)


def test_curves_and_densities_belong_together(view: View) -> None:
    arrays = ask(view, sweep=1, size=801).arrays
    u, y = torch.as_tensor(arrays["u"]), torch.as_tensor(arrays["y"])
    assert bool((y.diff(dim=1) > 0).all())
    normal = torch.tensor(stats.norm.pdf(y.numpy()))
    assert torch.allclose(torch.as_tensor(arrays["y_density"]), normal, atol=1e-12)
    mass = torch.trapezoid(torch.as_tensor(arrays["u_density"]), u, dim=1)
    assert torch.allclose(mass, torch.ones(2).double(), atol=0.02)


def test_an_untrained_model_shows_its_data() -> None:
    data = build_dataset("two_moons", n_samples=100)
    model = build_model("gaussianization", event_shape=(2,))
    Trainer(model, data, device="cpu")
    found = ask(View(model.eval(), data, 0))
    assert found.values["n_sweeps"] == 0
    assert set(found.arrays) == {
        "left_train", "left_test", "error_train", "error_test", "before"
    }  # fmt: skip


def test_what_cannot_be_told_is_refused(view: View) -> None:
    with pytest.raises(ValueError, match=r"axes: given \(0, 2\), wanted two of 0 to 1"):
        ask(view, axes=[0, 2])
    with pytest.raises(ValueError, match="n_strips: given 0"):
        ask(view, n_strips=0)
    other = View(build_model("nice", event_shape=(2,)), view.dataset, 0)
    with pytest.raises(ValueError, match="NICE takes no sweeps"):
        ask(other)
