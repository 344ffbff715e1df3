"""Chains on the energy of one class: E(x, y) of a classifier, beside E(x) of all."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from engine.estimators.landscape import landscape_of
from engine.estimators.partition import log_z
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes


@cache
def view(name: str = "jem") -> View:
    data = build_dataset("digits_plane")
    model = build_model(name, event_shape=data.event_shape, dataset=data, hidden_features=(8, 8))
    model.prepare(data.train, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in model.parameters():  # away from the flat start
            parameter.mul_(1.5)
    return View(model.eval().requires_grad_(False), data, 0, 3)


def ask(shown: View, name: str, **arguments: Any) -> list[Result]:
    return list(probes()[name].ask(shown, arguments, {}))


def test_the_energy_of_a_class_is_minus_its_logit() -> None:
    shown = view()
    model: Any = shown.model
    x = shown.dataset.train[:5]
    logits = model.logits(x)
    beside = landscape_of(model, shown.dataset).energy(x) + logits.logsumexp(-1)
    for number in (0, 3, 9):
        land = landscape_of(model, shown.dataset, of_class=number)
        torch.testing.assert_close(land.energy(x), beside - logits[:, number])
        u = land.standardise(x).requires_grad_()
        energy = model.energy(u * land.scale + land.location, context=torch.full((5,), number))
        value, gradient = land.walked(u.detach())
        torch.testing.assert_close(value, energy.detach())
        torch.testing.assert_close(gradient, torch.autograd.grad(energy.sum(), u)[0])
        assert land.label == f"E(x, y = {number}), the model's"


def test_the_normalisers_of_all_classes_add_up() -> None:
    """Z = Σ_y Z_y, since exp(−E(x)) = Σ_y exp(−E(x, y))."""
    shown = view()
    each = torch.tensor([log_z(shown.model, grid=64, of_class=c).value for c in range(10)])
    assert float(each.logsumexp(0)) == pytest.approx(log_z(shown.model, grid=64).value, abs=1e-4)
    assert float(each.max() - each.min()) > 0.1
    (found,) = ask(shown, "energy_surface", low=[-2, -2], high=[2, 2], size=8, of_class=4)
    assert found.values["log_z"] == pytest.approx(float(each[4]), abs=1e-3)


@pytest.mark.parametrize("kernel", ["mala", "own:restart"])
def test_chains_of_a_class_come_to_its_law(kernel: str) -> None:
    shown = view()
    how = {"kernel": kernel, "step_size": 0.5, "n": 2000, "steps": 40, "of_class": 7}
    *_, last = ask(shown, "chain_walk", **how)
    land = landscape_of(shown.model, shown.dataset, of_class=7)
    points = torch.tensor(last.numpy()["points"][-1])
    np.testing.assert_allclose(
        last.numpy()["energy"][-1], land.energy(points), rtol=1e-4, atol=1e-4
    )
    box = log_z(shown.model, of_class=7).box
    axes = [torch.linspace(a, b, 200) for a, b in zip(box.low, box.high, strict=True)]
    grid = torch.cartesian_prod(*axes)
    share = (-land.energy(grid)).double().softmax(0)[:, None]
    mean = (share * grid).sum(0)
    spread = (share * (grid - mean).square()).sum(0).sqrt()
    assert ((points.mean(0) - mean).abs() < 0.15 * spread).all()
    assert ((points.std(0) / spread - 1.0).abs() < 0.12).all()


def test_they_start_from_data_of_their_class() -> None:
    shown = view()
    (found, *_) = ask(shown, "chain_walk", start="data", n=20, steps=0, of_class=2)
    data, labels = shown.dataset.train, shown.dataset.train_labels
    assert labels is not None
    starts = torch.tensor(found.numpy()["points"][0])
    near = torch.cdist(starts, data).argmin(1)
    torch.testing.assert_close(starts, data[near], atol=1e-4, rtol=1e-4)
    assert (labels[near] == 2).all()


@pytest.mark.parametrize(
    ("name", "of_class", "words"),
    [("jem", 10, "given 10, wanted 0 to 9"), ("ebm", 0, "wanted a classifier")],
)
def test_refusals(name: str, of_class: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask(view(name), "chain_walk", n=2, steps=1, of_class=of_class)


def test_the_long_run_knows_the_energy_of_data_of_its_class() -> None:
    shown = view()
    data, labels = shown.dataset.test, shown.dataset.test_labels
    assert labels is not None
    for of_class, seen in ((-1, labels >= 0), (5, labels == 5)):
        (*_, last) = ask(shown, "chain_long", n=3, steps=2, of_class=of_class)
        land = landscape_of(shown.model, shown.dataset, of_class=of_class)
        wanted = float(land.energy(data[seen]).mean())
        assert last.values["data_energy"] == pytest.approx(wanted, rel=1e-4)
