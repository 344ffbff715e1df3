"""The probes of flows against autograd, the model's own path and the weights themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.bijections.affine_layer import AffineLayer
from engine.bijections.map_coupling import ChannelCoupling, CheckerboardCoupling
from engine.capabilities import FlowPath, HasFlowPath, capabilities_of
from engine.estimators.layer_jacobians import jacobians, triangular_order
from engine.model import GenerativeModel
from engine.models.flows.maf import MAF
from engine.probe import Result, View
from engine.probes import flow_passes
from engine.registry import build_dataset, build_model, models, probes
from engine.wire.capability import Capability
from tests.engine.affine_flows import rough, some
from tests.engine.toys import GaussianData

FLOWS = ("realnvp", "maf")


def data(dims: int = 2) -> Any:
    return GaussianData(sigma=(4.0,) * dims)


def ask(name: str, model: GenerativeModel, dataset: Any, **wanted: Any) -> Result:
    view = View(model.eval().requires_grad_(False), dataset, step=0, seed=3)
    answers = list(probes()[name].ask(view, wanted))
    assert [a.final for a in answers] == [False] * (len(answers) - 1) + [True]
    return answers[-1]


def full_jacobian(model: Any, point: Tensor) -> Tensor:
    """By torch.func, of one event (D,), an oracle that shares nothing with the probe's rows."""
    return torch.func.jacrev(lambda x: model.path(x[None]).states[-1][0])(point)


class PathOnly(GenerativeModel):
    """A flow that gives away its path and nothing else."""

    card = models()["maf"].card
    Config = models()["maf"].Config

    def __init__(self, inner: Any) -> None:
        super().__init__(inner.event_shape, inner.config)
        self.inner = inner
        self.double()

    def loss(self, x: Tensor, **_: Any) -> dict[str, Tensor]:
        return {"total": x.sum()}

    def path(self, x: Tensor, **named: Any) -> FlowPath:
        return self.inner.path(x, **named)

    def base(self) -> Any:
        return self.inner.base()


def test_the_toy_flow_has_no_layers_of_its_own() -> None:
    assert Capability.FLOW_PATH in capabilities_of(PathOnly)
    assert not hasattr(PathOnly, "layers")
    assert isinstance(PathOnly(rough("maf")), HasFlowPath)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("start", ["data", "base"])
