"""A linear classifier with few labels, on frozen latents and on the raw values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Decoding, Encoding
from engine.dataset import Dataset, as_float
from engine.estimators.density import CancellationError, as_events
from engine.estimators.linear_probe import (
    LABEL_COUNTS,
    MOST_JUDGED,
    few_labels,
    probe_accuracy,
)
from engine.estimators.units import posterior_means
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Labelled observations that the few are chosen from.
MOST_LEARNT = 4000
MOST_SEEDS = 50


class Arguments(msgspec.Struct, frozen=True):
    """How many labels, and seeds that choose which."""

    counts: tuple[int, ...] = LABEL_COUNTS
    n_seeds: int = 5


@probe(
    summary="Accuracy of a linear classifier with few labels.",
    arguments=Arguments,
    needs=(Capability.ENCODING, Capability.DECODING),
)
def label_probe(view: View, arguments: Arguments) -> Iterator[Result]:
    """Learn from few labels on E_q[z] and on the raw values, judge by held-out data.

    Both classifiers are logistic regressions on the same observations. Arrays, filled row by row:
    ``counts`` (C,), ``latents`` and ``raw`` (C, S) accuracies of each seed, NaN while unknown.
    Values: ``chance`` (share of the most frequent class), ``classes``, ``n_test``, ``progress``.

    Raises:
        ValueError: The data have no labels, or a number is out of range.
    """
    counts = _counts(view.dataset, arguments)
    with suppress(CancellationError):
        yield Result({}, {"progress": 0.0}, final=False)
        train, train_labels = _split(view, "train", MOST_LEARNT)
        test, test_labels = _split(view, "test", MOST_JUDGED)
        features = {
            "latents": (_code(view, train), _code(view, test)),
            "raw": (_raw(train), _raw(test)),
        }
        shape = (len(counts), arguments.n_seeds)
        found = {name: torch.full(shape, torch.nan, dtype=torch.float64) for name in features}
        biggest = float(torch.bincount(test_labels).max()) / len(test_labels)
        total = len(counts) * arguments.n_seeds
        for place in range(total):
            if view.cancelled():
                return
            seed, row = divmod(place, len(counts))
            rows = few_labels(train_labels, counts[row], view.generator(200 + seed))
            for name, (own, judged) in features.items():
                found[name][row, seed] = probe_accuracy(
                    own[rows], train_labels[rows], judged, test_labels
                )
            values: dict[str, Value] = {
                "chance": biggest,
                "classes": list(view.dataset.labels),
                "n_test": len(test_labels),
                "progress": (place + 1) / total,
            }
            arrays = {"counts": torch.tensor(counts)}
            arrays |= {name: table.clone() for name, table in found.items()}
            yield Result(arrays, values, final=place + 1 == total)


def _counts(dataset: Dataset, arguments: Arguments) -> tuple[int, ...]:
    if dataset.train_labels is None or dataset.test_labels is None or not len(dataset.test):
        raise ValueError(
            f"{dataset.card.title} have no labels; choose data that do, such as digits"
        )
    if not 1 <= arguments.n_seeds <= MOST_SEEDS or any(n < 1 for n in arguments.counts):
        raise ValueError(
            f"label_probe: given n_seeds {arguments.n_seeds} and counts {arguments.counts}, "
            f"wanted 1 to {MOST_SEEDS} seeds and counts of at least 1"
        )
    known = min(len(dataset.train_labels), MOST_LEARNT)
    counts = tuple(n for n in arguments.counts if n <= known)
    if not counts:
        raise ValueError(f"counts: given {arguments.counts}, wanted at most {known} labels")
    return counts


def _split(view: View, name: str, most: int) -> tuple[Tensor, Tensor]:
    data, labels = getattr(view.dataset, name), getattr(view.dataset, f"{name}_labels")
    chosen = torch.randperm(len(data), generator=view.generator(7))[:most]
    x = as_events(view.model, as_float(data[chosen]).flatten(1))
    return x, labels.cpu()[chosen]


def _raw(x: Tensor) -> Tensor:
    return x.flatten(1).cpu().double()


def _code(view: View, x: Tensor) -> Tensor:
    """E_q[z] of all latents side by side, (N, U); a model that uses labels is given none."""
    model = view.model
    if not (isinstance(model, Encoding) and isinstance(model, Decoding)):
        raise ValueError(f"{model.card.title} has no encoder")
    means = posterior_means(
        model, model.latents, x, generator=view.generator(8), cancelled=view.cancelled
    )
    return torch.cat([means[latent.name].values for latent in model.latents], 1)
