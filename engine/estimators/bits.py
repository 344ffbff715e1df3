r"""Bits per dimension, with the levels that they speak of.

A log-probability of a picture of D values in nats becomes bits per dimension by

.. math:: b = -\frac{\log p(x)}{D \ln 2}.

A *density* of dequantised pictures y = (x + u)/k, u uniform in [0, 1)^D, bounds the probability of
the whole levels x from below (Theis, van den Oord & Bethge 2016, "A note on the evaluation of
generative models"): E_u log p(y) ≤ log P(x) + D ln k, hence

.. math:: b \le \log_2 k - \frac{\mathbb{E}_u \log p(y)}{D \ln 2}.

Scaling to other units, such as [−1, 1], would give another constant; the data sets of Genscope use
none but this one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.dataset import Dataset
from engine.model import GenerativeModel


@dataclass(frozen=True)
class Bits:
    """A figure in bits per dimension, and in words what it is of.

    ``is_bound`` says that the true number of the levels is at most this one.
    """

    value: float
    label: str
    is_bound: bool = False


def bits_per_dim(nll: float, size: int, dequantised_levels: int | None = None) -> float:
    """Nats per event → bits per dimension.

    Args:
        nll: Negative log-probability in nats; of dequantised pictures a negative log-density.
        size: D, the number of values of one event.
        dequantised_levels: k of (x + u)/k where ``nll`` is of a density, else None.

    Raises:
        ValueError: ``size`` or ``dequantised_levels`` is below 1.
    """
    if size < 1 or (dequantised_levels is not None and dequantised_levels < 1):
        raise ValueError(
            f"bits per dimension: given {size} values and {dequantised_levels} levels, wanted at "
            "least 1 of each"
        )
    return nll / (size * math.log(2.0)) + math.log2(dequantised_levels or 1)


def nats(bits: float, size: int, dequantised_levels: int | None = None) -> float:
    """The inverse of :func:`bits_per_dim`: bits per dimension → nats per event."""
    bits_per_dim(0.0, size, dequantised_levels)
    return (bits - math.log2(dequantised_levels or 1)) * size * math.log(2.0)


def bits_of(nll: float, model: GenerativeModel, dataset: Dataset) -> Bits | None:
    """Bits per dimension of a model's score on pictures; None where there is no such number.

    There is none for events that are no pictures, for real pictures that do not say what they
    were dequantised from, and for the *density* of a continuous model at whole levels, which can
    be made as large as one likes.
    """
    event = dataset.event
    if event.kind != "picture":
        return None
    if event.support == "real":
        levels = dataset.dequantised_levels
        if levels is None:
            return None
        value = bits_per_dim(nll, event.size, levels)
        return Bits(value, f"bits/dim of {levels} levels, by dequantisation", is_bound=True)
    if getattr(model.config, "levels", None) is None:
        return None
    return Bits(bits_per_dim(nll, event.size), f"bits/dim of {event.levels} levels")
