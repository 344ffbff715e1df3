"""Pictures through a flow's base: growing, between, along an attribute, and their likelihood."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.bijections.picture_flow import PictureFlow
from engine.dataset import Dataset
from engine.probe import Result, View
from engine.probes.flow_likelihood import MOST_DRAWS
from engine.registry import build_dataset, build_model, models, probes

SMALL: dict[str, Any] = {"n_scales": 2, "hidden_features": [6, 6]}
TINY: dict[str, Any] = {"n_layers": 2, "hidden_features": [6]}
EXTRA: dict[str, Any] = {"glow": {"n_layers": 1}, "maf": TINY, "nice": TINY}
FLOWS = [("glow", 17), ("glow", None), ("realnvp_pictures", 17), ("realnvp_pictures", None)]
EACH = pytest.mark.parametrize(("name", "levels"), FLOWS)


@cache
def digits(levels: int | None) -> Dataset:
    return build_dataset("digits", levels=levels, n_samples=60)


@cache
def rough(name: str, levels: int | None) -> Any:
    """A float64 flow over digits, all weights moved away from where they begin."""
    data = digits(levels)
    settings = EXTRA.get(name, SMALL)
    if issubclass(models()[name], PictureFlow):
        settings = SMALL | settings | {"levels": levels}
    model = build_model(name, event_shape=data.event_shape, seed=1, **settings).double()
    model.prepare(data.train.double(), generator=torch.Generator().manual_seed(2))
    chance = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.03 * torch.randn(weight.shape, generator=chance, dtype=weight.dtype))
    return model.eval().requires_grad_(False)


def view(name: str, levels: int | None) -> View:
    return View(rough(name, levels), digits(levels), step=0, seed=3)


def ask(probe: str, name: str, levels: int | None, **wanted: Any) -> Result:
    before = torch.get_rng_state()
    (answer,) = probes()[probe].ask(view(name, levels), wanted)
    assert torch.equal(before, torch.get_rng_state())
    return answer


def flat(levels: int | None, *rows: int) -> Any:
    return digits(levels).test[list(rows)].flatten(1).double().numpy()


def encoded(name: str, levels: int | None, pictures: Tensor) -> Tensor:
    return rough(name, levels).path(pictures.double()).states[-1]


# --- growing ----------------------------------------------------------------------------------


@EACH
def test_the_last_column_is_the_models_own_sample(name: str, levels: int | None) -> None:
    arrays = ask("flow_pictures", name, levels, n=3, seed=5, temperature=1.0).numpy()
    own = rough(name, levels).sample(3, generator=view(name, levels).generator(5))
    np.testing.assert_allclose(arrays["pictures"][:, -1], own, rtol=1e-5, atol=1e-6)


@EACH
def test_columns_keep_the_noise_of_the_coarsest_scales(name: str, levels: int | None) -> None:
    result = ask("flow_pictures", name, levels, n=2, seed=1, temperature=0.7)
    pictures = result.numpy()["pictures"]
    kept = result.values["kept"]
    assert kept == [0, 32, 64] or levels is None
    assert pictures.shape == (2, 3, 1, 8, 8)
    np.testing.assert_array_equal(pictures[0, 0], pictures[1, 0])
    assert not np.array_equal(pictures[0, 1], pictures[1, 1])
    if levels is not None:
        return  # rounding to levels cannot be turned back
    z = encoded(name, levels, torch.from_numpy(pictures[:, 1]))
    zero = z.abs() < 1e-3
    assert (zero.sum(1) == 32).all()
    assert torch.equal(zero[0], zero[1]), "the same values leave in every picture"


@EACH
def test_temperature_0_gives_one_picture_for_any_noise(name: str, levels: int | None) -> None:
    cold = [
        ask("flow_pictures", name, levels, n=3, seed=seed, temperature=0.0).numpy()["pictures"]
        for seed in (0, 9)
    ]
    assert np.unique(cold[0].reshape(9, -1), axis=0).shape[0] == 1
    np.testing.assert_array_equal(*cold)
    warm = ask("flow_pictures", name, levels, n=3, seed=0, temperature=1.0).numpy()["pictures"]
    np.testing.assert_array_equal(warm[:, 0], cold[0][:, 0])
    assert not np.array_equal(warm[0, -1], warm[1, -1])


def test_scales_are_those_that_the_stack_lets_go() -> None:
    model = rough("glow", None)
    scales = model.scales
    assert scales.bincount().tolist() == [32, 32]
    last = model.trained_layers()[-1]
    assert sorted(last.places.tolist()) == (scales == 1).nonzero().flatten().tolist()
    plain = build_model("glow", event_shape=(1, 8, 8), n_scales=3, n_layers=1, levels=None)
    assert plain.scales.bincount().tolist() == [32, 16, 16]  # type: ignore[attr-defined]


def test_a_flow_of_one_scale_has_two_columns() -> None:
    result = ask("flow_pictures", "maf", None, n=2)
    assert result.values["kept"] == [0, 64]
    assert result.numpy()["pictures"].shape == (2, 2, 1, 8, 8)


# --- between ----------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_the_ends_decode_to_the_given_pictures(name: str, levels: int | None, kind: str) -> None:
    given = flat(levels, 0, 1, 2)
    result = ask("flow_between", name, levels, events=given, kind=kind, frames=4)
    arrays, values = result.numpy(), result.values
    assert arrays["keys_at"].tolist() == [0, 4, 8]
    assert arrays["frames"].shape == (9, 1, 8, 8)
    ends = arrays["frames"][arrays["keys_at"]].reshape(3, -1)
    np.testing.assert_allclose(ends, given, atol=0.0 if levels else 1e-6)
    assert 0.0 <= values["round_trip"] < 1e-8  # type: ignore[operator]
    z = encoded(name, levels, digits(levels).test[:3])
    np.testing.assert_allclose(arrays["norms"][::4], z.norm(dim=1), rtol=1e-9)


def test_the_middle_is_halfway_in_the_base() -> None:
    given = flat(None, 3, 4)
    z = encoded("glow", None, digits(None).test[3:5])
    for kind in ("linear", "spherical"):
        frames = ask("flow_between", "glow", None, events=given, kind=kind, frames=2).numpy()
        half = encoded("glow", None, torch.from_numpy(frames["frames"][1:2]))[0]
        mean = z.mean(0)
        if kind == "spherical":
            cosine = (z[0] @ z[1]) / (z[0].norm() * z[1].norm())
            mean = mean / torch.cos(torch.arccos(cosine) / 2)
        torch.testing.assert_close(half, mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "spread"), [("glow", 1.0), ("nice", math.pi / math.sqrt(3))])
def test_the_usual_length_is_that_of_the_bases_draws(name: str, spread: float) -> None:
    values = ask("flow_between", name, None, events=flat(None, 0, 1), frames=1).values
    assert values["usual_norm"] == pytest.approx(8.0 * spread, rel=0.03)


# --- attribute --------------------------------------------------------------------------------


def test_the_direction_is_the_difference_of_the_means() -> None:
    data, event = digits(None), flat(None, 0)[0]
    assert data.train_labels is not None
    means = [
        encoded("glow", None, data.train[mask]).mean(0)
        for mask in (data.train_labels == 3, data.train_labels == 7, data.train_labels != 3)
    ]
    z = encoded("glow", None, data.test[:1])[0]
    for negative, below in ((7, means[1]), (-1, means[2])):
        wanted = {"event": event, "positive": 3, "negative": negative, "multiples": [0.0, 0.5]}
        result = ask("flow_attribute", "glow", None, **wanted)
        arrays, direction = result.numpy(), means[0] - below
        np.testing.assert_allclose(arrays["direction"], direction, rtol=1e-9, atol=1e-9)
        assert result.values["norm"] == pytest.approx(float(direction.norm()))
        share = float((z - below) @ direction / (direction @ direction))
        assert result.values["coordinate"] == pytest.approx(share)
        np.testing.assert_allclose(arrays["pictures"][0].ravel(), event, atol=1e-6)
        moved = encoded("glow", None, torch.from_numpy(arrays["pictures"][1:]))[0]
        torch.testing.assert_close(moved, z + 0.5 * direction, rtol=1e-3, atol=1e-3)


# --- likelihood -------------------------------------------------------------------------------


@EACH
def test_terms_add_up_to_the_models_number(name: str, levels: int | None) -> None:
    event = flat(levels, 0)[0]
    values = ask("flow_likelihood", name, levels, event=event, n_draws=5).values
    total = math.fsum(values["term_values"])  # type: ignore[arg-type]
    model, x = rough(name, levels), digits(levels).test[:1].double()
    if levels is None:
        own = float(model.log_prob(x)[0])
    else:
        chance = view(name, levels).generator()
        own = float(model.elbo(x, n_draws=5, generator=chance).importance_weighted[0])
    assert values["log_prob"] == pytest.approx(own, abs=1e-9)
    assert total == pytest.approx(own, abs=1e-9)
    bits = -own / (64 * math.log(2.0)) + (math.log2(17) if levels is None else 0.0)
    assert values["bits"] == pytest.approx(bits)


def test_preprocessing_stands_among_the_terms() -> None:
    event = flat(17, 0)[0]
    values = ask("flow_likelihood", "glow", 17, event=event, n_draws=4).values
    found = dict(zip(values["terms"], values["term_values"], strict=True))  # type: ignore[arg-type]
    assert list(found)[:2] == ["log p(z), scale 2", "log p(z), scale 1"]
    assert list(found)[-4:] == ["standardise", "logit", "dequantise", "gain of 4 draws"]
    assert found["dequantise"] == 0.0
    assert found["gain of 4 draws"] > 0.0
    # The logit by its derivative, at the places of the same noise.
    chance = view("glow", 17).generator()
    y = torch.from_numpy(event) + torch.rand(4, 64, generator=chance, dtype=torch.float64)
    y.requires_grad_()
    torch.logit(1e-3 + (1 - 2e-3) * y / 17).sum().backward()  # type: ignore[no-untyped-call]
    assert y.grad is not None
    assert found["logit"] == pytest.approx(float(y.grad.log().sum(1).mean()))
    scale = rough("glow", 17).scale
    assert found["standardise"] == pytest.approx(-float(scale.log().sum()))


# --- refusals ---------------------------------------------------------------------------------

EVENT = [0.5] * 64


@pytest.mark.parametrize(
    ("probe", "wanted", "sentence"),
    [
        ("flow_pictures", {"n": 0}, "n: given 0"),
        ("flow_pictures", {"temperature": -1.0}, "temperature: given -1"),
        ("flow_pictures", {"temperature": float("nan")}, "temperature: given nan"),
        ("flow_pictures", {"seed": -1}, "seed: given -1"),
        ("flow_between", {"events": np.array([EVENT])}, "given 1 pictures"),
        ("flow_between", {"events": np.array([EVENT] * 2), "frames": 0}, "frames: given 0"),
        ("flow_between", {"events": np.ones((2, 3))}, "given shape"),
        ("flow_between", {"events": np.full((2, 64), np.nan)}, "NaN"),
        ("flow_attribute", {"event": np.array(EVENT), "positive": 99}, "no training picture"),
        ("flow_attribute", {"event": np.array(EVENT), "positive": -1}, "no training picture"),
        (
            "flow_attribute",
            {"event": np.array(EVENT), "positive": 1, "multiples": []},
            "multiples",
        ),
        ("flow_likelihood", {"event": np.array(EVENT), "n_draws": 0}, "n_draws"),
        ("flow_likelihood", {"event": np.array(EVENT), "n_draws": MOST_DRAWS + 1}, "at most"),
    ],
)
def test_refusals(probe: str, wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ask(probe, "glow", None, **wanted)


@pytest.mark.parametrize(
    "probe", ["flow_pictures", "flow_between", "flow_attribute", "flow_likelihood"]
)
def test_events_that_are_no_pictures_are_refused(probe: str) -> None:
    data = build_dataset("two_moons", n_samples=50)
    model = build_model("glow", event_shape=data.event_shape, n_layers=1, hidden_features=[4])
    given: dict[str, Any] = {"event": np.zeros(2), "positive": 1}
    wanted = {
        "flow_pictures": {},
        "flow_between": {"events": np.zeros((2, 2))},
        "flow_attribute": given,
        "flow_likelihood": {"event": np.zeros(2)},
    }[probe]
    with pytest.raises(ValueError, match="wanted pictures"):
        list(probes()[probe].ask(View(model.eval(), data, 0), wanted))


@pytest.mark.parametrize("name", ["glow", "realnvp_pictures"])
def test_between_levels_there_is_no_probability(name: str) -> None:
    """So a density map of levels is refused at once, as by the other models of levels."""
    window = {"low": [0.0, 0.0], "high": [16.0, 16.0], "axes": [10, 20]}
    with pytest.raises(ValueError, match="wanted whole numbers from 0 to 16"):
        ask("density", name, 17, **window)
    with pytest.raises(ValueError, match="wanted whole numbers from 0 to 16"):
        ask("flow_likelihood", name, 17, event=np.array(EVENT))
