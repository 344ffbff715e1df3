"""What probes refuse: an argument out of range is one sentence, quickly and in little memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from engine.estimators.shared_bound import shared_bound
from engine.probe import View
from engine.registry import build_dataset, build_model, probes

NAN, INF = float("nan"), float("inf")
BOX: dict[str, Any] = {"low": [-3.0, -3.0], "high": [3.0, 3.0]}


@cache
def shown(model: str, dataset: str) -> View:
    data = build_dataset(dataset)
    built = build_model(model, event_shape=data.event_shape)
    return View(built.eval().requires_grad_(False), data, step=0)


def answer(probe: str, model: str, dataset: str, arguments: dict[str, Any]) -> None:
    list(probes()[probe].ask(shown(model, dataset), arguments))


WINDOWS = [
    ({"low": [NAN, 0.0], "high": [1.0, 1.0]}, "box: given"),
    ({"low": [0.0, 0.0], "high": [INF, 1.0]}, "box: given"),
    ({"low": [1.0, 1.0], "high": [0.0, 0.0]}, "box: given"),
    ({"low": [0.0], "high": [1.0]}, "given 1 axes, wanted 2"),
    ({"low": "ab", "high": "cd"}, "Expected `array`"),
    ({**BOX, "size": 0}, "size: given 0"),
    ({**BOX, "size": 100_000}, "size: given 100000"),
    ({**BOX, "size": 2**62}, "size: given"),
    ({**BOX, "size": 1.5}, "Expected `int`"),
    ({**BOX, "nope": 1}, "no argument 'nope'"),
]


@pytest.mark.parametrize("probe", ["density", "truth"])
@pytest.mark.parametrize(("arguments", "sentence"), WINDOWS)
def test_windows(probe: str, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        answer(probe, "gaussian_mixture", "two_moons", arguments)


@pytest.mark.parametrize(
    ("model", "far"), [("realnvp", 1e38), ("vae", 1e38), ("vae", 1e307), ("gan", 1e307)]
)
def test_a_window_out_of_all_reach_has_no_numbers(model: str, far: float) -> None:
    window = {"low": [far, far], "high": [1.5 * far, 1.5 * far], "size": 4}
    with pytest.raises(ValueError, match="no number at 16 of 16 pixels"):
        answer("density", model, "two_moons", window)


@pytest.mark.parametrize("axes", [[0, 64], [-1, 0], [3, 3], [], [0, 1, 2]])
@pytest.mark.parametrize("probe", ["density", "samples", "data_points"])
def test_axes(probe: str, axes: list[int]) -> None:
    window = {**BOX, "size": 4} if probe == "density" else {}
    with pytest.raises(ValueError, match="wanted two different coordinates from 0 to 63"):
        answer(probe, "made", "digits", {**window, "axes": axes})


@pytest.mark.parametrize("n_draws", [0, -3, 10_001, 10**9])
@pytest.mark.parametrize(
    ("probe", "arguments"),
    [
        ("density", {**BOX, "size": 8}),
        ("log_prob_at", {"point": [0.0, 0.0]}),
        ("evaluate", {"grid": 16}),
    ],
)
def test_draws(probe: str, arguments: dict[str, Any], n_draws: int) -> None:
    with pytest.raises(ValueError, match=r"n_draws|at least 1 draw"):
        answer(probe, "vae", "two_moons", {**arguments, "n_draws": n_draws})


def test_many_draws_for_many_pixels() -> None:
    with pytest.raises(ValueError, match="wanted at most 8192 draws, or fewer pixels"):
        shared_bound(shown("vae", "two_moons").model, torch.zeros(2048, 2048, 2), n_draws=10_000)


@pytest.mark.parametrize(
    ("probe", "model", "arguments", "sentence"),
    [
        ("samples", "vae", {"n": 0}, "n: given 0"),
        ("samples", "vae", {"n": 10**12}, "from 1 to 1000000"),
        ("draw", "ebm", {"n": 5, "chain_steps": -1}, "chain_steps: given -1"),
        ("draw", "ebm", {"n": 5, "chain_steps": 10**12}, "wanted 0 to 100000"),
        ("log_prob_at", "vae", {"point": [NAN, 0.0]}, "wanted 2 finite ones"),
        ("log_prob_at", "vae", {"point": [0.0]}, "given 1 numbers"),
        ("evaluate", "maf", {"grid": 10**6}, "grid from 16 to 2048"),
        ("evaluate", "maf", {"split": "nope"}, "split: given 'nope'"),
        ("data_points", "maf", {"n": -1}, "n: given -1"),
        ("data_examples", "maf", {"n": 0}, "n: given 0"),
        ("responsibilities", "gaussian_mixture", {"n": 0}, "n: given 0"),
        ("warped_grid", "gan", {"lines": 10**9}, "lines: given"),
        ("warped_grid", "gan", {"points": 10**9}, "points: given"),
        ("warped_grid", "gan", {"extent": NAN}, "extent: given nan"),
        ("warped_grid", "gan", {"extent": 1e308}, "extent: given 1e.308"),
    ],
)
def test_other_numbers(probe: str, model: str, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        answer(probe, model, "two_moons", arguments)
