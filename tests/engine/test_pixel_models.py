"""Every model that paints in raster order: causality, mass, cached sampling, labels."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from engine.nets.masked_conv import MaskedConv2d, colour_groups
from engine.nets.pixel_model import PaintState, PixelModel, raster_order
from engine.nets.stepwise import last_of, naive_steps
from engine.registry import build_model
from tests.engine.painters import (
    LABELLED,
    SMALL,
    build,
    labels_for,
    noise_for,
    pictures,
    same_steps,
)

#: Event shape and settings: one colour, several levels, colours, mixtures, real values.
CASES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 5, 4), {"levels": 2}),
    ((1, 4, 5), {"levels": 5}),
    ((3, 3, 4), {"levels": 4}),
    ((3, 3, 2), {"levels": 256, "output": "logistic_mixture"}),
    ((1, 4, 4), {"levels": None, "output": "logistic_mixture"}),
    ((6,), {"levels": 3}),
]
MODELS = pytest.mark.parametrize("name", list(SMALL))
EVERY = pytest.mark.parametrize(
    ("shape", "settings"), CASES, ids=[f"{'x'.join(map(str, s))}-{v['levels']}" for s, v in CASES]
)


def jacobian(model: PixelModel, x: Tensor) -> Tensor:
    """(D, D): largest abs derivative of the parameters of conditional i by value j."""
    x = x.clone().requires_grad_()
    params = model._by_value(model.params(model.inputs(x), labels_for(model, len(x))))
    rows = []
    for i in range(model.event_size):
        total = torch.zeros(model.event_size, dtype=x.dtype)
        for p in range(params.shape[-1]):
            (grad,) = torch.autograd.grad(params[:, i, p].sum(), x, retain_graph=True)
            total = torch.maximum(total, grad.abs().amax(0).flatten())
        rows.append(total)
    return torch.stack(rows)


@MODELS
@EVERY
def test_no_parameter_depends_on_its_own_value_or_a_later_one(
    name: str, shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    settings = {**settings, "levels": min(settings["levels"] or 2, 4)}
    model = build(name, shape, **settings)
    depends = jacobian(model, pictures(model, 3)) > 0
    ranks = torch.argsort(model.order)
    later = ranks[None, :] >= ranks[:, None]
    assert not bool((depends & later).any())
    assert int(depends.sum()) > model.event_size


@MODELS
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 3, 4), {"levels": 2}),
        ((3, 2, 2), {"levels": 2}),
        ((1, 2, 3), {"levels": 3}),
        ((3, 1, 2), {"levels": 4, "output": "logistic_mixture"}),
        ((1, 2, 2), {"levels": 5, "output": "gaussian"}),
    ],
)
def test_the_probabilities_of_all_pictures_sum_to_one(
    name: str, shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    model = build(name, shape, **settings)
    states = itertools.product(range(settings["levels"]), repeat=model.event_size)
    x = torch.tensor(list(states), dtype=torch.float64).view(-1, *shape)
    log_p = model.log_prob(x).detach()
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-10)
    assert float(log_p.exp().max()) > 1.5 * float(log_p.exp().mean())


@MODELS
@EVERY
def test_cached_sampling_is_the_naive_one(
    name: str, shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    model = build(name, shape, **settings)
    noise = noise_for(model, 5)
    given, wanted = list(model.sample_steps(noise)), list(naive_steps(model, noise))
    # Real draws carry their own rounding on, level draws are whole.
    assert same_steps(given, wanted) < (1e-12 if settings["levels"] else 1e-10)
    if settings["levels"] is None:
        assert torch.allclose(given[-1].x, wanted[-1].x, atol=1e-10)
    else:
        assert all(torch.equal(a.x, b.x) for a, b in zip(given, wanted, strict=True))
    assert given[-1].x.std() > 0


@MODELS
@pytest.mark.parametrize("n", [1, 9])
def test_one_picture_is_painted_as_many_are(name: str, n: int) -> None:
    model = build(name, (3, 3, 4), levels=4)
    noise = noise_for(model, n)
    given, wanted = list(model.sample_steps(noise)), list(naive_steps(model, noise))
    assert same_steps(given, wanted) < 1e-12
    assert torch.equal(given[-1].x, wanted[-1].x)


@MODELS
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 3)])
def test_kept_values_temperature_and_top_p_are_those_of_the_naive_sampler(
    name: str, shape: tuple[int, ...]
) -> None:
    model = build(name, shape, levels=4)
    known = pictures(model, 5)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.5
    options: dict[str, Any] = {"known": known, "mask": mask, "temperature": 1.4, "top_p": 0.8}
    noise = noise_for(model, 5)
    given = list(model.sample_steps(noise, **options))
    wanted = list(naive_steps(model, noise, **options))
    assert same_steps(given, wanted) < 1e-12
    assert torch.equal(given[-1].x, wanted[-1].x)
    assert torch.equal(given[-1].x[:, mask], known[:, mask])
    assert not torch.equal(given[-1].x, last_of(model.sample_steps(noise)))


@MODELS
@pytest.mark.parametrize("shape", [(1, 4, 3), (3, 2, 3)])
def test_a_sample_goes_on_from_any_step(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, shape, levels=3)
    noise = noise_for(model, 4)
    steps = list(model.sample_steps(noise))
    for place in range(model.event_size - 1):
        rest = list(model.sample_steps(noise, state=steps[place].state))
        assert same_steps(rest, steps[place + 1 :]) < 1e-12
        assert torch.equal(rest[-1].x, steps[-1].x)


@MODELS
def test_a_changed_value_moves_only_what_comes_after(name: str) -> None:
    model = build(name, (1, 4, 4), levels=4)
    steps = list(model.sample_steps(noise_for(model, 1)))
    state, chosen = cast(PaintState, steps[5].state), int(model.order[5])
    before, following = model.order[:6], int(model.order[6])
    changed = state.x.clone()
    changed.view(1, -1)[:, chosen] = (changed.view(1, -1)[:, chosen] + 2) % 4
    state = PaintState(state.place, changed)
    futures = last_of(model.sample_steps(noise_for(model, 3), state=state)).flatten(1)
    assert torch.equal(futures[:, before], changed.flatten(1)[:, before].expand(3, 6))
    assert bool((futures[0] != futures[1]).any())
    whole = model.conditionals(futures.view(3, 1, 4, 4)).log_prob(futures)
    first = next(iter(model.sample_steps(noise_for(model, 3), state=state)))
    assert first.index == following
    given = first.conditional.log_prob(futures[:, following])
    assert torch.allclose(given, whole[:, following], atol=1e-12)


@MODELS
def test_draws_are_the_steps_of_their_noise(name: str) -> None:
    model = build(name, (1, 3, 4), levels=3)
    drawn = model.sample(6, generator=torch.Generator().manual_seed(5))
    again = torch.Generator().manual_seed(5)
    noise = torch.rand(6, 12, generator=again, dtype=torch.float64)
    assert torch.equal(drawn, last_of(model.sample_steps(noise)))


@MODELS
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": 0.0}, "temperature: given 0"),
        ({"top_p": 1.5}, "top_p: given 1.5"),
        ({"known": torch.zeros(1, 3, 3)}, "known without mask"),
        ({"state": 7}, "wanted the state of an earlier step"),
        ({"state": PaintState(2, torch.zeros(4, 1, 3, 3))}, r"wanted \(2, 1, 3, 3\)"),
    ],
)
def test_what_cannot_be_painted_is_refused(
    name: str, settings: dict[str, Any], sentence: str
) -> None:
    model = build(name, (1, 3, 3))
    with pytest.raises(ValueError, match=sentence):
        model.sample_steps(noise_for(model, 2), **settings)


@MODELS
def test_values_that_are_no_levels_are_refused(name: str) -> None:
    model = build(name, (1, 3, 3), levels=4)
    with pytest.raises(ValueError, match="wanted whole numbers from 0 to 3"):
        model.log_prob(torch.full((1, 1, 3, 3), 4.0))
    with pytest.raises(ValueError, match="wanted whole numbers from 0 to 3"):
        model.log_prob(torch.full((1, 1, 3, 3), 0.5))


# --- labels -----------------------------------------------------------------------------------

CONDITIONAL = pytest.mark.parametrize("name", list(LABELLED))


@CONDITIONAL
def test_a_label_moves_every_conditional_and_is_cached(name: str) -> None:
    model = build(name, (1, 4, 4), levels=3, class_conditional=True, n_classes=3)
    noise, labels = noise_for(model, 3), torch.tensor([0, 1, 2])
    given = list(model.sample_steps(noise, context=labels))
    wanted = list(naive_steps(model, noise, context=labels))
    assert same_steps(given, wanted) < 1e-12
    x = pictures(model, 1).expand(3, -1, -1, -1)
    log_p = model.conditionals(x, context=labels).log_prob(x.flatten(1))
    assert bool(((log_p[0] - log_p[1]).abs() > 1e-6).all())


@CONDITIONAL
def test_without_a_label_classes_are_drawn_evenly(name: str) -> None:
    model = build(name, (1, 2, 3), levels=2, class_conditional=True, n_classes=4)
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64)
    x = states.view(-1, 1, 2, 3)
    each = [model.log_prob(x, context=torch.full((64,), c)).exp() for c in range(4)]
    assert torch.allclose(model.log_prob(x).exp(), torch.stack(each).mean(0))
    drawn = model.sample(4000, generator=torch.Generator().manual_seed(0))
    shares = drawn.flatten(1).mean(0)
    wanted = (model.log_prob(x).exp()[:, None] * states).sum(0)
    assert torch.allclose(shares, wanted, atol=6 * 0.5 / 4000**0.5)


@CONDITIONAL
@pytest.mark.parametrize("settings", [{"levels": 3}, {"levels": 2}, {"levels": None}])
def test_without_a_label_conditionals_multiply_to_the_mixture(
    name: str, settings: dict[str, Any]
) -> None:
    model = build(name, (1, 3, 3), class_conditional=True, n_classes=3, **settings)
    x = pictures(model, 5)
    parts = model.conditionals(x).log_prob(x.flatten(1))
    assert torch.allclose(parts.sum(-1), model.log_prob(x), atol=1e-10)
    noise = noise_for(model, 4)
    given, wanted = list(model.sample_steps(noise)), list(naive_steps(model, noise))
    assert same_steps(given, wanted) < 1e-10
    assert torch.allclose(given[-1].x, wanted[-1].x, atol=1e-9)
    rest = list(model.sample_steps(noise, state=given[4].state))
    assert same_steps(rest, given[5:]) < 1e-10


@CONDITIONAL
def test_labels_that_do_not_fit_are_refused(name: str) -> None:
    model = build(name, (1, 3, 3), class_conditional=True, n_classes=3)
    x = pictures(model, 2)
    with pytest.raises(ValueError, match=r"wanted 0 … 2"):
        model.log_prob(x, context=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"wanted 0 … 2"):
        model.conditionals(x, context=torch.tensor([-1, 0]))
    with pytest.raises(ValueError, match="n_classes"):
        build(name, (1, 3, 3), class_conditional=True, n_classes=0)


@CONDITIONAL
def test_the_probabilities_given_a_class_sum_to_one(name: str) -> None:
    model = build(name, (1, 2, 3), levels=3, class_conditional=True, n_classes=2)
    states = itertools.product(range(3), repeat=6)
    x = torch.tensor(list(states), dtype=torch.float64).view(-1, 1, 2, 3)
    each = [model.log_prob(x, context=torch.full((len(x),), c)).detach() for c in range(2)]
    for log_p in (*each, model.log_prob(x).detach()):
        assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-10)
    assert float((each[0] - each[1]).abs().max()) > 0.1


@pytest.mark.parametrize("name", ["fvsbn", "nade", "made"])
def test_a_class_is_learnt_from_labels(name: str) -> None:
    model = build_model(
        name, event_shape=(1, 2, 2), seed=0, levels=2, class_conditional=True, n_classes=2,
        **LABELLED[name],
    )  # fmt: skip
    labels = torch.arange(8) % 2
    x = labels.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)  # class 0 is black, class 1 white
    adam = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(40):
        adam.zero_grad()
        noise = torch.Generator().manual_seed(step)
        model.loss(x, context=labels, generator=noise)["total"].backward()
        adam.step()
    with torch.no_grad():
        # Without the class the best is log 1/2.
        assert float(model.log_prob(x, context=labels).min()) > -0.4
        assert float(model.log_prob(x).max()) < -0.69


# --- masks ------------------------------------------------------------------------------------


def test_colours_follow_each_other_in_the_order() -> None:
    assert raster_order((3, 1, 2)).tolist() == [0, 2, 4, 1, 3, 5]
    assert raster_order((1, 2, 2)).tolist() == [0, 1, 2, 3]


def test_masks_let_colours_through_in_order() -> None:
    groups = colour_groups(3, 3)
    for kind, through in (("A", torch.ones(3, 3).tril(-1)), ("B", torch.ones(3, 3).tril())):
        conv = MaskedConv2d(groups, groups, 3, kind)
        assert torch.equal(conv.mask[:, :, 1, 1], through)
        assert bool((conv.mask[:, :, 0] == 1).all())
        assert bool((conv.mask[:, :, 1, 0] == 1).all())
        assert bool((conv.mask[:, :, 1, 2] == 0).all())


def test_masks_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted one of A, B"):
        MaskedConv2d(torch.arange(1), torch.arange(1), 3, "C")
    with pytest.raises(ValueError, match="wanted an odd whole number"):
        MaskedConv2d(torch.arange(1), torch.arange(1), 4, "A")
    with pytest.raises(ValueError, match="at least 3"):
        colour_groups(2, 3)
