"""Observations of one split as they are, for pictures beside the model's samples."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch

from engine.probe import Result, View, probe
from engine.probes.data_points import choose, split_of


class Arguments(msgspec.Struct, frozen=True):
    """How many observations of which split."""

    n: int = 36
    split: str = "train"


@probe(summary="Observations in data units.", arguments=Arguments)
def data_examples(view: View, arguments: Arguments) -> Iterator[Result]:
    """Examples (N, *E) and labels (N,) int32 (−1 without), a random choice that stays the same.

    Raises:
        ValueError: The split is unknown or ``n`` is not positive.
    """
    if arguments.n < 1:
        raise ValueError(f"n: given {arguments.n}, wanted 1 or more")
    data, labels = split_of(view.dataset, arguments.split)
    chosen = choose(len(data), arguments.n, view)
    shown = torch.full((len(chosen),), -1) if labels is None else labels.cpu()[chosen]
    examples = data[chosen].to(torch.float32)
    yield Result({"examples": examples, "labels": shown.to(torch.int32)})
