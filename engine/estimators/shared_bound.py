r"""An importance-weighted bound over a picture, with draws shared by neighbouring pixels.

Pixels of one block have nearly the same posterior, so the draws of a few of them, its anchors a,
serve them all. With the balance heuristic of Veach and Guibas (1995) the proposal is the mixture
of the anchors' posteriors, and

.. math::
    \log p(x) \ge E \log \frac1K \sum_{k=1}^{K}
    \frac{p(z_k)\, p(x \mid z_k)}{\sum_a \frac{K_a}{K} q(z_k \mid x_a)}, \qquad
    z_k \sim q(z \mid x_a) \text{ for } K_a \text{ of the } k

is a bound for every x, as the weights' mean is p(x) for any proposal that covers the posterior.
The decoder runs K times per block instead of per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.capabilities import Bound, Decoding, Encoding
from engine.estimators.density import (
    CancellationError,
    Cancelled,
    as_events,
    check_draws,
    widen,
)
from engine.model import GenerativeModel

#: Blocks a side of a picture.
N_BLOCKS = 32
#: Anchors a side of a block, at most.
ANCHORS = 2
#: Values of p(x given z) held at once, counting coordinates.
PAIRS = 2**15
#: The same of a single block, beyond which memory is at risk.
MOST_PAIRS = 2**26


@runtime_checkable
class HasDistribution(Protocol):
    """A posterior whose density can be asked for at any z."""

    @property
    def distribution(self) -> Distribution:
        """q(z given x), batch (B,), event *Z."""
        ...


def shares_draws(model: GenerativeModel) -> bool:
    """Whether draws can be shared: one real latent, and a posterior with a density."""
    if not (isinstance(model, Bound) and isinstance(model, Encoding)):
        return False
    if not isinstance(model, Decoding) or len(model.latents) != 1:
        return False
    with torch.no_grad():
        posterior = model.encode(as_events(model, model.location[None]))
    return model.latents[0].kind == "real" and isinstance(posterior, HasDistribution)


@torch.no_grad()
def shared_bound(
    model: GenerativeModel,
    points: Tensor,
    *,
    n_draws: int = 32,
    seed: int = 0,
    lift: Callable[[Tensor], Tensor] | None = None,
    cancelled: Cancelled | None = None,
) -> Tensor:
    """The bound at every pixel of a picture: (H, W), float64 on the CPU, nats.

    Args:
        model: One for which :func:`shares_draws` holds.
        points: The pixels (H, W, D) as flat events, or what ``lift`` turns into them, float64.
        n_draws: K, spread evenly over the anchors of a block.
        seed: Seed of the draws; the same at every step, so that pictures do not flicker.
        lift: Turns (P, d) pixels into flat events (P, D) when their turn comes, which saves the
            memory of all at once.
        cancelled: Asked between chunks.

    Raises:
        ValueError: The model cannot share draws, or there are too many of them.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    if not shares_draws(model):
        raise ValueError(f"{model.card.title} has no posterior whose draws could be shared")
    check_draws(n_draws)
    side = -(-max(points.shape[:2]) // N_BLOCKS)
    pairs = side**2 * n_draws * model.event_size  # of one block
    if pairs > MOST_PAIRS:
        raise ValueError(
            f"bound: given {n_draws} draws for {max(points.shape[:2])} pixels a side, wanted "
            f"at most {max(1, n_draws * MOST_PAIRS // pairs)} draws, or fewer pixels"
        )
    blocks = _to_blocks(points, side)  # (G, P, d)
    anchors = _anchors(side, n_draws)
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, widen(PAIRS, model) // pairs)
    scores = []
    for chunk in torch.split(blocks, rows):
        if cancelled is not None and cancelled():
            raise CancellationError
        flat = chunk if lift is None else lift(chunk.flatten(0, 1)).reshape(*chunk.shape[:2], -1)
        scores.append(_score_blocks(model, flat, anchors, n_draws, generator))
    return _from_blocks(torch.cat(scores), side, points.shape[:2])


def _score_blocks(
    model: GenerativeModel,
    blocks: Tensor,
    anchors: Tensor,
    n_draws: int,
    generator: torch.Generator,
) -> Tensor:
    """(G, P, D) → (G, P), with G blocks of P pixels, A anchors and K draws."""
    if not isinstance(model, Encoding) or not isinstance(model, Decoding):
        raise ValueError(f"{model.card.title} has no encoder and decoder")
    n_blocks, n_pixels, size = blocks.shape
    chosen = blocks[:, anchors].reshape(-1, size)
    posterior = model.encode(as_events(model, chosen))
    if not isinstance(posterior, HasDistribution):
        raise ValueError(f"the posterior of {model.card.title} has no density")
    latent = model.latents[0]
    each = -(-n_draws // len(anchors))
    drawn = posterior.sample(each, generator)[0][latent.name]  # (each, G·A, *Z)
    z = drawn.reshape(each, n_blocks, len(anchors), *latent.shape).transpose(0, 1).flatten(1, 2)
    z = z[:, :n_draws]  # (G, K, *Z): draw k comes from anchor k mod A
    log_q = _log_mixture(posterior.distribution, z, len(anchors))  # (G, K)
    flat = z.flatten(0, 1)  # (G·K, *Z)
    log_prior = model.prior({}).log_prob(flat).reshape(n_blocks, -1)
    x = as_events(model, blocks.transpose(0, 1).reshape(-1, size))
    x = x.reshape(n_pixels, n_blocks, 1, *model.event_shape)
    x = x.expand(-1, -1, z.shape[1], *model.event_shape).flatten(1, 2)  # (P, G·K, *E)
    log_x = model.decode({latent.name: flat}).log_prob(x).reshape(n_pixels, n_blocks, -1)
    weights = log_x + (log_prior - log_q)
    bound = torch.logsumexp(weights, -1) - math.log(z.shape[1])
    return bound.T.cpu().to(torch.float64)


def _log_mixture(posterior: Distribution, z: Tensor, n_anchors: int) -> Tensor:
    """log Σ_a (K_a / K) q(z given anchor a) of z (G, K, *Z), (G, K)."""
    n_blocks, count = z.shape[:2]
    shares = torch.bincount(torch.arange(count) % n_anchors, minlength=n_anchors) / count
    wide = z.transpose(0, 1).unsqueeze(2).expand(count, n_blocks, n_anchors, *z.shape[2:])
    each = posterior.log_prob(wide.flatten(1, 2)).reshape(count, n_blocks, n_anchors)
    return torch.logsumexp(each + shares.log().to(each), -1).T


def _anchors(side: int, n_draws: int) -> Tensor:
    """Indices of the anchors among a block's side² pixels."""
    n = min(side, ANCHORS)
    places = ((torch.arange(n) + 0.5) * side / n).long()
    every = (places[:, None] * side + places).flatten()
    if len(every) <= n_draws:
        return every
    return every[((torch.arange(n_draws) + 0.5) * len(every) / n_draws).long()]


def _to_blocks(points: Tensor, side: int) -> Tensor:
    """(H, W, D) → (G, side², D); the last row and column are repeated to fill the last blocks."""
    height, width, size = points.shape
    rows, columns = -(-height // side), -(-width // side)
    y = torch.arange(rows * side).clamp_max(height - 1)
    x = torch.arange(columns * side).clamp_max(width - 1)
    padded = points[y][:, x].reshape(rows, side, columns, side, size)
    return padded.transpose(1, 2).reshape(rows * columns, side * side, size)


def _from_blocks(scores: Tensor, side: int, shape: torch.Size) -> Tensor:
    """(G, side²) → (H, W)."""
    height, width = shape
    rows, columns = -(-height // side), -(-width // side)
    wide = scores.reshape(rows, columns, side, side).transpose(1, 2)
    return wide.reshape(rows * side, columns * side)[:height, :width]
