"""Every model that paints in raster order: causality, mass, cached sampling, what it sees."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from engine.capabilities import Step
from engine.nets.gated_pixels import gate
from engine.nets.masked_conv import MaskedConv2d, colour_groups
from engine.nets.outputs import level_log_probs
from engine.nets.pixel_lstm import DiagonalBiLSTM, skew, unskew
from engine.nets.pixel_model import PaintState, PixelModel, raster_order
from engine.nets.stepwise import last_of, naive_steps
from engine.registry import build_model

#: Small nets, for the settings that each model has.
SMALL: dict[str, dict[str, Any]] = {
    "gated_pixelcnn": {"n_layers": 3, "n_channels": 6},
    "pixelcnn": {"n_layers": 2, "n_channels": 6},
    "row_lstm": {"n_layers": 2, "n_channels": 6},
    "diagonal_bilstm": {"n_layers": 2, "n_channels": 6},
    "multiscale_pixelrnn": {"n_layers": 1, "n_channels": 6, "factor": 2},
}
NAMES = list(SMALL)
#: Event shape and settings: one colour, several levels, colours, mixtures, real values.
CASES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 5, 4), {"levels": 2}),
    ((1, 4, 5), {"levels": 5}),
    ((3, 3, 4), {"levels": 4}),
    ((3, 3, 2), {"levels": 256, "output": "logistic_mixture"}),
    ((1, 4, 4), {"levels": None, "output": "logistic_mixture"}),
    ((6,), {"levels": 3}),
]
#: What a 7 × 7 kernel under mask A sees.
STEP_A = [(-up, right) for up in (1, 2, 3) for right in range(-3, 4)]
STEP_A += [(0, -left) for left in (1, 2, 3)]
MODELS = pytest.mark.parametrize("name", NAMES)
EVERY = pytest.mark.parametrize(
    ("shape", "settings"), CASES, ids=[f"{'x'.join(map(str, s))}-{v['levels']}" for s, v in CASES]
)


def build(name: str, shape: tuple[int, ...], **settings: Any) -> PixelModel:
    """A model in float64 whose conditionals differ much from each other."""
    model = build_model(name, event_shape=shape, seed=4, **{**SMALL[name], **settings})
    assert isinstance(model, PixelModel)
    # Real draws come back as inputs: with wilder weights they run away.
    strength = 0.4 if model.config.levels else 0.1
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(strength * noise)
    return model.double().eval()


def pictures(model: PixelModel, n: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape, levels = (n, *model.event_shape), model.config.levels
    if levels is None:
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.randint(levels, shape, generator=generator).double()


def noise_for(model: PixelModel, n: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, model.event_size, generator=generator, dtype=torch.float64)


def labels_for(model: PixelModel, n: int) -> Tensor | None:
    return torch.arange(n) % model.config.n_classes if model.uses_labels else None


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


def same_steps(given: list[Step], wanted: list[Step]) -> float:
    """The largest difference of two runs' conditionals, whose indices and draws must be equal."""
    assert [step.index for step in given] == [step.index for step in wanted]
    worst = 0.0
    for mine, oracle in zip(given, wanted, strict=True):
        at = torch.randn(len(mine.x), dtype=torch.float64)
        try:
            pair = [level_log_probs(d) for d in (mine.conditional, oracle.conditional)]
        except ValueError:
            pair = [d.log_prob(at) for d in (mine.conditional, oracle.conditional)]
        worst = max(worst, float((pair[0].exp() - pair[1].exp()).abs().max()))
    return worst


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

CONDITIONAL = pytest.mark.parametrize("name", ["gated_pixelcnn"])


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
def test_labels_that_do_not_fit_are_refused(name: str) -> None:
    model = build(name, (1, 3, 3), class_conditional=True, n_classes=3)
    x = pictures(model, 2)
    with pytest.raises(ValueError, match=r"wanted 0 … 2"):
        model.log_prob(x, context=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="given no labels"):
        model.conditionals(x)
    with pytest.raises(ValueError, match="n_classes"):
        build(name, (1, 3, 3), class_conditional=True, n_classes=0)


# --- what a pixel sees ------------------------------------------------------------------------


