"""Masked networks: output i sees only the inputs that come before i in an order.

References:
    Germain, Gregor, Murray and Larochelle, *MADE: Masked Autoencoder for Distribution
    Estimation*, ICML 2015, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.nets.mlp import check_widths, find_activation

ORDERS = ("natural", "reversed", "random")


class MaskedLinear(nn.Linear):
    """A linear layer whose weight is multiplied by a mask of zeros and ones, (out, in)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return F.linear(x, self.weight * self.mask, self.bias)


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
        degrees = layer_degrees(order, hidden_features)
        kind = find_activation(activation)
        layers: list[nn.Module] = []
        for before, after in pairwise(degrees):
            layers += [MaskedLinear(after[:, None] >= before[None, :]), kind()]
        self.hidden = nn.Sequential(*layers)
        out_mask = (degrees[0][:, None] > degrees[-1][None, :]).repeat_interleave(out_features, 0)
        self.out = MaskedLinear(out_mask)

    def forward(self, x: Tensor) -> Tensor:
        """All outputs: (…, D) → (…, D, P)."""
        y: Tensor = self.out(self.hidden(x))
        return y.view(*x.shape, self.out_features)

    def one(self, x: Tensor, index: int) -> Tensor:
        """The outputs of one coordinate alone: (…, D) → (…, P), at a fraction of the cost."""
        rows = slice(index * self.out_features, (index + 1) * self.out_features)
        weight = self.out.weight[rows] * self.out.mask[rows]
        return F.linear(self.hidden(x), weight, self.out.bias[rows])


def layer_degrees(order: Tensor, hidden_features: Sequence[int]) -> list[Tensor]:
    """Degrees of the inputs (places 1 … D in the order) and of each hidden layer."""
    n = len(order)
    degrees = [torch.argsort(order) + 1]
    for width in hidden_features:
        degrees.append(1 + (torch.arange(width) * max(n - 1, 1)) // width)
    return degrees


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
