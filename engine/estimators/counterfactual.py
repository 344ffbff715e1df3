r"""Noise that would have drawn a given picture: the first step of "what if it were other?".

A sampler turns uniform noise u_i into x_i by the inverse distribution function F_i of conditional
i. Given x, the noise that leads to it is uniform on [F_i(x_i − 1), F_i(x_i)) for each i. Change
one value, draw the later ones again with this noise, and only what depends on the change can
change.

References:
    Pearl, *Causality*, 2nd ed. 2009, section 7.1: abduction, action, prediction.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, Normal

from engine.nets.outputs import is_discrete, level_probs


def noise_behind(d: Distribution, x: Tensor, u: Tensor) -> Tensor:
    """Noise (…) that the inverse CDF of a conditional turns into values x (…).

    Args:
        d: Conditionals of batch shape (…).
        x: The values.
        u: Uniform (…), which of the possible noises for each value.

    Returns:
        (…), strictly inside the interval of its value, as far as the number type resolves it.

    Raises:
        ValueError: The conditional is neither over levels nor made of Gaussians.
    """
    if is_discrete(d):
        probs = level_probs(d)
        place = x.long().clamp(0, probs.shape[-1] - 1).unsqueeze(-1)
        high = (probs.cumsum(-1) / probs.sum(-1, keepdim=True)).gather(-1, place).squeeze(-1)
        width = probs.gather(-1, place).squeeze(-1)
        low = (high - width).clamp_min(0.0)
        # Kept off both ends, so that rounding does not push it into a neighbour's interval.
        return low + (0.01 + 0.98 * u) * (high - low)
    if isinstance(d, Normal):
        below: Tensor = torch.special.ndtr((x - d.loc) / d.scale)
        return below
    if isinstance(d, MixtureSameFamily) and isinstance(d.component_distribution, Normal):
        return _mixture_noise(d, d.component_distribution, x, u)
    raise ValueError(f"noise_behind: given a {type(d).__name__}, wanted a model's conditional")


def _mixture_noise(d: MixtureSameFamily, parts: Normal, x: Tensor, u: Tensor) -> Tensor:
    """A component is chosen by its responsibility for x; the rest is its place within."""
    logits: Tensor = d.mixture_distribution.logits
    weights = logits.softmax(-1)
    fits: Tensor = parts.log_prob(x.unsqueeze(-1))  # type: ignore[no-untyped-call]
    joint = logits + fits
    cumulative = joint.softmax(-1).cumsum(-1)
    total = cumulative[..., -1:]
    chosen = (u.unsqueeze(-1) * total >= cumulative[..., :-1]).sum(-1, keepdim=True)
    before = (weights.cumsum(-1) - weights).gather(-1, chosen).squeeze(-1)
    weight = weights.gather(-1, chosen).squeeze(-1)
    mean = parts.loc.gather(-1, chosen).squeeze(-1)
    width = parts.scale.gather(-1, chosen).squeeze(-1)
    within: Tensor = torch.special.ndtr((x - mean) / width)
    return before + weight * within
