"""Pictures that grow value by value, as a stream of numbered pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.capabilities import Conditionals, Step
from engine.estimators.pixels import (
    ORDER_STREAM,
    Occlusion,
    check_count,
    context_of,
    levels_of,
    occlusion_of,
    packed,
    pixel_noise,
    under_order,
)
from engine.model import GenerativeModel
from engine.nets.outputs import entropy, is_discrete, level_probs
from engine.nets.stepwise import kept_unseen
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Pieces into which a stream is cut where no other number of values per piece is given.
N_PIECES = 64
MOST_SAMPLES = 1024
#: Streams of one view that take other noise than other probes do.
NOISE_STREAM = 41


class Arguments(msgspec.Struct, frozen=True):
    """What to draw, and how much of it to send at once.

    Attributes:
        n: Pictures that grow together.
        seed: Of the noise, one number per value and picture, and of the order ``"random"``.
        temperature, top_p: See :func:`engine.nets.outputs.tempered`.
        chunk: Values per piece; 0 gives 64 pieces.
        watch: The picture whose conditionals are sent with all levels; −1 for none.
        label: Class of all pictures; −1 takes each class in turn.
        order: ``""`` for the model's own, a name of :data:`engine.nets.orders.ORDER_NAMES`, or
            ``"known_first"``.
        known, mask: (*E), values that are kept where the mask is true.
    """

    n: int = 16
    seed: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    chunk: int = 0
    watch: int = 0
    label: int = -1
    order: str = ""
    known: np.ndarray | None = None
    mask: np.ndarray | None = None


@probe(
    summary="Samples that grow value by value.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def pixel_stream(view: View, arguments: Arguments) -> Iterator[Result]:
    """Pieces of P values each, in the order of drawing; ask as a stream to get all of them.

    Arrays: ``indices`` (P,) flat indices; ``values`` (N, P) levels as uint8, or float32;
    ``entropies`` (N, P) and ``log_probs`` (N, P), nats, of the conditionals drawn from;
    ``probabilities`` (P, levels) of the watched picture, where the model has levels. The first
    piece also has ``order`` (D,) and ``unseen`` (D,) bool: known values that are kept but that
    some drawn value took no notice of, because they come later in the order.

    Values: ``start`` (place of the first value), ``total`` (D), ``levels`` (0 for real values),
    ``exact``: whether the log-probabilities sum to the model's own log p (no temperature, top-p or
    known values), ``labels`` of the pictures, ``n_unseen``.

    Raises:
        ValueError: An argument is out of range, or the model has one order only.
    """
    check_count("n", arguments.n, MOST_SAMPLES)
    occlusion = occlusion_of(view.model, arguments.known, arguments.mask, view.dataset)
    generator = view.generator(NOISE_STREAM + arguments.seed)
    noise = pixel_noise(view.model, arguments.n, generator)
    orders = view.generator(ORDER_STREAM + arguments.seed)
    model = under_order(view.model, arguments.order, occlusion, orders)
    context = context_of(model, arguments.label, arguments.n, view.dataset)
    steps = _steps(model, noise, occlusion, context, arguments)
    about = _about(model, occlusion, context, arguments)
    size = arguments.chunk or max(1, -(-model.event_size // N_PIECES))
    start = 0
    with torch.no_grad():
        while piece := list(islice(steps, size)):
            if view.cancelled():
                return
            arrays = _arrays(piece, model, arguments.watch)
            if start == 0:
                arrays |= about.arrays
            final = start + len(piece) == model.event_size
            yield Result(arrays, about.values | {"start": start}, final=final)
            start += len(piece)


def _steps(
    model: GenerativeModel,
    noise: Tensor,
    occlusion: Occlusion | None,
    context: Tensor | None,
    arguments: Arguments,
) -> Iterator[Step]:
    return cast(Conditionals, model).sample_steps(
        noise,
        known=None if occlusion is None else occlusion.known,
        mask=None if occlusion is None else occlusion.mask,
        context=context,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
    )


@dataclass(frozen=True)
class _About:
    arrays: dict[str, Tensor]
    values: dict[str, Value]


def _about(
    model: GenerativeModel,
    occlusion: Occlusion | None,
    context: Tensor | None,
    arguments: Arguments,
) -> _About:
    order = cast(Conditionals, model).order.cpu()
    unseen = torch.zeros(model.event_size, dtype=torch.bool)
    if occlusion is not None:
        unseen = kept_unseen(order, occlusion.flat)
    plain = arguments.temperature == 1.0 and arguments.top_p == 1.0 and occlusion is None
    values: dict[str, Value] = {
        "total": model.event_size,
        "levels": levels_of(model) or 0,
        "exact": plain,
        "n_unseen": int(unseen.sum()),
        "labels": [] if context is None else context.tolist(),
    }
    return _About({"order": order, "unseen": unseen}, values)


def _arrays(piece: list[Step], model: GenerativeModel, watch: int) -> dict[str, Tensor]:
    values = [step.x.flatten(1)[:, step.index] for step in piece]
    pairs = list(zip(piece, values, strict=True))
    drawn = torch.stack(values, 1)
    log_probs = torch.stack([_log_prob(step, value) for step, value in pairs], 1)
    arrays = {
        "indices": torch.tensor([step.index for step in piece]),
        "values": packed(drawn, levels_of(model)),
        "entropies": torch.stack([entropy(step.conditional) for step in piece], 1).float(),
        "log_probs": log_probs.float(),
    }
    if 0 <= watch < len(drawn) and is_discrete(piece[0].conditional):
        rows = [level_probs(step.conditional)[watch] for step in piece]
        arrays["probabilities"] = torch.stack(rows).float()
    return arrays


def _log_prob(step: Step, value: Tensor) -> Tensor:
    log_p: Tensor = step.conditional.log_prob(value)
    return log_p
