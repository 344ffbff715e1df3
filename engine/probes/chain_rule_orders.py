"""The same joint, factored in every order: the product never changes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.capabilities import AnyOrder, LogProb
from engine.dataset import as_float
from engine.estimators.joint_table import (
    MOST_STATES,
    all_states,
    conditionals_of_table,
    empirical_table,
    model_table,
    orders_of,
)
from engine.estimators.pixels import has_any_order, levels_of
from engine.estimators.precision import in_double
from engine.model import GenerativeModel
from engine.nets.orders import check_order
from engine.probe import Result, View, probe
from engine.wire.fields import Value

#: Values of a larger event whose joint over the data is taken instead of the model's.
N_CHOSEN = 4


class Arguments(msgspec.Struct, frozen=True):
    """Which values of an event too large to enumerate; with none, four of the most varied."""

    indices: tuple[int, ...] = ()
    state: int = 0


@probe(summary="One joint table factored in every order.", arguments=Arguments)
def chain_rule_orders(view: View, arguments: Arguments) -> Iterator[Result]:
    """log p of one state by the chain rule in every order, and the largest difference anywhere.

    The table is the model's own joint, in double precision, where it can be enumerated, else the
    data's joint over a few values (one count added to each state). An order-agnostic model has a
    joint of its own for every order; ``model_log_probs`` shows how far these differ, which no
    chain rule forbids.

    Arrays: ``orders`` (R, D'), ``log_probs`` (R,) of the chosen state, nats, and their terms
    ``log_factors`` (R, D') along each order; ``states`` (M, D') uint16, ``joint`` (M,);
    ``model_log_probs`` (R,) where the model takes any order. Values: ``worst``, the largest
    |difference| of a product and the joint over all states and orders; ``n_orders``, ``n_states``,
    ``state``, ``likeliest`` (states are counted with the last value fastest), ``levels``, ``of``
    in words, ``indices``, ``total``.

    Raises:
        ValueError: The data have no levels, or the values chosen have too many states.
    """
    table, indices, words = _table(view, arguments)
    levels, size = table.shape[0], table.dim()
    orders = orders_of(size)
    log_factors, worst = [], 0.0
    state = arguments.state % table.numel()
    states = all_states(levels, size)
    at = tuple(states[state].tolist())
    for order in orders:
        if view.cancelled():
            return
        factors = [f.expand_as(table) for f in conditionals_of_table(table, order)]
        worst = max(worst, float((torch.stack(factors).prod(0) - table).abs().max()))
        log_factors.append(torch.stack([factor[at] for factor in factors]).log())
    terms = torch.stack(log_factors)
    arrays = {
        "orders": torch.tensor(orders),
        "log_probs": terms.sum(1),
        "log_factors": terms,
        "states": states.to(torch.uint16),
        "joint": table.reshape(-1),
    }
    if len(indices) == view.model.event_size and has_any_order(view.model):
        arrays["model_log_probs"] = _each_order(view.model, states[state], arrays["orders"])
    values: dict[str, Value] = {
        "worst": worst,
        "n_orders": len(orders),
        "n_states": table.numel(),
        "state": state,
        "likeliest": int(table.argmax()),
        "levels": levels,
        "of": words,
        "indices": list(indices),
        "total": float(table.sum()),
    }
    yield Result(arrays, values)


def _table(view: View, arguments: Arguments) -> tuple[Tensor, tuple[int, ...], str]:
    levels, size = levels_of(view.model), view.model.event_size
    if not arguments.indices and levels is not None and levels**size <= MOST_STATES:
        return model_table(view.model), tuple(range(size)), "the model's own joint"
    levels = view.dataset.event.levels
    if levels is None:
        raise ValueError("the chain rule's table: given data of real values, wanted levels")
    flat = as_float(view.dataset.train).reshape(len(view.dataset.train), -1)
    indices = arguments.indices or _most_varied(flat, levels)
    if not all(0 <= index < flat.shape[1] for index in indices):
        raise ValueError(f"indices: given {indices}, wanted 0 to {flat.shape[1] - 1}")
    chosen = flat[:, list(indices)]
    return empirical_table(chosen, levels), indices, "the data's joint over a few values"


def _most_varied(flat: Tensor, levels: int) -> tuple[int, ...]:
    """The indices of greatest variance, as many as can be enumerated, four at most."""
    n = N_CHOSEN
    while levels**n > MOST_STATES:
        n -= 1
    return tuple(sorted(flat.var(0).topk(min(n, flat.shape[1])).indices.tolist()))


@torch.no_grad()
def _each_order(model: GenerativeModel, state: Tensor, orders: Tensor) -> Tensor:
    exact, x = in_double(model, state.reshape(1, *model.event_shape))
    assert isinstance(exact, AnyOrder)
    found = []
    for order in orders:
        other = exact.with_order(check_order(order, model.event_size))
        assert isinstance(other, LogProb)
        found.append(other.log_prob(x)[0])
    return torch.stack(found)
