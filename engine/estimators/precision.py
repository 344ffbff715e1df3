"""A model in double precision, for numbers that must add up to many digits."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor

from engine.model import GenerativeModel

M = TypeVar("M", bound=GenerativeModel)


def in_double(model: M, x: Tensor) -> tuple[M, Tensor]:
    """A float64 copy of a model on the CPU, and events (B, *E) for it.

    A sum of L float32 terms of size 10³ is wrong by about L · 6·10⁻⁵ nats, which shows in far
    tails; in float64 it is right to 10⁻¹² nats. The weights are those of the model, bit for bit.
    """
    twin = copy.deepcopy(model).to("cpu").double()
    return twin.eval(), x.detach().to("cpu", torch.float64)


def as_double(values: Tensor) -> Tensor:
    """In float64; on the CPU where the device has none."""
    return values.cpu().double() if values.device.type == "mps" else values.double()
