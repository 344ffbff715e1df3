"""Error accumulation: what a model pays, value by value, on data and on its own samples."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.pixels import (
    ORDER_STREAM,
    check_count,
    conditionals_of,
    context_of,
    order_of,
    pixel_noise,
    under_order,
)
from engine.model import GenerativeModel
from engine.nets.outputs import entropy
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, split_of
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_PICTURES = 1024
#: Pictures scored at once.
CHUNK = 64
NOISE_STREAM = 45


class Arguments(msgspec.Struct, frozen=True):
    """How many pictures on each side, which split, and where free running begins.

    ``prefix`` values (the first in the order) are taken from data; the model goes on alone.
    ``entropies`` of densities cost a quadrature each: a hundred times what their NLL costs.
    """

    n: int = 64
    split: str = "test"
    prefix: int = 0
    seed: int = 0
    order: str = ""
    entropies: bool = True


@probe(
    summary="NLL per value on data (teacher forcing) and on own samples (free running).",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def own_samples_nll(view: View, arguments: Arguments) -> Iterator[Result]:
    """Mean −log p of each value given those before it, along the order; estimates, in nats.

    On its own samples a model pays its own entropy and no more: a gap between the two curves is
    what it has not learnt. Where its free-running pictures leave the data, the entropy that it
    reports there says nothing about data.

    Arrays (D,), by place in the order: ``data_nll``, ``own_nll`` with ``data_error``,
    ``own_error`` (standard errors), ``data_entropy``, ``own_entropy`` (what it expected to pay, on
    request); ``order``. Values: totals with errors, ``n_data``, ``n_own``, ``prefix``. The data
    come first as a partial result.

    Raises:
        ValueError: A number or the split is out of range, or the split is empty.
    """
    orders = view.generator(ORDER_STREAM + arguments.seed)
    model = under_order(view.model, arguments.order, generator=orders)
    check_count("n", arguments.n, MOST_PICTURES)
    if not 0 <= arguments.prefix < model.event_size:
        raise ValueError(f"prefix: given {arguments.prefix}, wanted 0 to {model.event_size - 1}")
    x, labels = _data(view, arguments)
    data = _curves(view, model, (x, labels), entropies=arguments.entropies)
    if data is None:
        return
    about: dict[str, Value] = {"n_data": len(x), "n_own": len(x), "prefix": arguments.prefix}
    arrays = {"order": order_of(model)} | data.arrays("data")
    yield Result(arrays, about | data.values("data"), final=False)
    own = _own(view, model, x, labels, arguments)
    if own is None:
        return
    found = _curves(view, model, (own, labels), entropies=arguments.entropies)
    if found is None:
        return
    values = about | data.values("data") | found.values("own")
    yield Result(arrays | found.arrays("own"), values)


class _Curves(msgspec.Struct):
    """−log p and entropy of every value of every picture, (N, D), by place in the order."""

    paid: Tensor
    expected: Tensor | None

    def arrays(self, name: str) -> dict[str, Tensor]:
        root = max(len(self.paid) - 1, 1) ** 0.5
        found = {
            f"{name}_nll": self.paid.mean(0),
            f"{name}_error": self.paid.std(0, correction=0) / root,
        }
        return found | (
            {} if self.expected is None else {f"{name}_entropy": self.expected.mean(0)}
        )

    def values(self, name: str) -> dict[str, Value]:
        totals = self.paid.sum(1)
        root = max(len(totals) - 1, 1) ** 0.5
        found: dict[str, Value] = {
            f"{name}_total": float(totals.mean()),
            f"{name}_total_error": float(totals.std(correction=0)) / root,
        }
        if self.expected is not None:
            found[f"{name}_total_entropy"] = float(self.expected.sum(1).mean())
        return found


def _data(view: View, arguments: Arguments) -> tuple[Tensor, Tensor | None]:
    data, labels = split_of(view.dataset, arguments.split)
    if not len(data):
        raise ValueError(f"split: given '{arguments.split}', which is empty")
    chosen = choose(len(data), arguments.n, view)
    x = as_float(data[chosen.to(data.device)]).to(view.model.location)
    if not view.model.uses_labels:
        return x, None
    if labels is None:
        return x, context_of(view.model, -1, len(x), view.dataset)
    return x, labels[chosen.to(labels.device)].to(view.model.device)


@torch.no_grad()
def _curves(
    view: View, model: GenerativeModel, given: tuple[Tensor, Tensor | None], *, entropies: bool
) -> _Curves | None:
    (x, labels), order = given, order_of(model)
    paid, expected = [], []
    for rows in torch.split(torch.arange(len(x)), CHUNK):
        if view.cancelled():
            return None
        part = x[rows.to(x.device)]
        context = None if labels is None else labels[rows.to(labels.device)]
        every = conditionals_of(model, part, context)
        paid.append(-every.log_prob(part.flatten(1)).cpu().double()[:, order])
        if entropies:
            expected.append(entropy(every).cpu().double()[:, order])
    return _Curves(torch.cat(paid), torch.cat(expected) if entropies else None)


@torch.no_grad()
def _own(
    view: View, model: GenerativeModel, x: Tensor, labels: Tensor | None, arguments: Arguments
) -> Tensor | None:
    """Samples (N, *E) that begin with the first values of the data."""
    mask = torch.zeros(model.event_size, dtype=torch.bool)
    mask[order_of(model)[: arguments.prefix]] = True
    noise = pixel_noise(model, len(x), view.generator(NOISE_STREAM + arguments.seed))
    steps = model.sample_steps(  # type: ignore[operator]
        noise, known=x, mask=mask.reshape(model.event_shape).to(x.device), context=labels
    )
    own = None
    for step in steps:
        if view.cancelled():
            return None
        own = step.x
    return own
