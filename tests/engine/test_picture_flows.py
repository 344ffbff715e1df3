"""Flows over pictures, of real values and of levels, against autograd and quadrature."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.bijections.actnorm import ActNorm
from engine.bijections.map_batch_norm import MapBatchNorm
from engine.bijections.picture_flow import PictureFlow
from engine.capabilities import LogProb, capabilities_of
from engine.checkpoint import load, save
from engine.estimators.bits import bits_of
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_model, models
from engine.run import Run
from engine.training import Trainer, fit, held_out_nll
from engine.wire.capability import Capability
from engine.wire.messages import RunSpec

NAMES = tuple(name for name, kind in models().items() if issubclass(kind, PictureFlow))
SMALL: dict[str, Any] = {"n_scales": 2, "n_layers": 2, "hidden_features": [6, 6]}
EACH = pytest.mark.parametrize("name", NAMES)
SHAPES = pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 4), (1, 3, 3), (1, 1, 1), (2,)])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(name: str, **config: Any) -> dict[str, Any]:
    fields = models()[name].Config.__dataclass_fields__
    return {k: v for k, v in {**SMALL, **config}.items() if k in fields}


def levels_data(shape: tuple[int, ...], levels: int, n: int = 64) -> Tensor:
    """Pictures of levels whose pixels like to agree."""
    shared = torch.rand(n, *[1] * len(shape), generator=seeded(5))
    own = torch.rand(n, *shape, generator=seeded(6))
    return ((0.7 * shared + 0.3 * own) * levels).floor()


def rough(name: str, shape: tuple[int, ...], levels: int | None = None, **config: Any) -> Any:
    """A float64 model with data-set layers, all weights moved away from where they begin."""
    model = build_model(
        name, event_shape=shape, seed=1, levels=levels, **settings(name, **config)
    ).double()
    data = levels_data(shape, levels or 9).double()
    model.prepare(data, generator=seeded(2))
    generator = seeded(3)
    with torch.no_grad():
        for weight in model.parameters():
            moved = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            weight.add_(0.1 * moved)
    return model.eval().requires_grad_(False)


def some(shape: tuple[int, ...], n: int = 3) -> Tensor:
    return 4.0 + 3.0 * torch.randn(n, *shape, generator=seeded(7), dtype=torch.float64)


# --- the layers -------------------------------------------------------------------------------


@EACH
@SHAPES
def test_log_dets_sum_to_autograds(name: str, shape: tuple[int, ...]) -> None:
    model, x = rough(name, shape), some(shape)
    path = model.path(x)
    for i, row in enumerate(x):
        matrix = torch.autograd.functional.jacobian(
            lambda flat: model.path(flat.reshape(1, *shape)).states[-1, 0], row.flatten()
        )
        wanted = torch.linalg.slogdet(matrix).logabsdet
        assert float(path.log_dets[:, i].detach().sum()) == pytest.approx(float(wanted), abs=1e-9)
    parts = model.base().log_prob(path.states[-1]) + path.log_dets.sum(0)
    assert torch.allclose(model.log_prob(x), parts, atol=1e-9)


@EACH
@SHAPES
@pytest.mark.parametrize(("kind", "allowed"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_the_path_comes_back(
    name: str, shape: tuple[int, ...], kind: torch.dtype, allowed: float
) -> None:
    model, x = rough(name, shape).to(kind), some(shape).to(kind)
    there = model.path(x)
    back = model.path(there.states[-1], inverse=True)
    assert torch.equal(there.states[0], x.flatten(1))
    assert float((back.states - there.states).abs().max()) < allowed
    assert float((back.log_dets - there.log_dets).abs().max()) < allowed


@EACH
def test_factored_out_values_stay_in_place(name: str) -> None:
    model, x = rough(name, (1, 4, 4)), some((1, 4, 4))
    path = model.path(x)
    gone = torch.ones(16, dtype=torch.bool)
    gone[model.layers()[-1].places] = False
    assert int(gone.sum()) == 8
    second = [i for i, layer in enumerate(path.names) if "scale 2" in layer]
    between = path.states[second[0] : second[-1] + 2]
    assert torch.equal(between[:, :, gone], between[:1, :, gone].expand(len(between), -1, -1))
    assert bool((between[0] != between[-1])[:, ~gone].any())
    assert path.names[0] == "standardise"
    assert len(set(path.names)) == len(path.names)


@EACH
def test_preparation_makes_what_leaves_normalisation_standard(name: str) -> None:
    model = build_model(name, event_shape=(1, 4, 4), seed=1, **settings(name)).double()
    data = levels_data((1, 4, 4), 9, n=300).double()
    model.prepare(data, generator=seeded(2))
    quiet = model.eval().requires_grad_(False)
    for layer, state in zip(quiet.layers(), quiet.path(data).states[1:], strict=True):
        inner = getattr(layer, "layer", None)
        if isinstance(inner, (ActNorm, MapBatchNorm)):
            maps = state[:, layer.places].reshape(-1, *layer.shape)
            assert float(maps.mean((0, 2, 3)).abs().max()) < 1e-9
            assert float((maps.var((0, 2, 3), correction=0) - 1.0).abs().max()) < 1e-3


@EACH
def test_couplings_begin_without_changing_volume(name: str) -> None:
    model = build_model(name, event_shape=(1, 4, 4), seed=1, **settings(name)).double()
    path = model.eval().requires_grad_(False).path(some((1, 4, 4)))
    couplings = torch.tensor(["coupling" in n or "prior" in n for n in path.names])
    assert torch.equal(path.log_dets[couplings], torch.zeros(int(couplings.sum()), 3).double())
    # The others have nothing to do yet but to rotate: lengths are kept.
    assert float(path.log_dets.abs().max()) < 1e-3
    assert torch.allclose(path.states[-1].norm(dim=1), path.states[0].norm(dim=1), rtol=1e-3)


@EACH
def test_pixels_share_their_channels_standardisation(name: str) -> None:
    model = build_model(name, event_shape=(2, 1, 3), seed=1, **settings(name)).double()
    data = some((2, 1, 3), 50) * torch.tensor([1.0, 20.0]).reshape(1, 2, 1, 1).double()
    model.prepare(data, generator=seeded())
    for channel in range(2):
        part = slice(3 * channel, 3 * channel + 3)
        values = data[:, channel]
        assert torch.allclose(model.location[part], values.mean().expand(3))
        assert torch.allclose(model.scale[part], values.std(correction=0).expand(3))


@EACH
def test_temperature_is_the_spread_of_the_base(name: str) -> None:
    model = rough(name, (1, 4, 4))
    warm = model.sample(3, generator=seeded(1))
    model.set_live({"temperature": 0.5})
    cool = model.path(model.sample(3, generator=seeded(1))).states[-1]
    assert torch.allclose(cool, 0.5 * model.path(warm).states[-1], atol=1e-8)
    model.set_live({"temperature": 0.0})
    still = model.sample(2, generator=seeded(1))
    assert torch.equal(still[0], still[1])


@EACH
def test_many_events_are_scored_in_pieces(name: str) -> None:
    model = rough(name, (1, 4, 4))
    x = some((1, 4, 4), 50)
    whole = model.log_prob(x)
    type(model)._rows, kept = 16, type(model)._rows
    try:
        with torch.no_grad():
            assert torch.allclose(model.log_prob(x), whole, atol=1e-10)
    finally:
        type(model)._rows = kept


# --- levels -----------------------------------------------------------------------------------


@EACH
def test_levels_leave_a_bound_in_the_place_of_log_prob(name: str) -> None:
    common = (Capability.SAMPLING, Capability.FLOW_PATH)
    real = build_model(name, event_shape=(1, 4, 4), **settings(name))
    levelled = build_model(name, event_shape=(1, 4, 4), levels=5, **settings(name))
    assert set(capabilities_of(type(real))) == {*common, Capability.LOG_PROB}
    assert set(capabilities_of(type(levelled))) == {*common, Capability.BOUND}
    assert isinstance(real, LogProb)
    assert not isinstance(levelled, LogProb)
    assert type(levelled).card.name == name
    assert type(levelled).kind_for(levelled.config) is type(levelled)


@EACH
def test_a_density_of_levels_is_not_built(name: str) -> None:
    kind = models()[name]
    with pytest.raises(ValueError, match="of 5 levels it is made by build_model"):
        kind((1, 4, 4), kind.Config(levels=5))


@EACH
@pytest.mark.parametrize("alpha", [None, 0.05])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2)])
def test_the_bound_lies_below_the_cells_mass(
    name: str, alpha: float | None, shape: tuple[int, ...]
) -> None:
    levels, size = 3, math.prod(shape)
    model = rough(name, shape, levels, alpha=alpha)
    every = torch.cartesian_prod(*[torch.arange(levels)] * size).reshape(-1, *shape).double()
    log_p = log_mass_of_cells(model, every)
    # Without a logit the density reaches beyond the cells; with it only just.
    assert 0.5 < float(log_p.exp().sum()) < 1.0 + 1e-6
    bound = model.elbo(every, n_draws=1000, generator=seeded(4))
    error = bound.log_weights.std(0) / math.sqrt(1000)
    gap = log_p - bound.total
    assert bool((gap > -4.0 * error).all())
    assert bool((gap > 2.5 * error).any()), "the test wants a bound that is not tight"
    tighter = log_p - bound.importance_weighted
    assert float(tighter.abs().max()) < 0.05
    assert torch.equal(bound.total, bound.reconstruction - bound.kl_terms["place"])


def log_mass_of_cells(model: Any, events: Tensor, n: int = 60) -> Tensor:
    """log ∫ p(x + u) du over each event's cell, by the midpoint rule with n nodes a side."""
    nodes = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    cube = torch.cartesian_prod(*[nodes] * model.event_size).reshape(-1, model.event_size)
    found = []
    with torch.no_grad():
        for row in events.flatten(1):
            states = row + cube
            total = torch.zeros(len(cube), dtype=torch.float64)
            for layer in model.layers(0.0):
                states, log_det = layer.forward(states)
                total = total + log_det
            log_p = total + model.base().log_prob(states)
            found.append(torch.logsumexp(log_p, 0) - math.log(len(cube)))
    return torch.stack(found)


