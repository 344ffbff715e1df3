r"""What every model that paints one value after the other in raster order has in common.

.. math:: \log p(x) = \sum_{i=1}^{D} \log p(x_i \mid x_{<i})

A subclass gives the parameters of all conditionals in one pass, and a :class:`PixelCache` that
finds those of one value after the other without running the whole network again.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from engine.capabilities import Step
from engine.drawing import uniform_noise
from engine.model import GenerativeModel
from engine.nets.class_mixture import class_log_weights, mix_classes
from engine.nets.masked_conv import MaskedPointwise
from engine.nets.outputs import check_level_values, make_output, scale_levels
from engine.nets.outputs.real import GaussianMixtureOutput, mixture_distribution
from engine.nets.painting import PaintState, PixelCache, paint
from engine.nets.stepwise import Steps, check_steps, last_of

__all__ = ["PaintState", "PixelCache", "PixelModel", "picture_shape", "raster_order"]


class PixelModel(GenerativeModel):
    """A model of pictures (C, H, W) whose order is row by row, and R → G → B in each pixel.

    Shapes (H, W) and (D,) are pictures of one colour, and of one row.
    """

    _order: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        self.picture = picture_shape(self.event_shape)
        self.family = make_output(
            config.output, levels=config.levels, n_components=config.n_components
        )
        if self.uses_labels and config.n_classes < 1:
            raise ValueError("n_classes: given 0, wanted 1 or more, for class_conditional")
        self.register_buffer("_order", raster_order(self.picture), persistent=False)

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, C, H, W) → parameters of all conditionals, (B, C·P, H, W).

        Map c·P + p is parameter p of colour c. What ``self.net`` gives, unless labels move it.
        """
        maps: Tensor = cast(nn.Module, self.net)(u)
        return maps

    @abstractmethod
    def cache(self, n: int, labels: Tensor | None) -> PixelCache:
        """An empty cache for n pictures, with the weights as they are now."""

    @torch.no_grad()
    def start_head(self, last: MaskedPointwise) -> None:
        """Let the last layer begin near its family's own start, with small weights."""
        last.weight.mul_(0.1)
        last.offset().copy_(self.family.initial().repeat(self.picture[0]))

    # --- data units ---------------------------------------------------------------------------

    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise real values; levels need nothing."""
        if self.config.levels is None:
            super().prepare(data, generator=generator)

    def inputs(self, x: Tensor) -> Tensor:
        """(B, *E) → what the network sees, (B, C, H, W): levels to −1 … 1, or standardised."""
        u = self._flat(x)
        u = self.standardise(x) if self.family.levels is None else self._scaled(u)
        return u.view(-1, *self.picture)

    def _scaled(self, levels: Tensor) -> Tensor:
        return scale_levels(levels, self.family.levels or 2)

    # --- density ------------------------------------------------------------------------------

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log p of (B, *E), (B,), nats: a probability of levels, or a density.

        A model trained with labels, asked without, gives log (1/K) Σ_c p(x given c).
        """
        if self.family.levels is not None:
            check_level_values(x, self.family.levels, self.card.title)
        if context is not None or not self.uses_labels:
            return self._log_terms(x, context).sum(-1)
        n_classes = self.config.n_classes
        each = [self._log_terms(x, self._every(c, len(x))).sum(-1) for c in range(n_classes)]
        return torch.logsumexp(torch.stack(each), 0) - math.log(n_classes)

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean −log p of (B, *E), nats per picture."""
        nll = -self.log_prob(x, context=context).mean()
        return {"total": nll, "nll": nll}

    def _log_terms(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """log p(x_i given earlier ones), (B, D)."""
        u = self.inputs(x)
        params = self._by_value(self.params(u, self.check_labels(labels, len(x))))
        if self.family.levels is None:
            log_p: Tensor = self.family.log_prob(params, u.flatten(1))
            return log_p - self.scale.log()
        return self.family.log_prob(params, self._flat(x))

    def _by_value(self, maps: Tensor) -> Tensor:
        """(B, C·P, H, W) → (B, D, P)."""
        n_colours, height, width = self.picture
        split = maps.view(-1, n_colours, self.family.n_params, height, width)
        return split.permute(0, 1, 3, 4, 2).flatten(1, 3)

    def check_labels(self, labels: Tensor | None, n: int) -> Tensor | None:
        """Labels as whole numbers (n,) on the device, or None for a model without.

        Raises:
            ValueError: They do not fit, or labels are wanted and none are given.
        """
        if not self.uses_labels:
            return None
        n_classes = self.config.n_classes
        if labels is None:
            raise ValueError(f"{self.card.title}: given no labels, wanted one class a picture")
        labels = labels.to(self.device).long().expand(n)
        if bool(((labels < 0) | (labels >= n_classes)).any()):
            raise ValueError(
                f"{self.card.title}: given labels from {int(labels.min())} to "
                f"{int(labels.max())}, wanted 0 … {n_classes - 1}"
            )
        return labels

    def _every(self, label: int, n: int) -> Tensor:
        return torch.full((n,), label, device=self.device)

    # --- conditionals -------------------------------------------------------------------------

    @property
    def order(self) -> Tensor:
        """(D,), flat indices row by row, and R, G, B within a pixel."""
        return self._order

    def conditionals(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Distribution:
        """All D conditionals of (B, *E), batch shape (B, D), in the units given.

        A model trained with labels, asked without, mixes them by p(class given earlier values).
        """
        if self.mixes(context):
            return self._mixed(x)
        labels = self.check_labels(context, len(x))
        return self.distribution(self._by_value(self.params(self.inputs(x), labels)))

    def mixes(self, labels: Tensor | None) -> bool:
        """Whether every class is as likely: a model trained with labels, and none are given."""
        return self.uses_labels and labels is None

    def _mixed(self, x: Tensor) -> Distribution:
        u, every = self.inputs(x), range(self.config.n_classes)
        maps = [self.params(u, self._every(c, len(x))) for c in every]
        params = torch.stack([self._by_value(m) for m in maps])  # (K, B, D, P)
        values = (u.flatten(1) if self.family.levels is None else self._flat(x)).expand(
            params.shape[:-1]
        )
        terms = self.family.log_prob(params, values)[..., self._order]
        weights = class_log_weights(terms)[..., self._order.argsort()]
        return mix_classes(self.distribution(params), weights)

    def distribution(self, params: Tensor, index: int | None = None) -> Distribution:
        """Parameters (…, D, P) → conditionals; with an index those of one value, (…, P)."""
        if self.family.levels is not None:
            return self.family.distribution(params)
        every = slice(None) if index is None else index
        return self._distribution(params, self.location[every], self.scale[every])

    def class_evidence(self, x: Tensor, place: int) -> Tensor:
        """log p(values before ``place`` given each class), (K, B), up to a constant."""
        every, seen = range(self.config.n_classes), self._order[:place]
        terms = [self._log_terms(x, self._every(c, len(x)))[:, seen] for c in every]
        return torch.stack(terms).sum(-1)

    def _distribution(self, params: Tensor, location: Tensor, scale: Tensor) -> Distribution:
        if isinstance(self.family, GaussianMixtureOutput):
            mixture: MixtureSameFamily = mixture_distribution(
                self.family.split(params), location, scale
            )
            return mixture
        return self.family.distribution(params)

    # --- sampling -----------------------------------------------------------------------------

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E), cached; without labels each picture's class is drawn evenly."""
        if self.uses_labels and context is None:
            context = torch.randint(self.config.n_classes, (n,), generator=generator)
        noise = uniform_noise((n, self.event_size), generator, self.location)
        return last_of(self.sample_steps(noise, context=context))

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
        """Paint one value after the other; each step computes only what the last value changed.

        Known values that come later in the order are kept, but not conditioned on.

        Args:
            noise: (N, D) in (0, 1), one number per value, at the value's own index.
            known: Values to be kept.
            mask: Where they are kept.
            context: Labels (N,), for a model trained with labels; without them all classes are
                painted at once, mixed by p(class given earlier values).
            temperature: Levels: p^(1/T). Densities: widths times T.
            top_p: Keep the most probable levels whose mass reaches it.
            state: A step's ``state``: go on after that step. Its picture stands for what is
                painted, whatever ``known`` says.

        Raises:
            ValueError: A shape or number is wrong, or only one of ``known`` and ``mask`` is
                given.
        """
        steps = check_steps(self, noise, known, mask, temperature=temperature, top_p=top_p)
        labels = None if self.mixes(context) else self.check_labels(context, len(noise))
        return paint(self, steps, labels, self._begin(steps, state))

    def _begin(self, steps: Steps, state: object) -> PaintState:
        n = len(steps.noise)
        if state is None:
            return PaintState(0, steps.start.view(n, *self.event_shape))
        if not isinstance(state, PaintState) or not 0 <= state.place <= self.event_size:
            raise ValueError("state: given something else, wanted the state of an earlier step")
        if state.x.shape[1:] != self.event_shape or state.x.shape[0] not in (1, n):
            raise ValueError(
                f"state: given pictures {tuple(state.x.shape)}, wanted {(n, *self.event_shape)}"
            )
        every = state.x.to(self.location).expand(n, *self.event_shape)
        flat = every.reshape(n, self.event_size).clone()
        ahead = self._order[state.place :]
        flat[:, ahead] = steps.start[:, ahead]
        return PaintState(state.place, flat.view(n, *self.event_shape))

    def value_in(self, value: Tensor, index: int) -> Tensor:
        """One value (…) in data units → as the network sees it."""
        if self.family.levels is None:
            return (value - self.location[index]) / self.scale[index]
        return self._scaled(value)


def picture_shape(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W) of an event: (H, W) is one colour, (D,) one row.

    Raises:
        ValueError: It has more than three axes.
    """
    if len(event_shape) > 3:
        raise ValueError(f"event_shape: given {event_shape}, wanted (C, H, W)")
    n_colours, height, width = (*[1] * (3 - len(event_shape)), *event_shape)
    return n_colours, height, width


def raster_order(picture: tuple[int, int, int]) -> Tensor:
    """(D,), flat indices (c·H + r)·W + k in the order r, then k, then c."""
    n_colours, height, width = picture
    indices = torch.arange(n_colours * height * width)
    return indices.view(n_colours, height, width).permute(1, 2, 0).reshape(-1)
