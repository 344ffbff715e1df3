r"""The importance-weighted bound with many draws, in bounded memory.

.. math::
    \log p(x) \ge \mathbb E \log \frac1K \sum_{k=1}^{K} \frac{p(x, z_k)}{q(z_k \mid x)},
    \qquad z_k \sim q(z \mid x)

The log-weights of a few draws at a time are folded into one running log-sum-exp.

References:
    Burda, Grosse and Salakhutdinov, *Importance Weighted Autoencoders*, ICLR 2016.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from engine.capabilities import Bound
from engine.dataset import as_float
from engine.estimators.density import CancellationError, Cancelled, widen
from engine.model import GenerativeModel

#: Values of decoded events held at once: few enough to stay within the caches.
VALUES = 2**20
#: Events scored side by side: one pass of the encoder serves all draws of a chunk.
ROWS = 16


@torch.no_grad()
def importance_bound(
    model: GenerativeModel,
    data: Tensor,
    *,
    n_draws: int = 5000,
    seed: int = 0,
    told: Callable[[int], None] | None = None,
    cancelled: Cancelled | None = None,
) -> Tensor:
    """The K-draw bound of (N, *E), (N,), float64 on the CPU, nats.

    Args:
        model: A model with a bound.
        data: Events as they are stored.
        n_draws: K.
        seed: Seed of the draws; each event's own depend on its place in the data.
        told: Called with how many events are done.
        cancelled: Asked between chunks.

    Raises:
        ValueError: The model has no bound, or K is below 1.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    if not isinstance(model, Bound):
        raise ValueError(f"{model.card.title} has no bound whose draws could be weighted")
    if n_draws < 1:
        raise ValueError(f"n_draws: given {n_draws}, wanted 1 or more")
    generator = torch.Generator().manual_seed(seed)
    at_once = max(1, widen(VALUES, model) // (ROWS * model.event_size))
    bounds: list[Tensor] = []
    for rows in torch.split(data, ROWS):
        x = as_float(rows.to(model.device))
        total = torch.full((len(x),), -math.inf, dtype=torch.float64, device="cpu")
        for start in range(0, n_draws, at_once):
            if cancelled is not None and cancelled():
                raise CancellationError
            k = min(at_once, n_draws - start)
            weights = model.elbo(x, n_draws=k, generator=generator).log_weights
            part = torch.logsumexp(weights.to("cpu", torch.float64), 0)
            total = torch.logaddexp(total, part)
        bounds.append(total - math.log(n_draws))
        if told is not None:
            told(sum(len(done) for done in bounds))
    return torch.cat(bounds)