@EACH
def test_samples_of_levels_have_at_least_the_cells_mass(name: str) -> None:
    model = rough(name, (1, 1, 1), 3, alpha=0.05)
    x = model.sample(20_000, generator=seeded(8)).flatten()
    masses = log_mass_of_cells(model, torch.arange(3.0).reshape(3, 1, 1, 1).double()).exp()
    shares = torch.stack([(x == level).double().mean() for level in range(3)])
    errors = (shares * (1.0 - shares) / 20_000).sqrt()
    assert float(shares.sum()) == 1.0
    assert bool((shares - masses > -4.0 * errors).all())
    # What lies beyond the range is counted at its ends alone.
    assert abs(float(shares[1] - masses[1])) < 4.0 * float(errors[1])


@EACH
def test_a_path_of_levels_is_a_draw_of_the_bound(name: str) -> None:
    model = rough(name, (1, 4, 4), 5, alpha=0.05)
    x = levels_data((1, 4, 4), 5, 6).double()
    path = model.path(x, generator=seeded(9))
    assert path.names[:3] == ("dequantise", "logit", "standardise")
    assert torch.equal(path.states[0], x.flatten(1))
    assert torch.equal(path.states[1].floor(), path.states[0])
    parts = model.base().log_prob(path.states[-1]) + path.log_dets.sum(0)
    assert torch.allclose(model.elbo(x, generator=seeded(9)).total, parts, atol=1e-9)
    middle = model.path(x).states[1]
    assert torch.equal(middle, x.flatten(1) + 0.5)


