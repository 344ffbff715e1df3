"""Completions of a picture whose occluded part is drawn anew, given the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.capabilities import Conditionals
from engine.estimators.pixels import (
    KNOWN_FIRST,
    Occlusion,
    check_count,
    conditionals_of,
    context_of,
    has_any_order,
    levels_of,
    occlusion_of,
    order_of,
    packed,
    pixel_noise,
    under_order,
)
from engine.model import GenerativeModel
from engine.nets.stepwise import kept_unseen
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Partial answers on the way, so that a slow sampler can be watched.
N_PARTS = 8
MOST_COMPLETIONS = 256
NOISE_STREAM = 43


class Arguments(msgspec.Struct, frozen=True):
    """A picture (*E), where it is known, and how many completions.

    Attributes:
        known, mask: (*E); true in the mask is known and kept, false is occluded.
        label: Class of all completions; −1 leaves it open: each draw weighs the classes by the
            values before it.
        own_order: Keeps the model's own order even where it takes any, to show the difference.
    """

    known: np.ndarray | None = None
    mask: np.ndarray | None = None
    n: int = 12
    seed: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    label: int = -1
    own_order: bool = False


@probe(
    summary="Completions of a picture's occluded part.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def complete(view: View, arguments: Arguments) -> Iterator[Result]:
    """N draws of the occluded values; what is known stays as it is.

    An order-agnostic model takes the known values first and so draws from its
    p(occluded given all known). A model with one order draws each value given what precedes it:
    known values that come later stand in the picture, but no earlier draw took notice of them.

    Arrays: ``completions`` (N, *E); ``unseen`` (*E) bool, known values kept but not conditioned
    on; at the end ``later_log_probs`` (N,), nats: log p of the known values that come later than
    a drawn one in the model's *own* order, given all before them there, whatever order was drawn
    in. It says how well a completion goes with them. Values: ``n_unseen``, ``n_known``, ``exact``
    (nothing unseen, and neither temperature nor top-p), ``words``, ``any_order``, ``levels``,
    ``done`` (places of the order so far), ``later_log_prob`` and ``later_error`` (the mean and its
    standard error). Partial results on the way.

    Raises:
        ValueError: No picture or no mask, or one that does not fit the model.
    """
    check_count("n", arguments.n, MOST_COMPLETIONS)
    occlusion = occlusion_of(view.model, arguments.known, arguments.mask, view.dataset)
    if occlusion is None:
        raise ValueError("mask: given none, wanted (*E) that is true where the picture is known")
    any_order = has_any_order(view.model) and not arguments.own_order
    model = under_order(view.model, KNOWN_FIRST if any_order else "", occlusion)
    unseen = kept_unseen(order_of(model), occlusion.flat)
    context = _classes(model, view, arguments)
    open_class = model.uses_labels and context is None
    values = _words(int(unseen.sum()), any_order, open_class=open_class)
    plain = arguments.temperature == 1.0 and arguments.top_p == 1.0
    values |= {
        "n_known": int(occlusion.flat.sum()),
        "levels": levels_of(model) or 0,
        "exact": plain and not bool(unseen.any()),
    }
    steps = cast(Conditionals, model).sample_steps(
        pixel_noise(model, arguments.n, view.generator(NOISE_STREAM + arguments.seed)),
        known=occlusion.known,
        mask=occlusion.mask,
        context=context,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
    )
    shown = unseen.reshape(model.event_shape)
    size, every = model.event_size, max(1, -(-model.event_size // N_PARTS))
    with torch.no_grad():
        for place, step in enumerate(steps, 1):
            if view.cancelled():
                return
            if place % every and place != size:
                continue
            arrays = {"completions": packed(step.x, levels_of(model)), "unseen": shown}
            if place == size:
                later = _later_log_probs(view.model, step.x, occlusion, context)
                arrays["later_log_probs"] = later
                values |= _summed_up(later)
            yield Result(arrays, values | {"done": place}, final=place == size)


def _classes(model: GenerativeModel, view: View, arguments: Arguments) -> Tensor | None:
    """Labels (N,), or None where the class is open: p(occluded given known) sums over all."""
    if arguments.label == -1:
        return None
    return context_of(model, arguments.label, arguments.n, view.dataset)


def _later_log_probs(
    model: GenerativeModel, x: Tensor, occlusion: Occlusion, context: Tensor | None
) -> Tensor:
    """Σ log p of the known values after a drawn one in the model's own order, (N,) float64."""
    later = kept_unseen(order_of(model), occlusion.flat).to(x.device)
    if not bool(later.any()):
        return torch.zeros(len(x), dtype=torch.float64)
    log_p = conditionals_of(model, x, context).log_prob(x.flatten(1))
    return log_p[:, later].double().sum(1).cpu()


def _summed_up(later: Tensor) -> dict[str, Value]:
    error = float(later.std()) / len(later) ** 0.5 if len(later) > 1 else 0.0
    return {"later_log_prob": float(later.mean()), "later_error": error}


def _words(n_unseen: int, any_order: bool, *, open_class: bool) -> dict[str, Value]:
    if any_order:
        words = "conditioned on all known values: they come first in the order"
    elif n_unseen:
        words = (
            f"{n_unseen} known values are kept but not conditioned on: they come later in the "
            "order than values that were drawn"
        )
    else:
        words = "conditioned on all known values: they all precede the drawn ones"
    if open_class:
        words += "; classes are weighed by the values before each draw"
    return {"n_unseen": n_unseen, "any_order": any_order, "words": words}
