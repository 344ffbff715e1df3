"""log Z, scores, pseudo-likelihood and mean-field as they are told to the window, by counting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.model import GenerativeModel
from engine.models.energy.dbm import DBM
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes

DATA = build_dataset("bars_and_stripes", n_samples=60)
V, H = 9, 3


def model_of(name: str, hidden: Any, scale: float = 0.7) -> GenerativeModel:
    model = build_model(name, event_shape=(1, 3, 3), seed=1, hidden_units=hidden, levels=2)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
        if name == "dbn":
            model.depth.fill_(len(hidden))  # type: ignore[union-attr,operator]
    return model.eval().requires_grad_(False)


def ask(name: str, model: GenerativeModel, **wanted: Any) -> Result:
    pieces = list(probes()[name].ask(View(model, DATA, 0, seed=1), wanted))
    assert [piece.final for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    return pieces[-1]


def states(n: int) -> Tensor:
    return ((torch.arange(2**n)[:, None] >> torch.arange(n)) & 1).double()


def log_weights(model: GenerativeModel) -> Tensor:
    """−E(v, h) of all states (2^V, 2^H) of a restricted machine, by its formula."""
    w, b, c = (model.get_parameter(name).double() for name in ("W", "b", "c"))
    v, h = states(V), states(H)
    return (v @ b)[:, None] + h @ c + v @ w @ h.t()


def numbers(x: Tensor) -> Tensor:
    """Each picture's place in the list of all states."""
    return (x.flatten(1).long() << torch.arange(V)).sum(1)


def test_a_small_machine_is_told_in_full() -> None:
    model = model_of("rbm", H)
    truth = log_weights(model)
    found = ask("boltzmann_log_z", model, rungs=(100,), n_data=50, n_pseudo=5)
    arrays, values = found.numpy(), found.values
    assert arrays["table"] == pytest.approx(-truth.numpy())
    assert arrays["free"] == pytest.approx(-torch.logsumexp(truth, 1).numpy())
    assert arrays["formula"] == pytest.approx(arrays["free"])
    assert values["too_many"] == 0
    log_p = torch.logsumexp(truth, 1) - torch.logsumexp(truth.flatten(), 0)
    assert values["exact"] == pytest.approx(float(torch.logsumexp(truth.flatten(), 0)))
    assert values["kind"] == "exact"
    for name in ("train", "test"):
        split: Tensor = getattr(DATA, name)
        wanted = log_p[numbers(split[:50])]
        assert values[f"{name}_value"] == pytest.approx(float(wanted.mean()), abs=1e-5)
        assert values[f"{name}_low"] == values[f"{name}_high"] == values[f"{name}_value"]
    assert values["is_bound"] == 0


def test_the_pseudo_likelihood_is_a_sum_of_conditionals() -> None:
    model = model_of("rbm", H)
    log_p = torch.logsumexp(log_weights(model), 1)
    values = ask("boltzmann_log_z", model, rungs=(), n_pseudo=1000).values
    here = numbers(DATA.test)
    total = torch.zeros(len(here), dtype=torch.float64)
    for i in range(V):
        both = torch.stack([log_p[here], log_p[here ^ (1 << i)]])
        total += log_p[here] - torch.logsumexp(both, 0)
    assert values["pseudo_test"] == pytest.approx(float(total.mean()), rel=1e-5)
    assert ask("boltzmann_log_z", model_of("dbm", (3, 2)), rungs=()).values["pseudo_test"] is None


@pytest.mark.parametrize(("name", "hidden"), [("rbm", 6), ("dbm", (4, 3)), ("dbn", (4, 3))])
def test_longer_ladders_close_in_on_the_exact_value(name: str, hidden: Any) -> None:
    found = ask("boltzmann_log_z", model_of(name, hidden), rungs=(10, 300), n_chains=200)
    arrays, exact = found.numpy(), found.values["exact"]
    assert isinstance(exact, float)
    assert arrays["ais_low"][1] < exact < arrays["ais_high"][1]
    width = arrays["ais_high"] - arrays["ais_low"]
    assert width[1] < 0.5 * width[0]
    assert arrays["effective"][0] < arrays["effective"][1] <= 200
    assert found.values["is_bound"] == int(name != "rbm")


