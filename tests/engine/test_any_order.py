"""FVSBN, NADE and MADE on levels: their equations, every order, known sets, and their mixture."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.joint_table import all_states
from engine.estimators.orders import ensemble_log_prob, members_of
from engine.models.autoregressive.fvsbn import FVSBN
from engine.models.autoregressive.made import MADE
from engine.models.autoregressive.nade import NADE
from engine.nets.masked import MaskedMLP, layer_degrees, random_degrees
from engine.nets.orders import ORDER_NAMES, check_order, named_order
from engine.nets.outputs import level_log_probs, level_probs, scale_levels
from engine.nets.stepwise import known_first, last_of, naive_steps
from engine.probe import View
from engine.registry import build_dataset, build_model, probes
from engine.training import Trainer

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("fvsbn", {}),
    ("nade", {"hidden_features": (7,), "activation": "sigmoid"}),
    ("nade", {"hidden_features": (9, 8), "order_agnostic": True, "activation": "tanh"}),
    ("made", {"hidden_features": (20, 18)}),
]
IDS = ["fvsbn", "nade", "deep_eonade", "made"]


def build(name: str, shape: tuple[int, ...], levels: int | None, **config: Any) -> Any:
    """A rough model: its weights are enlarged, so that dependences are strong."""
    model = build_model(name, event_shape=shape, seed=2, levels=levels, **config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0).add_(0.1 * torch.randn(parameter.shape, generator=seeded(1)))
    return model.requires_grad_(False).eval()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def events(shape: tuple[int, ...], levels: int, n: int = 5) -> Tensor:
    return torch.randint(levels, (n, *shape), generator=seeded(3)).double()


def total(model: Any, levels: int) -> float:
    states = all_states(levels, model.event_size).double()
    return float(model.log_prob(states.view(-1, *model.event_shape)).exp().sum())


# --- what every one of them must keep ---------------------------------------------------------


@pytest.mark.parametrize(("name", "config"), KINDS, ids=IDS)
@pytest.mark.parametrize(
    ("shape", "levels", "output"),
    [
        ((1, 3, 4), 2, "categorical"),
        ((6,), 3, "categorical"),
        ((3, 1, 2), 4, "logistic_mixture"),
        ((2, 2), 5, "gaussian"),
    ],
)
def test_all_states_sum_to_one(
    name: str, config: dict[str, Any], shape: tuple[int, ...], levels: int, output: str
) -> None:
    for order in ("raster", "random"):
        model = build(name, shape, levels, output=output, order=order, **config)
        assert total(model, levels) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("name", "config"), KINDS, ids=IDS)
@pytest.mark.parametrize("order", ORDER_NAMES)
def test_conditionals_see_exactly_the_earlier_values(
    name: str, config: dict[str, Any], order: str
) -> None:
    model = build(name, (2, 3, 3), 4, order=order, **config)
    x = events((2, 3, 3), 4, 2).requires_grad_()
    logits = level_log_probs(model.conditionals(x))
    places = torch.argsort(model.order)
    for i in range(18):
        seen = torch.zeros(18)
        for level in range(4):
            (gradient,) = torch.autograd.grad(
                logits[:, i, level].sum(), x, retain_graph=True, materialize_grads=True
            )
            seen += gradient.abs().sum(0).reshape(-1)
        earlier = places < places[i]
        assert bool((seen[~earlier] == 0).all())
        if name != "made":  # few hidden units of a MADE leave some paths out
            assert bool((seen[earlier] > 0).all())


@pytest.mark.parametrize(("name", "config"), KINDS, ids=IDS)
@pytest.mark.parametrize("levels", [2, 17, None])
def test_cached_sampling_is_the_naive_one(
    name: str, config: dict[str, Any], levels: int | None
) -> None:
    model = build(name, (1, 4, 4), levels, order="spiral", **config)
    noise = torch.rand(6, 16, generator=seeded(5), dtype=torch.float64)
    known = torch.ones(1, 4, 4, dtype=torch.float64)
    mask = torch.rand(1, 4, 4, generator=seeded(6)) < 0.3
    settings = {"known": known, "mask": mask, "temperature": 1.3}
    for given in ({}, settings if levels is None else settings | {"top_p": 0.9}):
        naive = list(naive_steps(model, noise, **given))
        cached = list(model.sample_steps(noise, **given))
        x = naive[-1].x
        assert torch.allclose(cached[-1].x, x, atol=1e-9)
        if levels is None:
            continue
        assert torch.equal(cached[-1].x, x)
        for one, other in zip(cached, naive, strict=True):
            assert torch.allclose(
                level_probs(one.conditional), level_probs(other.conditional), atol=1e-12
            )


# --- each one's own equation ------------------------------------------------------------------


def test_fvsbn_is_its_equation() -> None:
    model = build("fvsbn", (5,), 2, order="reversed")
    assert isinstance(model, FVSBN)
    x = events((5,), 2)
    u = scale_levels(x, 2)
    found = model.conditionals(x).logits
    for i in range(5):
        wanted = model.b[i, 0] + sum(model.W[i, 0, j] * u[:, j] for j in range(i + 1, 5))
        assert torch.allclose(found[:, i], wanted, atol=1e-12)


@pytest.mark.parametrize("order_agnostic", [False, True])
def test_nade_is_its_equation(order_agnostic: bool) -> None:
    model = build(
        "nade",
        (20,),  # longer than one run, so that the sums carry over
        2,
        order="random",
        hidden_features=(6,),
        activation="sigmoid",
        order_agnostic=order_agnostic,
    )
    x = events((20,), 2)
    u = scale_levels(x, 2)
    found, order = model.conditionals(x).logits, model.order.tolist()
    for place, i in enumerate(order):
        a = model.c.expand(5, -1).clone()
        for j in order[:place]:
            a += u[:, j, None] * model.W[:, j]
            if order_agnostic:
                a += model.U[:, j]
        wanted = torch.sigmoid(a) @ model.V[i, 0] + model.b[i, 0]
        assert torch.allclose(found[:, i], wanted, atol=1e-12)


@pytest.mark.parametrize("levels", [3, None])
def test_order_agnostic_loss_is_the_mean_over_all_orders(levels: int | None) -> None:
    model = build("nade", (4,), levels, order_agnostic=True, hidden_features=(8,))
    assert isinstance(model, NADE)
    if levels is None:
        model.scale.mul_(3.0)
    x = events((4,), 3, 2)
    orders = list(itertools.permutations(range(4)))
    exact = -torch.stack([model.with_order(torch.tensor(o)).log_prob(x) for o in orders]).mean()
    one = torch.stack([model.loss(x, generator=seeded(s))["total"] for s in range(2000)])
    error = float(one.std()) / 2000**0.5
    assert abs(float(one.mean()) - float(exact)) < 4.5 * error
    # The same sum set by set, with no chance in it.
    u, sets = model.inputs(x).flatten(1), [*itertools.product([False, True], repeat=4)][:-1]
    target = u if levels is None else x
    summed = torch.zeros(2, dtype=torch.float64)
    for known in sets:
        mask = torch.tensor(known).expand(2, -1)
        log_p = model.family.log_prob(model.given(u, mask), target).masked_fill(mask, 0.0)
        n = sum(known)
        summed -= log_p.sum(1) / (4 - n) / math.comb(4, n)
    constant = -float(model.standardise_log_det) if levels is None else 0.0
    assert float(summed.mean()) + constant == pytest.approx(float(exact), abs=1e-10)


@pytest.mark.parametrize("name", ["nade", "made"])
def test_an_order_agnostic_model_given_classes(name: str) -> None:
    data = build_dataset("digits", levels=2)
    model = build_model(
        name, event_shape=(1, 8, 8), dataset=data, seed=0, hidden_features=(32,),
        order_agnostic=True, class_conditional=True,
    )  # fmt: skip
    trainer = Trainer(model, data, batch_size=64, learning_rate=2e-2, seed=0, device="cpu")
    for _ in range(80):
        trainer.step()
    x, labels = as_float(data.test[:100]), data.test_labels[:100]
    view = model.with_order(named_order("column", (1, 8, 8)))
    with torch.no_grad():
        right = view.log_prob(x, context=labels).mean()
        wrong = view.log_prob(x, context=(labels + 1) % 10).mean()
        every = view.log_prob(x).mean()
    assert float(right) > float(wrong) + 1.0
    assert float(wrong) < float(every) < float(right) + math.log(10.0)
    noise = torch.rand(4, 64, generator=seeded(5))
    given = last_of(view.sample_steps(noise, context=labels[:4]))
    assert torch.equal(given, last_of(naive_steps(view, noise, context=labels[:4])))


def test_known_values_first_are_conditioned_on() -> None:
    model = build("nade", (6,), 3, order_agnostic=True, hidden_features=(8,))
    x, mask = events((6,), 3), torch.tensor([False, True, False, False, True, True])
    order = known_first(model.order, mask)
    assert order[:3].tolist() == [1, 4, 5]
    first = int(order[3])
    view = model.with_order(order)
    given = model.given(model.inputs(x).flatten(1), mask.expand(5, -1))
    wanted = model.family.distribution(given).probs[:, first]
    assert torch.allclose(view.conditionals(x).probs[:, first], wanted, atol=1e-12)
    kept = last_of(view.sample_steps(torch.full((5, 6), 0.7).double(), known=x, mask=mask))
    assert torch.equal(kept[:, mask], x[:, mask])
    with pytest.raises(ValueError, match="not built order_agnostic"):
        build("nade", (6,), 3).given(x, mask.expand(5, -1))


# --- views ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nade", "made"])
def test_a_view_shares_its_weights_and_leaves_the_model_alone(name: str) -> None:
    model = build(name, (2, 3), 3, order_agnostic=True)
    x, before = events((2, 3), 3), model.order.clone()
    plain = model.log_prob(x)
    view = model.with_order(torch.tensor([5, 3, 1, 0, 2, 4]))
    assert [p.data_ptr() for p in view.parameters()] == [p.data_ptr() for p in model.parameters()]
    assert view.order.tolist() == [5, 3, 1, 0, 2, 4]
    assert torch.equal(model.order, before)
    assert torch.equal(model.log_prob(x), plain)
    assert not torch.allclose(view.log_prob(x), plain)
    assert torch.allclose(view.with_order(before).log_prob(x), plain, atol=1e-12)
    assert total(view, 3) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="each of 0 … 5 exactly once"):
        model.with_order(torch.tensor([0, 1, 2, 3, 4, 4]))


def test_orders_by_name() -> None:
    assert named_order("column", (2, 3)).tolist() == [0, 3, 1, 4, 2, 5]
    assert named_order("raster", (2, 1, 2)).tolist() == [0, 2, 1, 3]
    assert named_order("spiral", (3, 3)).tolist()[0] == 4
    assert named_order("natural", (2, 1, 2)).tolist() == [0, 1, 2, 3]
    for name in ORDER_NAMES:
        assert len(check_order(named_order(name, (2, 3, 4), seeded(0)), 24)) == 24
    spiral = [divmod(i, 4) for i in named_order("spiral", (3, 4)).tolist()]
    steps = [abs(a - c) + abs(b - d) for (a, b), (c, d) in itertools.pairwise(spiral)]
    assert set(steps) == {1}
    with pytest.raises(ValueError, match="order: given 'zigzag'"):
        named_order("zigzag", (2, 2))


# --- MADE's masks and the mixture of orders ---------------------------------------------------


def made(**config: Any) -> MADE:
    model = build("made", (5,), 2, hidden_features=(24, 24), **config)
    assert isinstance(model, MADE)
    return model


def test_random_degrees_keep_the_rule() -> None:
    for seed in range(20):
        net = MaskedMLP(torch.arange(6), (12, 9), 1, activation="tanh").double()
        degrees = random_degrees(6, (12, 9), seeded(seed))
        assert int(degrees[1].min()) >= int(degrees[0].min())
        order = torch.randperm(6, generator=seeded(seed))
        view = net.under(order, degrees)
        jacobian = torch.autograd.functional.jacobian(view, torch.ones(6).double())[:, 0]
        rank = torch.argsort(order)
        assert not bool((jacobian.abs() > 0)[rank[None, :] >= rank[:, None]].any())
    again = net.under(torch.arange(6))
    x = torch.randn(3, 6, dtype=torch.float64)
    assert torch.equal(again(x), net(x))
    assert [len(d) for d in layer_degrees(torch.arange(6), (12, 9))] == [6, 12, 9]


def test_orders_and_masks_are_drawn_once_and_saved() -> None:
    first = made(n_orders=3, n_masks=2)
    assert first.orders.shape == (3, 5)
    assert len(first.members()) == 6
    state = first.state_dict()
    assert {"_orders", "_degrees"} <= set(state)
    assert not {"_orders", "_degrees"} & set(made().state_dict())
    x = events((5,), 2)
    every = torch.stack([member.log_prob(x) for member in first.members()])
    assert len({tuple(row) for row in every.tolist()}) == 6
    for member in first.members():
        assert total(member, 2) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    "config", [{"order_agnostic": True}, {"n_orders": 4}, {"n_masks": 4}], ids=str
)
def test_training_takes_other_masks_from_the_generator_alone(config: dict[str, Any]) -> None:
    model, x = made(**config), events((5,), 2)
    losses = [float(model.loss(x, generator=seeded(s))["total"]) for s in range(12)]
    assert len(set(losses)) > 1
    assert losses == [float(model.loss(x, generator=seeded(s))["total"]) for s in range(12)]
    plain = made()
    assert len({float(plain.loss(x, generator=seeded(s))["total"]) for s in range(3)}) == 1


def test_mean_probability_is_a_likelihood_and_mean_logit_is_none() -> None:
    model = made(order_agnostic=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
    members = members_of(model, 4, seeded(0))
    states = all_states(2, 5).double()
    mixed = ensemble_log_prob(members, states)
    assert float(mixed.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    each = torch.stack([member.log_prob(states).exp() for member in members]).mean(0)
    assert torch.allclose(mixed.exp(), each, atol=1e-14)
    logits = torch.stack([member.conditionals(states).logits for member in members]).mean(0)
    signs = 2.0 * states - 1.0
    bogus = torch.nn.functional.logsigmoid(signs * logits).sum(1)
    assert abs(float(bogus.exp().sum()) - 1.0) > 0.02
    with pytest.raises(ValueError, match="define no normalised likelihood"):
        ensemble_log_prob(members, states, average="logits")
    with pytest.raises(ValueError, match="one order alone"):
        members_of(made(), 4, seeded(0))
    with pytest.raises(ValueError, match="given none"):
        ensemble_log_prob([], states)
    assert len(members_of(made(n_orders=3), 8, seeded(0))) == 3


def test_the_ensemble_of_orders_on_data() -> None:
    data = build_dataset("digits", levels=2)
    model = build("nade", (1, 8, 8), 2, order_agnostic=True, hidden_features=(8,))
    view = View(model, data, 0)
    (found,) = probes()["order_ensemble"].ask(view, {"n_orders": 3, "n": 40, "split": "valid"})
    assert found.arrays["nlls"].shape == (3,)
    assert float(found.values["nll"]) <= float(found.values["mean_nll"])
    assert float(found.values["mean_nll"]) == pytest.approx(float(found.arrays["nlls"].mean()))
    with pytest.raises(ValueError, match="define no normalised likelihood"):
        list(probes()["order_ensemble"].ask(view, {"average": "logits"}))


# --- training ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "config"), KINDS, ids=IDS)
def test_training_lowers_the_nll(name: str, config: dict[str, Any]) -> None:
    data = build_dataset("digits", levels=2)
    model = build_model(name, event_shape=(1, 8, 8), dataset=data, seed=0, **config)
    trainer = Trainer(model, data, batch_size=64, seed=0, device="cpu")
    first = float(trainer.step()["nll"])
    for _ in range(60):
        last = float(trainer.step()["nll"])
    assert last < 0.9 * first


def test_data_of_other_levels_are_refused() -> None:
    model = build_model("nade", event_shape=(1, 8, 8), levels=2)
    with pytest.raises(ValueError, match="given data with 17 levels, wanted 2 levels"):
        Trainer(model, build_dataset("digits", levels=17), device="cpu")
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        model.log_prob(torch.full((1, 1, 8, 8), 2.0))
    with pytest.raises(ValueError, match="hidden_features: given none"):
        build_model("nade", event_shape=(4,), hidden_features=())
