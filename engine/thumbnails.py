"""A small picture of a data set for lists, had without fetching anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.download import missing_files
from engine.registry import datasets, find
from engine.wire.fields import make_config
from engine.wire.messages import Array, Arrays


def thumbnail(name: str, n: int) -> Arrays:
    """``sample``: points (n, 1 or 2), or one picture (H, W) or (H, W, 3) of 0 … 1.

    Raises:
        ValueError: There is no such data set, or its default settings name no data.
    """
    kind = find(datasets(), name, "data set")
    config: Any = make_config(kind.Config, {})
    small = kind.thumbnail()
    if small is not None:
        return {"sample": _picture(small)}
    missing = missing_files(kind.sources(config))
    if missing:
        raise ValueError(f"{kind.card.title}: {missing[0].name} is not fetched yet")
    dataset = kind(config)
    data = dataset.train
    if not len(data):
        data = dataset.sample(n, generator=torch.Generator().manual_seed(0))
    if data.dim() == 2:
        return {"sample": data[:n, :2].numpy()}
    first = as_float(data[0])
    return {"sample": _picture(first / first.max().clamp_min(1e-9))}


def _picture(small: Tensor) -> Array:
    """(H, W), (1, H, W) or (3, H, W) as (H, W) or (H, W, 3)."""
    if small.dim() == 3:
        small = small[0] if small.shape[0] == 1 else small.permute(1, 2, 0)
    return np.ascontiguousarray(small.numpy())
