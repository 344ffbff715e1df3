r"""p(x given z) of independent values: what the numbers that a decoder puts out stand for.

The event chooses: Bernoulli for two levels, a discretised logistic for more, a Gaussian for real
values. Every family reads one or two numbers per value, each (…, D).

.. math::
    \text{binary: } p(x = 1) = \frac{1}{1 + e^{-a}}, \qquad
    \text{levels: } p(x = l) = \sigma\Bigl(\frac{l + 1/2 - \mu}{s}\Bigr)
        - \sigma\Bigl(\frac{l - 1/2 - \mu}{s}\Bigr), \qquad
    \text{real: } \mathcal N(x; \mu, s^2)

with the edges of the first and last level at ∓∞, so that the levels' probabilities sum to 1.

References:
    Kingma and Welling, *Auto-Encoding Variational Bayes*, appendix C, ICLR 2014.
    Kingma and others, *Improved Variational Inference with Inverse Autoregressive Flow*, NeurIPS
    2016 (the discretised logistic).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Normal

from engine.nets.diagonal import LOG_SCALE_BOUNDS, normal_log_prob
from engine.nets.outputs.binned import LOG_WIDTHS, BinnedMixture
from engine.nets.outputs.family import scale_levels

Params = tuple[Tensor, ...]
#: A pixel that was never white, or always, starts at this probability of the other.
SMALLEST_SHARE = 1e-3


class Likelihood(ABC):
    """A family of distributions over independent values.

    Attributes:
        name: A word for it.
        levels: Number of levels 0 … levels − 1, or None for real values.
        n_params: Numbers that a decoder puts out for one value: a centre, and a log-scale where
            there are two.
    """

    name: ClassVar[str]
    n_params: ClassVar[int]
    levels: int | None = None

    def inputs(self, values: Tensor, location: Tensor) -> Tensor:
        """What an encoder sees of values (B, D): levels less their mean.

        Real values, which are standardised, stay as they are.
        """
        return values

    def offset(self, location: Tensor) -> Tensor | None:
        """(D,), the centre that means the data's mean ``location``, where it is not 0.

        A decoder whose output is added to it need not learn first what all events share.
        """
        return None

    @abstractmethod
    def log_prob(self, params: Params, values: Tensor) -> Tensor:
        """log p of values (B, D) under parameters (…, B, D) each, summed over D: (…, B), nats.

        Values are level indices, or standardised real numbers.
        """

    @abstractmethod
    def distribution(self, params: Params, location: Tensor, scale: Tensor) -> Distribution:
        """Parameters (…, *E) → independent values with batch shape (…, *E), in the data's units.

        Real values are ``scale`` times the standardised ones plus ``location``, both (*E).
        """


class BernoulliLikelihood(Likelihood):
    """Black and white: one logit a per value."""

    name = "bernoulli"
    n_params = 1
    levels = 2

    def inputs(self, values: Tensor, location: Tensor) -> Tensor:
        """Values less their mean."""
        return values - location

    def offset(self, location: Tensor) -> Tensor:
        """The logit of the mean, which for constant values stays finite."""
        return torch.logit(location, SMALLEST_SHARE)

    def log_prob(self, params: Params, values: Tensor) -> Tensor:
        """Σ log σ(a) or log σ(−a), which never takes the log of a rounded probability."""
        return F.logsigmoid(params[0] * (2.0 * values - 1.0)).sum(-1)

    def distribution(self, params: Params, location: Tensor, scale: Tensor) -> Bernoulli:
        """Values 0 and 1."""
        return Bernoulli(logits=params[0], validate_args=False)


class LogisticLikelihood(Likelihood):
    """One logistic curve over the levels, its mass in each bin: mean and log-width.

    Both are in units in which the levels span −1 … 1.
    """

    name = "discretised_logistic"
    n_params = 2

    def __init__(self, levels: int) -> None:
        self.levels: int = levels

    def inputs(self, values: Tensor, location: Tensor) -> Tensor:
        """Values less their mean, where all levels span 2."""
        return (values - location) * (2.0 / (self.levels - 1))

    def offset(self, location: Tensor) -> Tensor:
        """The mean, where the levels span −1 … 1."""
        return scale_levels(location, self.levels)

    def log_prob(self, params: Params, values: Tensor) -> Tensor:
        """Log of the mass between the bins' edges, in a form in which nothing cancels."""
        log_p: Tensor = self._binned(params).log_prob(values)
        return log_p.sum(-1)

    def distribution(self, params: Params, location: Tensor, scale: Tensor) -> BinnedMixture:
        """Whole numbers 0 … levels − 1."""
        return self._binned(params)

    def _binned(self, params: Params) -> BinnedMixture:
        mean, log_width = (part.unsqueeze(-1) for part in params)
        unit = 0.5 * (self.levels - 1)
        widths = log_width.clamp(*LOG_WIDTHS).exp() * unit
        return BinnedMixture(torch.zeros_like(mean), (mean + 1.0) * unit, widths, self.levels)


class GaussianLikelihood(Likelihood):
    """Real values: mean and log σ in standardised units."""

    name = "gaussian"
    n_params = 2

    def log_prob(self, params: Params, values: Tensor) -> Tensor:
        """Log-density of **standardised** values; the model adds its log-determinant."""
        mean, log_scale = params[0], params[1].clamp(*LOG_SCALE_BOUNDS)
        return normal_log_prob((values - mean) * torch.exp(-log_scale), log_scale)

    def distribution(self, params: Params, location: Tensor, scale: Tensor) -> Normal:
        """Normal in the data's units."""
        mean, log_scale = params
        spread = log_scale.clamp(*LOG_SCALE_BOUNDS).exp() * scale
        return Normal(mean * scale + location, spread, validate_args=False)


def make_likelihood(levels: int | None) -> Likelihood:
    """The family for values of so many levels, or for real ones (None).

    Raises:
        ValueError: There are fewer than two levels.
    """
    if levels is None:
        return GaussianLikelihood()
    if levels < 2:
        raise ValueError(f"levels: given {levels}, wanted 2 or more, or none for real values")
    return BernoulliLikelihood() if levels == 2 else LogisticLikelihood(levels)
