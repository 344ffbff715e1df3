r"""Scheduled sampling: training feeds a network its own draws with a growing probability.

Teacher forcing conditions on the data; sampling conditions on what was drawn. Scheduled sampling
goes from the one to the other: at training step i an input is the value of the data with
probability ε_i, and otherwise the model's own draw. With ε = 1 it is teacher forcing exactly.

It is **not a consistent estimator**: with ε < 1 the target stays that of the data while the
history is another, and for ε → 0 the optimum is the product of marginals, not the data's
distribution, however much data there are (Huszár 2015). Its loss is no likelihood either; the
likelihood is reported beside it.

.. math::
    \epsilon_i = \max(0, 1 - ci), \qquad \epsilon_i = k^i, \qquad
    \epsilon_i = \frac{k}{k + \exp(i/k)}

with c, k chosen so that ε is 1/2 at the same step for all three.

References:
    Bengio, Vinyals, Jaitly and Shazeer, *Scheduled Sampling for Sequence Prediction with Recurrent
    Neural Networks*, NeurIPS 2015; Huszár, *How (not) to Train your Generative Model*, 2015;
    Mihaylova and Martins, *Scheduled Sampling for Transformers*, ACL SRW 2019 (two passes).
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from engine.drawing import uniform_noise
from engine.wire.fields import Field

SCHEDULES = ("none", "linear", "exponential", "inverse_sigmoid")

#: The two settings, for the ``Config`` of any autoregressive model.
ScheduleSetting = Annotated[
    str,
    Field(
        choices=SCHEDULES,
        live=True,
        symbol=r"\epsilon_i",
        help=(
            "Scheduled sampling: with probability 1 − ε training conditions on the model's own "
            "draws instead of the data, ε falling from 1. None is teacher forcing. It is not a "
            "consistent estimator: rollouts may hold longer, but its optimum is not the data's "
            "distribution."
        ),
    ),
]
HalfLifeSetting = Annotated[
    int,
    Field(
        1,
        10_000_000,
        scale="log",
        live=True,
        symbol=r"i_{1/2}",
        help="Training step at which ε of scheduled sampling has fallen to one half.",
    ),
]


def teacher_share(schedule: str, half_life: int, step: int) -> float:
    """ε in [0, 1] at a training step: the share of inputs that are the data's.

    Args:
        schedule: One of :data:`SCHEDULES`.
        half_life: The step at which ε is 1/2, 1 or more.
        step: i, 0 at the first.

    Raises:
        ValueError: The schedule is unknown or the half-life below 1.
    """
    if schedule not in SCHEDULES:
        raise ValueError(
            f"scheduled_sampling: given '{schedule}', wanted one of {', '.join(SCHEDULES)}"
        )
    if half_life < 1:
        raise ValueError(f"half_life: given {half_life}, wanted 1 or more")
    if schedule == "linear":
        return max(0.0, 1.0 - 0.5 * step / half_life)
    if schedule == "exponential":
        return float(0.5 ** (step / half_life))
    if schedule == "inverse_sigmoid":
        k = sigmoid_rate(half_life)
        return k / (k + math.exp(min(step / k, 700.0)))
    return 1.0


def sigmoid_rate(half_life: int) -> float:
    """k of the inverse sigmoid whose ε is 1/2 at i = k ln k, by Newton's method."""
    k = max(2.0, half_life / math.log(half_life + 2.0))
    for _ in range(50):
        k -= (k * math.log(k) - half_life) / (math.log(k) + 1.0)
    return k


def mix_inputs(data: Tensor, drawn: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Values of the data with probability ε = ``share``, else the draws, one coin per value.

    Args:
        data: (…), the data's values; ``drawn`` of the same shape.
        drawn: The model's.
        share: ε; 1 gives the data back exactly.
        generator: Of the coins.
    """
    coins = uniform_noise(data.shape, generator, data)
    return torch.where(coins < share, data, drawn)
