"""The Transformer and the recurrent model: causality, mass, cached sampling, classes, resuming."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.nets.orders import ORDER_NAMES
from engine.nets.outputs import level_probs
from engine.nets.sequence_model import SequenceModel
from engine.nets.stepwise import last_of, naive_steps
from engine.registry import build_model

MODELS = ("transformer", "rnn")
SMALL: dict[str, dict[str, Any]] = {
    "transformer": {"n_layers": 2, "width": 12, "n_heads": 3},
    "rnn": {"n_layers": 2, "width": 9},
}


def build(name: str, shape: tuple[int, ...], seed: int = 0, **config: Any) -> SequenceModel:
    """A rough model in float64: enlarged weights, so that dependences are strong."""
    model = build_model(name, event_shape=shape, seed=seed, **{**SMALL[name], **config})
    assert isinstance(model, SequenceModel)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_((0.5 if parameter.dim() > 1 else 0.2) * noise)
    return model.double().eval()


def some(model: SequenceModel, n: int = 5, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (n, *model.event_shape)
    if model.config.levels is None:
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.randint(model.config.levels, shape, generator=generator).double()


def uniform(model: SequenceModel, n: int = 5, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, model.event_size, generator=generator, dtype=torch.float64)


def every_state(model: SequenceModel) -> Tensor:
    grids = [torch.arange(model.config.levels)] * model.event_size
    return torch.cartesian_prod(*grids).reshape(-1, *model.event_shape).double()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("order", "shape", "levels"),
    [(order, (3, 2, 2), 4) for order in ORDER_NAMES]
    + [("raster", (1, 3, 3), 2), ("spiral", (3, 3), 2), ("raster", (6,), 5)],
)
def test_exactly_the_earlier_values_are_seen(
    name: str, order: str, shape: tuple[int, ...], levels: int
) -> None:
    model = build(name, shape, order=order, levels=levels)
    x = some(model, 3).requires_grad_()
    weights = torch.randn(levels, generator=torch.Generator().manual_seed(4)).double()
    scores = level_probs(model.conditionals(x)) @ weights
    rank = torch.argsort(model.order)
    for i in range(model.event_size):
        (slope,) = torch.autograd.grad(
            scores[:, i].sum(), x, retain_graph=True, materialize_grads=True
        )
        seen = slope.reshape(3, -1).abs().amax(0) > 0
        assert torch.equal(seen, rank < rank[i]), f"{order}: value {i}"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("shape", "levels", "config"),
    [
        ((1, 3, 3), 2, {}),
        ((12,), 2, {"codes": "sinusoidal", "order": "reversed"}),
        ((6,), 3, {"codes": "none"}),
        ((2, 3), 3, {"order": "spiral", "output": "logistic_mixture"}),
        ((3, 1, 2), 3, {"codes": "learned", "order": "random", "output": "gaussian"}),
        ((1, 2, 3), 2, {"class_conditional": True, "n_classes": 3, "order": "column"}),
    ],
)
def test_the_mass_of_all_states_is_one(
    name: str, shape: tuple[int, ...], levels: int, config: dict[str, Any]
) -> None:
    model = build(name, shape, levels=levels, **config)
    every = every_state(model)
    with torch.no_grad():
        log_p = model.log_prob(every)
        assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-10)
        parts = model.conditionals(every).log_prob(every.flatten(1)).sum(-1)
        assert torch.allclose(parts, log_p, atol=1e-10)
        if model.uses_labels:
            given = torch.stack(
                [model.log_prob(every, context=torch.tensor([c])) for c in (0, 1, 2)]
            )
            assert torch.allclose(given.exp().sum(1), torch.ones(3).double(), atol=1e-10)
            assert torch.allclose(given.exp().mean(0), log_p.exp(), atol=1e-12)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"order": "random"},
    {"order": "column", "codes": "sinusoidal"},
    {"class_conditional": True, "n_classes": 3},
    {"output": "logistic_mixture", "n_components": 2},
    {"levels": None},
    {"levels": None, "class_conditional": True, "n_classes": 3},
]


def masks(model: SequenceModel) -> dict[str, Tensor | None]:
    size = model.event_size
    first = torch.zeros(size, dtype=torch.bool)
    first[model.order[: size // 2]] = True
    late = torch.zeros(size, dtype=torch.bool)
    late[model.order[size // 3 : size // 2]] = True
    late[model.order[-1]] = True
    found = {"first": first, "late": late, "all": torch.ones(size, dtype=torch.bool)}
    every = {name: mask.reshape(model.event_shape) for name, mask in found.items()}
    return {"none": None, **every}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("config", SETTINGS, ids=str)
def test_cached_is_naive(name: str, config: dict[str, Any]) -> None:
    model = build(name, (1, 4, 3), **{"levels": 4, **config})
    noise, known = uniform(model), some(model, seed=7)
    for mask in masks(model).values():
        given = {} if mask is None else {"known": known, "mask": mask}
        sharp = {"temperature": 0.7} | ({"top_p": 0.8} if model.family.discrete else {})
        for tempers in ({}, sharp):
            same_draws(model, noise, {**given, **tempers})
    labels = torch.tensor([2, 0, 1, 1, 0])
    if model.uses_labels:
        same_draws(model, noise, {"context": labels})


def same_draws(model: SequenceModel, noise: Tensor, settings: dict[str, Any]) -> None:
    naive = list(naive_steps(model, noise, **settings))
    cached = list(model.sample_steps(noise, **settings))
    assert [step.index for step in cached] == model.order.tolist()
    for ours, wanted in zip(cached, naive, strict=True):
        if model.family.discrete:
            assert torch.equal(ours.x, wanted.x)
            p, q = level_probs(ours.conditional), level_probs(wanted.conditional)
            assert float((p - q).abs().max()) < 1e-12
        else:
            assert torch.allclose(ours.x, wanted.x, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("labels", [False, True])
def test_a_sample_goes_on_from_any_place(name: str, labels: bool) -> None:
    model = build(name, (1, 3, 4), levels=5, class_conditional=labels, n_classes=3)
    noise, known = uniform(model), some(model, seed=7)
    mask = masks(model)["late"]
    for given in ({}, {"known": known, "mask": mask}):
        whole = list(model.sample_steps(noise, **given))
        for place in (0, 1, 4, 5, 10):
            rest = list(model.sample_steps(noise, state=whole[place].state, **given))
            assert [step.index for step in rest] == [s.index for s in whole[place + 1 :]]
            for ours, wanted in zip(rest, whole[place + 1 :], strict=True):
                assert torch.equal(ours.x, wanted.x)
                p, q = level_probs(ours.conditional), level_probs(wanted.conditional)
                assert float((p - q).abs().max()) < 1e-12
        # Going on elsewhere has not disturbed what was kept.
        again = list(model.sample_steps(noise, state=whole[2].state, **given))
        assert torch.equal(again[-1].x, whole[-1].x)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("changed", [1, 5])
def test_a_changed_value_is_read_anew(name: str, labels: bool, changed: int) -> None:
    model = build(name, (1, 3, 4), levels=5, class_conditional=labels, n_classes=3)
    noise = uniform(model)
    state = list(model.sample_steps(noise))[5].state
    flat = state.x.flatten(1).clone()
    index = int(model.order[changed])
    flat[:, index] = (flat[:, index] + 2) % 5
    other = flat.view(state.x.shape)
    mask = torch.zeros(12, dtype=torch.bool)
    mask[model.order[:6]] = True
    wanted = last_of(naive_steps(model, noise, known=other, mask=mask.view(1, 3, 4)))
    ours = list(model.sample_steps(noise, state=dataclasses.replace(state, x=other)))
    assert torch.equal(ours[-1].x, wanted)
    assert not torch.equal(ours[-1].x, last_of(model.sample_steps(noise)))


@pytest.mark.parametrize("name", MODELS)
def test_samples_have_the_probabilities_of_the_model(name: str) -> None:
    model = build(name, (5,), levels=2, class_conditional=True, n_classes=2)
    every = every_state(model)
    with torch.no_grad():
        p = model.log_prob(every).exp()
    drawn = model.sample(4000, generator=torch.Generator().manual_seed(0)).long()
    counts = torch.bincount(drawn @ torch.tensor([16, 8, 4, 2, 1]), minlength=32)
    chi2 = float((((counts - 4000 * p) ** 2) / (4000 * p))[p > 1e-3].sum())
    assert chi2 < 62.0  # 31 degrees of freedom: beyond 1 in 1000


@pytest.mark.parametrize("name", MODELS)
def test_many_samples_are_drawn_in_turns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(name, (6,), levels=3, class_conditional=True, n_classes=2)
    whole = model.sample(7, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr("engine.nets.sequence_model.MEMORY_CAP", 16 * model.memory_of_one())
    assert torch.equal(model.sample(7, generator=torch.Generator().manual_seed(3)), whole)
    assert model.sample(0, generator=torch.Generator()).shape == (0, 6)


@pytest.mark.parametrize("name", MODELS)
def test_a_density_of_real_values_is_that_of_the_data_units(name: str) -> None:
    model = build(name, (1,), levels=None, n_components=3)
    data = 40.0 + 7.0 * torch.randn(200, 1, generator=torch.Generator().manual_seed(0)).double()
    model.prepare(data, generator=torch.Generator())
    line = torch.linspace(-1500.0, 1500.0, 60_001, dtype=torch.float64)
    with torch.no_grad():
        p = model.log_prob(line[:, None]).exp()
        losses = model.loss(data, generator=torch.Generator())
        wanted = -float(model.log_prob(data).mean())
    assert float(torch.trapezoid(p, line)) == pytest.approx(1.0, abs=1e-6)
    assert float(losses["nll"]) == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_what_does_not_fit_is_refused(name: str) -> None:
    model = build(name, (6,), levels=3, class_conditional=True, n_classes=2)
    noise = uniform(model)
    with pytest.raises(ValueError, match="wanted whole numbers from 0 to 2"):
        model.log_prob(torch.full((1, 6), 3.0))
    with pytest.raises(ValueError, match="wanted 0 … 1"):
        model.log_prob(some(model), context=torch.full((5,), 2))
    with pytest.raises(ValueError, match="given no labels"):
        model.loss(some(model), generator=torch.Generator())
    with pytest.raises(ValueError, match="wanted the state of an earlier step"):
        model.sample_steps(noise, state="elsewhere")
    state = next(iter(model.sample_steps(noise))).state
    with pytest.raises(ValueError, match="state: given one of 5 samples"):
        model.sample_steps(noise[:2], state=state)
    with pytest.raises(ValueError, match="no most probable levels"):
        build(name, (6,), levels=None).sample_steps(noise, top_p=0.5)
    with pytest.raises(ValueError, match="n_classes: given 0"):
        build(name, (6,), class_conditional=True, n_classes=0)


@pytest.mark.parametrize("name", MODELS)
def test_a_random_order_is_seeded_and_saved(name: str) -> None:
    first, second = (build(name, (1, 3, 3), seed, order="random") for seed in (1, 2))
    assert not torch.equal(first.order, second.order)
    x = some(first)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.order, second.order)
    assert torch.equal(first.log_prob(x), second.log_prob(x))