def test_bars_and_stripes_are_written_down_as_they_come() -> None:
    """Nine pixels and a few hidden units: F(v) of all pictures from a table of all states."""
    data = build_dataset("bars_and_stripes", n_samples=50)
    model = build_model("rbm", event_shape=data.event_shape, seed=1, hidden_units=7, levels=2)
    (found,) = probes()["boltzmann_log_z"].ask(View(model.eval(), data, 0), {"rungs": ()})
    arrays = found.numpy()
    assert arrays["table"].shape == (2**9, 2**7)
    assert arrays["formula"] == pytest.approx(arrays["free"])


def test_beyond_counting_the_interval_carries_over() -> None:
    model = build_model("rbm", event_shape=(1, 8, 8), seed=1, hidden_units=30, levels=2).eval()
    data = build_dataset("digits", levels=2, n_samples=60)
    pieces = list(
        probes()["boltzmann_log_z"].ask(View(model, data, 0), {"rungs": (20,), "n_data": 40})
    )
    assert "train_value" not in pieces[0].values, "nothing is said before log Z is known"
    shares = [piece.values["share"] for piece in pieces]
    assert shares == sorted(shares, key=float)
    values = pieces[-1].values
    assert (values["exact"], values["kind"]) == (None, "ais")
    width = values["log_z_high"] - values["log_z_low"]  # type: ignore[operator]
    assert width > 0
    assert values["test_high"] - values["test_low"] == pytest.approx(width)  # type: ignore[operator]
    assert "table" not in pieces[-1].arrays
    assert values["too_many"] == 64 + 30


def test_mean_field_settles_under_the_exact_value() -> None:
    model = model_of("dbm", (4, 3), scale=1.0)
    assert isinstance(model, DBM)
    picture = DATA.test[3].numpy()
    found = ask("mean_field", model, picture=picture, n_sweeps=25, n_data=5)
    arrays, values = found.numpy(), found.values
    bound = arrays["bound"]
    assert (bound[1:] >= bound[:-1] - 1e-5).all()
    w1, w2, b, c1, c2 = (model.get_parameter(n).double() for n in ("W1", "W2", "b", "c1", "c2"))
    v, h1, h2 = torch.from_numpy(picture).double().reshape(1, V), states(4), states(3)
    each = v @ b + (v @ w1) @ h1.t() + (h1 @ c1)
    whole = each[0][:, None] + h1 @ w2 @ h2.t() + h2 @ c2
    exact = float(torch.logsumexp(whole.flatten(), 0))
    assert values["exact"] == pytest.approx(exact, abs=1e-5)
    assert bound[-1] < exact
    mu1, mu2 = (torch.from_numpy(arrays[n][-1]).double() for n in ("mu_1", "mu_2"))
    settled = torch.sigmoid(c1 + v[0] @ w1 + mu2 @ w2.t())
    assert mu1.numpy() == pytest.approx(settled.numpy(), abs=1e-3)
    assert mu2.numpy() == pytest.approx(torch.sigmoid(c2 + mu1 @ w2).numpy(), abs=1e-3)
    change = abs(arrays["mu_1"][1:] - arrays["mu_1"][:-1]).max(1)
    assert arrays["change"][:, 0] == pytest.approx(change)
    own = [float(model.unnormalised_bound(DATA.test[:6].float(), n_steps=25)[3])]
    assert bound[-1] == pytest.approx(own[0], abs=1e-4)


def test_what_cannot_be_asked() -> None:
    for name, model, wanted, words in (
        ("mean_field", model_of("rbm", H), {}, "no layers that settle"),
        ("mean_field", model_of("dbm", (3, 2)), {"n_sweeps": 0}, "n_sweeps: given 0"),
        ("boltzmann_log_z", model_of("rbm", H), {"n_chains": 0}, "n_chains: given 0"),
        ("boltzmann_log_z", model_of("rbm", H), {"rungs": (0,)}, "rungs: given 0"),
    ):
        with pytest.raises(ValueError, match=words):
            ask(name, model, **wanted)
