r"""The likelihood of one picture under a flow, from the base through the layers to the levels.

.. math::
    \log p(x) = \sum_s \log p_Z(z_s) + \sum_l \log|\det J_l| + \log|\det J_{\text{logit}}|

with the base values z_s that leave at scale s. Levels are dequantised: every term is then its mean
over K draws of the noise u, and what is left is by how much the log of the mean lies above the
mean of the logs,

.. math::
    \log P(x) \ge \mathbb E \log \frac1K \sum_k p(x + u_k)
        = \frac1K \sum_k \log p(x + u_k) + \text{gain}.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.bijections.bases import Factorised
from engine.capabilities import Bound, FlowPath, HasFlowPath, LogProb
from engine.estimators.bits import bits_of
from engine.estimators.density import check_draws
from engine.estimators.flow_pictures import picture_flow_of, scales_of
from engine.estimators.precision import in_double
from engine.estimators.terms import log_mean_error
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.probes.flow_between import flat_pictures
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_DRAWS = 256
#: Numbers of steps within a name, which say nothing once a group is summed.
STEP, NUMBERED = re.compile(r", step \d+(?=:)"), re.compile(r"(, [a-z]+) \d+(?=:)")
WORDS = {
    "dequantise": "Noise within the cell of each level: a shift, which changes no volume.",
    "logit": "The levels' range taken to the whole line, its ends drawn in by α.",
    "standardise": "Each channel by its centre and spread.",
}


class Arguments(msgspec.Struct, frozen=True):
    """A picture ``event`` (D,), and the draws of noise where it is of levels."""

    event: np.ndarray
    n_draws: int = 16


class _Row(NamedTuple):
    """A summand, one value per draw (K,)."""

    name: str
    values: Tensor
    words: str


@probe(
    summary="The likelihood of a picture as a sum: base, layers, logit, dequantisation.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_likelihood(view: View, arguments: Arguments) -> Iterator[Result]:
    """The number of the model's own method, and the terms that add up to it, in nats.

    Values: ``kind`` (``"exact"`` or ``"bound"``), ``log_prob``, ``error``, ``residual``; of the
    terms ``terms``, ``term_values``, ``term_errors``, ``term_words``; ``size`` D; ``bits`` per
    dimension and ``bits_label``, None and "" where there are none; ``bits_offset``, log₂ k where
    the density is one of (x + u)/k.

    Raises:
        ValueError: An argument is out of range, or the events are no pictures.
    """
    picture_flow_of(view.model, view.dataset.event)
    event = flat_pictures(view, arguments.event)[:1]
    check_draws(arguments.n_draws)
    if arguments.n_draws > MOST_DRAWS:
        raise ValueError(f"n_draws: given {arguments.n_draws}, wanted at most {MOST_DRAWS}")
    with torch.no_grad():
        twin, x = in_double(view.model, event)
        kind, weights = _weights(twin, x, arguments.n_draws, view.generator())
        flow = picture_flow_of(twin, view.dataset.event)
        # The same generator gives the path the noise that the bound's draws had.
        chance = view.generator() if kind == "bound" else None
        path = flow.path(x.expand(len(weights), *x.shape[1:]), generator=chance)
        rows = [*_base_rows(flow, path), *_layer_rows(path)]
    yield Result({}, _values(view, kind, weights, rows))


def _weights(
    model: GenerativeModel, x: Tensor, n_draws: int, generator: torch.Generator
) -> tuple[str, Tensor]:
    """What the number is, and its draws (K,) by the model's own method."""
    if isinstance(model, LogProb):
        return "exact", model.log_prob(x)
    if isinstance(model, Bound):
        return "bound", model.elbo(x, n_draws=n_draws, generator=generator).log_weights[:, 0]
    raise ValueError(f"{model.card.title} has neither a density nor a bound")


def _base_rows(flow: HasFlowPath, path: FlowPath) -> list[_Row]:
    """The base's log-density, apart by scale, the coarsest first."""
    base, scales, z = flow.base(), scales_of(flow), path.states[-1]
    n_scales = int(scales.max()) + 1
    if n_scales == 1 or not isinstance(base, Factorised):
        words = "Log-density of the base where the picture ends."
        return [_Row("log p(z) of the base", base.log_prob(z), words)]
    densities = base.log_densities(z)
    return [
        _Row(
            f"log p(z), scale {scale + 1}",
            densities[:, scales == scale].sum(1),
            f"Log-density of the {int((scales == scale).sum())} base values that leave at scale "
            f"{scale + 1}" + (", the coarsest." if scale + 1 == n_scales else "."),
        )
        for scale in reversed(range(n_scales))
    ]


def _layer_rows(path: FlowPath) -> list[_Row]:
    """Log-dets, steps of one kind and scale together, from base to data."""
    groups: dict[str, list[Tensor]] = {}
    for name, log_det in zip(path.names, path.log_dets, strict=True):
        group = NUMBERED.sub(r"\1", STEP.sub("", name))
        groups.setdefault(group, []).append(log_det)
    rows = []
    for name, parts in reversed(groups.items()):
        together = f"{len(parts)} layers together. " if len(parts) > 1 else ""
        words = WORDS.get(
            name, "log|det J|: by how much space is stretched on the way to the base."
        )
        rows.append(_Row(name, torch.stack(parts).sum(0), f"{together}{words}"))
    return rows


def _values(view: View, kind: str, weights: Tensor, rows: list[_Row]) -> dict[str, Value]:
    n = len(weights)
    number = float(torch.logsumexp(weights, 0)) - math.log(n)
    terms = [(row.name, float(row.values.mean()), _error(row.values), row.words) for row in rows]
    if kind == "bound":
        words = f"The log of the mean of p(x + u) over {n} draws lies so far above the mean log."
        terms.append((f"gain of {n} draws", number - float(weights.mean()), 0.0, words))
    bits = bits_of(-number, view.model, view.dataset)
    size, levels = view.model.event_size, view.dataset.dequantised_levels
    return {
        "kind": kind,
        "log_prob": number,
        "error": log_mean_error(weights),
        "residual": number - math.fsum(term[1] for term in terms),
        "terms": [term[0] for term in terms],
        "term_values": [term[1] for term in terms],
        "term_errors": [term[2] for term in terms],
        "term_words": [term[3] for term in terms],
        "size": size,
        "bits": None if bits is None else bits.value,
        "bits_label": "" if bits is None else bits.label,
        "bits_offset": math.log2(levels) if levels is not None else 0.0,
    }


def _error(draws: Tensor) -> float:
    return float(draws.std()) / math.sqrt(len(draws)) if len(draws) > 1 else 0.0