def field(model: PixelModel, row: int, column: int) -> Tensor:
    """(H, W) bool: where the parameters of one pixel of one colour have a derivative."""
    x = pictures(model, 4).requires_grad_()
    params = model.params(model.inputs(x), labels_for(model, 4))
    (grad,) = torch.autograd.grad(params[:, :, row, column].sum(), x)
    return grad.abs().amax(0)[0] > 0


def earlier(side: int, row: int, column: int) -> Tensor:
    places = torch.arange(side * side).view(side, side)
    return places < row * side + column


@pytest.mark.parametrize(("n_layers", "reach"), [(1, 3), (3, 5), (5, 7)])
def test_gated_pixelcnn_sees_all_in_reach(n_layers: int, reach: int) -> None:
    model = build("gated_pixelcnn", (1, 15, 15), n_layers=n_layers)
    rows, columns = torch.meshgrid(torch.arange(15), torch.arange(15), indexing="ij")
    for row, column in ((9, 7), (14, 2), (0, 4), (7, 12)):
        near = ((rows - row).abs() <= reach) & ((columns - column).abs() <= reach)
        assert torch.equal(field(model, row, column), near & earlier(15, row, column))


@pytest.mark.parametrize("n_layers", [1, 3, 6])
def test_pixelcnn_has_its_blind_spot(n_layers: int) -> None:
    model = build("pixelcnn", (1, 15, 15), n_layers=n_layers)
    for row, column in ((9, 7), (14, 2), (8, 4)):
        seen = field(model, row, column)
        assert torch.equal(seen, plain_field(15, row, column, n_layers))
        blind = earlier(15, row, column) & ~seen
        # One row up only the first kernel reaches to the right, whatever the depth.
        assert bool(blind[row - 1, column + 4 :].all())
        assert not bool(blind[row - 1, max(column - 3, 0) : column + 4].any())


def plain_field(side: int, row: int, column: int, n_layers: int) -> Tensor:
    """The pixels that a walk of one A-step and n B-steps reaches, by walking."""
    step_b = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0)]
    places = {(row, column)}
    for _ in range(n_layers):
        places = inside(side, places, step_b)
    return marked(side, inside(side, places, STEP_A))


@pytest.mark.parametrize("n_layers", [1, 3])
def test_row_lstm_sees_a_triangle(n_layers: int) -> None:
    model = build("row_lstm", (1, 17, 17), n_layers=n_layers, first_kernel=3)
    for row, column in ((14, 8), (9, 15), (5, 3)):
        seen = field(model, row, column)
        assert torch.equal(seen, triangle_field(17, row, column, n_layers))
        assert bool(seen[0].any())
        blind = earlier(17, row, column) & ~seen
        assert bool(blind[row - 1, column + 3 :].all())
        assert bool(blind.any())


def triangle_field(side: int, row: int, column: int, n_layers: int) -> Tensor:
    """Per layer: past it, or up by any number of rows, then one step to the left or none."""
    up = [(-1, -1), (-1, 0), (-1, 1)]
    places = {(row, column)}
    for _ in range(n_layers):
        states = set(places)
        for _ in range(side):
            states |= inside(side, states, up)
        places |= inside(side, states, [(0, -1), (0, 0)])
    step_a = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
    return marked(side, inside(side, places, step_a))


@pytest.mark.parametrize("n_layers", [1, 2])
def test_diagonal_bilstm_sees_everything_before(n_layers: int) -> None:
    model = build("diagonal_bilstm", (1, 12, 9), n_layers=n_layers, first_kernel=3)
    places = torch.arange(12 * 9).view(12, 9)
    # (11, 4) and (1, 0): the last pixel of the row above is out of the first kernel's reach.
    for row, column in ((11, 4), (1, 0), (6, 0), (3, 8), (0, 5)):
        assert torch.equal(field(model, row, column), places < row * 9 + column)


