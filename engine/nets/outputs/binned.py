r"""Bell curves as distributions over levels: their mass in each bin, the edge bins to ±∞.

.. math::
    p(x = l) = \sum_{k=1}^{K} \pi_k \Bigl[
    F\Bigl(\frac{l + 1/2 - \mu_k}{s_k}\Bigr) - F\Bigl(\frac{l - 1/2 - \mu_k}{s_k}\Bigr)\Bigr]

with F the logistic or the normal distribution function, taken as 0 at the lower edge of level 0
and as 1 at the upper edge of the last. Edges lie at whole and a half level
units, which floating point holds exactly, so that the masses of all levels sum to 1 by themselves.

References:
    Salimans, Karpathy, Chen and Kingma, *PixelCNN++: Improving the PixelCNN with Discretized
    Logistic Mixture Likelihood and Other Modifications*, ICLR 2017, section 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints

from engine.drawing import categorical_from_uniform, uniform_noise
from engine.nets.outputs.family import OutputFamily

#: Range of log widths, where the levels span −1 … 1.
LOG_WIDTHS = (-7.0, 7.0)


class BinnedMixture(Distribution):
    """Mixtures of logistic or normal curves integrated over the bins of levels 0 … levels − 1.

    Args:
        logits: (…, K), log weights up to a constant.
        means: (…, K), in level units.
        widths: (…, K), scales of the curves in level units, above 0.
        levels: Number of levels, 2 or more.
        normal: Whether the curves are normal; else logistic.
    """

    arg_constraints = {}  # noqa: RUF012 - torch declares it so
    has_rsample = False

    def __init__(
        self, logits: Tensor, means: Tensor, widths: Tensor, levels: int, *, normal: bool = False
    ) -> None:
        self.log_weights = logits.log_softmax(-1)
        self.means, self.widths, self.levels, self.normal = means, widths, levels, normal
        super().__init__(means.shape[:-1], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Whole numbers 0 … levels − 1."""
        return constraints.integer_interval(0, self.levels - 1)  # type: ignore[no-untyped-call]

    @property
    def level_log_probs(self) -> Tensor:
        """log p of every level, (…, levels), nats."""
        every = torch.arange(self.levels, dtype=self.means.dtype, device=self.means.device)
        lead = [1] * len(self.batch_shape)
        places = every.view(self.levels, *lead).expand(self.levels, *self.batch_shape)
        return self.log_prob(places).movedim(0, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of level indices (…), nats."""
        masses = _log_normal_masses if self.normal else _log_logistic_masses
        terms = masses(value.unsqueeze(-1), self.means, self.widths, self.levels)
        return torch.logsumexp(self.log_weights + terms, -1)

    def select(self, index: int) -> BinnedMixture:
        """The distribution at one place of the last batch axis."""
        logits, means, widths = (
            part[..., index, :] for part in (self.log_weights, self.means, self.widths)
        )
        return BinnedMixture(logits, means, widths, self.levels, normal=self.normal)

    @property
    def mean(self) -> Tensor:
        """Σ_l l p_l = Σ_{l ≥ 1} p(x ≥ l), (…), in level units, exact."""
        return self._tails(lambda level: 1.0)

    @property
    def variance(self) -> Tensor:
        """Σ_l l² p_l − mean², (…), where Σ_l l² p_l = Σ_{l ≥ 1} (2 l − 1) p(x ≥ l)."""
        return self._tails(lambda level: 2.0 * level - 1.0) - self.mean.square()

    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """Draws (*shape, …) of level indices: a curve, then a place on it, rounded to a level."""
        lead = (*shape, *self.batch_shape)
        weights = self.log_weights.exp()
        chosen = categorical_from_uniform(weights, uniform_noise(lead, generator, self.means))
        noise = uniform_noise(lead, generator, self.means)
        eps = torch.finfo(noise.dtype).eps
        noise = noise.clamp(eps, 1.0 - eps)
        place = torch.special.ndtri(noise) if self.normal else torch.logit(noise)
        mean, width = (
            part.expand(*lead, -1).gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
            for part in (self.means, self.widths)
        )
        return (mean + width * place).round().clamp(0, self.levels - 1)

    def _tails(self, weight: Callable[[float], float]) -> Tensor:
        """Σ_{l ≥ 1} weight(l) p(x ≥ l); level by level, as all at once may not fit into memory."""
        total = torch.zeros_like(self.means)
        above = torch.special.ndtr if self.normal else torch.sigmoid
        for level in range(1, self.levels):
            total += weight(level) * above((self.means - (level - 0.5)) / self.widths)
        return (self.log_weights.exp() * total).sum(-1)

    def entropy(self) -> Tensor:
        """−Σ_l p_l log p_l, (…), nats, exact."""
        log_p = self.level_log_probs
        return -(log_p.exp() * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(-1)


class BinnedOutput(OutputFamily):
    """Parameters (…, 3K): logits, then means and log-widths where the levels span −1 … 1."""

    normal = False

    def __init__(self, levels: int, n_components: int) -> None:
        self.levels: int = levels
        self.n_components = n_components
        self.n_params, self.n_free = 3 * n_components, 3 * n_components - 1

    def distribution(self, params: Tensor) -> BinnedMixture:
        """Parameters (…, P) → mixture over the levels."""
        logits, means, log_widths = self._split(params)
        unit = 0.5 * (self.levels - 1)
        widths = log_widths.clamp(*LOG_WIDTHS).exp() * unit
        return BinnedMixture(logits, (means + 1.0) * unit, widths, self.levels, normal=self.normal)

    def initial(self) -> Tensor:
        """Means spread over the levels, so that no two components begin alike."""
        k = self.n_components
        means = (torch.arange(k) + 0.5) / k * 2.0 - 1.0
        return torch.cat([torch.zeros(k), means, torch.full((k,), -math.log(2.0 * k))])

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = (*params.shape[:-1], 3, self.n_components)
        logits, means, log_widths = params.reshape(shape).unbind(-2)
        return logits, means, log_widths


class LogisticMixtureOutput(BinnedOutput):
    """A mixture of K logistic curves over the levels: 3K parameters, whatever the levels."""

    name = "logistic_mixture"
    title = "discretised logistic mixture"


class BinnedGaussianOutput(BinnedOutput):
    """One normal curve over the levels: two parameters, and never two peaks."""

    name = "gaussian"
    title = "Gaussian, bins integrated"
    normal = True

    def __init__(self, levels: int) -> None:
        super().__init__(levels, 1)
        self.n_params = self.n_free = 2

    def initial(self) -> Tensor:
        """The middle level, half as wide as all of them."""
        return torch.tensor([0.0, math.log(0.5)])

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_width = params[..., :1], params[..., 1:]
        return torch.zeros_like(mean), mean, log_width


def _log_logistic_masses(value: Tensor, means: Tensor, widths: Tensor, levels: int) -> Tensor:
    """log [σ(b) − σ(a)] as log σ(b) + log σ(−a) + log(1 − exp(a − b)): nothing cancels."""
    b = (value + 0.5 - means) / widths
    a = (value - 0.5 - means) / widths
    first, last = value == 0, value == levels - 1
    below = F.logsigmoid(b).masked_fill(last, 0.0)
    above = F.logsigmoid(-a).masked_fill(first, 0.0)
    width = torch.log(-torch.expm1(-1.0 / widths)).expand_as(b)
    return below + above + width.masked_fill(first | last, 0.0)


def _log_normal_masses(value: Tensor, means: Tensor, widths: Tensor, levels: int) -> Tensor:
    """log [Φ(b) − Φ(a)] in the lower tail by symmetry, in double precision throughout."""
    places, centres, scales = value.double(), means.double(), widths.double()
    b = (places + 0.5 - centres) / scales
    a = (places - 0.5 - centres) / scales
    upper = a + b > 0
    low, high = torch.where(upper, -b, a), torch.where(upper, -a, b)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    gap = (log_low - log_high).clamp_max(-torch.finfo(torch.float64).tiny)
    inner = log_high + torch.log(-torch.expm1(gap))
    ends = torch.where(places == 0, torch.special.log_ndtr(b), torch.special.log_ndtr(-a))
    chosen = torch.where((places == 0) | (places == levels - 1), ends, inner)
    return chosen.to(means.dtype)
