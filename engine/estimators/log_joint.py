"""log p(x, z) of any model with a decoder, and its latents as one flat vector or as all values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Decoding
from engine.latents import Latent, Latents

#: Most values that discrete latents may take together to be enumerated.
MOST_VALUES = 4096


@dataclass(frozen=True)
class Joint:
    """The two parts of log p(x, z), each (K, B), nats."""

    log_prior: Tensor
    log_conditional: Tensor

    @property
    def total(self) -> Tensor:
        """log p(z) + log p(x given z), (K, B)."""
        return self.log_prior + self.log_conditional


def log_joint(
    model: Decoding, x: Tensor, latents: Latents, *, context: Tensor | None = None
) -> Joint:
    """log p(z) and log p(x given z) of events (B, *E) and K latents of each, (K, B, *Z).

    The prior is taken in ancestral order, each latent given those before it.
    """
    first = latents[model.latents[0].name]
    k, n = int(first.shape[0]), int(first.shape[1])
    flat = {name: value.flatten(0, 1) for name, value in latents.items()}
    log_prior = torch.zeros(k * n, dtype=x.dtype, device=x.device)
    parents: dict[str, Tensor] = {}
    for latent in model.latents:
        term = model.prior(parents).log_prob(flat[latent.name])
        log_prior = log_prior + term
        parents[latent.name] = flat[latent.name]
    wide = x.expand(k, *x.shape).flatten(0, 1)
    labels = None if context is None else context.expand(k, -1).flatten()
    decoded = model.decode(flat, context=labels)
    log_conditional: Tensor = decoded.log_prob(wide)
    return Joint(log_prior.view(k, n), log_conditional.view(k, n))


@dataclass(frozen=True)
class FlatLatents:
    """Real latents as one vector of Z values, in ancestral order."""

    latents: tuple[Latent, ...]

    @property
    def size(self) -> int:
        """Z, the number of values of all latents."""
        return sum(math.prod(latent.shape) for latent in self.latents)

    @property
    def are_real(self) -> bool:
        """Whether each of them is real."""
        return all(latent.kind == "real" for latent in self.latents)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per value: z1, z2 and so on."""
        found = []
        for latent in self.latents:
            count = math.prod(latent.shape)
            found += [latent.name if count == 1 else f"{latent.name}{i + 1}" for i in range(count)]
        return tuple(found)

    def part(self, z: Tensor) -> dict[str, Tensor]:
        """(…, Z) → {latent: (…, *shape)}."""
        pieces = torch.split(z, [math.prod(latent.shape) for latent in self.latents], -1)
        return {
            latent.name: piece.reshape(*z.shape[:-1], *latent.shape)
            for latent, piece in zip(self.latents, pieces, strict=True)
        }

    def join(self, latents: Mapping[str, Tensor]) -> Tensor:
        """{latent: (K, B, *shape)} → (K, B, Z)."""
        wide = [latents[latent.name] for latent in self.latents]
        return torch.cat([z.reshape(*z.shape[:2], -1) for z in wide], -1)


def n_values(latents: Sequence[Latent]) -> int | None:
    """How many values discrete latents take together; None where one is real."""
    if any(latent.kind == "real" for latent in latents):
        return None
    count = 1
    for latent in latents:
        count *= _n_levels(latent) ** math.prod(latent.shape)
    return count


def _n_levels(latent: Latent) -> int:
    return 2 if latent.kind == "binary" else (latent.levels or 0)


def every_value(latents: Sequence[Latent], like: Tensor) -> dict[str, Tensor]:
    """All values of discrete latents, {latent: (K, *shape)}; binary ones as 0 and 1.

    Raises:
        ValueError: One is real, or there are too many values.
    """
    count = n_values(latents)
    if count is None or not 1 <= count <= MOST_VALUES:
        raise ValueError(
            f"latents: given {'real ones' if count is None else f'{count} values'}, wanted "
            f"discrete ones of 1 to {MOST_VALUES} values together"
        )
    digits = [
        range(_n_levels(latent)) for latent in latents for _ in range(math.prod(latent.shape))
    ]
    table = torch.tensor(list(itertools.product(*digits)))
    found, start = {}, 0
    for latent in latents:
        stop = start + math.prod(latent.shape)
        values = table[:, start:stop].reshape(count, *latent.shape)
        found[latent.name] = values.to(like) if latent.kind == "binary" else values.to(like.device)
        start = stop
    return found
