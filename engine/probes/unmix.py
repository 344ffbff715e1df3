r"""Sounds that were mixed, taken apart by a flow: what each coordinate of its base sounds like.

A flow whose base coordinates are independent undoes a mixture as far as mixtures can be undone:
up to order, sign and loudness. Where the sources are known, outputs are matched to them so that
the sum of the absolute correlations is largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Protocol, runtime_checkable

import msgspec
import torch
from torch import Tensor

from engine.capabilities import HasFlowPath
from engine.estimators.density import as_events
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Instants taken through the flow at once.
PIECE = 8192


class Arguments(msgspec.Struct, frozen=True):
    """Nothing to choose: the whole recording is unmixed."""


@runtime_checkable
class Recording(Protocol):
    """A data set of instants that also keeps them in time: ``mixtures`` and ``sounds`` (T, D)."""

    rate: int
    mixtures: Tensor
    sounds: Tensor
    source_names: tuple[str, ...]


@probe(
    summary="Mixed sounds taken apart: waveforms, correlations, kurtosis.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def unmix(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""``mixtures``, ``unmixed`` and ``sources`` (D, T), unit variance each, in time.

    Row i of ``unmixed`` is the output that goes with source i, turned to its sign. Values:
    ``rate`` in samples a second, ``names`` of the sources, ``correlations`` |r| of each pair, and
    the kurtosis :math:`E s^4 / (E s^2)^2`, 3 for a normal law, of each row:
    ``mixture_kurtosis``, ``unmixed_kurtosis``, ``source_kurtosis``.

    Raises:
        ValueError: The data are no recording.
    """
    data, model = view.dataset, view.model
    if not isinstance(data, Recording):
        raise ValueError(
            f"unmix: given {data.card.title}, wanted instants of a recording, such as Mixed sounds"
        )
    if not isinstance(model, HasFlowPath):
        raise ValueError(f"{model.card.title} has no path from data to base")
    with torch.no_grad():
        pieces = torch.split(data.mixtures, PIECE)
        base = torch.cat([model.path(as_events(model, piece)).states[-1] for piece in pieces])
    outputs, sources = whitened(base), whitened(data.sounds)
    order, correlations = matched(outputs, sources)
    unmixed = outputs[:, order] * correlations.sign()
    arrays = {
        "mixtures": whitened(data.mixtures).T.float().contiguous(),
        "unmixed": unmixed.T.float().contiguous(),
        "sources": sources.T.float().contiguous(),
    }
    values: dict[str, Value] = {
        "rate": data.rate,
        "names": list(data.source_names),
        "correlations": correlations.abs().tolist(),
        "mixture_kurtosis": kurtosis(data.mixtures).tolist(),
        "unmixed_kurtosis": kurtosis(unmixed).tolist(),
        "source_kurtosis": kurtosis(data.sounds).tolist(),
    }
    yield Result(arrays, values)


def whitened(signals: Tensor) -> Tensor:
    """(T, D) with mean 0 and variance 1 in each column, float64 on the CPU; constants become 0."""
    centred = signals.cpu().double() - signals.cpu().double().mean(0)
    return centred / centred.std(0, correction=0).clamp_min(1e-12)


def matched(outputs: Tensor, sources: Tensor) -> tuple[list[int], Tensor]:
    """Which output goes with each source, and their correlations (D,), of whitened (T, D)."""
    correlations = outputs.T @ sources / len(sources)  # (output, source)
    count = correlations.shape[1]
    columns = torch.arange(count)
    best = max(
        permutations(range(count)),
        key=lambda order: float(correlations[list(order), columns].abs().sum()),
    )
    return list(best), correlations[list(best), columns]


def kurtosis(signals: Tensor) -> Tensor:
    """E s⁴ / (E s²)² of the columns of (T, D), (D,), about the mean."""
    return whitened(signals).pow(4).mean(0)