def test_states_are_those_of_the_models_path(name: str, start: str) -> None:
    model, dataset = rough(name), data()
    arrays = ask("flow_path", model, dataset, n=40, lines=5, nodes=7, start=start).numpy()
    n_layers = 4  # standardisation and three layers
    assert arrays["points"].shape == (n_layers + 1, 40, 2)
    assert arrays["grid"].shape == (n_layers + 1, 10, 7, 2)
    first = 0 if start == "data" else -1
    for key, dets in (("points", "point_log_dets"), ("grid", "grid_log_dets")):
        begun = torch.from_numpy(arrays[key][first]).double().reshape(-1, 2)
        path = model.path(begun, inverse=start == "base")
        seen = arrays[key].reshape(n_layers + 1, -1, 2)
        np.testing.assert_allclose(seen, path.states, rtol=2e-5, atol=2e-5)
        log_dets = arrays[dets].reshape(n_layers, -1)
        np.testing.assert_allclose(log_dets, path.log_dets, rtol=2e-5, atol=2e-5)
    ends = torch.from_numpy(arrays["points"][-1]).double()
    np.testing.assert_allclose(
        arrays["log_base"], -0.5 * (ends**2).sum(1) - math.log(2 * math.pi), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(arrays["events"], arrays["points"][0])


def test_the_grid_is_even_where_it_starts() -> None:
    model, dataset = rough("realnvp"), data()
    low, high = [1.0, 2.0], [4.0, 8.0]
    wanted = {"lines": 3, "nodes": 4, "low": low, "high": high}
    for start, at in (("data", 0), ("base", -1)):
        grid = ask("flow_path", model, dataset, n=5, start=start, **wanted).numpy()["grid"][at]
        np.testing.assert_allclose(grid[0], [[1, 2], [2, 2], [3, 2], [4, 2]], atol=1e-6)
        np.testing.assert_allclose(grid[4], [[2.5, 2], [2.5, 4], [2.5, 6], [2.5, 8]], atol=1e-6)


def test_more_dimensions_are_drawn_on_a_plane() -> None:
    model, dataset = rough("maf", (3,)), data(3)
    result = ask("flow_path", model, dataset, n=30, lines=4, nodes=5, axes=[2, 0])
    arrays, values = result.numpy(), result.values
    assert values["is_slice"]
    states = model.path(torch.from_numpy(arrays["events"]).double()).states
    np.testing.assert_allclose(arrays["points"], states[..., [2, 0]], rtol=2e-5, atol=2e-5)
    assert arrays["grid"].shape == (5, 8, 5, 2)
    one = ask("flow_path", rough("maf", (1,)), data(1), n=30, nodes=9).numpy()
    assert one["grid"].shape == (5, 1, 9, 1)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("dims", [2, 3])
def test_determinants_are_those_of_autograds_jacobian(name: str, dims: int) -> None:
    model = rough(name, (dims,))
    for point in some((dims,), 3):
        result = ask("flow_jacobian", model, data(dims), point=point.tolist())
        arrays, values = result.numpy(), result.values
        whole = full_jacobian(model, point).detach()
        np.testing.assert_allclose(arrays["stack"], whole, rtol=1e-9, atol=1e-10)
        expected = float(torch.linalg.slogdet(whole).logabsdet)
        assert arrays["log_dets"].sum() == pytest.approx(expected, abs=1e-9)
        assert values["stack_slogdet"] == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(arrays["slogdets"], arrays["log_dets"], atol=1e-9)
        product = np.linalg.multi_dot([*arrays["layers"][::-1]])
        np.testing.assert_allclose(product, whole, rtol=1e-9, atol=1e-10)
        assert values["log_prob"] == pytest.approx(float(model.log_prob(point[None])[0]), abs=1e-9)
        assert abs(float(values["residual"])) < 1e-9  # type: ignore[arg-type]


def test_a_path_alone_gives_the_same_layers() -> None:
    model, x = rough("maf", (3,)), some((3,), 4)
    known, found = jacobians(model, x), jacobians(PathOnly(model), x)
    assert known.direct
    assert not found.direct
    torch.testing.assert_close(found.layers, known.layers, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(found.stack, known.stack, rtol=1e-12, atol=1e-12)


def test_mafs_jacobian_is_triangular_in_its_order() -> None:
    model = rough("maf", (4,))
    result = ask("flow_jacobian", model, data(4), point=some((4,), 1)[0].tolist())
    arrays, values = result.numpy(), result.values
    assert values["triangular"] == [1] * 4
    np.testing.assert_array_equal(arrays["orders"][1:], model.orders)  # type: ignore[operator]
    for layer, order in zip(arrays["layers"][1:], model.orders.tolist(), strict=True):  # type: ignore[operator]
        turned = layer[np.ix_(order, order)]
        assert (np.triu(turned, 1) == 0).all()
        assert (np.abs(np.tril(turned)) > 0).sum() == 10  # every earlier value is used
    alone = ask("flow_jacobian", PathOnly(model), data(4), point=some((4,), 1)[0].tolist())
    np.testing.assert_array_equal(alone.numpy()["orders"], arrays["orders"])


def test_what_depends_in_a_circle_has_no_order() -> None:
    circle = torch.tensor([[1, 1], [1, 1]], dtype=torch.bool)
    assert triangular_order(circle) is None
    upper = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)
    assert triangular_order(upper) == [1, 0, 2]


def test_the_numbers_of_layers() -> None:
    model, dataset = rough("realnvp"), data()
    result = ask("flow_layers", model, dataset, n=50, size=6)
    arrays, values = result.numpy(), result.values
    assert values["n"] == 50
    x = torch.stack(torch.meshgrid(*[
        torch.linspace(values["low"][d], values["high"][d], 13, dtype=torch.float64)[1::2]  # type: ignore[index,call-overload]
        for d in (0, 1)], indexing="xy"), -1).reshape(-1, 2)  # fmt: skip
    path = model.path(x)
    np.testing.assert_allclose(
        arrays["map_log_dets"].reshape(4, -1), path.log_dets, rtol=1e-4, atol=1e-5
    )
    worst = np.linalg.cond(full_jacobian(_layer(model, 2), path.states[2][17]).detach())
    assert arrays["map_condition"].reshape(4, -1)[2, 17] == pytest.approx(worst, rel=1e-5)
    assert (arrays["condition"][0] <= arrays["condition"][1]).all()
    assert (arrays["condition"] >= 1).all()


def _layer(model: Any, index: int) -> Any:
    class One:
        def path(self, x: Tensor) -> FlowPath:
            y, log_det = model.layers()[index].forward(x)
            return FlowPath(torch.stack([x, y]), log_det[None], ("one",))

    return One()


def test_layers_without_a_map_of_their_own_have_numbers_but_no_condition_map() -> None:
    inner, dataset = rough("maf"), data()
    known = ask("flow_layers", inner, dataset, n=20, size=4).numpy()
    found = ask("flow_layers", PathOnly(inner), dataset, n=20, size=4).numpy()
    assert set(known) - set(found) == {"map_condition"}
    np.testing.assert_allclose(found["map_log_dets"], known["map_log_dets"], rtol=1e-6)
    np.testing.assert_allclose(found["condition"], known["condition"], rtol=1e-6)


@pytest.mark.parametrize("name", FLOWS)
def test_the_round_trip_is_told_in_both_precisions(name: str) -> None:
    dataset = data()
    errors = ask("flow_layers", rough(name), dataset, n=4096, size=4).numpy()["round_trip"]
    assert errors[:, -1].tolist() == [0.0, 0.0]
    assert 0 < errors[1, 0] < 1e-9 < 1e-7 < errors[0, 0] < 1e-2
    with torch.no_grad():
        for row, dtype in enumerate((torch.float32, torch.float64)):
            model, x = rough(name).to(dtype), dataset.train.to(dtype)
            there = model.path(x).states
            back = model.path(there[-1], inverse=True).states
            np.testing.assert_allclose(errors[row], (there - back).abs().amax((1, 2)), rtol=1e-6)


def _calls(model: Any, inverse: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the layers whose networks run, in order."""
    called: list[str] = []
    run = AffineLayer.scales_and_shifts

    def noted(self: AffineLayer, x: Tensor) -> tuple[Tensor, Tensor]:
        called.append(self.name)
        return run(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(AffineLayer, "scales_and_shifts", noted)
        model.path(some((5,), 3) if not inverse else torch.randn(3, 5).double(), inverse=inverse)
    return called


@pytest.mark.parametrize(("name", "sampling"), [("realnvp", 1), ("maf", 5)])
def test_passes_are_as_many_as_the_networks_run(
    name: str, sampling: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = rough(name, (5,))
    result = ask("flow_passes", model, data(5), n=20)
    arrays, values = result.numpy(), result.values
    names: Sequence[str] = values["names"]  # type: ignore[assignment]
    assert arrays["sampling"].tolist() == [0, *[sampling] * 3]
    for told, inverse in (("density", False), ("sampling", True)):
        called = _calls(model, inverse, monkeypatch)
        assert arrays[told].tolist() == [called.count(layer) for layer in names]
    assert values["density_seconds"] > 0  # type: ignore[operator]
    assert values["sampling_seconds"] > 0  # type: ignore[operator]


def _modules_called(model: Any, kind: type, x: Tensor, inverse: bool) -> int:
    """How often networks of this kind run, by hooks."""
    called: list[None] = []
    hooks = [
        layer.network.register_forward_hook(lambda *_: called.append(None))
        for layer in model.modules()
        if isinstance(layer, kind)
    ]
    model.path(x, inverse=inverse)
    for hook in hooks:
        hook.remove()
    return len(called)


@pytest.mark.parametrize("name", ["glow", "realnvp_pictures"])
def test_layers_of_pictures_without_a_network_take_no_pass(name: str) -> None:
    model = build_model(name, event_shape=(1, 4, 4), hidden_features=(4,), n_layers=2)
    found = ask("flow_passes", model, GaussianData(sigma=(1.0,) * 16), n=2).numpy()
    noise = torch.randn(2, 16)
    for told, x, inverse in (
        ("density", noise.reshape(2, 1, 4, 4), False),
        ("sampling", noise, True),
    ):
        kinds = (ChannelCoupling, CheckerboardCoupling)
        called = sum(_modules_called(model, kind, x, inverse) for kind in kinds)
        assert 0 < called == found[told].sum() < len(found[told])


@pytest.mark.parametrize(("name", "passes"), [("nice", 3), ("planar", 0), ("ica", 0)])
def test_only_networks_count_as_passes(name: str, passes: int) -> None:
    settings = {} if name == "ica" else {"n_layers": 3}
    model = build_model(name, event_shape=(2,), **settings)
    result = ask("flow_passes", model, data(), n=5)
    assert [int(result.numpy()[way].sum()) for way in ("density", "sampling")] == [passes] * 2
    assert result.values["solved"] is False


def test_the_clock_takes_the_quickest_of_several_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    model, path, tries, now = rough("maf"), MAF.path, list[bool](), [0.0]

    def disturbed(self: Any, x: Tensor, **named: Any) -> FlowPath:
        tries.append(bool(named.get("inverse")))
        busy = tries.count(tries[-1]) != 2  # all but the second try share the machine
        now[0] += 0.0625 if busy else 0.03125
        return path(self, x, **named)

    monkeypatch.setattr(MAF, "path", disturbed)
    monkeypatch.setattr(flow_passes, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    values = ask("flow_passes", model, data(), n=5).values
    assert (values["density_seconds"], values["sampling_seconds"]) == (0.03125, 0.03125)
    assert min(tries.count(True), tries.count(False)) > 2


def test_a_target_is_shown_by_draws_in_the_place_of_observations() -> None:
    target = build_dataset("rezende_mohamed", energy="U1")
    model = build_model("planar", event_shape=(2,), n_layers=3)
    result = ask("flow_path", model, target, n=400, lines=3, nodes=3)
    events = torch.from_numpy(result.numpy()["events"])
    assert events.shape == (400, 2)
    # They lie where the target has its mass: on a ring of radius 2, in two halves.
    energy = target.energy(events.double()).mean()
    assert abs(energy - target.entropy() + log_z(target)) < 0.2
    assert result.values["low"] == [-5.5, -6.5]
    layers = ask("flow_layers", model, target, n=8, size=4)
    assert layers.values["of"] == "draws of the target"
    assert np.isfinite(layers.numpy()["round_trip"]).all()
    point = ask("flow_jacobian", model, target, point=[0.5, -0.5])
    assert abs(point.values["residual"]) < 1e-6  # type: ignore[arg-type]
    shown = ask("data_points", model, target, n=50).numpy()["points"]
    assert shown.shape == (50, 2)
    assert ask("flow_layers", model, data(), n=8, size=4).values["of"] == "observations"


def log_z(target: Any) -> float:
    """By a grid of the test's own."""
    line = torch.linspace(-7, 7, 701, dtype=torch.float64)
    step = float(line[1] - line[0])
    return float((-target.energy(torch.cartesian_prod(line, line))).exp().sum().log()) + 2 * (
        math.log(step)
    )


@pytest.mark.parametrize(
    ("probe", "wrong"),
    [
        ("flow_path", {"n": 0}),
        ("flow_path", {"lines": 1}),
        ("flow_path", {"low": [1.0, 0.0], "high": [0.0, 1.0]}),
        ("flow_path", {"start": "nowhere"}),
        ("flow_layers", {"size": 1000}),
        ("flow_layers", {"n": 0}),
        ("flow_jacobian", {"point": [1.0]}),
        ("flow_passes", {"n": 0}),
    ],
)
def test_refusals_say_what_is_wanted(probe: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"wanted|start"):
        ask(probe, rough("realnvp"), data(), **wrong)


def test_a_model_without_layers_is_told_why() -> None:
    view = View(models()["vae"]((2,), models()["vae"].Config()), data(), 0)
    for name in ("flow_path", "flow_layers", "flow_jacobian", "flow_passes"):
        with pytest.raises(ValueError, match="has none"):
            probes()[name].ask(view, {})