@EACH
def test_bits_and_nats_of_levels(name: str) -> None:
    digits = build_dataset("digits", levels=17)
    model = build_model(name, event_shape=(1, 8, 8), dataset=digits, **settings(name))
    nll = held_out_nll(model, digits.test[:20])
    assert nll is not None
    bits = bits_of(nll, model, digits)
    assert bits is not None
    assert bits.value == pytest.approx(nll / 64 / math.log(2.0))


# --- training ---------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("levels", [None, 17])
def test_training_finds_structure(name: str, levels: int | None) -> None:
    digits = build_dataset("digits", levels=levels)
    model = build_model(name, event_shape=(1, 8, 8), dataset=digits, seed=0, **settings(name))
    before = Trainer(model, digits, device="cpu")  # prepares the model
    first = held_out_nll(before.model, digits.valid[:100])
    fit(model, digits, steps=15, learning_rate=3e-3, seed=1, device="cpu")
    second = held_out_nll(model, digits.valid[:100])
    assert first is not None
    assert second is not None
    assert second < first - 3.0


@EACH
@pytest.mark.parametrize("levels", [None, 17])
def test_a_fork_of_pictures_repeats_its_parent(name: str, levels: int | None) -> None:
    spec = RunSpec(
        name, "digits", settings(name), {"n_samples": 60, "levels": levels}, seed=3, device="cpu"
    )
    parent = Run("parent", spec)
    train(parent, 12)
    child = parent.fork("child", 7, {}, playing=True)
    train(child, 12)
    assert same(parent.trainer.model, child.trainer.model)


def train(run: Run, until: int) -> None:
    run.play(until)
    while run.is_training:
        run.advance()


def same(one: GenerativeModel, other: GenerativeModel) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@EACH
def test_a_run_of_levels_is_saved_and_read(name: str, tmp_path: Path) -> None:
    digits = build_dataset("digits", levels=17, n_samples=50)
    model = build_model(name, event_shape=(1, 8, 8), dataset=digits, **settings(name))
    fit(model, digits, steps=2, device="cpu")
    spec = RunSpec(name, "digits", settings(name), {"levels": 17, "n_samples": 50})
    save(tmp_path / "run.safetensors", model, spec=spec, step=2)
    read = load(tmp_path / "run.safetensors").model
    assert type(read) is type(model)
    assert same(read, model)
    twin = copy.deepcopy(model)
    first, second = (m.sample(2, generator=seeded()) for m in (twin, read))  # type: ignore[attr-defined]
    assert torch.equal(first, second)
