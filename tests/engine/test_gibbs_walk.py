"""Chains of Boltzmann machines as they are sent to the window, against enumeration."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.estimators.boltzmann import HasMachine, every_state
from engine.estimators.boltzmann_scores import counted
from engine.model import GenerativeModel
from engine.models.energy.dbm import DBM
from engine.models.energy.rbm import RBM
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes

V, H = 4, 3


def machine(shape: tuple[int, ...] = (V,), levels: int | None = 2, hidden: int = H) -> RBM:
    model = build_model("rbm", event_shape=shape, seed=3, hidden_units=hidden, levels=levels)
    assert isinstance(model, RBM)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (model.W, model.b, model.c):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.eval().requires_grad_(False)


def view_of(model: GenerativeModel, dataset: Any = None) -> View:
    return View(model, dataset, 0, seed=2)


def frames(view: View, **wanted: Any) -> dict[str, np.ndarray[Any, Any]]:
    pieces = list(probes()["gibbs_walk"].ask(view, wanted))
    assert [piece.final for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    starts = [piece.values["frame"] for piece in pieces]
    assert starts == sorted(starts)
    found = [piece.numpy() for piece in pieces]
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}


def direct_energy(model: RBM, v: Tensor, h: Tensor) -> Tensor:
    """E by its formula, in float64."""
    w, b, c = (p.double() for p in (model.W, model.b, model.c))
    return -(v @ b) - h @ c - ((v @ w) * h).sum(-1)


def test_held_values_stay_and_the_rest_follows_the_exact_conditional() -> None:
    model = machine()
    known, mask = np.array([1.0, 0.0, 0.0, 1.0]), np.array([True, False, False, True])
    found = frames(view_of(model), n=1000, n_frames=40, sweeps=3, known=known, mask=mask)
    v = torch.from_numpy(found["v"]).double()
    assert (v[..., mask] == torch.from_numpy(known[mask])).all()
    assert (found["mean_v"][2:][..., mask] == known[mask]).all()
    states = every_state(V, like=torch.zeros(1, dtype=torch.float64))
    log_p = -model.double().energy(states)
    holds = (states[:, mask] == torch.from_numpy(known[mask])).all(1)
    truth = torch.softmax(log_p[holds], 0)
    seen = v[5:].reshape(-1, V)
    own = torch.stack([(seen == state).all(1).double().mean() for state in states[holds]])
    assert 0.5 * float((own - truth).abs().sum()) < 0.015


def test_energy_and_free_energy_are_those_of_enumeration() -> None:
    model = machine()
    found = frames(view_of(model), n=3, n_frames=20)
    v, h = (torch.from_numpy(found[name]).double() for name in ("v", "h"))
    energy = torch.from_numpy(found["energy"]).double()
    assert torch.allclose(energy, direct_energy(model, v, h), atol=1e-5)
    hidden = every_state(H, like=torch.zeros(1, dtype=torch.float64))
    each = direct_energy(model, v[:, :, None], hidden.expand(*v.shape[:2], *hidden.shape))
    free = -torch.logsumexp(-each, -1)
    assert torch.allclose(torch.from_numpy(found["free_energy"]).double(), free, atol=1e-5)


def test_half_steps_take_turns_and_say_what_they_drew_from() -> None:
    model = machine()
    found = frames(view_of(model), n=2, n_frames=9)
    v, h = (torch.from_numpy(found[name]).float() for name in ("v", "h"))
    assert found["kernel"].tolist() == [-1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert (found["mean_h"][0] == found["h"][0]).all()
    for t in range(1, 9):
        changed = "h" if t % 2 else "v"
        assert found["drawn"][t].tolist() == [changed == "v", changed == "h"]
        still = "v" if changed == "h" else "h"
        assert (found[still][t] == found[still][t - 1]).all()
        inputs = v[t] @ model.W + model.c if changed == "h" else h[t] @ model.W.t() + model.b
        means = torch.from_numpy(found[f"mean_{changed}"][t])
        assert torch.allclose(means, torch.sigmoid(inputs), atol=1e-6)


def test_a_chain_is_named_by_start_seed_and_half_step() -> None:
    view = view_of(machine())
    short, long = frames(view, n_frames=5), frames(view, n_frames=41)
    thinned = frames(view, n_frames=5, sweeps=4)
    for name in ("v", "h", "energy"):
        assert (long[name][:5] == short[name]).all()
        assert (long[name][[0, 8, 16, 24, 32]] == thinned[name]).all()
    other = frames(view, n_frames=41, seed=1)
    assert (other["v"] != long["v"]).any()


def test_chains_start_at_held_out_observations() -> None:
    data = build_dataset("digits", levels=2, n_samples=20)
    view = view_of(machine((1, 8, 8)), data)
    found = frames(view, start="data", first=len(data.test) - 2, n=4, n_frames=2)
    rows = data.test[[-2, -1, 0, 1]]
    assert (found["v"][0] == rows.reshape(4, 64).numpy()).all()
    picture = np.indices((8, 8)).sum(0) % 2.0
    own = frames(view, start="data", known=picture, n=2, n_frames=2)
    assert (own["v"][0] == picture.reshape(64)).all()


def test_real_visible_units_are_sent_in_units_of_the_data() -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model("rbm", event_shape=(2,), dataset=data, hidden_units=5)
    model.prepare(data.train, generator=torch.Generator().manual_seed(0))
    view = View(model.eval().requires_grad_(False), data, 0)
    found = frames(view, n=400, n_frames=20, start="data")
    assert found["v"].dtype == np.float32
    state = {name: torch.from_numpy(found[name][-1]).float() for name in ("v", "h")}
    assert np.allclose(found["free_energy"][-1], cast(RBM, model).energy(state["v"]), atol=1e-4)
    # Untrained, it is nearly one Gaussian with the data's mean and first variance.
    assert found["v"][-1].mean(0) == pytest.approx(data.train.mean(0).numpy(), abs=0.1)


def test_chains_go_on_from_those_of_the_training() -> None:
    kept = (torch.arange(5)[:, None] >> torch.arange(H)) & 1
    model = machine()
    memory = {"chains": kept.float(), "mean_0": torch.zeros(V)}
    view = View(model, cast(Any, None), 0, seed=2, memory=lambda: (40, memory))
    pieces = list(probes()["gibbs_walk"].ask(view, {"start": "training", "n": 4, "n_frames": 2}))
    assert pieces[0].values["chains_of"] == 40
    assert (pieces[0].numpy()["h"][0] == kept[:4].numpy()).all()
    many = {"chains": kept[3:4].float().expand(1000, H)}
    view = View(model, cast(Any, None), 0, seed=2, memory=lambda: (40, many))
    v = frames(view, start="training", n=1000, n_frames=1)["v"][0]
    given = torch.sigmoid(kept[3].float() @ model.W.t() + model.b)
    assert v.mean(0) == pytest.approx(given.numpy(), abs=0.06)
    with pytest.raises(ValueError, match="5 persistent chains are at hand, wanted 6"):
        frames(View(model, cast(Any, None), 0, memory=lambda: (4, memory)), start="training", n=6)
    with pytest.raises(ValueError, match="0 persistent chains"):
        frames(view_of(model), start="training")


def ask_filters(view: View, **wanted: Any) -> Result:
    (found,) = probes()["gibbs_filters"].ask(view, wanted)
    return found


def test_filters_tell_weights_and_activity_over_the_data() -> None:
    data = build_dataset("digits", levels=2, n_samples=50)
    model = machine((1, 8, 8))
    model.c[1] = -90.0
    found = ask_filters(view_of(model, data), n_data=50).numpy()
    assert (found["filters"] == model.W.t().numpy()).all()
    assert found["norms"] == pytest.approx(model.W.norm(dim=0).numpy())
    assert (found["biases"] == model.c.numpy()).all()
    on = torch.sigmoid(data.train.reshape(-1, 64).float() @ model.W + model.c)
    assert found["activity"] == pytest.approx(on.mean(0).numpy(), abs=1e-5)
    assert found["spread"][1] < 1e-6 < found["spread"][0]
    with pytest.raises(ValueError, match="layer: given 2, wanted 1 to 1"):
        ask_filters(view_of(model, data), layer=2)


def test_directions_of_a_gaussian_machine_lead_to_the_mean() -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = machine((2,), None)
    model.prepare(data.train, generator=torch.Generator().manual_seed(0))
    found = ask_filters(View(model, data, 0)).numpy()
    h = torch.tensor([[1.0, 0.0, 1.0]])
    _, info = model.step({"v": torch.zeros(1, 2), "h": h}, "visible", torch.Generator())
    mean = found["centre"] + (h.numpy() @ found["directions"])[0]
    assert mean == pytest.approx(info["mean_v"][0].numpy(), abs=1e-5)


# --- deep machines --------------------------------------------------------------------------


def deep(name: str, hidden: tuple[int, ...] = (3, 2)) -> GenerativeModel:
    model = build_model(name, event_shape=(V,), seed=3, hidden_units=hidden)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        if name == "dbn":
            model.depth.fill_(len(hidden))  # type: ignore[union-attr,operator]
    return model.eval().requires_grad_(False)


def test_a_deep_machine_completes_what_is_held_by_its_exact_conditional() -> None:
    model = deep("dbm")
    known, mask = np.array([1.0, 0.0, 1.0, 0.0]), np.array([True, True, False, False])
    found = frames(view_of(model), n=1000, n_frames=40, sweeps=4, known=known, mask=mask)
    v = torch.from_numpy(found["v"]).double()
    assert (v[..., mask] == torch.from_numpy(known[mask])).all()
    states = every_state(V, like=torch.zeros(1, dtype=torch.float64))
    holds = (states[:, mask] == torch.from_numpy(known[mask])).all(1)
    truth = torch.softmax(counted(cast(HasMachine, model), states[holds]), 0)
    own = torch.stack(
        [(v[5:].reshape(-1, V) == state).all(1).double().mean() for state in states[holds]]
    )
    assert 0.5 * float((own - truth).abs().sum()) < 0.015


def test_a_pass_down_follows_sweeps_of_the_top_two_layers() -> None:
    model = deep("dbn", (3, 3, 2))
    pieces = list(probes()["gibbs_walk"].ask(view_of(model), {"n_frames": 9, "pass_after": 3}))
    values, arrays = pieces[0].values, pieces[0].numpy()
    assert values["blocks"] == ["v", "h1", "h2", "h3"]
    assert values["given"] == ["h1", "h2", "h3", "h2"]
    assert (values["joined"], values["free_of"]) == (["h2", "h3"], ["h2"])
    drawn = arrays["drawn"].tolist()
    top, down = [False, False, True, True], [True, True, False, False]
    assert drawn[1:] == [top, top, top, down, top, top, top, down]
    h2, h3 = (torch.from_numpy(arrays[name]).float() for name in ("h2", "h3"))
    w, c2, c3 = (model.get_parameter(name) for name in ("W3", "c2", "c3"))
    energy = -(h2 @ c2) - h3 @ c3 - ((h2 @ w) * h3).sum(-1)
    assert arrays["energy"] == pytest.approx(energy.numpy(), abs=1e-5)
    h1 = torch.from_numpy(arrays["h1"][4]).float()
    given = torch.sigmoid(h1 @ model.get_parameter("W1").t() + model.get_parameter("b"))
    assert arrays["mean_v"][4] == pytest.approx(given.numpy(), abs=1e-6)
    for wanted in ({"mask": np.ones(V), "known": np.zeros(V)}, {"pass_after": -1}):
        with pytest.raises(ValueError, match=r"directed below|pass_after: given -1"):
            list(probes()["gibbs_walk"].ask(view_of(model), wanted))
    with pytest.raises(ValueError, match="without a pass down"):
        list(probes()["gibbs_walk"].ask(view_of(deep("dbm")), {"pass_after": 2}))


def test_deep_chains_go_on_from_those_of_the_training() -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = {"v": V, "h1": 3, "h2": 2}
    parts = [torch.randint(2, (6, n), generator=generator).float() for n in sizes.values()]
    memory = {f"chain_{index}": part for index, part in enumerate(parts)}
    view = View(deep("dbm"), cast(Any, None), 0, memory=lambda: (9, memory))
    found = frames(view, start="training", n=6, n_frames=1)
    for name, part in zip(sizes, parts, strict=True):
        assert (found[name][0] == part.numpy()).all()
    view = View(deep("dbn"), cast(Any, None), 0, memory=lambda: (9, {"chains": parts[2]}))
    assert (frames(view, start="training", n=5, n_frames=1)["h2"][0] == parts[2][:5].numpy()).all()


@pytest.mark.parametrize("name", ["dbm", "dbn"])
def test_activity_of_deep_layers_is_the_models_own_belief(name: str) -> None:
    class Data:
        train = every_state(V, like=torch.zeros(1))

    model = deep(name)
    found = ask_filters(view_of(model, Data()), layer=2).numpy()
    if isinstance(model, DBM):
        wanted = model.mean_field(Data.train)[1]
    else:
        up = torch.sigmoid(Data.train @ model.get_parameter("R1") + model.get_parameter("r1"))
        wanted = torch.sigmoid(up @ model.get_parameter("W2") + model.get_parameter("c2"))
    assert found["activity"] == pytest.approx(wanted.mean(0).numpy(), abs=1e-6)
    assert found["spread"] == pytest.approx(wanted.std(0, correction=0).numpy(), abs=1e-6)
    both = model.get_parameter("W1") @ model.get_parameter("W2")
    assert found["filters"] == pytest.approx(both.t().numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"n": 0}, "n: given 0"),
        ({"n_frames": 0}, "n_frames: given 0"),
        ({"sweeps": -1}, "sweeps: given -1"),
        ({"first": -1}, "first: given -1"),
        ({"mask": np.ones(V, dtype=bool)}, "given a mask alone"),
        ({"known": np.zeros(V), "mask": np.ones(3, dtype=bool)}, "mask: given shape"),
        ({"n": 1024, "n_frames": 10_001}, "values in all"),
    ],
)
def test_what_cannot_be_asked(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(probes()["gibbs_walk"].ask(view_of(machine()), wanted))


def test_a_chain_on_an_energy_has_no_layers() -> None:
    model = build_model("ebm", event_shape=(2,), hidden_features=(8,)).eval()
    for name in ("gibbs_walk", "gibbs_filters"):
        with pytest.raises(ValueError, match="no units that are drawn layer by layer"):
            list(probes()[name].ask(view_of(model), {}))
