r"""MADE: a masked network gives every conditional of an autoregressive density in one pass.

Each coordinate is a mixture of Gaussians whose weights, means and widths are computed from the
coordinates before it in a chosen order; masks on the weights cut every path from later ones.

.. math::
    \log p(x) = \sum_{i=1}^{D} \log \sum_{k=1}^{K} \pi_{ik}(x_{<i})\,
    \mathcal N\!\bigl(x_i \mid \mu_{ik}(x_{<i}), \sigma_{ik}^2(x_{<i})\bigr)

References:
    Germain, Gregor, Murray and Larochelle, *MADE: Masked Autoencoder for Distribution
    Estimation*, ICML 2015; Gaussian mixtures as conditionals: Uria, Murray and Larochelle,
    *RNADE*, NeurIPS 2013.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from engine.capabilities import Step
from engine.drawing import categorical_from_uniform, uniform_noise
from engine.model import GenerativeModel
from engine.nets.masked import ORDERS, MaskedMLP, make_order
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: Smallest width of a component, in standard deviations of the data.
SMALLEST_WIDTH = 1e-3
LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class MADEConfig:
    """Settings of :class:`MADE`."""

    hidden_features: Annotated[
        tuple[int, ...], Field(1, 1024, step=16, help="Widths of the masked hidden layers.")
    ] = (64, 64)
    n_components: Annotated[
        int, Field(1, 100, step=1, symbol="K", help="Gaussians in each conditional.")
    ] = 16
    order: Annotated[
        str, Field(choices=ORDERS, help="The order in which coordinates are generated.")
    ] = "natural"
    learning_rate: Annotated[
        float, Field(1e-5, 1e-1, scale="log", live=True, help="Step size of Adam.")
    ] = 5e-3
    batch_size: Annotated[
        int, Field(1, 8192, scale="log", live=True, help="Points per training step.")
    ] = 256


class Mixture(NamedTuple):
    """Parameters of Gaussian mixtures, (…, K) each, in standardised units."""

    logits: Tensor
    means: Tensor
    log_widths: Tensor


class MADE(GenerativeModel):
    """Masked autoregressive density with mixture-of-Gaussians conditionals."""

    Config = MADEConfig
    card = ModelCard(
        name="made",
        title="MADE",
        family="autoregressive",
        summary=(
            "A network whose weights are masked predicts each coordinate from those before it. "
            "One pass gives every conditional, and their product is an exact density."
        ),
        equation=(
            r"p(x)=\prod_{i=1}^{D}\sum_{k=1}^{K}\pi_{ik}(x_{<i})\,"
            r"\mathcal{N}\left(x_i;\mu_{ik}(x_{<i}),\sigma_{ik}^2(x_{<i})\right)"
        ),
        paper=Paper(
            authors="M. Germain, K. Gregor, I. Murray, H. Larochelle",
            year=2015,
            title="MADE: Masked Autoencoder for Distribution Estimation",
            where="ICML",
        ),
    )

    _order: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: MADEConfig) -> None:
        super().__init__(event_shape, config)
        self.register_buffer("_order", make_order(config.order, self.event_size))
        self.net = MaskedMLP(self._order, config.hidden_features, 3 * config.n_components)
        self._spread_components()

    @torch.no_grad()
    def _spread_components(self) -> None:
        """Start with means spread over the data, so that no two components begin alike."""
        n = self.config.n_components
        bias = self.net.out.bias.view(self.event_size, 3, n)
        bias.zero_()
        bias[:, 1] = (torch.arange(n) + 0.5) / n * 4.0 - 2.0
        bias[:, 2] = math.log(2.0 / n) if n > 1 else 0.0

    # --- density ------------------------------------------------------------------------------

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log-density of (B, *E), (B,), nats."""
        u = self.standardise(x)
        mixture = self._split(self.net(u))
        terms = mixture_log_prob(mixture, u)  # (B, D)
        return terms.sum(-1) + self.standardise_log_det

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean negative log-density, nats per event."""
        nll = -self.log_prob(x).mean()
        return {"total": nll, "nll": nll}

    # --- conditionals -------------------------------------------------------------------------

    @property
    def order(self) -> Tensor:
        """(D,), the indices in the order in which they are generated."""
        return self._order

    def conditionals(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> MixtureSameFamily:
        """All D conditionals of (B, *E), batch shape (B, D), in the units given."""
        return self._distribution(
            self._split(self.net(self.standardise(x))), self.location, self.scale
        )

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E): D passes through the network."""
        noise = uniform_noise((n, self.event_size), generator, self.location)
        with torch.no_grad():
            u = torch.zeros_like(noise)
            for index in self._order.tolist():
                u[:, index] = quantile(self._split(self.net.one(u, index)), noise[:, index])
            return self.unstandardise(u)

    def sample_steps(
        self,
        noise: Tensor,
        *,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        context: Tensor | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        state: object = None,
    ) -> Iterator[Step]:
        """Generate one coordinate at a time from uniform ``noise`` (N, D).

        One uniform number first chooses a component and then, what is left of it, the place
        within. ``known`` (N, *E) is kept where ``mask`` (N, *E or *E) is true.

        Args:
            noise: (N, D) in (0, 1), one number per coordinate.
            known: Values to be kept.
            mask: Where they are kept.
            context: Not used.
            temperature: Multiplies the width of every component; below 1 the draws gather at the
                components' means, whose weights stay as they are.
            top_p: Must be 1: a continuous conditional has no most probable symbols to keep.
            state: Not used: each step is a full masked pass.

        Raises:
            ValueError: A shape or the temperature is wrong, ``top_p`` is not 1, or only one of
                ``known`` and ``mask`` is given.
        """
        self._check_steps(noise, known, mask, temperature, top_p)
        noise = noise.to(self.location)
        start = torch.zeros_like(noise)
        keep = torch.zeros_like(noise, dtype=torch.bool)
        if known is not None and mask is not None:
            keep = mask.to(torch.bool).expand(len(noise), *self.event_shape).reshape(noise.shape)
            given = known.expand(len(noise), *self.event_shape)
            start = torch.where(keep, self.standardise(given), start)
        return self._steps(noise, start, keep, temperature)

    def _steps(
        self, noise: Tensor, start: Tensor, keep: Tensor, temperature: float
    ) -> Iterator[Step]:
        u = start
        for index in self._order.tolist():
            with torch.no_grad():
                mixture = self._split(self.net.one(u, index))
                mixture = mixture._replace(log_widths=mixture.log_widths + math.log(temperature))
                drawn = quantile(mixture, noise[:, index])
                u = u.clone()
                u[:, index] = torch.where(keep[:, index], u[:, index], drawn)
                conditional = self._distribution(mixture, self.location[index], self.scale[index])
                x = self.unstandardise(u)
            yield Step(index, x, conditional)

    def _check_steps(
        self,
        noise: Tensor,
        known: Tensor | None,
        mask: Tensor | None,
        temperature: float,
        top_p: float,
    ) -> None:
        if noise.dim() != 2 or noise.shape[1] != self.event_size:
            raise ValueError(
                f"noise: given shape {tuple(noise.shape)}, wanted (N, {self.event_size})"
            )
        if (known is None) != (mask is None):
            given = "known without mask" if mask is None else "mask without known"
            raise ValueError(f"sample_steps: given {given}, wanted both or neither")
        if not temperature > 0.0:
            raise ValueError(f"temperature: given {temperature:g}, wanted a number above 0")
        if top_p != 1.0:
            raise ValueError(
                f"top_p: given {top_p:g}, wanted 1: MADE's conditionals are continuous densities, "
                "which have no symbols to cut off; lower the temperature instead"
            )

    # --- parts --------------------------------------------------------------------------------

    def _split(self, raw: Tensor) -> Mixture:
        """(…, 3K) → the three parameters of each mixture."""
        logits, means, log_widths = raw.view(*raw.shape[:-1], 3, self.config.n_components).unbind(
            -2
        )
        return Mixture(logits, means, log_widths.clamp_min(math.log(SMALLEST_WIDTH)))

    def _distribution(self, m: Mixture, location: Tensor, scale: Tensor) -> MixtureSameFamily:
        """The mixtures in the units given, where location and scale are those of the batch."""
        location, scale = location.unsqueeze(-1), scale.unsqueeze(-1)
        components = Normal(m.means * scale + location, m.log_widths.exp() * scale)
        return MixtureSameFamily(Categorical(logits=m.logits), components)


def mixture_log_prob(mixture: Mixture, u: Tensor) -> Tensor:
    """log-density of (…) under mixtures (…, K), nats."""
    z = (u.unsqueeze(-1) - mixture.means) * torch.exp(-mixture.log_widths)
    joint = mixture.logits - mixture.log_widths - 0.5 * z.square()
    terms: Tensor = torch.logsumexp(joint, -1) - torch.logsumexp(mixture.logits, -1)
    return terms - LOG_ROOT_TWO_PI


def quantile(mixture: Mixture, noise: Tensor) -> Tensor:
    """Turn uniform (N,) into draws of mixtures (N, K): choose a component, then invert its CDF."""
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
