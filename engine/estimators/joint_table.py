r"""The chain rule on a joint small enough to write down: every order has the same product.

.. math::
    p(x) = \prod_{t=1}^{D} p\bigl(x_{\pi_t} \mid x_{\pi_1}, \dots, x_{\pi_{t-1}}\bigr)
    \qquad\text{for every permutation } \pi
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, permutations

import torch
from torch import Tensor

from engine.capabilities import LogProb
from engine.estimators.pixels import levels_of
from engine.estimators.precision import in_double
from engine.model import GenerativeModel

#: Entries of the largest joint table.
MOST_STATES = 2**16
#: States scored at once.
CHUNK = 4096
#: Permutations compared at most: all of them up to six values.
MOST_ORDERS = 720


def all_states(levels: int, size: int) -> Tensor:
    """Every state of ``size`` values of so many levels, (levels^size, size) int64.

    The first value changes slowest, as in ``table.reshape(-1)`` of a joint table.

    Raises:
        ValueError: There are too many.
    """
    if levels**size > MOST_STATES:
        raise ValueError(
            f"given {size} values of {levels} levels, {levels}^{size} states, wanted at most "
            f"{MOST_STATES} to enumerate"
        )
    every = torch.arange(levels**size)[:, None]
    return (every // levels ** torch.arange(size - 1, -1, -1)) % levels


@torch.no_grad()
def model_table(model: GenerativeModel) -> Tensor:
    """A model's own joint, (levels,) * D, by scoring every state in double precision.

    Raises:
        ValueError: Its values are no levels, it has no log-probability, or too many states.
    """
    levels = levels_of(model)
    if levels is None or not isinstance(model, LogProb):
        raise ValueError(f"{model.card.title}: wanted a log-probability over levels to enumerate")
    states = all_states(levels, model.event_size)
    exact, x = in_double(model, states.reshape(-1, *model.event_shape))
    log_p = torch.cat([exact.log_prob(part) for part in torch.split(x, CHUNK)])
    return log_p.exp().reshape([levels] * model.event_size)


def empirical_table(x: Tensor, levels: int) -> Tensor:
    """The joint of data (N, D) with one count added to every state, (levels,) * D float64."""
    size = x.shape[1]
    all_states(levels, size)
    places = x.long() @ levels ** torch.arange(size - 1, -1, -1)
    counts = torch.bincount(places, minlength=levels**size).double() + 1.0
    return (counts / counts.sum()).reshape([levels] * size)


def product_of_conditionals(table: Tensor, order: Sequence[int]) -> Tensor:
    """Π_t p(x_{π_t} given earlier ones), the table's shape; conditionals are quotients of sums."""
    product = torch.ones_like(table)
    for factor in conditionals_of_table(table, order):
        product = product * factor
    return product


def conditionals_of_table(table: Tensor, order: Sequence[int]) -> Iterator[Tensor]:
    """p(x_{π_t} given earlier ones) for each t, of shapes that broadcast to the table's."""
    before = table.sum()
    for place in range(len(order)):
        later = [i for i in range(table.dim()) if i not in order[: place + 1]]
        upto = table.sum(later, keepdim=True) if later else table
        yield upto / before
        before = upto


def orders_of(size: int) -> list[tuple[int, ...]]:
    """All permutations of so many values, or the first 720 of them."""
    return list(islice(permutations(range(size)), MOST_ORDERS))