@pytest.mark.parametrize("layer", ["row", "diagonal"])
@pytest.mark.parametrize("factor", [2, 4])
def test_multiscale_paints_the_small_picture_first(layer: str, factor: int) -> None:
    model = build("multiscale_pixelrnn", (1, 8, 8), factor=factor, layer=layer)
    small = torch.zeros(8, 8, dtype=torch.bool)
    small[::factor, ::factor] = True
    n_small = (8 // factor) ** 2
    assert bool(small.flatten()[model.order[:n_small]].all())
    assert not bool(small.flatten()[model.order[n_small:]].any())
    assert model.order[:n_small].tolist() == sorted(model.order[:n_small].tolist())
    assert model.order[n_small:].tolist() == sorted(model.order[n_small:].tolist())
    # Early pixels of the large picture see the whole small one, and of the rest what is before.
    seen = field(model, 0, 1)
    assert bool(seen[small].all())
    assert not bool((seen & ~small & ~earlier(8, 0, 1)).any())
    # A pixel of the small picture knows nothing of the pixels between.
    assert not bool((field(model, factor, factor) & ~small).any())


def test_another_small_picture_gives_another_large_one() -> None:
    model = build("multiscale_pixelrnn", (1, 8, 8), factor=4)
    small = torch.zeros(8, 8, dtype=torch.bool)
    small[::4, ::4] = True
    noise, known = noise_for(model, 64), torch.zeros(64, 1, 8, 8, dtype=torch.float64)
    last = known.clone()
    last[:, 0, 4, 4] = 1.0  # the small picture's last pixel, in the middle of the large one
    first = last_of(model.sample_steps(noise, known=known, mask=small))
    other = last_of(model.sample_steps(noise, known=last, mask=small))
    conditionals = [model.conditionals(x).probs[0] for x in (first, last)]
    assert torch.equal(first[:, :, small], known[:, :, small])
    assert bool((first[:, 0, :4] != other[:, 0, :4]).any())
    assert not torch.equal(conditionals[0][1], conditionals[1][1])


@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 5, 6)])
def test_sides_need_not_be_multiples_of_the_factor(shape: tuple[int, ...]) -> None:
    model = build("multiscale_pixelrnn", shape, factor=4, layer="diagonal")
    noise = noise_for(model, 2)
    given, wanted = list(model.sample_steps(noise)), list(naive_steps(model, noise))
    assert same_steps(given, wanted) < 1e-12
    assert torch.equal(given[-1].x, wanted[-1].x)


def test_skewing_stands_diagonals_up() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    skewed = skew(x)
    assert skewed.shape == (1, 3, 6)
    for row, column in itertools.product(range(3), range(4)):
        assert skewed[0, row, column + row] == x[0, row, column]
    assert torch.equal(unskew(skewed, 4), x)


def test_states_do_not_go_round_the_corner() -> None:
    """The diagonal state of the first column knows nothing of the row above's last one."""
    layer = DiagonalBiLSTM(torch.zeros(8).long(), torch.zeros(4).long()).double()
    x = torch.randn(1, 8, 4, 5, dtype=torch.float64, requires_grad=True)
    memory = layer.states(x, x)
    (grad,) = torch.autograd.grad(memory.h[0, 0, :, 2, 1].sum(), x)
    seen = grad[0].abs().amax(0) > 0
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij")
    assert torch.equal(seen, (rows <= 2) & (columns <= 1))
    (grad,) = torch.autograd.grad(layer.states(x, x).h[1, 0, :, 2, 3].sum(), x)
    assert torch.equal(grad[0].abs().amax(0) > 0, (rows <= 2) & (columns >= 3))


def marked(side: int, places: set[tuple[int, int]]) -> Tensor:
    seen = torch.zeros(side, side, dtype=torch.bool)
    for place in places:
        seen[place] = True
    return seen


def inside(
    side: int, places: set[tuple[int, int]], steps: list[tuple[int, int]]
) -> set[tuple[int, int]]:
    found = {(r + a, k + b) for r, k in places for a, b in steps}
    return {(r, k) for r, k in found if 0 <= r < side and 0 <= k < side}


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


def test_the_gates_own_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    value, door = x.chunk(2, 1)
    assert torch.allclose(gate(x), torch.tanh(value) * torch.sigmoid(door), atol=1e-15)
    assert torch.autograd.gradcheck(gate, (x,))
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(gate, (last,))
    assert torch.equal(gate(last), gate(x))
