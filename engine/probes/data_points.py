"""Observations of one split, projected onto the drawn plane."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.plane import PlaneKind, data_box, make_plane
from engine.probe import Result, View, probe
from engine.target import Target
from engine.wire.fields import Value

SPLITS = ("train", "valid", "test")
#: A target has no observations: so many draws of it are shown in their place, of this stream.
TARGET_DRAWS, TARGET_STREAM = 5000, 33


class Arguments(msgspec.Struct, frozen=True):
    """How many observations of which split."""

    n: int = 2000
    split: str = "train"
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(summary="Observations on the drawn plane.", arguments=Arguments)
def data_points(view: View, arguments: Arguments) -> Iterator[Result]:
    """Points (N, dims) and labels (N,), the same ones at every step; the plane's box and names.

    Of a split of more than ``n`` a random choice is shown, in the order of the data; of a target,
    which has no observations, draws.
    """
    data, labels = split_of(view.dataset, arguments.split)
    if isinstance(view.dataset, Target):
        data = target_draws(view, view.dataset)
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


def shown_data(view: View) -> tuple[Tensor, Tensor | None]:
    """The training data (N, *E) and their labels; of a target draws, the same at every step."""
    if isinstance(view.dataset, Target):
        return target_draws(view, view.dataset), None
    return view.dataset.train, view.dataset.train_labels


def shown_words(view: View) -> str:
    """What :func:`shown_data` gives, in words."""
    return "draws of the target" if isinstance(view.dataset, Target) else "observations"


def target_draws(view: View, target: Target) -> Tensor:
    """Draws (N, 2) of exp(−E)/Z, which stand where observations would."""
    return target.sample(TARGET_DRAWS, generator=view.generator(TARGET_STREAM))


def choose(total: int, n: int, view: View) -> Tensor:
    """Indices of at most n of so many observations, in rising order."""
    if total <= n:
        return torch.arange(total)
    return torch.randperm(total, generator=view.generator())[:n].sort().values
