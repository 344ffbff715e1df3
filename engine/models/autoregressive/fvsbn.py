r"""FVSBN: each value is a logistic regression on all values before it.

The fully visible sigmoid belief network has no hidden units at all: a triangle of weights from
earlier values to the parameters of each conditional, and every value observed. A class label, if
there is one, is a further earlier value.

.. math::
    p(x) = \prod_{i=1}^{D} p(x_i \mid x_{<i}), \qquad
    p(x_i = 1 \mid x_{<i}) = \sigma\Bigl(b_i + \sum_{j<i} W_{ij} x_j\Bigr)

References:
    Frey, Hinton and Dayan, *Does the wake-sleep algorithm produce good density estimators?*,
    NIPS 1995; Frey, *Graphical Models for Machine Learning and Digital Communication*, 1998;
    sigmoid belief networks: Neal, *Connectionist learning of belief networks*, 1992.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.nets.ordered_model import OrderedModel
from engine.nets.pixel_model import PixelCache
from engine.nets.settings import (
    ClassesSetting,
    ConditionalSetting,
    CurvesSetting,
    EventsSetting,
    LevelsSetting,
    OrderSetting,
    OutputSetting,
    RateSetting,
)
from engine.wire.cards import ModelCard, Paper


@dataclass(frozen=True)
class FVSBNConfig:
    """Settings of :class:`FVSBN`."""

    order: OrderSetting = "raster"
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    class_conditional: ConditionalSetting = False
    learning_rate: RateSetting = 3e-3
    batch_size: EventsSetting = 128
    levels: LevelsSetting = 2
    n_classes: ClassesSetting = 10


class FVSBN(OrderedModel):
    """A fully visible belief network: a triangle of weights ``W`` (D, P, D), and ``b`` (D, P).

    Labels add ``T`` (K, D, P), as if the class were a value before all others.
    """

    Config = FVSBNConfig
    card = ModelCard(
        name="fvsbn",
        title="FVSBN",
        family="autoregressive",
        summary=(
            "Each value is a logistic regression on all values before it: the simplest exact "
            "model of pictures, with no hidden unit at all."
        ),
        equation=(
            r"p(x)=\prod_{i=1}^{D}p(x_i\mid x_{<i}),\qquad "
            r"p(x_i=1\mid x_{<i})=\sigma(b_i+\sum_{j<i}W_{ij}\,x_j)"
        ),
        paper=Paper(
            authors="B. Frey, G. Hinton, P. Dayan",
            year=1995,
            title="Does the wake-sleep algorithm produce good density estimators?",
            where="NIPS",
        ),
    )

    triangle: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: FVSBNConfig) -> None:
        super().__init__(event_shape, config)
        size, n_params = self.event_size, self.family.n_params
        places = torch.argsort(self._order)
        earlier = (places[:, None] > places[None, :]).unsqueeze(1)  # (D, 1, D)
        self.register_buffer("triangle", earlier.to(self.location))
        self.W = nn.Parameter(torch.empty(size, n_params, size))
        self.b = nn.Parameter(self.family.initial().expand(size, n_params).clone())
        nn.init.normal_(self.W, std=1e-3)
        self.T: nn.Parameter | None = None
        if config.class_conditional:
            self.T = nn.Parameter(torch.zeros(config.n_classes, size, n_params))

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, …) → (B, D, P)."""
        weight = (self.W * self.triangle).flatten(0, 1)
        flat = nn.functional.linear(u.flatten(1), weight, self.b.flatten())
        found = flat.view(-1, *self.b.shape)
        return found if labels is None or self.T is None else found + self.T[labels]

    def cache(self, n: int, labels: Tensor | None) -> _Cache:
        """An empty cache for n events."""
        return _Cache(self, labels)


class _Cache(PixelCache):
    """The values so far; one row of weights is used for each."""

    def __init__(self, model: FVSBN, labels: Tensor | None) -> None:
        self._model, self._u = model, torch.zeros(0)
        self._b = model.b if labels is None or model.T is None else model.b + model.T[labels]
        self._indices = model.order.tolist()

    def begin(self, u: Tensor, place: int) -> None:
        """Take inputs as painted; rows of the triangle hide the rest."""
        self._u = u.flatten(1).clone()

    def params(self, place: int) -> Tensor:
        """(N, P)."""
        index, model = self._indices[place], self._model
        weight = model.W[index] * model.triangle[index]
        return nn.functional.linear(self._u, weight) + self._b[..., index, :]

    def put(self, place: int, u: Tensor) -> None:
        """Take in one value (N,)."""
        self._u[:, self._indices[place]] = u
