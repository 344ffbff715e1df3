r"""MADE: a masked network gives every conditional of an autoregressive density in one pass.

Masks on the weights cut every path from later values to earlier conditionals. The conditionals are
mixtures of Gaussians over real values, and any output distribution over levels.

.. math::
    \log p(x) = \sum_{i=1}^{D} \log \sum_{k=1}^{K} \pi_{ik}(x_{<i})\,
    \mathcal N\!\bigl(x_i \mid \mu_{ik}(x_{<i}), \sigma_{ik}^2(x_{<i})\bigr)

The masks follow from an order and from a degree of each hidden unit, and may change from step to
step: other orders (order-agnostic training) and other degrees (connectivity-agnostic training)
share one set of weights. Each choice is a density of its own; the mean of their *probabilities*
is one too (:mod:`engine.estimators.orders`), the mean of their logits is not.

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
from torch import Tensor

from engine.model import GenerativeModel
from engine.nets.masked import MaskedLinear, MaskedMLP, random_degrees
from engine.nets.ordered_model import OrderedModel, OrderSetting
from engine.nets.orders import check_order
from engine.nets.outputs import OUTPUTS
from engine.nets.outputs.real import Mixture, mixture_log_prob, quantile
from engine.nets.pixel_model import PixelCache
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
    output: Annotated[
        str, Field(choices=OUTPUTS, help="The distribution of each value that is a level.")
    ] = "categorical"
    learning_rate: Annotated[
        float, Field(1e-5, 1e-1, scale="log", live=True, help="Step size of Adam.")
    ] = 5e-3
    batch_size: Annotated[
        int, Field(1, 8192, scale="log", live=True, help="Points per training step.")
    ] = 256
    levels: Annotated[
        int | None, Field(2, 256, derived=True, help="Levels of a value; none when real.")
    ] = None


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
        y: Tensor = self.net(u.flatten(1))
        return y

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean −log p, nats per event, under the order and masks whose turn it is."""
        nll = -self._turn(generator).log_prob(x).mean()
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
        return _Cache(self, n)


class _Cache(PixelCache):
    """The first layer's activation, to which each value adds a column; the rest is run anew."""

    def __init__(self, model: MADE, n: int) -> None:
        net = model.net
        first = net.hidden[0]
        if not isinstance(first, MaskedLinear):
            raise TypeError("the first layer of a masked network is a masked one")
        self._columns = (first.weight * first.mask).detach().T.contiguous()  # (D, H)
        self._bias = first.bias.detach()
        self._layers = [
            (layer.weight * layer.mask, layer.bias) if isinstance(layer, MaskedLinear) else layer
            for layer in list(net.hidden)[1:]
        ]
        self._a, self._net = self._bias.expand(n, -1), net
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
        return self._net.rows(h, self._indices[place])

    def put(self, place: int, u: Tensor) -> None:
        """Add one column times the values (N,)."""
        self._a = torch.addcmul(self._a, u.unsqueeze(1), self._columns[self._indices[place]])


__all__ = ["MADE", "MADEConfig", "Mixture", "mixture_log_prob", "quantile"]
