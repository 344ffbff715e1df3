"""What an energy says of events that are unlike the data, beside a classifier's confidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Classifier
from engine.dataset import as_float
from engine.estimators.density import as_events
from engine.estimators.landscape import landscape_of
from engine.estimators.outliers import OUTSIDERS, auroc, outsiders
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.wire.fields import Value

MOST, MOST_PICTURES, TOGETHER = 5000, 64, 250


class Arguments(msgspec.Struct, frozen=True):
    """Held-out events, as many of each kind outside, and how many are sent whole."""

    n: int = 500
    n_pictures: int = 0


@probe(summary="How well the energy tells what lies outside the data.", arguments=Arguments)
def outliers(view: View, arguments: Arguments) -> Iterator[Result]:
    """The energy of held-out events and of :func:`engine.estimators.outliers.outsiders`.

    - ``energy`` (K + 1, N), nats: row 0 the held-out events, then each kind outside them.
    - ``unsure`` (K + 1, N), of a classifier: 1 − max_y p(y given x).
    - ``pictures`` (K + 1, M, *E): the first ones of each row; ``typical`` and ``odd`` (M, *E): the
      held-out events of the least and of the greatest energy.

    Values: ``names`` of the K kinds; ``auroc`` and ``auroc_error`` of the energy, each K numbers,
    and of a classifier ``auroc_unsure`` and ``auroc_unsure_error``; ``n``; ``split``.

    Raises:
        ValueError: There are no observations, or no energy over real values.
    """
    if not 2 <= arguments.n <= MOST or not 0 <= arguments.n_pictures <= MOST_PICTURES:
        raise ValueError(
            f"outliers: given {arguments.n} events and {arguments.n_pictures} pictures, wanted "
            f"2 to {MOST} and at most {MOST_PICTURES}"
        )
    land = landscape_of(view.model, view.dataset)
    data, split = _held_out(view, arguments.n)
    rows = {"data": data} | outsiders(data, torch.Generator().manual_seed(view.seed))
    energies = _scores(view, rows, lambda x: land.energy(x.flatten(1)))
    if energies is None:
        return
    values: dict[str, Value] = {"n": len(data), "split": split, "names": [*OUTSIDERS]}
    arrays = {"energy": energies} | _pictures(rows, energies[0], arguments.n_pictures)
    values |= _areas(energies, "auroc")
    if isinstance(view.model, Classifier):
        unsure = _scores(view, rows, _unsure(view.model, view.model))
        if unsure is None:
            return
        arrays["unsure"] = unsure
        values |= _areas(unsure, "auroc_unsure")
    yield Result(arrays, values)


def _held_out(view: View, n: int) -> tuple[Tensor, str]:
    """Events of the validation split, or of the training one where there is none."""
    split = "validation" if len(view.dataset.valid) > 1 else "training"
    data = view.dataset.valid if split == "validation" else view.dataset.train
    if len(data) < 2:
        raise ValueError("outliers: given a run without observations, wanted one with data")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(view.seed))
    return as_float(data[order[:n]]).cpu(), split


def _unsure(model: Classifier, device_of: GenerativeModel) -> Callable[[Tensor], Tensor]:
    def score(x: Tensor) -> Tensor:
        return 1.0 - model.class_log_probs(as_events(device_of, x)).exp().amax(1)

    return score


@torch.no_grad()
def _scores(
    view: View, rows: dict[str, Tensor], score: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """(K + 1, N) float64 on the CPU; None when nobody wants it any more."""
    found = []
    for events in rows.values():
        parts = []
        for piece in torch.split(events, TOGETHER):
            if view.cancelled():
                return None
            parts.append(score(piece.to(view.model.device)).cpu().double())
        found.append(torch.cat(parts))
    return torch.stack(found)


def _areas(scores: Tensor, name: str) -> dict[str, Value]:
    pairs = [auroc(scores[0], row) for row in scores[1:]]
    return {name: [area for area, _ in pairs], f"{name}_error": [error for _, error in pairs]}


def _pictures(rows: dict[str, Tensor], energy: Tensor, n: int) -> dict[str, Tensor]:
    if not n:
        return {}
    order, data = energy.argsort(stable=True), rows["data"]
    return {
        "pictures": torch.stack([events[:n] for events in rows.values()]).float(),
        "typical": data[order[:n]].float(),
        "odd": data[order.flip(0)[:n]].float(),
    }
