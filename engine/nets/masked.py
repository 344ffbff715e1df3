"""Masked networks: output i sees only the inputs that come before i in an order.

References:
    Germain, Gregor, Murray and Larochelle, *MADE: Masked Autoencoder for Distribution
    Estimation*, ICML 2015, section 4.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.nets.mlp import check_widths, find_activation

ORDERS = ("natural", "reversed", "random")
T = TypeVar("T", bound=nn.Module)


class MaskedLinear(nn.Linear):
    """A linear layer whose weight is multiplied by a mask of zeros and ones, (out, in)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return F.linear(x, self.weight * self.mask, self.bias)

    def masked(self, mask: Tensor) -> Self:
        """A view with the same weight and bias under another mask (out, in)."""
        view = shallow(self)
        view._buffers["mask"] = mask.to(self.mask)
        return view


class MaskedMLP(nn.Module):
    r"""A perceptron (…, D) → (…, D, P) whose output i depends only on inputs before i in order.

    Every unit has a degree: an input its place 1 … D in the order, a hidden unit a number m from
    1 to D − 1. A hidden unit sees units of degree ≤ m, output d those of degree < d, so that
    :math:`\partial\,\mathrm{out}_i / \partial x_j = 0` unless j comes before i.

    Args:
        order: (D,), the indices in the order in which they are generated.
        hidden_features: Widths of the hidden layers, at least one.
        out_features: P, the number of outputs per coordinate.
        activation: A name from :data:`engine.nets.mlp.ACTIVATIONS`.

    Raises:
        ValueError: A width is below 1, or there is no hidden layer.
    """

    def __init__(
        self,
        order: Tensor,
        hidden_features: Sequence[int],
        out_features: int,
        *,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if not hidden_features:
            raise ValueError("hidden_features: given none, wanted at least one layer")
        check_widths([*hidden_features, out_features])
        self.event_size, self.out_features = len(order), out_features
        self.widths = tuple(hidden_features)
        kind = find_activation(activation)
        *masks, out_mask = self._masks(layer_degrees(order, hidden_features))
        self.hidden = nn.Sequential(
            *(layer for mask in masks for layer in (MaskedLinear(mask), kind()))
        )
        self.out = MaskedLinear(out_mask)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """All outputs: (…, D) → (…, D, P); ``code`` (…, H) is added to the first layer's sums.

        All outputs but that of the first coordinate, which no hidden unit reaches, depend on it.
        """
        h = x
        for place, layer in enumerate(self.hidden):
            h = layer(h) if place or code is None else layer(h) + code
        y: Tensor = self.out(h)
        return y.view(*x.shape, self.out_features)

    def one(self, x: Tensor, index: int) -> Tensor:
        """The outputs of one coordinate alone: (…, D) → (…, P), at a fraction of the cost."""
        return self.rows(self.hidden(x), index)

    def rows(self, h: Tensor, index: int) -> Tensor:
        """The outputs (…, P) of one coordinate from the last hidden layer (…, H)."""
        rows = slice(index * self.out_features, (index + 1) * self.out_features)
        weight = self.out.weight[rows] * self.out.mask[rows]
        return F.linear(h, weight, self.out.bias[rows])

    def under(self, order: Tensor, hidden_degrees: Sequence[Tensor] | None = None) -> Self:
        """A view with the same weights and other masks.

        Args:
            order: (D,), another order of the values.
            hidden_degrees: Degrees of each hidden layer, such as those of
                :func:`random_degrees`; None takes the even ones that it was built with.
        """
        degrees = layer_degrees(order, self.widths)
        if hidden_degrees is not None:
            degrees = [degrees[0], *(d.to(order.device) for d in hidden_degrees)]
        *masks, out_mask = self._masks(degrees)
        view = shallow(self)
        layers = [layer for layer in self.hidden if isinstance(layer, MaskedLinear)]
        pairs = zip(layers, masks, strict=True)
        others = [layer for layer in self.hidden if not isinstance(layer, MaskedLinear)]
        renewed = [layer.masked(mask) for layer, mask in pairs]
        ordered = [x for pair in zip(renewed, others, strict=True) for x in pair]
        view._modules["hidden"] = nn.Sequential(*ordered)
        view._modules["out"] = self.out.masked(out_mask)
        return view

    def _masks(self, degrees: list[Tensor]) -> list[Tensor]:
        masks = [after[:, None] >= before[None, :] for before, after in pairwise(degrees)]
        out = degrees[0][:, None] > degrees[-1][None, :]
        return [*masks, out.repeat_interleave(self.out_features, 0)]


def layer_degrees(order: Tensor, hidden_features: Sequence[int]) -> list[Tensor]:
    """Degrees of the inputs (places 1 … D in the order) and of each hidden layer."""
    n = len(order)
    degrees = [torch.argsort(order) + 1]
    for width in hidden_features:
        even = torch.arange(width, device=order.device)
        degrees.append(1 + (even * max(n - 1, 1)) // width)
    return degrees


def random_degrees(
    size: int, hidden_features: Sequence[int], generator: torch.Generator
) -> list[Tensor]:
    """Degrees of hidden layers drawn at random: connectivity-agnostic training's other networks.

    Each unit's is uniform from the least degree of the layer before (1 for the inputs) to D − 1.
    """
    least, degrees = 1, []
    for width in hidden_features:
        drawn = torch.randint(least, max(size - 1, least) + 1, (width,), generator=generator)
        degrees.append(drawn)
        least = int(drawn.min())
    return degrees


def shallow(module: T) -> T:
    """A copy that shares parameters and buffers, in which they and submodules can be replaced."""
    twin = copy.copy(module)
    for name in ("_parameters", "_buffers", "_modules"):
        twin.__dict__[name] = dict(module.__dict__[name])
    return twin


def make_order(name: str, n: int) -> Tensor:
    """An order of n coordinates, (n,); ``"random"`` draws from the global generator.

    It is meant for constructors, which :func:`engine.registry.build_model` seeds.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in ORDERS:
        raise ValueError(f"order: given '{name}', wanted one of {', '.join(ORDERS)}")
    if name == "random":
        return torch.randperm(n)
    indices = torch.arange(n)
    return indices.flip(0) if name == "reversed" else indices
