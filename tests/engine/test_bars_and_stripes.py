"""Bars and stripes follow the law that the file states."""

from __future__ import annotations

import pytest
import torch

from engine.registry import build_dataset


@pytest.mark.parametrize("size", [2, 3])
def test_patterns_are_as_likely_as_is_said(size: int) -> None:
    data = build_dataset("bars_and_stripes", n_samples=100, size=size)
    x = data.sample(40_000, generator=torch.Generator().manual_seed(1))[:, 0]
    numbers = (x.flatten(1) * 2.0 ** torch.arange(size * size)).sum(1).long()
    counts = torch.bincount(numbers, minlength=2 ** (size * size)) / len(x)
    states = ((torch.arange(len(counts))[:, None] >> torch.arange(size * size)) & 1).reshape(
        -1, size, size
    )
    rows = (states == states[:, :, :1]).all((1, 2)).float()
    columns = (states == states[:, :1]).all((1, 2)).float()
    truth = 2.0 ** (-size - 1) * (rows + columns)
    assert float(truth.sum()) == 1.0
    assert int((truth > 0).sum()) == 2 * 2**size - 2
    assert float((counts - truth).abs().max()) < 0.01
    assert data.train.dtype == torch.uint8
    assert len(data.train) + len(data.valid) + len(data.test) == 100
