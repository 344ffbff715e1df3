"""The naïve sampler and what masks mean, by enumeration on tables of probabilities."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.nets.outputs import level_probs
from engine.nets.stepwise import check_steps, kept_unseen, known_first, last_of, naive_steps
from tests.engine.table_model import TableModel


def noise(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 4, generator=generator, dtype=torch.float64)


def test_samples_have_the_frequencies_of_the_table() -> None:
    model = TableModel()
    x = last_of(naive_steps(model, noise(3000))).reshape(-1, 4).long()
    counts = torch.bincount(x @ torch.tensor([27, 9, 3, 1]), minlength=81) / 3000
    p = model.joint.reshape(-1)
    chi2 = float(3000 * ((counts - p) ** 2 / p)[p > 1e-3].sum())
    assert chi2 < 130.0  # 80 degrees of freedom at most: beyond 1 in 3000


def test_steps_show_what_was_drawn_from() -> None:
    model = TableModel()
    steps = list(naive_steps(model, noise(5), temperature=0.5, top_p=0.9))
    assert [step.index for step in steps] == [2, 0, 3, 1]
    x = steps[-1].x
    for step in steps:
        assert torch.equal(step.x.reshape(5, 4)[:, step.index], x.reshape(5, 4)[:, step.index])
        whole = level_probs(model.conditionals(x))[:, step.index] ** 2
        whole = whole / whole.sum(-1, keepdim=True)
        kept = level_probs(step.conditional) > 0
        wanted = whole * kept / (whole * kept).sum(-1, keepdim=True)
        assert torch.allclose(level_probs(step.conditional), wanted, atol=1e-12)
    assert torch.equal(
        steps[-1].x, last_of(naive_steps(model, noise(5), temperature=0.5, top_p=0.9))
    )


def test_known_values_before_are_conditioned_on() -> None:
    model, known = TableModel(), torch.tensor([[[0.0, 0.0], [2.0, 1.0]]])
    mask = torch.tensor([[[False, False], [True, False]]])  # index 2 comes first in the order
    x = last_of(naive_steps(model, noise(4000), known=known, mask=mask)).reshape(-1, 4)
    assert bool((x[:, 2] == 2).all())
    shares = torch.bincount(x[:, 0].long(), minlength=3) / 4000
    exact = model.joint[:, :, 2].sum((1, 2))
    assert float((shares - exact / exact.sum()).abs().max()) < 0.04


def test_which_known_values_are_not_conditioned_on() -> None:
    order = torch.tensor([2, 0, 3, 1])
    first = torch.tensor([False, False, True, False])
    assert not bool(kept_unseen(order, first).any())
    late = torch.tensor([True, False, False, True])  # 2 is drawn before 0 and 3 are looked at
    assert kept_unseen(order, late).tolist() == [True, False, False, True]
    mixed = torch.tensor([[False, True, True, False], [True, True, True, True]])
    assert kept_unseen(order, mixed).tolist() == [[False, True, False, False], [False] * 4]
    assert known_first(order, late).tolist() == [0, 3, 2, 1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"known": torch.zeros(1, 2, 2)}, "known without mask"),
        ({"mask": torch.zeros(1, 2, 2)}, "mask without known"),
        ({"temperature": -1.0}, "temperature: given -1"),
        ({"top_p": 0.0}, "top_p: given 0"),
        ({"known": torch.zeros(3), "mask": torch.zeros(1, 2, 2)}, r"known: given shape \(3,\)"),
    ],
)
def test_wrong_arguments_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_steps(TableModel(), noise(2), **settings)


def test_wrong_noise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"given shape \(2, 3\), wanted \(N, 4\)"):
        check_steps(TableModel(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="took no step"):
        last_of(iter(()))
