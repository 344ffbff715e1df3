r"""The base of flows over pictures: a multi-scale stack of layers, over real values or levels.

Of **real** values the flow is an exact density (LOG_PROB); nothing stands before its layers but
standardisation. Of **levels** it is not: the probability of a picture of levels is an integral of
the density over a cell of D dimensions (:mod:`engine.bijections.preprocessing`). The law of
LOG_PROB asks that the probabilities of all pictures sum to 1, which only the integral does; the
law of BOUND asks for no more than noise within the cell gives. So where levels are given the
model is of another class, which has **no** ``log_prob`` and has ``elbo`` instead. Its latent is
the place y = x + u within the cell, with a posterior that is even there; the level is certain once
y is known:

.. math::
    \mathcal L(x) = \mathbb E_u \log p(x + u) = 0 - \mathrm{KL}(q(y \mid x) \,\|\, p(y))
    \le \log P(x)

``elbo(…, n_draws=K).importance_weighted`` is the tighter log (1/K) Σ p(x + u_k). All are nats per
picture, of whole levels; :mod:`engine.estimators.bits` makes bits per dimension of them. Of the
real pictures (x + u)/k the same flow has a density of D ln k nats more.

P is the law of ``sample`` itself: what falls beyond the outermost cells is counted there, so that
the bound is only lower for it.

References:
    Dinh, Sohl-Dickstein and Bengio, *Density Estimation Using Real NVP*, ICLR 2017, section 3.6
    (multi-scale). Theis, van den Oord and Bethge, *A note on the evaluation of generative models*,
    ICLR 2016 (the bound).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.bijections.base import Bijection, walk
from engine.bijections.flow import Flow
from engine.bijections.maps import as_maps
from engine.bijections.preprocessing import Dequantise, Logit, to_levels
from engine.bijections.stacking import Stack
from engine.bijections.standardise import Standardise
from engine.capabilities import FlowPath
from engine.drawing import normal_noise, uniform_noise
from engine.latents import Elbo
from engine.model import GenerativeModel, TrainState, centre_and_spread
from engine.nets.outputs.family import check_level_values
from engine.wire.capability import Capability
from engine.wire.fields import Field

#: Values of events that go through all layers together where no gradient is wanted.
CHUNK_VALUES = 2**19
#: Events of the training split that set the layers which are initialised by data.
N_INITIALISE = 512
#: Events of levels whose preprocessed values set the standardisation.
N_STANDARDISE = 10_000
#: The latent of a flow over levels, and its noise where no generator is given: mid-cell.
PLACE = "place"
MIDDLE = 0.5
#: Why a flow over levels has no exact log-probability.
LACKS = {
    Capability.LOG_PROB: (
        "The probability of a level is the flow's density integrated over the level's cell in all "
        "D dimensions, which nobody can do: by noise within the cell it has a bound instead."
    ),
}


@dataclass(frozen=True)
class PictureFlowConfig:
    """Settings that flows over pictures share."""

    n_scales: Annotated[
        int,
        Field(
            1,
            6,
            step=1,
            help="Scales: between two of them half of the channels go to the base, and pairs of "
            "pixels become channels. Odd sides allow fewer.",
        ),
    ] = 3
    hidden_features: Annotated[
        tuple[int, ...], Field(1, 1024, help="Channels of each coupling's hidden layers.")
    ] = (64, 64)
    alpha: Annotated[
        float | None,
        Field(
            1e-6,
            0.4,
            scale="log",
            symbol=r"\alpha",
            help="Levels: how far the ends are moved inwards before the logit; none takes no "
            "logit. Real values have none.",
        ),
    ] = 1e-3
    temperature: Annotated[
        float,
        Field(
            0.0,
            2.0,
            step=0.05,
            symbol="T",
            live=True,
            help="Spread of the base noise when sampling: below 1 the samples are likelier and "
            "more alike. The density is that of T = 1.",
        ),
    ] = 1.0
    levels: Annotated[
        int | None,
        Field(2, 256, derived=True, help="Levels of each value; none for real numbers."),
    ] = None
    learning_rate: Annotated[
        float, Field(1e-6, 0.1, scale="log", symbol=r"\eta", help="Adam's step size.", live=True)
    ] = 1e-3
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", help="Pictures per step.", live=True)
    ] = 64
    max_gradient_norm: Annotated[
        float | None,
        Field(
            1e-3,
            1e6,
            scale="log",
            help="A longer gradient is shortened to this norm; none leaves it as it is.",
            live=True,
        ),
    ] = 50.0


class PictureFlow(Flow):
    """A flow whose layers act on maps (B, C, H, W).

    A subclass defines :meth:`compose`. Events that are no pictures are maps of one pixel with D
    channels. With ``levels`` the model is of another class, see :meth:`kind_for`.
    """

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        if type(self).kind_for(config) is not type(self):
            raise ValueError(
                f"{self.card.title}: of {config.levels} levels it is made by build_model, or as "
                "kind_for(config)(event_shape, config)"
            )
        super().__init__(event_shape, config)
        self.stack = Stack(as_maps(self.event_shape))
        self.compose(self.stack)

    @classmethod
    def kind_for(cls, config: Any) -> type[GenerativeModel]:
        """Itself for real values; a class with a bound in ``log_prob``'s place for levels."""
        return cls if config.levels is None else kind_for_levels(cls)

    @abstractmethod
    def compose(self, stack: Stack) -> None:
        """Put the layers on the stack, from the data to the base."""

    def trained_layers(self) -> Sequence[Bijection]:
        """The layers of maps, each in its place within the flat event."""
        return self.stack.on_flat()

    @property
    def scales(self) -> Tensor:
        """(D,): the scale at which each base value leaves, 0 the finest."""
        return self.stack.scales

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardisation by all events (N, *E), then the layers that data set, by some.

        All pixels of a channel share one centre and one spread. A spread of its own would blow
        up a pixel at the rim that is nearly always black, and with it the rare picture in which
        it is not.
        """
        data = self._preprocessed(data, generator)
        channels, height, width = as_maps(self.event_shape)
        pixels = data.reshape(len(data), channels, -1).transpose(1, 2).reshape(-1, channels)
        centre, spread = centre_and_spread(pixels)
        self.location.copy_(centre.repeat_interleave(height * width))
        self.scale.copy_(spread.repeat_interleave(height * width))
        chosen = torch.randperm(len(data), generator=generator)[:N_INITIALISE]
        self.stack(self._as_maps(self.standardise(data[chosen.to(data.device)])), initialise=True)

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update; a gradient longer than ``max_gradient_norm`` is shortened to it."""
        losses = self.loss(batch, context=state.context, generator=generator)
        for optimiser in state.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        if self.config.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.config.max_gradient_norm)
        for optimiser in state.optimisers.values():
            optimiser.step()
        return {name: value.detach() for name, value in losses.items()}

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """log p(x) of (B, *E), shape (B,), nats: a density of real values in the units given."""
        self._refuse(context)
        return self._scored(self.layers(), self._enter(x))

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """N draws (N, *E): base noise of spread ``temperature`` through the inverse layers."""
        self._refuse(context)
        return self._drawn(n, self.layers(), generator).reshape(n, *self.event_shape)

    # --- inner --------------------------------------------------------------------------------

    def _preprocessed(self, data: Tensor, generator: torch.Generator) -> Tensor:
        """Events as they come before standardisation."""
        return data

    def _drawn(self, n: int, layers: Sequence[Bijection], generator: torch.Generator) -> Tensor:
        """N flat draws (N, D)."""
        noise = normal_noise((n, self.event_size), generator, self.location)
        pieces = []
        for y in torch.split(noise * self.config.temperature, self._rows):
            for layer in reversed(layers):
                y, _ = layer.inverse(y)
            pieces.append(y)
        return torch.cat(pieces)

    def _scored(self, layers: Sequence[Bijection], x: Tensor) -> Tensor:
        """log p of flat events (B, D) through all layers, in pieces where that is possible."""
        if len(x) <= self._rows or self._wants_gradient(x):
            return self._log_prob(layers, x)
        return torch.cat([self._log_prob(layers, piece) for piece in torch.split(x, self._rows)])

    def _log_prob(self, layers: Sequence[Bijection], x: Tensor) -> Tensor:
        # The stack on maps does what its layers do one by one on flat events, in fewer moves.
        total = x.new_zeros(len(x))
        for layer in layers[: -len(self.stack.layers)]:
            x, log_det = layer.forward(x)
            total = total + log_det
        log_det, half_square = self.stack(self._as_maps(x))
        constant = 0.5 * self.event_size * math.log(2.0 * math.pi)
        log_p: Tensor = total + log_det - half_square - constant
        return log_p

    @property
    def _rows(self) -> int:
        return max(16, CHUNK_VALUES // self.event_size)

    def _as_maps(self, flat: Tensor) -> Tensor:
        return flat.reshape(-1, *as_maps(self.event_shape))

    def _enter(self, x: Tensor) -> Tensor:
        return self._flat(x)


class OfLevels(PictureFlow):
    """What replaces a picture flow's own methods where values are levels 0 … k − 1.

    ``location`` and ``scale`` are of the preprocessed values, which the layers see.
    """

    log_prob = None  # type: ignore[assignment]

    def layers(self, noise: Tensor | float = MIDDLE) -> tuple[Bijection, ...]:
        """All layers, data → base: noise, the logit, standardisation, then the trained ones."""
        standard = Standardise(self.location, self.scale)
        return (*self._preprocessing(noise), standard, *self.trained_layers())

    def path(
        self,
        x: Tensor,
        *,
        inverse: bool = False,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> FlowPath:
        """The path of levels (B, *E), or with ``inverse`` of (B, D) base points.

        With a generator the first layer adds its noise u, so that base + Σ log-dets is one draw of
        the bound; without, it goes to the middle of each cell. An inverse path ends in x = y − u,
        whole numbers only where u is what was once added.
        """
        self._refuse(context)
        start = x.to(self.location) if inverse else self._flat(x)
        if start.shape[1:] != (self.event_size,):
            raise ValueError(
                f"{self.card.title}: given base points of shape {tuple(x.shape[1:])}, "
                f"wanted ({self.event_size},)"
            )
        noise: Tensor | float = MIDDLE
        if generator is not None:
            noise = uniform_noise(start.shape, generator, start)
        return walk(self.layers(noise), start, inverse=inverse)

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        """E_u log p(x + u) of levels (B, *E) by ``n_draws`` draws of u; log-weights (K, B).

        Raises:
            ValueError: The values are no levels, of which alone there are probabilities.
        """
        self._refuse(context)
        flat = self._flat(x)
        check_level_values(flat, self.config.levels, self.card.title)
        noise = uniform_noise((n_draws * len(flat), self.event_size), generator, flat)
        places = flat.repeat(n_draws, 1) + noise
        weights = self._scored(self.layers(0.0), places).reshape(n_draws, len(flat))
        total = weights.mean(0)
        return Elbo(total, torch.zeros_like(total), {PLACE: -total}, weights)

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """``"total"`` and ``"nll"``: −E_u log p(x + u) by one draw each, nats per picture."""
        flat = self._flat(x)
        places = flat + uniform_noise(flat.shape, generator, flat)
        nll = -self._log_prob(self.layers(0.0), places).mean()
        return {"total": nll, "nll": nll}

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """N pictures of levels (N, *E): the cells that draws of the flow fall into."""
        self._refuse(context)
        places = self._drawn(n, self.layers(0.0), generator)
        return to_levels(places, self.config.levels).reshape(n, *self.event_shape)

    def _preprocessed(self, data: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.randperm(len(data), generator=generator)[:N_STANDARDISE]
        x = self._flat(data[chosen.to(data.device)])
        for layer in self._preprocessing(uniform_noise(x.shape, generator, x)):
            x, _ = layer.forward(x)
        return x.reshape(-1, *self.event_shape)

    def _preprocessing(self, noise: Tensor | float) -> Sequence[Bijection]:
        alpha: float | None = self.config.alpha
        dequantise = Dequantise(noise)
        return (dequantise,) if alpha is None else (dequantise, Logit(self.config.levels, alpha))


@cache
def kind_for_levels(kind: Any) -> Any:
    """The form for levels of a class of picture flows, under the same name and card."""
    if issubclass(kind, OfLevels):
        return kind
    words = {"__doc__": kind.__doc__, "__module__": kind.__module__}
    return type(kind.__name__, (OfLevels, kind), words)
