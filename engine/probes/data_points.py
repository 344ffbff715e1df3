"""Observations of one split, projected onto the drawn plane."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.plane import PlaneKind, data_box, make_plane
from engine.probe import Result, View, probe
from engine.wire.fields import Value

SPLITS = ("train", "valid", "test")


class Arguments(msgspec.Struct, frozen=True):
    """How many observations of which split."""

    n: int = 2000
    split: str = "train"
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(summary="Observations on the drawn plane.", arguments=Arguments)
def data_points(view: View, arguments: Arguments) -> Iterator[Result]:
    """Points (N, dims) and labels (N,), the same ones at every step; the plane's box and names.

    Of a split of more than ``n`` a random choice is shown, in the order of the data.
    """
    data, labels = split_of(view.dataset, arguments.split)
    if arguments.n < 1:
        raise ValueError(f"n: given {arguments.n}, wanted 1 or more")
    chosen = choose(len(data), arguments.n, view)
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    box = data_box(view.dataset, plane)
    shown = torch.full((len(chosen),), -1) if labels is None else labels.cpu()[chosen]
    values: dict[str, Value] = {
        "low": list(box.low),
        "high": list(box.high),
        "x_name": plane.names[0],
        "y_name": plane.names[1] if plane.dims == 2 else "",
        "n_all": len(data),
    }
    points = plane.project(data[chosen]).to(torch.float32)
    yield Result({"points": points, "labels": shown.to(torch.int32)}, values)


def split_of(dataset: Dataset, name: str) -> tuple[Tensor, Tensor | None]:
    """One split and its labels, if it has any; raises ``ValueError`` for another name."""
    if name not in SPLITS:
        raise ValueError(f"split: given '{name}', wanted one of {', '.join(SPLITS)}")
    return getattr(dataset, name), getattr(dataset, f"{name}_labels")


def choose(total: int, n: int, view: View) -> Tensor:
    """Indices of at most n of so many observations, in rising order."""
    if total <= n:
        return torch.arange(total)
    return torch.randperm(total, generator=view.generator())[:n].sort().values
