"""One network under several orders: the likelihood of each, and of their mixture."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.orders import each_log_prob, ensemble_log_prob, members_of
from engine.estimators.pixels import check_count
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, split_of
from engine.wire.capability import Capability

MOST_PICTURES, MOST_ORDERS = 4096, 64
#: Pictures scored at once.
CHUNK = 64
ORDER_STREAM = 46


class Arguments(msgspec.Struct, frozen=True):
    """How many orders and pictures, and what is averaged."""

    n_orders: int = 8
    n: int = 128
    split: str = "test"
    average: str = "probabilities"


@probe(
    summary="Likelihoods of several orders, and of their mixture.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS, Capability.LOG_PROB),
)
def order_ensemble(view: View, arguments: Arguments) -> Iterator[Result]:
    """Mean −log p over pictures of one split: exact for these, estimates for the data.

    Arrays (R,): ``nlls`` with ``errors`` (standard errors), one per order. Values: ``nll`` and
    ``error`` of the mixture of orders, nats, which is never above the mean of ``nlls``;
    ``mean_nll``, ``n``, ``n_orders``.

    Raises:
        ValueError: The model has one order alone, logits are to be averaged (no likelihood comes
            of that), or a number is out of range.
    """
    check_count("n", arguments.n, MOST_PICTURES)
    check_count("n_orders", arguments.n_orders, MOST_ORDERS)
    data, _ = split_of(view.dataset, arguments.split)
    if not len(data):
        raise ValueError(f"split: given '{arguments.split}', which is empty")
    members = members_of(view.model, arguments.n_orders, view.generator(ORDER_STREAM))
    x = as_float(data[choose(len(data), arguments.n, view).to(data.device)])
    x = x.to(view.model.location)
    ensemble_log_prob(members, x[:1], average=arguments.average)
    every = []
    for rows in torch.split(x, CHUNK):
        if view.cancelled():
            return
        with torch.no_grad():
            every.append(each_log_prob(members, rows).double().cpu())
    log_p = torch.cat(every, 1)  # (R, B)
    mixed = torch.logsumexp(log_p, 0) - torch.tensor(float(len(members))).log()
    yield Result(
        {"nlls": -log_p.mean(1), "errors": _error(log_p)},
        {
            "nll": float(-mixed.mean()),
            "error": float(_error(mixed)),
            "mean_nll": float(-log_p.mean()),
            "n": len(x),
            "n_orders": len(members),
        },
    )


def _error(log_p: Tensor) -> Tensor:
    found: Tensor = log_p.std(-1, correction=0) / max(log_p.shape[-1] - 1, 1) ** 0.5
    return found
