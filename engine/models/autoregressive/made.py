r"""MADE: a masked network gives every conditional of an autoregressive density in one pass.

Masks on the weights cut every path from later values to earlier conditionals. The conditionals are
mixtures of Gaussians over real values, and any output distribution over levels.

.. math::
    \log p(x) = \sum_{i=1}^{D} \log \sum_{k=1}^{K} \pi_{ik}(x_{<i})\,
    \mathcal N\!\bigl(x_i \mid \mu_{ik}(x_{<i}), \sigma_{ik}^2(x_{<i})\bigr)

The masks follow from an order and from a degree of each hidden unit, and may change from step to
step: other orders (order-agnostic training) and other degrees (connectivity-agnostic training)
share one set of weights. Each choice is a density of its own; the mean of their *probabilities*
is one too (:mod:`engine.estimators.orders`), the mean of their logits is not. A class label, if
there is one, is seen by every conditional.

References:
    Germain, Gregor, Murray and Larochelle, *MADE: Masked Autoencoder for Distribution
    Estimation*, ICML 2015; Gaussian mixtures as conditionals: Uria, Murray and Larochelle,
    *RNADE*, NeurIPS 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model import GenerativeModel
from engine.nets.masked import MaskedLinear, MaskedMLP, random_degrees
from engine.nets.ordered_model import OrderedModel
from engine.nets.orders import check_order
from engine.nets.outputs.real import Mixture, mixture_log_prob, quantile
from engine.nets.pixel_model import PixelCache
from engine.nets.settings import (
    ClassesSetting,
    ConditionalSetting,
    LevelsSetting,
    OrderSetting,
    OutputSetting,
    RateSetting,
)
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class MADEConfig:
    """Settings of :class:`MADE`."""

    hidden_features: Annotated[
        tuple[int, ...], Field(1, 8192, step=16, help="Widths of the masked hidden layers.")
    ] = (64, 64)
    n_components: Annotated[
        int,
        Field(1, 100, step=1, symbol="K", help="Curves in each conditional that is a mixture."),
    ] = 16
    order: OrderSetting = "natural"
    order_agnostic: Annotated[
        bool,
        Field(
            help=(
                "Train on a fresh random order at every step, so that any order and any known "
                "values can be conditioned on; each order is then a density of its own."
            )
        ),
    ] = False
    n_orders: Annotated[
        int,
        Field(
            1,
            64,
            step=1,
            help="Orders trained in turn: the one above and random ones; 1 is that one alone.",
        ),
    ] = 1
    n_masks: Annotated[
        int,
        Field(
            1,
            64,
            step=1,
            help="Sets of hidden connections trained in turn (connectivity-agnostic); 1 is even.",
        ),
    ] = 1
    output: OutputSetting = "categorical"
    class_conditional: ConditionalSetting = False
    learning_rate: RateSetting = 5e-3
    batch_size: Annotated[
        int, Field(1, 8192, scale="log", live=True, help="Points per training step.")
    ] = 256
    levels: LevelsSetting = None
    n_classes: ClassesSetting = 10


class MADE(OrderedModel):
    """Masked autoregressive network; mixtures of Gaussians as densities of real values."""

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
        features=("any_order",),
    )

    _orders: Tensor
    _degrees: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: MADEConfig) -> None:
        super().__init__(event_shape, config)
        n_params = self.family.n_params
        self.net = MaskedMLP(self._order, config.hidden_features, n_params)
        with torch.no_grad():
            self.net.out.bias.view(self.event_size, -1).copy_(self.family.initial())
        self.label_code = self.label_bias = None
        if config.class_conditional:
            n_outputs = self.event_size * n_params
            self.label_code = nn.Parameter(torch.zeros(config.n_classes, self.net.widths[0]))
            self.label_bias = nn.Parameter(torch.zeros(config.n_classes, n_outputs))
        self._draw_others(config)

    def _draw_others(self, config: MADEConfig) -> None:
        """Further orders and hidden degrees, drawn once; the first of each is the plain one."""
        size, total = self.event_size, sum(config.hidden_features)
        others = [torch.randperm(size) for _ in range(config.n_orders - 1)]
        orders = torch.stack([self._order, *others])
        self.register_buffer("_orders", orders, persistent=config.n_orders > 1)
        degrees = torch.zeros(config.n_masks, total, dtype=torch.int64)
        for row in degrees[1:]:
            row.copy_(
                torch.cat(random_degrees(size, config.hidden_features, torch.default_generator))
            )
        self.register_buffer("_degrees", degrees, persistent=config.n_masks > 1)

    # --- orders and masks ---------------------------------------------------------------------

    @property
    def orders(self) -> Tensor:
        """(R, D), the fixed orders that it is trained on; the first is its own."""
        return self._orders

    def with_order(self, order: Tensor) -> MADE:
        """The same weights under another order (D,): a view with all methods of the model."""
        return self.masked(order)

    def masked(self, order: Tensor, mask: int = 0) -> MADE:
        """The same weights under an order (D,) and one of ``n_masks`` sets of hidden degrees."""
        view = self.reordered(check_order(order, self.event_size))
        degrees = None
        if mask:
            degrees = list(torch.split(self._degrees[mask], list(self.config.hidden_features)))
        view._modules["net"] = self.net.under(view.order, degrees)
        return view

    def members(self) -> list[GenerativeModel]:
        """Views under each fixed order and mask, whose mean probability is a density too."""
        masks = range(self.config.n_masks)
        return [self.masked(order, mask) for order in self._orders for mask in masks]

    # --- density ------------------------------------------------------------------------------

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, …) → (B, D, P)."""
        code, bias = self.class_terms(labels)
        y: Tensor = self.net(u.flatten(1), code)
        return y if bias is None else y + bias.view_as(y)

    def class_terms(self, labels: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """What labels (B,) add to the first layer's sums (B, H) and to all outputs (B, D·P).

        The outputs have terms of their own, since no hidden unit reaches the first value.
        """
        if labels is None or self.label_code is None or self.label_bias is None:
            return None, None
        return self.label_code[labels], self.label_bias[labels]

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean −log p, nats per event, under the order and masks whose turn it is."""
        nll = -self._turn(generator).log_prob(x, context=context).mean()
        return {"total": nll, "nll": nll}

    def _turn(self, generator: torch.Generator) -> MADE:
        c = self.config
        if not c.order_agnostic and c.n_orders == 1 and c.n_masks == 1:
            return self
        mask = int(torch.randint(c.n_masks, (), generator=generator))
        if c.order_agnostic:
            return self.masked(torch.randperm(self.event_size, generator=generator), mask)
        return self.masked(self._orders[torch.randint(c.n_orders, (), generator=generator)], mask)

    # --- sampling -----------------------------------------------------------------------------

    def cache(self, n: int, labels: Tensor | None) -> _Cache:
        """The running activation of n events."""
        return _Cache(self, n, labels)


class _Cache(PixelCache):
    """The first layer's activation, to which each value adds a column; the rest is run anew."""

    def __init__(self, model: MADE, n: int, labels: Tensor | None) -> None:
        net = model.net
        first = net.hidden[0]
        if not isinstance(first, MaskedLinear):
            raise TypeError("the first layer of a masked network is a masked one")
        self._columns = (first.weight * first.mask).detach().T.contiguous()  # (D, H)
        code, self._out_bias = model.class_terms(labels)
        self._bias = first.bias if code is None else first.bias + code
        self._bias = self._bias.detach().expand(n, -1)
        self._layers = [
            (layer.weight * layer.mask, layer.bias) if isinstance(layer, MaskedLinear) else layer
            for layer in list(net.hidden)[1:]
        ]
        self._a, self._net = self._bias, net
        self._order = model.order
        self._indices = model.order.tolist()

    def begin(self, u: Tensor, place: int) -> None:
        """Sum the columns of what is painted up to ``place``."""
        before = self._order[:place]
        self._a = self._bias + u.flatten(1)[:, before] @ self._columns[before]

    def params(self, place: int) -> Tensor:
        """(N, P)."""
        h = self._a
        for layer in self._layers:
            h = F.linear(h, *layer) if isinstance(layer, tuple) else layer(h)
        index = self._indices[place]
        found = self._net.rows(h, index)
        if self._out_bias is None:
            return found
        return found + self._out_bias.view(len(h), -1, found.shape[1])[:, index]

    def put(self, place: int, u: Tensor) -> None:
        """Add one column times the values (N,)."""
        self._a = torch.addcmul(self._a, u.unsqueeze(1), self._columns[self._indices[place]])


__all__ = ["MADE", "MADEConfig", "Mixture", "mixture_log_prob", "quantile"]
