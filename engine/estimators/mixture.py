"""The parts of a mixture, read off the capabilities that it offers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.capabilities import Decoding
from engine.model import GenerativeModel


@dataclass(frozen=True)
class MixtureParts:
    """log π_k (K,), and the K components as one distribution with batch shape (K,)."""

    log_weights: Tensor
    components: Distribution

    def joint(self, x: Tensor) -> Tensor:
        """log π_k + log p(x given k) of (B, *E), (B, K), nats."""
        joint: Tensor = self.log_weights + self.components.log_prob(x.unsqueeze(1))
        return joint


def mixture_parts(model: GenerativeModel) -> MixtureParts | None:
    """The parts of a model whose only latent is one category or coin; ``None`` for any other."""
    if not isinstance(model, Decoding) or len(model.latents) != 1:
        return None
    latent = model.latents[0]
    levels = 2 if latent.kind == "binary" else latent.levels
    if latent.kind == "real" or latent.shape or not levels:
        return None
    k = torch.arange(levels, device=model.device)
    # A Bernoulli's values are real numbers, those of a category whole ones.
    values = k.to(model.location) if latent.kind == "binary" else k
    return MixtureParts(model.prior({}).log_prob(values), model.decode({latent.name: k}))
