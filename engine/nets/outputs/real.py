"""Mixtures of Gaussians as densities of real values: parameters, log-density, draws.

References:
    Uria, Murray and Larochelle, *RNADE: The real-valued neural autoregressive
    density-estimator*, NeurIPS 2013.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from engine.drawing import categorical_from_uniform
from engine.nets.outputs.family import OutputFamily

#: Smallest width of a component, in the units of the parameters (standard deviations of the data).
SMALLEST_WIDTH = 1e-3
#: No density needs more; a linear network would otherwise overflow on its own samples.
LARGEST_LOG_WIDTH = 10.0
LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Mixture(NamedTuple):
    """Parameters of Gaussian mixtures, (…, K) each."""

    logits: Tensor
    means: Tensor
    log_widths: Tensor


class GaussianMixtureOutput(OutputFamily):
    """A density over real values, 3K parameters: logits, means and log-widths of K Gaussians.

    Its ``log_prob`` is a log **density** in nats: no likelihood of whole numbers.
    """

    name = "gaussian_mixture"
    title = "mixture of Gaussians, a density"
    levels = None

    def __init__(self, n_components: int) -> None:
        self.n_components = n_components
        self.n_params, self.n_free = 3 * n_components, 3 * n_components - 1

    def split(self, params: Tensor) -> Mixture:
        """(…, 3K) → the three parameters of each mixture."""
        shape = (*params.shape[:-1], 3, self.n_components)
        logits, means, log_widths = params.reshape(shape).unbind(-2)
        return Mixture(
            logits, means, log_widths.clamp(math.log(SMALLEST_WIDTH), LARGEST_LOG_WIDTH)
        )

    def distribution(self, params: Tensor) -> MixtureSameFamily:
        """Parameters (…, 3K) → mixtures with batch shape (…)."""
        return mixture_distribution(self.split(params))

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """log density of (…), nats."""
        return mixture_log_prob(self.split(params), x)

    def initial(self) -> Tensor:
        """Means spread over four units, so that no two components begin alike."""
        n = self.n_components
        means = (torch.arange(n) + 0.5) / n * 4.0 - 2.0
        widths = torch.full((n,), math.log(2.0 / n) if n > 1 else 0.0)
        return torch.cat([torch.zeros(n), means, widths])


def mixture_distribution(
    m: Mixture, location: Tensor | None = None, scale: Tensor | None = None
) -> MixtureSameFamily:
    """The mixtures as torch's, moved and stretched by location and scale of the batch shape."""
    means, widths = m.means, m.log_widths.exp()
    if location is not None and scale is not None:
        means = means * scale.unsqueeze(-1) + location.unsqueeze(-1)
        widths = widths * scale.unsqueeze(-1)
    weights = Categorical(logits=m.logits, validate_args=False)
    parts = Normal(means, widths, validate_args=False)
    return MixtureSameFamily(weights, parts, validate_args=False)


def mixture_log_prob(mixture: Mixture, u: Tensor) -> Tensor:
    """log-density of (…) under mixtures (…, K), nats."""
    z = (u.unsqueeze(-1) - mixture.means) * torch.exp(-mixture.log_widths)
    joint = mixture.logits - mixture.log_widths - 0.5 * z.square()
    terms: Tensor = torch.logsumexp(joint, -1) - torch.logsumexp(mixture.logits, -1)
    return terms - LOG_ROOT_TWO_PI


def quantile(mixture: Mixture, noise: Tensor) -> Tensor:
    """Turn uniform (…) into draws of mixtures (…, K): choose a component, then invert its CDF."""
    probs = torch.softmax(mixture.logits, -1)
    chosen = categorical_from_uniform(probs, noise).unsqueeze(-1)
    before = (probs.cumsum(-1) - probs).gather(-1, chosen).squeeze(-1)
    total = probs.sum(-1)
    weight = probs.gather(-1, chosen).squeeze(-1)
    tiny = torch.finfo(noise.dtype).eps
    rest = ((noise * total - before) / weight).clamp(tiny, 1.0 - tiny)
    mean = mixture.means.gather(-1, chosen).squeeze(-1)
    width = mixture.log_widths.gather(-1, chosen).squeeze(-1).exp()
    drawn: Tensor = mean + width * torch.special.ndtri(rest)
    return drawn
