r"""Several orders of one network: an exact mixture of their probabilities, and what is none.

.. math:: \log p(x) = \log \frac1R \sum_{r=1}^{R} p_{\pi_r}(x)

is a normalised likelihood, for each p_π is one. The mean of the *logits* that the orders give for
each value is not: value i is then predicted from values that other orders put after it, so nothing
is left of the chain rule, and the "probabilities" of all pictures do not sum to 1.

References:
    Uria, Murray and Larochelle, *A Deep and Tractable Density Estimator*, ICML 2014 (EoNADE);
    Germain et al., *MADE*, ICML 2015, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.capabilities import AnyOrder, LogProb
from engine.model import GenerativeModel
from engine.nets.orders import check_order

AVERAGES = ("probabilities", "logits")


def members_of(
    model: GenerativeModel, n_orders: int, generator: torch.Generator
) -> list[GenerativeModel]:
    """The model under several orders: those that it was trained on, else its own and random ones.

    A model with fixed orders and masks of its own (:meth:`MADE.members`) gives the first
    ``n_orders`` of these.

    Raises:
        ValueError: The model has one order alone.
    """
    fixed = getattr(model, "members", None)
    agnostic = bool(getattr(model.config, "order_agnostic", False))
    if fixed is not None and not agnostic and len(members := fixed()) > 1:
        found: list[GenerativeModel] = members[:n_orders]
        return found
    if not agnostic or not isinstance(model, AnyOrder):
        raise ValueError(
            f"several orders: {model.card.title} was trained on one order alone, wanted "
            "order_agnostic training or several orders"
        )
    size = model.event_size
    others = [torch.randperm(size, generator=generator) for _ in range(n_orders - 1)]
    return [model, *(model.with_order(check_order(order, size)) for order in others)]


def ensemble_log_prob(
    members: Sequence[GenerativeModel], x: Tensor, *, average: str = "probabilities"
) -> Tensor:
    """log of the mean probability of (B, *E) over models, (B,), nats; exact.

    Args:
        members: Models of the same events, such as one network under several orders.
        x: Events.
        average: ``"probabilities"``; ``"logits"`` is refused.

    Raises:
        ValueError: There are no members, one has no likelihood, or logits are to be averaged.
    """
    if average not in AVERAGES:
        raise ValueError(f"average: given '{average}', wanted one of {', '.join(AVERAGES)}")
    if average == "logits":
        raise ValueError(
            "average: given 'logits', wanted 'probabilities': averaged logits of several orders "
            "break the chain rule and define no normalised likelihood; average the orders' "
            "probabilities instead"
        )
    return torch.logsumexp(each_log_prob(members, x), 0) - math.log(len(members))


def each_log_prob(members: Sequence[GenerativeModel], x: Tensor) -> Tensor:
    """log p of (B, *E) under every member, (R, B), nats."""
    if not members:
        raise ValueError("members: given none, wanted at least one model")
    found = []
    for member in members:
        if not isinstance(member, LogProb):
            raise ValueError(f"{member.card.title} has no log-probability to average")
        found.append(member.log_prob(x))
    return torch.stack(found)
