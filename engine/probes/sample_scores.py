"""How far the model's samples are from the truth's, beside what a perfect sampler would score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch

from engine.estimators import sample_scores as estimators
from engine.estimators.density import CancellationError
from engine.estimators.draws import draw_events
from engine.estimators.null_band import ENOUGH, NullBand, null_band
from engine.estimators.sample_scores import SCORES, truth_source
from engine.probe import Result, View, probe
from engine.wire.fields import Value

#: Stream of the view's generator for the truth's sample; the model's draws take another.
TRUTH_STREAM, MODEL_STREAM = 11, 12
#: Repetitions of the null between two looks at whether the answer is still wanted.
MOST_REPETITIONS = 10_000


class Arguments(msgspec.Struct, frozen=True):
    """Points a side, and how many repetitions of truth against truth there should be by then.

    Repetitions are remembered per data set and n: ask for some more each time, so that no single
    answer takes long.
    """

    n: int = 500
    repetitions: int = 100
    chain_steps: int = 200


@probe(summary="Energy distance, MMD² and sliced Wasserstein of samples.", arguments=Arguments)
def sample_scores(view: View, arguments: Arguments) -> Iterator[Result]:
    """No arrays; values, each score with ``_low``, ``_middle``, ``_high`` of its null band.

    ``energy_distance`` and ``sliced_wasserstein`` are in data units, ``mmd`` is MMD² and has none.
    ``n`` points a side, ``repetitions`` so far, ``enough`` of them for a settled band;
    ``draws`` says how the model's samples came about and ``against`` with what they are compared.
    A first result comes with the band as it stands, a second one with that asked for.

    Raises:
        ValueError: The model can draw no samples, or a number is out of range.
    """
    if not 0 <= arguments.repetitions <= MOST_REPETITIONS:
        raise ValueError(
            f"repetitions: given {arguments.repetitions}, wanted 0 to {MOST_REPETITIONS}"
        )
    source = truth_source(view.dataset, arguments.n)
    with suppress(CancellationError):
        drawn = draw_events(
            view.model,
            source.n,
            generator=view.generator(MODEL_STREAM),
            chain_steps=arguments.chain_steps,
            cancelled=view.cancelled,
        )
        x = drawn.events.reshape(source.n, -1).cpu().to(torch.float32)
        y = source.reference(view.generator(TRUTH_STREAM))
        band = null_band(source)
        found = estimators.sample_scores(x, y, band.bandwidth)
        values: dict[str, Value] = {
            name: _finite(v) for name, v in zip(SCORES, found, strict=True)
        }
        values |= {
            "n": source.n,
            "kind": "estimate" if drawn.kind == "exact" else "estimate, by chains",
            "draws": drawn.label,
            "against": source.label,
            "bandwidth": band.bandwidth,
            "enough": ENOUGH,
        }
        settled = band.n_repetitions >= arguments.repetitions
        yield Result({}, values | _band_values(band), final=settled)
        if not settled:
            band.extend(arguments.repetitions, view.cancelled)
            yield Result({}, values | _band_values(band))


def _band_values(band: NullBand) -> dict[str, Value]:
    values: dict[str, Value] = {"repetitions": band.n_repetitions}
    for name, ends in zip(SCORES, band.bands().tolist(), strict=True):
        for end, value in zip(("low", "middle", "high"), ends, strict=True):
            values[f"{name}_{end}"] = _finite(value)
    return values


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
