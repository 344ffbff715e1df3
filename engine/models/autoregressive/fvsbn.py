r"""FVSBN: each value is a logistic regression on all values before it.

The fully visible sigmoid belief network has no hidden units at all: a triangle of weights from
earlier values to the parameters of each conditional, and every value observed.

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
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.nets.ordered_model import OrderedModel, OrderSetting
from engine.nets.outputs import OUTPUTS
from engine.nets.pixel_model import PixelCache
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class FVSBNConfig:
    """Settings of :class:`FVSBN`."""

    order: OrderSetting = "raster"
    output: Annotated[
        str, Field(choices=OUTPUTS, help="The distribution of each value, given earlier ones.")
    ] = "categorical"
    n_components: Annotated[
        int, Field(1, 20, step=1, symbol="K", help="Curves of a mixture output.")
    ] = 5
    learning_rate: Annotated[
        float, Field(1e-5, 1e-1, scale="log", live=True, help="Step size of Adam.")
    ] = 3e-3
    batch_size: Annotated[
        int, Field(1, 8192, scale="log", live=True, help="Events per training step.")
    ] = 128
    levels: Annotated[
        int | None, Field(2, 256, derived=True, help="Levels of a value; none when real.")
    ] = 2


class FVSBN(OrderedModel):
    """A fully visible belief network: a triangle of weights ``W`` (D, P, D), and ``b`` (D, P)."""

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

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, …) → (B, D, P)."""
        weight = (self.W * self.triangle).flatten(0, 1)
        flat = nn.functional.linear(u.flatten(1), weight, self.b.flatten())
        return flat.view(-1, *self.b.shape)

    def cache(self, n: int, labels: Tensor | None) -> _Cache:
        """An empty cache for n events."""
        return _Cache(self)


class _Cache(PixelCache):
    """The values so far; one row of weights is used for each."""

    def __init__(self, model: FVSBN) -> None:
        self._model, self._u = model, torch.zeros(0)
        self._indices = model.order.tolist()

    def begin(self, u: Tensor, place: int) -> None:
        """Take inputs as painted; rows of the triangle hide the rest."""
        self._u = u.flatten(1).clone()

    def params(self, place: int) -> Tensor:
        """(N, P)."""
        index, model = self._indices[place], self._model
        weight = model.W[index] * model.triangle[index]
        return nn.functional.linear(self._u, weight, model.b[index])

    def put(self, place: int, u: Tensor) -> None:
        """Take in one value (N,)."""
        self._u[:, self._indices[place]] = u
