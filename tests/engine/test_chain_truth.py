"""What is said of chains: valleys and their masses, bias, the long run, two forces, the buffer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from engine.capabilities import Energy
from engine.estimators.basins import find_basins
from engine.estimators.density import as_events
from engine.estimators.grid import Box, midpoint_grid
from engine.estimators.precision import in_double
from engine.probe import Result, View
from engine.probes.chain_long import marks_until
from engine.registry import probes
from tests.engine.test_chain_walks import view

#: Of the Gaussian in two dimensions that Langevin's step with λ = 8 makes twice as wide.
TWICE_AS_WIDE = 1.0 - math.log(2.0)


def ask(shown: View, name: str, **arguments: Any) -> Result:
    arrays = {k: arguments.pop(k) for k in ("negatives",) if k in arguments}
    return list(probes()[name].ask(shown, arguments, arrays))[-1]


def pair(x: torch.Tensor) -> torch.Tensor:
    """−log of 0.7 N((−2, 0), ½²) + 0.3 N((2, 0), ½²), but for a constant."""
    squares = [((x - torch.tensor([c, 0.0])) ** 2).sum(1) / 0.5 for c in (-2.0, 2.0)]
    return -torch.logaddexp(math.log(0.7) - squares[0], math.log(0.3) - squares[1])


def test_valleys_have_the_masses_of_a_mixture() -> None:
    box = Box((-4.0, -3.0), (4.0, 3.0))
    grid = midpoint_grid(box, 90)
    found = find_basins(pair(grid.points).reshape(grid.shape), box)
    np.testing.assert_allclose(found.masses, [0.7, 0.3], atol=1e-4)
    np.testing.assert_allclose(found.floors, [[-2.0, 0.0], [2.0, 0.0]], atol=0.1)
    points = torch.tensor([[-2.0, 0.5], [-1.0, -1.0], [2.5, 0.0], [99.0, 0.0]])
    np.testing.assert_allclose(found.shares(points), [0.5, 0.25])


def test_valleys_behind_a_low_wall_are_one() -> None:
    box = Box((-4.0, -3.0), (4.0, 3.0))
    grid = midpoint_grid(box, 60)
    energy = pair(grid.points).reshape(grid.shape)
    assert len(find_basins(energy, box).masses) == 2
    assert len(find_basins(energy, box, temperature=30.0).masses) == 1


@pytest.mark.parametrize(("kernel", "kl"), [("langevin", TWICE_AS_WIDE), ("mala", 0.0)])
def test_bias_is_what_theory_says(kernel: str, kl: float) -> None:
    answer = ask(view(), "chain_truth", kernel=kernel, step_size=8.0 if kl else 2.0, steps=60,
                 n=2000, compare=False)  # fmt: skip
    assert answer.values["bias"] == pytest.approx(kl, abs=0.03)
    arrays = answer.numpy()
    assert arrays["exact"].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(arrays["masses"], [1.0], atol=1e-6)
    assert arrays["occupied"].sum() > 0.9
    assert all(r < (1.2 if kl else 1.5) for r in answer.values["r_hat"])  # type: ignore[union-attr, operator]


def test_valleys_have_the_datas_masses_beside_the_models() -> None:
    shown = view("gaussian", "eight_gaussians")
    arrays = ask(shown, "chain_truth", n=50, steps=40, compare=False).numpy()
    np.testing.assert_allclose(arrays["true_masses"], [1.0], atol=1e-3)


def test_mala_stands_beside_another_kernel() -> None:
    pieces = list(probes()["chain_truth"].ask(view(), {"n": 50, "steps": 80}))
    assert [piece.final for piece in pieces] == [False, False, False, True]
    assert [piece.values["steps"] for piece in pieces] == [40, 80, 80, 80]
    assert ["mala_kl" in piece.values for piece in pieces] == [False, False, True, True]
    assert {(piece.values["kernel"], piece.values["n"]) for piece in pieces} == {("langevin", 50)}
    assert [len(piece.numpy()["traces"]) for piece in pieces] == [41, 81, 81, 81]


def test_chains_that_stay_where_they_are_have_not_mixed() -> None:
    answer = ask(view(), "chain_truth", kernel="mala", step_size=1e-4, steps=60, n=100)
    assert max(answer.values["r_hat"]) > 1.5  # type: ignore[arg-type, type-var]
    assert min(answer.values["ess"]) < 200  # type: ignore[arg-type, type-var]


def test_one_chain_alone_cannot_tell_chance_from_bias() -> None:
    for n in (1, 2):
        values = ask(view(), "chain_truth", kernel="mala", step_size=1.0, steps=60, n=n).values
        assert values["kl"] > 0.0  # type: ignore[operator]
        assert ("bias" in values) == ("floor" in values) == (n == 2)


def test_the_long_run_comes_to_the_law() -> None:
    answer = ask(view(), "chain_long", kernel="mala", step_size=2.0, steps=60, n=2000,
                 start="click", at=[3.0, 3.0])  # fmt: skip
    arrays = answer.numpy()
    np.testing.assert_array_equal(arrays["marks"], marks_until(60))
    assert arrays["marks"][[0, -1]].tolist() == [0, 60]
    floor = float(answer.values["floor"])  # type: ignore[arg-type]
    assert arrays["kl"][0] > 10 * arrays["kl"][-1]
    assert arrays["kl"][-1] == pytest.approx(floor, abs=0.05)
    entropy = 1 + math.log(2 * math.pi * 4.044)
    assert answer.values["exact_energy"] == pytest.approx(entropy, abs=0.01)
    assert arrays["energy"][-1, 0] == pytest.approx(entropy, abs=0.1)


def energy_after(model: Any, x: torch.Tensor, data: Any, negatives: Any, rate: float) -> Any:
    """E(x) after one plain gradient step of so small a rate."""
    twin, _ = in_double(model, x)
    twin.requires_grad_()
    assert isinstance(twin, Energy)
    means = [twin.energy(as_events(twin, points)).mean() for points in (data, negatives)]
    (means[0] - means[1]).backward()
    with torch.no_grad():
        for weight in twin.parameters():
            if weight.grad is not None:
                weight.sub_(rate * weight.grad)
        return twin.energy(as_events(twin, x))


def test_forces_are_what_a_gradient_step_does() -> None:
    shown = view("ebm", "two_moons", hidden_features=(8,))
    negatives = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    answer = ask(shown, "two_forces", low=[-2, -2], high=[2, 2], size=6, n=10_000,
                 negatives=negatives.numpy())  # fmt: skip
    arrays = answer.numpy()
    places = torch.tensor([(x, y) for y in arrays["y"] for x in arrays["x"]])
    data = shown.dataset.train.double()
    rate = 1e-6
    after, before = (
        energy_after(shown.model, places, data, negatives, r) for r in (rate, 0.0)
    )  # fmt: skip
    found = arrays["positive"] + arrays["negative"]
    np.testing.assert_allclose(found.ravel(), (after - before) / rate, atol=1e-3)


def test_exact_samples_need_no_chain() -> None:
    """Negatives on a grid with as many copies as the law has mass give the exact gradient."""
    shown = view("ebm", "two_moons", hidden_features=(8,))
    grid = midpoint_grid(Box((-6.0, -6.0), (6.0, 6.0)), 40)
    model: Any = shown.model
    shares = (-model.energy(grid.points.float()).double()).softmax(0)
    copies = (shares * 9000).round().long()
    negatives = grid.points.repeat_interleave(copies, 0)
    answer = ask(shown, "two_forces", low=[-2, -2], high=[2, 2], size=4,
                 negatives=negatives.numpy())  # fmt: skip
    arrays = answer.numpy()
    both = arrays["positive"] + arrays["negative"]
    np.testing.assert_allclose(both, arrays["exact"], atol=0.05)
    assert float(answer.values["cosine"]) > 0.995  # type: ignore[arg-type]


def test_the_buffer_is_the_trainings_own() -> None:
    shown = view("ebm", "two_moons", hidden_features=(8,))
    with pytest.raises(ValueError, match="has none yet"):
        ask(shown, "replay_buffer")
    replay = torch.randn(30, 2, generator=torch.Generator().manual_seed(2))
    memory = {"replay": replay, "ages": torch.arange(30)}
    kept = View(shown.model, shown.dataset, 9, 3, memory=lambda: (7, memory))
    answer = ask(kept, "replay_buffer", n=20)
    arrays = answer.numpy()
    wanted = shown.model.unstandardise(replay[:20])
    np.testing.assert_allclose(arrays["points"], wanted, atol=1e-5)
    assert arrays["ages"].tolist() == list(range(20))
    assert answer.values == {"n_all": 30, "step": 7, "steps": 5}
    oldest = ask(kept, "replay_buffer", n=3, order="oldest").numpy()
    assert oldest["ages"].tolist() == [29, 28, 27]
    np.testing.assert_allclose(
        oldest["points"], shown.model.unstandardise(replay[[29, 28, 27]]), atol=1e-5
    )
    (first,) = probes()["chain_walk"].ask(kept, {"n": 30, "steps": 0, "start": "buffer"})
    begun = first.numpy()["points"][0]
    every = shown.model.unstandardise(replay).numpy()
    assert sorted(begun[:, 0].round(3)) == sorted(every[:, 0].round(3))


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("chain_truth", {"steps": 10}, "wanted at least 40"),
        ("chain_long", {"steps": 10**6}, "wanted at most 100000"),
        ("chain_truth", {"kernel": "none"}, "kernel: given 'none'"),
    ],
)
def test_refusals(name: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask(view(), name, **arguments)
